"""Store of documents: added in order, read back in order or by id, changed and removed; a million pass in batches."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from storage.engine import LOOKUP_BATCH, batches
from storage.records import DocumentRecord, JudgmentRole, NewDocument
from storage.schema import Base, DocumentRow, LabelSetRow, RemovedDocumentRow, current_judgment, utc_now

_ADD_BATCH = 5000
_TABLE = Base.metadata.tables["document"]
_COLUMNS = ("collection_id", "position", "doc_id", "title", "text", "content_hash", "metadata")

_DOCUMENTS = select(
    DocumentRow.collection_id,
    DocumentRow.position,
    DocumentRow.doc_id,
    DocumentRow.title,
    DocumentRow.text,
    DocumentRow.content_hash,
    DocumentRow.metadata_json,
)


def add_many(session: Session, collection_id: int, documents: Iterable[NewDocument]) -> int:
    """Add documents after those the collection has, in the order given, and return how many were added.

    `documents` may be a generator: no more than one batch of it is held at a time.

    Raises:
        IntegrityError: if a document id occurs twice in the collection.
    """
    next_position = select(func.coalesce(func.max(DocumentRow.position) + 1, 0))
    first = session.scalars(next_position.where(DocumentRow.collection_id == collection_id)).one()
    position = first
    connection = session.connection()
    # compiled once: executing `insert` itself looks at every value of a million rows twice more
    compiled = insert(_TABLE).compile(dialect=connection.dialect, column_keys=_COLUMNS)
    statement, names = str(compiled), compiled.positiontup
    as_json = cast("Callable[[Any], Any]", _TABLE.c.metadata.type.bind_processor(connection.dialect))
    for batch in batches(documents, _ADD_BATCH):
        rows = [
            (collection_id, position + n, each.doc_id, each.title, each.text, each.content_hash, as_json(each.metadata))
            for n, each in enumerate(batch)
        ]
        if names is None:  # the driver wants its values by name
            connection.exec_driver_sql(statement, [dict(zip(_COLUMNS, row, strict=True)) for row in rows])
        else:
            connection.exec_driver_sql(statement, rows)
        position += len(rows)
    return position - first


def iter_all(session: Session, collection_id: int, batch: int = 5000) -> Iterator[DocumentRecord]:
    """Yield every document of the collection by position, reading `batch` of them at a time.

    Raises:
        ValueError: if `batch` is below 1.
    """
    if batch < 1:
        raise ValueError(f"expected a batch of at least 1, got {batch}")
    last = -1
    while True:
        # from position to position instead of one open cursor, so the session stays free between batches
        statement = _DOCUMENTS.where(DocumentRow.collection_id == collection_id, DocumentRow.position > last)
        rows = session.execute(statement.order_by(DocumentRow.position).limit(batch)).all()
        if not rows:
            return
        last = rows[-1].position
        yield from (_record(row) for row in rows)


def iter_hashes(session: Session, collection_id: int, batch: int = 20_000) -> Iterator[tuple[str, str]]:
    """Yield (document id, content hash) of every document of the collection by position."""
    columns = select(DocumentRow.position, DocumentRow.doc_id, DocumentRow.content_hash)
    last = -1
    while True:
        statement = columns.where(DocumentRow.collection_id == collection_id, DocumentRow.position > last)
        rows = session.execute(statement.order_by(DocumentRow.position).limit(batch)).all()
        if not rows:
            return
        last = rows[-1].position
        yield from ((row.doc_id, row.content_hash) for row in rows)


def page(session: Session, collection_id: int, after: int, n: int) -> Sequence[DocumentRecord]:
    """Return the next `n` documents by position after that one; -1 is before the first."""
    statement = _DOCUMENTS.where(DocumentRow.collection_id == collection_id, DocumentRow.position > after)
    return [_record(row) for row in session.execute(statement.order_by(DocumentRow.position).limit(n))]


def get_many(session: Session, collection_id: int, doc_ids: Iterable[str]) -> Mapping[str, DocumentRecord]:
    """Return the documents with these ids, by id in the order asked for; ids without a document are left out."""
    wanted = list(dict.fromkeys(doc_ids))
    found: dict[str, DocumentRecord] = {}
    for batch in batches(wanted, LOOKUP_BATCH):
        statement = _DOCUMENTS.where(DocumentRow.collection_id == collection_id, DocumentRow.doc_id.in_(batch))
        found.update({row.doc_id: _record(row) for row in session.execute(statement)})
    return {doc_id: found[doc_id] for doc_id in wanted if doc_id in found}


def known_ids(session: Session, collection_id: int, doc_ids: Iterable[str]) -> set[str]:
    """Return which of these ids the collection has."""
    found: set[str] = set()
    for batch in batches(dict.fromkeys(doc_ids), LOOKUP_BATCH):
        known = select(DocumentRow.doc_id).where(DocumentRow.collection_id == collection_id)
        found.update(session.scalars(known.where(DocumentRow.doc_id.in_(batch))))
    return found


def count(session: Session, collection_id: int) -> int:
    """Return how many documents are stored for the collection."""
    statement = select(func.count()).select_from(DocumentRow).where(DocumentRow.collection_id == collection_id)
    return session.scalars(statement).one()


def _record(row: Row[*tuple[Any, ...]]) -> DocumentRecord:
    return DocumentRecord(*row)


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
