import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.io import json_rows
from era.io.files import Entry, Meter
from era.io.json_rows import JsonRows
from era.io.opening import open_source, preview
from era.types import Document, Query
from tests.era.io.writing_files import documents_of, write, write_jsonl

TWO = [Document("a", "First", "one, two"), Document("b", "", 'say "three"')]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", 'id,title,text\na,First,"one, two"\nb,,"say ""three"""\n'),
        ("x.csv", 'id;title;text\r\na;First;one, two\r\n\r\nb;;"say ""three"""\r\n'),
        ("x.csv", 'text|id|title\rone, two|a|First\r"say ""three"""|b|\r'),
        ("x.tsv", 'id\ttitle\ttext\na\tFirst\tone, two\nb\t\tsay "three"\n'),
        ("x.jsonl", '{"id": "a", "title": "First", "text": "one, two"}\n\n{"id": "b", "text": "say \\"three\\""}\n'),
        ("x.json", '[{"id": "a", "title": "First", "text": "one, two"},\n {"id": "b", "text": "say \\"three\\""}]'),
        (
            "x.json",
            '{"n": 2, "all": [\n{"id": "a", "title": "First", "text": "one, two"},\n'
            '{"id": "b", "text": "say \\"three\\""}]}',
        ),
        (
            "x.json",
            '{"docs": [{"id": "a", "title": "First", "text": "one, two"}, {"id": "b", "text": "say \\"three\\""}]}',
        ),
    ],
)
def test_the_same_documents_are_read_from_every_text_table(tmp_path: Path, name: str, text: str) -> None:
    source = open_source(write(tmp_path / name, text))
    assert source.format == "table"
    assert source.name == "x"
    assert documents_of(source) == TWO
    assert source.queries() == []
    assert source.qrels() == {}
    assert source.n_bytes_read == source.n_bytes == len(text)


def test_the_same_documents_are_read_from_parquet_excel_and_gzip(tmp_path: Path) -> None:
    import openpyxl
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": "a", "title": "First", "text": "one, two"}, {"id": "b", "title": None, "text": 'say "three"'}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    book = openpyxl.Workbook()
    book.create_sheet("data")
    for row in [["id", "title", "text"], [], ["a", "First", "one, two"], ["b", None, 'say "three"']]:
        book["data"].append(row)
    book.save(tmp_path / "x.xlsx")
    lines = "".join(json.dumps({"_id": d.doc_id, "title": d.title, "text": d.text}) + "\n" for d in TWO)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("x.parquet", "x.xlsx", "x.jsonl.gz"):
        source = open_source(tmp_path / name)
        assert documents_of(source) == TWO, name
        assert source.n_bytes_read == source.n_bytes > 0
        assert source.name == "x"
    assert preview(tmp_path / "x.parquet").n_documents == 2


def test_other_columns_become_facts(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["id", "text", "year", "price", "on", "empty"])
    sheet.append([1.0, "one", 1999.0, 2.5, datetime.datetime(2024, 5, 1), None])
    book.save(tmp_path / "x.xlsx")
    (found,) = open_source(tmp_path / "x.xlsx").documents()
    assert found.document == Document("1", "", "one")
    assert found.metadata == {"year": "1999", "price": "2.5", "on": "2024-05-01"}

    row: dict[str, Any] = {
        "id": 7,
        "text": "t",
        "tags": ["x", "y"],
        "nested": {"a": 1},
        "metadata": {"url": "u", "n": 3},
    }
    (found,) = open_source(write_jsonl(tmp_path / "y.jsonl", [row])).documents()
    assert found.document.doc_id == "7"
    assert found.metadata == {"tags": "x, y", "url": "u", "n": "3"}


