"""Queries kept for testing: drawn in whole groups, left out of all that learns, and measured apart where runs are."""

from typing import Any

import pytest

import storage.queries
import storage.training_runs
from annotation.comparing.measure import OverallComparison, compare_all
from annotation.comparing.view import ComparisonView
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.assist import follow
from annotation.judging.test_queries import keep_some, kept_for_testing, learnable, release
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey
from annotation.training import start
from annotation.training.explain import changes_between, details
from annotation.transfer.triplets import export_triplets
from storage.records import TrainingRunRecord
from tests.worlds.desk import Desk, swapped_topics
from tests.worlds.judging import found_by, say, say_all, write_query
from tests.worlds.words import DOCUMENTS, light_embedder

DOC_IDS = [document.doc_id for document in DOCUMENTS]


def label_some(desk: Desk, n: int, n_copied: int = 0) -> list[int]:
    """Judge n queries that ask for different pairs of documents; the first ones are asked under an instruction, too."""
    labelled = []
    for i in range(n):
        for instruction in ("", "owner")[: 1 + (i < n_copied)]:
            query_id = desk.ask(f"number {i}", instruction)
            say_all(desk, "ann", query_id, [DOC_IDS[i % 16], DOC_IDS[(i + 1 + i // 16) % 16]], 1.0)
            labelled.append(query_id)
    return labelled


def keep(desk: Desk, *query_ids: int) -> None:
    """Keep just these queries for testing."""
    with desk.workspace.writing() as session:
        storage.queries.keep_for_testing(session, desk.label_set_id, query_ids, "ann")


def draw(desk: Desk, author: str | None = "ann") -> int:
    return keep_some(desk.workspace, author, desk.collection.id, desk.label_set_id)


def let_go(desk: Desk) -> int:
    return release(desk.workspace, "ann", desk.collection.id, desk.label_set_id)


def kept(desk: Desk) -> frozenset[int]:
    return kept_for_testing(desk.workspace, desk.label_set_id)


def snapshot(desk: Desk, run: TrainingRunRecord) -> set[int]:
    with desk.workspace.reading() as session:
        return {int(query_id) for query_id in storage.training_runs.label_snapshot(session, run.id)}


def test_a_quarter_of_the_groups_is_kept_each_as_a_whole(desk: Desk) -> None:
    """Sixteen texts, six of them asked twice: four are drawn."""
    label_some(desk, 16, n_copied=6)
    n_kept = draw(desk)
    texts = {desk.query(query_id).text for query_id in kept(desk)}
    assert len(texts) == 4
    assert n_kept == len(kept(desk)) == sum(2 if int(text.split()[1]) < 6 else 1 for text in texts)
    first = kept(desk)
    with pytest.raises(InvalidInputError, match="kept for testing already"):
        draw(desk)
    assert let_go(desk) == n_kept
    assert kept(desk) == frozenset()
    draw(desk)
    assert kept(desk) == first  # nobody can draw until they like what they get


def test_too_few_queries_are_all_learned_from(desk: Desk) -> None:
    label_some(desk, 19)
    with pytest.raises(InvalidInputError, match="needs 20 queries"):
        draw(desk)
    assert kept(desk) == frozenset()


def test_queries_that_all_ask_the_same_are_not_drawn_from(desk: Desk) -> None:
    for number in range(20):
        say(desk, "ann", desk.ask(f"another {number}"), "cat-feeding", 1.0)
    with pytest.raises(InvalidInputError, match="ask for 1 different things"):
        draw(desk)


def test_nothing_is_kept_for_a_visitor_or_in_another_collection(desk: Desk) -> None:
    label_some(desk, 20)
    with pytest.raises(NotAllowedError, match="Sign in to choose which queries “My labels” keeps for testing"):
        draw(desk, None)
    with pytest.raises(InvalidInputError, match="belongs to another collection"):
        keep_some(desk.workspace, "ann", desk.collection.id + 1, desk.label_set_id)
    assert kept(desk) == frozenset()


def test_no_run_learns_from_what_is_kept_and_the_outlook_says_so(desk: Desk) -> None:
    labelled = label_some(desk, 20)
    before = desk.start()
    assert snapshot(desk, before) == set(labelled)
    seen = start.outlook(desk.workspace, desk.collection.id, desk.label_set_id)
    assert (seen.n_to_learn_from, seen.n_for_testing, seen.can_keep_some) == (20, 0, True)
    draw(desk)
    rest = set(labelled) - kept(desk)
    assert len(rest) == 15
    after = desk.start()
    assert snapshot(desk, after) == rest
    assert (after.n_queries, after.n_relevant) == (15, 30)
    again = start.rerun_with_todays_labels(desk.workspace, "ann", before.id)
    assert snapshot(desk, again) == rest
    assert snapshot(desk, start.rerun_with_same_labels(desk.workspace, "ann", before.id)) == set(labelled)
    seen = start.outlook(desk.workspace, desk.collection.id, desk.label_set_id)
    assert (seen.counts.n_labelled, seen.n_to_learn_from, seen.n_for_testing) == (20, 15, 5)
    assert seen.can_keep_some is False
    assert details(desk.workspace, "ann", before.id).n_for_testing == 5
    assert details(desk.workspace, "ann", after.id).n_for_testing == 0


def test_nothing_is_left_to_learn_from_where_every_query_is_kept(desk: Desk) -> None:
    keep(desk, *label_some(desk, 2))
    seen = start.outlook(desk.workspace, desk.collection.id, desk.label_set_id)
    assert (seen.can_train, seen.n_to_learn_from) == (False, 0)
    with pytest.raises(InvalidInputError, match="nothing to learn from yet"):
        desk.start()


def test_a_kept_query_without_a_relevant_document_counts_nowhere(desk: Desk) -> None:
    first, second = label_some(desk, 2)
    keep(desk, first, second)
    for doc_id in DOC_IDS[:2]:
        say(desk, "ann", first, doc_id, 0.0)
    seen = start.outlook(desk.workspace, desk.collection.id, desk.label_set_id)
    assert (seen.counts.n_labelled, seen.n_for_testing) == (1, 1)


def test_marks_on_what_is_kept_are_no_change_since_a_run_that_did_not_learn_from_it(desk: Desk) -> None:
    first, second = label_some(desk, 2)
    earlier = desk.start()
    keep(desk, first)
    later = desk.start()
    assert changes_between(desk.workspace, "ann", earlier.id, None).queries == []
    assert changes_between(desk.workspace, "ann", later.id, None).queries == []
    say(desk, "ann", first, "moth-illness", 1.0)
    say(desk, "ann", second, "moth-illness", 1.0)
    changed = [
        {query.id for query, _ in changes_between(desk.workspace, "ann", run.id, None).queries}
        for run in (earlier, later)
    ]
    assert changed == [{first, second}, {second}]


def test_live_ranking_and_triplets_learn_nothing_from_what_is_kept(desk: Desk) -> None:
    taught = []
    for animal in ("cat", "dog"):
        taught.append(write_query(desk, animal).id)
        say_all(desk, "ann", taught[-1], [f"{animal}-feeding", "trout-feeding", "wren-feeding"], 1.0)
        say_all(desk, "ann", taught[-1], [f"{animal}-illness", "trout-illness"], 0.0)
    query = write_query(desk, "moth")
    say(desk, "ann", query.id, "newt-illness", 1.0)
    assert follow(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query), LIGHT).state == "changed"
    keep(desk, taught[0])
    assert learnable(desk.workspace, desk.label_set_id).keys() == {taught[1], query.id}
    assert (
        follow(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query), LIGHT).state == "needs-more"
    )
    made = export_triplets(desk.workspace, "ann", desk.label_set_id)
    assert '"anchor": "cat' not in str(made.content)
    assert "Left out, since they are kept for testing: 1 query." in made.remarks


def compared(desk: Desk, *sides: str, **more: Any) -> OverallComparison:
    overall = compare_all(
        desk.workspace,
        ComparisonView(desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), None, **more),
    )
    assert overall is not None
    return overall


def parts(overall: OverallComparison) -> dict[int, str]:
    return {change.query.id: change.part for change in overall.queries}


def test_runs_are_compared_on_what_is_kept_unless_one_of_them_learned_from_it(desk: Desk) -> None:
    """The first run learned from the second query before it was kept, a third one from a near-copy of the first."""
    first, second, third, fourth = label_some(desk, 4)
    vector = light_embedder().encode_documents(["cat feeding"])[0]
    early = f"run-{desk.finish_by_hand(swapped_topics(), dict.fromkeys((second, third), vector)).id}"
    keep(desk, first, second)
    late = f"run-{desk.finish_by_hand(swapped_topics(), {third: vector}).id}"
    copy = desk.ask("number 0", "vet")
    copied = f"run-{desk.finish_by_hand(swapped_topics(), {copy: vector}).id}"
    assert parts(compared(desk, LIGHT, late)) == {
        first: "test", second: "test", third: "learned", fourth: "unseen",
    }  # fmt: skip
    both = compared(desk, early, late)
    assert parts(both) == {first: "test", second: "learned", third: "learned", fourth: "unseen"}
    assert ([part.kind for part in both.parts], both.n_tests_learned) == (["test", "learned", "unseen"], 1)
    assert parts(compared(desk, LIGHT, copied))[first] == "in_sample"
    assert compared(desk, LIGHT, copied).n_tests_learned == 1
    assert parts(compared(desk, early, late, is_in_sample=True))[first] == "test"
    assert set(parts(compared(desk, LIGHT, ALIGNED)).values()) == {"plain"}
