"""Rankings of any file: ordered by score, whatever divides the lines, and what was decided is said."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.io.runs import RunRead, checked_run, places_of_rows, read_run
from era.io.writing import csv_text, trec_run
from era.types import ScoredDoc


def read(name: str, content: str) -> RunRead:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sent")
        path.write_bytes(content.encode())
        return read_run(path, name)


EXPECTED = {"q1": [ScoredDoc("c", 2.0), ScoredDoc("b", 0.5), ScoredDoc("a", 0.5)], "q2": [ScoredDoc("a", -1000.0)]}


@pytest.mark.parametrize(
    ("name", "content", "tag"),
    [
        ("x.run", "q1 Q0 c 1 2 t\nq1 Q0 b 2 .5 t\nq1 Q0 a 3 0.5 t\n\nq2 Q0 a 1 -1e3 t\n", "t"),
        ("x", "q1\tQ0 c\t1 2\tt\r\n q1 Q0 a 3 0.5 t\nq1\tQ0\tb\t2\t0.5\tt\nq2 Q0 a 1 -1E+3 t", "t"),
        ("x.csv", "query_id,doc_id,rank,score\nq1,c,1,2\nq1,b,2,0.5\nq1,a,3,0.5\nq2,a,1,-1000\n", ""),
        ("x.tsv", "score\tdocid\tqid\n2\tc\tq1\n0.5\tb\tq1\n0.5\ta\tq1\n-1000\ta\tq2\n", ""),
        ("x.json", '{"q1": {"c": 2, "b": 0.5, "a": 0.5}, "q2": {"a": -1000}}', ""),
    ],
)
def test_a_run_is_ordered_by_score_and_equal_scores_by_rank(name: str, content: str, tag: str) -> None:
    assert read(name, content) == RunRead(EXPECTED, tag, ())


def test_tabs_divide_where_ids_have_blanks() -> None:
    assert read("x.run", "q 1\tQ0\tc d\t9\t2\tmy tag\n").run == {"q 1": [ScoredDoc("c d", 2.0)]}


def test_ranks_that_say_another_order_than_scores_are_told() -> None:
    found = read("x.run", "q1 Q0 a 1 3 t\nq1 Q0 b 2 2 t\nq2 Q0 a 1 1e-05 t\nq2 Q0 b 2 2.5E+01 t\n")
    assert [doc.doc_id for doc in found.run["q2"]] == ["b", "a"]
    assert found.remarks == ("1 query has ranks in another order than scores; the scores count, as for trec_eval: q2.",)


def test_a_document_that_is_ranked_twice_keeps_its_better_place_and_is_told() -> None:
    found = read("x.run", "q1 Q0 a 1 3 t\nq1 Q0 b 2 2 t\nq1 Q0 a 3 1 t\nq2 Q0 a 1 1 t\n")
    assert found.run["q1"] == [ScoredDoc("a", 3.0), ScoredDoc("b", 2.0)]
    assert found.remarks == (
        "1 document is ranked twice for a query; the better place counts. a for q1 (x.run, line 1; x.run, line 3).",
    )


def test_ranks_count_where_there_are_no_scores() -> None:
    found = read("x.csv", "query_id,doc_id,rank\nq,b,2\nq,a,1\n")
    assert found.run == {"q": [ScoredDoc("a", -1.0), ScoredDoc("b", -2.0)]}
    assert found.remarks == ("There are no scores, so the ranks count; each score is the rank with a minus before it.",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.run", "q1 Q0 a 1 0.5\n", "x.run, line 1: expected query id, Q0, document id, rank, score and tag"),
        ("x.run", "q1 Q0 a 1 nan t\n", 'x.run, line 1, column "score": .nan. is not a number'),
        ("x.run", "q1 Q0 a first 1 t\n", 'x.run, line 1, column "rank": .first. is not a number'),
        ("x.csv", "query_id,doc_id\nq,a\n", "x.csv, line 2: expected columns named query_id, doc_id and score or rank"),
        ("x.csv", "query_id,doc_id,score\nq,a,\n", 'x.csv, line 2, column "score": .. is not a number'),
    ],
)
def test_errors_of_a_run_name_the_line(name: str, content: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(name, content)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no such file"):
        read_run(tmp_path / "nowhere")


def test_rows_of_any_origin_are_read_like_those_of_files() -> None:
    rows = [(1, {"qid": 1, "docno": "a", "score": 0.5}), (2, {"qid": 1, "docno": "b", "score": 1})]
    assert checked_run(places_of_rows(rows, "run", "row"), []) == {"1": [ScoredDoc("b", 1.0), ScoredDoc("a", 0.5)]}


ANY_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
IDS = ANY_IDS.map(lambda name: name.replace("\0", "").strip()).filter(bool)
SCORES = st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=1, max_size=6, unique=True).map(
    lambda them: sorted(them, reverse=True)
)


def run_of(rankings: dict[str, list[float]], prefix: str) -> dict[str, list[ScoredDoc]]:
    return {
        query_id: [ScoredDoc(f"{prefix}{place}", score + 0.0) for place, score in enumerate(scores)]
        for query_id, scores in rankings.items()
    }


@settings(deadline=None, max_examples=100)
@given(rankings=st.dictionaries(ANY_IDS, SCORES, max_size=4), prefix=ANY_IDS)
def test_rankings_come_back_with_any_ids(rankings: dict[str, list[float]], prefix: str) -> None:
    run = run_of(rankings, prefix)
    for name in ("x.run", "x.txt", "x"):
        assert read(name, trec_run(run, "a tag")) == RunRead(run, "a-tag" if run else "", ())


@settings(deadline=None, max_examples=60)
@given(rankings=st.dictionaries(IDS, SCORES, min_size=1, max_size=4), prefix=IDS)
def test_rankings_in_tables_come_back(rankings: dict[str, list[float]], prefix: str) -> None:
    run = run_of(rankings, prefix)
    header = ("query_id", "doc_id", "rank", "score")
    rows = [(q, doc.doc_id, n, doc.score) for q, docs in run.items() for n, doc in enumerate(docs, start=1)]
    assert read("x.csv", csv_text(header, rows)).run == run
    lines = (json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in rows)
    assert read("x.jsonl", "\n".join(lines)).run == run
