"""Tables of delimited text: CSV in any of its dialects, and TSV."""

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

from era.errors import FormatError
from era.io import limits
from era.io.columns import is_known_name
from era.io.files import Entry, Lines, Meter, detect_encoding, encoding_remark, open_text, unreadable
from era.io.rows import PlacedRow, named_twice, too_many_columns, within_limits

Header = Literal["", "yes", "no"]

_DELIMITERS = ("\t", ";", ",", "|")
_NAMES = {"\t": "a tab", ";": "a semicolon", ",": "a comma", "|": "a vertical bar"}
_LONGEST_NAME = 60  # characters; what is longer in a first line is no name of a column
_N_LINES_LOOKED_AT = 20
_FORMULA_SIGNS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b")  # also full-width and small ones
_BLANKS = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))  # Unicode's categories of what spreadsheets may pass over


class DelimitedRows:
    """Rows of delimited text; without a header its columns are called `column 1`, `column 2`, ..."""

    unit = "line"
    n_rows = None

    def __init__(self, entry: Entry, header: Header = "") -> None:
        """Tell the encoding, the delimiter and the header by the beginning of the file.

        Args:
            entry: the file.
            header: whether the first line names the columns, where that is known; empty to judge by the file.

        Raises:
            FormatError: if it is not text.
        """
        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self._entry = entry
        self.encoding = detect_encoding(entry)
        self.remarks = [remark] if (remark := encoding_remark(entry, self.encoding)) else []
        lines = self._first_lines()
        is_tabbed = entry.suffix in (".tsv", ".tab") and any("\t" in line for line in lines)
        self._delimiter = "\t" if is_tabbed else _delimiter_of(lines)
        # in TSV a quotation mark is often only what it is
        is_quoted = self._delimiter != "\t" or _quotes_match(lines)
        self._quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
        first = next((cells for _, cells in self._cells(Meter())), [])
        self._has_header = header == "yes" or (header != "no" and _is_header(first))
        if len(first) > limits.MAX_COLUMNS:
            raise too_many_columns(len(first), self.name)
        names = first if self._has_header else [f"column {place}" for place in range(1, len(first) + 1)]
        self._columns = _named(entry.name, names)
        if first and not self._has_header:
            self.remarks.append(f"The first line of {entry.name} is no header; its columns are numbered.")

    @property
    def header(self) -> Header:
        """Return whether the first line names the columns."""
        return "yes" if self._has_header else "no"

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order; blank lines are left out, missing cells at the end of a line are empty.

        Raises:
            FormatError: naming the line of a row with too many cells or with quotation marks that do not match.
        """
        return within_limits(self._rows(meter), self.name, self.unit)

    def _rows(self, meter: Meter) -> Iterator[PlacedRow]:
        columns, n_columns = self._columns, len(self._columns)
        cells_of_lines = self._cells(meter)
        if self._has_header:
            next(cells_of_lines, None)
        for line, cells in cells_of_lines:
            if len(cells) != n_columns:
                if any(cell.strip() for cell in cells[n_columns:]):
                    raise self._too_many(line, len(cells))
                cells = [*cells[:n_columns], *[""] * (n_columns - len(cells))]
            yield line, dict(zip(columns, cells, strict=True))

    def _cells(self, meter: Meter) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of each row that has any, with the line where it begins."""
        csv.field_size_limit(limits.MAX_CHARACTERS)
        line = 0
        try:
            with open_text(self._entry, self.encoding, meter, newline="") as stream:
                lines = Lines(stream, self.name)
                reader = csv.reader(lines, delimiter=self._delimiter, quoting=self._quoting, strict=True)
                line = 1
                for cells in reader:
                    if any(map(str.strip, cells)):
                        yield line, [undefused(cell) for cell in cells]
                    line = lines.number + 1
                    lines.begin()
        except csv.Error as error:
            raise FormatError(
                f"the quotation marks of the row that begins here do not match ({error}). Close every quote, and write "
                "a quotation mark inside a quoted text twice.",
                self.name,
                line,
            ) from error
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise unreadable(self._entry, error, line) from error

    def _first_lines(self) -> list[str]:
        lines: list[str] = []
        try:
            with open_text(self._entry, self.encoding, Meter()) as stream:
                while len(lines) < _N_LINES_LOOKED_AT and (line := stream.readline(100_000)):
                    lines += [line] if line.strip() else []
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise unreadable(self._entry, error, None) from error
        return lines

    def _too_many(self, line: int, n_cells: int) -> FormatError:
        delimiter = _NAMES[self._delimiter]
        return FormatError(
            f"{n_cells} cells, but the header has {len(self._columns)}. Put a text with {delimiter} in it into "
            "quotation marks.",
            self.name,
            line,
        )


def defused(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before what could be one.

    That is what begins with one of `= + - @` in any width, also after white space and control characters, or with a
    tab or a line break; apostrophes ahead of these do not count, so that `undefused` takes away what was added.
    """
    return f"'{cell}" if _looks_like_formula(cell.lstrip("'")) else cell


def undefused(cell: str) -> str:
    """Return a cell without the apostrophe that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell.startswith("'") and _looks_like_formula(cell.lstrip("'")) else cell


def _looks_like_formula(text: str) -> bool:
    if text.startswith(("\t", "\r", "\n")):
        return True
    first = next((character for character in text if unicodedata.category(character) not in _BLANKS), "")
    return first in _FORMULA_SIGNS


def _delimiter_of(lines: Sequence[str]) -> str:
    """Return what splits the first line into known names, else what splits all lines into equally many cells."""
    if not lines:
        return ","

    def known(mark: str) -> int:
        return sum(is_known_name(cell.strip(' "\r\n')) for cell in lines[0].split(mark))

    def evenness(mark: str) -> tuple[bool, int]:
        counts = [len(next(csv.reader([line], delimiter=mark), [])) for line in lines]
        return counts[0] > 1 and len(set(counts)) == 1, min(counts)

    return max(reversed(_DELIMITERS), key=lambda mark: (known(mark) * (mark in lines[0]), evenness(mark)))


def _quotes_match(lines: Sequence[str]) -> bool:
    """Return whether cells of TSV that begin with a quotation mark end with one; a row may go on below."""
    try:
        for _ in csv.reader(lines, delimiter="\t", strict=True):
            pass
    except csv.Error as error:
        return "expected after" not in str(error)
    return True


def _is_header(cells: Sequence[str]) -> bool:
    if any(is_known_name(cell) for cell in cells):
        return True
    is_numbered = any(cell.strip().isdecimal() for cell in cells)
    return bool(cells) and not is_numbered and all(len(cell) <= _LONGEST_NAME for cell in cells)


def _named(file: str, cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns; empty ones at the end are left out, others get a number."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    names = [name or f"column {place}" for place, name in enumerate(names, start=1)]
    if twice := named_twice(names):
        raise FormatError("more than one column has this name. Give each its own.", file, 1, twice[0])
    return tuple(names)
