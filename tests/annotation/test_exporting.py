"""Files to take along: what a spreadsheet opens, and runs that trec_eval measures as the screen does."""

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval

from annotation.comparing.export import queries_csv, trec_zip
from annotation.comparing.measure import compare_all
from annotation.comparing.rank import rank_queries
from annotation.comparing.snapshot import snapshot_view, take
from annotation.comparing.view import ComparisonView, read_view
from annotation.judging.queries import query_names
from annotation.judging.setup import left_out
from annotation.ranking.rankers import LIGHT, RankingKey
from annotation.transfer.judgments import import_judgments
from annotation.transfer.run_imports import import_run
from annotation.ui.payloads.comparing import snapshots_panel
from era.types import Document
from tests.worlds.desk import Desk, new_desk, small_world, swapped_topics
from tests.worlds.judging import begin
from tests.worlds.words import DOCUMENTS, GRADED_TEXT, QRELS


@pytest.fixture
def view(judged_desk: Desk) -> ComparisonView:
    """The light model against a run that exchanges the topics."""
    run = judged_desk.finish_by_hand(swapped_topics())
    return read_view(judged_desk.workspace, judged_desk.page, f"light~run-{run.id}", None, "nDCG@10 RR")


def unzipped(packed: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def trec_measures(qrels: str, run: str, measure: str) -> dict[str, float]:
    """Return what trec_eval says of a run file and a qrels file; `ndcg_cut.10` is asked for as it is named there."""
    evaluator = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(io.StringIO(qrels)), {measure})
    values = evaluator.evaluate(pytrec_eval.parse_run(io.StringIO(run)))
    return {query_id: by_measure[measure.replace(".", "_")] for query_id, by_measure in values.items()}


def test_trec_eval_measures_the_exported_runs_as_the_screen_does(judged_desk: Desk, view: ComparisonView) -> None:
    judged_desk.mark(judged_desk.ask(GRADED_TEXT), "dog-illness", 1.0, 1)
    overall = compare_all(judged_desk.workspace, view)
    assert overall is not None
    files = unzipped(trec_zip(judged_desk.workspace, "ann", view))
    names = ["1-light.run", f"2-{view.sides[1]}.run"]
    names_of = query_names([change.query for change in overall.queries])
    assert set(files) == {*names, "qrels.txt", "queries.jsonl", "README.txt"}
    for measure, trec_name in (("nDCG@10", "ndcg_cut.10"), ("RR", "recip_rank")):
        for side, name in enumerate(names):
            found = trec_measures(files["qrels.txt"], files[name], trec_name)
            shown = {names_of[change.query.id]: change.values[measure][side] for change in overall.queries}
            assert found == pytest.approx(shown, abs=1e-6)
            assert len(found) == 13


def test_queries_keep_the_ids_of_their_file_where_all_have_one(judged_desk: Desk, view: ComparisonView) -> None:
    files = unzipped(trec_zip(judged_desk.workspace, "ann", view))
    assert {line.split(" ")[0] for line in files["qrels.txt"].splitlines()} == set(QRELS)
    assert '{"id": "cat-vet", "text": "cat", "instruction": "vet"}\n' in files["queries.jsonl"]
    assert len(files["1-light.run"].splitlines()) == 12 * 16


def test_the_readme_says_what_each_file_is(judged_desk: Desk, view: ComparisonView) -> None:
    view = replace(view, sides=(*view.sides, LIGHT.with_words()), threshold=1.0)
    readme = unzipped(trec_zip(judged_desk.workspace, "ann", view))["README.txt"]
    assert "1-light.run: light model alone" in readme
    assert "2-run-1.run: after your marks (run 1), vectors alone" in readme
    assert "3-light-words.run: light model + matching words" in readme
    assert "Relevant from grade 1 on." in readme
    assert "In 1-light.run, 2-run-1.run, 3-light-words.run, queries that a training run learned" in readme
    assert "adapters that had not seen their labels" in readme
    assert "(in sample)" not in readme
    assert "Left out" not in readme
    in_sample = unzipped(trec_zip(judged_desk.workspace, "ann", replace(view, is_in_sample=True)))["README.txt"]
    assert "(in sample)" in in_sample


