"""Training runs and learning curves as jobs in the background; a curve makes way for a training run."""

import time
from dataclasses import asdict, replace
from functools import partial

from sqlalchemy.orm import Session

import storage.label_sets
import storage.training_runs
from annotation.errors import InvalidInputError
from annotation.jobs.progress import Reporter
from annotation.jobs.worker import Done, Kind, Lane
from annotation.ranking.rankers import chosen_key
from annotation.training import manage
from annotation.training.train import SHARES, labels_and_queries, still_there, train
from annotation.workspace import Workspace
from storage.records import JobKind, JobRecord, TrainingRunRecord


def training(workspace: Workspace) -> Lane:
    """Return how training runs and learning curves are done in the background."""
    runs = Kind(partial(_train, workspace), shares=SHARES)
    curves = Kind(partial(_compute_curve, workspace), starts_again=True, failed=_keep_failure)
    return Lane("training", [{JobKind.TRAIN: runs}, {JobKind.CURVE: curves}], partial(manage.sweep, workspace))


def _train(workspace: Workspace, job: JobRecord, progress: Reporter) -> Done:
    while workspace.readiness.state == "preparing":
        progress("embedding", 0.0, "waiting for the embedders to be loaded")
        time.sleep(0.2)
    run = _run_of(workspace, job)
    try:
        outcome = train(workspace, run, progress)
    except ValueError as error:  # of the library, which says what it expected
        raise InvalidInputError(str(error)) from error

    def keep(session: Session) -> None:
        storage.training_runs.set_outcome(
            session, run.id, measures=outcome.measures, device=outcome.device, config=outcome.config
        )
        if (key := chosen_key(replace(run, measures=outcome.measures))) is not None:
            storage.label_sets.set_in_use(session, run.label_set_id, key)

    return Done(outcome.note, store=keep)


def _compute_curve(workspace: Workspace, job: JobRecord, progress: Reporter) -> Done:
    """Compute a learning curve, aligned by the texts there are by now, as the next training run will be."""
    from era.encoders.devices import choose_device
    from era.evaluation.learning_curve import learning_curve

    while workspace.readiness.state == "preparing":
        progress("curve", 0.0)
        time.sleep(0.2)
    run = _run_of(workspace, job)
    opened = workspace.open(run.collection_id)
    labels, queries = labels_and_queries(workspace, run)
    try:
        curve = learning_curve(
            opened.alignment_texts(),
            opened.index,
            opened.pair,
            queries,
            still_there(labels, opened.index),
            choose_device(workspace.settings.device),
            run.seed,
            progress,
            run.recipe,  # type: ignore[arg-type]
            opened.words() if run.config.get("has_words") else None,
        )
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    return Done(store=lambda session: storage.training_runs.set_curve(session, run.id, asdict(curve)))


def _keep_failure(session: Session, job: JobRecord, error: str) -> None:
    if job.training_run_id is not None:
        storage.training_runs.set_curve(session, job.training_run_id, {"error": error})


def _run_of(workspace: Workspace, job: JobRecord) -> TrainingRunRecord:
    with workspace.reading() as session:
        return storage.training_runs.get(session, job.training_run_id or 0)
