"""Store of documents: added in order, read back in order or by id; a million of them pass through in batches.

How they change later is in `storage.document_changes`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Row, func, insert, select
from sqlalchemy.orm import Session

from storage.batches import LOOKUP_BATCH, batches
from storage.records import DocumentRecord, NewDocument
from storage.schema import Base, DocumentRow

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
