"""Store of training runs: what each learned from, left and is called; where it is in the queue stands in its job.

A deleted training run is a row that is not found here: it stays so that its id and its number are never used again.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from storage import jobs
from storage.errors import UnknownRecord
from storage.records import (
    FinishedTraining,
    JobKind,
    JobRecord,
    JobState,
    JsonObject,
    LabelSnapshot,
    NewJob,
    NewTrainingRun,
    TrainingRunRecord,
)
from storage.schema import CollectionRow, JobRow, TrainingRunRow, utc_now

_CURVE = aliased(JobRow)
_WANTS_CURVE = exists().where(
    _CURVE.training_run_id == TrainingRunRow.id,
    _CURVE.kind == JobKind.CURVE,
    _CURVE.state.in_((JobState.QUEUED, JobState.RUNNING)),
)
_TRAINING_RUNS = (
    select(  # in the order of the record's fields
        TrainingRunRow.id,
        TrainingRunRow.collection_id,
        TrainingRunRow.label_set_id,
        TrainingRunRow.number,
        JobRow.state,
        TrainingRunRow.recipe,
        TrainingRunRow.seed,
        TrainingRunRow.config,
        TrainingRunRow.snapshot_hash,
        TrainingRunRow.n_queries,
        TrainingRunRow.n_relevant,
        TrainingRunRow.n_not_relevant,
        JobRow.stage,
        JobRow.fraction,
        case((JobRow.error != "", JobRow.error), else_=JobRow.message),
        TrainingRunRow.measures,
        TrainingRunRow.device,
        TrainingRunRow.author,
        JobRow.cancel_requested,
        TrainingRunRow.created_at,
        JobRow.started_at,
        JobRow.finished_at,
        JobRow.heartbeat_at,
        TrainingRunRow.name,
        TrainingRunRow.note,
        TrainingRunRow.is_pinned,
        TrainingRunRow.is_archived,
        TrainingRunRow.rerun_of,
        TrainingRunRow.curve,
        _WANTS_CURVE,
        JobRow.id,
    )
    .join(JobRow, (JobRow.training_run_id == TrainingRunRow.id) & (JobRow.kind == JobKind.TRAIN))
    .where(TrainingRunRow.deleted_at.is_(None))
)


def create_queued(session: Session, run: NewTrainingRun) -> TrainingRunRecord:
    """Add a training run and put its job at the end of its author's line; it gets the collection's next number.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _add(session, run)
    jobs.create_queued(session, _job_of(row))
    return get(session, row.id)


def add_finished(session: Session, run: NewTrainingRun, ended: FinishedTraining) -> TrainingRunRecord:
    """Add a training run that was done elsewhere; it gets the collection's next number.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _add(
        session,
        run,
        measures=None if ended.measures is None else dict(ended.measures),
        curve=None if ended.curve is None else dict(ended.curve),
        device=ended.device,
        name=ended.name,
        note=ended.note,
    )
    times = {"started_at": ended.started_at, "finished_at": ended.finished_at}
    jobs.add(session, _job_of(row), JobState.FINISHED, fraction=1.0, message=ended.message, **times)
    return get(session, row.id)


def get(session: Session, run_id: int) -> TrainingRunRecord:
    """Return the training run as it stands.

    Raises:
        UnknownRecord: if there is none, or it was deleted.
    """
    row = session.execute(_TRAINING_RUNS.where(TrainingRunRow.id == run_id)).one_or_none()
    if row is None:
        raise UnknownRecord("training run", run_id)
    return TrainingRunRecord(*row)


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
    statement = _TRAINING_RUNS.where(TrainingRunRow.collection_id == collection_id)
    if label_set_id is not None:
        statement = statement.where(TrainingRunRow.label_set_id == label_set_id)
    return [TrainingRunRecord(*row) for row in session.execute(statement.order_by(TrainingRunRow.number.desc()))]


def count_finished(session: Session, label_set_id: int) -> int:
    """Return how many training runs of a label set have finished, those included that were deleted since."""
    finished = (
        select(func.count())
        .select_from(TrainingRunRow)
        .join(JobRow, (JobRow.training_run_id == TrainingRunRow.id) & (JobRow.kind == JobKind.TRAIN))
        .where(TrainingRunRow.label_set_id == label_set_id, JobRow.state == JobState.FINISHED)
    )
    return session.scalars(finished).one()


def set_outcome(
    session: Session, run_id: int, *, measures: JsonObject, device: str, config: JsonObject | None = None
) -> None:
    """Keep what a training run measured; its job is finished in the same transaction.

    Args:
        session: an open session.
        run_id: which training run.
        measures: what was measured, JSON without NaN.
        device: what it was computed on.
        config: what it was computed with; None leaves the one it was queued with.

    Raises:
        UnknownRecord: if there is none.
    """
    made_with = {} if config is None else {"config": dict(config)}
    _change(session, run_id, measures=dict(measures), device=device, **made_with)


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
    if values:
        _change(session, run_id, **values)
    return get(session, run_id)


def delete(session: Session, run_id: int) -> None:
    """Delete a training run that has ended, and the labels it learned from; its id and number are not given again.

    Raises:
        ValueError: if it is queued or running.
        UnknownRecord: if there is none.
    """
    run = get(session, run_id)
    if run.state.is_under_way:
        raise ValueError(f"training run {run_id} is {run.state}; cancel it before deleting it")
    withdraw_curve(session, run_id)
    _change(session, run_id, deleted_at=utc_now(), label_snapshot={})


def request_curve(session: Session, run_id: int, author: str) -> TrainingRunRecord:
    """Queue the learning curve of a finished training run; a curve it has stays until the new one is there.

    Raises:
        ValueError: if it has not finished.
        UnknownRecord: if there is none.
    """
    run = get(session, run_id)
    if run.state is not JobState.FINISHED:
        raise ValueError(f"expected training run {run_id} to be finished, got {run.state}")
    if not run.wants_curve:
        curve = NewJob(JobKind.CURVE, author, collection_id=run.collection_id, training_run_id=run_id)
        jobs.create_queued(session, curve)
    return get(session, run_id)


def withdraw_curve(session: Session, run_id: int) -> None:
    """Cancel the learning curve of a training run that is under way, if any; the one it has stays."""
    for job in curves_under_way(session):
        if job.training_run_id == run_id:
            jobs.cancel_request(session, job.id)


def curves_under_way(session: Session) -> Sequence[JobRecord]:
    """Return the learning curves that are computed or wait, the one under way first."""
    return jobs.queue(session, {JobKind.CURVE})


def set_curve(session: Session, run_id: int, curve: JsonObject | None) -> None:
    """Keep the learning curve of a training run, None where there can be none.

    Raises:
        UnknownRecord: if there is no such training run.
    """
    _change(session, run_id, curve=None if curve is None else dict(curve))


def _add(session: Session, run: NewTrainingRun, **values: Any) -> TrainingRunRow:
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
    return row


def _job_of(row: TrainingRunRow) -> NewJob:
    return NewJob(JobKind.TRAIN, row.author, collection_id=row.collection_id, training_run_id=row.id)


def _change(session: Session, run_id: int, **values: Any) -> None:
    statement = (
        update(TrainingRunRow)
        .where(TrainingRunRow.id == run_id, TrainingRunRow.deleted_at.is_(None))
        .values(**values)
        .returning(TrainingRunRow.id)
        .execution_options(synchronize_session=False)
    )
    if session.execute(statement).one_or_none() is None:
        raise UnknownRecord("training run", run_id)
