"""The queue of training runs and learning curves: what there is to learn from, joining, leaving, joining again."""

import hashlib
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

import storage.collections
import storage.jobs
import storage.label_sets
import storage.training_runs
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.jobs.worker import MAX_WAITING, require_place
from annotation.judging.test_queries import MIN_LABELLED, kept_for_testing, learnable
from annotation.labels.current import LabelCounts, count_labels
from annotation.people.permissions import require, why_not_change_run
from annotation.workspace import Workspace
from storage.records import JobKind, JobRecord, JobState, NewTrainingRun, TrainingRunRecord

DEFAULT_RECIPE = "era"
RECIPES = {
    DEFAULT_RECIPE: "ERA, our default: stays close to the aligned model, learns only what your marks prove",
    "era-single": "ERA with the strong model alone: less exact, but leaves the app as one sentence-transformers model",
    "paper": "The published recipe (Align then Train, 2026): for comparison",
}

MIN_QUERIES = 8
FIRST_TRAINING = 5
"""From so many labelled queries on a first training run is worth starting; it may be started before."""

"""Labelled queries below which a learning curve says nothing."""

_ENOUGH = 40  # labelled queries, the most that `_MEASURED` tells of
_MEASURED = (
    "Measured on five judged collections, 20 training runs on each: new queries were ranked better than without any "
    "label (mean nDCG@10, against aligned) in 40 % of the runs on 5 labelled queries, 46 % on 10, 51 % on 20 and 85 % "
    "on 40; worse in 17 %, 9 %, 19 % and 2 %; otherwise as before."
)
"""See docs/statistics.md, and `python -m benchmarks.honesty` for how; three of the collections have 40 to label."""

_RESUMABLE = (JobState.INTERRUPTED, JobState.CANCELLED, JobState.FAILED)

