"""Store of test queries: labelled queries of a label set that no training run learns from."""

from collections.abc import Collection

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from storage.batches import LOOKUP_BATCH, batches
from storage.schema import TestQueryRow, utc_now


def query_ids(session: Session, label_set_id: int) -> frozenset[int]:
    """Return the test queries of a label set."""
    return frozenset(session.scalars(select(TestQueryRow.query_id).where(TestQueryRow.label_set_id == label_set_id)))


def add(session: Session, label_set_id: int, chosen: Collection[int], author: str) -> int:
    """Make queries test queries and return how many were not.

    Raises:
        IntegrityError: if there is no such label set or query.
    """
    new = sorted(set(chosen) - query_ids(session, label_set_id))
    common = {"label_set_id": label_set_id, "author": author, "created_at": utc_now()}
    if new:
        session.execute(insert(TestQueryRow), [{"query_id": query_id, **common} for query_id in new])
    return len(new)


def remove(session: Session, label_set_id: int, chosen: Collection[int]) -> int:
    """Let queries be learned from again and return how many were test queries."""
    n = 0
    for some in batches(chosen, LOOKUP_BATCH):
        statement = delete(TestQueryRow).where(
            TestQueryRow.label_set_id == label_set_id, TestQueryRow.query_id.in_(some)
        )
        n += len(session.execute(statement.returning(TestQueryRow.query_id)).all())
    return n
