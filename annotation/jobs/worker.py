"""The worker of all jobs: a thread for each lane takes what is queued, one after the other, and writes down its end.

What a job does is handed in, by kind. One person takes so many places in a queue and no more, so that others can join
it. A lane never gives up: while the database is locked or full, it tries again.
"""

import logging
import threading
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

import storage.jobs
from annotation.errors import AnnotationError, InvalidInputError
from annotation.jobs.progress import Database, MakesWay, Reporter
from annotation.settings import Settings
from era.errors import Cancelled, EraError
from storage.errors import DatabaseBusy, DatabaseDamaged, DataFolderNotWritable, StorageError
from storage.records import JobKind, JobRecord, JobState

logger = logging.getLogger(__name__)

MAX_WAITING = 10
"""How much may wait for its turn in one queue."""

MAX_WAITING_EACH = 3
"""How much of that may be one person's, where there are several."""

_LOOK_EVERY_S = 1.0
_PAUSE_S = 2.0  # after something failed
_TRIES = 3  # of what fails for another reason than the database
_WAITABLE = (DatabaseBusy, DataFolderNotWritable, DatabaseDamaged)
_NOT_REMOVED = "What it had stored could not be removed; the terminal has the details. Remove it from the list."
_NOT_STORED = "It was done, but what came of it could not be stored. Start it again."


