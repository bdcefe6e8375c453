"""Tables of Parquet, read in batches."""

from collections.abc import Iterator, Mapping
from typing import Any

from era.errors import FormatError
from era.extras import require
from era.io import limits
from era.io.files import Entry, Meter
from era.io.limits import most_unpacked, size_in_words
from era.io.rows import ColumnStats, PlacedRow, stats_of, too_many_columns, within_limits

_BATCH = 256  # a long text can be held once, and referred to by every row
_CELLS_AT_ONCE = 1_000_000
_BLOCK = 65536


class ParquetRows:
    """Rows of a Parquet file."""

    unit = "row"
    encoding = ""

    def __init__(self, entry: Entry) -> None:
        """Read how many rows there are.

        Raises:
            FormatError: if it is not Parquet.
        """
        require("pyarrow", "files")
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
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
            problem = f"could not be read to its end ({_first_line(error)})."
            raise FormatError(problem, self.name, number + 1, unit=self.unit) from error


def _is_nested(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_nested(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return not (types.is_string(kind.value_type) or types.is_large_string(kind.value_type))
    return bool(types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
