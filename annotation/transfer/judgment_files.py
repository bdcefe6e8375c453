"""Judgments as CSV and JSON Lines, and back: one line for each mark, nothing lost between the two; and other files in.

Nothing here knows the database; whether queries and documents exist is found out where the lines are stored.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from era.errors import FormatError
from era.io.checking import Named, Place
from era.io.columns import as_name
from era.io.files import Entry
from era.io.judgments import Judgment, judgments_with_rows, remarks_on_grades
from era.io.rows import Row
from era.io.writing import csv_text
from storage.records import MAX_GRADE, JudgmentRole

MAX_BYTES = 100_000_000

_WHOSE = ("person", "role", "at", "seconds", "rank_shown", "ranker", "content_hash", "judged_together_with")
_TITLE = "document_title"
_TRUE, _FALSE = ("yes", "true", "1", "x"), ("", "no", "false", "0")


@dataclass(frozen=True, slots=True)
class JudgmentLine:
    """One mark as a file tells it; what a file does not tell is empty or None.

    Attributes:
        query_id: what the query is called in the file it came from; may be empty where the text is given.
        query: its text.
        instruction: how it is meant to be read.
        need: what would meet it.
        document_id: which document.
        grade: from 0 to 10; None where the person could not tell or wrote a note only.
        cannot_tell: the person looked and could not tell.
        note: the person's words; None where the file has no notes at all.
        person: whose mark; empty for what several agreed on.
        role: in which it was made.
        at: when.
        seconds: how long the document was looked at.
        rank_shown: its place when it was judged, from 1.
        ranker: what ranked it.
        content_hash: of the document's text when it was judged.
        judged_together_with: the document that it was judged with in one act, since both say the same.
    """

    query_id: str
    query: str
    instruction: str
    need: str
    document_id: str
    grade: float | None
    cannot_tell: bool = False
    note: str | None = None
    person: str = ""
    role: JudgmentRole | None = None
    at: datetime | None = None
    seconds: float | None = None
    rank_shown: int | None = None
    ranker: str | None = None
    content_hash: str = ""
    judged_together_with: str | None = None


@dataclass(frozen=True, slots=True)
class JudgmentsRead:
    """The marks of a file in its order, at least one, and what a person should know of how they were read."""

    lines: tuple[JudgmentLine, ...]
    remarks: tuple[str, ...]


_COLUMNS = tuple(field.name for field in fields(JudgmentLine))


def jsonl_text(lines: Iterable[JudgmentLine], with_people: bool, with_notes: bool) -> str:
    """Return an object a line; `with_people` tells who said it when, `with_notes` their notes."""
    columns = _chosen(with_people, with_notes)
    objects = ({name: _plain(getattr(line, name)) for name in columns} for line in lines)
    return "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in objects)


def csv_table(lines: Iterable[JudgmentLine], titles: Mapping[str, str], with_people: bool, with_notes: bool) -> str:
    """Return a table for spreadsheets with the same columns as `jsonl_text`, and the titles of the documents."""
    columns = _chosen(with_people, with_notes)
    header = [name.replace("_", " ") for name in (*columns, _TITLE)]
    rows = ([*(_cell(getattr(line, name)) for name in columns), titles.get(line.document_id, "")] for line in lines)
    return csv_text(header, rows)


def read_judgments(path: Path, name: str) -> JudgmentsRead:
    """Read a file as `jsonl_text` or `csv_table` wrote it, or any other file of judgments that `era.io` reads.

    Only a document and a query, named by id or by text, are needed. A text without id or instruction beside it is given
    as the id: it names a query that is there, or none.

    Args:
        path: of the file.
        name: as the person knows it.

    Raises:
        FormatError: naming file, line and column, and what is expected there.
    """
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(f"the file is larger than {MAX_BYTES / 1e6:.0f} MB. Split it.", name)
    remarks: list[str] = []
    lines: list[JudgmentLine] = []
    firsts: dict[tuple[Any, ...], tuple[float, Place]] = {}
    without, below, twice = Named(), Named(), Named()
    for judgment, row in judgments_with_rows(Entry(name, path), remarks, {*_COLUMNS, _TITLE}):
        line, place = _line(judgment, row), judgment.place
        if line.grade is None and not line.cannot_tell and not line.note:
            without.add(str(place))
            continue
        if line.grade is not None and line.grade < 0:
            below.add(f"{line.grade:g} for {line.document_id} ({place})")
            continue
        lines.append(line)
        if line.grade is not None:
            whose = line.query_id, line.query, line.instruction, line.document_id, line.person, line.role
            grade, first = firsts.setdefault(whose, (line.grade, place))
            if grade != line.grade:
                twice.add(f"{line.document_id}: {grade:g} ({first}), then {line.grade:g} ({place})")
                firsts[whose] = line.grade, place
    remarks += remarks_on_grades(below, without, twice)
    if not lines:
        raise FormatError(" ".join(["there is no judgment in it that can be used.", *remarks]), name)
    return JudgmentsRead(tuple(lines), tuple(remarks))


def _chosen(with_people: bool, with_notes: bool) -> list[str]:
    return [name for name in _COLUMNS if (with_people or name not in _WHOSE) and (with_notes or name != "note")]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.value if isinstance(value, JudgmentRole) else value


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return "" if value is None else _plain(value)


def _line(judgment: Judgment, row: Row) -> JudgmentLine:
    read = _Row(judgment.place, {as_name(column): value for column, value in row.items()})
    grade, cannot_tell = judgment.grade, read.flag("cannot_tell")
    if grade is not None and grade > MAX_GRADE:
        raise read.error("grade", f"expected a number from 0 to {MAX_GRADE:g}, not {grade:g}.")
    if grade is not None and cannot_tell:
        raise read.error("cannot_tell", "a mark has either a grade or cannot tell, not both.")
    rank = read.number("rank_shown", 1e9)
    if rank is not None and (rank < 1 or not rank.is_integer()):
        raise read.error("rank_shown", "expected a whole number from 1.")
    content_hash = read.text("content_hash")
    if content_hash and not re.fullmatch(r"[0-9a-f]{64}", content_hash):
        raise read.error("content_hash", "expected 64 hexadecimal digits, or nothing.")
    written = read.values.get("query")
    text = written if isinstance(written, str) and written else judgment.text
    is_text_told = judgment.text and ("query_id" in read.values or "instruction" in read.values)
    return JudgmentLine(
        query_id="" if is_text_told and not read.values.get("query_id") else judgment.query_id,
        query=text if is_text_told else "",
        instruction=read.text("instruction"),
        need=read.text("need"),
        document_id=judgment.doc_id,
        grade=grade,
        cannot_tell=cannot_tell,
        note=read.text("note") if "note" in read.values else None,
        person=read.text("person"),
        role=read.role(),
        at=read.time("at"),
        seconds=read.number("seconds", 1e9),
        rank_shown=None if rank is None else int(rank),
        ranker=read.text("ranker") or None,
        content_hash=content_hash,
        judged_together_with=read.text("judged_together_with") or None,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """Reads the values of one line, and says where one cannot be meant."""

    place: Place
    values: Mapping[str, Any]

    def error(self, column: str, problem: str) -> FormatError:
        return self.place.error(problem, column.replace("_", " "))

    def text(self, column: str) -> str:
        value = self.values.get(column)
        if value is not None and not isinstance(value, str):
            raise self.error(column, "expected a text.")
        return value or ""

    def flag(self, column: str) -> bool:
        value = self.values.get(column)
        if isinstance(value, bool):
            return value
        word = self.text(column).strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise self.error(column, f"expected yes or nothing, not {word[:20]!r}.")
        return word in _TRUE

    def number(self, column: str, highest: float) -> float | None:
        value = self.values.get(column)
        if value is None or value == "":
            return None
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not 0 <= found <= highest:
            raise self.error(column, f"expected a number from 0 to {highest:g}, not {str(value)[:20]!r}.")
        return found

    def time(self, column: str) -> datetime | None:
        value = self.text(column).strip()
        if not value:
            return None
        try:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            expected = "a date and time such as 2026-05-03T12:30:00+00:00"
            raise self.error(column, f"expected {expected}, not {value[:40]!r}.") from error

    def role(self) -> JudgmentRole | None:
        value = self.text("role").strip().lower()
        if not value:
            return None
        if value not in set(JudgmentRole):
            raise self.error("role", f"expected {', '.join(JudgmentRole)}, or nothing, not {value[:20]!r}.")
        return JudgmentRole(value)
