"""Store of jobs, the work in the background: a queue that people take turns in, progress, and how each job ended.

    queued -> running -> finished | failed | cancelled | interrupted
    queued -> cancelled
    running -> queued, where it makes way for another
    failed | cancelled | interrupted -> queued, where it is resumed

Every step names the states it may start from in its own statement, so two workers cannot both take it. Whose turn it is
goes round robin by person, and in order for each of them.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.orm import Session

from storage.errors import UnknownRecord
from storage.records import JobKind, JobRecord, JobState, NewJob
from storage.schema import JobRow, utc_now

_COLUMNS = (  # in the order of the record's fields
    JobRow.id,
    JobRow.kind,
    JobRow.author,
    JobRow.name,
    JobRow.request,
    JobRow.collection_id,
    JobRow.staging_id,
    JobRow.training_run_id,
    JobRow.state,
    JobRow.stage,
    JobRow.fraction,
    JobRow.message,
    JobRow.error,
    JobRow.remarks,
    JobRow.cancel_requested,
    JobRow.created_at,
    JobRow.started_at,
    JobRow.finished_at,
    JobRow.heartbeat_at,
)
_JOBS = select(*_COLUMNS)
_UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)
_RESUMABLE = (JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED)
_NEVER = datetime.min.replace(tzinfo=UTC)


def create_queued(session: Session, job: NewJob) -> JobRecord:
    """Put a job at the end of its author's line.

    Raises:
        IntegrityError: if there is no such collection or training run.
    """
    return add(session, job, JobState.QUEUED)


def add(session: Session, job: NewJob, state: JobState, **values: Any) -> JobRecord:
    """Add a job in any state, for work that was done elsewhere; `values` are of further columns."""
    row = JobRow(
        kind=job.kind,
        author=job.author,
        name=job.name,
        request=dict(job.request or {}),
        collection_id=job.collection_id,
        training_run_id=job.training_run_id,
        state=state,
        **values,
    )
    session.add(row)
    session.flush()
    return get(session, row.id)


def get(session: Session, job_id: int) -> JobRecord:
    """Return the job as it stands.

    Raises:
        UnknownRecord: if there is none.
    """
    row = session.execute(_JOBS.where(JobRow.id == job_id)).one_or_none()
    if row is None:
        raise UnknownRecord("job", job_id)
    return JobRecord(*row)


def list_all(session: Session, kinds: Collection[JobKind]) -> Sequence[JobRecord]:
    """Return every job of these kinds in the order in which they were asked for."""
    found = _JOBS.where(JobRow.kind.in_(kinds)).order_by(JobRow.id)
    return [JobRecord(*row) for row in session.execute(found)]


def latest(session: Session, kind: JobKind, collection_id: int) -> JobRecord | None:
    """Return the job of this kind that was asked for last in a collection, if any."""
    found = _JOBS.where(JobRow.kind == kind, JobRow.collection_id == collection_id).order_by(JobRow.id.desc()).limit(1)
    row = session.execute(found).one_or_none()
    return None if row is None else JobRecord(*row)


def queue(session: Session, kinds: Collection[JobKind]) -> Sequence[JobRecord]:
    """Return what is running and waiting of these kinds, in the order in which it will be done."""
    found = _JOBS.where(JobRow.kind.in_(kinds), JobRow.state.in_(_UNDER_WAY)).order_by(JobRow.queued_at, JobRow.id)
    under_way = [JobRecord(*row) for row in session.execute(found)]
    waiting = [job for job in under_way if job.state is JobState.QUEUED]
    running = sorted((job for job in under_way if job.state is JobState.RUNNING), key=lambda job: job.id)
    return [*running, *_in_turn(waiting, _last_turns(session, kinds) if len(waiting) > 1 else {})]


def has_queued(session: Session, kinds: Collection[JobKind]) -> bool:
    """Return whether a job of these kinds waits for its turn."""
    return _any(session, JobRow.kind.in_(kinds), JobRow.state == JobState.QUEUED)


def has_under_way(session: Session, kinds: Collection[JobKind], collection_id: int | None = None) -> bool:
    """Return whether a job of these kinds waits or runs, of one collection if given."""
    of_it = [] if collection_id is None else [JobRow.collection_id == collection_id]
    return _any(session, JobRow.kind.in_(kinds), JobRow.state.in_(_UNDER_WAY), *of_it)


def is_running(session: Session, job_id: int) -> bool:
    """Return whether the job is there, and running."""
    return _any(session, JobRow.id == job_id, JobRow.state == JobState.RUNNING)


def claim_next(session: Session, kinds: Collection[JobKind]) -> JobRecord | None:
    """Turn the job of these kinds whose turn it is into a running one and return it, or None if none waits."""
    while waiting := [job for job in queue(session, kinds) if job.state is JobState.QUEUED]:
        now = utc_now()
        values = {"state": JobState.RUNNING, "started_at": now, "heartbeat_at": now}
        if claimed := _change(session, waiting[0].id, {JobState.QUEUED}, **values):
            return claimed
    return None


def set_staging(session: Session, job_id: int, staging_id: int | None) -> JobRecord:
    """Note in which collection, that is not seen yet, the documents wait; None where there is none (any more).

    Raises:
        UnknownRecord: if there is no such job.
    """
    return _require(session, job_id, _change(session, job_id, list(JobState), staging_id=staging_id), "stage")


def progress(session: Session, job_id: int, *, stage: str, fraction: float, message: str) -> JobRecord:
    """Note how far a running job is, and that its worker is alive; `fraction` is of the whole, in [0, 1].

    Raises:
        ValueError: if `fraction` is out of range, or the job is not running.
        UnknownRecord: if there is none.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected a fraction from 0 to 1, got {fraction!r}")
    values = {"stage": stage, "fraction": fraction, "message": message, "heartbeat_at": utc_now()}
    return _require(session, job_id, _change(session, job_id, {JobState.RUNNING}, **values), "go on")


