"""Mend a damaged database while the app is stopped: `python -m storage.rescue PATH`.

The newest sound backup is taken, or a new database where there is none, and every row of the damaged file that can
still be read is added. Where both have a row, that of the backup counts for what never changes (marks, and the text of
a document), that of the damaged file, which is newer, for all else. The damaged file is kept; nothing is deleted.
"""

import argparse
import json
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import JSON, Boolean, Column, Double, Enum, Float, Integer, Table

from storage.backups import list_backups, made_at
from storage.engine import close, open_database
from storage.errors import StorageError
from storage.integrity import look_through
from storage.schema import Base, UtcDateTime

_MOST_FAILURES = 20_000  # reads of one table that may fail before the rest of it is given up
_HIGHEST_ID = 2**40
_UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter of a message that repeats what is damaged
_PARTS = ("", "-wal", "-shm")  # of a database that was in use when the process ended
_NEVER_CHANGED = ("judgment_event", "preference_event", "search_event")
_DATABASE, _LOCK = "era.sqlite3", "app.lock"


@dataclass(frozen=True, slots=True)
class Rescue:
    """What was done.

    Attributes:
        backup: the copy that was taken; None if there was none to take.
        added: table -> rows of the damaged file that were added.
        dropped: rows that were left out since what they belong to cannot be read.
        kept_as: where the damaged file is now.
    """

    backup: Path | None
    added: dict[str, int]
    dropped: int
    kept_as: Path


def rescue(path: Path) -> Rescue:
    """Put a sound database in the place of a damaged one.

    Raises:
        StorageError: if the app is running, or nothing can be read and there is no backup; nothing is changed then.
    """
    if not path.is_file():
        raise StorageError(f"There is no database {path}. Give the path of one, or of the data folder of the app.")
    try:
        with FileLock(path.with_name(_LOCK), timeout=0):
            return _rescue(path)
    except Timeout as error:
        raise StorageError(f"The app is using {path.parent}. Stop it first, then run this again.") from error


def _rescue(path: Path) -> Rescue:
    now = datetime.now(UTC)
    scratch = path.with_name(f"{path.stem}.rescued-{now:%Y%m%d%H%M%S}{path.suffix}")
    backup = next((each for each in list_backups(path) if not look_through(each)), None)
    if backup is not None:
        shutil.copyfile(backup, scratch)
    try:
        close(open_database(scratch))
        with closing(sqlite3.connect(scratch, isolation_level=None)) as target:
            added, dropped = _add_readable_rows(path, target)
        if backup is None and not any(added.values()):
            raise StorageError(f"Nothing can be read of {path}, and there is no backup. It was left as it is.")
        damage = look_through(scratch)
        if damage:
            raise StorageError(f"What can be read of {path} makes no sound database ({damage}). It was left as it is.")
        kept_as = path.with_name(f"{path.name}.damaged-{now:%Y%m%d%H%M%S}")
        for part in _PARTS:
            file = path.with_name(path.name + part)
            if file.exists():
                file.rename(kept_as.with_name(kept_as.name + part))
        scratch.rename(path)
    finally:
        for part in _PARTS:
            scratch.with_name(scratch.name + part).unlink(missing_ok=True)
    return Rescue(backup, added, dropped, kept_as)


def _add_readable_rows(path: Path, target: sqlite3.Connection) -> tuple[dict[str, int], int]:
    """Add what the target lacks; return how many rows of each table, and how many of them went again."""
    added: dict[str, int] = {}
    target.execute("PRAGMA foreign_keys = OFF")
    target.execute("BEGIN")
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source:
        source.text_factory = bytes
        for table in Base.metadata.sorted_tables:
            before = _count(target, table)
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            places = ", ".join("?" for _ in table.columns)
            rows: Iterable[list[Any]] = _sound_rows(source, table, names)
            if table.name == "document":
                rows = _with_another_text(rows, table, target)
            insert = "INSERT OR IGNORE" if table.name in _NEVER_CHANGED else "INSERT OR REPLACE"
            target.executemany(f'{insert} INTO "{table.name}" ({names}) VALUES ({places})', rows)
            added[table.name] = _count(target, table) - before
    dropped = 0
    while orphans := target.execute("PRAGMA foreign_key_check").fetchall():
        for table_name, row_id, *_ in orphans:
            dropped += target.execute(f'DELETE FROM "{table_name}" WHERE rowid = ?', (row_id,)).rowcount
    target.execute("COMMIT")
    return added, dropped


