"""Deleting a collection: nothing of it is left but its id, and nothing of another one is touched."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from storage import (
    collections,
    comparisons,
    documents,
    jobs,
    judgments,
    label_sets,
    queries,
    removal,
    training_runs,
)
from storage.errors import UnknownRecord
from storage.records import (
    IMPORTS,
    CollectionRecord,
    CollectionState,
    JobKind,
    NewDocument,
    NewJob,
    NewJudgment,
    NewPreference,
    NewSnapshot,
    NewTrainingRun,
    PoolDocument,
    PoolDraw,
    Preferred,
    ShownLeft,
    SnapshotRanking,
)
from storage.schema import Base

Sessions = sessionmaker[Session]


def fill(session: Session, collection_id: int) -> None:
    """Write a row into every table that belongs to a collection."""
    documents.add_many(session, collection_id, [NewDocument(f"d{n}", "", "text", "h") for n in range(5)])
    documents.remove(session, collection_id, ["d4"])
    query = queries.get_or_create(session, collection_id, "owls", "find causes", "ann")
    label_set = label_sets.get_or_create(session, collection_id, "main", "ann")
    mark = NewJudgment(label_set.id, query.id, query.instruction_id, "d1", "h", "ann", 1.0, f"page-{collection_id}", 1)
    judgments.append(session, mark)
    label_sets.add_to_pool(session, label_set.id, query.id, [PoolDocument("d1", {})])
    label_sets.add_draw(session, label_set.id, query.id, PoolDraw(("light",), ("d1",), ("d2",)))
    queries.keep_for_testing(session, label_set.id, [query.id], "ann")
    comparisons.note_look(session, label_set.id, "e" * 64)
    queries.record_search(session, query_id=query.id, author="ann", retriever="", depth=1, took_ms=1.0, ranking=[])
    label_sets.acknowledge(session, collection_id, "ann", "a" * 64)
    preference = NewPreference(label_set.id, query.id, "ann", "a", "b", Preferred.TIE, ShownLeft.FIRST)
    comparisons.append_preference(session, preference)
    ranking = SnapshotRanking(0, query.id, (("d1", 0.5),), is_held_out=False)
    new = NewSnapshot(f"slug-{collection_id}", collection_id, label_set.id, "", "", "ann", {})
    comparisons.create_snapshot(session, new, [ranking])
    run = NewTrainingRun(collection_id, label_set.id, "era", 1, {}, {}, "c" * 64, 0, 0, 0, "ann")
    training_runs.create_queued(session, run)
    jobs.create_queued(session, NewJob(JobKind.ADD, "ann", "birds", collection_id=collection_id))


def n_rows(session: Session) -> dict[str, int]:
    return {
        name: session.scalars(select(func.count()).select_from(table)).one()
        for name, table in Base.metadata.tables.items()
    }


def test_nothing_is_left_of_a_deleted_collection_but_its_id(
    engine: Engine, sessions: Sessions, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        kept = add_collection(session, "birds")
        fill(session, kept.id)
        before = n_rows(session)
        deleted = add_collection(session, "fish")
        fill(session, deleted.id)
    assert all(n for name, n in before.items() if name != "shared_view")
    with sessions.begin() as session:
        assert removal.training_run_ids(session, deleted.id) == [2]
        removal.hide(session, deleted.id)
        assert [each.id for each in collections.list_all(session, with_archived=True)] == [kept.id]
        assert collections.find_by_name(session, "fish") is None
        assert [removal.delete_documents(session, deleted.id, 3) for _ in range(3)] == [3, 1, 0]
        removal.delete_rest(session, deleted.id)
        after = n_rows(session)
        left = collections.get(session, deleted.id)
        assert (left.state, left.description, left.n_documents) == (CollectionState.DELETED, "", 0)
        assert add_collection(session, "fish").id == deleted.id + 1
        assert jobs.list_all(session, IMPORTS)[1].collection_id is None
    assert after == before | {"collection": 2, "job": before["job"] + 1}  # the import, whose collection is gone
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def test_discarding_takes_only_what_nobody_has_seen(sessions: Sessions, collection: CollectionRecord) -> None:
    with sessions.begin() as session:
        staging = collections.add(
            session, name="fish", description="", is_demo=False, corpus_fingerprint="", n_documents=0,
            document_embedder="", state=CollectionState.IMPORTING,
        )  # fmt: skip
        removal.discard(session, staging.id)
        with pytest.raises(UnknownRecord):
            collections.get(session, staging.id)
    with sessions.begin() as session, pytest.raises(ValueError, match="being imported"):
        removal.discard(session, collection.id)
