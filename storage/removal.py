"""Store of deleting collections: out of sight at once, then the documents a few at a time, then all the rest.

Each step is a transaction of its own to the caller, so that no one waits long for the deletion of a million documents.
"""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from storage.errors import UnknownRecord
from storage.records import IMPORTS, CollectionState
from storage.schema import (
    AcknowledgementRow,
    CollectionRow,
    ComparisonLookRow,
    DocumentRow,
    InstructionRow,
    JobRow,
    JudgmentEventRow,
    LabelSetRow,
    PoolDocumentRow,
    PoolDrawRow,
    PreferenceEventRow,
    QueryRow,
    RemovedDocumentRow,
    SearchEventRow,
    SnapshotRankingRow,
    SnapshotRow,
    TestQueryRow,
    TrainingRunRow,
)


def hide(session: Session, collection_id: int) -> None:
    """Take the collection out of sight, and free its name.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = session.get(CollectionRow, collection_id)
    if row is None:
        raise UnknownRecord("collection", collection_id)
    row.state = CollectionState.DELETED
    row.name = f".deleted-{collection_id}"
    row.description = ""
    row.desk = row.embedders = None
    session.flush()


def delete_documents(session: Session, collection_id: int, n: int) -> int:
    """Delete up to `n` documents of a collection that no one sees, and return how many there were."""
    some = select(DocumentRow.id).where(DocumentRow.collection_id == collection_id).limit(n)
    statement = delete(DocumentRow).where(DocumentRow.id.in_(some)).returning(DocumentRow.id)
    return len(session.execute(statement.execution_options(synchronize_session=False)).all())


def training_run_ids(session: Session, collection_id: int) -> Sequence[int]:
    """Return the training runs of the collection, deleted ones too; folders carry these ids."""
    statement = select(TrainingRunRow.id).where(TrainingRunRow.collection_id == collection_id)
    return list(session.scalars(statement.order_by(TrainingRunRow.id)))


def delete_rest(session: Session, collection_id: int) -> None:
    """Delete whatever belongs to a collection whose documents are gone, but for the row that keeps its id."""
    label_sets = select(LabelSetRow.id).where(LabelSetRow.collection_id == collection_id)
    queries = select(QueryRow.id).where(QueryRow.collection_id == collection_id)
    snapshots = select(SnapshotRow.id).where(SnapshotRow.collection_id == collection_id)
    statements = (
        delete(SnapshotRankingRow).where(SnapshotRankingRow.snapshot_id.in_(snapshots)),
        delete(SnapshotRow).where(SnapshotRow.collection_id == collection_id),
        delete(PreferenceEventRow).where(PreferenceEventRow.label_set_id.in_(label_sets)),
        delete(PoolDocumentRow).where(PoolDocumentRow.label_set_id.in_(label_sets)),
        delete(PoolDrawRow).where(PoolDrawRow.label_set_id.in_(label_sets)),
        delete(TestQueryRow).where(TestQueryRow.label_set_id.in_(label_sets)),
        delete(ComparisonLookRow).where(ComparisonLookRow.label_set_id.in_(label_sets)),
        delete(JudgmentEventRow).where(JudgmentEventRow.label_set_id.in_(label_sets)),
        delete(SearchEventRow).where(SearchEventRow.query_id.in_(queries)),
        delete(JobRow).where(JobRow.collection_id == collection_id, JobRow.kind.not_in(IMPORTS)),
        delete(TrainingRunRow).where(TrainingRunRow.collection_id == collection_id),
        delete(AcknowledgementRow).where(AcknowledgementRow.collection_id == collection_id),
        delete(LabelSetRow).where(LabelSetRow.collection_id == collection_id),
        delete(QueryRow).where(QueryRow.collection_id == collection_id),
        delete(InstructionRow).where(InstructionRow.collection_id == collection_id),
        delete(RemovedDocumentRow).where(RemovedDocumentRow.collection_id == collection_id),
        update(JobRow).where(JobRow.collection_id == collection_id).values(collection_id=None),
        update(JobRow).where(JobRow.staging_id == collection_id).values(staging_id=None),
        update(CollectionRow).where(CollectionRow.id == collection_id).values(n_documents=0, corpus_fingerprint=""),
    )
    for statement in statements:
        session.execute(statement.execution_options(synchronize_session=False))


def discard(session: Session, collection_id: int) -> None:
    """Delete the row of a collection that never was ready, after all that belongs to it; its id may be given again.

    Raises:
        ValueError: if people have seen the collection.
    """
    delete_rest(session, collection_id)
    statement = delete(CollectionRow).where(
        CollectionRow.id == collection_id, CollectionRow.state == CollectionState.IMPORTING
    )
    if not session.execute(statement.returning(CollectionRow.id)).all():
        raise ValueError(f"expected collection {collection_id} to be one that is being imported")
