"""Store of label sets, the named sets that judgments belong to; of their pools, and of who has read which guidelines.

A pool holds the documents that are to be judged for a query, what brought them up, and how they were drawn. A version
of a collection's guidelines is named by the hash of its text.
"""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import ColumnElement, Select, bindparam, exists, insert, select
from sqlalchemy.orm import Session

from storage.engine import LOOKUP_BATCH, batches, find_or_insert
from storage.errors import UnknownRecord
from storage.records import LabelSetRecord, PoolDocument, PoolDraw
from storage.schema import AcknowledgementRow, LabelSetRow, PoolDocumentRow, PoolDrawRow, RemovedDocumentRow


def _is_removed() -> ColumnElement[bool]:
    """Return the condition that the collection has lost the document of a row; it may come back."""
    return exists().where(
        LabelSetRow.id == PoolDocumentRow.label_set_id,
        RemovedDocumentRow.collection_id == LabelSetRow.collection_id,
        RemovedDocumentRow.doc_id == PoolDocumentRow.doc_id,
    )


_POOL = (  # put together once, since it is asked with every mark
    select(PoolDocumentRow.doc_id, PoolDocumentRow.sources)
    .where(
        PoolDocumentRow.label_set_id == bindparam("label_set"),
        PoolDocumentRow.query_id == bindparam("query"),
        ~_is_removed(),
    )
    .order_by(PoolDocumentRow.id)
)


def get_or_create(session: Session, collection_id: int, name: str, created_by: str) -> LabelSetRecord:
    """Return the collection's label set of that name, adding it if need be.

    Safe where several writers ask for the same name at once; `created_by` stays that of the first person.

    Raises:
        IntegrityError: if there is no such collection.
    """
    wanted = select(LabelSetRow).where(LabelSetRow.collection_id == collection_id, LabelSetRow.name == name)
    row, _ = find_or_insert(session, wanted, LabelSetRow(collection_id=collection_id, name=name, created_by=created_by))
    return _record(row)


def get(session: Session, label_set_id: int) -> LabelSetRecord:
    """Return the label set.

    Raises:
        UnknownRecord: if there is none.
    """
    return _record(_row(session, label_set_id))


def set_in_use(session: Session, label_set_id: int, key: str) -> LabelSetRecord:
    """Note which ranking is in use from now on; "" is what the newest training run found best.

    Raises:
        UnknownRecord: if there is no such label set.
    """
    row = _row(session, label_set_id)
    row.in_use = key
    session.flush()
    return _record(row)


def list_names(session: Session, collection_id: int) -> Sequence[LabelSetRecord]:
    """Return the collection's label sets by id."""
    statement = select(LabelSetRow).where(LabelSetRow.collection_id == collection_id).order_by(LabelSetRow.id)
    return [_record(row) for row in session.scalars(statement)]


def pool_of(session: Session, label_set_id: int, query_id: int) -> Sequence[PoolDocument]:
    """Return the query's pool in the order in which it grew, but for documents that were removed meanwhile."""
    place = {"label_set": label_set_id, "query": query_id}
    return [PoolDocument(doc_id, sources) for doc_id, sources in session.execute(_POOL, place)]


def pooled_ids(session: Session, label_set_id: int, query_ids: Collection[int] | None = None) -> dict[int, list[str]]:
    """Return the documents of every pool of the label set by query id, as in `pool_of`.

    `query_ids` limits it to these queries.
    """
    statement = (
        select(PoolDocumentRow.query_id, PoolDocumentRow.doc_id)
        .where(PoolDocumentRow.label_set_id == label_set_id, ~_is_removed())
        .order_by(PoolDocumentRow.id)
    )
    statements = [statement]
    if query_ids is not None:
        statements = [statement.where(PoolDocumentRow.query_id.in_(some)) for some in batches(query_ids, LOOKUP_BATCH)]
    pools: dict[int, list[str]] = {}
    for each in statements:
        for query_id, doc_id in session.execute(each):
            pools.setdefault(query_id, []).append(doc_id)
    return pools


