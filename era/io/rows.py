"""What every table has in common, whatever its kind of file: named columns, and rows at places that can be named."""

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from era.errors import FormatError
from era.io import limits
from era.io.files import Meter

Row = Mapping[str, Any]
PlacedRow = tuple[int, Row]
"""The line or row from 1 at which it begins, and its values by column."""

_ROWS_AT_ONCE, _CHARACTERS_AT_ONCE = 512, 1_000_000
_LONGEST_ID = 100  # characters
_PLAIN = frozenset((str, int, float, bool, type(None)))
_DIGIT = re.compile(r"\d")


class ColumnStats:
    """What a column of a whole table holds, as far as it tells ids, names and texts apart.

    Attributes:
        n_cells: how many cells.
        n_filled: how many of them have anything in them.
        n_spaced: how many have a blank between words.
        n_characters: of all cells together.
        shortest: characters of the shortest filled cell; 0 without any.
        longest: characters of the longest cell.
        has_digits: whether every cell has a digit.
    """

    def __init__(self) -> None:
        self.n_cells = self.n_filled = self.n_spaced = self.n_characters = self.shortest = self.longest = 0
        self.has_digits = True
        self._hashes: array[int] | None = array("q")  # None once a cell is no id

    def add(self, cells: Sequence[str]) -> None:
        """Count some cells, without blanks around them."""
        lengths = [length for cell in cells if (length := len(cell))]
        self.n_cells += len(cells)
        if not lengths:
            self._hashes = None
            return
        shortest, longest = min(lengths), max(lengths)
        self.n_filled += len(lengths)
        self.n_characters += sum(lengths)
        self.n_spaced += sum(" " in cell for cell in cells)
        self.shortest = min(self.shortest, shortest) or shortest
        self.longest = max(self.longest, longest)
        self.has_digits = self.has_digits and all(map(_DIGIT.search, cells))
        if self.longest > _LONGEST_ID or self.n_spaced or self.n_filled < self.n_cells:
            self._hashes = None
        elif self._hashes is not None:
            self._hashes.extend(map(hash, cells))

    @property
    def could_be_ids(self) -> bool:
        """Return whether every cell is filled, one short word, and there only once."""
        if not self._hashes:
            return False
        import numpy as np  # not before it is needed: what only opens a file starts without it

        return len(np.unique(np.array(self._hashes, np.int64))) == self.n_cells

    @property
    def are_ids(self) -> bool:
        """Return whether these are ids by all looks: such words, each with a digit in it."""
        return self.has_digits and self.could_be_ids


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

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that any row has, in the order of their first appearance.

        Raises:
            FormatError: at the first place that cannot be read.
        """

    @property
    def nested(self) -> tuple[str, ...]:
        """Return the columns that hold lists, objects or bytes, as far as a text does not say the same."""

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds over the whole table.

        Raises:
            FormatError: at the first place that cannot be read.
        """

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


def names_of(rows: Iterator[PlacedRow], file: str, unit: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that any row has, and those of them that hold what no text says.

    Raises:
        FormatError: if there are more than a table could have.
    """
    names: dict[str, None] = {}
    nested: dict[str, None] = {}
    for place, row in rows:
        if not row.keys() <= names.keys():
            names |= dict.fromkeys(row)
            if len(names) > limits.MAX_COLUMNS:
                raise too_many_columns(len(names), file, place, unit)
        if not _PLAIN.issuperset(map(type, row.values())):
            nested |= {name: None for name, value in row.items() if is_nested(value)}
    return tuple(names), tuple(nested)


def stats_of(file: RowFile) -> dict[str, ColumnStats]:
    """Return what each column of a table holds, by reading all of it."""
    stats = {column: ColumnStats() for column in file.columns if column not in file.nested}
    cells: dict[str, list[str]] = {column: [] for column in stats}
    n_characters = 0

    def take() -> None:
        for column, some in cells.items():
            stats[column].add(some)
            some.clear()

    for number, (_, row) in enumerate(file.rows(Meter()), start=1):
        for column, some in cells.items():
            value = row.get(column)
            some.append(cell := "" if value is None else str(value).strip())
            n_characters += len(cell)
        if number % _ROWS_AT_ONCE == 0 or n_characters > _CHARACTERS_AT_ONCE:
            take()
            n_characters = 0
    take()
    return stats


def is_nested(value: Any) -> bool:
    """Return whether a value is a list, an object or bytes; a list of texts is not, since one text can say it."""
    if isinstance(value, list | tuple):
        return not all(isinstance(each, str) for each in value)
    return isinstance(value, dict | bytes)


def named_twice(names: Sequence[str]) -> list[str]:
    """Return the names that more than one column has, in their order."""
    return sorted(name for name, n in Counter(names).items() if n > 1)
