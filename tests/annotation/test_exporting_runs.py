"""Run files of a ranker: read back as they were, measured by trec_eval, honest about what had been learned."""

import io
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval

from annotation.comparing.rank import rank_queries
from annotation.errors import InvalidInputError, NotFoundError
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey
from annotation.transfer.files import ExportFile
from annotation.transfer.runs import export_run
from era.evaluation.measures import evaluate
from era.io.runs import read_run
from tests.worlds.desk import Desk, swapped_topics
from tests.worlds.words import QRELS, QUERIES


def run_of(desk: Desk, key: str, depth: int = 100) -> ExportFile:
    return export_run(desk.workspace, "ann", desk.collection.id, desk.label_set_id, RankingKey(key), depth)


def text_of(made: ExportFile) -> str:
    assert isinstance(made.content, bytes)
    return made.content.decode()


def test_a_run_file_reads_back_as_the_ranking_that_the_app_shows(judged_desk: Desk, tmp_path: Path) -> None:
    made = run_of(judged_desk, "aligned", depth=5)
    path = tmp_path / made.name
    path.write_bytes(made.content if isinstance(made.content, bytes) else b"")
    assert made.name == "animals-aligned.run"
    found = read_run(path).run
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    records = [judged_desk.query(judged_desk.query_id(query.query_id)) for query in QUERIES]
    ranked = rank_queries(judged_desk.workspace, opened, ALIGNED, records, 5)
    assert found.keys() == QRELS.keys()
    for record in records:
        expected = ranked[record.id].ranking
        ranking = found[record.public_id or ""]
        assert [doc.doc_id for doc in ranking] == [doc.doc_id for doc in expected]
        assert [doc.score for doc in ranking] == pytest.approx([doc.score for doc in expected], abs=1e-5)


def test_trec_eval_measures_the_file_as_the_app_does(judged_desk: Desk) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    records = [judged_desk.query(judged_desk.query_id(query.query_id)) for query in QUERIES]
    ranked = rank_queries(judged_desk.workspace, opened, LIGHT, records)
    shown = evaluate(QRELS, {record.public_id or "": ranked[record.id].ranking for record in records})["nDCG@10"]
    evaluator = pytrec_eval.RelevanceEvaluator(
        {query_id: {doc_id: int(grade) for doc_id, grade in judged.items()} for query_id, judged in QRELS.items()},
        {"ndcg_cut.10"},
    )
    values = evaluator.evaluate(pytrec_eval.parse_run(io.StringIO(text_of(run_of(judged_desk, "light")))))
    assert {query_id: each["ndcg_cut_10"] for query_id, each in values.items()} == pytest.approx(shown, abs=1e-6)


def test_what_was_learned_from_is_ranked_by_adapters_that_had_not_seen_it(judged_desk: Desk) -> None:
    query = judged_desk.query_id("cat-vet")
    index = judged_desk.workspace.open(judged_desk.collection.id).index
    run = judged_desk.finish_by_hand(swapped_topics(), {query: np.asarray(index.vectors(["moth-feeding"])[0])})
    made = run_of(judged_desk, f"run-{run.id}")
    lines = [line.split(" ") for line in text_of(made).splitlines()]
    assert {line[5] for line in lines} == {f"run-{run.id}-held-out"}
    assert next(line[2] for line in lines if line[0] == "cat-vet") == "moth-feeding"
    assert made.name == f"animals-run-{run.id}-held-out.run"
    assert "Ranked by adapters that had not seen their labels: 1 query that it learned from." in made.remarks


def test_where_nothing_is_judged_all_queries_are_ranked(desk: Desk) -> None:
    made = run_of(desk, "light", depth=3)
    assert len(text_of(made).splitlines()) == 3 * len(QUERIES)
    desk.mark(desk.query_id("cat-vet"), "cat-illness", 1.0, 1)
    assert {line.split(" ")[0] for line in text_of(run_of(desk, "light")).splitlines()} == {"cat-vet"}


def test_what_cannot_be_ranked_is_refused(desk: Desk) -> None:
    for depth in (0, 1001):
        with pytest.raises(InvalidInputError, match="from 1 to 1,000"):
            run_of(desk, "light", depth)
    for key in ("run-99", "../light", ""):
        with pytest.raises(NotFoundError, match="There is no ranking named"):
            run_of(desk, key)
