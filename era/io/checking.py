"""What holds for the documents, queries and judgments of any format: ids that do not repeat, and something to read.

What can be left out without a doubt is left out and counted, for a person to read; what is contradictory is an error.
"""

from dataclasses import dataclass

from era.errors import FormatError
from era.io.content import SourceDocument

_N_NAMED = 5
_HASH_BITS = 64
_HASH_MASK = (1 << _HASH_BITS) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file."""

    file: str
    line: int | None = None
    unit: str = "line"

    def __str__(self) -> str:
        """Return the place in words."""
        return self.file if self.line is None else f"{self.file}, {self.unit} {self.line:,}"

    def error(self, problem: str, column: str | None = None) -> FormatError:
        """Return the error of a problem at this place."""
        return FormatError(problem, self.file, self.line, column, self.unit)


class DocumentCheck:
    """The ids and texts seen so far; about 300 bytes of memory a document."""

    def __init__(self) -> None:
        self._files: list[tuple[str, str]] = []
        self._n_read = 0
        self._seen: dict[str, int] = {}  # id -> number, line, file and hash of the content in one number
        self._contents: set[int] = set()
        self._empty = Named()
        self._repeated = Named()
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


class Named:
    """How often something happened, and the first ids or places it happened to."""

    def __init__(self) -> None:
        """Begin at none."""
        self.n = 0
        self._first: list[str] = []
        self._has_more = False

    def add(self, name: str) -> None:
        """Count one more."""
        self.n += 1
        if name not in self._first:
            self._has_more = len(self._first) == _N_NAMED
            self._first += [] if self._has_more else [name]

    def listed(self, between: str = ", ") -> str:
        """Return the first names, and that there are more."""
        return between.join(self._first) + (f"{between}..." if self._has_more else "")

    def counted(self, one: str, several: str) -> str:
        """Return in words how often it happened."""
        return f"1 {one}" if self.n == 1 else f"{self.n:,} {several}"

    def left_out(self, one: str, several: str) -> str:
        """Return the remark that so many were left out, and which."""
        return f"{self.counted(f'{one} was', f'{several} were')} left out: {self.listed()}."
