"""Store of what is said and asked of training runs beyond training: names and notes, deletion, the learning curve.

Other modules find all of it in `storage.training_runs`.
"""

from sqlalchemy.orm import Session

from storage.records import JsonObject, TrainingRunRecord, TrainingRunState
from storage.schema import TrainingRunRow, utc_now
from storage.training_rows import TRAINING_RUNS, change, get, record_of

_ANY_STATE = tuple(TrainingRunState)
_ENDED = (
    TrainingRunState.FINISHED,
    TrainingRunState.FAILED,
    TrainingRunState.CANCELLED,
    TrainingRunState.INTERRUPTED,
)


def describe(
    session: Session,
    run_id: int,
    *,
    name: str | None = None,
    note: str | None = None,
    is_pinned: bool | None = None,
    is_archived: bool | None = None,
) -> TrainingRunRecord:
    """Change what people say of a training run, in whatever state it is, and return it.

    Args:
        session: an open session.
        run_id: which training run.
        name: "" takes the name away. This and what follows stays as it is where None.
        note: in the people's own words.
        is_pinned: whether it is kept at the top.
        is_archived: whether it is put out of sight.

    Raises:
        UnknownRecord: if there is none.
    """
    given = {"name": name, "note": note, "is_pinned": is_pinned, "is_archived": is_archived}
    values = {column: value for column, value in given.items() if value is not None}
    changed = change(session, run_id, _ANY_STATE, **values) if values else None
    return changed or get(session, run_id)


def delete(session: Session, run_id: int) -> None:
    """Delete a training run that has ended, and the labels it learned from; its id and number are not given again.

    Raises:
        ValueError: if it is queued or running.
        UnknownRecord: if there is none.
    """
    deleted = change(session, run_id, _ENDED, deleted_at=utc_now(), label_snapshot={})
    if deleted is None:
        raise ValueError(f"training run {run_id} is {get(session, run_id).state}; cancel it before deleting it")


def request_curve(session: Session, run_id: int) -> TrainingRunRecord:
    """Ask for the learning curve of a finished training run; a curve it has stays until the new one is there.

    Raises:
        ValueError: if it has not finished.
        UnknownRecord: if there is none.
    """
    asked = change(session, run_id, {TrainingRunState.FINISHED}, wants_curve=True)
    if asked is None:
        raise ValueError(f"expected training run {run_id} to be finished, got {get(session, run_id).state}")
    return asked


def next_wanted_curve(session: Session) -> TrainingRunRecord | None:
    """Return the oldest training run whose learning curve is asked for, or None; it stays wanted until it is set."""
    wanted = TRAINING_RUNS.where(TrainingRunRow.wants_curve).order_by(TrainingRunRow.id).limit(1)
    row = session.execute(wanted).one_or_none()
    return None if row is None else record_of(row)


def set_curve(session: Session, run_id: int, curve: JsonObject | None) -> TrainingRunRecord:
    """Keep the learning curve of a training run, None where there can be none, and ask for it no longer.

    Raises:
        UnknownRecord: if there is no such training run.
    """
    kept = change(session, run_id, _ANY_STATE, curve=None if curve is None else dict(curve), wants_curve=False)
    return kept or get(session, run_id)