def finish(
    session: Session, job_id: int, *, message: str = "", remarks: Sequence[str] = (), collection_id: int | None = None
) -> JobRecord:
    """Note that a running job ended well; nothing of it waits any more.

    Args:
        session: an open session.
        job_id: which job.
        message: what came of it, for people.
        remarks: what people should know besides.
        collection_id: what it made; None leaves it as it is.

    Raises:
        ValueError: if it is not running.
        UnknownRecord: if there is none.
    """
    made = {} if collection_id is None else {"collection_id": collection_id}
    values = {"message": message, "remarks": list(remarks), "fraction": 1.0, "staging_id": None, **made}
    return _end(session, job_id, {JobState.RUNNING}, JobState.FINISHED, **values)


def fail(session: Session, job_id: int, error: str) -> JobRecord:
    """Note that a running job failed, and why in words for people.

    Raises:
        ValueError: if it is not running.
        UnknownRecord: if there is none.
    """
    return _end(session, job_id, {JobState.RUNNING}, JobState.FAILED, error=error)


def cancel_request(session: Session, job_id: int) -> JobRecord:
    """Ask for a job to stop, and return it as it then stands; one that has ended stays as it is.

    A queued one is cancelled at once; a running one gets the request, which its worker answers with `mark_cancelled`.

    Raises:
        UnknownRecord: if there is none.
    """
    ended = {"state": JobState.CANCELLED, "cancel_requested": True, "finished_at": utc_now()}
    cancelled = _change(session, job_id, {JobState.QUEUED}, **ended)
    return cancelled or _change(session, job_id, {JobState.RUNNING}, cancel_requested=True) or get(session, job_id)


def mark_cancelled(session: Session, job_id: int) -> JobRecord:
    """Note that a job was cancelled.

    Raises:
        ValueError: if it has ended already.
        UnknownRecord: if there is none.
    """
    return _end(session, job_id, _UNDER_WAY, JobState.CANCELLED)


