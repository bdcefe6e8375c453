"""Store of training runs: a queue that people take turns in, the progress of each run, and how it ended.

    queued -> running -> finished | failed | cancelled | interrupted
    queued -> cancelled
    failed | cancelled | interrupted -> queued, where somebody resumes it

Every step names the states it may start from in its own statement, so two workers cannot both take it.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from storage.errors import UnknownRecord
from storage.records import (
    FinishedTraining,
    JsonObject,
    LabelSnapshot,
    NewTrainingRun,
    TrainingRunRecord,
    TrainingRunState,
)
from storage.schema import CollectionRow, TrainingRunRow, utc_now
from storage.training_descriptions import delete as delete
from storage.training_descriptions import describe as describe
from storage.training_descriptions import next_wanted_curve as next_wanted_curve
from storage.training_descriptions import request_curve as request_curve
from storage.training_descriptions import set_curve as set_curve
from storage.training_rows import TRAINING_RUNS, change, record_of
from storage.training_rows import get as get
from storage.turns import in_turn

_QUEUED, _RUNNING = TrainingRunState.QUEUED, TrainingRunState.RUNNING
_RESUMABLE = (TrainingRunState.FAILED, TrainingRunState.CANCELLED, TrainingRunState.INTERRUPTED)


def create_queued(session: Session, run: NewTrainingRun) -> TrainingRunRecord:
    """Put a training run at the end of its author's line; it gets the collection's next number.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    return _add(session, run, state=_QUEUED)


def add_finished(session: Session, run: NewTrainingRun, ended: FinishedTraining) -> TrainingRunRecord:
    """Add a training run that was done elsewhere; it gets the collection's next number.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    return _add(
        session,
        run,
        state=TrainingRunState.FINISHED,
        fraction=1.0,
        measures=None if ended.measures is None else dict(ended.measures),
        curve=None if ended.curve is None else dict(ended.curve),
        device=ended.device,
        message=ended.message,
        name=ended.name,
        note=ended.note,
        started_at=ended.started_at,
        finished_at=ended.finished_at,
    )


def claim_next(session: Session) -> TrainingRunRecord | None:
    """Turn the training run whose turn it is into a running one and return it, or None when the queue is empty."""
    while waiting := _waiting(session):
        now = utc_now()
        claimed = change(session, waiting[0].id, {_QUEUED}, state=_RUNNING, started_at=now, heartbeat_at=now)
        if claimed is not None:
            return claimed
    return None


def queue(session: Session) -> Sequence[TrainingRunRecord]:
    """Return what is running and queued in all collections, in the order in which it will be done."""
    running = TRAINING_RUNS.where(TrainingRunRow.state == _RUNNING).order_by(TrainingRunRow.id)
    return [*(record_of(row) for row in session.execute(running)), *_waiting(session)]


def label_snapshot(session: Session, run_id: int) -> LabelSnapshot:
    """Return the labels the training run learns from: query id as text -> document id -> grade.

    Raises:
        UnknownRecord: if there is no such training run.
    """
    found = select(TrainingRunRow.label_snapshot).where(
        TrainingRunRow.id == run_id, TrainingRunRow.deleted_at.is_(None)
    )
    snapshot = session.scalars(found).one_or_none()
    if snapshot is None:
        raise UnknownRecord("training run", run_id)
    return snapshot


def list_for(session: Session, collection_id: int, label_set_id: int | None = None) -> Sequence[TrainingRunRecord]:
    """Return the collection's training runs, those of one label set if given, newest first."""
    statement = TRAINING_RUNS.where(TrainingRunRow.collection_id == collection_id)
    if label_set_id is not None:
        statement = statement.where(TrainingRunRow.label_set_id == label_set_id)
    return [record_of(row) for row in session.execute(statement.order_by(TrainingRunRow.number.desc()))]


def count_finished(session: Session, label_set_id: int) -> int:
    """Return how many training runs of a label set have finished, those included that were deleted since."""
    finished = select(func.count()).where(
        TrainingRunRow.label_set_id == label_set_id, TrainingRunRow.state == TrainingRunState.FINISHED
    )
    return session.scalars(finished).one()


def has_active(session: Session, collection_id: int) -> bool:
    """Return whether a training run of the collection is queued or running."""
    statement = select(
        exists().where(TrainingRunRow.collection_id == collection_id, TrainingRunRow.state.in_([_QUEUED, _RUNNING]))
    )
    return session.scalars(statement).one()


def is_cancel_requested(session: Session, run_id: int) -> bool:
    """Return whether someone asked to cancel the training run.

    Raises:
        UnknownRecord: if there is none.
    """
    return get(session, run_id).is_cancel_requested


