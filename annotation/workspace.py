"""What one app process holds: settings, database, embedders, and the collections opened so far.

Importing this module is quick; the embedders, which take seconds, are loaded in the background
(`annotation.collections.preparation`).
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from sqlalchemy.orm import Session

import storage.collections
import storage.documents
import storage.engine
import storage.queries
from annotation.errors import NotFoundError, NotReadyError
from annotation.jobs.child_places import ReadingPlaces
from annotation.labels.current import Standings
from annotation.retrieval.indexing import open_indexed
from annotation.retrieval.loaded_pairs import LoadedPairs, PairLoader
from annotation.retrieval.open_collection import OpenCollection
from annotation.settings import Settings
from era.corpus import Corpus
from era.encoders.base import EmbedderIdentity, EmbedderPair
from era.encoders.spec import BUNDLED, PairSpec
from era.errors import EraError
from era.progress import Progress
from era.types import Document
from storage.backups import LARGEST_BYTES, drop_old, is_due, place_of_next
from storage.errors import DatabaseDamaged, DataFolderNotWritable, StorageError
from storage.integrity import look_over

logger = logging.getLogger(__name__)

_QUERIES_AHEAD = 500
_DATABASE = "era.sqlite3"
_MOMENT_S = 1.0  # after an answer, in which the next question may come


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
            load_pair: loads a pair of embedders onto a torch device; called once for each pair that a collection uses.

        Raises:
            DatabaseDamaged: if the database is; nothing was written into it.
            StorageError: if the folder is not writable or used by another process.
        """
        self.settings = settings
        self.folder = settings.data_folder
        self.damage: DatabaseDamaged | None = None  # found since then; nothing is written any more
        self._lock_file = _lock(self.folder)
        try:
            self._require_content()
            self._engine = storage.engine.open_database(self.folder / _DATABASE)
        except StorageError:
            self._lock_file.release()
            raise
        self._writing = storage.engine.session_factory(self._engine)
        self._reading = storage.engine.reading_session_factory(self._engine)
        self.pairs = LoadedPairs(load_pair)
        self.reading_places = ReadingPlaces()
        self._opened: dict[int, OpenCollection] = {}
        self._standings: dict[int, Standings] = {}
        self._opening = threading.RLock()
        self._n_holding = 0  # who needs collections to stay aligned as they are
        self._n_served = 0  # people who wait for an answer
        self._served_at = 0.0  # when the last of them had it
        self._holding = threading.Lock()  # of these, and of putting another value in its place
        self._turn = threading.Lock()  # to write
        self._at_once = threading.local()  # the session of `reading_at_once`, thread by thread
        self.device_name: str | None = None  # known once torch is loaded
        self.readiness = Readiness("preparing", "Starting", 0.0)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session that commits at the end, or leaves everything as it was if anything is raised.

        One at a time: SQLite lets one write anyway, and waiting in line here is quicker than by its retries.

        Raises:
            DatabaseDamaged: if the database is, as found now or before: writing could make it worse.
            StorageError: if it is busy or cannot be written.
        """
        if self.damage is not None:
            raise self.damage.with_traceback(None)
        with self._noting_damage(), self._turn, self._writing.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only reads, or go on with that of `reading_at_once`; it neither waits nor holds up.

        Raises:
            DatabaseDamaged: if what is read is.
        """
        open_session: Session | None = getattr(self._at_once, "session", None)
        if open_session is not None:
            yield open_session
            return
        with self._noting_damage(), self._reading.begin() as session:
            yield session

    @contextmanager
    def reading_at_once(self) -> Iterator[None]:
        """Let all that this thread reads meanwhile be of one moment, by one session (a read transaction).

        What is written meanwhile is not seen, so a request that writes and then reads what it wrote needs another one.
        """
        before = getattr(self._at_once, "session", None)
        with self.reading() as session:
            self._at_once.session = session
            try:
                yield
            finally:
                self._at_once.session = before

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        """Turn the database's errors into words, and remember damage: every page tells of it from then on."""
        try:
            with storage.engine.plain_errors(self._engine):
                yield
        except DatabaseDamaged as damage:
            self._note(damage)
            raise

    def _note(self, damage: DatabaseDamaged) -> None:
        if self.damage is None:
            self.damage = damage
            logger.error("%s", damage)

    def _require_content(self) -> None:
        """Raise DatabaseDamaged if the database has lost all of its content; an empty file would count as new."""
        path = self.folder / _DATABASE
        was_used = self.collection_folder(0).parent.is_dir() or self.adapter_folder(0).parent.is_dir()
        if was_used and path.is_file() and path.stat().st_size == 0:
            raise DatabaseDamaged(path, "it has no content (0 bytes)")

    def standings(self, label_set_id: int) -> Standings:
        """Return what stands in a label set, as of now."""
        with self.reading() as session:
            return self.standings_in(session, label_set_id)

    def standings_in(self, session: Session, label_set_id: int) -> Standings:
        """Return what stands in a label set, of the snapshot that a reading session sees or newer.

        Never of a writing session: what it has not committed may come to nothing, and would be believed from then on.
        """
        board = self._standings.setdefault(label_set_id, Standings(label_set_id))
        board.refresh(session)
        return board

    def close(self) -> None:
        """Close the database, and let another process use the data folder."""
        storage.engine.close(self._engine)
        self._lock_file.release()

    def back_up(self) -> None:
        """Copy the database beside it if the newest copy is a day old; a damaged one replaces no sound copy."""
        path = self.folder / _DATABASE
        if not is_due(path) or path.stat().st_size > LARGEST_BYTES:
            return
        damage = look_over(path)
        if damage:
            self._note(DatabaseDamaged(path, damage))
            return
        storage.engine.backup_database(self._engine, place_of_next(path))
        drop_old(path)

    def collection_folder(self, collection_id: int) -> Path:
        """Return where index and alignment of a collection are kept."""
        return self.folder / "collections" / str(collection_id)

    def adapter_folder(self, training_run_id: int) -> Path:
        """Return where the adapter of a training run is kept."""
        return self.folder / "adapters" / f"run-{training_run_id}"

    def open(self, collection_id: int, progress: Progress | None = None) -> OpenCollection:
        """Return an opened collection, opening it if need be.

        Raises:
            NotReadyError: if the embedders are still being loaded, or could not be.
            UnknownRecord: if there is no such collection.
        """
        if collection_id in self._opened:
            return self._opened[collection_id]
        if self.pairs.device is None and self.readiness.state == "failed":
            raise NotReadyError(self.readiness.message)
        self.pair_for(collection_id)  # may take long, so not while others wait to open theirs
        with self._opening:
            if collection_id not in self._opened:
                self._opened[collection_id] = self._open(
                    collection_id, self.pair_for(collection_id), progress or self._quiet
                )
            if self.readiness.state == "failed":
                self.readiness = Readiness("ready", "", 1.0)
            return self._opened[collection_id]

    def spec_of(self, collection_id: int) -> PairSpec:
        """Return which embedders a collection uses; the bundled ones if it names none.

        Raises:
            UnknownRecord: if there is no such collection.
            EmbedderUnavailableError: if what was stored cannot be used.
        """
        with self.reading() as session:
            stored = storage.collections.get(session, collection_id).embedders
        return BUNDLED if stored is None else PairSpec.from_json(stored)

    def n_alignment_texts(self, collection_id: int) -> int:
        """Return how many documents of a collection its strong embedder reads in the end, if there are so many.

        Raises:
            UnknownRecord: if there is no such collection.
            EmbedderUnavailableError: if what was stored of its embedders cannot be used.
        """
        return self.settings.n_alignment_texts(self.spec_of(collection_id).strong)

    def pair_for(self, collection_id: int) -> EmbedderPair:
        """Return the embedders of a collection, loading them if need be; they are kept.

        Raises:
            NotReadyError: if they are being loaded, or cannot be.
            UnknownRecord: if there is no such collection.
        """
        try:
            spec = self.spec_of(collection_id)
        except EraError as error:
            raise NotReadyError(str(error)) from error
        return self.pairs.get(spec)

    def use_pair(self, collection_id: int, spec: PairSpec) -> None:
        """Let a collection use other embedders whose light one has read its documents; the index stays as it is.

        Raises:
            IdentityMismatchError: if another embedder has read the documents.
            EraError: if they cannot be loaded; the collection keeps those that it had.
            UnknownRecord: if there is no such collection.
        """
        pair = self.pairs.load(spec)
        with self._opening:
            before = self._opened.get(collection_id)
            with self.writing() as session:
                indexed_by = storage.collections.get(session, collection_id).document_embedder
                if indexed_by:
                    pair.light.identity.require(EmbedderIdentity(**json.loads(indexed_by)), "The document index")
                storage.collections.set_embedders(session, collection_id, spec.to_json())
            if before is not None:
                self._opened[collection_id] = before.with_pair(pair)
        self.forget_unused_pairs()

    @contextmanager
    def exchanging(self, collection_id: int) -> Iterator[None]:
        """Keep the collection from being opened while its files and rows change together; then it is opened anew.

        A workflow that has it open already goes on with what was read before.
        """
        with self._opening:
            yield
            self.close_opened(collection_id)

    def forget_unused_pairs(self) -> None:
        """Let go of embedders that no collection uses any more."""
        with self.reading() as session:
            stored = [collection.embedders for collection in storage.collections.list_all(session)]
        self.pairs.keep_only([BUNDLED if each is None else PairSpec.from_json(each) for each in stored])

    def close_opened(self, collection_id: int) -> None:
        """Forget an opened collection, whose documents or embedders have changed; it is opened anew when asked for."""
        with self._opening:
            self._opened.pop(collection_id, None)
            self._standings.clear()  # marks of documents that are gone count no more, and no mark says so

    @contextmanager
    def holding_alignments(self) -> Iterator[None]:
        """Let collections stay aligned as they are, for a workflow that opens one several times."""
        with self._holding:
            self._n_holding += 1
        try:
            yield
        finally:
            with self._holding:
                self._n_holding -= 1

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer a person; what can wait waits meanwhile, and for a moment longer, since people go on asking."""
        with self._holding:
            self._n_served += 1
        try:
            yield
        finally:
            with self._holding:
                self._n_served -= 1
                self._served_at = time.monotonic()

    @property
    def is_serving(self) -> bool:
        """Return whether a person waits for an answer, or had one a moment ago."""
        return self._n_served > 0 or time.monotonic() - self._served_at < _MOMENT_S

    def replace_opened(self, collection_id: int, before: OpenCollection, after: OpenCollection) -> bool:
        """Put a collection aligned by more texts in the place of the opened one; those who hold that go on with it.

        Returns:
            Whether it was done: not while `holding_alignments`, and not if `before` is not the opened one any more.
        """
        with self._opening, self._holding:
            if self._n_holding or self._opened.get(collection_id) is not before:
                return False
            self._opened[collection_id] = after
            return True

    def opened(self, collection_id: int) -> OpenCollection | None:
        """Return the collection if it is open already."""
        return self._opened.get(collection_id)

    def _open(self, collection_id: int, pair: EmbedderPair, progress: Progress) -> OpenCollection:
        with self.reading() as session:
            record = storage.collections.get(session, collection_id)
            rows = storage.documents.iter_all(session, collection_id)
            corpus = Corpus(Document(row.doc_id, row.title, row.text) for row in rows)
        opened, is_new = open_indexed(
            corpus, record.corpus_fingerprint, pair, self.collection_folder(collection_id), progress
        )
        if is_new:
            with self.writing() as session:
                storage.collections.set_index(
                    session,
                    collection_id,
                    corpus_fingerprint=corpus.fingerprint,
                    n_documents=len(corpus),
                    document_embedder=opened.index.embedder.to_json(),
                )
        return opened

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
