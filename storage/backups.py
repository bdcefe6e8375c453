"""Copies of the database beside it: where they lie, when another one is due, and which go.

Making one is up to `storage.engine`; what to do with one when it is needed, up to `storage.rescue`.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

KEPT = 3
EVERY_S = 24 * 3600.0
LARGEST_BYTES = 1 << 30
"""Of a database that is copied unasked; 200 MB take 0.9 s (2 busy cores), and the copies three times the space."""

_FOLDER = "backups"


def list_backups(database: Path) -> list[Path]:
    """Return the copies of a database, the newest first."""
    return sorted(_folder(database).glob(f"{database.stem}-*{database.suffix}"), reverse=True)


def is_due(database: Path) -> bool:
    """Return whether the newest copy is a day old, or there is none."""
    newest = next(iter(list_backups(database)), None)
    return newest is None or not 0 <= time.time() - newest.stat().st_mtime < EVERY_S


def place_of_next(database: Path) -> Path:
    """Return where a copy made now belongs; its name tells when it was made, in UTC."""
    return _folder(database) / f"{database.stem}-{datetime.now(UTC):%Y-%m-%d-%H%M%S}{database.suffix}"


def drop_old(database: Path) -> None:
    """Remove the oldest copies until three are left."""
    for old in list_backups(database)[KEPT:]:
        old.unlink(missing_ok=True)


def made_at(backup: Path) -> str:
    """Return when a copy was made, for people."""
    return f"{datetime.fromtimestamp(backup.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"


def _folder(database: Path) -> Path:
    return database.with_name(_FOLDER)