def add_to_pool(session: Session, label_set_id: int, query_id: int, documents: Iterable[PoolDocument]) -> int:
    """Add documents to the query's pool and return how many were new; those it has keep their sources.

    Raises:
        IntegrityError: if there is no such label set or query.
    """
    of_query = (PoolDocumentRow.label_set_id == label_set_id, PoolDocumentRow.query_id == query_id)
    known = set(session.scalars(select(PoolDocumentRow.doc_id).where(*of_query)))
    rows = [
        {
            "label_set_id": label_set_id,
            "query_id": query_id,
            "doc_id": document.doc_id,
            "sources": dict(document.sources),
        }
        for document in {document.doc_id: document for document in documents}.values()
        if document.doc_id not in known
    ]
    if rows:
        session.execute(insert(PoolDocumentRow), rows)
    return len(rows)


def add_draw(session: Session, label_set_id: int, query_id: int, draw: PoolDraw) -> None:
    """Store how documents of a query's pool were drawn.

    Raises:
        IntegrityError: if there is no such label set or query.
    """
    session.execute(
        insert(PoolDrawRow).values(
            label_set_id=label_set_id,
            query_id=query_id,
            sources=list(draw.sources),
            drawn=list(draw.drawn),
            not_drawn=list(draw.not_drawn),
            certain=list(draw.certain),
            is_deep=draw.is_deep,
        )
    )


def draws(session: Session, label_set_id: int, query_ids: Collection[int]) -> dict[int, list[PoolDraw]]:
    """Return query id -> its draws, the oldest first; queries whose pools were made without any are left out."""
    found: dict[int, list[PoolDraw]] = {}
    for some in batches(query_ids, LOOKUP_BATCH):
        statement = (
            select(
                PoolDrawRow.query_id,
                PoolDrawRow.sources,
                PoolDrawRow.drawn,
                PoolDrawRow.not_drawn,
                PoolDrawRow.certain,
                PoolDrawRow.is_deep,
            )
            .where(PoolDrawRow.label_set_id == label_set_id, PoolDrawRow.query_id.in_(some))
            .order_by(PoolDrawRow.id)
        )
        for query_id, sources, drawn, not_drawn, certain, is_deep in session.execute(statement):
            draw = PoolDraw(tuple(sources), tuple(drawn), tuple(not_drawn), tuple(certain), is_deep)
            found.setdefault(query_id, []).append(draw)
    return found


def acknowledge(session: Session, collection_id: int, author: str, text_hash: str) -> None:
    """Note that the author has read this version; a second time changes nothing.

    Raises:
        IntegrityError: if there is no such collection.
    """
    row = AcknowledgementRow(collection_id=collection_id, author=author, text_hash=text_hash)
    find_or_insert(session, _acknowledgement(collection_id, author, text_hash), row)


def has_acknowledged(session: Session, collection_id: int, author: str, text_hash: str) -> bool:
    """Return whether the author has read this version."""
    return session.scalars(_acknowledgement(collection_id, author, text_hash)).one_or_none() is not None


def _row(session: Session, label_set_id: int) -> LabelSetRow:
    row = session.get(LabelSetRow, label_set_id)
    if row is None:
        raise UnknownRecord("label set", label_set_id)
    return row


def _record(row: LabelSetRow) -> LabelSetRecord:
    return LabelSetRecord(
        id=row.id,
        collection_id=row.collection_id,
        name=row.name,
        created_by=row.created_by,
        created_at=row.created_at,
        in_use=row.in_use,
    )


def _acknowledgement(collection_id: int, author: str, text_hash: str) -> Select[AcknowledgementRow]:
    return select(AcknowledgementRow).where(
        AcknowledgementRow.collection_id == collection_id,
        AcknowledgementRow.author == author,
        AcknowledgementRow.text_hash == text_hash,
    )
