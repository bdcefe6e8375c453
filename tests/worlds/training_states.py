"""Training runs brought to any state by steps of their jobs, as a worker would; every step returns the run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from storage import jobs, training_runs
from storage.records import JobKind, JobRecord, NewTrainingRun, TrainingRunRecord

Sessions = sessionmaker[Session]

TRAIN = {JobKind.TRAIN}


def step(change: Callable[..., JobRecord], session: Session, run_id: int, **about: Any) -> TrainingRunRecord:
    """Change the job of a training run."""
    change(session, training_runs.get(session, run_id).job_id, **about)
    return training_runs.get(session, run_id)


progress = partial(step, jobs.progress)
cancel_request = partial(step, jobs.cancel_request)
mark_cancelled = partial(step, jobs.mark_cancelled)
resume = partial(step, jobs.resume)
fail = partial(step, jobs.fail)


def finish(
    session: Session,
    run_id: int,
    *,
    measures: Mapping[str, Any],
    device: str,
    config: Mapping[str, Any] | None = None,
    message: str = "",
) -> TrainingRunRecord:
    """End a training run well."""
    step(jobs.finish, session, run_id, message=message)
    training_runs.set_outcome(session, run_id, measures=measures, device=device, config=config)
    return training_runs.get(session, run_id)


def claim_next(session: Session) -> TrainingRunRecord | None:
    """Take the training run whose turn it is, if one waits."""
    job = jobs.claim_next(session, TRAIN)
    return None if job is None else training_runs.get(session, job.training_run_id or 0)


def in_queue(session: Session) -> Sequence[TrainingRunRecord]:
    """Return what runs and waits."""
    return [training_runs.get(session, job.training_run_id or 0) for job in jobs.queue(session, TRAIN)]


def mark_interrupted_all_running(session: Session) -> int:
    """Interrupt what runs, and return how many that were."""
    return len(jobs.mark_interrupted_all_running(session, TRAIN))


STEPS: dict[str, Callable[[Session, int], TrainingRunRecord]] = {
    "progress": lambda session, run: progress(session, run, stage="adapt", fraction=0.5, message=""),
    "finish": lambda session, run: finish(session, run, measures={}, device="cpu"),
    "fail": lambda session, run: fail(session, run, error="no memory left"),
    "mark_cancelled": mark_cancelled,
}


def queue(sessions: Sessions, run: NewTrainingRun) -> TrainingRunRecord:
    """Put the training run at the end of the queue."""
    with sessions.begin() as session:
        return training_runs.create_queued(session, run)


def claim(sessions: Sessions) -> TrainingRunRecord:
    """Take the first training run out of a queue that has one."""
    with sessions.begin() as session:
        claimed = claim_next(session)
    assert claimed is not None
    return claimed


def bring_to(sessions: Sessions, run: NewTrainingRun, state: str) -> int:
    """Queue a training run, take it to the state, and return its id."""
    queued = queue(sessions, run)
    if state == "queued":
        return queued.id
    claim(sessions)
    ends: dict[str, Callable[[Session], object]] = {
        "running": lambda session: None,
        "finished": lambda session: STEPS["finish"](session, queued.id),
        "failed": lambda session: STEPS["fail"](session, queued.id),
        "cancelled": lambda session: STEPS["mark_cancelled"](session, queued.id),
        "interrupted": mark_interrupted_all_running,
    }
    with sessions.begin() as session:
        ends[state](session)
    return queued.id