Labels = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What there is to learn from now.

    Attributes:
        counts: how much of the label set is judged.
        n_for_testing: labelled queries that are kept for testing, and not learned from.
        n_trained: training runs that finished on this label set, those included that were deleted since.
        advice: what is still missing, or empty.
        can_train: whether a training run may be started.
        usual_seconds: median duration of finished runs of this collection, or None.
    """

    counts: LabelCounts
    n_for_testing: int
    n_trained: int
    advice: str
    can_train: bool
    usual_seconds: float | None

    @property
    def n_to_learn_from(self) -> int:
        """Return how many labelled queries a training run would learn from."""
        return self.counts.n_labelled - self.n_for_testing

    @property
    def can_keep_some(self) -> bool:
        """Return whether there are enough labelled queries to keep some for testing, and none is yet."""
        return not self.n_for_testing and self.counts.n_labelled >= MIN_LABELLED


@dataclass(frozen=True, slots=True)
class CurveProgress:
    """How far a learning curve is; `fraction` in [0, 1]."""

    training_run_id: int
    fraction: float
    detail: str
    seconds: float


def outlook(workspace: Workspace, collection_id: int, label_set_id: int) -> Outlook:
    """Say in numbers what a training run would learn from."""
    standings = workspace.standings(label_set_id)
    counts, n_for_testing = standings.counts(), 0
    for query_id in kept_for_testing(workspace, label_set_id):
        n_for_testing += standings.of_query(query_id, None).n_relevant > 0
    n_labelled = counts.n_labelled - n_for_testing
    with workspace.reading() as session:
        n_trained = storage.training_runs.count_finished(session, label_set_id)
        runs = storage.training_runs.list_for(session, collection_id)
        n_waiting = len(_waiting(session))
    durations = [
        (run.finished_at - run.started_at).total_seconds()
        for run in runs
        if run.state is JobState.FINISHED and run.finished_at and run.started_at
    ]
    return Outlook(
        counts=counts,
        n_for_testing=n_for_testing,
        n_trained=n_trained,
        advice=_advice(n_labelled),
        can_train=n_labelled > 0 and n_waiting < MAX_WAITING,
        usual_seconds=statistics.median(durations) if durations else None,
    )


def _advice(n_labelled: int) -> str:
    """Return what is still missing, or what training has been worth with about as many labelled queries."""
    if n_labelled == 0:
        return "There is nothing to learn from yet. In Judge, mark at least one document as relevant."
    if n_labelled < 3:
        taught = "one query teaches" if n_labelled == 1 else "two queries teach"
        missing = "two more queries" if n_labelled == 1 else "a third query"
        return f"What {taught} cannot be checked on others. Mark relevant documents for {missing}."
    return _MEASURED if n_labelled < _ENOUGH else ""


def start(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, recipe: str, seed: int
) -> TrainingRunRecord:
    """Queue a training run on the labels as they stand now, those of queries kept for testing left out.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        InvalidInputError: if too many runs wait, there is nothing to learn from, the label set belongs to another
            collection, or recipe or seed are unusable.
    """
    if author is None:
        raise NotAllowedError("Sign in to train.")
    if recipe not in RECIPES:
        raise InvalidInputError(f"There is no recipe {recipe[:40]!r}. Choose one from the list.")
    if not 0 <= seed < 2**31:
        raise InvalidInputError("The seed is a whole number from 0 to 2,147,483,647.")
    labels = labels_to_learn_from(workspace, label_set_id)
    return _queue(workspace, author, collection_id, label_set_id, recipe, seed, labels)


def rerun_with_same_labels(workspace: Workspace, author: str | None, training_run_id: int) -> TrainingRunRecord:
    """Queue a training run with recipe, seed and labels of an earlier one; see `start` for what is refused."""
    if author is None:
        raise NotAllowedError("Sign in to train.")
    with workspace.reading() as session:
        run = storage.training_runs.get(session, training_run_id)
        labels = storage.training_runs.label_snapshot(session, training_run_id)
    return _queue(workspace, author, run.collection_id, run.label_set_id, run.recipe, run.seed, labels, run.id)


def rerun_with_todays_labels(workspace: Workspace, author: str | None, training_run_id: int) -> TrainingRunRecord:
    """Queue a training run with recipe and seed of an earlier one on what is marked now; see `start`."""
    if author is None:
        raise NotAllowedError("Sign in to train.")
    with workspace.reading() as session:
        run = storage.training_runs.get(session, training_run_id)
    labels = labels_to_learn_from(workspace, run.label_set_id)
    return _queue(workspace, author, run.collection_id, run.label_set_id, run.recipe, run.seed, labels, run.id)


def resume(workspace: Workspace, author: str | None, training_run_id: int) -> TrainingRunRecord:
    """Put a training run that was interrupted, cancelled or failed back into the queue, with its own labels and seed.

    What it had embedded by then is kept with the collection and is not read again.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if it ended otherwise, or too many runs wait.
    """
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "resume"))
        if run.state not in _RESUMABLE:
            raise InvalidInputError(f"Run {run.number} is {run.state.value}; there is nothing to resume.")
        require_place(workspace.settings, run.author, _waiting(session), "training runs")
        storage.jobs.resume(session, run.job_id)
        return storage.training_runs.get(session, training_run_id)


def cancel(workspace: Workspace, author: str | None, training_run_id: int) -> TrainingRunRecord:
    """Cancel a queued training run, or ask a running one to stop at its next step.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
    """
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "cancel"))
        storage.jobs.cancel_request(session, run.job_id)
        return storage.training_runs.get(session, training_run_id)


def why_no_curve(run: TrainingRunRecord) -> str:
    """Return in words why a learning curve of this run cannot be computed, or nothing if it can."""
    if run.state is not JobState.FINISHED:
        return "The run has to be finished first."
    if run.n_queries < MIN_QUERIES:
        return (
            f"This needs at least {MIN_QUERIES} queries with something relevant; this run learned from {run.n_queries}."
        )
    return ""


def ask_for_curve(workspace: Workspace, author: str | None, training_run_id: int) -> None:
    """Have the worker compute the learning curve of a finished run.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if the run is not finished or learned from too few queries.
    """
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "compute the learning curve of"))
        reason = why_no_curve(run)
        if reason:
            raise InvalidInputError(reason)
        storage.training_runs.request_curve(session, training_run_id, author or run.author)


def withdraw_curve(workspace: Workspace, author: str | None, training_run_id: int) -> None:
    """Take back the wish for a learning curve; one that was computed before stays.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
    """
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "cancel the learning curve of"))
        storage.training_runs.withdraw_curve(session, training_run_id)


def curve_under_way(workspace: Workspace) -> CurveProgress | None:
    """Return how far the learning curve is that is being computed, if one is."""
    with workspace.reading() as session:
        job = next(iter(storage.training_runs.curves_under_way(session)), None)
    if job is None or job.state is not JobState.RUNNING or job.training_run_id is None or job.started_at is None:
        return None
    seconds = (datetime.now(UTC) - job.started_at).total_seconds()
    return CurveProgress(job.training_run_id, job.fraction, job.message, seconds)


def history(workspace: Workspace, collection_id: int) -> list[TrainingRunRecord]:
    """Return the training runs of a collection, newest first."""
    with workspace.reading() as session:
        return list(storage.training_runs.list_for(session, collection_id))


def places_in_line(workspace: Workspace) -> dict[int, int]:
    """Return the place of every waiting training run, by its id; 1 comes next."""
    with workspace.reading() as session:
        return {
            job.training_run_id: place
            for place, job in enumerate(_waiting(session), start=1)
            if job.training_run_id is not None
        }


def labels_to_learn_from(workspace: Workspace, label_set_id: int) -> Labels:
    """Return what is agreed in a label set, as a training run keeps it: query id as text -> document id -> grade.

    Queries that are kept for testing are left out.
    """
    return {str(query_id): dict(judged) for query_id, judged in learnable(workspace, label_set_id).items()}


def _queue(
    workspace: Workspace,
    author: str,
    collection_id: int,
    label_set_id: int,
    recipe: str,
    seed: int,
    labels: Labels,
    rerun_of: int | None = None,
) -> TrainingRunRecord:
    counts = count_labels(labels)
    if counts.n_labelled == 0:
        raise InvalidInputError("There is nothing to learn from yet. Mark at least one document as relevant first.")
    with workspace.writing() as session:
        if storage.label_sets.get(session, label_set_id).collection_id != collection_id:
            raise InvalidInputError("This label set belongs to another collection. Reload the page and try again.")
        require_place(workspace.settings, author, _waiting(session), "training runs")
        return storage.training_runs.create_queued(
            session,
            NewTrainingRun(
                collection_id=collection_id,
                label_set_id=label_set_id,
                recipe=recipe,
                seed=seed,
                config={},
                label_snapshot=labels,
                snapshot_hash=hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest(),
                n_queries=counts.n_labelled,
                n_relevant=counts.n_relevant,
                n_not_relevant=counts.n_not_relevant,
                author=author,
                rerun_of=rerun_of,
            ),
        )


def _waiting(session: Session) -> list[JobRecord]:
    """Return the training runs that wait for their turn, the next one first."""
    return [job for job in storage.jobs.queue(session, {JobKind.TRAIN}) if job.state is JobState.QUEUED]
