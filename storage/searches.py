"""Store of the rankings that people were shown."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.records import SearchRecord
from storage.schema import SearchEventRow


def record(
    session: Session,
    *,
    query_id: int,
    author: str,
    retriever: str,
    depth: int,
    took_ms: float,
    ranking: Sequence[tuple[str, float]],
) -> SearchRecord:
    """Store a ranking as it was shown.

    Args:
        session: an open session.
        query_id: what was asked.
        author: who asked.
        retriever: which retriever answered.
        depth: how many documents were asked for.
        took_ms: how long the search took, in milliseconds.
        ranking: (document id, score), best first.

    Raises:
        IntegrityError: if there is no such query.
    """
    row = SearchEventRow(
        query_id=query_id,
        author=author,
        retriever=retriever,
        depth=depth,
        took_ms=took_ms,
        ranking=[[doc_id, float(score)] for doc_id, score in ranking],
    )
    session.add(row)
    session.flush()
    return _record(row)


def latest_for_query(session: Session, query_id: int) -> SearchRecord | None:
    """Return the ranking shown last for the query, or None before the first."""
    statement = select(SearchEventRow).where(SearchEventRow.query_id == query_id)
    row = session.scalars(statement.order_by(SearchEventRow.id.desc()).limit(1)).one_or_none()
    return None if row is None else _record(row)


def _record(row: SearchEventRow) -> SearchRecord:
    return SearchRecord(
        id=row.id,
        query_id=row.query_id,
        author=row.author,
        retriever=row.retriever,
        depth=row.depth,
        took_ms=row.took_ms,
        ranking=tuple((doc_id, score) for doc_id, score in row.ranking),
        created_at=row.created_at,
    )
