"""Tables of Parquet and Excel, read in batches."""

import zipfile
from collections.abc import Iterator
from typing import Any

from era.errors import FormatError
from era.formats.entries import Entry, Meter, most_unpacked, open_bytes
from era.formats.rows import PlacedRow

MAX_BOOK = 2_000_000_000  # bytes of all its parts
_BATCH = 2000


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
                self.n_rows: int | None = opened.metadata.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise FormatError(f"this is not a Parquet file ({_first_line(error)}).", self.name) from error

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order.

        Raises:
            FormatError: if the file is damaged.
        """
        import pyarrow
        import pyarrow.parquet

        number, n_rows = 0, self.n_rows or 1
        try:
            with pyarrow.parquet.ParquetFile(self._entry.path) as opened:
                for batch in opened.iter_batches(_BATCH):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
                    meter.add(self.n_bytes * batch.num_rows // n_rows)
        except (pyarrow.ArrowException, OSError) as error:
            problem = f"could not be read to its end ({_first_line(error)})."
            raise FormatError(problem, self.name, number + 1, unit=self.unit) from error


class ExcelRows:
    """Rows of the first sheet of an Excel workbook that has any; its first filled row names the columns."""

    unit = "row"
    encoding = ""
    n_rows = None

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

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order; empty ones are left out, and of a formula its last result is read.

        Raises:
            FormatError: naming the row with more cells than the header, or a damaged file.
        """
        names: list[str] = []
        number = 0
        try:
            for number, cells in self._cells(meter):
                if not any(cell is not None and cell != "" for cell in cells):
                    continue
                if not names:
                    names = self._names(cells, number)
                    continue
                if any(cell is not None and cell != "" for cell in cells[len(names) :]):
                    place = number
                    raise FormatError(
                        f'there are more cells than columns with a name ({len(names)}) in the sheet "{self._sheet}".',
                        self.name,
                        place,
                        unit=self.unit,
                    )
                padded = [*cells[: len(names)], *[None] * (len(names) - len(cells))]
                yield number, dict(zip(names, padded, strict=True))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            problem = f"could not be read to its end ({_first_line(error)}). Save it again, or as CSV."
            raise FormatError(problem, self.name, number + 1, unit=self.unit) from error

    def _cells(self, meter: Meter) -> Iterator[tuple[int, tuple[Any, ...]]]:
        import openpyxl

        with open_bytes(self._entry, meter) as stream:
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            try:
                sheet = book[self._sheet]
                sheet.reset_dimensions()
                yield from enumerate(sheet.iter_rows(values_only=True), start=1)
            finally:
                book.close()

    def _choose(self) -> tuple[str, list[str]]:
        """Return the first sheet that has cells, and the names of the others that have."""
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException

        try:
            with zipfile.ZipFile(self._entry.path) as archive:
                if sum(member.file_size for member in archive.infolist()) > min(most_unpacked(self.n_bytes), MAX_BOOK):
                    raise FormatError("unpacks to more than a table would. Save it as CSV.", self.name)
            with open_bytes(self._entry, Meter()) as stream:
                book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
                try:
                    filled = [sheet.title for sheet in book.worksheets if _has_cells(sheet)]
                finally:
                    book.close()
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, InvalidFileException) as error:
            raise FormatError(f"this is not an Excel workbook ({_first_line(error)}).", self.name) from error
        if not filled:
            raise FormatError("no sheet of this workbook has anything in it.", self.name)
        return filled[0], filled[1:]

    def _names(self, cells: tuple[Any, ...], number: int) -> list[str]:
        names = ["" if cell is None else str(cell).strip() for cell in cells]
        while not names[-1]:
            names.pop()
        names = [name or f"column {place}" for place, name in enumerate(names, start=1)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            problem = "more than one column has this name. Give each its own."
            raise FormatError(problem, self.name, number, twice[0], self.unit)
        return names


def _has_cells(sheet: Any) -> bool:
    sheet.reset_dimensions()
    return any(cell is not None for row in sheet.iter_rows(values_only=True) for cell in row)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
