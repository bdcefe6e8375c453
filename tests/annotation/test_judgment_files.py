"""Judgments as CSV and JSON Lines: what is written is read again, and what cannot be meant is named by its line."""

import csv
import io
import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.transfer.judgment_files import JudgmentLine, csv_table, jsonl_text, read_judgments
from era.errors import FormatError
from storage.records import JudgmentRole


def read_lines(name: str, content: bytes) -> list[JudgmentLine]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sent")
        path.write_bytes(content)
        return list(read_judgments(path, name).lines)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
FORMULAS = st.sampled_from(["=1+1", "'=1+1", "''-x", "@a", "\tb", "-", "'", "''", '+4\n"5",;', "\n=1", " ＝", "plain"])
TEXTS = st.one_of(WORDS, FORMULAS)
IDS = st.one_of(NAMES, FORMULAS).map(lambda name: name.replace("\0", "").strip()).filter(bool)
NUMBERS = st.floats(0, 3600, allow_subnormal=False)


@st.composite
def lines(draw: st.DrawFn) -> JudgmentLine:
    """Draw one mark: with a grade, without being able to tell, or with a note alone."""
    kind = draw(st.sampled_from(["grade", "cannot tell", "note"]))
    return JudgmentLine(
        query_id=draw(IDS),
        query=draw(TEXTS),
        instruction=draw(TEXTS),
        need=draw(TEXTS),
        document_id=draw(IDS),
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


@settings(deadline=None)
@given(st.lists(lines(), min_size=1, max_size=5))
def test_json_lines_read_back_as_they_were_written(marks: list[JudgmentLine]) -> None:
    text = jsonl_text(marks, with_people=True, with_notes=True)
    assert len(text.splitlines()) >= len(marks)
    assert read_lines("x.jsonl", text.encode()) == marks


@settings(deadline=None)
@given(st.lists(lines(), min_size=1, max_size=5))
def test_tables_read_back_as_they_were_written_also_what_looks_like_a_formula(marks: list[JudgmentLine]) -> None:
    text = csv_table(marks, {mark.document_id: "=A title" for mark in marks}, with_people=True, with_notes=True)
    assert read_lines("x.csv", text.encode()) == marks
    cells = [cell for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) for cell in row]
    plain = [cell.strip() for cell in cells if not cell.startswith("'")]
    assert not [cell for cell in plain if cell.startswith(("=", "+", "-", "@", "＝"))]


@settings(deadline=None)
@given(lines())
def test_without_people_and_notes_only_the_grade_is_told(mark: JudgmentLine) -> None:
    mark = replace(mark, grade=2.0, cannot_tell=False)
    told = JudgmentLine(mark.query_id, mark.query, mark.instruction, mark.need, mark.document_id, 2.0)
    assert read_lines("x.jsonl", jsonl_text([mark], with_people=False, with_notes=False).encode()) == [told]
    assert read_lines("x.csv", csv_table([mark], {}, with_people=False, with_notes=False).encode()) == [told]
    with_note = replace(told, note=mark.note)
    assert read_lines("x.csv", csv_table([mark], {}, with_people=False, with_notes=True).encode()) == [with_note]


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
        ({"grade": 11}, "grade", "expected a number from 0 to 10, not 11"),
        ({"grade": "much"}, "grade", "'much' is not a number"),
        ({"grade": True}, "grade", "'True' is not a number"),
        ({"cannot_tell": True}, "cannot tell", "not both"),
        ({"cannot_tell": "perhaps"}, "cannot tell", "expected yes or nothing"),
        ({"document_id": ""}, "document_id", "expected an id"),
        ({"query_id": ""}, None, "the query is missing"),
        ({"role": "king"}, "role", "expected judge, adjudicator, reference"),
        ({"at": "yesterday"}, "at", "expected a date and time"),
        ({"rank_shown": 1.5}, "rank shown", "expected a whole number from 1"),
        ({"content_hash": "abc"}, "content hash", "64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_meant_is_named_by_line_and_column(
    values: dict[str, object], column: str | None, words: str
) -> None:
    text = f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | values)}\n"
    with pytest.raises(FormatError, match=words) as raised:
        read_lines("marks.jsonl", text.encode())
    assert (raised.value.file, raised.value.line, raised.value.column) == ("marks.jsonl", 3, column)


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        (b"", "no judgment in it", None),
        (b"{not json}\n", "expected query id, document id", 1),
        (b'{"a": 1}\n[1]\n', "expected columns", 1),
        (b'{"query_id": "q", "document_id": "d", "grade": 1}\n[1]\n', "expected an object|this is not JSON", 2),
        (b"query,document,x\nq,d,1\n", "expected columns named query-id", 2),
        (b'query id,document id,grade\nq,"d,1\n', "quotation marks of the row that begins here do not match", 2),
        (b"query id,document id,grade\nq,d,1,2\n", "4 cells, but the header has 3", 2),
    ],
)
def test_a_file_that_cannot_be_read_says_where(content: bytes, words: str, line: int | None) -> None:
    with pytest.raises(FormatError, match=words) as raised:
        read_lines("marks.csv", content)
    assert raised.value.line == line


def test_a_time_without_a_zone_is_universal_time() -> None:
    text = json.dumps(GOOD | {"at": "2026-05-03 12:30"})
    assert read_lines("x.csv", text.encode())[0].at == datetime(2026, 5, 3, 12, 30, tzinfo=UTC)


def test_rows_that_say_nothing_are_left_out_and_said(tmp_path: Path) -> None:
    rows = [
        GOOD,
        GOOD | {"grade": None},
        GOOD | {"document_id": "e", "grade": -1},
        GOOD | {"grade": 0, "person": "ann"},
    ]
    path = tmp_path / "x"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, GOOD | {"grade": 2}]))
    found = read_judgments(path, "x.jsonl")
    assert [(line.person, line.grade) for line in found.lines] == [("", 1.0), ("ann", 0.0), ("", 2.0)]
    assert found.remarks == (
        "1 grade below 0 was left out: such documents are unjudged, as trec_eval has it. -1 for e (x.jsonl, line 3).",
        "1 row without a grade was left out: such documents are unjudged. x.jsonl, line 2.",
        "1 judgment contradicts an earlier one of the same query and document; the last holds. "
        "d: 1 (x.jsonl, line 1), then 2 (x.jsonl, line 5).",
    )


def test_a_text_alone_names_a_query_that_is_there_and_adds_none() -> None:
    assert read_lines("x.csv", b"query,docid,rating\ncat feeding,d,3.0\n") == [
        JudgmentLine("cat feeding", "", "", "", "d", 3.0)
    ]
    assert read_lines("x.csv", b"query,instruction,docid,rating\ncat feeding,,d,3.0\n") == [
        JudgmentLine("", "cat feeding", "", "", "d", 3.0)
    ]
