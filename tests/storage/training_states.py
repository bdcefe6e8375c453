"""Training runs brought to any state, step by step as a worker would."""

from collections.abc import Callable

from sqlalchemy.orm import Session, sessionmaker

from storage import training_runs
from storage.records import NewTrainingRun, TrainingRunRecord

Sessions = sessionmaker[Session]

STEPS: dict[str, Callable[[Session, int], TrainingRunRecord]] = {
    "progress": lambda session, run: training_runs.progress(session, run, stage="adapt", fraction=0.5, message=""),
    "finish": lambda session, run: training_runs.finish(session, run, measures={}, device="cpu"),
    "fail": lambda session, run: training_runs.fail(session, run, "no memory left"),
    "mark_cancelled": training_runs.mark_cancelled,
}


def queue(sessions: Sessions, run: NewTrainingRun) -> TrainingRunRecord:
    """Put the training run at the end of the queue."""
    with sessions.begin() as session:
        return training_runs.create_queued(session, run)


def claim(sessions: Sessions) -> TrainingRunRecord:
    """Take the first training run out of a queue that has one."""
    with sessions.begin() as session:
        claimed = training_runs.claim_next(session)
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
        "interrupted": training_runs.mark_interrupted_all_running,
    }
    with sessions.begin() as session:
        ends[state](session)
    return queued.id