def progress(session: Session, run_id: int, *, stage: str, fraction: float, message: str) -> TrainingRunRecord:
    """Note how far a running training run is, and that its worker is alive.

    Args:
        session: an open session.
        run_id: which training run.
        stage: what it is doing.
        fraction: how much of the whole is done, in [0, 1].
        message: for people.

    Raises:
        ValueError: if `fraction` is out of range, or the training run is not running.
        UnknownRecord: if there is none.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected a fraction from 0 to 1, got {fraction!r}")
    changed = change(
        session, run_id, {_RUNNING}, stage=stage, fraction=fraction, message=message, heartbeat_at=utc_now()
    )
    if changed is None:
        raise ValueError(f"expected training run {run_id} to be running, got {get(session, run_id).state}")
    return changed


def finish(
    session: Session,
    run_id: int,
    *,
    measures: JsonObject,
    device: str,
    config: JsonObject | None = None,
    message: str = "",
) -> TrainingRunRecord:
    """Note that a running training run ended well.

    Args:
        session: an open session.
        run_id: which training run.
        measures: what was measured, JSON without NaN.
        device: what it was computed on.
        config: what it was computed with; None leaves the one it was queued with.
        message: what people should know of how it went; it takes the place of the last progress.

    Raises:
        ValueError: if it is not running.
        UnknownRecord: if there is none.
    """
    values = {"measures": dict(measures), "device": device, "message": message, "fraction": 1.0}
    if config is not None:
        values["config"] = dict(config)
    return _end(session, run_id, {_RUNNING}, TrainingRunState.FINISHED, **values)


def fail(session: Session, run_id: int, message: str) -> TrainingRunRecord:
    """Note that a running training run failed, and why in words for people.

    Raises:
        ValueError: if it is not running.
        UnknownRecord: if there is none.
    """
    return _end(session, run_id, {_RUNNING}, TrainingRunState.FAILED, message=message)


def cancel_request(session: Session, run_id: int) -> TrainingRunRecord:
    """Ask for a training run to stop, and return it as it then stands.

    A queued one is cancelled at once; a running one gets the request, which its worker answers with
    `mark_cancelled`; one that has ended stays as it is, since the click came too late.

    Raises:
        UnknownRecord: if there is none.
    """
    cancelled = change(
        session,
        run_id,
        {_QUEUED},
        state=TrainingRunState.CANCELLED,
        cancel_requested=True,
        finished_at=utc_now(),
    )
    if cancelled is not None:
        return cancelled
    return change(session, run_id, {_RUNNING}, cancel_requested=True) or get(session, run_id)


def mark_cancelled(session: Session, run_id: int) -> TrainingRunRecord:
    """Note that a training run was cancelled.

    Raises:
        ValueError: if it has ended already.
        UnknownRecord: if there is none.
    """
    return _end(session, run_id, {_QUEUED, _RUNNING}, TrainingRunState.CANCELLED)


def mark_interrupted_all_running(session: Session) -> int:
    """Turn every running training run into an interrupted one, and return how many there were.

    For the start of the program, when nothing can be running: what says so was left by one that was killed.
    Queued ones stay and will be claimed.
    """
    statement = (
        update(TrainingRunRow)
        .where(TrainingRunRow.state == _RUNNING)
        .values(state=TrainingRunState.INTERRUPTED, finished_at=utc_now())
        .returning(TrainingRunRow.id)
        .execution_options(synchronize_session=False)
    )
    return len(session.execute(statement).all())


def resume(session: Session, run_id: int) -> TrainingRunRecord:
    """Put a training run that ended before it was done at the end of its author's line again.

    It keeps its id, number, seed and labels, and starts from the beginning.

    Raises:
        ValueError: if it is queued, running or finished.
        UnknownRecord: if there is none.
    """
    resumed = change(
        session,
        run_id,
        _RESUMABLE,
        state=_QUEUED,
        queued_at=utc_now(),
        stage="",
        fraction=0.0,
        message="",
        cancel_requested=False,
        started_at=None,
        finished_at=None,
        heartbeat_at=None,
    )
    if resumed is None:
        raise ValueError(f"training run {run_id} is {get(session, run_id).state} and cannot be resumed")
    return resumed


def _waiting(session: Session) -> list[TrainingRunRecord]:
    """Return what is queued, the next one first."""
    queued = TRAINING_RUNS.where(TrainingRunRow.state == _QUEUED).order_by(TrainingRunRow.queued_at, TrainingRunRow.id)
    begun = select(TrainingRunRow.author, func.max(TrainingRunRow.started_at)).group_by(TrainingRunRow.author)
    last_turns = {author: last for author, last in session.execute(begun) if last is not None}
    return in_turn([record_of(row) for row in session.execute(queued)], last_turns)


def _add(session: Session, run: NewTrainingRun, **values: Any) -> TrainingRunRecord:
    # the row is locked where the database locks rows, so two runs cannot get the same number
    locked = select(CollectionRow.id).where(CollectionRow.id == run.collection_id).with_for_update()
    if session.scalars(locked).one_or_none() is None:
        raise UnknownRecord("collection", run.collection_id)
    highest = select(func.max(TrainingRunRow.number)).where(TrainingRunRow.collection_id == run.collection_id)
    row = TrainingRunRow(
        collection_id=run.collection_id,
        label_set_id=run.label_set_id,
        number=(session.scalars(highest).one() or 0) + 1,
        recipe=run.recipe,
        seed=run.seed,
        config=dict(run.config),
        label_snapshot={query_id: dict(grades) for query_id, grades in run.label_snapshot.items()},
        snapshot_hash=run.snapshot_hash,
        n_queries=run.n_queries,
        n_relevant=run.n_relevant,
        n_not_relevant=run.n_not_relevant,
        author=run.author,
        rerun_of=run.rerun_of,
        **values,
    )
    session.add(row)
    session.flush()
    return get(session, row.id)


def _end(
    session: Session, run_id: int, allowed: Collection[TrainingRunState], state: TrainingRunState, **values: Any
) -> TrainingRunRecord:
    ended = change(session, run_id, allowed, state=state, finished_at=utc_now(), **values)
    if ended is None:
        raise ValueError(f"training run {run_id} is {get(session, run_id).state} and cannot become {state}")
    return ended
