"""Run files that are brought in: the same ranking again, compared and measured like any other, and deleted."""

from pathlib import Path

import pytest

from annotation.comparing.measure import compare_all
from annotation.comparing.rank import rank_queries
from annotation.comparing.snapshot import drop, find_snapshot, kept_comparison, list_snapshots, snapshot_view
from annotation.comparing.view import ComparisonView
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.ranking.rankers import LIGHT, RankingKey, list_rankers
from annotation.transfer.run_imports import ImportedRun, import_run
from annotation.transfer.runs import export_run
from annotation.ui.payloads.comparing import snapshots_panel
from annotation.ui.payloads.transfer import brought_in_run_payload
from era.errors import FormatError
from tests.worlds.desk import Desk
from tests.worlds.words import QUERIES


def bring_in(desk: Desk, path: Path, author: str | None = "ann") -> ImportedRun:
    return import_run(desk.workspace, author, desk.collection.id, desk.label_set_id, path)


def written(tmp_path: Path, text: str, name: str = "their system.run") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def taken_out(desk: Desk, tmp_path: Path, key: str) -> Path:
    made = export_run(desk.workspace, "ann", desk.collection.id, desk.label_set_id, RankingKey(key))
    assert isinstance(made.content, bytes)
    return written(tmp_path, made.content.decode(), made.name)


def test_run_that_was_taken_out_comes_in_again_as_the_same_ranking(judged_desk: Desk, tmp_path: Path) -> None:
    desk = judged_desk
    found = bring_in(desk, taken_out(desk, tmp_path, "light"))
    assert (found.n_queries, found.remarks) == (len(QUERIES), ())
    opened = desk.workspace.open(desk.collection.id)
    records = [desk.query(desk.query_id(query.query_id)) for query in QUERIES]
    before = rank_queries(desk.workspace, opened, LIGHT, records)
    after = rank_queries(desk.workspace, opened, found.ranker.key, records)
    for record in records:
        assert [doc.doc_id for doc in after[record.id].ranking] == [doc.doc_id for doc in before[record.id].ranking]
        scores = [doc.score for doc in before[record.id].ranking]
        assert [doc.score for doc in after[record.id].ranking] == pytest.approx(scores, abs=1e-5)
    view = ComparisonView(desk.collection.id, desk.label_set_id, (LIGHT, found.ranker.key), None)
    overall = compare_all(desk.workspace, view)
    assert overall is not None
    [part] = overall.parts
    measured = part.differences[0]["nDCG@10"]
    assert (measured.n_better, measured.n_same, measured.n_worse) == (0, len(QUERIES), 0)


def test_it_is_listed_opened_measured_by_the_marks_of_today_and_deleted(judged_desk: Desk, tmp_path: Path) -> None:
    desk = judged_desk
    found = bring_in(desk, written(tmp_path, "cat-vet Q0 moth-feeding 1 2.5 x\ncat-vet Q0 cat-illness 2 1.5 x\n"))
    assert brought_in_run_payload(found)["said"] == (
        "“their system (brought in)” ranks 1 query and can be chosen in Compare now."
    )
    listed = {each.key: each.label for each in list_rankers(desk.workspace, desk.collection.id, is_comparing=True)}
    assert listed[found.ranker.key] == "their system (brought in)"
    record = find_snapshot(desk.workspace, found.record.slug)
    view = snapshot_view(record)
    assert view.sides == ("aligned", found.ranker.key)
    assert kept_comparison(desk.workspace, view) is None
    overall = compare_all(desk.workspace, view)  # two documents deep, whatever the measures look at
    assert overall is not None
    assert [change.query.public_id for change in overall.queries] == ["cat-vet"]
    [line] = snapshots_panel(list_snapshots(desk.workspace, desk.collection.id), [])["list"]
    assert line["summary"].startswith("A ranking of 1 query, brought in on ")
    drop(desk.workspace, "ann", found.record.slug)
    assert list_snapshots(desk.workspace, desk.collection.id) == []


def test_what_the_collection_lacks_is_left_out_and_named(judged_desk: Desk, tmp_path: Path) -> None:
    places = ("nobody Q0 cat-illness 1", "cat-vet Q0 unicorn 1", "cat-vet Q0 cat-illness 2", "dog-vet Q0 yeti 1")
    found = bring_in(judged_desk, written(tmp_path, "".join(f"{place} 2 x\n" for place in places)))
    assert found.n_queries == 2
    assert found.remarks == (
        "Left out: 1 query that this collection does not have (nobody).",
        "Left out: 2 documents that this collection does not have.",
        "For 1 query it ranks no document of this collection, which counts as nothing found.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody Q0 cat-illness 1 2 x\n", "Nothing of this file fits here, so nothing was stored. Left out: 1 query"),
        ("cat-vet Q0 unicorn 1 2 x\n", "Nothing of this file fits here"),
        ("", "Nothing of this file fits here"),
    ],
)
def test_run_of_which_nothing_fits_is_refused(judged_desk: Desk, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        bring_in(judged_desk, written(tmp_path, text))
    assert list_snapshots(judged_desk.workspace, judged_desk.collection.id) == []


def test_query_for_which_only_unknown_documents_are_ranked_counts_as_nothing_found(
    judged_desk: Desk, tmp_path: Path
) -> None:
    desk = judged_desk
    places = ("cat-vet Q0 cat-illness 1", "dog-vet Q0 yeti 1")
    found = bring_in(desk, written(tmp_path, "".join(f"{place} 2 x\n" for place in places)))
    view = ComparisonView(desk.collection.id, desk.label_set_id, (LIGHT, found.ranker.key), None)
    overall = compare_all(desk.workspace, view)
    assert overall is not None
    values = {change.query.public_id: change.values["nDCG@10"][1] for change in overall.queries}
    assert values == {"cat-vet": pytest.approx(1.0), "dog-vet": 0.0}


def test_score_that_no_file_could_hold_again_is_refused(judged_desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="larger than 32 bits"):
        bring_in(judged_desk, written(tmp_path, "cat-vet Q0 cat-illness 1 1e39 x\n"))


def test_line_that_is_no_place_is_named_and_visitors_bring_nothing_in(judged_desk: Desk, tmp_path: Path) -> None:
    path = written(tmp_path, "cat-vet Q0 cat-illness 1 2 x\ncat-vet cat-illness\n")
    with pytest.raises(FormatError, match=r"their system\.run, line 2"):
        bring_in(judged_desk, path)
    with pytest.raises(NotAllowedError, match="Sign in"):
        bring_in(judged_desk, path, author=None)