def test_the_readme_calls_in_sample_what_was_kept_so_whatever_is_switched_on_now(
    judged_desk: Desk, view: ComparisonView
) -> None:
    honest = snapshot_view(take(judged_desk.workspace, "ann", view, "honest"))
    flattered = snapshot_view(take(judged_desk.workspace, "ann", replace(view, is_in_sample=True), "flattered"))
    for is_in_sample in (False, True):
        switched = replace(honest, is_in_sample=is_in_sample)
        readme = unzipped(trec_zip(judged_desk.workspace, "ann", switched))["README.txt"]
        assert "ranked by adapters that had not seen their labels" in readme
        assert "(in sample)" not in readme
        switched = replace(flattered, is_in_sample=is_in_sample)
        readme = unzipped(trec_zip(judged_desk.workspace, "ann", switched))["README.txt"]
        assert "ranked by the adapter that learned from them (in sample)" in readme
        assert "had not seen" not in readme
    mixed = replace(view, sides=(honest.sides[1], flattered.sides[1]))
    lines = unzipped(trec_zip(judged_desk.workspace, "ann", mixed))["README.txt"].splitlines()
    assert f"In 1-{honest.sides[1]}.run, queries that a training run learned from are ranked by adapters" in lines[6]
    assert f"In 2-{flattered.sides[1]}.run, queries that a training run learned from are ranked by the" in lines[7]


def test_qrels_leave_out_what_whoever_asks_is_still_judging(judged_desk: Desk, view: ComparisonView) -> None:
    begin(judged_desk, "ben", judged_desk.query_id("cat-vet"))
    for each in (view, snapshot_view(take(judged_desk.workspace, "ann", view, "then"))):
        files = unzipped(trec_zip(judged_desk.workspace, "ben", each))
        assert {line.split(" ")[0] for line in files["qrels.txt"].splitlines()} == QRELS.keys() - {"cat-vet"}
        assert f"In qrels.txt: {left_out(1)}" in files["README.txt"]
        assert '{"id": "cat-vet", "text": "cat", "instruction": "vet"}\n' in files["queries.jsonl"]
        assert "cat-vet Q0 " in files[next(iter(files))]
        everything = unzipped(trec_zip(judged_desk.workspace, None, each))  # where nobody can sign in
        assert "cat-vet 0 cat-illness 1\n" in everything["qrels.txt"]
        assert "Left out" not in everything["README.txt"]


def test_a_snapshot_is_exported_with_the_judgments_of_then(judged_desk: Desk, view: ComparisonView) -> None:
    before = unzipped(trec_zip(judged_desk.workspace, "ann", view))
    record = take(judged_desk.workspace, "ann", view, "then")
    judged_desk.mark(judged_desk.query_id("cat-vet"), "wren-illness", 1.0, 1)
    judged_desk.mark(judged_desk.ask(GRADED_TEXT), "dog-illness", 1.0, 2)
    after = unzipped(trec_zip(judged_desk.workspace, "ann", snapshot_view(record)))
    assert after["qrels.txt"] == before["qrels.txt"]
    assert after["1-" + f"snap-{record.slug}-0.run"].replace(f"snap-{record.slug}-0", "light") == before["1-light.run"]
    assert unzipped(trec_zip(judged_desk.workspace, "ann", view))["qrels.txt"] != before["qrels.txt"]


def test_files_come_in_again_for_the_same_queries(judged_desk: Desk, view: ComparisonView, tmp_path: Path) -> None:
    desk = judged_desk
    own = desk.ask(GRADED_TEXT)  # a query without an id of its own
    desk.mark(own, "dog-illness", 1.0, 1)
    files = unzipped(trec_zip(desk.workspace, "ann", replace(view, is_in_sample=True)))
    for name in ("1-light.run", "qrels.txt"):
        (tmp_path / name).write_text(files[name])
    found = import_run(desk.workspace, "ann", desk.collection.id, desk.label_set_id, tmp_path / "1-light.run")
    assert (found.n_queries, found.remarks) == (13, ())
    opened = desk.workspace.open(desk.collection.id)
    queries = [desk.query(own), desk.query(desk.query_id("cat-vet"))]
    after = rank_queries(desk.workspace, opened, found.ranker.key, queries)
    before = rank_queries(desk.workspace, opened, LIGHT, queries)
    for query in queries:
        found_ids = [doc.doc_id for doc in after[query.id].ranking]
        assert found_ids == [doc.doc_id for doc in before[query.id].ranking[: len(found_ids)]]
    came = import_judgments(desk.workspace, "ann", desk.label_set_id, tmp_path / "qrels.txt")
    assert (came.n_queries_added, came.remarks) == (0, ())


