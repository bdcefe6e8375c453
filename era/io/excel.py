"""Tables of Excel workbooks, read row by row.

Nothing is calculated: of a formula, the result is read that was saved with it. A sheet says itself which row and column
a cell is of; that is checked before it is believed, and what lies empty between two rows is not made up.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, iterparse
from xml.parsers import expat

from era.errors import FormatError
from era.extras import require
from era.io import limits
from era.io.columns import is_known_name
from era.io.files import Entry, Meter, open_whole
from era.io.limits import most_unpacked, size_in_words
from era.io.rows import ColumnStats, PlacedRow, named_twice, stats_of, within_limits

_BLOCK = 65536
_N_ROWS_LOOKED_AT = 20  # for the header
_LONGEST_NAME = 60  # characters
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST_COLUMN = 3  # letters
_FIRST_OWN_FORMAT = 164  # number formats below are built in
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_OF_BROKEN_BOOKS = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, ParseError),
)
_Cells = list[Any]


class ExcelRows:
    """Rows of the first sheet of a workbook that has any and is not hidden.

    The header is the first row with text in about every column; titles above it are left out. Without a header, the
    columns are called `column 1`, `column 2`, ...
    """

    unit = "row"
    encoding = ""
    n_rows = None
    nested: tuple[str, ...] = ()

    def __init__(self, entry: Entry) -> None:
        """Choose the sheet and the header.

        Raises:
            FormatError: if it is not an Excel workbook, or unpacks to more than a table could.
        """
        require("openpyxl", "files")
        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self._entry = entry
        self._flaws = _Flaws()
        try:
            with self._opened(Meter()) as book:
                filled = [sheet for sheet in book.sheets if next(self._cells(book, sheet), None)]
                filled.sort(key=lambda sheet: sheet.is_hidden)
                first = list(islice(self._cells(book, filled[0]), _N_ROWS_LOOKED_AT)) if filled else []
        except MemoryError:
            raise
        except _OF_BROKEN_BOOKS as error:
            problem = (
                f"this is not an Excel workbook, or a broken one ({_first_line(error)}). Save it again, or as CSV."
            )
            raise FormatError(problem, self.name) from error
        if not filled:
            raise FormatError("no sheet of this workbook has anything in it.", self.name)
        self._sheet = filled[0]
        self._header_at, self._names = self._header_of(first)
        self._decided = self._said_of(filled, [number for number, _ in first])

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(self._names)

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds over the whole sheet."""
        return stats_of(self)

    @property
    def remarks(self) -> list[str]:
        """Return what was decided, and which cells could not be read."""
        flaws = self._flaws.in_words()
        return [*self._decided, *([f"Of {self.name}, {flaws}."] if flaws else [])]

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order; empty ones are left out.

        Raises:
            FormatError: naming the row with more cells than the header, or a damaged file.
        """
        return within_limits(self._rows(meter), self.name, self.unit)

    def _rows(self, meter: Meter) -> Iterator[PlacedRow]:
        names, number, n_cells = self._names, 0, 0
        most_cells = most_unpacked(self.n_bytes)  # one byte each, as if they were written
        self._flaws = _Flaws()
        try:
            with self._opened(meter) as book:
                for number, cells in self._cells(book, self._sheet):
                    if number <= self._header_at:
                        continue
                    if len(cells) > len(names):
                        problem = f"there are more cells than columns with a name ({len(names)}) in the sheet"
                        raise FormatError(f'{problem} "{self._sheet.name}".', self.name, number, unit=self.unit)
                    n_cells += len(names)
                    if n_cells > most_cells:
                        problem = (
                            f"there are more than {most_cells:,} cells up to here, most of them empty. Save it as CSV."
                        )
                        raise FormatError(problem, self.name, number, unit=self.unit)
                    yield number, dict(zip(names, [*cells, *[None] * (len(names) - len(cells))], strict=True))
        except MemoryError:
            raise
        except _OF_BROKEN_BOOKS as error:
            problem = f"could not be read to its end ({_first_line(error)}). Save it again, or as CSV."
            raise FormatError(problem, self.name, number + 1, unit=self.unit) from error

    @contextmanager
    def _opened(self, meter: Meter) -> Iterator["_Book"]:
        """Open the workbook.

        Raises:
            FormatError: if it unpacks to more than a table would, or a part of it declares a document type.
        """
        with open_whole(self._entry, meter, limits.MAX_BOOK_BYTES) as stream:
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
                n_bytes = sum(member.file_size for member in members)
                if n_bytes > min(most_unpacked(self.n_bytes), limits.MAX_BOOK_BYTES):
                    problem = f"unpacks to {size_in_words(n_bytes)}, more than a table would. Save it as CSV."
                    raise FormatError(problem, self.name)
                for member in members:
                    with archive.open(member) as part:
                        if _has_document_type(part):
                            problem = "it declares XML entities, which no spreadsheet does. Save it again, or as CSV."
                            raise FormatError(problem, self.name)
            stream.seek(0)
            yield _Book(stream, self._flaws)

    def _cells(self, book: "_Book", sheet: "_Sheet") -> Iterator[tuple[int, _Cells]]:
        """Yield the rows of a sheet that have any cell filled, without their empty cells at the end.

        Raises:
            FormatError: if a row or column is none that a sheet has.
        """
        for n_rows, (number, filled) in enumerate(book.rows(sheet), start=1):
            if not 0 < number <= limits.MAX_SHEET_ROWS or n_rows > limits.MAX_SHEET_ROWS:
                problem = f"no sheet has more than {limits.MAX_SHEET_ROWS:,} rows. Save it again, or as CSV."
                raise FormatError(problem, self.name, max(number, n_rows), unit=self.unit)
            n_columns = max(filled, default=0)
            if n_columns > limits.MAX_SHEET_COLUMNS:
                problem = f"no sheet has more than {limits.MAX_SHEET_COLUMNS:,} columns. Save it again, or as CSV."
                raise FormatError(problem, self.name, number, unit=self.unit)
            if n_columns:
                yield number, [filled.get(column) for column in range(1, n_columns + 1)]

    def _header_of(self, first: Sequence[tuple[int, _Cells]]) -> tuple[int, list[str]]:
        """Return the row of the header and the names of the columns; row 0 if there is no header.

        What is above the first row with two usual names of columns is a title if it has fewer cells. Where there are no
        such names, rows with at most half as many cells as the fullest are titles.

        Raises:
            FormatError: if two columns have the same name.
        """
        sizes = [sum(cell is not None for cell in cells) for _, cells in first]
        place = next(place for place, size in enumerate(sizes) if size * 2 > max(sizes))
        for at, (_, cells) in enumerate(first):
            n_known = sum(is_known_name(cell) for cell in cells if isinstance(cell, str))
            if n_known > 1 and _is_header(cells) and max(sizes[:at], default=0) < sizes[at]:
                place = at
                break
        number, cells = first[place]
        if not _is_header(cells):
            return number - 1, [f"column {place}" for place in range(1, max(len(cells) for _, cells in first) + 1)]
        names = [
            f"column {place}" if cell is None else str(cell).strip() or f"column {place}"
            for place, cell in enumerate(cells, start=1)
        ]
        if twice := named_twice(names):
            problem = "more than one column has this name. Give each its own."
            raise FormatError(problem, self.name, number, twice[0], self.unit)
        return number, names

    def _said_of(self, filled: Sequence["_Sheet"], numbers: Sequence[int]) -> list[str]:
        said = []
        if len(filled) > 1 or filled[0].is_hidden:
            read = f'the {"hidden " if filled[0].is_hidden else ""}sheet "{filled[0].name}" was read'
            others = f", and not: {', '.join(map(str, filled[1:]))}" if filled[1:] else ""
            said.append(f"Of {self.name} {read}{others}.")
        if self._header_at not in numbers:
            said.append(f"The first row of {self.name} is no header; its columns are numbered.")
        elif self._header_at > numbers[0]:
            said.append(f"The header of {self.name} is row {self._header_at:,}; what stands above it was left out.")
        return said


@dataclass(slots=True)
class _Flaws:
    """How many cells of a sheet could not be read as they look in Excel."""

    n_unsaved: int = 0
    n_errors: int = 0
    n_merged: int = 0

    def in_words(self) -> str:
        """Return what was made of them; empty if there are none."""
        said = []
        if self.n_unsaved:
            said.append(f"formulas without a saved result were read as empty ({self.n_unsaved:,})")
        if self.n_errors:
            said.append(f"cells with an error were read as empty ({self.n_errors:,})")
        if self.n_merged:
            said.append(f"cells merged over several rows were read in the first of these only ({self.n_merged:,})")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class _Sheet:
    name: str
    part: str
    is_hidden: bool

    def __str__(self) -> str:
        return f"{self.name} (hidden)" if self.is_hidden else self.name


class _Book:
    """A workbook that is open: its sheets, the texts that their cells refer to, and how numbers are shown."""

    def __init__(self, stream: IO[bytes], flaws: _Flaws) -> None:
        from openpyxl.reader.excel import ExcelReader
        from openpyxl.styles.stylesheet import apply_stylesheet
        from openpyxl.xml.constants import SHARED_STRINGS

        reader = ExcelReader(stream, read_only=True, data_only=True)
        reader.read_manifest()
        reader.read_workbook()
        apply_stylesheet(reader.archive, reader.wb)
        self._archive, self._about, self._flaws = reader.archive, reader.wb, flaws
        self.sheets = [
            _Sheet(sheet.name, relation.target, is_hidden=sheet.state != "visible")
            for sheet, relation in reader.parser.find_sheets()
            if relation.target in reader.valid_files and "chartsheet" not in relation.Type
        ]
        part = reader.package.find(SHARED_STRINGS)
        self._texts = [] if part is None else [_text_of(each) for each in self._elements(part.PartName[1:], "si")]

    def rows(self, sheet: _Sheet) -> Iterator[tuple[int, dict[int, Any]]]:
        """Yield the number of each row and its filled cells by their columns, as the sheet has them."""
        number = 0
        for element in self._elements(sheet.part, "row", "mergeCell"):
            if _name(element) == "mergeCell":
                first, _, last = element.get("ref", "").partition(":")
                self._flaws.n_merged += first.lstrip(_LETTERS) != last.lstrip(_LETTERS)
                continue
            number = int(float(element.get("r", number + 1)))
            column, filled = 0, {}
            for cell in element:
                place = cell.get("r")
                column = _column_of(place) if place else column + 1
                if (value := self._value(cell)) not in (None, ""):
                    filled[column] = value
            yield number, filled

    def _value(self, cell: Element) -> Any:
        """Return a text, a number, a boolean, a date or a time; None for an empty cell."""
        from openpyxl.utils.datetime import from_ISO8601

        kind, text, has_formula = cell.get("t", "n"), None, False
        for part in cell:
            name = _name(part)
            if name == "is":
                return _text_of(part)
            if name == "v":
                text = part.text or ""
            has_formula |= name == "f"
        if not text:
            self._flaws.n_unsaved += has_formula and text is None
            return None
        if kind == "s":
            return self._texts[int(text)]
        if kind == "n":
            number = float(text) if "." in text or "E" in text or "e" in text else int(text)
            return self._as_shown(number, int(cell.get("s", 0)))
        if kind == "b":
            return text in ("1", "true")
        if kind == "d":
            return from_ISO8601(text)
        if kind != "e":
            return _unescaped(text)
        self._flaws.n_errors += 1
        return None

    def _as_shown(self, number: float, style: int) -> Any:
        """Return a number; a date or a time if it is shown as one, and a text if it has zeros in front, such as 007."""
        from openpyxl.utils.datetime import from_excel

        about = self._about
        if style in about._date_formats:
            try:
                return from_excel(number, about.epoch, timedelta=style in about._timedelta_formats)
            except (OverflowError, ValueError):
                self._flaws.n_errors += 1
                return None
        own_format = about._cell_styles[style].numFmtId - _FIRST_OWN_FORMAT if style else -1
        shown = about._number_formats[own_format] if own_format >= 0 else ""
        return str(number).zfill(len(shown)) if shown and not shown.strip("0") and number == int(number) else number

    def _elements(self, part: str, *names: str) -> Iterator[Element]:
        """Yield the elements of a part that have one of these names, each of which is let go of afterwards."""
        with self._archive.open(part) as stream:
            around: list[Element] = []
            for event, element in iterparse(stream, ("start", "end")):
                if event == "start":
                    around.append(element)
                    continue
                around.pop()
                if _name(element) in names:
                    yield element
                    around[-1].clear()


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _column_of(place: str) -> int:
    """Return the number of the column that a place such as `AB12` is in, from 1.

    Raises:
        ValueError: if it is no such place.
    """
    letters = place.upper().rstrip("0123456789")
    if not 0 < len(letters) <= _LONGEST_COLUMN or letters.strip(_LETTERS):
        raise ValueError(f"there is no cell {place[:20]!r}")
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _text_of(element: Element) -> str:
    """Return the text of a string in one font or several, without how it is pronounced."""
    parts = []
    for each in element:
        if _name(each) == "t":
            parts.append(each.text or "")
        elif _name(each) == "r":
            parts += [part.text or "" for part in each if _name(part) == "t"]
    return _unescaped("".join(parts))


def _unescaped(text: str) -> str:
    """Return a text with the characters that XML cannot hold, which are written as `_x000D_`."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _is_header(cells: _Cells) -> bool:
    """Return whether cells name columns: all are texts, and these are short or one is a usual name."""
    filled = [cell for cell in cells if cell is not None]
    if not all(isinstance(cell, str) for cell in filled):
        return False
    is_short = all(len(cell) <= _LONGEST_NAME and not cell.strip().isdecimal() for cell in filled)
    return is_short or any(map(is_known_name, filled))


class _Begins(Exception):  # noqa: N818 - tells what was found, and stops the parser there
    """Raised at the root element or at the document type, whichever comes first."""

    def __init__(self, has_document_type: bool) -> None:
        super().__init__()
        self.has_document_type = has_document_type


def _has_document_type(stream: IO[bytes]) -> bool:
    """Return whether XML declares a document type, which alone can hold entities; none of them is expanded."""

    def begin_document_type(*about: Any) -> None:
        raise _Begins(has_document_type=True)

    def begin_element(*about: Any) -> None:
        raise _Begins(has_document_type=False)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = begin_document_type
    parser.StartElementHandler = begin_element
    try:
        while block := stream.read(_BLOCK):
            parser.Parse(block)
    except _Begins as found:
        return found.has_document_type
    except expat.ExpatError:  # a picture, or what will be refused when it is read
        return False
    return False


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
