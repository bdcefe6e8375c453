"""What every table has in common, whatever its kind of file: named columns, and rows at places that can be named."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from era.errors import FormatError
from era.io import limits
from era.io.files import Meter

Row = Mapping[str, Any]
PlacedRow = tuple[int, Row]
"""The line or row from 1 at which it begins, and its values by column."""

N_SAMPLED = 50


class RowFile(Protocol):
    """A table that is read from its beginning, as often as wanted."""

    @property
    def name(self) -> str:
        """Return the name a person knows the file by."""

    @property
    def unit(self) -> str:
        """Return what its places count: `line` or `row`."""

    @property
    def encoding(self) -> str:
        """Return the codec of a text file; empty for others."""

    @property
    def n_rows(self) -> int | None:
        """Return how many rows there are, if the file says so."""

    @property
    def n_bytes(self) -> int:
        """Return the size of the file; 0 if that is unknown."""

    @property
    def remarks(self) -> list[str]:
        """Return what a person should know of how the file is read."""

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order.

        Raises:
            FormatError: at the first place that cannot be read.
        """


def within_limits(rows: Iterator[PlacedRow], file: str, unit: str) -> Iterator[PlacedRow]:
    """Yield rows as long as they are no more than a table could have.

    Raises:
        FormatError: naming the first row that is too many or too wide.
    """
    n_cells = 0
    for n_rows, placed in enumerate(rows, start=1):
        n_columns = len(placed[1])
        n_cells += n_columns
        if n_columns > limits.MAX_COLUMNS:
            raise too_many_columns(n_columns, file, placed[0], unit)
        if n_rows > limits.MAX_ROWS:
            problem = f"there are more than {limits.MAX_ROWS:,} rows. Split the file."
            raise FormatError(problem, file, placed[0], unit=unit)
        if n_cells > limits.MAX_CELLS:
            problem = f"there are more than {limits.MAX_CELLS:,} cells. Leave columns out, or split the file."
            raise FormatError(problem, file, placed[0], unit=unit)
        yield placed


def too_many_columns(n_columns: int, file: str, place: int | None = None, unit: str = "line") -> FormatError:
    """Return the error of a table that is too wide."""
    problem = f"there are {n_columns:,} columns; at most {limits.MAX_COLUMNS:,} can be read. Leave some out."
    return FormatError(problem, file, place, unit=unit)


def sample_rows(file: RowFile) -> list[Row]:
    """Return the first rows."""
    return [row for _, row in islice(file.rows(Meter()), N_SAMPLED)]


def columns_of(rows: list[Row]) -> tuple[str, ...]:
    """Return the columns that the rows have, in the order of their first appearance."""
    return tuple(dict.fromkeys(name for row in rows for name in row))


def named_twice(names: Sequence[str]) -> list[str]:
    """Return the names that more than one column has, in their order."""
    return sorted(name for name, n in Counter(names).items() if n > 1)
