import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import Session, sessionmaker

from storage import collections, judgments, queries
from storage.engine import backup_database, close, open_database
from storage.errors import DatabaseDamaged, DatabaseTooNew, DataFolderNotWritable
from storage.records import CollectionRecord, JudgmentRole, LabelSetRecord, NewJudgment, QueryRecord, StandingMark
from storage.schema import UtcDateTime

Sessions = sessionmaker[Session]
AddCollection = Callable[[Session, str], CollectionRecord]


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("foreign_keys", 1), ("journal_mode", "wal"), ("busy_timeout", 5000), ("synchronous", 2)],
)
def test_connection_has_the_setting(engine: Engine, pragma: str, value: object) -> None:
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_tables_created_in_a_failing_transaction_are_rolled_back(engine: Engine) -> None:
    def create_and_fail() -> None:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE half (id INTEGER)"))
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        create_and_fail()
    assert "half" not in inspect(engine).get_table_names()


def test_failing_workflow_leaves_nothing_behind(sessions: Sessions, add_collection: AddCollection) -> None:
    def add_and_fail() -> None:
        with sessions.begin() as session:
            add_collection(session, "birds")
            assert len(collections.list_all(session)) == 1
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        add_and_fail()
    with sessions.begin() as session:
        assert collections.list_all(session) == []


def test_row_that_refers_to_nothing_is_refused(sessions: Sessions) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), sessions.begin() as session:
        queries.record_search(session, query_id=99, author="ann", retriever="r", depth=1, took_ms=1.0, ranking=[])


def test_writers_that_read_first_wait_for_each_other(
    sessions: Sessions, engine: Engine, at_once: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tally (n INTEGER)"))
        connection.execute(text("INSERT INTO tally VALUES (0)"))

    def add_ten(number: int) -> None:
        for _ in range(10):
            with sessions.begin() as session:
                n = session.execute(text("SELECT n FROM tally")).scalar_one()
                session.execute(text("UPDATE tally SET n = :n"), {"n": n + 1})

    at_once(8, add_ten)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM tally")).scalar_one() == 80


def test_reading_session_is_not_held_up_by_a_writer_and_sees_what_was_committed(
    sessions: Sessions, reading_sessions: Sessions, add_collection: AddCollection
) -> None:
    with sessions.begin() as writing:
        add_collection(writing, "birds")
        writing.flush()
        with reading_sessions.begin() as reading:
            assert collections.list_all(reading) == []
    with reading_sessions.begin() as reading:
        assert [found.name for found in collections.list_all(reading)] == ["birds"]


def test_reading_session_refuses_to_write(
    sessions: Sessions, reading_sessions: Sessions, add_collection: AddCollection
) -> None:
    with pytest.raises(OperationalError, match="readonly"), reading_sessions.begin() as session:
        add_collection(session, "birds")
    with sessions.begin() as session:  # the pooled connection writes again
        add_collection(session, "birds")


def test_nan_is_refused_where_json_is_kept(sessions: Sessions, query: QueryRecord) -> None:
    ranking = [("d1", float("nan"))]
    with pytest.raises(StatementError, match="not JSON compliant"), sessions.begin() as session:
        queries.record_search(
            session, query_id=query.id, author="a", retriever="r", depth=1, took_ms=1.0, ranking=ranking
        )


def test_times_come_back_aware_and_in_utc(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        stored = collections.get(session, collection.id)
    assert stored.created_at.utcoffset() == timedelta(0)
    assert stored.created_at == collection.created_at
    assert stored.created_at <= datetime.now(UTC)


def test_time_of_another_zone_is_stored_as_utc() -> None:
    noon_in_paris = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    stored = UtcDateTime().process_bind_param(noon_in_paris, sqlite.dialect())
    assert stored is not None
    assert stored.isoformat() == "2024-05-01T10:00:00+00:00"


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        UtcDateTime().process_bind_param(datetime(2024, 5, 1, 12), sqlite.dialect())


@pytest.mark.parametrize("content", [b"hi", b"hello world " * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_garbage_is_named_as_damaged_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.sqlite"
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged, match=r"garbage\.sqlite is damaged: .*python -m storage\.rescue"):
        open_database(path)
    assert path.read_bytes() == content


def test_database_cut_short_is_named_as_damaged(database_path: Path) -> None:
    close(open_database(database_path))
    whole = database_path.read_bytes()
    database_path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatabaseDamaged):
        open_database(database_path)


def test_file_in_place_of_the_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataFolderNotWritable, match=r"Cannot write in the data folder .*data: .*choose another"):
        open_database(tmp_path / "data" / "workbench.sqlite")


def test_folder_in_place_of_the_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFolderNotWritable):
        open_database(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_read_only_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    with pytest.raises(DataFolderNotWritable):
        open_database(folder / "workbench.sqlite")


def test_database_of_a_newer_version_is_refused_unchanged(database_path: Path) -> None:
    engine = open_database(database_path)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    close(engine)
    before = database_path.read_bytes()
    with pytest.raises(DatabaseTooNew, match=r"newer version.*9999.*Update the program") as caught:
        open_database(database_path)
    assert caught.value.revision == "9999"
    assert database_path.read_bytes() == before


def test_several_threads_may_open_a_new_database_at_once(
    database_path: Path, at_once: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    engines: list[Engine] = at_once(8, lambda _: open_database(database_path))
    for engine in engines:
        assert "training_run" in inspect(engine).get_table_names()
        close(engine)


def test_closing_leaves_one_file(database_path: Path) -> None:
    close(open_database(database_path))
    assert [file.name for file in database_path.parent.iterdir()] == ["workbench.sqlite"]


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_backup_opens_and_equals_the_database(
    engine: Engine,
    sessions: Sessions,
    database_path: Path,
    tmp_path: Path,
    label_set: LabelSetRecord,
    judgment: Callable[..., NewJudgment],
) -> None:
    with sessions.begin() as session:
        judgments.append(session, judgment("d1", 1.0, 1))
    target = tmp_path / "backups" / "copy.sqlite"
    backup_database(engine, target)
    assert [file.name for file in target.parent.iterdir()] == ["copy.sqlite"]
    assert dump(target) == dump(database_path)
    copy = open_database(target)
    with Session(copy) as session:
        assert judgments.standing(session, label_set.id) == [StandingMark(1, "d1", "ann", JudgmentRole.JUDGE, 1.0)]
    close(copy)


def test_backup_replaces_an_older_one_and_holds_only_what_was_committed(
    engine: Engine, sessions: Sessions, tmp_path: Path, add_collection: AddCollection
) -> None:
    target = tmp_path / "copy.sqlite"
    backup_database(engine, target)
    with sessions.begin() as session:
        add_collection(session, "birds")
    with sessions.begin() as session:
        add_collection(session, "fish")
        backup_database(engine, target)
    copy = open_database(target)
    with Session(copy) as session:
        assert [found.name for found in collections.list_all(session)] == ["birds"]
    close(copy)


def test_backup_into_no_folder_is_named(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderNotWritable):
        backup_database(engine, tmp_path / "file" / "copy.sqlite")


def test_backup_onto_itself_is_refused(engine: Engine, database_path: Path) -> None:
    with pytest.raises(ValueError, match="other than the database itself"):
        backup_database(engine, database_path)
