"""What SQLite alone takes to keep a mark, and whether every acknowledged mark was kept exactly once."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.load_client import Acknowledged


class BareInserts:
    """A connection to a copy of the database, as the app configures its own, that inserts a mark and commits."""

    _number = count(1)

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "busy_timeout = 5000", "foreign_keys = ON", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        cursor = self._connection.execute("SELECT * FROM judgment_event ORDER BY id DESC LIMIT 1")
        columns = [column[0] for column in cursor.description]
        row = dict(zip(columns, cursor.fetchone(), strict=True))
        del row["id"]
        self._row = row | {"client_id": f"bare-{next(self._number)}", "sequence": 0}
        self._statement = f"INSERT INTO judgment_event ({', '.join(row)}) VALUES ({', '.join(f':{c}' for c in row)})"

    def insert(self) -> float:
        """Store one row; return the seconds until it is on disk."""
        self._row["sequence"] = int(str(self._row["sequence"])) + 1
        started = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(self._statement, self._row)
        self._connection.execute("COMMIT")
        return time.perf_counter() - started

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Kept:
    """How many acknowledged marks were looked for, how many are not stored as said, how many are stored twice."""

    n_acknowledged: int
    n_lost: int
    n_doubled: int


def look_for(acknowledged: Iterable[Acknowledged], path: Path) -> Kept:
    """Compare what was acknowledged with what the database holds, without the app's own code."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        stored = Counter(
            Acknowledged(*row)
            for row in connection.execute(
                "SELECT author, client_id, sequence, query_id, doc_id, grade FROM judgment_event "
                "WHERE client_id LIKE 'load-%'"
            )
        )
        [[n_said_twice]] = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM judgment_event WHERE client_id LIKE 'load-%' "
            "GROUP BY author, query_id, doc_id HAVING count(*) > 1)"
        )
    finally:
        connection.close()
    expected = Counter(acknowledged)
    return Kept(expected.total(), (expected - stored).total(), max((stored - expected).total(), n_said_twice))
