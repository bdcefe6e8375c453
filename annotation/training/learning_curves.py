"""Would more labels help? The learning curve of a finished training run, computed when no training waits.

Asking for one is a mark in the run's row, taking that back cancels it, and both survive a restart; only how far the
curve under way is lives in memory.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import storage.collections
import storage.queries
import storage.training_runs
from annotation.errors import AnnotationError, InvalidInputError
from annotation.people.permissions import require, why_not_change_run
from annotation.training.train import still_there
from annotation.workspace import Workspace
from era.errors import Cancelled, EraError
from era.types import Query
from storage.errors import StorageError, UnknownRecord
from storage.records import TrainingRunRecord, TrainingRunState

logger = logging.getLogger(__name__)

MIN_QUERIES = 8
"""Labelled queries below which a learning curve says nothing."""

_PAUSE_S = 0.2  # between two looks at the database


@dataclass(frozen=True, slots=True)
class CurveProgress:
    """How far a learning curve is; `fraction` in [0, 1]."""

    training_run_id: int
    fraction: float
    detail: str
    seconds: float


def why_no_curve(run: TrainingRunRecord) -> str:
    """Return in words why a learning curve of this run cannot be computed, or nothing if it can."""
    if run.state is not TrainingRunState.FINISHED:
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
        storage.training_runs.request_curve(session, training_run_id)


def withdraw_curve(workspace: Workspace, author: str | None, training_run_id: int) -> None:
    """Take back the wish for a learning curve; one that was computed before stays.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
    """
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "cancel the learning curve of"))
        storage.training_runs.set_curve(session, training_run_id, run.curve)


class CurveKeeper:
    """Computes learning curves for the worker and knows how far the one under way is."""

    def __init__(self, workspace: Workspace, is_closing: Callable[[], bool]) -> None:
        self._workspace = workspace
        self._is_closing = is_closing
        self.under_way: CurveProgress | None = None

    def next_wanted(self) -> TrainingRunRecord | None:
        """Return the run whose learning curve is wanted next, if any."""
        with self._workspace.reading() as session:
            return storage.training_runs.next_wanted_curve(session)

    def compute(self, run: TrainingRunRecord) -> dict[str, Any]:
        """Return the learning curve, JSON-ready; `{"error": in words}` if it failed.

        Aligned by the texts there are by now, as the next training run will be.

        Raises:
            Cancelled: if it was withdrawn, a training run was queued, or the app closes.
        """
        from era.encoders.devices import choose_device
        from era.evaluation.learning_curve import learning_curve

        progress = _Watch(self, self._workspace, run.id, self._is_closing)
        self.under_way = CurveProgress(run.id, 0.0, "", 0.0)
        try:
            opened = self._workspace.open(run.collection_id)
            with self._workspace.reading() as session:
                labels = storage.training_runs.label_snapshot(session, run.id)
                records = [storage.queries.get(session, int(query_id)) for query_id in labels]
            queries = [Query(str(record.id), record.text, record.instruction) for record in records]
            curve = learning_curve(
                opened.alignment_texts(),
                opened.index,
                opened.pair,
                queries,
                still_there(labels, opened.index),
                choose_device(self._workspace.settings.device),
                run.seed,
                progress,
                run.recipe,  # type: ignore[arg-type]
                opened.words() if run.config.get("has_words") else None,
            )
            return asdict(curve)
        except Cancelled:
            raise
        except (EraError, AnnotationError, StorageError, ValueError) as error:
            logger.exception("The learning curve of run %d failed", run.number)
            return {"error": str(error)}
        except Exception as error:
            logger.exception("The learning curve of run %d failed", run.number)
            words = f"Something unexpected went wrong ({type(error).__name__}); the terminal has the details."
            return {"error": words}
        finally:
            self.under_way = None

    def keep(self, run: TrainingRunRecord, curve: dict[str, Any]) -> None:
        """Store a learning curve with its run."""
        with self._workspace.writing() as session:
            storage.training_runs.set_curve(session, run.id, curve)


class _Watch:
    """Notes how far a learning curve is, and stops it when it is not wanted any more or has to make way."""

    def __init__(
        self, keeper: CurveKeeper, workspace: Workspace, training_run_id: int, is_closing: Callable[[], bool]
    ) -> None:
        self._keeper = keeper
        self._workspace = workspace
        self._id = training_run_id
        self._is_closing = is_closing
        self._started = self._looked_at = time.monotonic()

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        """Report as `era.progress.Progress` says."""
        if self._is_closing():
            raise Cancelled("The app is closing.")
        now = time.monotonic()
        if stage == "curve":
            self._keeper.under_way = CurveProgress(self._id, fraction, detail, now - self._started)
        if now - self._looked_at < _PAUSE_S:
            return
        self._looked_at = now
        with self._workspace.reading() as session:
            if any(run.state is TrainingRunState.QUEUED for run in storage.training_runs.queue(session)):
                raise Cancelled("A training run comes first.")
            try:
                is_wanted = storage.training_runs.get(session, self._id).wants_curve
            except UnknownRecord:  # it was deleted meanwhile
                is_wanted = False
        if not is_wanted:
            raise Cancelled("Cancelled by a person.")
