"""How a training run tells where it is, hears that it was cancelled, and learns what each stage took."""

import logging
import time
from collections.abc import Callable

import storage.training_runs
from annotation.workspace import Workspace
from era.errors import Cancelled
from storage.errors import DatabaseBusy, DataFolderNotWritable

logger = logging.getLogger(__name__)

STAGES = ("embedding", "alignment", "adaptation", "evaluation")
_STAGE_SHARES = (0.4, 0.1, 0.4, 0.1)
_PAUSE_S = 0.1  # between two looks at the database


class Reporter:
    """Writes progress into the run's row, at most ten times a second, and stops the run when it was cancelled."""

    def __init__(self, workspace: Workspace, training_run_id: int, is_closing: Callable[[], bool]) -> None:
        self._workspace = workspace
        self._id = training_run_id
        self._is_closing = is_closing
        self._stage = ""
        self._said_at = self._looked_at = time.monotonic()
        self.seconds: dict[str, float] = {}  # by stage, of what is over

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        """Report as `era.progress.Progress` says.

        Raises:
            Cancelled: if somebody asked for it, or the app is closing.
        """
        if self._is_closing():
            raise Cancelled("The app is closing.")
        now = time.monotonic()
        self.seconds[self._stage or stage] = self.seconds.get(self._stage or stage, 0.0) + now - self._said_at
        is_same, self._stage, self._said_at = stage == self._stage, stage, now
        if is_same and now - self._looked_at < _PAUSE_S:
            return
        self._looked_at = now
        place = STAGES.index(stage)
        overall = sum(_STAGE_SHARES[:place]) + _STAGE_SHARES[place] * min(max(fraction, 0.0), 1.0)
        try:
            with self._workspace.writing() as session:
                row = storage.training_runs.progress(
                    session, self._id, stage=stage, fraction=min(overall, 1.0), message=detail
                )
        except (DatabaseBusy, DataFolderNotWritable) as error:  # the work itself needs no database
            logger.warning("The progress of a training run could not be written down: %s", error)
            return
        if row.is_cancel_requested:
            raise Cancelled("Cancelled by a person.")
