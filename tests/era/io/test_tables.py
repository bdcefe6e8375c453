import csv
import datetime
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.io import json_rows
from era.io.files import Entry, Meter
from era.io.json_rows import JsonRows
from era.io.opening import Choices, open_source, preview
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
        "Of x.csv, the models read was as the text. Only shown: wo.",
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


def test_every_row_tells_the_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": f"d{n}", "text": f"text {n}"} for n in range(60)]
    file = write_jsonl(
        tmp_path / "x.jsonl",
        [*rows, {"id": "late", "year": 1999, "text": "t"}, {"id": "last", "title": "A title", "text": "u"}],
    )
    *_, late, last = open_source(file).documents()
    assert (late.document, dict(late.metadata)) == (Document("late", "", "t"), {"year": "1999"})
    assert last.document == Document("last", "A title", "u")
    seen = preview(file)
    assert (seen.columns, seen.remarks) == (
        ("id", "text", "year", "title"),
        ("Of x.jsonl, the models read title as the title and text as the text. The id is id. Only shown: year.",),
    )


def test_the_longest_column_is_told_by_every_row(tmp_path: Path) -> None:
    rows = [{"a": "short", "b": "a bit longer"} for _ in range(60)] + [{"a": "much longer than all " * 90, "b": "x"}]
    assert preview(write_jsonl(tmp_path / "x.jsonl", rows)).mapping == {"text": ("a",)}


def test_tables_of_a_folder_each_have_columns_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "id,text\n1,one\n")
    write(tmp_path / "b.csv", "nr,headline,body\n2,Two,two\n")
    source = open_source(tmp_path)
    assert documents_of(source) == [Document("1", "", "one"), Document("2", "Two", "two")]
    assert preview(tmp_path).columns == ("id", "text", "nr", "headline", "body")
    with pytest.raises(FormatError, match=r'b.csv, column "text": there is no such column'):
        open_source(tmp_path, mapping={"text": "text"})


def test_what_is_nested_and_left_out_is_said(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": "1", "text": "t", "tags": ["x"], "authors": [{"name": "Ann"}], "more": {"a": 1}}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    for file in (write_jsonl(tmp_path / "x.jsonl", rows), tmp_path / "x.parquet"):
        assert preview(file).remarks == (
            f"Of {file.name}, the models read text as the text. The id is id. Only shown: tags.",
            f"Of {file.name}, lists and objects are left out: authors, more.",
        )


def test_several_columns_can_be_the_text(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.csv", "sku,name,description,brand,price\na1,Kettle,Boils water.,Acme,5\nb2,Cup,,Bolt,6\n"
    )
    mapping = {"id": "sku", "title": ["name"], "text": ["description", "brand"]}
    source = open_source(file, mapping=mapping)
    assert [(d.document, dict(d.metadata)) for d in source.documents()] == [
        (Document("a1", "Kettle", "Boils water.\nAcme"), {"price": "5"}),
        (Document("b2", "Cup", "Bolt"), {"price": "6"}),
    ]
    (said,) = source.remarks
    assert said == (
        "Of x.csv, the models read name as the title and description + brand as the text. "
        "The id is sku. Only shown: price."
    )
    seen = preview(file, mapping={"text": ("name", "brand"), "title": ("sku", "price")})
    assert seen.mapping == {"title": ("sku", "price"), "text": ("name", "brand")}
    assert seen.documents[0].document == Document("1", "a1 5", "Kettle\nAcme")
    with pytest.raises(FormatError, match="one column is the id, and not 2"):
        open_source(file, mapping={"id": ["sku", "name"], "text": "brand"})


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        # a line break inside a quoted cell; names that are not Latin
        (
            "x.csv",
            '番号,見出し,本文\nA0,山,"一行目、\n二行目"\nA1,川,"三行目、\n四行目"\n',
            [("A0", "山", "一行目、\n二行目"), ("A1", "川", "三行目、\n四行目")],
        ),
        ("x.csv", 'ＩＤ;Ｔｅｘｔ\n1;"a, b\nc, d, e"\n2;f, g\n', [("1", "", "a, b\nc, d, e"), ("2", "", "f, g")]),
        ("x.csv", "nr|satz\n1|Hallo; Welt\n2|Ja, gut, oder\n", [("1", "", "Hallo; Welt"), ("2", "", "Ja, gut, oder")]),
        # the delimiter that a spreadsheet program names
        ("x.csv", "\ufeffsep=;\r\nid;text\r\n001;a, b\r\n", [("001", "", "a, b")]),
        ("x.csv", "sep=\t\nid\ttext\n1\ta;b\n", [("1", "", "a;b")]),
        ("x.csv", '"SEP=^"\nid^text\n1^a\n', [("1", "", "a")]),
        # one text a line, with delimiters as text has them
        (
            "x.csv",
            "text\nHello, world.\nYes, fine; or not?\n",
            [("1", "", "Hello, world."), ("2", "", "Yes, fine; or not?")],
        ),
        (
            "x.csv",
            "Hello, world.\nHow are you?\nYes, fine, so far.\n",
            [("1", "", "Hello, world."), ("2", "", "How are you?"), ("3", "", "Yes, fine, so far.")],
        ),
        # apostrophes that are not ours
        ("x.csv", "id,text\n1,'-1' is no limit\n2,'=\n", [("1", "", "'-1' is no limit"), ("2", "", "'=")]),
        # ids are trimmed
        ("x.csv", "id,text\n 1 ,one\n", [("1", "", "one")]),
        ("x.jsonl", '{"id": " 1\\t", "text": "one"}\n', [("1", "", "one")]),
    ],
)
def test_a_dialect_is_told_by_all_rows(tmp_path: Path, name: str, text: str, found: list[tuple[str, str, str]]) -> None:
    assert documents_of(open_source(write(tmp_path / name, text))) == [Document(*each) for each in found]


