"""Tables of any kind, told by their names: delimited text, JSON, Parquet and Excel."""

from collections.abc import Callable, Mapping

from era.errors import FormatError
from era.io.columnar import ExcelRows, ParquetRows
from era.io.delimited import DelimitedRows, Header
from era.io.files import Entry
from era.io.json_rows import JsonRows
from era.io.rows import RowFile


def is_table(entry: Entry) -> bool:
    """Return whether the name says that a file is a table."""
    return entry.suffix in _OPENERS or entry.suffix in (".csv", ".tsv", ".tab")


def open_rows(entry: Entry, header: Header = "") -> RowFile:
    """Open a table by what its name says of its kind; unknown kinds are taken for delimited text.

    Whether the first line of delimited text names the columns is judged by the file if `header` is empty.

    Raises:
        FormatError: if it is of a kind that cannot be read, or in no known encoding.
    """
    if entry.suffix in (".xls", ".ods"):
        raise FormatError("this kind of spreadsheet cannot be read. Save it as .xlsx or CSV.", entry.name)
    opener = _OPENERS.get(entry.suffix)
    return DelimitedRows(entry, header) if opener is None else opener(entry)


_OPENERS: Mapping[str, Callable[[Entry], RowFile]] = {
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), JsonRows),
    **dict.fromkeys((".parquet", ".pq"), ParquetRows),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), ExcelRows),
}
