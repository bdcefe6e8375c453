"""Whatever is overwritten in the database file, what comes of it is told in words, and nothing more is written."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

import storage.engine
from storage import collections, comparisons, jobs, judgments, label_sets, queries, training_runs
from storage.engine import close, open_database, plain_errors, reading_session_factory, session_factory
from storage.errors import DatabaseDamaged, DatabaseTooNew, StorageError
from storage.integrity import look_over, look_through
from storage.records import JobKind, NewJudgment, NewTrainingRun, QueryRecord
from tests.worlds.databases import Sessions


@pytest.fixture
def path(
    engine: Engine,
    sessions: Sessions,
    query: QueryRecord,
    judgment: Callable[..., NewJudgment],
    new_run: NewTrainingRun,
    database_path: Path,
) -> Path:
    """Return a closed database with something in many of its tables."""
    with sessions.begin() as session:
        for sequence in range(60):
            judgments.append(session, judgment(f"d{sequence}", 1.0, sequence, note=f"note {sequence} " * 20))
        for n in range(30):
            ranking = [(f"d{rank}", 1 / (rank + 1)) for rank in range(10)]
            queries.record_search(
                session, query_id=query.id, author="ann", retriever="light", depth=10, took_ms=1.0, ranking=ranking
            )
            queries.get_or_create(session, query.collection_id, f"query {n}", "find causes", "ann", need="an owl " * 20)
        training_runs.create_queued(session, new_run)
    close(engine)
    return database_path


def use(path: Path) -> list[object]:
    """Open a database and read nearly everything in it."""
    engine = open_database(path)
    try:
        with plain_errors(engine), reading_session_factory(engine).begin() as session:
            found: list[object] = list(collections.list_all(session))
            for collection in collections.list_all(session):
                found += queries.list_all(session, collection.id)
                found += training_runs.list_for(session, collection.id)
                found += comparisons.list_snapshots(session, collection.id)
                for label_set in label_sets.list_names(session, collection.id):
                    found += judgments.standing(session, label_set.id)
                    found += judgments.current_for_query(session, label_set.id, 1)
            found.append(queries.latest_search(session, 1))
            found += jobs.list_all(session, list(JobKind))
            return found
    finally:
        close(engine)


def test_a_sound_database_is_found_sound(path: Path) -> None:
    before = path.read_bytes()
    assert look_over(path) == ""
    assert look_through(path) == ""
    assert path.read_bytes() == before
    assert len(use(path)) > 60


@pytest.mark.parametrize("seed", range(4))
def test_forty_bytes_overwritten_anywhere_are_told_in_words_or_change_nothing_that_is_read(
    path: Path, seed: int
) -> None:
    chance, whole = random.Random(seed), path.read_bytes()
    n_told = 0
    for _ in range(30):
        place = chance.randrange(len(whole) - 40)
        path.write_bytes(whole[:place] + chance.randbytes(40) + whole[place + 40 :])
        for left in path.parent.glob(f"{path.name}-*"):
            left.unlink()
        try:
            use(path)
        except StorageError:
            n_told += 1
    assert n_told > 0


@pytest.mark.parametrize("share", [0.0001, 0.2, 0.5, 0.9])
def test_a_file_cut_short_is_damaged(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: max(int(len(whole) * share), 1)])
    with pytest.raises(DatabaseDamaged, match=r"Nothing in it was changed or deleted\. Adapters, indexes and"):
        use(path)
    assert path.read_bytes() == whole[: max(int(len(whole) * share), 1)]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE search_event SET ranking = '[[\"d1\", 1' || char(1) || ']'", "a stored value is no JSON"),
        ("UPDATE search_event SET ranking = '[\"a' || char(1) || '\"]'", "Invalid control character"),
        ("UPDATE search_event SET ranking = 7", "a stored value is no JSON"),
        ("UPDATE \"query\" SET text = CAST(x'6fff6c' AS TEXT) WHERE id = 1", "Could not decode to UTF-8"),
        ("UPDATE \"query\" SET created_at = '2026-13-01'", "the stored time '2026-13-01' is none"),
        ("UPDATE judgment_event SET role = 'judgf'", "the stored word 'judgf' is none that is known"),
        ("UPDATE job SET state = 'queueu'", "the stored word 'queueu' is none that is known"),
        ("UPDATE alembic_version SET version_num = '00\x014'", "it is of no version"),
        ("ALTER TABLE judgment_event RENAME COLUMN note TO notf", "the table judgment_event has no note"),
        ("DROP TABLE search_event", "the table search_event has no"),
        ("DELETE FROM alembic_version", "already exists"),
        ("DROP VIEW current_judgment", "no such table: current_judgment"),
    ],
)
def test_a_value_that_was_never_stored_is_told_as_damage(path: Path, statement: str, told: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
    with pytest.raises(DatabaseDamaged, match=told) as caught:
        use(path)
    assert "python -m storage.rescue" in str(caught.value)


def test_what_is_damaged_while_it_is_in_use_is_told_too(path: Path) -> None:
    engine = open_database(path)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE \"query\" SET text = CAST(x'6fff6c' AS TEXT) WHERE id = 1")
            other.execute("UPDATE training_run SET config = '{'")
        for read in (queries.list_all, training_runs.list_for):
            with (
                pytest.raises(DatabaseDamaged, match=r"workbench\.sqlite is damaged"),
                plain_errors(engine),
                session_factory(engine).begin() as session,
            ):
                read(session, 1)
    finally:
        close(engine)


def test_values_that_no_statement_has_read_are_found_by_a_look_through(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE search_event SET ranking = '[1' WHERE id = 7")
    assert look_over(path) == ""
    assert look_through(path) == "A value of search_event.ranking is no JSON"


def test_an_index_that_does_not_fit_its_table_is_found_by_a_look_through(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        [(root,)] = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_judgment_event_1'"
        )
    content = bytearray(path.read_bytes())
    place = content.index(b"page-1", (root - 1) * 4096)
    content[place : place + 6] = b"page-2"
    path.write_bytes(content)
    assert look_over(path) == ""
    assert "missing from index sqlite_autoindex_judgment_event_1" in look_through(path)


def test_a_large_database_is_not_looked_over_while_a_person_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path)) as connection:
        [(root,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'search_event'")
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged, match="python -m storage"):
        open_database(path)
    monkeypatch.setattr(storage.engine, "_LOOKED_OVER_BYTES", len(content) - 1)
    close(open_database(path))
    assert look_through(path)


def test_a_newer_version_is_still_told_as_such(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(DatabaseTooNew):
        use(path)
