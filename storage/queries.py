"""Store of queries and the instructions they are asked under, of the rankings shown for them, and of test queries.

Queries and instructions are never edited. A test query is a labelled query that no training run learns from.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from storage.engine import LOOKUP_BATCH, batches, find_or_insert
from storage.errors import UnknownRecord
from storage.records import InstructionRecord, QueryRecord, SearchRecord
from storage.schema import InstructionRow, QueryRow, SearchEventRow, TestQueryRow, utc_now

_QUERIES = select(QueryRow, InstructionRow.text).join(InstructionRow, InstructionRow.id == QueryRow.instruction_id)
_BY_ID = _QUERIES.where(QueryRow.id == bindparam("query"))  # put together once, since it is asked with every mark


def get_or_create(
    session: Session,
    collection_id: int,
    text: str,
    instruction: str,
    author: str,
    public_id: str | None = None,
    need: str = "",
) -> QueryRecord:
    """Return the query of this text under this instruction, adding what is missing.

    Safe where several writers ask for the same query at once. For a query that exists, `author`, `public_id` and
    `need` stay those of the first person.

    Args:
        session: an open session.
        collection_id: the collection that is searched.
        text: what is asked.
        instruction: how it is meant to be read; may be empty.
        author: who asks.
        public_id: the query's id in an imported file.
        need: what would meet it, in Markdown.

    Raises:
        IntegrityError: if there is no such collection.
    """
    wanted_instruction = select(InstructionRow).where(
        InstructionRow.collection_id == collection_id, InstructionRow.text == instruction
    )
    instruction_row, _ = find_or_insert(
        session, wanted_instruction, InstructionRow(collection_id=collection_id, text=instruction)
    )
    wanted_query = select(QueryRow).where(
        QueryRow.collection_id == collection_id,
        QueryRow.text == text,
        QueryRow.instruction_id == instruction_row.id,
    )
    new_query = QueryRow(
        collection_id=collection_id,
        public_id=public_id,
        text=text,
        instruction_id=instruction_row.id,
        need=need,
        author=author,
    )
    query_row, _ = find_or_insert(session, wanted_query, new_query)
    return _record(query_row, instruction_row.text)


def get(session: Session, query_id: int) -> QueryRecord:
    """Return the query with its instruction.

    Raises:
        UnknownRecord: if there is none.
    """
    row = session.execute(_BY_ID, {"query": query_id}).one_or_none()
    if row is None:
        raise UnknownRecord("query", query_id)
    query, instruction = row
    return _record(query, instruction)


def find(session: Session, collection_id: int, text: str, instruction: str) -> QueryRecord | None:
    """Return the query of this text under this instruction, or None."""
    wanted = _QUERIES.where(
        QueryRow.collection_id == collection_id, QueryRow.text == text, InstructionRow.text == instruction
    )
    row = session.execute(wanted).one_or_none()
    return None if row is None else _record(*row)


def set_need(session: Session, query_id: int, need: str) -> QueryRecord:
    """Keep what would meet the query, in Markdown.

    Raises:
        UnknownRecord: if there is no such query.
    """
    row = session.get(QueryRow, query_id)
    if row is None:
        raise UnknownRecord("query", query_id)
    row.need = need
    session.flush()
    return get(session, query_id)


def list_all(session: Session, collection_id: int) -> Sequence[QueryRecord]:
    """Return every query of the collection by id."""
    statement = _QUERIES.where(QueryRow.collection_id == collection_id).order_by(QueryRow.id)
    return [_record(query, instruction) for query, instruction in session.execute(statement)]


def list_instructions(session: Session, collection_id: int) -> Sequence[InstructionRecord]:
    """Return the collection's instructions, the one most queries use first."""
    n_queries = func.count(QueryRow.id)
    statement = (
        select(InstructionRow, n_queries)
        .outerjoin(QueryRow, QueryRow.instruction_id == InstructionRow.id)
        .where(InstructionRow.collection_id == collection_id)
        .group_by(InstructionRow.id)
        .order_by(n_queries.desc(), InstructionRow.id)
    )
    return [
        InstructionRecord(
            id=row.id, collection_id=row.collection_id, text=row.text, n_queries=n, created_at=row.created_at
        )
        for row, n in session.execute(statement)
    ]


def record_search(
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
    return _search(row)


def latest_search(session: Session, query_id: int) -> SearchRecord | None:
    """Return the ranking shown last for the query, or None before the first."""
    statement = select(SearchEventRow).where(SearchEventRow.query_id == query_id)
    row = session.scalars(statement.order_by(SearchEventRow.id.desc()).limit(1)).one_or_none()
    return None if row is None else _search(row)


def kept_for_testing(session: Session, label_set_id: int) -> frozenset[int]:
    """Return the test queries of a label set."""
    return frozenset(session.scalars(select(TestQueryRow.query_id).where(TestQueryRow.label_set_id == label_set_id)))


def keep_for_testing(session: Session, label_set_id: int, chosen: Collection[int], author: str) -> int:
    """Make queries test queries and return how many were not.

    Raises:
        IntegrityError: if there is no such label set or query.
    """
    new = sorted(set(chosen) - kept_for_testing(session, label_set_id))
    common = {"label_set_id": label_set_id, "author": author, "created_at": utc_now()}
    if new:
        session.execute(insert(TestQueryRow), [{"query_id": query_id, **common} for query_id in new])
    return len(new)


def learn_from_again(session: Session, label_set_id: int, chosen: Collection[int]) -> int:
    """Let queries be learned from again and return how many were test queries."""
    n = 0
    for some in batches(chosen, LOOKUP_BATCH):
        statement = delete(TestQueryRow).where(
            TestQueryRow.label_set_id == label_set_id, TestQueryRow.query_id.in_(some)
        )
        n += len(session.execute(statement.returning(TestQueryRow.query_id)).all())
    return n


def _record(row: QueryRow, instruction: str) -> QueryRecord:
    return QueryRecord(
        id=row.id,
        collection_id=row.collection_id,
        public_id=row.public_id,
        text=row.text,
        instruction_id=row.instruction_id,
        instruction=instruction,
        need=row.need,
        author=row.author,
        created_at=row.created_at,
    )


def _search(row: SearchEventRow) -> SearchRecord:
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
