"""What a person can mend or wait for is told in plain words; what no person can mend stays as it was."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

import storage.engine
from storage import collections, judgments, queries
from storage.engine import close, open_database, plain_errors
from storage.errors import DatabaseBusy, DatabaseDamaged, DataFolderNotWritable, UnknownRecord
from storage.records import CollectionRecord, LabelSetRecord, NewJudgment, QueryRecord

Sessions = sessionmaker[Session]
Lock = Callable[[], AbstractContextManager[sqlite3.Connection]]

WAIT_MS = 50


@pytest.fixture
def engine(database_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Return an engine whose writers wait for 50 ms at most."""
    monkeypatch.setattr(storage.engine, "BUSY_TIMEOUT_MS", WAIT_MS)
    engine = open_database(database_path)
    yield engine
    close(engine)


@pytest.fixture
def lock(database_path: Path) -> Lock:
    """Return the maker of a block in which another connection holds the write lock."""

    @contextmanager
    def hold() -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(database_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other

    return hold


@contextmanager
def full_disk(engine: Engine) -> Iterator[None]:
    """Keep the file from growing by as much as a page, on the pooled connection."""
    with engine.connect() as connection:
        n_pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {n_pages}")
    yield
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")


def test_writer_is_told_that_another_one_holds_on(
    engine: Engine, sessions: Sessions, collection: CollectionRecord, database_path: Path, lock: Lock
) -> None:
    with (
        lock(),
        pytest.raises(DatabaseBusy, match=r"workbench\.sqlite is busy .*locked.*Nothing is lost; try again") as caught,
        plain_errors(engine),
        sessions.begin() as session,
    ):
        collections.rename(session, collection.id, "owls")
    assert caught.value.path == database_path
    assert isinstance(caught.value.__cause__, OperationalError)
    with sessions.begin() as session:
        assert collections.get(session, collection.id).name == "birds"


def test_writer_whose_connection_is_new_is_told_that_another_one_holds_on(
    engine: Engine, sessions: Sessions, collection: CollectionRecord, lock: Lock
) -> None:
    close(engine)  # the next session connects anew
    with lock(), pytest.raises(DatabaseBusy), plain_errors(engine), sessions.begin() as session:
        collections.touch(session, collection.id)


def test_writer_goes_on_after_the_other_one_let_go(
    engine: Engine, sessions: Sessions, label_set: LabelSetRecord, judgment: Callable[..., NewJudgment], lock: Lock
) -> None:
    with lock(), pytest.raises(DatabaseBusy), plain_errors(engine), sessions.begin() as session:
        judgments.append(session, judgment("d1", 1.0, 1))
    with plain_errors(engine), sessions.begin() as session:
        assert judgments.append(session, judgment("d1", 1.0, 1)).is_new
    with sessions.begin() as session:
        assert len(judgments.standing(session, label_set.id)) == 1


def test_reader_is_not_held_up_by_the_lock(
    engine: Engine, reading_sessions: Sessions, collection: CollectionRecord, lock: Lock
) -> None:
    with lock() as other, plain_errors(engine), reading_sessions.begin() as session:
        other.execute("UPDATE collection SET name = 'owls'")
        assert collections.get(session, collection.id).name == "birds"


def test_full_disk_is_told_with_its_folder_and_leaves_nothing_behind(
    engine: Engine, sessions: Sessions, collection: CollectionRecord, query: QueryRecord, database_path: Path
) -> None:
    def write_much() -> None:
        with plain_errors(engine), sessions.begin() as session:
            collections.rename(session, collection.id, "owls")
            queries.set_need(session, query.id, "x" * 100_000)

    told = r"Cannot write in the data folder .*data: database or disk is full.*free space"
    with full_disk(engine), pytest.raises(DataFolderNotWritable, match=told) as caught:
        write_much()
    assert str(database_path.parent) in str(caught.value)
    with sessions.begin() as session:
        assert collections.get(session, collection.id).name == "birds"
        assert queries.get(session, query.id).need == ""


def test_writer_goes_on_after_the_disk_has_room_again(engine: Engine, sessions: Sessions, query: QueryRecord) -> None:
    with (
        full_disk(engine),
        pytest.raises(DataFolderNotWritable),
        plain_errors(engine),
        sessions.begin() as session,
    ):
        queries.set_need(session, query.id, "x" * 100_000)
    with plain_errors(engine), sessions.begin() as session:
        queries.set_need(session, query.id, "x" * 100_000)
    with sessions.begin() as session:
        assert len(queries.get(session, query.id).need) == 100_000


def test_database_that_may_only_be_read_is_told(
    engine: Engine, sessions: Sessions, collection: CollectionRecord
) -> None:
    def rename_read_only() -> None:
        with plain_errors(engine), sessions.begin() as session:
            session.connection().exec_driver_sql("PRAGMA query_only = ON")
            collections.rename(session, collection.id, "owls")

    with pytest.raises(DataFolderNotWritable, match="readonly database"):
        rename_read_only()


def test_folder_that_went_away_is_told(
    engine: Engine, sessions: Sessions, collection: CollectionRecord, database_path: Path, tmp_path: Path
) -> None:
    close(engine)
    database_path.parent.rename(tmp_path / "elsewhere")
    with (
        pytest.raises(DataFolderNotWritable, match="unable to open database file"),
        plain_errors(engine),
        sessions.begin() as session,
    ):
        collections.list_all(session)


def test_file_overwritten_while_in_use_is_told_as_damaged(
    engine: Engine, sessions: Sessions, collection: CollectionRecord, database_path: Path
) -> None:
    close(engine)
    database_path.write_bytes(b"hello world " * 1000)
    with (
        pytest.raises(DatabaseDamaged, match=r"workbench\.sqlite is damaged"),
        plain_errors(engine),
        sessions.begin() as session,
    ):
        collections.list_all(session)


def test_error_of_the_program_stays_as_it_was(
    engine: Engine, sessions: Sessions, judgment: Callable[..., NewJudgment]
) -> None:
    with (
        pytest.raises(IntegrityError, match="FOREIGN KEY") as caught,
        plain_errors(engine),
        sessions.begin() as session,
    ):
        judgments.append(session, judgment("d1", 1.0, 1, query_id=99))
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)  # raised on as it came, not from itself
    with pytest.raises(OperationalError, match="no such table"), plain_errors(engine), sessions.begin() as session:
        session.connection().exec_driver_sql("SELECT 1 FROM nowhere")


def test_storage_error_passes_through(engine: Engine, sessions: Sessions) -> None:
    with pytest.raises(UnknownRecord, match="no query with the id 8"), plain_errors(engine), sessions.begin() as s:
        queries.get(s, 8)