PLAIN_ROWS = "".join(f"{n}\tplain {n}\n" for n in range(40))


@pytest.mark.parametrize(
    ("rows", "last", "said"),
    [
        ('a\t"Start" of it\nb\t"never closed\nc\tnext\n', ['"Start" of it', '"never closed', "next"], "line 42"),
        ('a\t"one\nb\ttwo\nc\tthree"\n', ['"one', "two", 'three"'], "line 42"),  # these would be one quoted cell
        ('a\t"one"\nb\t"say ""two"""\nc\t"x\ty"\n', ["one", 'say "two"', "x\ty"], ""),
        ('a\t"one\ntwo"\nb\tx\nc\ty\n', ["one\ntwo", "x", "y"], ""),
    ],
)
def test_quotation_marks_of_tsv_are_judged_by_the_whole_file(
    tmp_path: Path, rows: str, last: list[str], said: str
) -> None:
    source = open_source(write(tmp_path / "x.tsv", f"id\ttext\n{PLAIN_ROWS}{rows}"))
    found = documents_of(source)
    assert [d.doc_id for d in found] == [*map(str, range(40)), "a", "b", "c"]
    assert [d.text for d in found[-3:]] == last
    assert [remark for remark in source.remarks if "Quotation marks" in remark and said in remark] == source.remarks
    assert bool(source.remarks) == bool(said)


def test_one_slip_in_a_quoted_tsv_is_told_with_its_line(tmp_path: Path) -> None:
    rows = "".join(f'{n}\t"quoted {n}"\n' for n in range(40))
    with pytest.raises(FormatError, match=r"x.tsv, line 42: the quotation marks of the row that begins here"):
        documents_of(open_source(write(tmp_path / "x.tsv", f'id\ttext\n{rows}40\t"half" quoted\n')))


