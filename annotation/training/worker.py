"""The one thread that trains: takes what is queued, one after the other, and writes down how each ended.

It never gives up: a database that is locked or full when a run is claimed or ends is tried again after a pause.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import storage.label_sets
import storage.training_runs
from annotation.errors import AnnotationError
from annotation.ranking.rankers import chosen_key
from annotation.training import manage
from annotation.training.learning_curves import CurveKeeper
from annotation.training.progress import Reporter
from annotation.training.train import Outcome, train
from annotation.workspace import Workspace
from era.errors import Cancelled, EraError
from storage.errors import StorageError, UnknownRecord
from storage.records import TrainingRunRecord

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_MAX_UNEXPECTED = 5  # failures that are not the database's, before an action is given up


class TrainingWorker:
    """The one thread that trains; `poke` it when a run was queued or a learning curve was asked for."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self.curves = CurveKeeper(workspace, self._closing.is_set)

    def start(self) -> None:
        """Mark what a killed process left behind as interrupted, then take up what is queued."""
        with self._workspace.writing() as session:
            n_left = storage.training_runs.mark_interrupted_all_running(session)
        if n_left:
            logger.warning("%d training run was interrupted when the app stopped; resume it when you like.", n_left)
        manage.sweep(self._workspace)
        self._thread.start()
        self._wake.set()

    def poke(self) -> None:
        """Look for work now."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the current step; a run under way becomes interrupted at the next start."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            while not self._closing.is_set() and self._do_next():
                pass

    def _do_next(self) -> bool:
        """Do one training run, or one learning curve where no training waits; return whether there was either."""
        run = self._insist("taking the next training run", self._claim)
        if run is not None:
            self._train(run)
            return True
        wanted = self._insist("looking for a learning curve to compute", self.curves.next_wanted)
        if wanted is None:
            return False
        try:
            self._wait_until_ready(lambda message: None)
            curve = self.curves.compute(wanted)
        except Cancelled:
            return True  # withdrawn, or a training run came first and it is taken up again after that
        self._insist("keeping a learning curve", lambda: self.curves.keep(wanted, curve))
        return True

    def _claim(self) -> TrainingRunRecord | None:
        with self._workspace.writing() as session:
            return storage.training_runs.claim_next(session)

    def _train(self, run: TrainingRunRecord) -> None:
        progress = Reporter(self._workspace, run.id, self._closing.is_set)
        try:
            self._wait_until_ready(lambda message: progress("embedding", 0.0, message))
            outcome = train(self._workspace, run, progress)
        except Cancelled:
            if not self._closing.is_set():
                self._insist("noting a cancelled run", lambda: self._mark_cancelled(run))
        except (EraError, AnnotationError, StorageError, ValueError) as error:
            logger.exception("Training run %d failed", run.number)
            self._fail(run, str(error))
        except Exception as error:
            logger.exception("Training run %d failed", run.number)
            self._fail(run, f"Something unexpected went wrong ({type(error).__name__}); the terminal has the details.")
        else:
            if self._insist("noting a finished run", lambda: self._finish(run, outcome)) is None:
                self._fail(run, "The adapter was trained, but what was measured could not be stored. Train again.")

    def _finish(self, run: TrainingRunRecord, outcome: Outcome) -> TrainingRunRecord:
        """Store what a run measured; the ranking that it found best goes in use."""
        with self._workspace.writing() as session:
            finished = storage.training_runs.finish(
                session,
                run.id,
                measures=outcome.measures,
                device=outcome.device,
                config=outcome.config,
                message=outcome.note,
            )
            if (key := chosen_key(finished)) is not None:
                storage.label_sets.set_in_use(session, run.label_set_id, key)
        return finished

    def _mark_cancelled(self, run: TrainingRunRecord) -> None:
        with self._workspace.writing() as session:
            storage.training_runs.mark_cancelled(session, run.id)

    def _fail(self, run: TrainingRunRecord, message: str) -> None:
        def fail() -> None:
            with self._workspace.writing() as session:
                storage.training_runs.fail(session, run.id, message)

        self._insist("noting a failed run", fail)

    def _insist(self, what: str, action: Callable[[], ResultT]) -> ResultT | None:
        """Return what the action returns, trying again after a pause if it fails.

        None if the app closes meanwhile, or if it fails for a reason that waiting does not mend.
        """
        pause_s, n_unexpected = _FIRST_PAUSE_S, 0
        while not self._closing.is_set():
            try:
                return action()
            except (ValueError, UnknownRecord):  # the run has ended otherwise; trying again would not change that
                logger.exception("A training run could not be updated (%s)", what)
                return None
            except StorageError:
                logger.exception("The database could not be used (%s); trying again in %.1f s", what, pause_s)
            except Exception:
                n_unexpected += 1
                logger.exception("Something unexpected went wrong (%s), for the %d. time", what, n_unexpected)
                if n_unexpected == _MAX_UNEXPECTED:
                    return None
            self._closing.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return None

    def _wait_until_ready(self, say: Callable[[str], None]) -> None:
        while self._workspace.readiness.state == "preparing":
            if self._closing.is_set():
                raise Cancelled("The app is closing.")
            say("waiting for the embedders to be loaded")
            time.sleep(0.2)