def test_facts_that_are_long_or_many_are_cut_and_counted(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "t", **{f"f{i}": "x" for i in range(25)}}, {"id": "b", "text": "t2", "f": "y" * 501}]
    source = open_source(write_jsonl(tmp_path / "x.jsonl", rows))
    first, second = source.documents()
    assert list(first.metadata) == [f"f{i}" for i in range(20)]
    assert second.metadata == {"f": "y" * 500}
    assert [remark for remark in source.remarks if "2 facts were shortened or left out" in remark]


def test_a_mapping_chooses_the_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "nr,name,text,notes\n5,N,T,long notes\n")
    assert preview(file).mapping == {"id": ("nr",), "title": ("name",), "text": ("text",)}
    (found,) = open_source(file, mapping={"id": "nr", "text": "notes", "title": ""}).documents()
    assert found.document == Document("5", "", "long notes")
    assert found.metadata == {"name": "N", "text": "T"}
    with pytest.raises(
        FormatError, match=r'x.csv, column "nope": there is no such column. Found: nr, name, text, notes'
    ):
        open_source(file, mapping={"text": "nope"})
    with pytest.raises(FormatError, match="choose the column that holds the text"):
        open_source(file, mapping={"id": "nr"})
    with pytest.raises(FormatError, match="'body' is no part of a document"):
        open_source(file, mapping={"body": "text", "text": "text"})


def test_without_usual_names_the_longest_column_is_the_text_and_rows_are_numbered(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "x.csv", "wo,was\nhier,ein langer Text\ndort,noch ein langer\n"))
    assert [(d.document, dict(d.metadata)) for d in source.documents()] == [
        (Document("1", "", "ein langer Text"), {"wo": "hier"}),
        (Document("2", "", "noch ein langer"), {"wo": "dort"}),
    ]
    assert source.remarks == [
        "There is no column of ids, so the documents are numbered.",
        "The first line of x.csv is read as the names of its columns: wo, was.",
        "Columns read: text: was. Only shown: wo.",
    ]


def test_a_table_without_header_is_told_by_its_first_line(tmp_path: Path) -> None:
    long = "a passage that is far too long to be the name of a column, as everybody can see"
    source = open_source(write(tmp_path / "x.tsv", f'17\t{long}\n18\t"quoted" and more\n'))
    assert [d.text for d in documents_of(source)] == [long, '"quoted" and more']
    assert "The first line of x.tsv is no header; its columns are numbered." in source.remarks


def test_several_tables_of_a_folder_are_read_together(tmp_path: Path) -> None:
    write(tmp_path / "part-1.csv", "text\none\n")
    write(tmp_path / "part-2.csv", "text\ntwo\n")
    assert documents_of(open_source(tmp_path)) == [
        Document("part-1.csv#1", "", "one"),
        Document("part-2.csv#1", "", "two"),
    ]


def test_a_table_of_queries_holds_no_documents(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "x.csv", "id,query,instruction,need\nq1,what?,Find it.,All of it\nq2,,,\n"))
    assert documents_of(source) == []
    (found,) = source.queries()
    assert (found.query, found.need) == (Query("q1", "what?", "Find it."), "All of it")
    assert source.remarks == ["1 query without any text was left out: q2."]


def test_empty_and_repeated_documents_are_left_out_and_reported(tmp_path: Path) -> None:
    rows = [("a", "one"), ("b", " "), ("a", "one"), ("c", "one"), ("d", "")]
    source = open_source(write_jsonl(tmp_path / "x.jsonl", [{"id": i, "text": t} for i, t in rows]))
    assert [d.doc_id for d in documents_of(source)] == ["a", "c"]
    assert source.remarks == [
        "2 documents without any text were left out: b, d.",
        "1 document that had the same id and text as an earlier one was left out: a.",
        "1 document has the same text as an earlier one with another id; all were kept.",
    ]
    assert [d.doc_id for d in documents_of(source)] == ["a", "c"]  # a second reading starts afresh