def test_run_that_had_learned_from_its_queries_says_so_when_it_comes_in_again(
    judged_desk: Desk, view: ComparisonView, tmp_path: Path
) -> None:
    desk = judged_desk
    index = desk.workspace.open(desk.collection.id).index
    vectors = {desk.query_id("cat-vet"): np.asarray(index.vectors(["moth-feeding"])[0])}
    run = desk.finish_by_hand(swapped_topics(), vectors)
    seen = replace(view, sides=(LIGHT, RankingKey.of_run(run.id)), is_in_sample=True)
    files = unzipped(trec_zip(desk.workspace, "ann", seen))
    path = tmp_path / "learned.run"
    path.write_text(files[f"2-run-{run.id}.run"])
    found = import_run(desk.workspace, "ann", desk.collection.id, desk.label_set_id, path)
    [line] = snapshots_panel([found.record], [])["list"]
    assert "It had learned from them (in sample)." in line["summary"]
    query = desk.query(desk.query_id("cat-vet"))
    opened = desk.workspace.open(desk.collection.id)
    assert rank_queries(desk.workspace, opened, found.ranker.key, [query])[query.id].is_flattered
    path.write_text(files["1-light.run"])
    honest = import_run(desk.workspace, "ann", desk.collection.id, desk.label_set_id, path)
    assert not rank_queries(desk.workspace, opened, honest.ranker.key, [query])[query.id].is_flattered


def test_queries_csv_has_a_line_for_each_query_and_a_column_for_each_measure_and_side(
    judged_desk: Desk, view: ComparisonView
) -> None:
    overall = compare_all(judged_desk.workspace, view)
    assert overall is not None
    text = queries_csv(overall, ["light", "run 1"], ())
    header, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert header == [
        "query id", "query", "instruction", "part", "relevant",
        "nDCG@10: light", "nDCG@10: run 1", "RR: light", "RR: run 1",
    ]  # fmt: skip
    assert len(rows) == 12
    by_id = {row[0]: row for row in rows}
    assert by_id.keys() == QRELS.keys()
    [change] = [each for each in overall.queries if each.query.public_id == "dog-owner"]
    assert by_id["dog-owner"][1:5] == ["dog", "owner", "unseen", "1"]
    assert [float(cell) for cell in by_id["dog-owner"][5:]] == [*change.values["nDCG@10"], *change.values["RR"]]


def test_queries_csv_keeps_a_hidden_query_without_its_numbers_at_the_end(
    judged_desk: Desk, view: ComparisonView
) -> None:
    overall = compare_all(judged_desk.workspace, view)
    assert overall is not None
    first = overall.queries[0].query
    text = queries_csv(overall, ["light", "run 1"], {first.id})
    _, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert rows[-1] == [first.public_id, first.text, first.instruction, "unseen", "hidden until you have finished it"]
    assert len(rows) == 12
    assert {len(row) for row in rows[:-1]} == {9}


def test_runs_of_documents_with_odd_ids_are_read_back_by_trec_eval(data_dir: Path) -> None:
    odd = [Document(f"no {number} %", each.title, each.text) for number, each in enumerate(DOCUMENTS)]
    place = [each.doc_id for each in DOCUMENTS].index("cat-illness")
    desk = new_desk(data_dir, small_world(qrels={"cat-vet": {odd[place].doc_id: 1.0}}, documents=odd))
    view = read_view(desk.workspace, desk.page, "light~aligned", None, "nDCG@10")
    overall = compare_all(desk.workspace, view)
    files = unzipped(trec_zip(desk.workspace, "ann", view))
    assert overall is not None
    for side, name in enumerate(("1-light.run", "2-aligned.run")):
        found = trec_measures(files["qrels.txt"], files[name], "ndcg_cut.10")
        assert found == {"cat-vet": pytest.approx(overall.queries[0].values["nDCG@10"][side])}
    desk.workspace.close()