def _nothing(*_: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Done:
    """What a job leaves.

    Attributes:
        message: what came of it, for people.
        remarks: what people should know besides.
        collection_id: the collection that it made or changed.
        store: what it stores, in the transaction that ends it.
        afterwards: what is left to do once it has ended.
    """

    message: str = ""
    remarks: Sequence[str] = ()
    collection_id: int | None = None
    store: Callable[[Session], object] = _nothing
    afterwards: Callable[[], object] = _nothing


@dataclass(frozen=True, slots=True)
class Kind:
    """How jobs of one kind are done.

    Attributes:
        do: does one; what it raises ends the job.
        discard: removes what a job has stored that was cancelled, or that failed for good.
        never_goes_on: whether trying again would fail again.
        shares: as in `Reporter`.
        starts_again: whether it goes on by itself after a restart; else it waits to be resumed.
        failed: keeps beside the job why it failed, in the transaction that ends it.
    """

    do: Callable[[JobRecord, Reporter], Done]
    discard: Callable[[JobRecord], object] = _nothing
    never_goes_on: Callable[[BaseException], bool] = lambda error: False
    shares: Mapping[str, float] | None = None
    starts_again: bool = False
    failed: Callable[[Session, JobRecord, str], object] = _nothing


@dataclass(frozen=True, slots=True)
class Lane:
    """What one thread does.

    Attributes:
        name: of the thread.
        lines: queues of what it takes up; people take turns in each, and all of a line goes before the next.
        sweep: removes what was left behind, when the app starts.
        idle: done while nothing waits, again and again; takes the event that is set when the app stops.
    """

    name: str
    lines: Sequence[Mapping[JobKind, Kind]] = ()
    sweep: Callable[[], object] = _nothing
    idle: Callable[[threading.Event], object] = _nothing

    @property
    def kinds(self) -> Mapping[JobKind, Kind]:
        """Return all that it takes up."""
        return dict(ChainMap(*map(dict, self.lines)))


class Worker:
    """Does what is queued, each lane in a thread; it looks every second, or at once when it is `poke`d."""

    def __init__(self, database: Database, lanes: Sequence[Lane]) -> None:
        self._database = database
        self._lanes = lanes
        self._closing = threading.Event()
        self._wakes = [threading.Event() for _ in lanes]
        self._threads = [
            threading.Thread(target=self._work, args=(lane, wake), name=lane.name, daemon=True)
            for lane, wake in zip(lanes, self._wakes, strict=True)
        ]

    def start(self) -> None:
        """Mark what a killed process left behind as interrupted, remove what is of no use, then begin."""
        for lane in self._lanes:
            self._note_interrupted(lane)
            lane.sweep()
        for thread in self._threads:
            thread.start()

    def poke(self) -> None:
        """Look for work now."""
        for wake in self._wakes:
            wake.set()

    def close(self) -> None:
        """Stop after the current step; a job under way becomes interrupted at the next start."""
        self._closing.set()
        self.poke()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=10)

    def _note_interrupted(self, lane: Lane) -> None:
        with self._database.writing() as session:
            for job in storage.jobs.mark_interrupted_all_running(session, lane.kinds):
                if lane.kinds[job.kind].starts_again and not job.is_cancel_requested:
                    storage.jobs.resume(session, job.id)
                else:
                    logger.warning("Job %d (%s) was interrupted; resume it when you like.", job.id, job.kind.value)

    def _work(self, lane: Lane, wake: threading.Event) -> None:
        while not self._closing.is_set():
            try:
                while not self._closing.is_set() and self._do_next(lane):
                    pass
                lane.idle(self._closing)
            except Exception:  # the database is locked or full: what is queued stays so
                logger.exception("The queue could not be looked at; trying again")
                self._closing.wait(_PAUSE_S)
            else:
                wake.wait(_LOOK_EVERY_S)
                wake.clear()

    def _do_next(self, lane: Lane) -> bool:
        """Do one job; return whether there was one."""
        with self._database.reading() as session:
            place = next((n for n, line in enumerate(lane.lines) if storage.jobs.has_queued(session, line)), None)
        if place is None:
            return False
        with self._database.writing() as session:
            job = storage.jobs.claim_next(session, lane.lines[place])
        if job is not None:
            self._do(job, lane.lines[place][job.kind], [kind for line in lane.lines[:place] for kind in line])
        return True

    def _do(self, job: JobRecord, kind: Kind, goes_first: Sequence[JobKind]) -> None:
        try:
            done = kind.do(job, Reporter(self._database, job.id, self._closing.is_set, kind.shares, goes_first))
            self._finish(job, done)
        except MakesWay:
            self._insist(job, lambda session: storage.jobs.put_back(session, job.id))
        except Cancelled:
            if not self._closing.is_set():
                self._cancel(job, kind)
        except BaseException as error:  # a library that panics in Rust raises what is no Exception
            logger.exception("Job %d (%s) failed", job.id, job.kind.value)
            self._fail(job, kind, _in_words(error), kind.never_goes_on(error))
        else:
            self._tried(done.afterwards)

    def _finish(self, job: JobRecord, done: Done) -> None:
        """Store what came of a job, and that it ended; for what cannot be stored it fails."""

        def finish(session: Session) -> None:
            done.store(session)
            storage.jobs.finish(
                session, job.id, message=done.message, remarks=done.remarks, collection_id=done.collection_id
            )

        while not self._closing.is_set():
            try:
                return self._end(job, finish)
            except _WAITABLE:
                logger.exception("The end of job %d could not be written down; trying again", job.id)
                self._closing.wait(_PAUSE_S)
            except (EraError, StorageError, AnnotationError):
                raise
            except Exception as error:
                raise StorageError(_NOT_STORED) from error
        raise Cancelled("The app is closing.")

    def _cancel(self, job: JobRecord, kind: Kind) -> None:
        """Keep nothing of a cancelled job; where that cannot be done, it has failed."""
        if self._tried(lambda: self._discard(job, kind)):
            self._insist(job, lambda session: storage.jobs.mark_cancelled(session, job.id))
        else:
            self._fail(job, kind, _NOT_REMOVED, is_over=False)

    def _fail(self, job: JobRecord, kind: Kind, error: str, is_over: bool) -> None:
        """Write down why a job failed; where trying again would not help, nothing of it is kept."""

        def fail(session: Session) -> None:
            storage.jobs.fail(session, job.id, error)
            kind.failed(session, job, error)

        if is_over:
            self._tried(lambda: self._discard(job, kind))
        self._insist(job, fail)

    def _discard(self, job: JobRecord, kind: Kind) -> None:
        with self._database.reading() as session:
            is_running = storage.jobs.is_running(session, job.id)
        if is_running:
            kind.discard(job)

    def _insist(self, job: JobRecord, end: Callable[[Session], object]) -> None:
        self._tried(lambda: self._end(job, end))

    def _end(self, job: JobRecord, end: Callable[[Session], object]) -> None:
        """Do it in a transaction; where the job has ended otherwise or is gone, it stays as it is."""
        with self._database.writing() as session:
            if storage.jobs.is_running(session, job.id):
                end(session)

    def _tried(self, action: Callable[[], object]) -> bool:
        """Return whether it was done: again after a pause while the database cannot be used, else a few times."""
        n_failed = 0
        while not self._closing.is_set() and n_failed < _TRIES:
            try:
                action()
            except Exception as error:  # whatever it was, the next job has to have its turn
                logger.exception("What a job leaves could not be put in order; trying again")
                n_failed += not isinstance(error, _WAITABLE)
                self._closing.wait(_PAUSE_S)
            else:
                return True
        return False


def _in_words(error: BaseException) -> str:
    if isinstance(error, (EraError, StorageError, AnnotationError)):
        return str(error)
    if isinstance(error, OSError):
        return f"A file could not be read or written ({error}). Look at the disk, then resume it."
    return f"Something unexpected went wrong ({type(error).__name__}); the terminal has the details."


def require_place(settings: Settings, author: str, queue: Sequence[JobRecord], what: str) -> None:
    """Check that a person may put one more thing into a queue.

    Args:
        settings: of this process.
        author: who wants to.
        queue: what runs and waits in it.
        what: the things, in the plural.

    Raises:
        InvalidInputError: if too many wait, or too many of this person's.
    """
    waiting = [job.author for job in queue if job.state is JobState.QUEUED]
    what_then = "Wait until one of them has begun, or cancel one."
    if len(waiting) >= MAX_WAITING:
        raise InvalidInputError(f"{MAX_WAITING} {what} are waiting already. {what_then}")
    if settings.has_several_people and waiting.count(author) >= MAX_WAITING_EACH:
        raise InvalidInputError(
            f"{MAX_WAITING_EACH} of your {what} are waiting already, which is one person's share. {what_then}"
        )
