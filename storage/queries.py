"""Store of queries and of the instructions they are asked under; neither is ever edited."""

from collections.abc import Sequence

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from storage.errors import UnknownRecord
from storage.insertion import find_or_insert
from storage.records import InstructionRecord, QueryRecord
from storage.schema import InstructionRow, QueryRow


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
    `need` stay those of whoever was first.

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
    row = session.execute(_queries().where(QueryRow.id == query_id)).one_or_none()
    if row is None:
        raise UnknownRecord("query", query_id)
    query, instruction = row
    return _record(query, instruction)


def find(session: Session, collection_id: int, text: str, instruction: str) -> QueryRecord | None:
    """Return the query of this text under this instruction, or None."""
    wanted = _queries().where(
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
    statement = _queries().where(QueryRow.collection_id == collection_id).order_by(QueryRow.id)
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


def _queries() -> Select[QueryRow, str]:
    return select(QueryRow, InstructionRow.text).join(InstructionRow, InstructionRow.id == QueryRow.instruction_id)


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
