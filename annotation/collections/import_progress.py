"""How an import tells where it is, and hears that it was cancelled."""

import logging
import time
from collections.abc import Callable

import storage.import_jobs
from annotation.workspace import Workspace
from era.errors import Cancelled
from storage.errors import DatabaseBusy, DataFolderNotWritable, StorageError

logger = logging.getLogger(__name__)

_PAUSE_S = 0.3  # between two looks at the database


class ImportReporter:
    """Writes progress into the import's row, a few times a second, and stops the import when it was cancelled."""

    def __init__(self, workspace: Workspace, job_id: int, is_closing: Callable[[], bool]) -> None:
        self._workspace = workspace
        self._id = job_id
        self._is_closing = is_closing
        self._stage = ""
        self._said_at = 0.0

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        """Report as `era.progress.Progress` says; `fraction` is of the whole import.

        Raises:
            Cancelled: if somebody asked for it, or the app is closing.
        """
        if self._is_closing():
            raise Cancelled("The app is closing.")
        now = time.monotonic()
        if stage == self._stage and now - self._said_at < _PAUSE_S:
            return
        self._stage, self._said_at = stage, now
        try:
            with self._workspace.writing() as session:
                job = storage.import_jobs.progress(
                    session, self._id, stage=stage, fraction=min(max(fraction, 0.0), 1.0), message=detail
                )
        except (DatabaseBusy, DataFolderNotWritable) as error:  # the next report says it
            logger.warning("The progress of an import could not be written down: %s", error)
            return
        if job.is_cancel_requested:
            raise Cancelled("Cancelled by a person.")

    def is_over(self) -> bool:
        """Return whether somebody asked for the end, or the app is closing; for what cannot report meanwhile."""
        if self._is_closing():
            return True
        try:
            with self._workspace.reading() as session:
                return storage.import_jobs.get(session, self._id).is_cancel_requested
        except StorageError as error:  # the next look says it
            logger.warning("It could not be told whether an import was cancelled: %s", error)
            return False
