"""Store of imports: a queue that people take turns in, the progress of each import, and how it ended.

    queued -> running -> finished | failed | cancelled | interrupted
    queued -> cancelled
    failed | interrupted -> queued, where somebody resumes it

Every step names the states it may start from in its own statement.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.orm import Session

from storage.errors import UnknownRecord
from storage.records import ImportJobRecord, ImportState, NewImportJob
from storage.schema import ImportJobRow, utc_now
from storage.turns import in_turn

_COLUMNS = (  # in the order of the record's fields
    ImportJobRow.id,
    ImportJobRow.kind,
    ImportJobRow.name,
    ImportJobRow.request,
    ImportJobRow.author,
    ImportJobRow.collection_id,
    ImportJobRow.staging_id,
    ImportJobRow.state,
    ImportJobRow.stage,
    ImportJobRow.fraction,
    ImportJobRow.message,
    ImportJobRow.error,
    ImportJobRow.remarks,
    ImportJobRow.cancel_requested,
    ImportJobRow.created_at,
    ImportJobRow.finished_at,
)
_JOBS = select(*_COLUMNS)
_QUEUED, _RUNNING = ImportState.QUEUED, ImportState.RUNNING
_UNDER_WAY = (_QUEUED, _RUNNING)


def create_queued(session: Session, job: NewImportJob) -> ImportJobRecord:
    """Put an import at the end of its author's line.

    Raises:
        IntegrityError: if there is no such collection.
    """
    row = ImportJobRow(
        kind=job.kind,
        name=job.name,
        request=dict(job.request),
        author=job.author,
        collection_id=job.collection_id,
        state=_QUEUED,
    )
    session.add(row)
    session.flush()
    return get(session, row.id)


def get(session: Session, job_id: int) -> ImportJobRecord:
    """Return the import as it stands.

    Raises:
        UnknownRecord: if there is none.
    """
    row = session.execute(_JOBS.where(ImportJobRow.id == job_id)).one_or_none()
    if row is None:
        raise UnknownRecord("import", job_id)
    return _record(row)


def list_all(session: Session) -> Sequence[ImportJobRecord]:
    """Return every import in the order in which they were asked for."""
    return [_record(row) for row in session.execute(_JOBS.order_by(ImportJobRow.id))]


def claim_next(session: Session) -> ImportJobRecord | None:
    """Turn the import whose turn it is into a running one and return it, or None when the queue is empty."""
    queued = _JOBS.where(ImportJobRow.state == _QUEUED).order_by(ImportJobRow.queued_at, ImportJobRow.id)
    ended = (  # one that never had its turn has no stage
        select(ImportJobRow.author, func.max(ImportJobRow.finished_at))
        .where(ImportJobRow.stage != "")
        .group_by(ImportJobRow.author)
    )
    last_turns = {author: last for author, last in session.execute(ended) if last is not None}
    waiting = in_turn([_record(row) for row in session.execute(queued)], last_turns)
    return _change(session, waiting[0].id, {_QUEUED}, state=_RUNNING) if waiting else None


def set_staging(session: Session, job_id: int, staging_id: int | None) -> ImportJobRecord:
    """Note in which collection, that nobody sees, the documents wait; None where there is none (any more).

    Raises:
        UnknownRecord: if there is no such import.
    """
    return _require(session, job_id, _change(session, job_id, tuple(ImportState), staging_id=staging_id))


def progress(session: Session, job_id: int, *, stage: str, fraction: float, message: str) -> ImportJobRecord:
    """Note how far a running import is; `fraction` is of the whole, in [0, 1].

    Raises:
        ValueError: if `fraction` is out of range, or the import is not running.
        UnknownRecord: if there is none.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected a fraction from 0 to 1, got {fraction!r}")
    changed = _change(session, job_id, {_RUNNING}, stage=stage, fraction=fraction, message=message)
    return _require(session, job_id, changed)


