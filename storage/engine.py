"""Open, back up and close the database file, and what all stores write and look up by (batches, insert or find).

Everything that only SQLite understands is in this module.
Keep the file on a local disk: on a network folder SQLite's locks do not hold.
"""

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from storage import migrations
from storage.errors import DatabaseBusy, DatabaseDamaged, DatabaseTooNew, DataFolderNotWritable
from storage.integrity import look_over
from storage.schema import Base, current_judgment
from storage.schema.base import UnreadableValue

BUSY_TIMEOUT_MS = 5000
"""How long a writer waits for the one before it."""

_READING = "storage_reading"  # the execution option that marks a connection as reading only
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_NOT_A_DATABASE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_LOOKED_OVER_BYTES = 256 << 20  # what is larger takes longer than a start should wait, and is left to `look_through`
_NOT_WRITABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
}


def open_database(path: Path) -> Engine:
    """Open the database at `path`, creating folder and file if need be, and migrate it to this version.

    Raises:
        DataFolderNotWritable: if folder or file cannot be created or written.
        DatabaseBusy: if another process holds it for longer than a writer waits.
        DatabaseDamaged: if the file is no readable database; it is left as it is.
        DatabaseTooNew: if a newer version of the program wrote it; it is left as it is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFolderNotWritable(path.parent, error.strerror or str(error)) from error
    if path.is_file() and path.stat().st_size <= _LOOKED_OVER_BYTES:
        damage = look_over(path)
        if damage:
            raise DatabaseDamaged(path, damage)
    engine = _create_engine(path)
    try:
        _migrate(engine, path)
    except UnicodeDecodeError as error:  # SQLite's message repeats what is damaged
        engine.dispose()
        raise DatabaseDamaged(path, str(error)) from error
    except (DBAPIError, sqlite3.Error) as error:  # the second while connecting, before SQLAlchemy wraps it
        engine.dispose()
        raise _in_plain_words(error, path) from error
    except Exception:
        engine.dispose()
        raise
    return engine


def session_factory(engine: Engine) -> sessionmaker[Session]:
    """Return the maker of sessions that may write; use as `with factory.begin() as session`.

    Such a session holds the database's one write lock from its first statement to its end, so keep it short
    and compute outside of it. For long or frequent reading there is `reading_session_factory`.
    """
    return sessionmaker(engine, expire_on_commit=False)


def reading_session_factory(engine: Engine) -> sessionmaker[Session]:
    """Return the maker of sessions that only read: they see one moment, and neither wait nor hold others up.

    A write in such a session is an error of the database.
    """
    return sessionmaker(engine.execution_options(**{_READING: True}), expire_on_commit=False)


@contextmanager
def plain_errors(engine: Engine) -> Iterator[None]:
    """Turn the database's errors inside into storage errors, where a person can mend or wait for what is wrong.

    Raises:
        DatabaseBusy: if another writer held on for longer than a writer waits.
        DataFolderNotWritable: if the disk is full or the file cannot be written.
        DatabaseDamaged: if the file is no readable database any more, or a value in it is not what was stored.
    """
    path = Path(engine.url.database or "")
    try:
        yield
    except (UnreadableValue, UnicodeDecodeError) as error:
        raise DatabaseDamaged(path, str(error)) from error
    except DBAPIError as error:
        plain = _in_plain_words(error, path)
        if plain is error:
            raise
        raise plain from error


def backup_database(engine: Engine, target: Path) -> None:
    """Copy the database to `target` while it is in use; the copy is of one moment, and whole or not there.

    Raises:
        DataFolderNotWritable: if the copy cannot be written.
        ValueError: if `target` is the database itself.
    """
    if engine.url.database and target.resolve() == Path(engine.url.database).resolve():
        raise ValueError(f"expected a target other than the database itself, got {target}")
    unfinished = target.with_name(target.name + ".unfinished")
    source = engine.raw_connection()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        copy = sqlite3.connect(unfinished)
        try:
            _sqlite(source.driver_connection).backup(copy)
            # WAL mode is copied too; without it the copy is one file, whatever opens it later
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        os.replace(unfinished, target)  # noqa: PTH105 (the one call that replaces on every system)
    except OSError as error:
        raise DataFolderNotWritable(target.parent, error.strerror or str(error)) from error
    except sqlite3.Error as error:
        if _primary_code(error) in _NOT_WRITABLE:
            raise DataFolderNotWritable(target.parent, str(error)) from error
        raise
    finally:
        source.close()


def close(engine: Engine) -> None:
    """Close every pooled connection; the last one folds the write-ahead log into the file."""
    engine.dispose()


def _create_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        json_serializer=partial(json.dumps, ensure_ascii=False, allow_nan=False),  # NaN is no JSON elsewhere
        json_deserializer=_read_json,
    )
    event.listen(engine, "connect", _configure_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _configure_connection(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    driver_connection = _sqlite(connection)
    # the driver opens no transactions of its own: it would leave DDL outside of them
    driver_connection.isolation_level = None
    pragmas = (
        f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
        "PRAGMA foreign_keys = ON",
        # FULL, not NORMAL: under WAL, NORMAL syncs only at checkpoints, and a mark that a person was told is
        # saved must survive a power cut
        "PRAGMA synchronous = FULL",
    )
    try:
        for pragma in pragmas:
            driver_connection.execute(pragma)
    except sqlite3.Error:  # the pool does not own the connection yet
        driver_connection.close()
        raise


def _begin(connection: Connection) -> None:
    """Begin the transaction: a reading one as a snapshot, any other with the write lock in hand.

    A plain BEGIN that reads and then writes fails at once with SQLITE_BUSY, without waiting, when another
    thread has committed in between. Taking the lock at the start makes writers queue for up to the busy
    timeout instead, and lets "read, decide, write" in a store rest on what it read.
    """
    is_reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if is_reading else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def _migrate(engine: Engine, path: Path) -> None:
    source = engine.raw_connection()
    try:
        _use_write_ahead_log(_sqlite(source.driver_connection))
    finally:
        source.close()
    with engine.begin() as connection:
        revision = migrations.unknown_revision(connection)
        if revision is not None and re.fullmatch(r"\d{4}", revision):
            raise DatabaseTooNew(path, revision)
        if revision is not None:
            raise DatabaseDamaged(path, f"it is of no version, {revision!r}")
        migrations.upgrade(connection)
        _require_columns(connection, path)


def _require_columns(connection: Connection, path: Path) -> None:
    """Check that the damage of a table's definition has not taken a column away."""
    for table in Base.metadata.sorted_tables:
        found = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info('{table.name}')")}
        missing = sorted({column.name for column in table.columns} - found)
        if missing:
            raise DatabaseDamaged(path, f"the table {table.name} has no {missing[0]}")


