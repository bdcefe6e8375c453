"""Kept comparisons: what is stored, that it stays, and that its sides can be compared with anything."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import storage.comparisons
import storage.training_runs
from annotation.comparing import snapshot
from annotation.comparing.measure import OverallComparison, compare_all
from annotation.comparing.rank import rank_queries
from annotation.comparing.snapshot import (
    drop,
    find_snapshot,
    judgments_fingerprint,
    judgments_then,
    kept_comparison,
    list_droppable,
    list_snapshots,
    measured_then,
    overall_facts,
    overall_from_facts,
    snapshot_view,
    take,
)
from annotation.comparing.view import ComparisonView, read_view, side_labels
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey
from annotation.ui.payloads.comparing import snapshots_panel
from tests.worlds.desk import Desk, as_json, open_desk, settings_at, swapped_topics
from tests.worlds.words import GRADED_RANKING, GRADED_TEXT, QRELS, light_embedder


@pytest.fixture
def view(judged_desk: Desk) -> ComparisonView:
    """The light model against a run that exchanges the topics, on an open query nobody judged."""
    run = judged_desk.finish_by_hand(swapped_topics())
    query_id = judged_desk.ask(GRADED_TEXT)
    return read_view(judged_desk.workspace, judged_desk.page, f"light~run-{run.id}", query_id, "nDCG@10 RR")


def measured(desk: Desk, view: ComparisonView) -> OverallComparison:
    overall = compare_all(desk.workspace, view)
    assert overall is not None
    return overall


def test_take_keeps_rankings_of_judged_queries_and_the_open_one(judged_desk: Desk, view: ComparisonView) -> None:
    judged_desk.ask("a query that nobody judged")
    record = take(judged_desk.workspace, "ann", view, "  Before the  summer ", "why not")
    assert (record.name, record.note, record.author) == ("Before the summer", "why not", "ann")
    with judged_desk.workspace.reading() as session:
        light, run = (storage.comparisons.rankings(session, record.id, side) for side in (0, 1))
    assert len(light) == len(run) == 13
    assert view.query_id is not None
    assert [doc_id for doc_id, _ in light[view.query_id].ranking] == GRADED_RANKING
    assert [doc_id for doc_id, _ in run[view.query_id].ranking] == [*GRADED_RANKING[8:], *GRADED_RANKING[:8]]
    assert record.about["judgments"]["n_queries"] == 12
    assert record.about["judgments"]["n_judgments"] == 24


def test_take_tells_which_held_out_rankings_it_kept(trained_desk: Desk) -> None:
    view = read_view(trained_desk.workspace, trained_desk.page, "light~run-1")
    record = take(trained_desk.workspace, "ann", view, "trained")
    with trained_desk.workspace.reading() as session:
        light, run = (storage.comparisons.rankings(session, record.id, side) for side in (0, 1))
    assert not any(kept.is_held_out for kept in light.values())
    assert all(kept.is_held_out for kept in run.values())
    provenance = record.about["sides"][1]["provenance"]
    assert (provenance["recipe"], provenance["seed"], provenance["run"]) == ("era", 0, 1)
    with trained_desk.workspace.reading() as session:
        assert provenance["snapshot_hash"] == storage.training_runs.get(session, 1).snapshot_hash
    index = trained_desk.workspace.open(trained_desk.collection.id).index
    assert provenance["index_fingerprint"] == index.fingerprint
    assert provenance["strong_embedder"]["name"] == "strong"
    assert {"python", "torch"} <= provenance["versions"].keys()
    drop(trained_desk.workspace, "ann", record.slug)


def test_a_kept_comparison_shows_the_numbers_of_then(judged_desk: Desk, view: ComparisonView) -> None:
    then = measured(judged_desk, view)
    record = take(judged_desk.workspace, "ann", view, "then")
    assert view.query_id is not None
    judged_desk.mark(view.query_id, "moth-illness", 1.0, 1)
    judged_desk.mark(judged_desk.query_id("cat-vet"), "cat-feeding", 1.0, 2)
    assert measured(judged_desk, view) != then
    kept = kept_comparison(judged_desk.workspace, snapshot_view(find_snapshot(judged_desk.workspace, record.slug)))
    assert kept is not None
    assert kept.overall == then
    today = record.created_at
    assert kept.words == f"As measured on {today.day} {today:%b} {today.year} with 12 judged queries."
    grades = {judged_desk.query_id(public_id): judged for public_id, judged in QRELS.items()}
    assert judgments_then(judged_desk.workspace, record) == grades


def test_numbers_from_before_near_copies_counted_once_are_read(judged_desk: Desk, view: ComparisonView) -> None:
    facts = overall_facts(measured(judged_desk, view))
    for by in facts["parts"][0]["differences"]:
        by["RR"] = {**by["nDCG@10"]}  # every measure was tested
        for each in by.values():
            for name in ("n_groups", "n_tests"):
                each.pop(name, None)
    [part] = overall_from_facts(judged_desk.workspace, judged_desk.collection.id, facts, []).parts
    assert {each.n_groups for each in part.differences[0].values()} == {12}


def test_a_snapshot_of_a_snapshot_still_knows_what_was_flattered(judged_desk: Desk) -> None:
    vector = light_embedder().encode_documents(["moth"])[0]
    taught = [judged_desk.query_id(public_id) for public_id in ("cat-owner", "cat-vet")]  # of the same text
    run = judged_desk.finish_by_hand(swapped_topics(), dict.fromkeys(taught, vector))
    key, workspace = f"run-{run.id}", judged_desk.workspace
    for is_in_sample, kind in ((True, "in_sample"), (False, "learned")):
        view = read_view(workspace, judged_desk.page, f"light~{key}", is_in_sample=is_in_sample)
        kinds = [(part.kind, part.n) for part in measured(judged_desk, view).parts]
        assert kinds == [(kind, 2), ("unseen", 10)]
        for generation in ("first", "second", "third"):
            record = take(workspace, "ann", view, generation)
            view = replace(view, sides=(LIGHT, RankingKey.of_snapshot(record.slug, 1)), is_in_sample=False)
            parts = measured(judged_desk, view).parts
            assert (parts[0].kind, parts[0].n) == (kind, 2)
            with workspace.reading() as session:
                kept = storage.comparisons.rankings(session, record.id, 1)[judged_desk.query_id("cat-owner")]
            assert (kept.is_held_out, kept.is_flattered) == (not is_in_sample, is_in_sample)


def test_take_measures_by_the_judgments_it_keeps(
    judged_desk: Desk, view: ComparisonView, monkeypatch: pytest.MonkeyPatch
) -> None:
    query_id = judged_desk.query_id("cat-vet")

    def judged_meanwhile(*args: Any) -> OverallComparison | None:
        judged_desk.mark(query_id, "moth-illness", 1.0, 1)
        return compare_all(*args)

    monkeypatch.setattr(snapshot, "compare_all", judged_meanwhile)
    record = take(judged_desk.workspace, "ann", view, "then")
    kept = kept_comparison(judged_desk.workspace, snapshot_view(record))
    assert kept is not None
    assert kept.overall is not None
    n_relevant = {change.query.id: change.n_relevant for change in kept.overall.queries}
    then = judgments_then(judged_desk.workspace, record)
    assert n_relevant == {query_id: sum(map(bool, judged.values())) for query_id, judged in then.items()}
    assert "moth-illness" in judged_desk.qrels()[query_id]


def test_numbers_of_queries_are_kept_apart_from_what_lists_read(judged_desk: Desk, view: ComparisonView) -> None:
    record = take(judged_desk.workspace, "ann", view, "then")
    assert "queries" not in record.about["overall"]
    with judged_desk.workspace.reading() as session:
        kept = storage.comparisons.measured(session, record.id)
    wanted = {judged_desk.query_id(public_id) for public_id in QRELS}
    assert {each["query"] for each in kept} == wanted


def test_a_kept_comparison_survives_the_run_it_was_made_with(judged_desk: Desk, view: ComparisonView) -> None:
    then = measured(judged_desk, view)
    record = take(judged_desk.workspace, "ann", view, "then")
    with judged_desk.workspace.writing() as session:
        storage.training_runs.delete(session, int(view.sides[1].removeprefix("run-")))
    again = judged_desk.again()
    kept = kept_comparison(again.workspace, snapshot_view(record))
    assert kept is not None
    assert kept.overall == then
    opened = again.workspace.open(again.collection.id)
    assert view.query_id is not None
    stored = rank_queries(again.workspace, opened, RankingKey(f"snap-{record.slug}-1"), [again.query(view.query_id)])
    assert [doc.doc_id for doc in stored[view.query_id].ranking] == [*GRADED_RANKING[8:], *GRADED_RANKING[:8]]
    labels = side_labels(again.workspace, snapshot_view(record))
    assert list(labels.values()) == ["then: light model alone", "then: after your marks (run 1), vectors alone"]
    again.workspace.close()


def test_a_kept_side_is_compared_with_anything_by_the_judgments_of_now(judged_desk: Desk, view: ComparisonView) -> None:
    record = take(judged_desk.workspace, "ann", view, "then")
    mixed = replace(view, sides=(ALIGNED, RankingKey.of_snapshot(record.slug, 1)))
    assert kept_comparison(judged_desk.workspace, mixed) is None
    before = measured(judged_desk, mixed)
    live = measured(judged_desk, replace(view, sides=(ALIGNED, view.sides[1])))
    assert [c.values for c in before.queries] == [c.values for c in live.queries]
    exchanged = replace(snapshot_view(record), sides=snapshot_view(record).sides[::-1])
    assert kept_comparison(judged_desk.workspace, exchanged) is None
    assert kept_comparison(judged_desk.workspace, replace(snapshot_view(record), measures=("RR",))) is None
    assert kept_comparison(judged_desk.workspace, view) is None


def test_take_before_anything_is_judged_keeps_the_open_query_alone(desk: Desk) -> None:
    query_id = desk.ask(GRADED_TEXT)
    view = read_view(desk.workspace, desk.page, "light~bm25", query_id)
    record = take(desk.workspace, "ann", view, "early")
    kept = kept_comparison(desk.workspace, snapshot_view(record))
    assert kept is not None
    assert kept.overall is None
    assert "with 0 judged queries" in kept.words
    with desk.workspace.reading() as session:
        assert list(storage.comparisons.rankings(session, record.id, 0)) == [query_id]
    assert snapshots_panel([record], [])["list"][0]["summary"] == "Kept before anything was judged."


@pytest.mark.parametrize("name", ["", "   ", "n" * 121])
def test_take_needs_a_name_of_fair_length(desk: Desk, name: str) -> None:
    view = read_view(desk.workspace, desk.page, "light~bm25")
    with pytest.raises(InvalidInputError, match="name"):
        take(desk.workspace, "ann", view, name)
    with pytest.raises(NotAllowedError):
        take(desk.workspace, None, view, "mine")
    assert list_snapshots(desk.workspace, desk.collection.id) == []


def test_the_list_is_newest_first_with_the_main_measure_in_a_line(judged_desk: Desk, view: ComparisonView) -> None:
    first = take(judged_desk.workspace, "ann", view, "first")
    second = take(judged_desk.workspace, "ann", view, "second", "a note")
    assert first.slug != second.slug
    records = list_snapshots(judged_desk.workspace, judged_desk.collection.id)
    panel = as_json(snapshots_panel(records, [second.slug]))
    assert [line["name"] for line in panel["list"]] == ["second", "first"]
    line = panel["list"][0]
    assert line["sides"] == ["light model alone", "after your marks (run 1), vectors alone"]
    assert (line["slug"], line["note"], line["author"], line["n_queries"]) == (second.slug, "a note", "ann", 12)
    assert [each["can_drop"] for each in panel["list"]] == [True, False]
    part = measured(judged_desk, view).parts[0]
    d = part.differences[0]["nDCG@10"]
    assert line["summary"] == f"{measured_then(second)} nDCG@10 {d.before:.2f} → {d.after:.2f} ({part.n})."


def test_drop_is_for_the_author_where_people_sign_in(judged_desk: Desk, view: ComparisonView, tmp_path: Path) -> None:
    record = take(judged_desk.workspace, "ann", view, "mine")
    of_ben = list_droppable(judged_desk.workspace, "ben", judged_desk.collection.id)
    assert of_ben == [record.slug]  # one person at one machine, whatever the name
    judged_desk.workspace.close()
    people = tmp_path / "people.txt"
    people.write_text("ann:one\nben:two\n")
    shared = open_desk(
        settings_at(judged_desk.workspace.folder).model_copy(update={"people": people}), judged_desk.collection
    )
    with pytest.raises(NotAllowedError, match="Only ann"):
        drop(shared.workspace, "ben", record.slug)
    with pytest.raises(NotAllowedError):
        drop(shared.workspace, None, record.slug)
    drop(shared.workspace, "ann", record.slug)
    with pytest.raises(NotFoundError):
        drop(shared.workspace, "ann", record.slug)
    with pytest.raises(NotFoundError):
        find_snapshot(shared.workspace, record.slug)
    shared.workspace.close()


def test_the_fingerprint_of_judgments_is_of_what_they_say_alone() -> None:
    one = {1: {"a": 1.0, "b": 0.0}, 2: {"c": 2.0}}
    assert judgments_fingerprint(one) == judgments_fingerprint({2: {"c": 2.0}, 1: {"b": 0.0, "a": 1.0}})
    assert judgments_fingerprint(one) != judgments_fingerprint({1: {"a": 1.0, "b": 0.0}, 2: {"c": 1.0}})
    assert judgments_fingerprint(one) != judgments_fingerprint({1: {"a": 1.0, "b": 0.0, "c": 2.0}})


def test_measured_then_writes_the_day_out(judged_desk: Desk, view: ComparisonView) -> None:
    record = take(judged_desk.workspace, "ann", view, "then")
    about = {**record.about, "judgments": {**record.about["judgments"], "n_queries": 1}}
    old = replace(record, created_at=datetime(2026, 11, 3, tzinfo=UTC), about=about)
    assert measured_then(old) == "As measured on 3 Nov 2026 with 1 judged query."
