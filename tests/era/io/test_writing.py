import csv
import io
import json
import tempfile
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.io.content import SourceDocument, SourceQuery
from era.io.delimited import DelimitedRows
from era.io.files import Entry, Meter
from era.io.opening import open_source
from era.io.runs import read_run
from era.io.writing import collection_folder, csv_text, trec_qrels, trec_run
from era.types import Document, Query, ScoredDoc


def is_filled(row: list[str]) -> bool:
    """Return whether a row is none of those that a table leaves out."""
    return any(map(str.strip, row))


def rows_back(text: str) -> list[list[str]]:
    """Return the rows of a table as they are read, header first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_bytes(text.encode())
        rows = [row for _, row in DelimitedRows(Entry("table.csv", path), "yes").rows(Meter())]
    return [list(rows[0]), *(list(row.values()) for row in rows)] if rows else []


PLAIN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
IDS = PLAIN.map(str.strip).filter(bool)
GRADES = st.floats(0, 10, allow_nan=False) | st.integers(0, 10).map(float)


def test_judgments_are_lines_that_other_tools_read() -> None:
    text = trec_qrels({"q1": {"d1": 2, "a%20b": 0.5}, "q 2": {"d\t50%": 0}})
    assert text == "q1 0 d1 2\nq1 0 a%20b 0.5\nq%202 % d%0950%25 0\n"
    parsed = ir_measures.read_trec_qrels(trec_qrels({"q1": {"d1": 2, "d2": 0}}))  # type: ignore[no-untyped-call]
    read = [(q.query_id, q.doc_id, q.relevance) for q in parsed]
    assert read == [("q1", "d1", 2), ("q1", "d2", 0)]


def test_equal_scores_keep_their_order_also_for_trec_eval(tmp_path: Path) -> None:
    ranking = [ScoredDoc("a", 0.5), ScoredDoc("z", 0.5), ScoredDoc("m", 0.5 - 1e-12), ScoredDoc("b", 0.123456789)]
    text = trec_run({"q1": ranking}, "my tag")
    (tmp_path / "x.run").write_text(text)
    assert [doc.doc_id for doc in read_run(tmp_path / "x.run").run["q1"]] == ["a", "z", "m", "b"]
    lines = [line.split() for line in text.splitlines()]
    assert [(line[0], line[1], line[3], line[5]) for line in lines] == [
        ("q1", "Q0", str(n), "my-tag") for n in range(1, 5)
    ]
    assert [lines[0][4], lines[3][4]] == ["0.5", "0.123456789"]
    falling = [np.float32(line[4]) for line in lines]
    assert falling == sorted(set(falling), reverse=True)
    qrels = list(ir_measures.read_trec_qrels("q1 0 z 1\n"))  # type: ignore[no-untyped-call]
    read = list(ir_measures.read_trec_run(text))  # type: ignore[no-untyped-call]
    assert ir_measures.calc_aggregate([ir_measures.RR], qrels, read) == {ir_measures.RR: 0.5}


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="that 32 bits can hold"):
        trec_run({"q": [ScoredDoc("a", float("nan"))]}, "t")
    with pytest.raises(ValueError, match="finite"):
        trec_qrels({"q": {"a": float("inf")}})
    with pytest.raises(ValueError, match="at least one character"):
        trec_qrels({"": {"a": 1}})


@settings(deadline=None)
@given(rows=st.lists(st.lists(PLAIN, min_size=2, max_size=2).filter(is_filled), min_size=1, max_size=5))
def test_tables_come_back(rows: list[list[str]]) -> None:
    header = ["id", "=b"]
    assert rows_back(csv_text(header, rows)) == [header, *rows]


def test_no_cell_is_a_formula() -> None:
    text = csv_text(["x"], [["=1+1"], ["+1"], ["-1"], ["@a"], ["\ta"], ["'=1"], ["it's"], [-1]])
    cells = [row[0] for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))]
    assert cells == ["x", *(f"'\u2060{cell}" for cell in ("=1+1", "+1", "-1", "@a", "\ta")), "'=1", "it's", "-1"]


@pytest.mark.parametrize(
    "cell",
    [
        "\n=1",
        " =1",
        "\u00a0\t+1",
        "\u3000-1",
        "\u200b@a",
        "\ufeff=1",
        "\x0b\x7f=1",
        "＝1",
        " ＋1",
        "－1",
        "＠a",
        "﹦1",
        "\na",
    ],
)
def test_no_cell_is_a_formula_after_blanks_or_in_another_width(cell: str) -> None:
    written = next(csv.reader(io.StringIO(csv_text([cell], []).removeprefix("\ufeff"), newline="")))
    assert written == [f"'\u2060{cell}"]
    for text in (cell, f"'{cell}", f"'\u2060{cell}", f"'\u2060'\u2060{cell}"):
        assert rows_back(csv_text(["x"], [[text]])) == [["x"], [text]]
    assert csv_text(["a =1", "' a", "−1"], []) == "\ufeffa =1,' a,−1\r\n"


SIGNS = st.text(st.sampled_from("'=+-@＝＋－＠ \t\r\n\u00a0\u200b\ufeffa,\""), max_size=8)


@settings(deadline=None)
@given(rows=st.lists(st.lists(SIGNS | PLAIN, min_size=2, max_size=2).filter(is_filled), min_size=1, max_size=5))
def test_what_was_written_comes_back_whatever_it_begins_with(rows: list[list[str]]) -> None:
    assert rows_back(csv_text(["id", "b"], rows)) == [["id", "b"], *rows]


DOCUMENTS = st.lists(
    st.builds(
        SourceDocument,
        st.builds(Document, IDS, PLAIN, PLAIN.filter(str.strip)),
        st.dictionaries(PLAIN, PLAIN.filter(bool), max_size=3),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda each: each.document.doc_id,
)
QUERIES = st.lists(
    st.builds(SourceQuery, st.builds(Query, IDS, PLAIN.filter(str.strip), PLAIN), PLAIN),
    max_size=4,
    unique_by=lambda each: each.query.query_id,
)


@settings(deadline=None)
@given(documents=DOCUMENTS, queries=QUERIES, grades=st.lists(GRADES, min_size=1))
def test_a_collection_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[SourceDocument],
    queries: list[SourceQuery],
    grades: list[float],
) -> None:
    qrels = {
        query.query.query_id: {each.document.doc_id: grades[(i + j) % len(grades)] for j, each in enumerate(documents)}
        for i, query in enumerate(queries)
    }
    folder = tmp_path_factory.mktemp("collection")
    collection_folder(folder, documents, queries, qrels)
    source = open_source(folder)
    assert source.format == "collection"
    assert list(source.documents()) == documents
    assert source.queries() == queries
    assert source.qrels() == qrels


def test_a_collection_is_written_as_json_lines_and_never_over_another(tmp_path: Path) -> None:
    found = SourceDocument(Document("d", "T", "ü"), {"text": "a fact"})
    collection_folder(tmp_path / "x", iter([found]), [SourceQuery(Query("q", "t", "i"))], {"q": {"d": 1.0}})
    assert json.loads((tmp_path / "x" / "corpus.jsonl").read_text(encoding="utf-8")) == {
        "id": "d",
        "title": "T",
        "text": "ü",
        "metadata": {"text": "a fact"},
    }
    assert (tmp_path / "x" / "qrels.tsv").read_text() == "q\td\t1\n"
    assert sorted(file.name for file in (tmp_path / "x").iterdir()) == ["corpus.jsonl", "qrels.tsv", "queries.jsonl"]
    with pytest.raises(FormatError, match="there is a collection in this folder already"):
        collection_folder(tmp_path / "x", [found], [], {})
