"""A damaged database is mended from its backup and from what can still be read; nothing is deleted."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from storage import collections, judgments, label_sets, queries
from storage.backups import list_backups, place_of_next
from storage.engine import backup_database, close, open_database, session_factory
from storage.errors import StorageError
from storage.integrity import look_through
from storage.records import NewJudgment, QueryRecord
from storage.rescue import main, rescue

N_BEFORE, N_AFTER = 60, 40


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of 60 marks that are in its backup, and 40 that came after it; to be copied."""
    database_path = tmp_path_factory.mktemp("marked") / "workbench.sqlite"
    engine = open_database(database_path)
    sessions = session_factory(engine)
    with sessions.begin() as session:
        collection = collections.add(
            session, name="birds", description="", is_demo=False, corpus_fingerprint="a" * 64, n_documents=3,
            document_embedder="{}",
        )  # fmt: skip
        query = queries.get_or_create(session, collection.id, "owls", "find causes", "ann")
        labels = label_sets.get_or_create(session, collection.id, "main", "ann")

    def mark(sequence: int) -> None:
        with sessions.begin() as session:
            judgments.append(
                session,
                NewJudgment(
                    label_set_id=labels.id, query_id=query.id, instruction_id=query.instruction_id,
                    content_hash="b" * 64, author="ann", client_id="page-1", doc_id=f"d{sequence}",
                    grade=1.0, sequence=sequence,
                    note=f"note {sequence} " * 30,
                ),
            )  # fmt: skip

    for sequence in range(N_BEFORE):
        mark(sequence)
    backup_database(engine, place_of_next(database_path))
    for sequence in range(N_BEFORE, N_BEFORE + N_AFTER):
        mark(sequence)
    close(engine)
    return database_path.parent


@pytest.fixture
def path(marked: Path, database_path: Path) -> Path:
    """Return a database with 60 marks that are in its backup, and 40 that came after it."""
    shutil.copytree(marked, database_path.parent)
    return database_path


def marks(path: Path) -> dict[str, float]:
    """Return the grades that stand, by document."""
    engine = open_database(path)
    with session_factory(engine).begin() as session:
        found = {mark.doc_id: mark.grade for mark in judgments.standing(session, 1)}
    close(engine)
    return {doc_id: grade for doc_id, grade in found.items() if grade is not None}


ALL = {f"d{n}": 1.0 for n in range(N_BEFORE + N_AFTER)}


def overwrite(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def test_what_came_after_the_backup_is_added_to_it(path: Path) -> None:
    n_pages = path.stat().st_size // 4096
    [(root,)] = rows(path, "SELECT rootpage FROM sqlite_master WHERE name = 'query'")
    overwrite(path, (root - 1) * 4096, b"\xff" * 4096)
    assert look_through(path)
    damaged = path.read_bytes()
    done = rescue(path)
    assert done.backup == list_backups(path)[0]
    assert marks(path) == ALL
    assert done.added["judgment_event"] == N_AFTER
    assert done.kept_as.read_bytes() == damaged
    assert len(damaged) == n_pages * 4096
    assert [each.text for each in stored_queries(path)] == ["owls"]
    assert look_through(path) == ""


def test_without_a_backup_what_can_be_read_makes_a_new_database(path: Path) -> None:
    for backup in list_backups(path):
        backup.unlink()
    page = next(n for n in range(1, 200) if b"note 70 " in path.read_bytes()[n * 4096 : (n + 1) * 4096])
    lost = {f"d{n}" for n in range(100) if f"note {n} ".encode() in path.read_bytes()[page * 4096 : (page + 1) * 4096]}
    assert 0 < len(lost) < 30
    overwrite(path, page * 4096, b"\0" * 4096)
    done = rescue(path)
    assert done.backup is None
    assert marks(path) == {doc_id: 1.0 for doc_id in ALL if doc_id not in lost}
    assert look_through(path) == ""


def test_marks_of_a_query_that_is_lost_are_left_out(path: Path) -> None:
    for backup in list_backups(path):
        backup.unlink()
    [(root,)] = rows(path, "SELECT rootpage FROM sqlite_master WHERE name = 'query'")
    overwrite(path, (root - 1) * 4096, b"\0" * 4096)
    done = rescue(path)
    assert done.dropped == len(ALL)
    assert marks(path) == {}
    assert rows(path, "PRAGMA foreign_key_check") == []


def test_what_changed_since_the_backup_is_taken_but_not_a_mark(path: Path) -> None:
    engine = open_database(path)
    with session_factory(engine).begin() as session:
        queries.set_need(session, 1, "an owl")
    close(engine)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE judgment_event SET grade = 0 WHERE doc_id = 'd3'")
    rescue(path)
    assert [each.need for each in stored_queries(path)] == ["an owl"]
    assert marks(path) == ALL


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_overwritten_a_sound_database_with_the_marks_of_the_backup_comes_of_it(
    path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(5):
        overwrite(path, chance.randrange(path.stat().st_size - 40), chance.randbytes(40))
    rescue(path)
    assert look_through(path) == ""
    found = marks(path)
    assert {f"d{n}": 1.0 for n in range(N_BEFORE)}.items() <= found.items()
    assert found.keys() <= ALL.keys()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_where_nothing_can_be_read_the_backup_alone_is_taken(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    rescue(path)
    assert marks(path) == {f"d{n}": 1.0 for n in range(N_BEFORE)}


def test_where_nothing_can_be_read_and_there_is_no_backup_nothing_is_changed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for backup in list_backups(path):
        backup.unlink()
    path.write_bytes(b"no database at all" * 1000)
    before = sorted(path.parent.rglob("*"))
    assert main([str(path)]) == 1
    assert "Nothing can be read of" in capsys.readouterr().err
    assert path.read_bytes() == b"no database at all" * 1000
    assert sorted(each for each in path.parent.rglob("*") if each.name != "app.lock") == before


def test_a_damaged_backup_is_passed_over(path: Path) -> None:
    [older] = list_backups(path)
    newer = older.with_name("workbench-2999-01-01-000000.sqlite")
    newer.write_bytes(older.read_bytes()[:9000])
    assert list_backups(path) == [newer, older]
    assert rescue(path).backup == older
    assert marks(path) == ALL


def test_a_running_app_is_left_alone(path: Path) -> None:
    before = path.read_bytes()
    with FileLock(path.with_name("app.lock")), pytest.raises(StorageError, match="Stop it first"):
        rescue(path)
    assert path.read_bytes() == before


def test_the_command_says_what_it_did(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = path.rename(path.with_name("era.sqlite3"))
    assert main([str(path.parent)]) == 0
    told = capsys.readouterr().out
    assert "Took a new database, since there was no backup" in told
    assert "judgment_event: 100" in told
    assert "The damaged one is kept as" in told
    assert main([str(path.parent / "elsewhere")]) == 1
    assert "There is no database" in capsys.readouterr().err


def rows(path: Path, statement: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def stored_queries(path: Path) -> list[QueryRecord]:
    engine = open_database(path)
    with session_factory(engine).begin() as session:
        found = list(queries.list_all(session, 1))
    close(engine)
    return found
