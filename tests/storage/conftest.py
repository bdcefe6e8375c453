"""A database file with one collection, one query and one label set in it, and makers of what is stored."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from storage import collections, judgments, label_sets, queries
from storage.engine import close, open_database, reading_session_factory, session_factory
from storage.records import (
    CollectionRecord,
    JudgmentRecord,
    LabelSetRecord,
    NewJudgment,
    NewTrainingRun,
    QueryRecord,
)
from tests.worlds.databases import Sessions


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "workbench.sqlite"


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as it is after it was opened first, to be copied."""
    path = tmp_path_factory.mktemp("new") / "workbench.sqlite"
    close(open_database(path))
    return path


@pytest.fixture
def engine(new_database: Path, database_path: Path) -> Iterator[Engine]:
    database_path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(new_database, database_path)
    engine = open_database(database_path)
    yield engine
    close(engine)


@pytest.fixture
def opened(old_path: Path) -> Iterator[Engine]:
    """A test module's `old_path`, a file of an earlier schema, after this version of the program opened it."""
    engine = open_database(old_path)
    yield engine
    close(engine)


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    return session_factory(engine)


@pytest.fixture
def reading_sessions(engine: Engine) -> Sessions:
    return reading_session_factory(engine)


@pytest.fixture
def add_collection() -> Callable[[Session, str], CollectionRecord]:
    def add(session: Session, name: str) -> CollectionRecord:
        return collections.add(
            session,
            name=name,
            description="About birds",
            is_demo=False,
            corpus_fingerprint="a" * 64,
            n_documents=3,
            document_embedder='{"name": "small"}',
        )

    return add


@pytest.fixture
def collection(sessions: Sessions, add_collection: Callable[[Session, str], CollectionRecord]) -> CollectionRecord:
    with sessions.begin() as session:
        return add_collection(session, "birds")


@pytest.fixture
def query(sessions: Sessions, collection: CollectionRecord) -> QueryRecord:
    with sessions.begin() as session:
        return queries.get_or_create(session, collection.id, "owls", "find causes", "ann", public_id="q1")


@pytest.fixture
def label_set(sessions: Sessions, collection: CollectionRecord) -> LabelSetRecord:
    with sessions.begin() as session:
        return label_sets.get_or_create(session, collection.id, "main", "ann")


@pytest.fixture
def judgment(query: QueryRecord, label_set: LabelSetRecord) -> Callable[..., NewJudgment]:
    """Return the maker of judgments by (document, grade, sequence); other fields by name."""

    def make(doc_id: str, grade: float | None, sequence: int, **other: Any) -> NewJudgment:
        values: dict[str, Any] = {
            "label_set_id": label_set.id,
            "query_id": query.id,
            "instruction_id": query.instruction_id,
            "content_hash": "b" * 64,
            "author": "ann",
            "client_id": "page-1",
        }
        return NewJudgment(doc_id=doc_id, grade=grade, sequence=sequence, **(values | other))

    return make


@pytest.fixture
def append_all(sessions: Sessions) -> Callable[..., list[JudgmentRecord]]:
    """Return a function that stores judgments in one transaction and returns their events."""

    def append(*marks: NewJudgment) -> list[JudgmentRecord]:
        with sessions.begin() as session:
            return [judgments.append(session, mark).judgment for mark in marks]

    return append


@pytest.fixture
def new_run(collection: CollectionRecord, label_set: LabelSetRecord) -> NewTrainingRun:
    return NewTrainingRun(
        collection_id=collection.id,
        label_set_id=label_set.id,
        recipe="era",
        seed=7,
        config={"steps": 100},
        label_snapshot={"1": {"d1": 1.0, "d2": 0.0}},
        snapshot_hash="c" * 64,
        n_queries=1,
        n_relevant=1,
        n_not_relevant=1,
        author="ann",
    )


@pytest.fixture
def at_once() -> Callable[[int, Callable[[int], Any]], list[Any]]:
    """Return a function that calls another in n threads, released together, and returns what they returned."""

    def call(n_threads: int, function: Callable[[int], Any]) -> list[Any]:
        barrier = threading.Barrier(n_threads)

        def wait_and_call(number: int) -> Any:
            barrier.wait()
            return function(number)

        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(wait_and_call, range(n_threads)))

    return call