@pytest.mark.parametrize(
    ("name", "text", "message", "line", "column"),
    [
        ("x.csv", "id,text\na,one\nb,two,three\n", "3 cells, but the header has 2", 3, None),
        ("x.csv", 'id,text\na,one\n\nb,"two\nand on\n', "the row that begins here do not match", 4, None),
        ("x.csv", "id,text\na,one\n,two\n", "expected an id", 3, "id"),
        ("x.csv", "id,text,id\na,one,b\n", "more than one column has this name", 1, "id"),
        ("x.csv", "id,text\na,\nb,\n", "there is no document with any text", None, None),
        ("x.jsonl", '{"id": "a", "text": "one"}\n{"id": "b", "text": \n', "this is not JSON", 2, None),
        ("x.jsonl", '{"id": "a", "text": "one"}\n[1]\n', "expected an object such as", 2, None),
        ("x.jsonl", '{"id": "a", "text": "one"}\n{"id": "b", "text": {"a": 1}}\n', "expected a text", 2, "text"),
        ("x.jsonl", '{"id": "a", "text": "one"}\n{"id": null, "text": "two"}\n', "expected an id", 2, "id"),
        ("x.jsonl", '{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n', "was used in line 1 already", 2, None),
        ("x.json", '[{"id": "a", "text": "one"},\n{"id": "b",\n"text": oops}]', "this is not JSON", 3, None),
        ("x.json", '[{"id": "a", "text": "one"}\n{"id": "b"}]', "expected a comma or the end", 2, None),
        ("x.json", '[{"id": "a", "text": "one"},\n', "does not end with ]", 2, None),
        ("x.json", '[{"id": "a", "text": "one"}]\n]', "after the end of the list", 1, None),
        ("x.jsonl", "[" * 100_000, "too deeply nested", 1, None),
        ("x.parquet", "no", "not a Parquet file", None, None),
        ("x.xlsx", "no", "not an Excel workbook", None, None),
        ("x.xls", "no", "Save it as .xlsx or CSV", None, None),
        ("x.png", "no\0", "nothing here can be read", None, None),
    ],
)
def test_errors_name_the_place(
    tmp_path: Path, name: str, text: str, message: str, line: int | None, column: str | None
) -> None:
    file = write(tmp_path / name, text)
    with pytest.raises(FormatError) as caught:
        list(open_source(file).documents())
    error = caught.value
    assert message in str(error)
    assert str(error).startswith(name)
    assert (error.file, error.line, error.column) == (name, line, column)


def test_errors_of_a_spreadsheet_name_the_row(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [["id", "text"], ["a", "one"], [2.5, "two"]]:
        book.worksheets[0].append(row)
    book.save(tmp_path / "x.xlsx")
    with pytest.raises(FormatError, match=r'x.xlsx, row 3, column "id": expected an id'):
        list(open_source(tmp_path / "x.xlsx").documents())


def test_half_characters_and_zeros_become_something_that_can_be_stored(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", '{"id": "a", "text": "x\\ud800y\\u0000z \\ud83d\\ude00"}\n')
    assert documents_of(open_source(file)) == [Document("a", "", "x\ufffdy\ufffdz \U0001f600")]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=4), max_size=6), indent=st.sampled_from([None, 1])
)
def test_a_list_read_in_small_pieces_is_what_json_reads(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], indent: int | None
) -> None:
    text = "[" + ",\n".join(json.dumps(row, indent=indent, ensure_ascii=len(rows) % 2 == 0) for row in rows) + "]"
    file = write(tmp_path_factory.getbasetemp() / "pieces.json", text)
    before, json_rows._BLOCK = json_rows._BLOCK, 3
    try:
        found = list(JsonRows(Entry(file.name, file)).rows(Meter()))
    finally:
        json_rows._BLOCK = before
    assert [row for _, row in found] == json.loads(text)
    starts = [1 + sum(1 + json.dumps(row, indent=indent).count("\n") for row in rows[:i]) for i in range(len(rows))]
    assert [line for line, _ in found] == starts
