"""Tables of any kind, told by their names: delimited text, JSON, Parquet and Excel."""

from collections.abc import Callable, Mapping

from era.errors import FormatError
from era.io.delimited import DelimitedRows
from era.io.excel import ExcelRows
from era.io.files import Entry
from era.io.json_rows import JsonRows
from era.io.parquet import ParquetRows
from era.io.rows import RowFile


def is_table(entry: Entry) -> bool:
    """Return whether the name says that a file is a table."""
    return entry.suffix in _OPENERS


def open_rows(entry: Entry) -> RowFile:
    """Open a table by what its name says of its kind; unknown kinds are taken for delimited text.

    Raises:
        FormatError: if it is of a kind that cannot be read, or in no known encoding.
    """
    if entry.suffix in (".xls", ".ods"):
        raise FormatError("this kind of spreadsheet cannot be read. Save it as .xlsx or CSV.", entry.name)
    return _OPENERS.get(entry.suffix, DelimitedRows)(entry)


_OPENERS: Mapping[str, Callable[[Entry], RowFile]] = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), DelimitedRows),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), JsonRows),
    **dict.fromkeys((".parquet", ".pq"), ParquetRows),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), ExcelRows),
}
