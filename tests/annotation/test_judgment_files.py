"""Judgments as CSV and JSON Lines: what is written is read again, and what cannot be meant is named by its line."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.exporting.judgment_files import JudgmentLine, csv_table, is_ours, jsonl_text, read_lines
from era.errors import FormatError
from storage.records import JudgmentRole

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
FORMULAS = st.sampled_from(["=1+1", "'=1+1", "''-x", "@a", "\tb", "-", "'", "''", '+4\n"5",;', "\n=1", " ＝", "plain"])
TEXTS = st.one_of(WORDS, FORMULAS)
NUMBERS = st.floats(0, 3600, allow_subnormal=False)


@st.composite
def lines(draw: st.DrawFn) -> JudgmentLine:
    """Draw one mark: with a grade, without being able to tell, or with a note alone."""
    kind = draw(st.sampled_from(["grade", "cannot tell", "note"]))
    return JudgmentLine(
        query_id=draw(NAMES),
        query=draw(TEXTS),
        instruction=draw(TEXTS),
        need=draw(TEXTS),
        document_id=draw(st.one_of(NAMES, FORMULAS)),
        grade=draw(st.floats(0, 10)) if kind == "grade" else None,
        cannot_tell=kind == "cannot tell",
        note=draw(NAMES if kind == "note" else TEXTS),
        person=draw(NAMES),
        role=draw(st.sampled_from(JudgmentRole)),
        at=draw(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))),
        seconds=draw(st.none() | NUMBERS),
        rank_shown=draw(st.none() | st.integers(1, 10**6)),
        ranker=draw(st.none() | NAMES),
        content_hash=draw(st.sampled_from(["", "0" * 64, "9af" + "1" * 61])),
        judged_together_with=draw(st.none() | NAMES),
    )


@given(st.lists(lines(), max_size=5))
def test_json_lines_read_back_as_they_were_written(marks: list[JudgmentLine]) -> None:
    text = jsonl_text(marks, with_people=True, with_notes=True)
    assert len(text.splitlines()) >= len(marks)
    assert read_lines("x.jsonl", text.encode()) == marks if marks else text == ""


@given(st.lists(lines(), max_size=5))
def test_tables_read_back_as_they_were_written_also_what_looks_like_a_formula(marks: list[JudgmentLine]) -> None:
    text = csv_table(marks, {mark.document_id: "=A title" for mark in marks}, with_people=True, with_notes=True)
    assert is_ours(text.removeprefix("\ufeff"))
    assert read_lines("x.csv", text.encode()) == marks
    cells = [cell for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) for cell in row]
    plain = [cell.strip() for cell in cells if not cell.startswith("'")]
    assert not [cell for cell in plain if cell.startswith(("=", "+", "-", "@", "＝"))]


@given(lines())
def test_without_people_and_notes_only_the_grade_is_told(mark: JudgmentLine) -> None:
    mark = replace(mark, grade=2.0, cannot_tell=False)
    told = JudgmentLine(mark.query_id, mark.query, mark.instruction, mark.need, mark.document_id, 2.0)
    assert read_lines("x", jsonl_text([mark], with_people=False, with_notes=False).encode()) == [told]
    assert read_lines("x", csv_table([mark], {}, with_people=False, with_notes=False).encode()) == [told]
    with_note = replace(told, note=mark.note)
    assert read_lines("x", csv_table([mark], {}, with_people=False, with_notes=True).encode()) == [with_note]


def test_a_table_that_a_spreadsheet_saved_with_semicolons_in_utf_16_is_read() -> None:
    table = 'Query ID;Document ID;Title;Grade;Cannot tell\r\nq1;d1;"a; b";2;\r\n\r\nq1;d2;;;Yes\r\n'
    found = read_lines("judged.csv", table.encode("utf-16"))
    assert found == [
        JudgmentLine("q1", "", "", "", "d1", 2.0),
        JudgmentLine("q1", "", "", "", "d2", None, cannot_tell=True),
    ]


GOOD = {"query_id": "q", "document_id": "d", "grade": 1}


@pytest.mark.parametrize(
    ("values", "column", "words"),
    [
        ({"grade": 11}, "grade", "expected a number from 0 to 10, not '11'"),
        ({"grade": "much"}, "grade", "expected a number from 0 to 10, not 'much'"),
        ({"grade": True}, "grade", "expected a number"),
        ({"grade": float("nan")}, "grade", "expected a number"),
        ({"grade": None}, "grade", "there is no grade"),
        ({"cannot_tell": True}, "cannot tell", "not both"),
        ({"cannot_tell": "perhaps"}, "cannot tell", "expected yes or nothing"),
        ({"document_id": ""}, "document id", "the id of the document is missing"),
        ({"query_id": ""}, "query id", "neither the id nor the text"),
        ({"query_id": 7}, "query id", "expected a text"),
        ({"role": "king"}, "role", "expected judge, adjudicator, reference"),
        ({"at": "yesterday"}, "at", "expected a date and time"),
        ({"rank_shown": 1.5}, "rank shown", "expected a whole number from 1"),
        ({"content_hash": "abc"}, "content hash", "64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_meant_is_named_by_line_and_column(values: dict[str, object], column: str, words: str) -> None:
    text = f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | values)}\n"
    with pytest.raises(FormatError, match=words) as raised:
        read_lines("marks.jsonl", text.encode())
    assert (raised.value.file, raised.value.line, raised.value.column) == ("marks.jsonl", 3, column)


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        (b"", "the file is empty", None),
        (b"\xff\xfe\x00", "not UTF-16 text", 1),
        (b"query id,document id,grade\nq,d\xe9,1\n", "not UTF-8 text", 2),
        (b"{not json}\n", "this is not JSON", 1),
        (b'{"a": 1}\n[1]\n', "expected columns", 1),
        (b'{"query_id": "q", "document_id": "d", "grade": 1}\n[1]\n', "expected an object|this is not JSON", 2),
        (b"query,document\nq,d\n", "expected columns query id", 1),
        (b'query id,document id,grade\nq,"d,1\n', "quotation marks do not match", 2),
        (b"query id,document id,grade\nq,d,1,2\n", "4 cells, but the header has 3", 2),
    ],
)
def test_a_file_that_cannot_be_read_says_where(content: bytes, words: str, line: int | None) -> None:
    with pytest.raises(FormatError, match=words) as raised:
        read_lines("marks.csv", content)
    assert raised.value.line == line


def test_a_time_without_a_zone_is_universal_time() -> None:
    text = json.dumps(GOOD | {"at": "2026-05-03 12:30"})
    assert read_lines("x", text.encode())[0].at == datetime(2026, 5, 3, 12, 30, tzinfo=UTC)


def test_qrels_are_not_taken_for_a_table_of_ours() -> None:
    assert not is_ours("q1 0 document_id 1\n")
    assert not is_ours("query-id\tcorpus-id\tscore\n")
    assert is_ours("grade,query id,Document ID\n")
