"""Store of judgments, an append-only log: undo and re-grading append, nothing is updated or deleted.

What stands is read from the view of the latest events, one per author, role, query and document.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, or_, select, tuple_
from sqlalchemy.orm import Session

from storage.engine import batches, find_or_insert
from storage.records import (
    AppendedJudgment,
    AuthorWork,
    Hand,
    JudgmentRecord,
    JudgmentRole,
    NewJudgment,
    StandingMark,
)
from storage.schema import JudgmentEventRow, current_judgment, utc_now

IMPORT_PREFIX = "import-"
"""How the client ids of marks begin that a file brought in."""

_APPEND_BATCH = 500  # older SQLite takes no more than 999 parameters in a statement

_RECORD_FIELDS = tuple(field.name for field in fields(JudgmentRecord))
_NEW_FIELDS = tuple(field.name for field in fields(NewJudgment))
_EVENTS = select(*(JudgmentEventRow.__table__.c[name] for name in _RECORD_FIELDS))
_CURRENT = select(*(current_judgment.c[name] for name in _RECORD_FIELDS))
_OF_QUERY = _CURRENT.where(  # put together once, since it is asked with every mark, as are others below
    current_judgment.c.label_set_id == bindparam("label_set"), current_judgment.c.query_id == bindparam("query")
).order_by(current_judgment.c.id)
_NEWEST = select(func.coalesce(func.max(JudgmentEventRow.id), 0))
_NEWER = select(JudgmentEventRow.query_id, JudgmentEventRow.label_set_id).where(
    JudgmentEventRow.id > bindparam("event")  # by id alone: an index by label set is read from its start
)
_STANDING = (
    select(
        current_judgment.c.id,
        current_judgment.c.query_id,
        current_judgment.c.doc_id,
        current_judgment.c.author,
        current_judgment.c.role,
        current_judgment.c.grade,
    )
    .where(
        current_judgment.c.label_set_id == bindparam("label_set"),
        or_(current_judgment.c.grade.is_not(None), current_judgment.c.is_unsure),
    )
    .order_by(current_judgment.c.id)
)
_STANDING_OF_SOME = _STANDING.where(current_judgment.c.query_id.in_(bindparam("some", expanding=True)))
_HANDS = (
    select(
        JudgmentEventRow.query_id,
        JudgmentEventRow.author,
        JudgmentEventRow.role,
        JudgmentEventRow.client_id.startswith(IMPORT_PREFIX, autoescape=True),
    )
    .where(JudgmentEventRow.label_set_id == bindparam("label_set"), JudgmentEventRow.role != JudgmentRole.REFERENCE)
    .distinct()
)
_HANDS_OF_SOME = _HANDS.where(JudgmentEventRow.query_id.in_(bindparam("some", expanding=True)))


def append(session: Session, judgment: NewJudgment) -> AppendedJudgment:
    """Store one judgment; the same delivery a second time writes nothing and returns the first event.

    A delivery is named by `client_id` and `sequence`.

    Raises:
        ValueError: if that delivery is stored with another mark in it, which would silently lose this one.
        IntegrityError: if label set, query or instruction do not exist.
    """
    wanted = select(JudgmentEventRow).where(
        JudgmentEventRow.client_id == judgment.client_id, JudgmentEventRow.sequence == judgment.sequence
    )
    row, is_new = find_or_insert(session, wanted, JudgmentEventRow(**_values(judgment)))
    record = JudgmentRecord(*(getattr(row, name) for name in _RECORD_FIELDS))
    if not is_new:
        _check_same_mark(record, judgment)
    return AppendedJudgment(record, is_new)


def append_many(session: Session, judgments: Iterable[NewJudgment]) -> int:
    """Store judgments in the order given, for imports; return how many were not stored before.

    Raises:
        ValueError: if a delivery is stored, or occurs before, with another mark in it.
        IntegrityError: if a label set, a query or an instruction does not exist.
    """
    n_new = 0
    iterator = iter(judgments)
    while batch := list(islice(iterator, _APPEND_BATCH)):
        known: dict[tuple[str, int], JudgmentRecord | NewJudgment] = dict(_stored_deliveries(session, batch))
        new: list[dict[str, Any]] = []
        for judgment in batch:
            delivery = (judgment.client_id, judgment.sequence)
            if delivery in known:
                _check_same_mark(known[delivery], judgment)
                continue
            known[delivery] = judgment
            new.append(_values(judgment))
        if new:
            session.execute(insert(JudgmentEventRow), new)
        n_new += len(new)
    return n_new


def current_for_query(
    session: Session, label_set_id: int, query_id: int, author: str | None = None
) -> Sequence[JudgmentRecord]:
    """Return what stands for the query, of every author or of one, in the order it was said."""
    statement = _OF_QUERY if author is None else _OF_QUERY.where(current_judgment.c.author == author)
    return [_record(row) for row in session.execute(statement, {"label_set": label_set_id, "query": query_id})]


def standing(session: Session, label_set_id: int, query_ids: Collection[int] | None = None) -> Sequence[StandingMark]:
    """Return the grades that stand in the label set, and who could not tell, in the order they were said.

    `query_ids` limits it to these queries.
    """
    if query_ids is None:
        return [StandingMark(*row[1:]) for row in session.execute(_STANDING, {"label_set": label_set_id})]
    found: list[Row[*tuple[Any, ...]]] = []
    for some in batches(query_ids, _APPEND_BATCH):
        found += session.execute(_STANDING_OF_SOME, {"label_set": label_set_id, "some": some})
    return [StandingMark(*row[1:]) for row in sorted(found, key=itemgetter(0))]


def hands(session: Session, label_set_id: int, query_ids: Collection[int] | None = None) -> set[Hand]:
    """Return who ever judged which query of the label set, or settled something of it, taken back or not.

    `query_ids` limits it to these queries.
    """
    if query_ids is None:
        return {Hand(*row) for row in session.execute(_HANDS, {"label_set": label_set_id})}
    found: set[Hand] = set()
    for some in batches(query_ids, _APPEND_BATCH):
        rows = session.execute(_HANDS_OF_SOME, {"label_set": label_set_id, "some": some})
        found.update(Hand(*row) for row in rows)
    return found


def newest_event_id(session: Session) -> int:
    """Return the id of the newest event of all label sets; 0 before the first."""
    return session.scalars(_NEWEST).one()


def changed_since(session: Session, label_set_id: int, event_id: int) -> set[int]:
    """Return the queries of the label set that were judged after that event."""
    newer = session.execute(_NEWER, {"event": event_id})
    return {query_id for query_id, belongs_to in newer if belongs_to == label_set_id}


def history(session: Session, label_set_id: int, query_id: int, author: str | None = None) -> Sequence[JudgmentRecord]:
    """Return every event of the query, of every author or of one, clearing ones too, oldest first."""
    statement = _EVENTS.where(
        JudgmentEventRow.label_set_id == label_set_id, JudgmentEventRow.query_id == query_id
    ).order_by(JudgmentEventRow.id)
    if author is not None:
        statement = statement.where(JudgmentEventRow.author == author)
    return [_record(row) for row in session.execute(statement)]


def histories_marked_on(session: Session, label_set_id: int, retriever: str) -> Sequence[JudgmentRecord]:
    """Return what authors said at the desk of the documents that each of them marked on a list, oldest first."""
    event = JudgmentEventRow
    at_desk = (event.label_set_id == label_set_id, event.role == JudgmentRole.JUDGE)
    marked = select(event.author, event.query_id, event.doc_id).where(*at_desk, event.retriever == retriever)
    found = _EVENTS.where(*at_desk, tuple_(event.author, event.query_id, event.doc_id).in_(marked))
    return [_record(row) for row in session.execute(found.order_by(event.id))]


def find_delivery(session: Session, client_id: str, sequence: int) -> JudgmentRecord | None:
    """Return the event that was delivered under this number, or None."""
    statement = _EVENTS.where(JudgmentEventRow.client_id == client_id, JudgmentEventRow.sequence == sequence)
    row = session.execute(statement).one_or_none()
    return None if row is None else _record(row)


def before(session: Session, event: JudgmentRecord) -> JudgmentRecord | None:
    """Return what the author had said of the document before that event (what undo goes back to), or None."""
    statement = (
        _EVENTS.where(
            JudgmentEventRow.label_set_id == event.label_set_id,
            JudgmentEventRow.query_id == event.query_id,
            JudgmentEventRow.doc_id == event.doc_id,
            JudgmentEventRow.author == event.author,
            JudgmentEventRow.role == event.role,
            JudgmentEventRow.id < event.id,
        )
        .order_by(JudgmentEventRow.id.desc())
        .limit(1)
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else _record(row)


def recent_seconds(session: Session, label_set_id: int, author: str, n: int) -> Sequence[float]:
    """Return how long the author looked at the documents of the last `n` marks, in seconds, where that is known."""
    event = JudgmentEventRow
    statement = (
        select(event.seconds)
        # "+ 0" keeps SQLite from sorting the whole label set, found by its index, instead of reading the newest rows
        .where(event.label_set_id + 0 == label_set_id, event.author == author, event.seconds.is_not(None))
        .order_by(event.id.desc())
        .limit(n)
    )
    return [seconds or 0.0 for seconds in session.scalars(statement)]


def work_by_author(session: Session, label_set_id: int) -> Sequence[AuthorWork]:
    """Return who judged how much, when and how fast, most marks first; imports are left out."""
    event = JudgmentEventRow
    is_at_desk = (event.label_set_id == label_set_id, event.role != JudgmentRole.REFERENCE)
    totals = session.execute(
        select(
            event.author,
            func.count(),
            func.min(event.created_at),
            func.max(event.created_at),
        )
        .where(*is_at_desk)
        .group_by(event.author)
        .order_by(func.count().desc(), event.author)
    ).all()
    seconds: dict[str, list[float]] = {}
    timed = select(event.author, event.seconds).where(*is_at_desk, event.seconds.is_not(None))
    for author, took in session.execute(timed):
        seconds.setdefault(author, []).append(took or 0.0)
    return [AuthorWork(*row, seconds=tuple(seconds.get(row[0], ()))) for row in totals]


def all_current(session: Session, label_set_id: int) -> Sequence[JudgmentRecord]:
    """Return everything that stands in the label set, notes and doubts too, in the order it was said."""
    statement = _CURRENT.where(current_judgment.c.label_set_id == label_set_id).order_by(current_judgment.c.id)
    return [_record(row) for row in session.execute(statement)]


def append_dated(session: Session, judgments: Iterable[tuple[NewJudgment, datetime | None]]) -> int:
    """Store judgments in the order given with the times they were made at, None for now; return how many.

    Raises:
        IntegrityError: if a delivery is stored already, or a label set, a query or an instruction does not exist.
    """
    now, n_stored = utc_now(), 0
    for batch in batches(judgments, _APPEND_BATCH):
        rows = [{**_values(judgment), "created_at": made_at or now} for judgment, made_at in batch]
        session.execute(insert(JudgmentEventRow), rows)
        n_stored += len(rows)
    return n_stored


def _stored_deliveries(
    session: Session, judgments: Sequence[NewJudgment]
) -> Iterator[tuple[tuple[str, int], JudgmentRecord]]:
    for client_id in {judgment.client_id for judgment in judgments}:
        sequences = [judgment.sequence for judgment in judgments if judgment.client_id == client_id]
        statement = _EVENTS.where(JudgmentEventRow.client_id == client_id, JudgmentEventRow.sequence.in_(sequences))
        for record in map(_record, session.execute(statement)):
            yield (record.client_id, record.sequence), record


def _check_same_mark(stored: JudgmentRecord | NewJudgment, judgment: NewJudgment) -> None:
    expected, actual = (
        (m.label_set_id, m.query_id, m.doc_id, m.author, m.role.value, m.grade, m.is_unsure, m.note)
        for m in (stored, judgment)
    )
    if expected != actual:
        raise ValueError(
            f"delivery {judgment.sequence} of client {judgment.client_id!r} is already stored as "
            f"(label set, query, document, author, role, grade, is unsure, note) {expected}, got {actual}"
        )


def _values(judgment: NewJudgment) -> dict[str, Any]:
    return dict(zip(_NEW_FIELDS, astuple(judgment), strict=True))


def _record(row: Row[*tuple[Any, ...]]) -> JudgmentRecord:
    return JudgmentRecord(*row)
