"""Store of preferences between two rankings, an append-only log: who answers again appends, nothing is updated.

A pair is named by its two ranking keys in the order that the caller chose; the other order is another pair.
"""

from collections.abc import Sequence
from dataclasses import astuple, fields

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.records import NewPreference, PreferenceRecord
from storage.schema import PreferenceEventRow

_NEW_FIELDS = tuple(field.name for field in fields(NewPreference))
_RECORD_FIELDS = tuple(field.name for field in fields(PreferenceRecord))
_EVENTS = select(*(PreferenceEventRow.__table__.c[name] for name in _RECORD_FIELDS))


def append(session: Session, new: NewPreference) -> PreferenceRecord:
    """Store one preference.

    Raises:
        IntegrityError: if there is no such label set or query.
    """
    row = PreferenceEventRow(**dict(zip(_NEW_FIELDS, astuple(new), strict=True)))
    session.add(row)
    session.flush()
    return PreferenceRecord(*(getattr(row, name) for name in _RECORD_FIELDS))


def standing(
    session: Session, label_set_id: int, first: str, second: str, author: str | None = None
) -> Sequence[PreferenceRecord]:
    """Return the latest answer of each author, or of one, to each query for the pair, oldest first."""
    event = PreferenceEventRow
    latest = (
        select(func.max(event.id))
        .where(event.label_set_id == label_set_id, event.first == first, event.second == second)
        .group_by(event.query_id, event.author)
    )
    if author is not None:
        latest = latest.where(event.author == author)
    rows = session.execute(_EVENTS.where(event.id.in_(latest)).order_by(event.id))
    return [PreferenceRecord(*row) for row in rows]


def pairs(session: Session, label_set_id: int) -> Sequence[tuple[str, str, int]]:
    """Return the pairs that were compared, by their keys: (first, second, number of answers that stand)."""
    event = PreferenceEventRow
    answered = (
        select(event.first, event.second, event.query_id, event.author)
        .where(event.label_set_id == label_set_id)
        .distinct()
        .subquery()
    )
    statement = (
        select(answered.c.first, answered.c.second, func.count())
        .group_by(answered.c.first, answered.c.second)
        .order_by(answered.c.first, answered.c.second)
    )
    return [(first, second, n_standing) for first, second, n_standing in session.execute(statement)]
