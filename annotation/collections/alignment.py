"""The one thread in which strong embedders read on for the alignment, after search is ready and while people judge.

A step of 1,000 texts at a time, of one collection at a time; after each of them the texts are kept on disk and the
collection is aligned by all of them. It reads for half of the time and lets everything else that people wait for go
first, so it may take long.
"""

import logging
import threading
import time
from dataclasses import dataclass

import numpy as np

import storage.collections
import storage.jobs
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.encoders.base import Vectors
from era.encoders.spec import N_ALIGNMENT_TEXTS
from era.method.alignment import AlignmentTexts, further_texts
from era.method.alignment_texts import keep_alignment_texts
from storage.records import IMPORTS, JobKind

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_PAUSE_S = 60.0  # after something failed
_READ_S = 0.1  # at once: what a query may have to wait
_MOST_AT_ONCE = 64  # texts


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What to read next: documents of an opened collection that is aligned by fewer texts than it is to be."""

    collection_id: int
    opened: OpenCollection
    doc_ids: list[str]


class AlignmentWorker:
    """The one thread that reads on; it looks every second whether an aligned collection has more to be read."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="aligning", daemon=True)

    def start(self) -> None:
        """Begin to look for what to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the texts that are being read; the step that they belong to is read again after a restart."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _work(self) -> None:
        while not self._closing.is_set():
            pause_s = _LOOK_EVERY_S
            try:
                while (step := self._next_step()) is not None:
                    self._do(step)
            except Exception:  # whatever it was, searching and training do without
                logger.exception("The strong model could not read on; trying again in a minute")
                pause_s = _PAUSE_S
            self._closing.wait(pause_s)

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
        if opened.pair.is_asked:
            return True
        with self._workspace.reading() as session:
            return storage.jobs.has_under_way(session, {*IMPORTS, JobKind.TRAIN, JobKind.STRONG_INDEX})
