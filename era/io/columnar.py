"""Tables of Parquet and Excel, read in batches."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

from era.errors import FormatError
from era.io import limits
from era.io.files import Entry, Meter, open_whole
from era.io.limits import most_unpacked, size_in_words
from era.io.rows import ColumnStats, PlacedRow, named_twice, stats_of, too_many_columns, within_limits

_BATCH = 256  # a long text can be held once, and referred to by every row
_CELLS_AT_ONCE = 1_000_000
_BLOCK = 65536
_OF_BROKEN_BOOKS = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, ParseError),
)


class ParquetRows:
    """Rows of a Parquet file."""

    unit = "row"
    encoding = ""

    def __init__(self, entry: Entry) -> None:
        """Read how many rows there are.

        Raises:
            FormatError: if it is not Parquet.
        """
        import pyarrow
        import pyarrow.parquet

        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self.remarks: list[str] = []
        self._entry = entry
        try:
            with pyarrow.parquet.ParquetFile(entry.path) as opened:
                about = opened.metadata
                schema = opened.schema_arrow
                self.n_rows: int | None = about.num_rows
                self._n_columns = about.num_columns
                n_bytes = sum(about.row_group(place).total_byte_size for place in range(about.num_row_groups))
        except (pyarrow.ArrowException, OSError) as error:
            raise FormatError(f"this is not a Parquet file ({_first_line(error)}).", self.name) from error
        if self._n_columns > limits.MAX_COLUMNS:
            raise too_many_columns(self._n_columns, self.name)
        self.columns = tuple(schema.names)
        self.nested = tuple(each.name for each in schema if _is_nested(each.type))
        if n_bytes > most_unpacked(self.n_bytes):
            problem = f"unpacks to {size_in_words(n_bytes)}, which no text does. Write it again without compression."
            raise FormatError(problem, self.name)

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds over the whole file."""
        return stats_of(self)

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order.

        Raises:
            FormatError: if the file is damaged.
        """
        return within_limits(self._rows(meter), self.name, self.unit)

    def _rows(self, meter: Meter) -> Iterator[PlacedRow]:
        import pyarrow
        import pyarrow.parquet

        number, n_rows = 0, self.n_rows or 1
        at_once = min(_BATCH, max(_CELLS_AT_ONCE // max(self._n_columns, 1), 1))
        try:
            with pyarrow.parquet.ParquetFile(self._entry.path, buffer_size=_BLOCK) as opened:
                for batch in opened.iter_batches(at_once):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
                    meter.add(self.n_bytes * batch.num_rows // n_rows)
        except MemoryError:  # which is also an error of Arrow
            raise
        except (pyarrow.ArrowException, OSError) as error:
            problem = f"could not be read to its end ({_first_line(error)})."
            raise FormatError(problem, self.name, number + 1, unit=self.unit) from error


def _is_nested(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_nested(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return not (types.is_string(kind.value_type) or types.is_large_string(kind.value_type))
    return bool(types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


class ExcelRows:
    """Rows of the first sheet of an Excel workbook that has any; its first filled row names the columns."""

    unit = "row"
    encoding = ""
    n_rows = None
    nested: tuple[str, ...] = ()

    def __init__(self, entry: Entry) -> None:
        """Choose the sheet.

        Raises:
            FormatError: if it is not an Excel workbook, or unpacks to more than a table could.
        """
        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self.remarks: list[str] = []
        self._entry = entry
        self._sheet, others = self._choose()
        if others:
            listed = ", ".join(others)
            self.remarks.append(f'Of {entry.name} the sheet "{self._sheet}" was read, and not: {listed}.')

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the names in the first filled row."""
        try:
            with self._opened(Meter()) as book:
                number, cells = next(self._cells(book[self._sheet]))
        except MemoryError:
            raise
        except _OF_BROKEN_BOOKS as error:
            raise self._broken(error, 1) from error
        return tuple(self._names(cells, number))

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds over the whole sheet."""
        return stats_of(self)

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order; empty ones are left out, and of a formula its last result is read.

        Raises:
            FormatError: naming the row with more cells than the header, or a damaged file.
        """
        return within_limits(self._rows(meter), self.name, self.unit)

    def _rows(self, meter: Meter) -> Iterator[PlacedRow]:
        names: list[str] = []
        number = 0
        try:
            with self._opened(meter) as book:
                for number, cells in self._cells(book[self._sheet]):
                    if not names:
                        names = self._names(cells, number)
                        continue
                    if len(cells) > len(names):
                        raise FormatError(
                            f"there are more cells than columns with a name ({len(names)}) in the sheet "
                            f'"{self._sheet}".',
                            self.name,
                            number,
                            unit=self.unit,
                        )
                    yield number, dict(zip(names, [*cells, *[None] * (len(names) - len(cells))], strict=True))
        except MemoryError:
            raise
        except _OF_BROKEN_BOOKS as error:
            raise self._broken(error, number + 1) from error

    def _broken(self, error: Exception, number: int) -> FormatError:
        problem = f"could not be read to its end ({_first_line(error)}). Save it again, or as CSV."
        return FormatError(problem, self.name, number, unit=self.unit)

    def _cells(self, sheet: Any) -> Iterator[tuple[int, list[Any]]]:
        """Yield the rows that have any cell filled, as they stand in the file, without their empty cells at the end.

        A sheet says itself which row and column a cell is of. What it says is not believed before it is checked, and
        what it leaves out between two rows is not made up, as openpyxl's own rows would.

        Raises:
            FormatError: if a row or column is none that a sheet has.
        """
        from openpyxl.worksheet._reader import WorkSheetParser

        book = sheet.parent
        with sheet._get_source() as source:
            parser = WorkSheetParser(
                source,
                sheet._shared_strings,
                data_only=True,
                epoch=book.epoch,
                date_formats=book._date_formats,
                timedelta_formats=book._timedelta_formats,
            )
            for n_rows, (number, found) in enumerate(parser.parse(), start=1):
                if not 0 < number <= limits.MAX_SHEET_ROWS or n_rows > limits.MAX_SHEET_ROWS:
                    problem = f"no sheet has more than {limits.MAX_SHEET_ROWS:,} rows. Save it again, or as CSV."
                    raise FormatError(problem, self.name, max(number, n_rows), unit=self.unit)
                filled = {each["column"]: each["value"] for each in found if each["value"] not in (None, "")}
                n_columns = max(filled, default=0)
                if n_columns > limits.MAX_SHEET_COLUMNS:
                    problem = f"no sheet has more than {limits.MAX_SHEET_COLUMNS:,} columns. Save it again, or as CSV."
                    raise FormatError(problem, self.name, number, unit=self.unit)
                if n_columns:
                    yield number, [filled.get(column) for column in range(1, n_columns + 1)]

    @contextmanager
    def _opened(self, meter: Meter) -> Iterator[Any]:
        """Open the workbook.

        Raises:
            FormatError: if it unpacks to more than a table would, or a part of it declares a document type.
        """
        import openpyxl

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
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            try:
                yield book
            finally:
                book.close()

    def _choose(self) -> tuple[str, list[str]]:
        """Return the first sheet that has cells, and the names of the others that have."""
        try:
            with self._opened(Meter()) as book:
                filled = [sheet.title for sheet in book.worksheets if any(True for _ in self._cells(sheet))]
        except MemoryError:
            raise
        except _OF_BROKEN_BOOKS as error:
            raise FormatError(f"this is not an Excel workbook ({_first_line(error)}).", self.name) from error
        if not filled:
            raise FormatError("no sheet of this workbook has anything in it.", self.name)
        return filled[0], filled[1:]

    def _names(self, cells: list[Any], number: int) -> list[str]:
        names = ["" if cell is None else str(cell).strip() for cell in cells]
        while names and not names[-1]:
            names.pop()
        names = [name or f"column {place}" for place, name in enumerate(names, start=1)]
        if twice := named_twice(names):
            problem = "more than one column has this name. Give each its own."
            raise FormatError(problem, self.name, number, twice[0], self.unit)
        return names


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