@pytest.mark.parametrize(
    ("text", "header", "ids", "texts"),
    [
        (
            "B07TH9X\tred kettle\nB07AAAA\tblue kettle\nB07CCCC\tgreen cup\n",
            "no",
            ["B07TH9X", "B07AAAA", "B07CCCC"],
            ["red kettle", "blue kettle", "green cup"],
        ),
        ("0\tcats purr\n1\trivers flow\n", "no", ["0", "1"], ["cats purr", "rivers flow"]),
        (
            "sku\twhat\nB07TH9X\tred kettle\nB07AAAA\tblue kettle\n",
            "yes",
            ["B07TH9X", "B07AAAA"],
            ["red kettle", "blue kettle"],
        ),
        ("red kettle\tkitchen\nblue cup\tkitchen\n", "no", ["1", "2"], ["red kettle", "blue cup"]),
        ("猫が鳴く\t動物\n川が流れる\t自然\n", "no", ["1", "2"], ["猫が鳴く", "川が流れる"]),
        ("title\twhat\nname\tbig dog\ntitle\tred cat\n", "no", ["1", "2", "3"], ["what", "big dog", "red cat"]),
    ],
)
def test_a_first_document_is_never_taken_for_a_header(
    tmp_path: Path, text: str, header: str, ids: list[str], texts: list[str]
) -> None:
    file = write(tmp_path / "x.tsv", text)
    source = open_source(file)
    assert [(d.doc_id, d.text) for d in documents_of(source)] == list(zip(ids, texts, strict=True))
    assert preview(file).header == header
    said = "is read as the names of its columns" if header == "yes" else "is no header; its columns are numbered"
    assert sum(f"The first line of x.tsv {said}" in remark for remark in source.remarks) == 1


def test_a_person_says_whether_there_is_a_header(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "id,text\n1,one\n")
    found = documents_of(open_source(file, choices=Choices(header="no")))
    assert [d.text for d in found] == ["text", "one"]
    file = write(tmp_path / "y.csv", "1,one\n2,two\n")
    found = documents_of(open_source(file, mapping={"text": "one", "id": "1"}, choices=Choices(header="yes")))
    assert found == [Document("2", "", "two")]


@pytest.mark.parametrize(
    ("table", "judged", "ids"),
    [
        ("year,note\n2001,one\n2002,two\n", "2001", ["2001", "2002"]),
        ("text,word\none,alpha\ntwo,beta\n", "beta", ["alpha", "beta"]),  # words are ids where judgments name them
        ("text,word\none,alpha\ntwo,beta\n", "1", ["1", "2"]),
        ("2,ids are twice\n2,two\n", "2", ["1", "2"]),
        ("note,product_id\none,x\ntwo,y\n", "", ["x", "y"]),
        ("note,product_id\none,x\ntwo,x\n", "", ["1", "2"]),
    ],
)
def test_ids_are_found_where_the_file_has_them(tmp_path: Path, table: str, judged: str, ids: list[str]) -> None:
    write(tmp_path / "collection.csv", table)
    write_jsonl(tmp_path / "queries.jsonl", [{"id": "q", "text": "which?"}])
    if judged:
        write(tmp_path / "qrels.tsv", f"q\t{judged}\t1\n")
    source = open_source(tmp_path)
    assert [d.doc_id for d in documents_of(source)] == ids
    assert ("There is no column of ids, so the documents are numbered." in source.remarks) == (ids == ["1", "2"])


ONE = {"id": "1", "text": "main", "authors": [{"name": "Ann"}, {"name": "Bob"}]}
ROWS = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]