def _read_json(stored: str) -> Any:
    try:
        return json.loads(stored)
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableValue(f"a stored value is no JSON ({error})") from error


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch to the log under which readers and the writer do not block each other; the mode stays with the file.

    The switch does not wait for its turn as other statements do, so where two open the file at once it is tried again.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _primary_code(error) not in _BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _in_plain_words(error: DBAPIError | sqlite3.Error, path: Path) -> Exception:
    """Return the storage error that `error` means, or `error` itself where a person cannot mend it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = _primary_code(cause)
    if code in _BUSY:
        return DatabaseBusy(path, str(cause))
    if code in _NOT_A_DATABASE:
        return DatabaseDamaged(path, str(cause))
    if code in _NOT_WRITABLE:
        return DataFolderNotWritable(path.parent, str(cause))
    if isinstance(cause, sqlite3.OperationalError) and _tells_of_damage(str(cause)):
        return DatabaseDamaged(path, str(cause))
    return error


def _tells_of_damage(message: str) -> bool:
    """Return whether an error that has no code of its own comes of damage: what the migrations made is always there."""
    if message.startswith("Could not decode to UTF-8"):
        return True
    missing = re.fullmatch(r"no such (?:table|column): (?:\w+\.)*(\w+)", message)
    tables = {*Base.metadata.tables, current_judgment.name}
    names = tables | {column.name for table in Base.metadata.sorted_tables for column in table.columns}
    return bool(missing and missing[1] in names) or bool(re.match(r"(?:table|view|index) \S+ already exists", message))


def _primary_code(error: BaseException | None) -> int | None:
    """Return SQLite's primary result code; the bits above the first eight only refine it."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _sqlite(connection: object) -> sqlite3.Connection:
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"expected an SQLite connection, got {type(connection).__name__}")
    return connection


ItemT = TypeVar("ItemT")
RowT = TypeVar("RowT", bound=Base)

LOOKUP_BATCH = 500
"""How many values to look up at once: older SQLite takes no more than 999 parameters in a statement."""


def batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Yield the items in lists of `size`, the last one shorter; no more than one list is held at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def find_or_insert(session: Session, statement: Select[RowT], row: RowT) -> tuple[RowT, bool]:
    """Return the row that `statement` selects, inserting `row` if there is none, and whether it was inserted.

    Where another writer inserts it in between, the constraint that makes it unique refuses ours; the savepoint
    keeps the rest of the transaction, and the other's row is returned.

    Raises:
        IntegrityError: if `row` breaks a constraint for another reason.
    """
    found = session.scalars(statement).one_or_none()
    if found is not None:
        return found, False
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        found = session.scalars(statement).one_or_none()
        if found is None:
            raise
        return found, False
    return row, True
