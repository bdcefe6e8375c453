"""Store of pools: the documents that are to be judged for a query, what brought them up, and how they were drawn."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import ColumnElement, exists, insert, select
from sqlalchemy.orm import Session

from storage.batches import LOOKUP_BATCH, batches
from storage.records import PoolDocument, PoolDraw
from storage.schema import LabelSetRow, PoolDocumentRow, PoolDrawRow, RemovedDocumentRow


def list_for(session: Session, label_set_id: int, query_id: int) -> Sequence[PoolDocument]:
    """Return the query's pool in the order in which it grew, but for documents that were removed meanwhile."""
    statement = (
        select(PoolDocumentRow.doc_id, PoolDocumentRow.sources)
        .where(PoolDocumentRow.label_set_id == label_set_id, PoolDocumentRow.query_id == query_id, ~_is_removed())
        .order_by(PoolDocumentRow.id)
    )
    return [PoolDocument(doc_id, sources) for doc_id, sources in session.execute(statement)]


def doc_ids_by_query(
    session: Session, label_set_id: int, query_ids: Collection[int] | None = None
) -> dict[int, list[str]]:
    """Return the documents of every pool of the label set by query id, as in `list_for`.

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


def add(session: Session, label_set_id: int, query_id: int, documents: Iterable[PoolDocument]) -> int:
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


def _is_removed() -> ColumnElement[bool]:
    """Return the condition that the collection has lost the document of a row; it may come back."""
    return exists().where(
        LabelSetRow.id == PoolDocumentRow.label_set_id,
        RemovedDocumentRow.collection_id == LabelSetRow.collection_id,
        RemovedDocumentRow.doc_id == PoolDocumentRow.doc_id,
    )
