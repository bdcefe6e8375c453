"""Blind judging: who sees what of what others say, and that no screen and no file tells more."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import storage.judgments
import storage.label_sets
import storage.queries
from annotation.comparing.explain import why
from annotation.comparing.export import queries_csv, trec_zip
from annotation.comparing.measure import compare_all
from annotation.comparing.rank import HIDDEN, compare_query
from annotation.comparing.report import report_html
from annotation.comparing.snapshot import snapshot_view, take
from annotation.comparing.view import ComparisonView, side_labels
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.agreement import PairAgreement, people_of
from annotation.judging.queries import list_lines
from annotation.judging.setup import hidden_queries, left_out, sight_of
from annotation.ranking.rankers import RankingKey
from annotation.settings import Settings
from annotation.training import explain
from annotation.training.explain import changes_between
from annotation.transfer.adapters import export_adapter
from annotation.transfer.collections import export_collection
from annotation.transfer.judgments import EVERYBODY, export_judgments
from annotation.transfer.triplets import export_triplets
from annotation.ui.payloads.comparing import overall_payload
from storage.records import NewJudgment
from tests.worlds.desk import Desk
from tests.worlds.judging import bring_reference, offer, say, with_setup

POOL = ("cat-illness", "dog-illness", "cat-feeding")


@pytest.fixture
def shared(desk: Desk, tmp_path: Path) -> Desk:
    """The small world with nothing judged, where ann, bob and eve sign in."""
    people = tmp_path / "people.txt"
    people.write_text("ann:one\nbob:two\neve:three\n")
    desk.workspace.settings = Settings(data_dir=desk.workspace.folder, device="cpu", people=people, space_id=None)
    return desk


def is_hidden(desk: Desk, author: str | None, query_id: int) -> bool:
    places = desk.collection.id, desk.label_set_id
    return query_id in hidden_queries(desk.workspace, author, *places, [query_id])


def seen(desk: Desk, author: str | None, query_id: int) -> dict[str, float]:
    """Return the grades that a person may see of a query."""
    sight = sight_of(desk.workspace, author, desk.collection.id, desk.label_set_id, [query_id])
    return dict(sight.grades(query_id, desk.workspace.standings(desk.label_set_id).marks_of(query_id)))


# --- the rule


def test_marks_of_others_are_hidden_until_everything_offered_is_judged(shared: Desk) -> None:
    query_id = shared.query_id("cat-vet")
    offer(shared, query_id, *POOL)
    assert not is_hidden(shared, "bob", query_id)  # nobody has said anything
    say(shared, "ann", query_id, "cat-illness", 1.0)
    assert (is_hidden(shared, "bob", query_id), seen(shared, "bob", query_id)) == (True, {})
    assert (is_hidden(shared, "ann", query_id), seen(shared, "ann", query_id)) == (False, {"cat-illness": 1.0})
    say(shared, "bob", query_id, "dog-illness", 0.0)
    assert seen(shared, "bob", query_id) == {"dog-illness": 0.0}
    assert is_hidden(shared, "ann", query_id)
    say(shared, "bob", query_id, "cat-feeding", None, is_unsure=True)  # one person a document is enough
    assert not is_hidden(shared, "bob", query_id)
    assert seen(shared, "bob", query_id) == {"cat-illness": 1.0, "dog-illness": 0.0}


def test_a_query_without_a_pool_may_still_be_judged_by_everybody(shared: Desk) -> None:
    query_id = shared.query_id("cat-vet")
    say(shared, "ann", query_id, "cat-illness", 1.0)
    assert [is_hidden(shared, who, query_id) for who in ("ann", "bob")] == [False, True]
    say(shared, "bob", query_id, "cat-feeding", 0.0)
    assert [is_hidden(shared, who, query_id) for who in ("ann", "bob")] == [True, True]


def test_what_others_have_judged_completely_can_be_seen(shared: Desk) -> None:
    query_id = shared.query_id("cat-vet")
    offer(shared, query_id, "cat-illness")
    with_setup(shared, n_judges=2)
    say(shared, "ann", query_id, "cat-illness", 1.0)
    assert is_hidden(shared, "eve", query_id)
    say(shared, "bob", query_id, "cat-illness", 1.0)
    assert not is_hidden(shared, "eve", query_id)  # two are enough, so she is offered nothing


def test_taking_marks_back_shows_nothing(shared: Desk) -> None:
    query_id = shared.query_id("cat-vet")
    offer(shared, query_id, *POOL)
    bring_reference(shared, query_id, "cat-illness", 1.0)
    say(shared, "ann", query_id, "dog-illness", 1.0, note="between us")
    say(shared, "bob", query_id, "cat-feeding", 0.0)
    assert seen(shared, "bob", query_id) == {"cat-feeding": 0.0}
    say(shared, "bob", query_id, "cat-feeding", None)
    assert (is_hidden(shared, "bob", query_id), seen(shared, "bob", query_id)) == (True, {})
    say(shared, "ann", query_id, "dog-illness", None)  # what somebody learned from it may be kept elsewhere
    assert is_hidden(shared, "eve", query_id)


def test_references_are_seen_until_a_query_is_begun_and_once_it_is_finished(shared: Desk) -> None:
    query_id = shared.query_id("cat-vet")
    offer(shared, query_id, "cat-illness", "cat-feeding")
    bring_reference(shared, query_id, "cat-illness", 1.0)
    assert not is_hidden(shared, "bob", query_id)
    say(shared, "bob", query_id, "cat-feeding", 0.0)
    assert (is_hidden(shared, "bob", query_id), seen(shared, "bob", query_id)) == (True, {"cat-feeding": 0.0})
    assert seen(shared, "ann", query_id) == {"cat-illness": 1.0}  # beside marks of bob that she does not see
    assert is_hidden(shared, "ann", query_id)
    say(shared, "bob", query_id, "cat-illness", 0.0)
    assert seen(shared, "bob", query_id) == {"cat-feeding": 0.0, "cat-illness": 0.0}


def test_a_visitor_is_hidden_what_signing_in_would_let_them_judge(shared: Desk) -> None:
    query_id = shared.query_id("cat-vet")
    say(shared, "ann", query_id, "cat-illness", 1.0)
    space = Settings(data_dir=shared.workspace.folder, device="cpu", space_id="host/era", oauth_client_id="id")
    shared.workspace.settings = space
    assert is_hidden(shared, None, query_id)
    shared.workspace.settings = space.model_copy(update={"oauth_client_id": None})  # nobody can sign in there
    assert not is_hidden(shared, None, query_id)


def test_who_is_alone_sees_the_marks_of_people_that_a_file_brought(desk: Desk) -> None:
    query_id = desk.query_id("cat-vet")
    say(desk, "bob", query_id, "cat-illness", 1.0)
    assert is_hidden(desk, "ann", query_id)  # a colleague at the same machine
    other = desk.query_id("dog-vet")
    with desk.workspace.writing() as session:
        query = storage.queries.get(session, other)
        mark = NewJudgment(
            desk.label_set_id, other, query.instruction_id, "dog-illness", "0" * 64, "bob", 1.0, "import-1-x", 1
        )
        storage.judgments.append(session, mark)
    assert not is_hidden(desk, "ann", other)
    offer(desk, other, "seal-feeding")
    say(desk, "ann", other, "dog-feeding", 0.0)
    assert seen(desk, "ann", other) == {"dog-feeding": 0.0}


# --- every screen and every file


@pytest.fixture
def judged(shared: Desk) -> Desk:
    """Two are to judge each document: ann has judged four queries, bob the first; of the second he took all back."""
    with_setup(shared, n_judges=2)
    for public_id in ("cat-vet", "dog-vet", "dog-owner", "wren-vet"):
        query_id, animal = shared.query_id(public_id), public_id.split("-")[0]
        relevant = f"{animal}-{'feeding' if public_id.endswith('owner') else 'illness'}"
        offer(shared, query_id, relevant, "moth-feeding")
        say(shared, "ann", query_id, relevant, 1.0, note="ann's own words")
        say(shared, "ann", query_id, "moth-feeding", 0.0)
    say(shared, "bob", shared.query_id("cat-vet"), "cat-illness", 1.0)
    say(shared, "bob", shared.query_id("cat-vet"), "moth-feeding", 0.0)
    say(shared, "bob", shared.query_id("dog-vet"), "moth-feeding", 1.0)
    say(shared, "bob", shared.query_id("dog-vet"), "moth-feeding", None)
    return shared


def view_of(desk: Desk, public_id: str = "dog-vet", **more: Any) -> ComparisonView:
    sides = more.pop("sides", ("light", "aligned"))
    return ComparisonView(
        desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), desk.query_id(public_id), **more
    )


def closed_to(desk: Desk, author: str | None) -> frozenset[int]:
    with desk.workspace.reading() as session:
        ids = [query.id for query in storage.queries.list_all(session, desk.collection.id)]
    return hidden_queries(desk.workspace, author, desk.collection.id, desk.label_set_id, ids)


def test_bob_may_still_judge_three_of_four(judged: Desk) -> None:
    assert closed_to(judged, "bob") == {judged.query_id(each) for each in ("dog-vet", "dog-owner", "wren-vet")}
    assert closed_to(judged, "ann") == set()


def test_compare_shows_one_query_without_what_others_say(judged: Desk) -> None:
    for public_id, grades, shown in (("dog-vet", {None}, "own"), ("dog-owner", {None}, "imported")):
        one = compare_query(judged.workspace, "bob", view_of(judged, public_id))
        assert {row.grade for side in one.sides for row in side.results} == grades
        assert (one.shown, [side.measures for side in one.sides]) == (shown, [{}, {}])
    assert compare_query(judged.workspace, "bob", view_of(judged, "cat-vet")).shown == "all"
    of_ann = compare_query(judged.workspace, "ann", view_of(judged))
    assert (of_ann.shown, {row.grade for row in of_ann.sides[0].results}) == ("all", {None, 0.0, 1.0})


def test_an_in_sample_ranking_tells_nothing_of_a_hidden_query(judged: Desk) -> None:
    run = judged.train()
    view = view_of(judged, sides=("light", f"run-{run.id}"), is_in_sample=True)
    assert compare_query(judged.workspace, "ann", view).sides[1].origin == "in_sample"
    assert compare_query(judged.workspace, "bob", view).sides[1].origin == "held_out"
    change = why(judged.workspace, "bob", view, "dog-illness").sides[-1].change
    assert change is not None
    parts = change.parts
    assert judged.query_id("dog-vet") not in [part.query.id for part in parts]
    assert [part.marks for part in parts if part.query.id != judged.query_id("cat-vet")] == [()] * (
        len(parts) - (judged.query_id("cat-vet") in [part.query.id for part in parts])
    )


def test_the_table_of_queries_and_the_report_say_what_they_leave_out(judged: Desk) -> None:
    view, hidden = view_of(judged), closed_to(judged, "bob")
    overall = compare_all(judged.workspace, view)
    assert overall is not None
    labels = side_labels(judged.workspace, view)
    shown = overall_payload(overall, view, labels, hidden)
    told = {each["id"]: each for each in shown["queries"]}
    assert {query_id for query_id, each in told.items() if each["hidden"]} == hidden
    assert all(told[query_id]["relevant"] is told[query_id]["values"] is None for query_id in hidden)
    assert [each["id"] for each in shown["queries"]][1:] == sorted(hidden)  # not by what they gained
    assert shown["hidden_note"].startswith("3 queries count in the means without showing their own numbers")
    table = queries_csv(overall, list(labels.values()), hidden)
    assert table.count(HIDDEN) == 3
    page = report_html(judged.workspace, "bob", view, shown, "animals")
    assert shown["hidden_note"] in page
    assert "dog-illness" not in page


def test_a_kept_comparison_hides_what_was_judged_then(judged: Desk) -> None:
    record = take(judged.workspace, "ann", view_of(judged), "kept")
    for query_id, doc_id in ((judged.query_id("dog-vet"), "dog-illness"), (judged.query_id("dog-vet"), "moth-feeding")):
        say(judged, "ann", query_id, doc_id, None)
    view = snapshot_view(record)
    with zipfile.ZipFile(io.BytesIO(trec_zip(judged.workspace, "bob", view))) as archive:
        qrels, readme = archive.read("qrels.txt").decode(), archive.read("README.txt").decode()
    assert {line.split(" ")[0] for line in qrels.splitlines()} == {"cat-vet"}
    assert left_out(3) in readme
    assert {row.grade for row in compare_query(judged.workspace, "bob", view).sides[0].results} == {None}


@pytest.mark.parametrize("who", ["agreed", EVERYBODY, "ann"])
def test_judgments_taken_out_are_those_of_queries_that_are_done(judged: Desk, who: str) -> None:
    made = export_judgments(judged.workspace, "bob", judged.label_set_id, "jsonl", who, with_notes=True)
    assert isinstance(made.content, bytes)
    assert {json.loads(line)["query_id"] for line in made.content.decode().splitlines()} == {"cat-vet"}
    assert made.remarks[0] == left_out(3)


def test_a_collection_taken_out_leaves_out_what_others_judged(judged: Desk) -> None:
    made = export_collection(judged.workspace, "bob", judged.collection.id, judged.label_set_id)
    assert made.remarks == (left_out(3),)
    assert isinstance(made.content, Path)
    with zipfile.ZipFile(made.content) as archive:
        [qrels] = [archive.read(name).decode() for name in archive.namelist() if name.endswith("qrels.tsv")]
    assert {line.split("\t")[0] for line in qrels.splitlines()} == {"cat-vet"}


def test_triplets_leave_out_what_others_judged(judged: Desk) -> None:
    made = export_triplets(judged.workspace, "bob", judged.label_set_id)
    assert isinstance(made.content, bytes)
    assert {json.loads(line)["positive"] for line in made.content.decode().splitlines()} == {"cat\nillness"}
    assert left_out(3) in made.remarks


def test_triplets_say_so_where_everything_is_left_out(shared: Desk) -> None:
    say(shared, "ann", shared.query_id("cat-vet"), "cat-illness", 1.0)
    with pytest.raises(InvalidInputError, match="Left out: 1 query that you may still judge"):
        export_triplets(shared.workspace, "bob", shared.label_set_id)


def test_a_training_run_tells_no_marks_that_are_hidden(judged: Desk) -> None:
    run, hidden = judged.train(), closed_to(judged, "bob")
    found = explain.details(judged.workspace, "bob", run.id)
    assert {taught.query.id for taught in found.queries if taught.is_hidden} == hidden
    with pytest.raises(NotFoundError, match="stay hidden"):
        explain.snapshot_marks(judged.workspace, "bob", run.id, judged.query_id("dog-owner"))
    say(judged, "ann", judged.query_id("dog-owner"), "dog-feeding", 0.0)
    changes = changes_between(judged.workspace, "bob", run.id, None)
    assert (changes.n_hidden, changes.n_changed, changes.queries) == (1, 0, [])
    made = export_adapter(judged.workspace, "bob", run.id)
    assert isinstance(made.content, Path)
    with zipfile.ZipFile(made.content) as archive:
        about = json.loads(archive.read("adapter.json"))
    assert set(about["provenance"]["label_snapshot"]) == {str(judged.query_id("cat-vet"))}
    assert made.remarks == (left_out(3),)


def test_lists_and_tables_count_nothing_that_is_hidden(judged: Desk) -> None:
    say(judged, "eve", judged.query_id("dog-vet"), "dog-illness", 0.0)
    listed = [line.progress for line in list_lines(judged.workspace, judged.page, "bob")]
    lines = {progress.query.public_id: progress.standing for progress in listed}
    assert [lines[each].n_relevant for each in ("cat-vet", "dog-vet", "dog-owner")] == [1, 0, 0]
    assert [lines[each].n_conflicts for each in ("cat-vet", "dog-vet")] == [0, 0]
    people = people_of(judged.workspace, "bob", judged.collection.id, judged.label_set_id)
    assert [(each.author, each.counts.n_graded, each.share_relevant) for each in people.work] == [
        ("ann", 8, 0.5), ("bob", 2, 0.5), ("eve", 1, None),
    ]  # fmt: skip
    assert (people.n_conflicts, people.n_hidden) == (0, 3)
    assert list(people.pairs) == [PairAgreement("ann", "bob", 2, 1.0)]