def finish(
    session: Session, job_id: int, *, collection_id: int, message: str, remarks: Sequence[str]
) -> ImportJobRecord:
    """Note that a running import ended well, and what it made or changed; nothing of it waits any more.

    Raises:
        ValueError: if it is not running.
        UnknownRecord: if there is none.
    """
    values = {"collection_id": collection_id, "staging_id": None, "message": message, "remarks": list(remarks)}
    return _end(session, job_id, {_RUNNING}, ImportState.FINISHED, fraction=1.0, **values)


def fail(session: Session, job_id: int, error: str) -> ImportJobRecord:
    """Note that a running import failed, and why in words for people.

    Raises:
        ValueError: if it is not running.
        UnknownRecord: if there is none.
    """
    return _end(session, job_id, {_RUNNING}, ImportState.FAILED, error=error)


def cancel_request(session: Session, job_id: int) -> ImportJobRecord:
    """Ask for an import to stop, and return it as it then stands; one that has ended stays as it is.

    A queued one is cancelled at once; a running one gets the request, which its worker answers with `mark_cancelled`.

    Raises:
        UnknownRecord: if there is none.
    """
    ended = {"state": ImportState.CANCELLED, "cancel_requested": True, "finished_at": utc_now()}
    cancelled = _change(session, job_id, {_QUEUED}, **ended)
    return cancelled or _change(session, job_id, {_RUNNING}, cancel_requested=True) or get(session, job_id)


def mark_cancelled(session: Session, job_id: int) -> ImportJobRecord:
    """Note that an import was cancelled.

    Raises:
        ValueError: if it has ended already.
        UnknownRecord: if there is none.
    """
    return _end(session, job_id, _UNDER_WAY, ImportState.CANCELLED)


def mark_interrupted_all_running(session: Session) -> int:
    """Turn every running import into an interrupted one, and return how many there were.

    For the start of the program, when nothing can be running: what says so was left by one that was killed.
    """
    statement = (
        update(ImportJobRow)
        .where(ImportJobRow.state == _RUNNING)
        .values(state=ImportState.INTERRUPTED, finished_at=utc_now())
        .returning(ImportJobRow.id)
        .execution_options(synchronize_session=False)
    )
    return len(session.execute(statement).all())


def resume(session: Session, job_id: int) -> ImportJobRecord:
    """Put an import that failed or was interrupted at the end of its author's line again.

    Raises:
        ValueError: if it ended otherwise, or has not ended.
        UnknownRecord: if there is none.
    """
    values = {"state": _QUEUED, "queued_at": utc_now(), "finished_at": None, "error": "", "cancel_requested": False}
    resumed = _change(session, job_id, (ImportState.FAILED, ImportState.INTERRUPTED), **values)
    return _require(session, job_id, resumed)


def remove(session: Session, job_id: int) -> None:
    """Remove an import that is neither queued nor running; what it staged is the caller's business.

    Raises:
        ValueError: if it is queued or running.
        UnknownRecord: if there is none.
    """
    found = get(session, job_id)
    if found.state in _UNDER_WAY:
        raise ValueError(f"import {job_id} is {found.state}; cancel it before removing it")
    session.execute(delete(ImportJobRow).where(ImportJobRow.id == job_id))


def _end(
    session: Session, job_id: int, allowed: Collection[ImportState], state: ImportState, **values: Any
) -> ImportJobRecord:
    return _require(session, job_id, _change(session, job_id, allowed, state=state, finished_at=utc_now(), **values))


def _change(session: Session, job_id: int, allowed: Collection[ImportState], **values: Any) -> ImportJobRecord | None:
    statement = (
        update(ImportJobRow)
        .where(ImportJobRow.id == job_id, ImportJobRow.state.in_(list(allowed)))
        .values(**values)
        .returning(*_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else _record(row)


def _require(session: Session, job_id: int, changed: ImportJobRecord | None) -> ImportJobRecord:
    if changed is None:
        raise ValueError(f"import {job_id} is {get(session, job_id).state}, which allows no such step")
    return changed


def _record(row: Row[*tuple[Any, ...]]) -> ImportJobRecord:
    return ImportJobRecord(*row)
