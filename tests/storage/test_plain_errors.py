"""What a person can mend or wait for is told in plain words; what no person can mend stays as it was."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

import storage.engine
from storage import collections, judgments, queries
from storage.engine import close, plain_errors
from storage.errors import DatabaseBusy, DatabaseDamaged, DataFolderNotWritable, UnknownRecord
from storage.records import CollectionRecord, LabelSetRecord, NewJudgment, QueryRecord

Sessions = sessionmaker[Session]


@pytest.fixture
def is_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a writer wait for 50 ms at most; ask for it before the engine."""
    monkeypatch.setattr(storage.engine, "BUSY_TIMEOUT_MS", 50)


@pytest.fixture
def locked(database_path: Path) -> Callable[[], object]:
    """Return the maker of a block during which another connection holds the write lock."""

    @contextmanager
    def hold() -> Iterator[None]:
        with closing(sqlite3.connect(database_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    return hold
