"""Tables of any kind, told by their names: delimited text, JSON, Parquet and Excel."""

import re
from collections.abc import Callable, Mapping, Sequence

from era.errors import FormatError
from era.io.delimited import DelimitedRows, Header
from era.io.excel import ExcelRows
from era.io.files import Entry, Meter, detect_encoding, open_text, unreadable
from era.io.json_rows import JsonRows
from era.io.parquet import ParquetRows
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


def named_table(
    entry: Entry, is_header: Callable[[Sequence[str]], bool], has_ids_as_names: bool = True
) -> RowFile | None:
    """Return the table that a file holds whatever its name; None if it is text whose columns have no names.

    Args:
        entry: the file; a CSV is a table also without names.
        is_header: tells by its cells whether the first row names the columns.
        has_ids_as_names: as `JsonRows` takes it.

    Raises:
        FormatError: if it cannot be read.
    """
    if is_table(entry) and entry.suffix not in (*_DELIMITED, *_JSON):
        return open_rows(entry)
    head = head_of(entry)
    if entry.suffix in _JSON or _JSON_START.match(head):
        return JsonRows(entry, has_ids_as_names)
    first = head.partition("\n")[0]
    cells = [[cell.strip(' "\r') for cell in first.split(mark)] for mark in ("\t" if "\t" in first else ";,|")]
    is_named = any(len(each) > 1 and is_header(each) for each in cells)
    if is_named or entry.suffix == ".csv":
        return DelimitedRows(entry, "yes" if is_named or is_header([first.strip(' "\r')]) else "no")
    return None


def head_of(entry: Entry) -> str:
    """Return the beginning of a text from its first line on that is not blank.

    Raises:
        FormatError: if it is not text.
    """
    try:
        with open_text(entry, detect_encoding(entry), Meter()) as stream:
            head = ""
            while not head and (more := stream.read(_HEAD)):
                head = more.lstrip()
            return head + stream.readline(_HEAD)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise unreadable(entry, error, None) from error


_HEAD = 4000  # characters
_JSON_START = re.compile(r'\{\s*["}]|\[\s*[{\["\]]')
_DELIMITED = (".csv", ".tsv", ".tab")
_JSON = (".json", ".jsonl", ".ndjson")
_OPENERS: Mapping[str, Callable[[Entry], RowFile]] = {
    **dict.fromkeys(_JSON, JsonRows),
    **dict.fromkeys((".parquet", ".pq"), ParquetRows),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), ExcelRows),
}
