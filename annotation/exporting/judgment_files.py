"""Judgments as CSV and JSON Lines, and back: one line for each mark, nothing lost between the two; and TREC qrels in.

Nothing here knows the database; whether queries and documents exist is found out by whoever stores the lines.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from era.errors import FormatError
from era.io.delimited import undefused
from era.io.writing import csv_text, read_qrels
from storage.records import MAX_GRADE, JudgmentRole

MAX_BYTES = 100_000_000

_LONGEST_HEADER = 100_000
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


def read_judgments(path: Path, name: str) -> list[JudgmentLine]:
    """Read a file as `jsonl_text` or `csv_table` wrote it, or TREC qrels of another tool, which name no person.

    Args:
        path: of the file.
        name: as the person knows it.

    Raises:
        FormatError: naming the line that cannot be read, or the grade that is none.
    """
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(f"the file is larger than {MAX_BYTES / 1e6:.0f} MB. Split it.", name)
    content = path.read_bytes()
    if is_ours(decoded(name, content)):
        return read_lines(name, content)
    lines = [
        JudgmentLine(query_id, "", "", "", doc_id, grade)
        for query_id, judged in read_qrels(path).items()
        for doc_id, grade in judged.items()
    ]
    for line in lines:
        if line.grade is not None and line.grade > MAX_GRADE:
            raise FormatError(
                f"the grade of document {line.document_id!r} for query {line.query_id!r} is {line.grade:g}; expected "
                f"at most {MAX_GRADE:g}.",
                name,
            )
    return lines


def read_lines(name: str, content: bytes) -> list[JudgmentLine]:
    """Read what `jsonl_text` or `csv_table` wrote, or what a spreadsheet made of the latter.

    Only a document and a query, named by id or by text, are needed; other columns than ours are passed over.

    Raises:
        FormatError: naming file, line and column, and what is expected there.
    """
    text = decoded(name, content)
    rows = _json_rows(name, text) if text.lstrip().startswith("{") else _csv_rows(name, text)
    return [_line(name, number, row) for number, row in rows]


def is_ours(text: str) -> bool:
    """Return whether a file is a table or JSON Lines as written here, rather than TREC qrels."""
    first = text.lstrip()[:_LONGEST_HEADER].split("\n", 1)[0]
    return first.startswith("{") or {"document_id", "grade"} <= set(_header(first))


def decoded(name: str, content: bytes) -> str:
    """Return the text of a file of judgments.

    Raises:
        FormatError: if it is too large, empty, or not UTF-8 or UTF-16.
    """
    if len(content) > MAX_BYTES:
        raise FormatError(f"the file is larger than {MAX_BYTES / 1e6:.0f} MB. Split it.", name)
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        name_of_encoding = encoding.removesuffix("-sig").upper()
        raise FormatError(f"this is not {name_of_encoding} text. Save the file as UTF-8.", name, line) from error
    if not text.strip():
        raise FormatError("the file is empty. Choose a file of judgments that was taken out of this app.", name)
    return text


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


def _json_rows(name: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "too large or too deeply nested"
            raise FormatError(f"this is not JSON ({reason}). Expected one object a line.", name, number) from error
        if not isinstance(row, dict):
            raise FormatError("expected an object with a query, a document and a grade.", name, number)
        _require_columns(name, number, list(row))
        yield number, row


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    first = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first), strict=True)
    header: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            cells = [undefused(cell) for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise FormatError(f"the quotation marks do not match ({error}).", name, number) from error
        if not any(cells):
            continue
        if not header:
            header = [_column_name(cell) for cell in cells]
            _require_columns(name, number, header)
        elif len(cells) > len(header) and any(cells[len(header) :]):
            raise FormatError(f"{len(cells)} cells, but the header has {len(header)}.", name, number)
        else:
            yield number, dict(zip(header, cells, strict=False))


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _header(line: str) -> list[str]:
    return [_column_name(cell.strip().strip('"')) for cell in line.split(_delimiter(line))]


def _column_name(cell: str) -> str:
    return re.sub(r"[ -]", "_", cell.strip().lower())


def _require_columns(name: str, number: int, found: Sequence[str]) -> None:
    if "document_id" not in found or not {"query_id", "query"} & set(found) or "grade" not in found:
        raise FormatError(
            f"expected columns query id (or query), document id and grade. Found: {', '.join(found[:20])}.",
            name,
            number,
        )


def _line(name: str, number: int, row: Mapping[str, Any]) -> JudgmentLine:
    read = _Row(name, number, row)
    grade, cannot_tell = read.number("grade", MAX_GRADE), read.flag("cannot_tell")
    if grade is not None and cannot_tell:
        raise read.error("cannot_tell", "a mark has either a grade or cannot tell, not both.")
    rank = read.number("rank_shown", 1e9)
    if rank is not None and (rank < 1 or not rank.is_integer()):
        raise read.error("rank_shown", "expected a whole number from 1.")
    content_hash = read.text("content_hash")
    if content_hash and not re.fullmatch(r"[0-9a-f]{64}", content_hash):
        raise read.error("content_hash", "expected 64 hexadecimal digits, or nothing.")
    line = JudgmentLine(
        query_id=read.text("query_id"),
        query=read.text("query"),
        instruction=read.text("instruction"),
        need=read.text("need"),
        document_id=read.text("document_id"),
        grade=grade,
        cannot_tell=cannot_tell,
        note=read.text("note") if "note" in row else None,
        person=read.text("person"),
        role=read.role(),
        at=read.time("at"),
        seconds=read.number("seconds", 1e9),
        rank_shown=None if rank is None else int(rank),
        ranker=read.text("ranker") or None,
        content_hash=content_hash,
        judged_together_with=read.text("judged_together_with") or None,
    )
    if not line.document_id:
        raise read.error("document_id", "the id of the document is missing.")
    if not (line.query_id or line.query):
        raise read.error("query_id", "neither the id nor the text of the query is there.")
    if line.grade is None and not line.cannot_tell and not line.note:
        raise read.error("grade", "there is no grade, and neither cannot tell nor a note. Leave the line out.")
    return line


@dataclass(frozen=True, slots=True)
class _Row:
    """Reads the values of one line, and says where one cannot be meant."""

    file: str
    line: int
    values: Mapping[str, Any]

    def error(self, column: str, problem: str) -> FormatError:
        return FormatError(problem, self.file, self.line, column.replace("_", " "))

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
