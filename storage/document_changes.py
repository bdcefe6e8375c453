"""Store of how documents change: other texts, further documents, removed ones; judgments of them stay in the log.

Documents that are to come in wait in a collection that nobody sees, and move from there within one transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from storage.batches import LOOKUP_BATCH, batches
from storage.records import JudgmentRole
from storage.schema import DocumentRow, LabelSetRow, RemovedDocumentRow, current_judgment, utc_now


@dataclass(frozen=True, slots=True)
class OutdatedMark:
    """A mark that stands, made when the text of its document was another."""

    query_id: int
    doc_id: str
    author: str
    role: JudgmentRole
    grade: float | None


def move_in(session: Session, collection_id: int, staging_id: int) -> None:
    """Take over the documents that wait: those the collection has get the new text, the others come at its end.

    Marks of a document that comes back stand again.
    """
    waiting, there = aliased(DocumentRow), aliased(DocumentRow)
    of_same_id = (waiting.collection_id == staging_id, waiting.doc_id == DocumentRow.doc_id)
    changed = {
        name: select(getattr(waiting, name)).where(*of_same_id).scalar_subquery()
        for name in ("title", "text", "content_hash", "metadata_json")
    }
    session.execute(
        update(DocumentRow)
        .where(DocumentRow.collection_id == collection_id, exists().where(*of_same_id))
        .values(changed)
        .execution_options(synchronize_session=False)
    )
    is_there = exists().where(there.collection_id == collection_id, there.doc_id == DocumentRow.doc_id)
    session.execute(
        delete(DocumentRow)
        .where(DocumentRow.collection_id == staging_id, is_there)
        .execution_options(synchronize_session=False)
    )
    next_position = select(func.coalesce(func.max(DocumentRow.position) + 1, 0))
    first = session.scalars(next_position.where(DocumentRow.collection_id == collection_id)).one()
    session.execute(
        update(DocumentRow)
        .where(DocumentRow.collection_id == staging_id)
        .values(collection_id=collection_id, position=DocumentRow.position + first)
        .execution_options(synchronize_session=False)
    )
    is_back = exists().where(
        DocumentRow.collection_id == collection_id, DocumentRow.doc_id == RemovedDocumentRow.doc_id
    )
    session.execute(
        delete(RemovedDocumentRow)
        .where(RemovedDocumentRow.collection_id == collection_id, is_back)
        .execution_options(synchronize_session=False)
    )


def remove(session: Session, collection_id: int, doc_ids: Collection[str]) -> int:
    """Remove documents and return how many there were; marks of them stay in the log and stand no longer."""
    n_removed = 0
    for batch in batches(dict.fromkeys(doc_ids), LOOKUP_BATCH):
        of_batch = (DocumentRow.collection_id == collection_id, DocumentRow.doc_id.in_(batch))
        found = list(session.scalars(select(DocumentRow.doc_id).where(*of_batch)))
        if not found:
            continue
        session.execute(delete(DocumentRow).where(*of_batch).execution_options(synchronize_session=False))
        now = utc_now()
        rows = [{"collection_id": collection_id, "doc_id": doc_id, "removed_at": now} for doc_id in found]
        session.execute(insert(RemovedDocumentRow), rows)
        n_removed += len(found)
    return n_removed


def judged_ids(session: Session, collection_id: int) -> set[str]:
    """Return the documents of the collection that somebody's mark stands for, in any of its label sets."""
    label_sets = select(LabelSetRow.id).where(LabelSetRow.collection_id == collection_id)
    statement = select(current_judgment.c.doc_id).where(current_judgment.c.label_set_id.in_(label_sets))
    return set(session.scalars(statement.distinct()))


def outdated_marks(session: Session, label_set_id: int) -> Sequence[OutdatedMark]:
    """Return the marks that stand though the text of their document was another then, in the order they were made."""
    current = current_judgment.c
    statement = (
        select(current.query_id, current.doc_id, current.author, current.role, current.grade)
        .select_from(current_judgment)
        .join(LabelSetRow, LabelSetRow.id == current.label_set_id)
        .join(
            DocumentRow,
            (DocumentRow.collection_id == LabelSetRow.collection_id) & (DocumentRow.doc_id == current.doc_id),
        )
        .where(current.label_set_id == label_set_id, DocumentRow.content_hash != current.content_hash)
        .order_by(current.id)
    )
    return [OutdatedMark(*row) for row in session.execute(statement)]
