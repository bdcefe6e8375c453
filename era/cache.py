"""Bytes kept on disk by name, so that nothing is computed twice: one SQLite file that takes no more than its limit.

It is a shortcut and never the only copy: what cannot be read or written is computed again. Threads take turns on one
connection; several processes may use one file. Every value carries a checksum, which SQLite itself does not give it; a
file that SQLite finds damaged is set aside and begun anew.
"""

import logging
import sqlite3
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar

logger = logging.getLogger(__name__)

# NORMAL: without power the last values may be lost, which costs computing them again, but never the file.
_OPEN = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA journal_size_limit = {16 << 20};
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS kept (
    namespace TEXT NOT NULL, key BLOB NOT NULL, used_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL, value BLOB NOT NULL, UNIQUE (namespace, key)
);
CREATE INDEX IF NOT EXISTS kept_by_use ON kept (used_at);
"""
_FIND = "SELECT rowid, used_at < ?, key, checksum, value FROM kept WHERE namespace = ? AND key IN ({})"
_USE = "UPDATE kept SET used_at = ? WHERE rowid = ?"
_KEEP = "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)"
_DROP = "DELETE FROM kept WHERE rowid IN (SELECT rowid FROM kept ORDER BY used_at, rowid LIMIT ?)"

_KEYS_AT_ONCE = 500  # of one statement
_BUSY_TIMEOUT_S = 10.0  # for another process that writes
_USE_COUNTS_AFTER_S = 3600  # a value that is read is noted as used if this long ago, so reading hardly ever writes
_FULL_AFTER_DROPPING = 0.9
_DROPPED_AT_ONCE = 0.05  # of all values
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_Result = TypeVar("_Result")


class Cache:
    """Values of bytes by namespace and key in one file; what was used longest ago goes first when it is full."""

    def __init__(self, file: Path, limit_bytes: int, clock: Callable[[], float] = time.time) -> None:
        """Use a file, which is made together with its folder once there is something to keep.

        Args:
            file: of SQLite; two more with its name and an ending lie beside it while it is in use.
            limit_bytes: that the file may take, above 0; a batch may go beyond it for a moment.
            clock: tells the seconds since 1970.

        Raises:
            ValueError: if the limit is not above 0.
        """
        if limit_bytes < 1:
            raise ValueError(f"Expected a limit above 0 bytes, got {limit_bytes}.")
        self._file = file
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._lock = Lock()
        self._warned_of = ""

    def find(self, namespace: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values that are known of these keys."""
        if not self._is_there():
            return {}
        now = int(self._clock())

        def read(connection: sqlite3.Connection) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            used: list[tuple[int, int]] = []
            n_damaged = 0
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[start : start + _KEYS_AT_ONCE]
                query = _FIND.format(", ".join("?" * len(some)))
                rows = connection.execute(query, (now - _USE_COUNTS_AFTER_S, namespace, *some))
                for row, is_to_note, key, checksum, value in rows:
                    if is_to_note:
                        used.append((now, row))
                    if isinstance(value, bytes) and checksum == _checksum(namespace, key, value):
                        found[key] = value
                    else:
                        n_damaged += 1
            if n_damaged:
                logger.warning("%s is damaged; what is computed again of it: %d values.", self._file, n_damaged)
            if used:
                with suppress(sqlite3.OperationalError), connection:
                    connection.executemany(_USE, used)
            return found

        return self._run(read, {})

    def keep(self, namespace: str, values: Mapping[bytes, bytes]) -> bool:
        """Keep values by key, all or none, in place of those of the same keys; return whether they are kept."""
        now = int(self._clock())

        def write(connection: sqlite3.Connection) -> bool:
            rows = ((namespace, key, now, _checksum(namespace, key, value), value) for key, value in values.items())
            with connection:
                connection.executemany(_KEEP, rows)
                self._drop_what_is_too_much(connection)
            n_pages_over = _number(connection, "PRAGMA page_count") - self._limit_bytes // _page_bytes(connection)
            if n_pages_over > 0:  # `execute` would stop after the first page
                connection.executescript(f"PRAGMA incremental_vacuum({n_pages_over})")
            return True

        return not values or self._run(write, False)

    def close(self) -> None:
        """Let go of the file; it is opened again when it is asked for."""
        with self._lock:
            self._close()

    def _drop_what_is_too_much(self, connection: sqlite3.Connection) -> None:
        if _used_bytes(connection) <= self._limit_bytes:
            return
        n_at_once = int(_DROPPED_AT_ONCE * _number(connection, "SELECT count(*) FROM kept")) + 1
        while _used_bytes(connection) > _FULL_AFTER_DROPPING * self._limit_bytes:
            if not connection.execute(_DROP, (n_at_once,)).rowcount:
                break

    def _run(self, work: Callable[[sqlite3.Connection], _Result], otherwise: _Result) -> _Result:
        """Return what `work` makes of the file, or `otherwise` if the file cannot be used now."""
        with self._lock:
            try:
                try:
                    return work(self._opened())
                except sqlite3.DatabaseError as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                        raise
                    self._set_aside(error)
                    return work(self._opened())
            except (OSError, sqlite3.Error) as error:
                self._close()
                if self._warned_of != str(error):
                    logger.warning("%s cannot be used (%s); what it held is computed again.", self._file, error)
                self._warned_of = str(error)
                return otherwise

    def _is_there(self) -> bool:
        try:
            return self._file.exists()
        except OSError:  # in a folder that may not be read
            return False

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and not self._is_there():  # deleted meanwhile
            self._close()
        if self._connection is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._file, timeout=_BUSY_TIMEOUT_S, isolation_level="IMMEDIATE", check_same_thread=False
            )
            self._connection.text_factory = bytes  # damage may be no text
            self._connection.executescript(_OPEN)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _set_aside(self, damage: Exception) -> None:
        self._close()
        aside = self._file.with_name(f"{self._file.name}.damaged")
        self._file.replace(aside)
        for ending in ("-wal", "-shm"):  # they would be taken for those of the new file
            self._file.with_name(self._file.name + ending).unlink(missing_ok=True)
        logger.warning("%s is damaged (%s). It is now called %s, and begun anew.", self._file, damage, aside.name)


def _checksum(namespace: str, key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key, zlib.crc32(namespace.encode())))


def _used_bytes(connection: sqlite3.Connection) -> int:
    n_pages = _number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count")
    return n_pages * _page_bytes(connection)


def _page_bytes(connection: sqlite3.Connection) -> int:
    return _number(connection, "PRAGMA page_size")


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
