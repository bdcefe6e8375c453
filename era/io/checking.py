"""What holds for the documents, queries and judgments of any format: ids that do not repeat, and something to read.

What can be left out without a doubt is left out and counted, for a person to read; what is contradictory is an error.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from era.errors import FormatError
from era.io.content import SourceDocument, SourceQuery

MAX_GRADE = 10.0
_N_NAMED = 5
_HASH_BITS = 64
_HASH_MASK = (1 << _HASH_BITS) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file."""

    file: str
    line: int | None = None
    unit: str = "line"

    def error(self, problem: str, column: str | None = None) -> FormatError:
        """Return the error of a problem at this place."""
        return FormatError(problem, self.file, self.line, column, self.unit)


@dataclass(frozen=True, slots=True)
class Judgment:
    """A line of a file of judgments."""

    query_id: str
    doc_id: str
    grade: float
    place: Place


class DocumentCheck:
    """The ids and texts seen so far; about 300 bytes of memory a document."""

    def __init__(self) -> None:
        self._files: list[tuple[str, str]] = []
        self._n_read = 0
        self._seen: dict[str, int] = {}  # id -> number, line, file and hash of the content in one number
        self._contents: set[int] = set()
        self._empty = _Named()
        self._repeated = _Named()
        self._n_alike = 0

    def begin(self, file: str, unit: str) -> None:
        """Say which file the next documents come from."""
        self._files.append((file, unit))

    def has_place_for(self, found: SourceDocument, line: int) -> bool:
        """Return whether a document is to be kept: it says something, and was not read before.

        Raises:
            FormatError: if its id was used for another document.
        """
        document = found.document
        self._n_read += 1
        if not document.text.strip() and not document.title.strip():
            self._empty.add(document.doc_id)
            return False
        digest = hash(document.content) & _HASH_MASK
        file = len(self._files) - 1
        n_known = len(self._seen)
        known = self._seen.setdefault(
            document.doc_id, ((self._n_read << 40 | line) << 20 | file) << _HASH_BITS | digest
        )
        if len(self._seen) == n_known:
            if known & _HASH_MASK == digest:
                self._repeated.add(document.doc_id)
                return False
            name, unit = self._files[file]
            place = known >> _HASH_BITS
            first, first_line, first_number = self._files[place & 0xFFFFF], place >> 20 & 0xFFFFFFFFFF, place >> 60
            where = f"{unit} {first_line:,}" if first[0] == name else f"{first[0]}, {first[1]} {first_line:,},"
            by = f"by document {first_number:,}, and this is document {self._n_read:,}" if first_line == line else ""
            problem = f"the id {document.doc_id!r} was used in {where} already, {by or 'for another text'}."
            raise FormatError(problem, name, line, unit=unit)
        n_before = len(self._contents)
        self._contents.add(digest)
        self._n_alike += len(self._contents) == n_before
        return True

    @property
    def n_kept(self) -> int:
        """Return how many documents were kept."""
        return len(self._seen)

    def remarks(self) -> list[str]:
        """Return what was left out, and what else is worth a look."""
        remarks = []
        if self._empty.n:
            remarks.append(self._empty.left_out("document without any text", "documents without any text"))
        if self._repeated.n:
            what = "that had the same id and text as an earlier one"
            remarks.append(self._repeated.left_out(f"document {what}", f"documents {what}"))
        if self._n_alike:
            same = "1 document has" if self._n_alike == 1 else f"{self._n_alike:,} documents have"
            remarks.append(f"{same} the same text as an earlier one with another id; all were kept.")
        return remarks


def checked_queries(found: Iterable[tuple[Place, SourceQuery]], remarks: list[str]) -> list[SourceQuery]:
    """Return the queries that say something, each id once; what was left out is added to the remarks.

    Raises:
        FormatError: if an id is used for two different queries.
    """
    kept: dict[str, tuple[int, Place, SourceQuery]] = {}
    empty = _Named()
    for number, (place, query) in enumerate(found, start=1):
        if not query.query.text.strip():
            empty.add(query.query.query_id)
            continue
        first_number, first, known = kept.setdefault(query.query.query_id, (number, place, query))
        if known.query != query.query:
            where = f"{first.unit} {first.line:,}" if first.file == place.file and first.line else first.file
            by = f"by query {first_number:,}, and this is query {number:,}" if first == place else "for another query"
            raise place.error(f"the id {query.query.query_id!r} was used in {where} already, {by}.")
    if empty.n:
        remarks.append(empty.left_out("query without any text", "queries without any text"))
    return [query for *_, query in kept.values()]


def checked_qrels(found: Iterable[Judgment], query_ids: set[str], remarks: list[str]) -> dict[str, dict[str, float]]:
    """Return the grades by query and document; grades below 0 become 0, and of two for one pair the later holds.

    Raises:
        FormatError: if a grade is out of range, or there is no such query.
    """
    qrels: dict[str, dict[str, float]] = {}
    n_twice = 0
    for judgment in found:
        if judgment.query_id not in query_ids:
            raise judgment.place.error(f"there is no query {judgment.query_id!r} among the queries.")
        if not judgment.grade <= MAX_GRADE:
            raise judgment.place.error(f"relevance should be between 0 and {MAX_GRADE:.0f}.")
        judged = qrels.setdefault(judgment.query_id, {})
        grade = max(judgment.grade, 0.0)
        n_twice += judged.get(judgment.doc_id, grade) != grade
        judged[judgment.doc_id] = grade
    if n_twice:
        what = "1 judgment contradicts" if n_twice == 1 else f"{n_twice:,} judgments contradict"
        remarks.append(f"{what} an earlier one of the same query and document; the last holds.")
    return qrels


def lenient_judgments(found: Iterable[Judgment], query_ids: set[str], remarks: list[str]) -> Iterator[Judgment]:
    """Yield judgments that can be kept, for files that nobody here can mend; what was left out is remarked.

    Judgments of unknown queries are left out, and grades above `MAX_GRADE` become that.
    """
    unknown, n_high = _Named(), 0
    for judgment in found:
        if judgment.query_id not in query_ids:
            unknown.add(judgment.query_id)
            continue
        n_high += judgment.grade > MAX_GRADE
        yield Judgment(judgment.query_id, judgment.doc_id, min(judgment.grade, MAX_GRADE), judgment.place)
    if unknown.n:
        remarks.append(
            unknown.left_out("judgment of a query that is not there", "judgments of queries that are not there")
        )
    if n_high:
        what = "1 grade" if n_high == 1 else f"{n_high:,} grades"
        remarks.append(f"{what} above {MAX_GRADE:.0f} became {MAX_GRADE:.0f}.")


def grade_of(text: str) -> float:
    """Return a grade.

    Raises:
        ValueError: if it is not a finite number.
    """
    grade = float(text)
    if not math.isfinite(grade):
        raise ValueError(f"expected a finite number, got {text!r}")
    return grade


class _Named:
    """How often something happened, and the first ids it happened to."""

    def __init__(self) -> None:
        self.n = 0
        self._first: list[str] = []

    def add(self, name: str) -> None:
        self.n += 1
        if len(self._first) < _N_NAMED and name not in self._first:
            self._first.append(name)

    def left_out(self, one: str, several: str) -> str:
        """Return the remark that so many were left out, and which."""
        what = f"1 {one} was" if self.n == 1 else f"{self.n:,} {several} were"
        return f"{what} left out: {', '.join(self._first)}{', ...' if self.n > len(self._first) else ''}."