@pytest.mark.parametrize(
    ("name", "value", "ids", "said"),
    [
        ("x.jsonl", ONE, ["1"], "Of x.jsonl, lists and objects are left out: authors."),
        ("x.json", ONE, ["1"], "Of x.json, lists and objects are left out: authors."),
        (
            "x.json",
            {"name": "set", "docs": ROWS},
            ["a", "b"],
            'The documents of x.json are its "docs"; not read: name.',
        ),
        ("x.json", {"a": {"text": "one"}, "b": {"text": "two"}}, ["a", "b"], "The names in x.json are read as the ids"),
        ("x.json", {"a": "one", "b": "two"}, ["a", "b"], "The names in x.json are read as the ids of its documents."),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_inside_one_document_is_not_the_documents(
    tmp_path: Path, name: str, value: dict[str, Any], ids: list[str], said: str, indent: int | None
) -> None:
    source = open_source(write(tmp_path / name, json.dumps(value, indent=indent)))
    assert [d.doc_id for d in documents_of(source)] == ids
    assert [remark for remark in source.remarks if remark.startswith(said)]


def test_what_is_wrong_in_a_list_inside_an_object_is_named_by_its_line(tmp_path: Path) -> None:
    rows: list[Any] = [*ROWS, {"id": "c", "text": {"x": 1}}]
    file = write(tmp_path / "x.json", json.dumps({"n": 3, "docs": rows}, indent=1))
    with pytest.raises(FormatError, match=r'x.json, line 12, column "text": expected a text'):
        documents_of(open_source(file))


def test_an_id_used_twice_is_refused_on_one_line_as_well(tmp_path: Path) -> None:
    file = write(tmp_path / "x.json", '[{"id": "1", "text": "a"}, {"id": "2", "text": "b"}, {"id": "1", "text": "c"}]')
    with pytest.raises(
        FormatError, match="line 1: the id '1' was used in line 1 already, by document 1, and this is doc"
    ):
        documents_of(open_source(file))
    same = write(tmp_path / "y.json", '[{"id": "1", "text": "a"}, {"id": "1", "text": "a"}]')
    assert documents_of(open_source(same)) == [Document("1", "", "a")]


def test_lines_with_cells_missing_are_said(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "x.csv", "id,text,year\n1,one,2001\n2,two\n3,three\n"))
    assert [dict(each.metadata) for each in source.documents()] == [{"year": "2001"}, {}, {}]
    assert source.remarks[0] == (
        "In x.csv, 2 lines have fewer cells than there are columns (first: line 3); the missing ones are empty."
    )


OURS = "'\u2060"  # by which this program knows what it wrote before a cell itself; other files hold no such thing
CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12).filter(
    lambda text: not text.startswith(OURS)
)


@settings(deadline=None, max_examples=150)
@given(
    texts=st.lists(st.tuples(CELLS, CELLS.filter(str.strip), CELLS), min_size=1, max_size=5),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_that_goes_out_as_csv_comes_in_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[tuple[str, str, str]],
    delimiter: str,
    quoting: Literal[0, 1, 2],
    end: str,
) -> None:
    """But for TSV of which every line is a whole row as well, where quotation marks are read as they stand."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(["id", "title", "text", "note"])
    writer.writerows((f"d{n}", *each) for n, each in enumerate(texts))
    tabs = {line.count("\t") for line in re.split("\r\n|\r|\n", out.getvalue()) if line.strip()}
    # a carriage return alone is quoted by csv only where it is a part of the line end
    assume("\r" not in out.getvalue().replace(end, "") or quoting == csv.QUOTE_ALL or end == "\r\n")
    assume(delimiter != "\t" or tabs != {3} or not any(set("\r\n") & set("".join(each)) for each in texts))
    file = write(tmp_path_factory.getbasetemp() / "out.csv", out.getvalue())
    found = list(open_source(file).documents())
    assert [(each.document, each.metadata.get("note", "")) for each in found] == [
        (Document(f"d{n}", title, text), note) for n, (title, text, note) in enumerate(texts)
    ]


@settings(deadline=None, max_examples=100)
@given(
    texts=st.lists(st.tuples(CELLS, CELLS.filter(str.strip)), min_size=1, max_size=5),
    shape=st.sampled_from(["lines", "list", "object", "indented"]),
    is_ascii=st.booleans(),
)
def test_any_text_that_goes_out_as_json_comes_in_the_same(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]], shape: str, is_ascii: bool
) -> None:
    documents = [Document(f"d{n}", *each) for n, each in enumerate(texts)]
    rows = [{"id": d.doc_id, "title": d.title, "text": d.text} for d in documents]
    if shape == "lines":
        text = "".join(json.dumps(row, ensure_ascii=is_ascii) + "\n" for row in rows)
    else:
        value = {"docs": rows} if shape == "object" else rows
        text = json.dumps(value, ensure_ascii=is_ascii, indent=2 if shape == "indented" else None)
    file = write(tmp_path_factory.getbasetemp() / f"out.{'jsonl' if shape == 'lines' else 'json'}", text)
    assert documents_of(open_source(file)) == documents


def test_a_carriage_return_alone_ends_no_line_where_line_feeds_do(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", 'id,text\na,"one\rtwo"\nb,one\rtwo\n')
    with pytest.raises(FormatError, match=r"x.csv, line 3: the row that begins here has a line break in it"):
        documents_of(open_source(file))


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