def mark_interrupted_all_running(session: Session, kinds: Collection[JobKind]) -> Sequence[JobRecord]:
    """Turn every running job of these kinds into an interrupted one, and return them.

    For the start of the program, when nothing can be running: what says so was left by one that was killed.
    """
    statement = (
        update(JobRow)
        .where(JobRow.state == JobState.RUNNING, JobRow.kind.in_(kinds))
        .values(state=JobState.INTERRUPTED, finished_at=utc_now())
        .returning(*_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    return [JobRecord(*row) for row in session.execute(statement)]


def put_back(session: Session, job_id: int) -> JobRecord:
    """Put a running job where it was in the queue, since another one goes first.

    Raises:
        ValueError: if it is not running.
        UnknownRecord: if there is none.
    """
    return _require(session, job_id, _change(session, job_id, {JobState.RUNNING}, state=JobState.QUEUED), "wait")


def resume(session: Session, job_id: int) -> JobRecord:
    """Put a job that ended before it was done at the end of its author's line again.

    Raises:
        ValueError: if it is queued, running or finished.
        UnknownRecord: if there is none.
    """
    values = {"state": JobState.QUEUED, "queued_at": utc_now(), "cancel_requested": False, "fraction": 0.0}
    values |= dict.fromkeys(("stage", "message", "error"), "")
    values |= dict.fromkeys(("started_at", "finished_at", "heartbeat_at"))
    return _require(session, job_id, _change(session, job_id, _RESUMABLE, **values), "be resumed")


def remove(session: Session, job_id: int) -> None:
    """Remove a job that is neither queued nor running; what it staged is the caller's business.

    Raises:
        ValueError: if it is queued or running.
        UnknownRecord: if there is none.
    """
    found = get(session, job_id)
    if found.state.is_under_way:
        raise ValueError(f"job {job_id} is {found.state}; cancel it before removing it")
    session.execute(delete(JobRow).where(JobRow.id == job_id))


def _any(session: Session, *conditions: ColumnElement[bool]) -> bool:
    return session.scalars(select(exists().where(*conditions))).one()


def _last_turns(session: Session, kinds: Collection[JobKind]) -> Mapping[str, datetime]:
    """Return author -> when a job of theirs was last taken up."""
    begun = select(JobRow.author, func.max(JobRow.started_at)).where(JobRow.kind.in_(kinds)).group_by(JobRow.author)
    return {author: last for author, last in session.execute(begun) if last is not None}


def _in_turn(waiting: Sequence[JobRecord], last_turns: Mapping[str, datetime]) -> list[JobRecord]:
    """Return what waits in the order in which it will be done: next comes the person served least recently.

    Args:
        waiting: in the order in which it joined the queue.
        last_turns: author -> when something of theirs was last taken up; who is missing was never served.
    """
    lines: dict[str, deque[JobRecord]] = {}
    for each in waiting:
        lines.setdefault(each.author, deque()).append(each)
    people = sorted(lines, key=lambda author: last_turns.get(author, _NEVER))
    turns: list[JobRecord] = []
    while people:
        turns += [lines[author].popleft() for author in people]
        people = [author for author in people if lines[author]]
    return turns


def _end(session: Session, job_id: int, allowed: Collection[JobState], state: JobState, **values: Any) -> JobRecord:
    ended = _change(session, job_id, allowed, state=state, finished_at=utc_now(), **values)
    return _require(session, job_id, ended, f"become {state}")


def _change(session: Session, job_id: int, allowed: Collection[JobState], **values: Any) -> JobRecord | None:
    """Set columns of the job if its state is an allowed one; return it, or None if nothing was set."""
    statement = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(list(allowed)))
        .values(**values)
        .returning(*_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else JobRecord(*row)


def _require(session: Session, job_id: int, changed: JobRecord | None, step: str) -> JobRecord:
    if changed is None:
        raise ValueError(f"job {job_id} is {get(session, job_id).state} and cannot {step}")
    return changed
