"""How a job tells where it is, hears that it was cancelled, and learns what each stage took."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy.orm import Session

import storage.jobs
from era.errors import Cancelled
from storage.errors import DatabaseBusy, DataFolderNotWritable, StorageError, UnknownRecord
from storage.records import JobKind

logger = logging.getLogger(__name__)

_PAUSE_S = 0.3  # between two looks at the database


class Database(Protocol):
    """Where the queue is kept; a workspace is one."""

    def reading(self) -> AbstractContextManager[Session]:
        """Open a session that only reads."""

    def writing(self) -> AbstractContextManager[Session]:
        """Open a session that commits at the end."""


class MakesWay(Cancelled):
    """A job that goes first waits; this one is taken up again after it."""


class Reporter:
    """Writes progress into the job's row, a few times a second, and stops the job when it was cancelled."""

    def __init__(
        self,
        database: Database,
        job_id: int,
        is_closing: Callable[[], bool],
        shares: Mapping[str, float] | None = None,
        goes_first: Collection[JobKind] = (),
    ) -> None:
        """Begin to count the time.

        Args:
            database: of the queue.
            job_id: whose progress it is.
            is_closing: whether the app stops.
            shares: stage -> its share of the whole, in their order; None where fractions are of the whole already.
            goes_first: kinds of jobs that this one makes way for.
        """
        self.is_closing = is_closing
        self.seconds: dict[str, float] = {}  # by stage, of what is over
        self._database = database
        self._id = job_id
        self._shares = shares
        self._goes_first = goes_first
        self._stage = ""
        self._said_at = self._looked_at = time.monotonic()

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        """Report as `era.progress.Progress` says.

        Raises:
            Cancelled: if it was asked to stop, the app is closing, or a job waits that goes first (`MakesWay`).
        """
        if self.is_closing():
            raise Cancelled("The app is closing.")
        now = time.monotonic()
        self.seconds[self._stage or stage] = self.seconds.get(self._stage or stage, 0.0) + now - self._said_at
        is_same, self._stage, self._said_at = stage == self._stage, stage, now
        if is_same and now - self._looked_at < _PAUSE_S:
            return
        self._looked_at = now
        whole = self._of_the_whole(stage, min(max(fraction, 0.0), 1.0))
        try:
            with self._database.writing() as session:
                job = storage.jobs.progress(session, self._id, stage=stage, fraction=whole, message=detail)
                makes_way = bool(self._goes_first) and storage.jobs.has_queued(session, self._goes_first)
        except UnknownRecord as error:
            raise Cancelled("What this is about was deleted.") from error
        except (DatabaseBusy, DataFolderNotWritable) as error:  # the work itself needs no database
            logger.warning("The progress of a job could not be written down: %s", error)
            return
        if job.is_cancel_requested:
            raise Cancelled("Cancelled by a person.")
        if makes_way:
            raise MakesWay("Another job comes first.")

    def is_over(self) -> bool:
        """Return whether it was asked to stop, or the app is closing; for what cannot report meanwhile."""
        if self.is_closing():
            return True
        try:
            with self._database.reading() as session:
                return storage.jobs.get(session, self._id).is_cancel_requested
        except StorageError as error:  # the next look says it
            logger.warning("It could not be told whether a job was cancelled: %s", error)
            return False

    def _of_the_whole(self, stage: str, fraction: float) -> float:
        if self._shares is None:
            return fraction
        stages = list(self._shares)
        before = sum(self._shares[each] for each in stages[: stages.index(stage)])
        return min(before + self._shares[stage] * fraction, 1.0)
