"""Let the strong model read every document, so that it can be compared alone: a job in the background."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

import storage.collections
import storage.jobs
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.jobs.progress import Reporter
from annotation.jobs.worker import Done, Kind, Lane
from annotation.people.permissions import require, why_not_manage
from annotation.retrieval.open_collection import OpenCollection
from annotation.retrieval.strong_index import in_words
from annotation.workspace import Workspace
from storage.records import IMPORTS, JobKind, JobRecord, JobState, NewJob

_PAUSE_S = 0.3  # between two looks at whether something else is computed


@dataclass(frozen=True, slots=True)
class StrongState:
    """Whether the strong model has read every document; `text` is for the person at the screen."""

    state: Literal["ready", "absent", "building"]
    fraction: float
    text: str


def read_all(workspace: Workspace, author: str | None, collection_id: int) -> None:
    """Queue the reading of every document, unless that was done or is under way; it goes on where one was stopped.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to let the strong model read every document.")
    if workspace.open(collection_id).strong_reading.is_ready:
        return
    with workspace.writing() as session:
        if not storage.jobs.has_under_way(session, {JobKind.STRONG_INDEX}, collection_id):
            storage.jobs.create_queued(session, NewJob(JobKind.STRONG_INDEX, author, collection_id=collection_id))


def read_none(workspace: Workspace, author: str | None, collection_id: int) -> None:
    """Stop reading; what was read so far is kept for the next time.

    Raises:
        NotAllowedError: if it is neither the person's own reading nor theirs to manage.
    """
    job = _latest(workspace, collection_id)
    require(_why_not_stop(workspace, author, collection_id, job))
    if job is not None:
        with workspace.writing() as session:
            storage.jobs.cancel_request(session, job.id)


def may_stop(workspace: Workspace, author: str | None, collection_id: int) -> bool:
    """Return whether a person may stop the reading that is under way."""
    return not _why_not_stop(workspace, author, collection_id, _latest(workspace, collection_id))


def strong_state(workspace: Workspace, collection_id: int) -> StrongState:
    """Return whether the strong model alone can be compared; while the collection is being opened, that it cannot."""
    opened = workspace.opened(collection_id)
    if opened is None:
        return StrongState("absent", 0.0, "The documents are still being prepared.")
    reading = opened.strong_reading
    if reading.is_ready:
        return StrongState("ready", 1.0, f"The strong model has read all {reading.n_documents:,} documents.")
    job = _latest(workspace, collection_id)
    if job is not None and job.state.is_under_way:
        if job.is_cancel_requested:
            return StrongState("building", 0.0, "The strong model stops reading the documents.")
        return StrongState("building", job.fraction, job.message or _progress_words(opened, 0, reading.estimate()))
    failure = f"Reading stopped. {job.error}" if job is not None and job.state is JobState.FAILED else reading.failure
    text = f"To rank alone, the strong model has to read all {reading.n_documents:,} documents once"
    return StrongState("absent", 0.0, f"{failure} {text}; {reading.estimate()}.".strip())


def reading(workspace: Workspace) -> Lane:
    """Return how documents are read in the background; it gives way to queries, imports and training."""
    kind = Kind(partial(_read, workspace), starts_again=True)
    return Lane("strong-reading", [{JobKind.STRONG_INDEX: kind}])


def _read(workspace: Workspace, job: JobRecord, report: Reporter) -> Done:
    while workspace.readiness.state == "preparing":
        report("waiting", 0.0)
        time.sleep(_PAUSE_S)
    collection_id = job.collection_id or 0
    opened = workspace.open(collection_id)
    strong, started, n_before = opened.strong_reading, time.monotonic(), -1

    def say(stage: str, fraction: float, detail: str = "") -> None:
        nonlocal n_before
        done = round(fraction * strong.n_documents)
        n_before = done if n_before < 0 else n_before
        took_s, n_now = time.monotonic() - started, done - n_before
        left = f"{in_words(took_s / n_now * (strong.n_documents - done))} left" if n_now else strong.estimate()
        words = _progress_words(opened, done, left)
        report("embedding", fraction, words)
        while _has_to_wait(workspace, opened):
            time.sleep(_PAUSE_S)
            report("waiting", fraction, words)
        now = workspace.opened(collection_id)
        if now is None or now.strong_reading is not strong:
            raise InvalidInputError("The documents or the embedders were changed meanwhile.")

    if not strong.is_ready:
        strong.read(say)
    return Done()


def _has_to_wait(workspace: Workspace, opened: OpenCollection) -> bool:
    if opened.pair.is_asked:
        return True
    with workspace.reading() as session:
        return storage.jobs.has_under_way(session, {*IMPORTS, JobKind.TRAIN})


def _progress_words(opened: OpenCollection, done: int, left: str) -> str:
    n = opened.strong_reading.n_documents
    return f"The strong model reads the documents: {done:,} of {n:,}; {left}. You may leave this page."


def _latest(workspace: Workspace, collection_id: int) -> JobRecord | None:
    with workspace.reading() as session:
        return storage.jobs.latest(session, JobKind.STRONG_INDEX, collection_id)


def _why_not_stop(workspace: Workspace, author: str | None, collection_id: int, job: JobRecord | None) -> str:
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
    started_by = "" if job is None else job.author
    return why_not_manage(workspace.settings, author, collection, "stop the strong model", started_by)