def _count(target: sqlite3.Connection, table: Table) -> int:
    [(n,)] = target.execute(f'SELECT count(*) FROM "{table.name}"')
    return int(n)


def _with_another_text(rows: Iterable[list[Any]], table: Table, target: sqlite3.Connection) -> Iterator[list[Any]]:
    """Yield the documents that the target lacks or has with another text."""
    known = dict(target.execute("SELECT id, content_hash FROM document"))
    place_of_id, place_of_hash = (list(table.columns).index(table.columns[name]) for name in ("id", "content_hash"))
    return (row for row in rows if known.get(row[place_of_id]) != row[place_of_hash])


def _sound_rows(source: sqlite3.Connection, table: Table, names: str) -> Iterator[list[Any]]:
    for row in _readable_rows(source, table.name, names):
        try:
            yield [_value(stored, column) for stored, column in zip(row, table.columns, strict=True)]
        except (ValueError, TypeError):
            continue


def _readable_rows(source: sqlite3.Connection, table: str, names: str) -> Iterator[Sequence[Any]]:
    """Yield the rows that can be read, halving the range of ids around each place where reading fails."""
    try:
        source.execute(f'SELECT {names} FROM "{table}" WHERE 0').close()
    except _UNREADABLE:  # the definitions of the tables are damaged, so that no row can be found
        return
    ranges, n_failures = [(-1, _HIGHEST_ID)], 0
    while ranges and n_failures < _MOST_FAILURES:
        low, high = ranges.pop()
        # one row is asked for by its id alone, since the end of a range is found by looking at the row behind it
        where = "rowid BETWEEN ? AND ? ORDER BY rowid" if low < high else "rowid = ? AND rowid = ?"
        try:
            for row_id, *row in source.execute(f'SELECT rowid, {names} FROM "{table}" WHERE {where}', (low, high)):
                low = max(low, row_id + 1)
                yield row
        except _UNREADABLE:
            n_failures += 1
            if low < high:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]


def _value(stored: Any, column: "Column[Any]") -> Any:
    """Return a stored value as it is written again.

    Raises:
        ValueError: if it is not what the column holds.
        TypeError: likewise.
    """
    if stored is None:
        if not column.nullable:
            raise ValueError("nothing where there has to be something")
        return None
    kind = column.type
    if isinstance(kind, Integer | Boolean):
        return _of(int, stored)
    if isinstance(kind, Double | Float):
        return _of((int, float), stored)
    text: str = _of(bytes, stored).decode("utf-8")
    if isinstance(kind, JSON):
        json.loads(text)
    elif isinstance(kind, UtcDateTime):
        datetime.fromisoformat(text)
    elif isinstance(kind, Enum) and text not in kind.enums:
        raise ValueError(f"{text!r} is none of {kind.enums}")
    return text


def _of(kind: type | tuple[type, ...], stored: Any) -> Any:
    if not isinstance(stored, kind):
        raise TypeError(f"expected {kind}, got {type(stored).__name__}")
    return stored


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m storage.rescue", description=__doc__)
    parser.add_argument("path", type=Path, help=f"of the database, or of the folder with {_DATABASE} in it")
    path: Path = parser.parse_args(arguments).path
    try:
        done = rescue(path / _DATABASE if path.is_dir() else path)
    except StorageError as error:
        print(error, file=sys.stderr)  # noqa: T201 - command-line output
        return 1
    taken = f"the backup made {made_at(done.backup)}" if done.backup else "a new database, since there was no backup"
    print(f"Took {taken}, and added what could be read of the damaged one:")  # noqa: T201
    for table, n in done.added.items():
        if n:
            print(f"  {table}: {n:,}")  # noqa: T201
    if done.dropped:
        print(f"Left out: {done.dropped:,} rows whose query, label set or collection cannot be read.")  # noqa: T201
    print(f"The damaged one is kept as {done.kept_as}.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
