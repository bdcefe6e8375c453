"""What one app process holds: settings, database, embedders, and the collections opened so far.

Importing this module is quick; the embedders, which take seconds, are loaded by `prepare` in the background.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from filelock import FileLock, Timeout
from sqlalchemy.orm import Session
from tqdm import tqdm

import storage.collections
import storage.documents
import storage.engine
import storage.queries
from annotation.errors import NotFoundError, NotReadyError
from annotation.indexing import open_library
from annotation.library import Library
from annotation.settings import Settings
from annotation.standings import Standings
from era.corpus import Corpus
from era.embedders import EmbedderPair
from era.errors import EraError
from era.progress import Progress
from era.types import Document, Query
from storage.errors import DataFolderNotWritable, StorageError

logger = logging.getLogger(__name__)

_QUERIES_AHEAD = 500

PairLoader = Callable[[str], EmbedderPair]


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far the background preparation is; `message` is for the person at the screen."""

    state: Literal["preparing", "ready", "failed"]
    message: str
    fraction: float


class Workspace:
    """The app's state for one process; everything that people do goes through the workflows that take one."""

    def __init__(self, settings: Settings, load_pair: PairLoader) -> None:
        """Open the data folder and its database.

        Args:
            settings: of this process.
            load_pair: loads the embedders onto a torch device; called once, in the background.

        Raises:
            StorageError: if the folder is not writable or used by another process, or the database not readable.
        """
        self.settings = settings
        self.folder = settings.data_folder
        self._lock_file = _lock(self.folder)
        self._engine = storage.engine.open_database(self.folder / "era.sqlite3")
        self._writing = storage.engine.session_factory(self._engine)
        self._reading = storage.engine.reading_session_factory(self._engine)
        self._load_pair = load_pair
        self._pair: EmbedderPair | None = None
        self._libraries: dict[int, Library] = {}
        self._standings: dict[int, Standings] = {}
        self._opening = threading.Lock()
        self._turn = threading.Lock()  # to write
        self.device_name: str | None = None  # known once torch is loaded
        self.readiness = Readiness("preparing", "Starting", 0.0)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session that commits at the end, or leaves everything as it was if anything is raised.

        One at a time: SQLite lets one write anyway, and waiting in line here is quicker than by its retries.
        """
        with storage.engine.plain_errors(self._engine), self._turn, self._writing.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only reads; it neither waits nor holds anyone up."""
        with storage.engine.plain_errors(self._engine), self._reading.begin() as session:
            yield session

    def standings(self, label_set_id: int) -> Standings:
        """Return what stands in a label set, as of now."""
        board = self._standings.setdefault(label_set_id, Standings(label_set_id))
        with self.reading() as session:
            board.refresh(session)
        return board

    def close(self) -> None:
        """End what still reads documents, close the database, and let another process use the data folder."""
        for library in self._libraries.values():
            library.strong_reading.close()
        storage.engine.close(self._engine)
        self._lock_file.release()

    def collection_folder(self, collection_id: int) -> Path:
        """Return where index and alignment of a collection are kept."""
        return self.folder / "collections" / str(collection_id)

    def adapter_folder(self, training_run_id: int) -> Path:
        """Return where the adapter of a training run is kept."""
        return self.folder / "adapters" / f"run-{training_run_id}"

    def prepare(self) -> None:
        """Load the embedders and open every collection; meant for a background thread, reports in `readiness`."""
        started = time.monotonic()
        try:
            self._say("Loading the embedders", 0.05)
            from era.devices import choose_device, describe_device  # torch: seconds, so not before the page is there

            device = choose_device(self.settings.device)
            self.device_name = describe_device(device)
            self._pair = self._load_pair(device)
            with self.reading() as session:
                collections = storage.collections.list_all(session)
            for collection in collections:
                self._say(f"Opening {collection.name}", 0.4)
                self.library(collection.id, self._reporter(f"Reading {collection.name}", 0.4, 0.6))
            self.readiness = Readiness("ready", "Ready to search", 0.6)
            logger.info("Ready to search after %.1f s.", time.monotonic() - started)
        except Exception as error:
            logger.exception("Preparation failed")
            reason = str(error) if isinstance(error, EraError | StorageError | ValueError) else ""
            self.readiness = Readiness("failed", reason or f"{type(error).__name__}: {error}", 0.0)
            return
        try:
            for collection in collections[:1]:  # the one used last; others align when they are trained
                self._align(collection.id, collection.name)
        except Exception:
            logger.exception("Alignment failed; the light model alone and earlier training runs can be used.")
        self.readiness = Readiness("ready", "", 1.0)

    def _align(self, collection_id: int, name: str) -> None:
        """Align, then embed the stored queries, so that the first training and comparison need not wait for it."""
        library = self.library(collection_id)
        library.aligned(self._reporter(f"Aligning {name}", 0.6, 1.0, state="ready"))
        self.readiness = Readiness("ready", "", 1.0)
        with self.reading() as session:
            listed = storage.queries.list_all(session, collection_id)
        for query in listed[:_QUERIES_AHEAD]:
            library.pair.encode_queries([Query("", query.text, query.instruction)])

    def library(self, collection_id: int, progress: Progress | None = None) -> Library:
        """Return an opened collection, opening it if need be.

        Raises:
            NotReadyError: if the embedders are still being loaded, or could not be.
            UnknownRecord: if there is no such collection.
        """
        if collection_id in self._libraries:
            return self._libraries[collection_id]
        if self._pair is None:
            if self.readiness.state == "failed":
                raise NotReadyError(self.readiness.message)
            raise NotReadyError("The embedders are still being loaded. Try again in a few seconds; nothing is lost.")
        with self._opening:
            if collection_id not in self._libraries:
                self._libraries[collection_id] = self._open(collection_id, self._pair, progress or self._quiet)
            return self._libraries[collection_id]

    def close_library(self, collection_id: int) -> None:
        """Forget an opened collection, whose documents or embedders have changed; it is opened anew when asked for."""
        with self._opening:
            library = self._libraries.pop(collection_id, None)
        if library is not None:
            library.strong_reading.close()

    def opened(self, collection_id: int) -> Library | None:
        """Return the collection if it is open already."""
        return self._libraries.get(collection_id)

    def _open(self, collection_id: int, pair: EmbedderPair, progress: Progress) -> Library:
        with self.reading() as session:
            record = storage.collections.get(session, collection_id)
            rows = storage.documents.iter_all(session, collection_id)
            corpus = Corpus(Document(row.doc_id, row.title, row.text) for row in rows)
        library, is_new = open_library(
            corpus, record.corpus_fingerprint, pair, self.collection_folder(collection_id), progress
        )
        if is_new:
            with self.writing() as session:
                storage.collections.set_index(
                    session,
                    collection_id,
                    corpus_fingerprint=corpus.fingerprint,
                    n_documents=len(corpus),
                    document_embedder=library.index.embedder.to_json(),
                )
        return library

    def _say(self, message: str, fraction: float, state: Literal["preparing", "ready"] = "preparing") -> None:
        self.readiness = Readiness(state, message, fraction)
        logger.info("%s …", message)

    def _reporter(
        self, message: str, low: float, high: float, state: Literal["preparing", "ready"] = "preparing"
    ) -> Progress:
        """Return a progress that moves the page's readiness from `low` to `high`, and a bar in the terminal."""
        bar: tqdm[NoReturn] | None = None

        def report(stage: str, fraction: float, detail: str = "") -> None:
            nonlocal bar
            self.readiness = Readiness(state, f"{message}: {detail}", low + (high - low) * fraction)
            if bar is None:
                bar = tqdm(total=100, desc=message, bar_format="{desc} {percentage:3.0f}% {bar:30} {elapsed}")
            bar.update(100 * fraction - bar.n)
            if fraction >= 1:
                bar.close()

        return report

    @staticmethod
    def _quiet(stage: str, fraction: float, detail: str = "") -> None:
        logger.debug("%s %.2f %s", stage, fraction, detail)


def find_training_run(workspace: Workspace, training_run_id: int) -> Path:
    """Return the folder of a training run's adapter.

    Raises:
        NotFoundError: if it left none.
    """
    folder = workspace.adapter_folder(training_run_id)
    if not folder.is_dir():
        raise NotFoundError("This training run left no adapter. Choose a finished one, or train again.")
    return folder


def _lock(folder: Path) -> FileLock:
    """Keep a second process away: it would take this one's running training for a leftover."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "app.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StorageError(
            f"Another ERA is using the data folder {folder}. Stop that one, or set ERA_DATA_DIR to another folder."
        ) from error
    except OSError as error:
        raise DataFolderNotWritable(folder, error.strerror or str(error)) from error
    return lock
