"""Store of judgments as they leave and come in: what stands in a whole label set, and marks with times of their own.

The log stays append-only; marks that come in are events like any other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from storage.batches import batches
from storage.records import JudgmentRecord, NewJudgment
from storage.schema import JudgmentEventRow, current_judgment, utc_now

_APPEND_BATCH = 500

_NEW_FIELDS = tuple(field.name for field in fields(NewJudgment))
_CURRENT = select(*(current_judgment.c[field.name] for field in fields(JudgmentRecord)))


def all_current(session: Session, label_set_id: int) -> Sequence[JudgmentRecord]:
    """Return everything that stands in the label set, notes and doubts too, in the order it was said."""
    statement = _CURRENT.where(current_judgment.c.label_set_id == label_set_id).order_by(current_judgment.c.id)
    return [JudgmentRecord(*row) for row in session.execute(statement)]


def append_dated(session: Session, judgments: Iterable[tuple[NewJudgment, datetime | None]]) -> int:
    """Store judgments in the order given with the times they were made at, None for now; return how many.

    Raises:
        IntegrityError: if a delivery is stored already, or a label set, a query or an instruction does not exist.
    """
    now, n_stored = utc_now(), 0
    for batch in batches(judgments, _APPEND_BATCH):
        rows = [
            {**dict(zip(_NEW_FIELDS, astuple(judgment), strict=True)), "created_at": made_at or now}
            for judgment, made_at in batch
        ]
        session.execute(insert(JudgmentEventRow), rows)
        n_stored += len(rows)
    return n_stored
