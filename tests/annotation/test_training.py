"""Starting a training run: what there is to learn from, what is refused, and what is written down."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import storage.jobs
import storage.training_runs
from annotation.collections.page import open_page
from annotation.collections.store_whole import store
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.jobs.worker import MAX_WAITING
from annotation.judging.marks import start_label_set
from annotation.labels.current import LabelCounts, Standings
from annotation.training import start
from annotation.training.start import Outlook, outlook
from annotation.training.train import summarise
from era.evaluation.incomplete_judgments import Sample, SampledQuery
from era.types import ScoredDoc
from storage.errors import UnknownRecord
from storage.records import JobKind, JobState, TrainingRunRecord
from tests.worlds.desk import Desk, small_world, swapped_topics
from tests.worlds.words import QRELS


def look(desk: Desk) -> Outlook:
    return outlook(desk.workspace, desk.collection.id, desk.label_set_id)


def mark_relevant(desk: Desk, n_queries: int) -> None:
    for number, public_id in enumerate(list(QRELS)[:n_queries]):
        query_id = desk.query_id(public_id)
        for place, (doc_id, grade) in enumerate(QRELS[public_id].items()):
            desk.mark(query_id, doc_id, grade, 2 * number + place + 1)


@pytest.mark.parametrize(
    ("n_queries", "advice"),
    [
        (0, "nothing to learn from yet. In Judge, mark at least one"),
        (1, "What one query teaches cannot be checked on others. Mark relevant documents for two more queries."),
        (2, "What two queries teach cannot be checked on others. Mark relevant documents for a third query."),
        (3, "better than without any label (mean nDCG@10, against aligned) in 40 % of the runs on 5 labelled queries"),
        (12, "51 % on 20 and 85 % on 40; worse in 17 %, 9 %, 19 % and 2 %; otherwise as before."),
    ],
)
def test_outlook_says_what_is_missing_or_what_as_many_labels_were_worth(
    desk: Desk, n_queries: int, advice: str
) -> None:
    mark_relevant(desk, n_queries)
    seen = look(desk)
    assert advice in seen.advice
    assert (seen.counts.n_labelled, seen.counts.n_relevant, seen.counts.n_not_relevant) == (
        n_queries,
        n_queries,
        n_queries,
    )
    assert (seen.can_train, seen.usual_seconds) == (n_queries > 0, None)


@pytest.mark.parametrize(("n_labelled", "has_advice"), [(39, True), (40, False)])
def test_outlook_has_no_advice_where_no_more_labels_were_measured(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, n_labelled: int, has_advice: bool
) -> None:
    counts = LabelCounts(n_labelled, n_labelled, n_labelled, 0, 0)
    monkeypatch.setattr(Standings, "counts", lambda _: counts)
    assert bool(look(desk).advice) is has_advice


def test_outlook_counts_only_queries_with_a_relevant_document(desk: Desk) -> None:
    query_id, other = desk.query_id("cat-vet"), desk.query_id("dog-vet")
    desk.mark(query_id, "cat-feeding", 0.0, 1)
    desk.mark(other, "dog-illness", 1.0, 2)
    desk.mark(other, "dog-feeding", 0.0, 3)
    desk.mark(other, "dog-illness", None, 4)
    seen = look(desk)
    assert (seen.counts, seen.can_train) == (LabelCounts(2, 0, 0, 2, 0), False)


def test_outlook_counts_what_is_agreed_and_not_what_is_open(desk: Desk) -> None:
    agreed, disputed = desk.query_id("cat-vet"), desk.query_id("dog-vet")
    desk.mark(agreed, "cat-illness", 1.0, 1)
    desk.mark(agreed, "cat-illness", 1.0, 2, author="bob")
    desk.mark(disputed, "dog-illness", 1.0, 3)
    desk.mark(disputed, "dog-illness", 0.0, 4, author="bob")
    seen = look(desk)
    assert (seen.counts.n_labelled, seen.counts.n_relevant, seen.counts.n_not_relevant) == (1, 1, 0)
    desk.mark(disputed, "dog-illness", 0.0, 5, author="cleo")
    seen = look(desk)
    assert (seen.counts.n_labelled, seen.counts.n_relevant, seen.counts.n_not_relevant) == (1, 1, 1)


def test_outlook_counts_the_marks_of_its_label_set_only(judged_desk: Desk) -> None:
    assert look(judged_desk).counts.n_labelled == 12
    start_label_set(judged_desk.workspace, "ann", judged_desk.collection.id, "second")
    assert look(judged_desk).counts.n_labelled == 0


def test_outlook_offers_another_run_until_ten_are_waiting(judged_desk: Desk) -> None:
    runs = [judged_desk.start() for _ in range(MAX_WAITING - 1)]
    assert look(judged_desk).can_train
    runs.append(judged_desk.start())
    assert not look(judged_desk).can_train
    start.cancel(judged_desk.workspace, "ann", runs[3].id)
    assert look(judged_desk).can_train


def test_outlook_gives_the_median_duration_of_finished_runs(judged_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run, at = judged_desk.finish_by_hand(swapped_topics()), datetime(2026, 1, 1, tzinfo=UTC)

    def lasting(seconds: int) -> TrainingRunRecord:
        return replace(run, started_at=at, finished_at=at + timedelta(seconds=seconds))

    runs = [lasting(4), lasting(1), lasting(9), lasting(100), replace(lasting(1000), state=JobState.FAILED)]
    monkeypatch.setattr(storage.training_runs, "list_for", lambda session, collection_id: runs)
    assert look(judged_desk).usual_seconds == (4 + 9) / 2


def test_start_queues_a_run_with_the_labels_as_they_stand(judged_desk: Desk) -> None:
    open_question, overruled = judged_desk.query_id("cat-owner"), judged_desk.query_id("wren-vet")
    for number, doc_id in enumerate(("cat-feeding", "cat-illness")):
        judged_desk.mark(open_question, doc_id, 1.0, 2 * number + 1)
        judged_desk.mark(open_question, doc_id, 0.0, 2 * number + 2, author="bob")  # one against one: left out
    judged_desk.mark(overruled, "wren-feeding", 1.0, 5)  # where the imported mark says 0
    run = judged_desk.start(seed=2**31 - 1)
    judged_desk.mark(judged_desk.query_id("dog-owner"), "dog-feeding", 0.0, 6)
    assert (run.state, run.number, run.recipe, run.seed, run.author) == (
        JobState.QUEUED, 1, "era", 2**31 - 1, "ann",
    )  # fmt: skip
    assert (run.n_queries, run.n_relevant, run.n_not_relevant) == (11, 12, 10)
    with judged_desk.workspace.reading() as session:
        snapshot = storage.training_runs.label_snapshot(session, run.id)
    expected = {
        str(judged_desk.query_id(public_id)): grades for public_id, grades in QRELS.items() if public_id != "cat-owner"
    } | {str(overruled): {"wren-feeding": 1.0, "wren-illness": 1.0}}
    assert snapshot == expected
    assert run.snapshot_hash == hashlib.sha256(json.dumps(expected, sort_keys=True).encode()).hexdigest()


def test_start_refuses_when_nothing_is_relevant(desk: Desk) -> None:
    with pytest.raises(InvalidInputError, match="nothing to learn from yet"):
        desk.start()
    desk.mark(desk.query_id("cat-vet"), "cat-feeding", 0.0, 1)
    with pytest.raises(InvalidInputError, match="Mark at least one document as relevant"):
        desk.start()
    assert start.history(desk.workspace, desk.collection.id) == []


def test_start_refuses_an_eleventh_run_in_line(judged_desk: Desk) -> None:
    runs = [judged_desk.start(seed=seed) for seed in range(10)]
    with pytest.raises(
        InvalidInputError, match=r"10 training runs are waiting already\. Wait until one of them has begun"
    ):
        judged_desk.start()
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})  # the one that runs does not wait
    runs.append(judged_desk.start("paper"))
    with pytest.raises(InvalidInputError, match="or cancel one"):
        judged_desk.start("paper")
    listed = start.history(judged_desk.workspace, judged_desk.collection.id)
    assert [run.id for run in listed] == [run.id for run in reversed(runs)]


def test_one_person_of_several_takes_three_places_and_leaves_the_others(
    judged_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = tmp_path / "people.txt"
    people.write_text("ann:a\nben:b\n")
    shared = judged_desk.workspace.settings.model_copy(update={"people": people})
    monkeypatch.setattr(judged_desk.workspace, "settings", shared)

    def start_as(author: str) -> TrainingRunRecord:
        places = judged_desk.collection.id, judged_desk.label_set_id
        return start.start(judged_desk.workspace, author, *places, "era", 0)

    anns = [start_as("ann") for _ in range(3)]
    refused = "3 of your training runs are waiting already, which is one person's share"
    with pytest.raises(InvalidInputError, match=refused):
        start_as("ann")
    with pytest.raises(InvalidInputError, match=refused):
        start.rerun_with_same_labels(judged_desk.workspace, "ann", anns[0].id)
    bens = start_as("ben")
    assert start.places_in_line(judged_desk.workspace)[bens.id] == 2
    start.cancel(judged_desk.workspace, "ann", anns[0].id)
    again = start.resume(judged_desk.workspace, "ann", anns[0].id)
    start.cancel(judged_desk.workspace, "ann", again.id)
    start_as("ann")
    with pytest.raises(InvalidInputError, match=refused):
        start.resume(judged_desk.workspace, "ann", again.id)


def test_places_in_line_follow_the_queue(judged_desk: Desk) -> None:
    first, second, third, fourth = (judged_desk.start(seed=seed) for seed in range(4))
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})
    assert start.places_in_line(judged_desk.workspace) == {second.id: 1, third.id: 2, fourth.id: 3}
    start.cancel(judged_desk.workspace, "ann", second.id)
    assert start.places_in_line(judged_desk.workspace) == {third.id: 1, fourth.id: 2}
    start.resume(judged_desk.workspace, "ann", second.id)
    assert start.places_in_line(judged_desk.workspace) == {third.id: 1, fourth.id: 2, second.id: 3}
    assert judged_desk.run(first.id).state is JobState.RUNNING


def test_start_refuses_the_label_set_of_another_collection(judged_desk: Desk) -> None:
    other = store(judged_desk.workspace, small_world("other", QRELS), author="ann", labels="", is_demo=False)
    with pytest.raises(InvalidInputError, match="belongs to another collection"):
        start.start(judged_desk.workspace, "ann", other.id, judged_desk.label_set_id, "era", 0)
    assert start.history(judged_desk.workspace, other.id) == []


def test_start_of_another_collection_is_possible_while_one_is_under_way(judged_desk: Desk) -> None:
    judged_desk.start()
    other = store(judged_desk.workspace, small_world("other", QRELS), author="ann", labels="", is_demo=False)
    label_set_id = open_page(judged_desk.workspace, other.id, None).label_set.id
    assert start.start(judged_desk.workspace, "ann", other.id, label_set_id, "era", 0).number == 1


@pytest.mark.parametrize("recipe", ["", "ERA", "magic", "x" * 10_000])
def test_start_refuses_an_unknown_recipe(judged_desk: Desk, recipe: str) -> None:
    with pytest.raises(InvalidInputError, match="There is no recipe") as error:
        judged_desk.start(recipe)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("seed", [-1, 2**31, 2**70])
def test_start_refuses_a_seed_out_of_range(judged_desk: Desk, seed: int) -> None:
    with pytest.raises(InvalidInputError, match="0 to 2,147,483,647"):
        judged_desk.start(seed=seed)


def test_start_and_cancel_refuse_when_nobody_is_signed_in(judged_desk: Desk) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        start.start(judged_desk.workspace, None, judged_desk.collection.id, judged_desk.label_set_id, "era", 0)
    run = judged_desk.start()
    with pytest.raises(NotAllowedError, match="Sign in"):
        start.cancel(judged_desk.workspace, None, run.id)
    assert judged_desk.run(run.id).state is JobState.QUEUED


def test_cancel_ends_a_queued_run_at_once(judged_desk: Desk) -> None:
    run = judged_desk.start()
    assert start.cancel(judged_desk.workspace, "ann", run.id).state is JobState.CANCELLED
    with pytest.raises(UnknownRecord, match="no training run with the id 99"):
        start.cancel(judged_desk.workspace, "ann", 99)


def ranking(*doc_ids: str) -> list[ScoredDoc]:
    return [ScoredDoc(doc_id, 1.0 - place / 10) for place, doc_id in enumerate(doc_ids)]


def test_summarise_measures_each_ranking_and_what_changed() -> None:
    qrels = {"1": {"a": 1.0, "b": 0.0}, "2": {"a": 1.0}, "3": {"c": 1.0}}
    rankings = {
        "light": [ranking("b", "a"), ranking("a", "b"), ranking("a", "b")],
        "aligned": [ranking("a", "b"), ranking("a", "b"), ranking("a", "b")],
        "after": [ranking("a", "b"), ranking("b", "a"), ranking("c", "b")],
    }
    judged = {query_id: SampledQuery(grades) for query_id, grades in qrels.items()}
    measures: dict[str, Any] = summarise(judged, rankings, {"1": 0, "2": 0, "3": 1})
    second = 1 / 1.584962500721156  # the gain of the second place, 1 / log2(3)
    assert measures["n"] == 3
    assert measures["means"]["light"]["nDCG@10"] == pytest.approx((second + 1 + 0) / 3)
    assert measures["means"]["aligned"]["nDCG@10"] == pytest.approx(2 / 3)
    assert measures["means"]["after"] == {
        "nDCG@10": pytest.approx((1 + second + 1) / 3),
        "R@10": pytest.approx(1),
        "RR": pytest.approx((1 + 1 / 2 + 1) / 3),
        "Judged@10": pytest.approx((1 + 1 / 2 + 1 / 2) / 3),
    }
    from_light = measures["from_light"]
    assert (from_light["n_better"], from_light["n_same"], from_light["n_worse"]) == (2, 0, 1)
    assert from_light["before"] == pytest.approx((second + 1) / 3)
    from_aligned = measures["from_aligned"]
    assert (from_aligned["n_better"], from_aligned["n_same"], from_aligned["n_worse"]) == (1, 1, 1)
    assert (from_light["n_groups"], from_aligned["n_groups"]) == (2, 2)
    # two cases prove nothing: every change of sign gives as large a sum
    assert from_light["p_value"] == from_aligned["p_value"] == 1
    other = measures["others_from_light"]["aligned"]
    assert (other["n_groups"], "p_value" in other) == (2, False)
    assert measures["of_judged"] is None
    json.dumps(measures, allow_nan=False)


def test_summarise_estimates_where_documents_were_drawn_for_judging() -> None:
    # b was drawn from b and c; the light model ranks b second, after has c there, which was never judged
    judged = {"1": SampledQuery({"a": 1.0, "b": 1.0}, (Sample(("b",), ("c",)),)), "2": SampledQuery({"a": 1.0})}
    rankings = {
        "light": [ranking("a", "b"), ranking("a", "d")],
        "aligned": [ranking("a", "b"), ranking("a", "d")],
        "after": [ranking("a", "c"), ranking("a", "d")],
    }
    measures: dict[str, Any] = summarise(judged, rankings, {"1": 0, "2": 1})
    second, third = 1 / 1.584962500721156, 0.5
    ideals = (1 + second + third) + 1
    assert measures["means"]["light"]["nDCG@10"] == pytest.approx((1 + 2 * second + 1) / ideals)
    assert measures["means"]["after"]["nDCG@10"] == pytest.approx(2 / ideals)
    assert measures["means"]["light"]["R@10"] == pytest.approx(1)
    from_light = measures["from_light"]
    assert [from_light["before"], from_light["after"]] == pytest.approx([(2 + 2 * second) / ideals, 2 / ideals])
    assert (from_light["n_better"], from_light["n_same"], from_light["n_worse"]) == (0, 1, 1)
    assert measures["others_from_light"]["aligned"]["after"] == pytest.approx((2 + 2 * second) / ideals)
    of_judged = measures["of_judged"]
    assert [of_judged["before"], of_judged["after"]] == pytest.approx([1, (1 / (1 + second) + 1) / 2])
    json.dumps(measures, allow_nan=False)


def test_resume_queues_the_same_run_again(judged_desk: Desk) -> None:
    run = judged_desk.start(seed=7)
    judged_desk.mark(judged_desk.query_id("dog-owner"), "dog-feeding", 0.0, 1)  # the labels have changed since
    with pytest.raises(InvalidInputError, match="Run 1 is queued; there is nothing to resume"):
        start.resume(judged_desk.workspace, "ann", run.id)
    start.cancel(judged_desk.workspace, "ann", run.id)
    with pytest.raises(NotAllowedError, match="Sign in"):
        start.resume(judged_desk.workspace, None, run.id)
    again = start.resume(judged_desk.workspace, "ann", run.id)
    assert (again.id, again.number, again.seed, again.snapshot_hash) == (run.id, 1, 7, run.snapshot_hash)
    assert (again.state, again.is_cancel_requested) == (JobState.QUEUED, False)


def test_resume_refuses_what_is_finished_and_a_full_line(judged_desk: Desk) -> None:
    finished = judged_desk.finish_by_hand(swapped_topics())
    with pytest.raises(InvalidInputError, match="Run 1 is finished"):
        start.resume(judged_desk.workspace, "ann", finished.id)
    cancelled = start.cancel(judged_desk.workspace, "ann", judged_desk.start().id)
    for seed in range(10):
        judged_desk.start(seed=seed)
    with pytest.raises(InvalidInputError, match="10 training runs are waiting"):
        start.resume(judged_desk.workspace, "ann", cancelled.id)


def test_rerun_takes_the_same_labels_or_todays(judged_desk: Desk) -> None:
    first = judged_desk.start("paper", seed=5)
    judged_desk.mark(judged_desk.query_id("dog-owner"), "dog-illness", 1.0, 1)
    judged_desk.mark(judged_desk.query_id("dog-owner"), "dog-illness", 1.0, 2, author="bob")
    same = start.rerun_with_same_labels(judged_desk.workspace, "bob", first.id)
    today = start.rerun_with_todays_labels(judged_desk.workspace, "bob", first.id)
    for run in (same, today):
        assert (run.recipe, run.seed, run.rerun_of, run.author) == ("paper", 5, first.id, "bob")
        assert (run.collection_id, run.label_set_id) == (first.collection_id, first.label_set_id)
    assert same.snapshot_hash == first.snapshot_hash
    assert (first.n_relevant, same.n_relevant, today.n_relevant) == (12, 12, 13)
    with judged_desk.workspace.reading() as session:
        labels = [storage.training_runs.label_snapshot(session, run.id) for run in (first, same, today)]
    assert labels[0] == labels[1] != labels[2]
    for rerun in (start.rerun_with_same_labels, start.rerun_with_todays_labels):
        with pytest.raises(NotAllowedError, match="Sign in"):
            rerun(judged_desk.workspace, None, first.id)
