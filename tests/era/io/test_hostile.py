"""Files made to do harm, or broken so that they do: each is refused in words or read, and neither takes long."""

import gzip
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pypdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.io import limits
from era.io import text as extracting
from era.io.files import Entry, Meter
from era.io.judgments import read_qrels
from era.io.opening import open_source, preview
from era.io.runs import read_run
from era.io.table import open_rows
from tests.era.io.hostile_files import book, cells, growing_zip, nested_gzips, read_apart
from tests.era.io.writing_files import documents_of, pdf_of, write, write_jsonl

HEADER = cells(1, ["id", "text"])
LAUGHS = "".join(f'<!ENTITY {chr(98 + n)} "{(f"&{chr(97 + n)};") * 10}">' for n in range(9))


@pytest.mark.parametrize(
    ("rows", "refusal"),
    [
        (HEADER + cells(99_999_999_999, ["a", "b"]), "row 99,999,999,999: no sheet has more than 1,048,576 rows."),
        (cells(99_999_999_999, ["id", "text"]), "row 99,999,999,999: no sheet has more than 1,048,576 rows."),
        (HEADER + '<row r="-5"><c><v>1</v></c></row>', "no sheet has more than 1,048,576 rows."),
        (f"<row>{'<c><v>1</v></c>' * 20_000}</row>", "row 1: no sheet has more than 16,384 columns."),
        (HEADER + cells("2" * 5000, ["a", "b"]), "Save it again, or as CSV."),
    ],
    ids=["gap", "far", "negative", "wide", "no number"],
)
def test_a_workbook_that_claims_rows_or_columns_no_sheet_has_is_refused(
    tmp_path: Path, rows: str, refusal: str
) -> None:
    file = book(tmp_path / "x.xlsx", rows)
    assert file.stat().st_size < 5000
    assert refusal in read_apart(file)["refused"]


def test_a_workbook_of_far_more_cells_than_it_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 21))
    file = book(tmp_path / "x.xlsx", far)
    assert len(documents_of(open_source(file))) == 20
    monkeypatch.setattr(limits, "FREE_TO_COMPRESS", 100_000)
    monkeypatch.setattr(limits, "MAX_COMPRESSION", 10)
    with pytest.raises(FormatError, match="row 7: there are more than 100,000 cells up to here, most of them empty"):
        documents_of(open_source(file))


@pytest.mark.parametrize(
    "before",
    ['<!DOCTYPE x [<!ENTITY a "lol">]>', f'<!DOCTYPE x [<!ENTITY a "lol">{LAUGHS}]>', "<!-- a --><!DOCTYPE x>"],
    ids=["entity", "laughs", "declared"],
)
def test_a_workbook_with_xml_entities_is_refused_in_words(tmp_path: Path, before: str) -> None:
    file = book(tmp_path / "x.xlsx", HEADER + cells(2, ["a", "&a;"]), before=before)
    refused = read_apart(file)["refused"]
    assert refused == "x.xlsx: it declares XML entities, which no spreadsheet does. Save it again, or as CSV."


def test_a_workbook_is_read_by_its_cells_and_not_by_the_size_it_claims(tmp_path: Path) -> None:
    rows = HEADER + cells(3, ["a", "first"]) + cells(1_048_576, ["b", "last"])
    file = book(tmp_path / "x.xlsx", rows, dimension='<dimension ref="A1:XFD1048576"/>')
    assert read_apart(file)["n"] == 2
    assert [place for place, _ in open_rows(Entry("x.xlsx", file)).rows(Meter())] == [3, 1_048_576]


