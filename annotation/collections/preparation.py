"""Get ready: load the embedders, open every collection, align the one used last; then strong embedders read on.

Reading on goes a step of 1,000 texts at a time, of one collection at a time; after each of them the texts are kept on
disk and the collection is aligned by all of them. It reads for half of the time and lets everything else that people
wait for go first, so it may take long.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import numpy as np
from tqdm import tqdm

import storage.collections
import storage.jobs
import storage.label_sets
import storage.queries
from annotation.jobs.worker import Lane
from annotation.ranking.rankers import default_ranker
from annotation.retrieval.loaded_pairs import reason_of
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Readiness, Workspace
from era.encoders.base import Vectors
from era.encoders.spec import N_ALIGNMENT_TEXTS
from era.errors import Cancelled
from era.method.alignment import AlignmentTexts, further_texts
from era.method.alignment_texts import keep_alignment_texts
from era.progress import Progress
from era.types import Query
from storage.records import IMPORTS, CollectionRecord, JobKind

logger = logging.getLogger(__name__)

_QUERIES_AHEAD = 500
_PAUSE_S = 60.0  # after something failed
_READ_S = 0.1  # at once: what a query may have to wait
_MOST_AT_ONCE = 64  # texts


def prepare(workspace: Workspace) -> None:
    """Load the embedders and open every collection; meant for a background thread, reports in `readiness`."""
    started = time.monotonic()
    try:
        _say(workspace, "Loading the embedders", 0.05)
        from era.encoders.devices import (  # torch: seconds, so not before the page is there
            choose_device,
            describe_device,
        )

        device = choose_device(workspace.settings.device)
        workspace.device_name = describe_device(device)
        workspace.pairs.device = device
        with workspace.reading() as session:
            collections = storage.collections.list_all(session)
        ready = _open_each(workspace, collections)
        gc.freeze()  # all that was imported stays: to look through it for garbage holds up every answer for 0.3 s
        workspace.readiness = Readiness("ready", "Ready to search", 0.6)
        logger.info("Ready to search after %.1f s.", time.monotonic() - started)
    except Exception as error:
        logger.exception("Preparation failed")
        workspace.readiness = Readiness("failed", reason_of(error), 0.0)
        return
    try:
        for collection in ready[:1]:  # the one used last; others align when they are trained
            align(workspace, collection.id, collection.name)
    except Exception:
        logger.exception("Alignment failed; the light model alone and earlier training runs can be used.")
    workspace.readiness = Readiness("ready", "", 1.0)
    for collection in ready:
        try:
            _count_words_in_use(workspace, collection.id)
        except Exception:
            logger.exception("What %s ranks with could not be told.", collection.name)


def _open_each(workspace: Workspace, collections: Sequence[CollectionRecord]) -> Sequence[CollectionRecord]:
    """Return the collections that could be opened; one whose embedders are out of reach leaves the others usable.

    Raises:
        Exception: what kept the first one closed, if none could be opened.
    """
    ready, failures = [], []
    for collection in sorted(collections, key=lambda each: each.embedders is not None):  # bundled ones are quick
        try:
            spec = workspace.spec_of(collection.id)
            _say(workspace, f"Loading {spec.strong.label} and {spec.light.label}", 0.1)
            workspace.pairs.load(spec)
            _say(workspace, f"Opening {collection.name}", 0.4)
            workspace.open(collection.id, _reporter(workspace, f"Reading {collection.name}", 0.4, 0.6))
            ready.append(collection.id)
        except Exception as error:
            logger.exception("%s could not be opened", collection.name)
            failures.append(error)
    if failures and not ready:
        raise failures[0]
    return [collection for collection in collections if collection.id in ready]


def align(workspace: Workspace, collection_id: int, name: str, must_stop: Callable[[], bool] = lambda: False) -> None:
    """Count words and align, then embed the stored queries, so that nothing that comes first needs to wait.

    Raises:
        Cancelled: if `must_stop` says so.
    """
    opened, tell = workspace.open(collection_id), _reporter(workspace, f"Aligning {name}", 0.6, 1.0, "ready")

    def report(stage: str, fraction: float, detail: str = "") -> None:
        if must_stop():
            raise Cancelled("The app stops.")
        tell(stage, fraction, detail)

    _count_words(opened)  # which the aligned ranking counts
    opened.aligned(report)
    workspace.readiness = Readiness("ready", "", 1.0)
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, collection_id)
    for query in listed[:_QUERIES_AHEAD]:
        if must_stop():
            return
        opened.pair.encode_queries([Query("", query.text, query.instruction)])


def _count_words_in_use(workspace: Workspace, collection_id: int) -> None:
    """Count matching words where a ranking in use needs them, so that the first search need not wait for it."""
    with workspace.reading() as session:
        label_sets = storage.label_sets.list_names(session, collection_id)
    keys = [default_ranker(workspace, collection_id, each.id) for each in label_sets]
    if any(key.has_words for key in keys):
        _count_words(workspace.open(collection_id))


def _count_words(opened: OpenCollection) -> None:
    try:
        opened.words()
    except Exception:
        logger.exception("Words could not be counted ahead; the first search that needs them tries again.")


def _say(
    workspace: Workspace, message: str, fraction: float, state: Literal["preparing", "ready"] = "preparing"
) -> None:
    workspace.readiness = Readiness(state, message, fraction)
    logger.info("%s …", message)


def _reporter(
    workspace: Workspace, message: str, low: float, high: float, state: Literal["preparing", "ready"] = "preparing"
) -> Progress:
    """Return a progress that moves the page's readiness from `low` to `high`, and a bar in the terminal."""
    bar: tqdm[NoReturn] | None = None

    def report(stage: str, fraction: float, detail: str = "") -> None:
        nonlocal bar
        workspace.readiness = Readiness(state, f"{message}: {detail}", low + (high - low) * fraction)
        if bar is None:
            bar = tqdm(total=100, desc=message, bar_format="{desc} {percentage:3.0f}% {bar:30} {elapsed}")
        bar.update(100 * fraction - bar.n)
        if fraction >= 1:
            bar.close()

    return report


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What to read next: documents of an opened collection that is aligned by fewer texts than it is to be."""

    collection_id: int
    opened: OpenCollection
    doc_ids: list[str]


def aligning(workspace: Workspace) -> Lane:
    """Return how strong embedders read on: whenever an aligned collection has more to be read."""
    return Lane("aligning", idle=ReadingOn(workspace).work)


class ReadingOn:
    """Reads on, step by step; a step that had to stop is read again after a restart."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._closing = threading.Event()

    def work(self, closing: threading.Event) -> None:
        """Read until there is no more to be read, or the app stops."""
        self._closing = closing
        try:
            while (step := self._next_step()) is not None:
                self._do(step)
        except Exception:  # whatever it was, searching and training do without
            logger.exception("The strong model could not read on; trying again in a minute")
            closing.wait(_PAUSE_S)

    def _next_step(self) -> _Step | None:
        """Return what to read next; of the collections that were aligned since the start, the one used last first."""
        if self._closing.is_set():
            return None
        with self._workspace.reading() as session:
            collections = storage.collections.list_all(session)
        for collection in collections:
            opened = self._workspace.opened(collection.id)
            if opened is None or not opened.n_texts:
                continue
            n_wanted = min(self._workspace.n_alignment_texts(collection.id), len(opened.corpus))
            if opened.n_texts < n_wanted:
                n = min(opened.n_texts + N_ALIGNMENT_TEXTS, n_wanted)
                return _Step(collection.id, opened, further_texts(opened.index, opened.alignment_texts().doc_ids, n))
        return None

    def _do(self, step: _Step) -> None:
        """Read, keep what was read, and align by it; nothing is left of it where it has to stop."""
        started, opened = time.monotonic(), step.opened
        vectors = self._read(step)
        if vectors is None or not self._is_wanted(step):
            return
        known = opened.alignment_texts()
        strong = np.concatenate([known.strong, vectors])
        texts = AlignmentTexts.among(opened.index, [*known.doc_ids, *step.doc_ids], strong)
        seconds = opened.strong_reading.seconds_per_text
        keep_alignment_texts(opened.corpus, opened.index, opened.pair, opened.folder, texts, seconds)
        aligned = opened.aligned_by(texts)
        while self._is_wanted(step) and not self._workspace.replace_opened(step.collection_id, opened, aligned):
            self._closing.wait(_READ_S)
        logger.info("Aligned by %d documents; the last step took %.0f s.", len(strong), time.monotonic() - started)

    def _read(self, step: _Step) -> Vectors | None:
        """Return (n, p): the documents of a step as the strong embedder reads them; None if it has to stop."""
        strong, contents = step.opened.pair.strong, step.opened.corpus.contents(step.doc_ids)
        vectors = np.empty((len(contents), strong.identity.dimension), np.float32)
        order = sorted(range(len(contents)), key=lambda row: len(contents[row]))  # alike ones at once
        n_at_once = 1
        while order:
            while self._has_to_wait(step.opened):
                self._closing.wait(_READ_S)
            if not self._is_wanted(step):
                return None
            rows, order = order[:n_at_once], order[n_at_once:]
            started = time.perf_counter()
            vectors[rows] = strong.encode_documents([contents[row] for row in rows])
            took_s = time.perf_counter() - started
            n_at_once = round(max(1, min(_MOST_AT_ONCE, len(rows) * _READ_S / max(took_s, 1e-6))))
            self._closing.wait(took_s)
        return vectors

    def _is_wanted(self, step: _Step) -> bool:
        """Return whether the app goes on and the collection is still open, with these documents and embedders."""
        return not self._closing.is_set() and self._workspace.opened(step.collection_id) is step.opened

    def _has_to_wait(self, opened: OpenCollection) -> bool:
        """Return whether people wait for something that computes: queries, training, an import, a reading of theirs."""
        if self._closing.is_set():
            return False
        if opened.pair.is_asked or self._workspace.is_serving:
            return True
        with self._workspace.reading() as session:
            return storage.jobs.has_under_way(session, {*IMPORTS, JobKind.TRAIN, JobKind.STRONG_INDEX})
