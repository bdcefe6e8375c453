"""The one thread that imports: takes what is queued, one after the other, and writes down how each ended."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import storage.collections
import storage.import_jobs
from annotation.collections.import_progress import ImportReporter
from annotation.collections.import_source import collect, counted, discard_staging
from annotation.collections.imports import discard, import_folder
from annotation.collections.manage import finish_deletions
from annotation.collections.preparation import align
from annotation.collections.reindex import exchange
from annotation.collections.update import UpdateMode, update
from annotation.errors import AnnotationError, InvalidInputError, NotReadyError
from annotation.jobs.child import IMPORTING, source_apart
from annotation.workspace import Workspace
from era.encoders.spec import BUNDLED, PairSpec
from era.errors import Cancelled, EraError, FormatError, SourceUnreachable
from era.io.content import Source
from era.io.opening import Choices, open_hub, open_source
from storage.errors import NameTaken, StorageError, UnknownRecord
from storage.records import CollectionState, ImportJobRecord, ImportKind, ImportState

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_PAUSE_S = 2.0  # after a database that could not be used
_TRIES = 3  # of what fails for another reason
_OVER = (ImportState.FINISHED, ImportState.CANCELLED)
_NEVER_GOES_ON = (FormatError, AnnotationError, NameTaken, UnknownRecord)  # trying again would fail again
_MAY_GO_ON = (SourceUnreachable, NotReadyError)  # of these
_NOT_REMOVED = "What it had stored could not be removed; the terminal has the details. Remove it from the list."


class ImportWorker:
    """The one thread that imports; it looks for work every second, or at once when it is `poke`d."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="importing", daemon=True)

    def start(self) -> None:
        """Mark what a killed process left behind as interrupted, remove what nobody can go on with, then begin."""
        with self._workspace.writing() as session:
            n_left = storage.import_jobs.mark_interrupted_all_running(session)
        if n_left:
            logger.warning("%s interrupted when the app stopped; resume it when you like.", counted(n_left, "import"))
        sweep(self._workspace)
        self._thread.start()

    def poke(self) -> None:
        """Look for work now."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the current step; an import under way becomes interrupted at the next start."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                while not self._closing.is_set() and self._do_next():
                    pass
            except Exception:  # the database is locked or full: what is queued stays so
                logger.exception("The imports could not be looked at; trying again")
                self._closing.wait(_PAUSE_S)
            self._wake.wait(_LOOK_EVERY_S)
            self._wake.clear()

    def _do_next(self) -> bool:
        """Do one import; return whether there was one."""
        with self._workspace.reading() as session:
            if not any(job.state is ImportState.QUEUED for job in storage.import_jobs.list_all(session)):
                return False
        with self._workspace.writing() as session:
            job = storage.import_jobs.claim_next(session)
        if job is None:
            return False
        try:
            self._import(job)
        except Cancelled:
            if not self._closing.is_set():
                self._insist(job, lambda: self._cancel(job), _NOT_REMOVED)
        except (EraError, StorageError, AnnotationError) as error:
            logger.exception("The import of %s failed", job.name)
            message, is_over = str(error), isinstance(error, _NEVER_GOES_ON) and not isinstance(error, _MAY_GO_ON)
            self._insist(job, lambda: self._fail(job, message, is_over), message)
        except OSError as error:
            logger.exception("The import of %s failed", job.name)
            message = f"A file could not be read or written ({error}). Look at the disk, then resume the import."
            self._insist(job, lambda: self._fail(job, message, is_over=False), message)
        except BaseException as error:  # a library that panics in Rust raises what is no Exception
            logger.exception("The import of %s failed", job.name)
            message = f"Something unexpected went wrong ({type(error).__name__}); the terminal has the details."
            self._insist(job, lambda: self._fail(job, message, is_over=False), message)
        return True

    def _import(self, job: ImportJobRecord) -> None:
        workspace = self._workspace
        progress = ImportReporter(workspace, job.id, self._closing.is_set)
        self._wait_until_ready(progress)
        staging_id = job.staging_id
        if staging_id is None:
            raise InvalidInputError("What this import had stored is gone. Start it again.")
        spec = self._spec_of(job)
        progress("loading", 0.0, f"Loading {spec.light.label}")
        pair = workspace.pairs.load(spec)
        if job.kind is ImportKind.NEW:
            collection_id = staging_id
            with _opened(workspace, job, progress) as source:
                collect(workspace, source, staging_id, job.author, pair.light, progress, job.id)
        else:
            collection_id = _target_of(job)
            if job.kind is ImportKind.EMBEDDERS:
                self._read_again(job, collection_id, staging_id, spec, progress)
            else:
                mode: UpdateMode = "add" if job.kind is ImportKind.ADD else "replace"
                with _opened(workspace, job, progress) as source:
                    update(workspace, collection_id, source, mode, staging_id, job.author, pair, progress, job.id)
            self._insist(job, lambda: discard_staging(workspace, staging_id), _NOT_REMOVED)
        shutil.rmtree(import_folder(workspace, job.id), ignore_errors=True)
        self._open(collection_id, job.name)

    def _read_again(
        self, job: ImportJobRecord, collection_id: int, staging_id: int, spec: PairSpec, progress: ImportReporter
    ) -> None:
        """Index a collection by another embedder; the old index and embedders are used until then."""
        workspace = self._workspace
        folder = workspace.collection_folder(staging_id)
        exchange(workspace, collection_id, workspace.pairs.load(spec), folder, progress, spec=spec)
        message = f"{spec.light.label} has read every document; {spec.strong.label} reads the queries."
        with workspace.writing() as session:
            storage.import_jobs.finish(session, job.id, collection_id=collection_id, message=message, remarks=[])
        workspace.forget_unused_pairs()

    def _spec_of(self, job: ImportJobRecord) -> PairSpec:
        wanted: Any = job.request.get("embedders")
        if job.kind in (ImportKind.NEW, ImportKind.EMBEDDERS):
            return BUNDLED if wanted is None else PairSpec.from_json(wanted)
        return self._workspace.spec_of(_target_of(job))

    def _open(self, collection_id: int, name: str) -> None:
        """Open and align the collection here, so that the first person to look at it does not wait."""
        try:
            align(self._workspace, collection_id, name, self._closing.is_set)
        except Cancelled:
            logger.info("Aligning %s was stopped; it is done when it is needed.", name)
        except (EraError, AnnotationError, StorageError):
            logger.exception("What was imported could not be opened yet; it is opened when somebody looks at it.")

    def _cancel(self, job: ImportJobRecord) -> None:
        """Keep nothing of a cancelled import; where the request came after its end, it stays as it is."""
        if self._is_running(job):
            discard(self._workspace, job)
            with self._workspace.writing() as session:
                storage.import_jobs.mark_cancelled(session, job.id)

    def _fail(self, job: ImportJobRecord, message: str, is_over: bool) -> None:
        """Write down why an import failed; where trying again would not help, nothing of it is kept."""
        if self._is_running(job):
            if is_over:
                discard(self._workspace, job)
            with self._workspace.writing() as session:
                storage.import_jobs.fail(session, job.id, message)

    def _is_running(self, job: ImportJobRecord) -> bool:
        with self._workspace.reading() as session:
            return storage.import_jobs.get(session, job.id).state is ImportState.RUNNING

    def _insist(self, job: ImportJobRecord, action: Callable[[], None], message: str) -> None:
        """Do it, again after a pause while the database cannot be used.

        What fails for another reason is tried a few times; then the import has failed by `message`, and keeps all.
        """
        n_failed = 0
        while not self._closing.is_set() and n_failed < 2 * _TRIES:
            try:
                action()
            except Exception as error:  # whatever it was, the next import has to have its turn
                logger.exception("The import of %s could not be ended; trying again", job.name)
                n_failed += not isinstance(error, StorageError)
            else:
                return
            if n_failed == _TRIES:
                action = partial(self._fail, job, message, is_over=False)
            self._closing.wait(_PAUSE_S)

    def _wait_until_ready(self, progress: ImportReporter) -> None:
        while self._workspace.pairs.device is None and self._workspace.readiness.state == "preparing":
            progress("waiting", 0.0, "Waiting for the embedders to be loaded")
            time.sleep(0.2)


def sweep(workspace: Workspace) -> None:
    """Remove what no import can go on with: ended ones, files without an import, collections that nobody fills."""
    with workspace.writing() as session:
        jobs = storage.import_jobs.list_all(session)
        for job in jobs:
            if job.state in _OVER:
                storage.import_jobs.remove(session, job.id)
    kept = [job for job in jobs if job.state not in _OVER]
    with workspace.reading() as session:
        begun = storage.collections.list_in_state(session, CollectionState.IMPORTING)
    for staging in begun:
        if staging.id not in {job.staging_id for job in kept}:
            discard_staging(workspace, staging.id)
    folders: list[Path] = list(import_folder(workspace, 0).parent.glob("*"))
    for folder in folders:
        if folder.name not in {str(job.id) for job in kept}:
            shutil.rmtree(folder, ignore_errors=True)
    finish_deletions(workspace)


def _opened(workspace: Workspace, job: ImportJobRecord, progress: ImportReporter) -> AbstractContextManager[Source]:
    """Return what was uploaded, or the dataset that was named, once it is entered; it is read in another process."""
    request = job.request
    if request["hub"]:
        about = request["hub"], request["config"], "", request["mapping"]
        return source_apart(request["hub"], IMPORTING, progress.is_over, open_hub, *about)
    path = import_folder(workspace, job.id) / request["file"]
    as_wanted = path, request["format"], request["mapping"], Choices(**request.get("choices", {}))
    return source_apart(path.name, IMPORTING, progress.is_over, open_source, *as_wanted)


def _target_of(job: ImportJobRecord) -> int:
    if job.collection_id is None:
        raise InvalidInputError("The collection that this import should change does not exist any more.")
    return job.collection_id
