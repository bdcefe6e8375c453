"""Read every document with the strong embedder, so that the strong model alone can rank a collection.

That takes minutes or hours, so it happens in a thread of its own, and the page may be left meanwhile. What it leaves is
used once it is complete; ERA itself never needs it.
"""

import atexit
import json
import logging
import shutil
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Lock, Thread, current_thread
from typing import Literal

import numpy as np

from annotation.errors import NotReadyError
from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.errors import Cancelled, IndexDamagedError
from era.index.dense import DenseIndex

logger = logging.getLogger(__name__)

_FOLDER = "strong-index"
_ABOUT_FILE = "about.json"
_VECTORS_FILE = "vectors.f32"
_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class StrongState:
    """Whether the strong model has read every document; `text` is for the person at the screen."""

    state: Literal["ready", "absent", "building"]
    fraction: float
    text: str


class StrongReading:
    """The documents of one collection as the strong embedder reads them; safe to use from several threads."""

    def __init__(self, corpus: Corpus, pair: EmbedderPair, folder: Path) -> None:
        """Look for what an earlier reading left in `folder`; nothing is read yet."""
        self.seconds_per_text: float | None = None  # of the strong embedder, once that is known
        self.n_read_before = 0  # for the alignment; the embedder has kept what it made of them
        self.started_by = ""  # who let it read, once somebody did
        self._corpus = corpus
        self._pair = pair
        self._folder = folder / _FOLDER
        self._lock = Lock()
        self._loading = Lock()
        self._stop = Event()
        self._is_closed = False
        self._thread: Thread | None = None
        self._index: DenseIndex | None = None
        self._n_read = 0
        self._started = 0.0
        self._failure = ""
        self._is_kept = self._is_fitting()

    @property
    def is_ready(self) -> bool:
        """Return whether every document was read."""
        return self._is_kept

    @property
    def state(self) -> StrongState:
        """Return how far the reading is, with an estimate of what is left."""
        n = len(self._corpus)
        if self._is_kept:
            return StrongState("ready", 1.0, f"The strong model has read all {n:,} documents.")
        if self._thread is not None and self._thread.is_alive():
            if self._stop.is_set():
                return StrongState("building", 0.0, "The strong model stops reading the documents.")
            done, took = self._n_read, time.monotonic() - self._started
            left = f"{in_words(took / done * (n - done))} left" if done else self._estimate(n)
            text = f"The strong model reads the documents: {done:,} of {n:,}; {left}. You may leave this page."
            return StrongState("building", done / n, text)
        text = f"To rank alone, the strong model has to read all {n:,} documents once; {self._estimate(n)}."
        return StrongState("absent", 0.0, f"{self._failure} {text}".strip())

    def index(self) -> DenseIndex:
        """Return the documents as the strong embedder sees them.

        Raises:
            NotReadyError: if they were not all read yet, or what was kept is damaged.
        """
        with self._loading:
            if self._is_kept and self._index is None:
                try:
                    self._index = DenseIndex.load(self._folder)
                except IndexDamagedError as error:
                    logger.warning("%s The strong model has to read the documents again.", error)
                    self._is_kept, self._failure = False, "What the strong model had read is damaged and is not used."
            if self._index is None:
                todo = "The strong model has not read every document yet. Let it do so, then compare."
                raise NotReadyError(f"{self._failure} {todo}".strip())
            return self._index

    def start(self, started_by: str = "") -> None:
        """Read every document in the background, unless that was done or is under way."""
        with self._lock:
            if self._is_closed or self._is_kept or (self._thread is not None and self._thread.is_alive()):
                return
            self._stop.clear()
            self._n_read, self._started, self._failure = 0, time.monotonic(), ""
            self.started_by = started_by
            self._thread = Thread(target=self._read, name="strong-reading", daemon=True)
            self._thread.start()
        atexit.register(self.close)

    def stop(self) -> None:
        """Stop after the current texts; what was read so far is dropped, and it may be started again."""
        self._stop.set()

    def close(self) -> None:
        """Stop after the current texts, for good; what was read so far is dropped."""
        with self._lock:
            self._is_closed = True
            self._stop.set()
        atexit.unregister(self.close)
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join(timeout=10)

    def _read(self) -> None:
        scratch = self._folder.with_name(f".{_FOLDER}.{uuid.uuid4().hex}")
        try:
            for left in self._folder.parent.glob(f".{_FOLDER}.*"):
                shutil.rmtree(left, ignore_errors=True)
            scratch.mkdir(parents=True)
            index = self._embed(scratch)
            index.save(scratch)
            (scratch / _ABOUT_FILE).write_text(json.dumps(self._about()), encoding="utf-8")
            shutil.rmtree(self._folder, ignore_errors=True)
            scratch.rename(self._folder)
            self._index, self._is_kept = index, True
            logger.info("The strong model has read %d documents.", len(index))
        except Cancelled:
            logger.info("Reading with the strong model was stopped after %d documents.", self._n_read)
        except Exception as error:
            logger.exception("Reading with the strong model failed.")
            self._failure = f"Reading stopped ({type(error).__name__}: {error})."
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _embed(self, scratch: Path) -> DenseIndex:
        """Return the index; vectors wait in a file meanwhile, so that memory holds them once."""
        doc_ids, strong = list(self._corpus.doc_ids), self._pair.strong
        shape = len(doc_ids), strong.identity.dimension
        vectors = np.memmap(scratch / _VECTORS_FILE, np.float32, "w+", shape=shape)
        for start in range(0, len(doc_ids), _DOCUMENTS_AT_ONCE):
            some = doc_ids[start : start + _DOCUMENTS_AT_ONCE]

            def report(stage: str, fraction: float, detail: str = "", start: int = start, n: int = len(some)) -> None:
                if self._stop.is_set():
                    raise Cancelled("Nobody waits for the strong model any more.")
                self._n_read = start + round(n * fraction)

            report("embedding", 0.0)
            vectors[start : start + len(some)] = strong.encode_documents(self._corpus.contents(some), report)
        index = DenseIndex(doc_ids, vectors, strong.identity)
        del vectors
        (scratch / _VECTORS_FILE).unlink()
        return index

    def _about(self) -> dict[str, object]:
        return {"corpus_fingerprint": self._corpus.fingerprint, "embedder": asdict(self._pair.strong.identity)}

    def _is_fitting(self) -> bool:
        """Return whether an earlier reading was of these documents, by this embedder."""
        try:
            return bool(json.loads((self._folder / _ABOUT_FILE).read_text(encoding="utf-8")) == self._about())
        except (OSError, ValueError):
            return False

    def _estimate(self, n: int) -> str:
        if self.seconds_per_text is None:
            return "how long that takes shows after the first ones"
        return f"that takes {in_words(self.seconds_per_text * max(n - self.n_read_before, 0))}"


def in_words(seconds: float) -> str:
    """Return a length of time as people say it."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {round(minutes)} {'minute' if round(minutes) == 1 else 'minutes'}"
    return f"about {round(minutes / 60)} hours"
