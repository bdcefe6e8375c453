"""Store of judgments, an append-only log: undo and re-grading append, nothing is updated or deleted.

What stands is read from the view of the latest events; a cleared mark (grade None) stands for nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from itertools import islice
from typing import Any

from sqlalchemy import Row, case, distinct, func, insert, select
from sqlalchemy.orm import Session

from storage.insertion import find_or_insert
from storage.records import AppendedJudgment, JudgmentCounts, JudgmentRecord, NewJudgment
from storage.schema import JudgmentEventRow, current_judgment

_APPEND_BATCH = 500  # older SQLite takes no more than 999 parameters in a statement

_RECORD_FIELDS = tuple(field.name for field in fields(JudgmentRecord))
_NEW_FIELDS = tuple(field.name for field in fields(NewJudgment))
_EVENTS = select(*(JudgmentEventRow.__table__.c[name] for name in _RECORD_FIELDS))
_CURRENT = select(*(current_judgment.c[name] for name in _RECORD_FIELDS))


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


def current_for_query(session: Session, label_set_id: int, query_id: int) -> Mapping[str, JudgmentRecord]:
    """Return what stands for the query: document id -> judgment."""
    statement = _CURRENT.where(
        current_judgment.c.label_set_id == label_set_id, current_judgment.c.query_id == query_id
    ).order_by(current_judgment.c.id)
    return {record.doc_id: record for record in map(_record, session.execute(statement))}


def qrels(session: Session, label_set_id: int) -> Mapping[int, Mapping[str, float]]:
    """Return what stands in the label set: query id -> document id -> grade; absent is unjudged."""
    statement = (
        select(current_judgment.c.query_id, current_judgment.c.doc_id, current_judgment.c.grade)
        .where(current_judgment.c.label_set_id == label_set_id)
        .order_by(current_judgment.c.query_id, current_judgment.c.id)
    )
    grades: dict[int, dict[str, float]] = {}
    for query_id, doc_id, grade in session.execute(statement):
        grades.setdefault(query_id, {})[doc_id] = grade
    return grades


def counts(session: Session, label_set_id: int) -> JudgmentCounts:
    """Return how much stands in the label set."""
    statement = select(
        func.count(distinct(current_judgment.c.query_id)),
        func.count(),
        func.coalesce(func.sum(case((current_judgment.c.grade > 0, 1), else_=0)), 0),
    ).where(current_judgment.c.label_set_id == label_set_id)
    n_queries, n_judgments, n_relevant = session.execute(statement).one()
    return JudgmentCounts(n_queries, n_judgments, n_relevant, n_judgments - n_relevant)


def history(session: Session, label_set_id: int, query_id: int) -> Sequence[JudgmentRecord]:
    """Return every event of the query, clearing ones too, oldest first."""
    statement = _EVENTS.where(
        JudgmentEventRow.label_set_id == label_set_id, JudgmentEventRow.query_id == query_id
    ).order_by(JudgmentEventRow.id)
    return [_record(row) for row in session.execute(statement)]


def last_event(session: Session, label_set_id: int, query_id: int, author: str) -> JudgmentRecord | None:
    """Return the author's latest event for the query (what undo takes back), or None before the first."""
    statement = (
        _EVENTS.where(
            JudgmentEventRow.label_set_id == label_set_id,
            JudgmentEventRow.query_id == query_id,
            JudgmentEventRow.author == author,
        )
        .order_by(JudgmentEventRow.id.desc())
        .limit(1)
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else _record(row)


def previous_grade(
    session: Session, label_set_id: int, query_id: int, doc_id: str, before_event_id: int
) -> float | None:
    """Return the document's grade just before that event (what undo goes back to); None is no mark."""
    statement = (
        select(JudgmentEventRow.grade)
        .where(
            JudgmentEventRow.label_set_id == label_set_id,
            JudgmentEventRow.query_id == query_id,
            JudgmentEventRow.doc_id == doc_id,
            JudgmentEventRow.id < before_event_id,
        )
        .order_by(JudgmentEventRow.id.desc())
        .limit(1)
    )
    return session.scalars(statement).one_or_none()


def _stored_deliveries(
    session: Session, judgments: Sequence[NewJudgment]
) -> Iterator[tuple[tuple[str, int], JudgmentRecord]]:
    for client_id in {judgment.client_id for judgment in judgments}:
        sequences = [judgment.sequence for judgment in judgments if judgment.client_id == client_id]
        statement = _EVENTS.where(JudgmentEventRow.client_id == client_id, JudgmentEventRow.sequence.in_(sequences))
        for record in map(_record, session.execute(statement)):
            yield (record.client_id, record.sequence), record


def _check_same_mark(stored: JudgmentRecord | NewJudgment, judgment: NewJudgment) -> None:
    expected, actual = ((mark.label_set_id, mark.query_id, mark.doc_id, mark.grade) for mark in (stored, judgment))
    if expected != actual:
        raise ValueError(
            f"delivery {judgment.sequence} of client {judgment.client_id!r} is already stored as "
            f"(label set, query, document, grade) {expected}, got {actual}"
        )


def _values(judgment: NewJudgment) -> dict[str, Any]:
    return dict(zip(_NEW_FIELDS, astuple(judgment), strict=True))


def _record(row: Row[*tuple[Any, ...]]) -> JudgmentRecord:
    return JudgmentRecord(*row)