@given(
    filled=st.dictionaries(
        st.integers(2, 300), st.dictionaries(st.sampled_from(["id", "text", "more"]), st.text("abc<&", min_size=1))
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_of_a_workbook_are_those_that_were_written_wherever_they_are(
    tmp_path: Path, filled: dict[int, dict[str, str]]
) -> None:
    import openpyxl

    made = openpyxl.Workbook()
    sheet = made.worksheets[0]
    columns = ["id", "text", "more"]
    sheet.append(columns)
    for row, values in filled.items():
        for name, value in values.items():
            sheet.cell(row, columns.index(name) + 1, value)
    made.save(tmp_path / "x.xlsx")
    read = dict(open_rows(Entry("x.xlsx", tmp_path / "x.xlsx")).rows(Meter()))
    assert read == {row: {name: values.get(name) for name in columns} for row, values in filled.items() if values}


def test_a_table_of_many_columns_takes_time_in_proportion_to_them(tmp_path: Path) -> None:
    """Hold that it is read at all: what looks for each name among all others takes ten minutes here."""
    names = ",".join(f"c{n}" for n in range(99_998))
    file = write(tmp_path / "x.csv", f"id,text,{names}\na,first{',x' * 99_998}\n")
    assert read_apart(file)["n"] == 1


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json", "x.xlsx", "x.parquet"])
@pytest.mark.parametrize(
    ("limit", "most", "refusal"),
    [
        ("MAX_ROWS", 3, "there are more than 3 rows. Split the file."),
        ("MAX_COLUMNS", 4, "there are 5 columns; at most 4 can be read. Leave some out."),
        ("MAX_CELLS", 15, "there are more than 15 cells. Leave columns out, or split the file."),
    ],
)
def test_every_table_has_a_most_of_rows_columns_and_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: str, most: int, refusal: str
) -> None:
    file = write_table(
        tmp_path / name, [{"id": f"d{n}", "text": f"t{n}", "a": "x", "b": "y", "c": "z"} for n in range(4)]
    )
    assert len(documents_of(open_source(file))) == 4
    monkeypatch.setattr(limits, limit, most)
    with pytest.raises(FormatError, match=rf"{name}.*{refusal}"):
        documents_of(open_source(file))


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Write a table of the kind that its name says."""
    import openpyxl
    import pyarrow
    import pyarrow.parquet

    columns = list(rows[0])
    if path.suffix == ".csv":
        return write(path, "".join(",".join(line) + "\n" for line in [columns, *([*row.values()] for row in rows)]))
    if path.suffix == ".jsonl":
        return write_jsonl(path, rows)
    if path.suffix == ".json":
        return write(path, json.dumps(rows))
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    made = openpyxl.Workbook()
    for line in [columns, *([*row.values()] for row in rows)]:
        made.worksheets[0].append(line)
    made.save(path)
    return path


LONG, LINES = "x" * 200, "<P>text\n" * 30


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("x.csv", f"id,text\na,b\nc,{LONG}\n", 3),
        ("x.csv", 'id,text\na,b\nc,"' + "x\n" * 100 + '"\n', 3),
        ("x.csv", 'id,text\na,"b\n' + "c,d\n" * 100, 2),
        ("x.tsv", f"id\ttext\na\t{LONG}\n", 2),
        ("x.jsonl", f'{{"id": "a", "text": "b"}}\n{{"id": "c", "text": "{LONG}"}}\n', 2),
        ("x.json", f'[{{"id": "a", "text": "b"}},\n{{"id": "c", "text": "{LONG}"}}]', 2),
        ("x.json", f'[{{"id": "a", "text": "b"}},\n{{"id": "c", "text": "{LONG}', 2),
        ("x.trec", f"<DOC>\n<DOCNO>a</DOCNO>\nb</DOC>\n<DOC>\n{LINES}</DOC>\n", 4),
    ],
)
def test_a_line_a_row_or_a_document_that_never_ends_is_refused_where_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, line: int
) -> None:
    file = write(tmp_path / name, text)
    monkeypatch.setattr(limits, "MAX_CHARACTERS", 100)
    monkeypatch.setattr("era.io.json_rows._BLOCK", 50)
    with pytest.raises(FormatError, match=f"line {line}: what begins here .* 100 characters"):
        documents_of(open_source(file))


@pytest.mark.parametrize(
    ("read", "text"),
    [(read_qrels, f"q 0 d 1\nq 0 {LONG} 1\n"), (read_run, f"q Q0 d 1 0.5 tag\nq Q0 {LONG} 2 0.4 tag\n")],
    ids=["qrels", "run"],
)
def test_lines_of_judgments_and_rankings_have_an_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], text: str
) -> None:
    monkeypatch.setattr(limits, "MAX_CHARACTERS", 100)
    with pytest.raises(FormatError, match="line 2: what begins here goes on for more than 100 characters"):
        read(write(tmp_path / "x.txt", text))


@given(depth=st.integers(1, 5000), opening=st.sampled_from(["[", '{"a":']))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nested_json_is_read_or_refused_in_words(tmp_path: Path, depth: int, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    nested = opening * depth + "1" + closing * depth
    file = write(tmp_path / "x.jsonl", f'{{"id": "a", "text": "b", "more": {nested}}}\n')
    try:
        said = documents_of(open_source(file))[0].text
    except FormatError as error:
        said = str(error)
    refused = "x.jsonl, line 1: what begins here is too deeply nested. Flatten it."
    assert said in (["b"] if depth < 500 else ["b", refused])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", "[" * 1_000_000),
        ("x.jsonl", '{"id": "a", "text": "b", "more": ' + "[" * 1_000_000),
        ("x.json", '{"id": "a", "text": "b", "more": ' + '{"a": ' * 1_000_000),
    ],
)
def test_json_nested_a_million_deep_is_refused_in_words(tmp_path: Path, name: str, text: str) -> None:
    assert read_apart(write(tmp_path / name, text))["refused"].endswith("too deeply nested. Flatten it.")


def test_json_of_one_line_is_read_however_long_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CHARACTERS", 100)
    rows = [{"id": f"d{n}", "text": f"text {n}"} for n in range(50)]
    for whole in (rows, {"documents": rows}):
        assert len(documents_of(open_source(write(tmp_path / "x.json", json.dumps(whole))))) == 50
    monkeypatch.setattr(limits, "MAX_WHOLE_JSON", 1000)
    with pytest.raises(FormatError, match="one JSON object of more than 1,000 characters"):
        documents_of(open_source(tmp_path / "x.json"))


def test_a_small_zip_that_grows_beyond_measure_is_refused(tmp_path: Path) -> None:
    n_bytes = 100 * 2**20
    zipped = growing_zip(tmp_path / "x.zip", "data.csv", n_bytes)
    assert zipped.stat().st_size < 1000
    assert "Unpack it yourself" in read_apart(zipped, memory_bytes=2**30)["refused"]
    booked = zipped.rename(tmp_path / "x.xlsx")
    assert "unpacks to 104.9 MB, more than a table would" in read_apart(booked, memory_bytes=2**30)["refused"]


def test_compressed_files_in_a_zip_share_what_may_come_out_of_it(tmp_path: Path) -> None:
    """Hold that six files of 12 MB each are not read, though one of them would be."""
    refused = read_apart(nested_gzips(tmp_path / "x.zip", 6, 12 * 10**6))["refused"]
    assert refused == "1.csv.gz: unpacks to more than 16.8 MB, which no text does. Unpack it yourself."


def test_a_gzip_never_takes_more_memory_than_it_may_grow_to(tmp_path: Path) -> None:
    content = gzip.compress(b"id,text\n" + b" " * 500_000_000, compresslevel=1)
    for name in ("x.csv.gz", "x.html.gz", "x.txt.gz"):
        (tmp_path / name).write_bytes(content)
        said = read_apart(tmp_path / name, memory_bytes=400 * 2**20)["refused"]
        assert f"{name}: unpacks to more than" in said or f"{name}: is larger than" in said


def test_a_zip_whose_member_has_no_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(".", "id,text\na,b\n")
    with pytest.raises(FormatError, match="which leads outside of it"):
        open_source(tmp_path / "x.zip")


def test_a_text_that_is_held_once_is_not_read_again_and_again_without_end(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 3000, pyarrow.int32()), ["word " * 100_000])
    table = pyarrow.table({"id": [f"d{n}" for n in range(3000)], "text": text})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    refused = read_apart(tmp_path / "x.parquet")["refused"]
    assert refused == (
        "x.parquet, row 34: the documents up to here have more than 16,777,216 characters, which is more than a file "
        "of this size could hold. Write each text once."
    )


def test_parquet_of_nested_and_of_many_columns_is_read_or_refused_in_words(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    value = pyarrow.array([1])
    for _ in range(200):
        value = pyarrow.StructArray.from_arrays([value], ["a"])
    rows = {"id": ["a"], "text": ["b"]}
    pyarrow.parquet.write_table(pyarrow.table({**rows, "more": value}), tmp_path / "deep.parquet")
    assert "too deeply nested" in read_apart(tmp_path / "deep.parquet")["refused"]
    wide = {f"c{n}": ["x"] for n in range(5000)}
    pyarrow.parquet.write_table(pyarrow.table({**rows, **wide}), tmp_path / "wide.parquet")
    assert read_apart(tmp_path / "wide.parquet")["n"] == 1


def test_a_row_group_that_claims_to_be_larger_than_text_can_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"id": ["a", "b"], "text": ["x" * 200_000, "y" * 200_000]})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet", compression="zstd")
    monkeypatch.setattr(limits, "FREE_TO_COMPRESS", 1000)
    monkeypatch.setattr(limits, "MAX_COMPRESSION", 2)
    with pytest.raises(FormatError, match=r"x.parquet: unpacks to 0.\d MB, which no text does"):
        open_source(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "markup",
    ["<div>" * 100_000 + "x" + "</div>" * 100_000, "<b><i>" * 50_000 + "</b></i>" * 50_000, "<table><tr><td>" * 33_000],
    ids=["blocks", "crossed", "tables"],
)
def test_html_nested_a_hundred_thousand_deep_is_read(tmp_path: Path, markup: str) -> None:
    assert read_apart(write(tmp_path / "x.html", f"<p>words here</p>{markup}"))["n"] == 1


def test_html_of_too_many_tags_or_bytes_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.html", "<p>fine</p>")
    write(tmp_path / "b.html", "<p>" * 20)
    write(tmp_path / "c.html", "words " * 200)
    monkeypatch.setattr(limits, "MAX_HTML_TAGS", 10)
    monkeypatch.setattr(limits, "MAX_HTML_BYTES", 1000)
    source = open_source(tmp_path)
    assert [document.text for document in documents_of(source)] == ["fine"]
    assert source.remarks == [
        "2 files were left out that could not be read. b.html: has more than 10 tags. Split it, or save it as text. "
        "c.html: is larger than 0.0 MB. Split it."
    ]


def test_markdown_of_blank_lines_takes_time_in_proportion_to_them(tmp_path: Path) -> None:
    """Hold that it is read at all: where each blank line could end the first one, this takes hours."""
    assert read_apart(write(tmp_path / "x.md", "---" + "\n" * 500_000 + "words"))["n"] == 1


PAGES = [[f"word{n}"] for n in range(1, 6)]


def test_what_follows_too_many_pages_of_a_pdf_is_left_out_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.pdf").write_bytes(pdf_of(PAGES))
    monkeypatch.setattr(limits, "MAX_PDF_PAGES", 2)
    source = open_source(tmp_path / "x.pdf")
    assert [document.text for document in documents_of(source)] == ["word1\n\nword2"]
    assert source.remarks == [
        "x.pdf: only 2 of 5 pages were read, which is as far as one goes. Split the PDF to have the rest."
    ]


def test_a_pdf_is_read_no_longer_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.pdf").write_bytes(pdf_of(PAGES))
    ticks = iter(range(0, 10_000, 25))  # looked at before and after a page, so each takes 25 seconds
    monkeypatch.setattr(extracting, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    source = open_source(tmp_path / "x.pdf")
    assert [document.text for document in documents_of(source)] == ["word1\n\nword2\n\nword3"]
    assert source.remarks == ["x.pdf: only 3 of 5 pages were read, after 75 seconds. Split the PDF to have the rest."]


def test_all_pdfs_of_a_source_share_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        (tmp_path / name).write_bytes(pdf_of(PAGES))
    ticks = iter(range(0, 10_000, 25))
    monkeypatch.setattr(extracting, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    source = open_source(tmp_path)
    assert [document.doc_id for document in documents_of(source)] == ["a.pdf#1"]
    assert source.remarks == [
        "a.pdf: only 3 of 5 pages were read, after 75 seconds. Split the PDF to have the rest.",
        "b.pdf: only 0 of 5 pages were read, after 0 seconds. Split the PDF to have the rest.",
        "c.pdf: only 0 of 5 pages were read, after 0 seconds. Split the PDF to have the rest.",
        "2 files were without any text left out: b.pdf, c.pdf.",
    ]


def test_pages_of_a_pdf_are_read_when_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = pypdf.PageObject.extract_text

    def extract_text(page: pypdf.PageObject) -> str:
        read.append(page.page_number or 0)
        return whole(page)

    monkeypatch.setattr(pypdf.PageObject, "extract_text", extract_text)
    (tmp_path / "x.pdf").write_bytes(pdf_of([[" ".join(f"w{n}" for n in range(150))]] * 30))
    assert len(preview(tmp_path / "x.pdf").documents) == 5
    assert max(read) == 5  # from 0: one page after the fifth passage, which it ends


def test_a_page_of_a_pdf_that_cannot_be_read_does_not_take_the_others_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pypdf.PageObject.extract_text

    def extract_text(page: pypdf.PageObject) -> str:
        if page.page_number == 1:
            raise KeyError("/Resources")
        return whole(page)

    monkeypatch.setattr(pypdf.PageObject, "extract_text", extract_text)
    (tmp_path / "x.pdf").write_bytes(pdf_of(PAGES[:3]))
    source = open_source(tmp_path / "x.pdf")
    assert [document.text for document in documents_of(source)] == ["word1\n\nword3"]
    assert source.remarks == ["x.pdf: 1 page was left out that cannot be read (page 2: '/Resources')."]
