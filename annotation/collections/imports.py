"""Imports: asked for on a page, done one after the other as jobs in the background, kept across restarts.

What is being imported is not seen until it is complete; what is cancelled, or cannot be read, leaves nothing.
"""

import logging
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.orm import Session

import storage.collections
import storage.jobs
from annotation.collections.import_source import check_name, collect, discard_staging, finish_deletions
from annotation.collections.preparation import align
from annotation.collections.update import UpdateMode, exchange, require_arranger, update
from annotation.errors import AnnotationError, InvalidInputError, NotAllowedError, NotReadyError
from annotation.jobs.child import IMPORTING, source_apart
from annotation.jobs.progress import Reporter
from annotation.jobs.worker import Done, Kind, Lane, require_place
from annotation.people.permissions import require, why_not_manage
from annotation.workspace import Workspace
from era.encoders.spec import BUNDLED, PairSpec
from era.errors import Cancelled, EraError, FormatError, SourceUnreachable
from era.io.content import Source
from era.io.opening import AS_THEY_LOOK, Choices, is_hub_name, open_hub, open_source
from storage.errors import NameTaken, StorageError, UnknownRecord
from storage.records import IMPORTS, CollectionState, JobKind, JobRecord, JobState, NewJob

logger = logging.getLogger(__name__)

_OVER = (JobState.FINISHED, JobState.CANCELLED)
_NEVER_GOES_ON = (FormatError, AnnotationError, NameTaken, UnknownRecord)  # trying again would fail again
_MAY_GO_ON = (SourceUnreachable, NotReadyError)  # of these


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What somebody wants imported.

    Attributes:
        kind: a new collection, more documents for one, other documents for one, or other embedders for one.
        name: of a new collection.
        description: of a new collection.
        path: of the uploaded file, zip or folder, which is moved away; empty for a dataset of the hub or for embedders.
        hub: name of a dataset of the Hugging Face Hub.
        config: of that dataset.
        format: a key of `era.io.opening.FORMATS`; empty to find out.
        mapping: the role `id`, `title` or `text` -> the columns chosen for it.
        choices: how to read what can be read in more than one way.
        embedders: a `PairSpec` as JSON; None for the bundled pair of a new collection, or the one it has.
        collection_id: which collection changes; None for a new one.
    """

    kind: Literal["new", "add", "replace", "embedders"]
    name: str = ""
    description: str = ""
    path: str = ""
    hub: str = ""
    config: str = ""
    format: str = ""
    mapping: Mapping[str, Sequence[str]] | None = None
    choices: Choices = AS_THEY_LOOK
    embedders: Mapping[str, Any] | None = None
    collection_id: int | None = None


@dataclass(frozen=True, slots=True)
class ImportJob:
    """An import as a page shows it.

    `text` says what happens and how far it is, `error` why it failed, `remarks` what was left out of what was read.
    `fraction` is of the whole, in [0, 1]. `collection_id` is what it changes or, once it is finished, what it made.
    """

    id: int
    kind: Literal["new", "add", "replace", "embedders"]
    name: str
    state: Literal["queued", "running", "finished", "failed", "cancelled", "interrupted"]
    stage: str
    fraction: float
    text: str
    error: str
    remarks: tuple[str, ...]
    collection_id: int | None
    can_resume: bool
    author: str


def start_import(workspace: Workspace, author: str | None, request: ImportRequest) -> ImportJob:
    """Queue an import; an uploaded file is moved into the data folder, so that a restart loses nothing.

    Raises:
        NotAllowedError: if no one is signed in where that is needed, or the collection is not the person's to change.
        InvalidInputError: if the request lacks something, or too many imports wait.
        NameTaken: if a collection has the name that a new one should get.
        EmbedderUnavailableError: if the embedders are not described as they should be.
        UnknownRecord: if there is no such collection.
    """
    if author is None:
        raise NotAllowedError("Sign in to import documents.")
    name = _check(workspace, author, request)
    if request.embedders is not None:
        PairSpec.from_json(request.embedders)
    arrived = _take_upload(workspace, request.path)
    try:
        with workspace.writing() as session:
            others = storage.jobs.queue(session, IMPORTS)
            require_place(workspace.settings, author, others, "imports")
            what = {key: value for key, value in asdict(request).items() if key not in ("kind", "name", "path")}
            what["file"] = "" if arrived is None else next(arrived.iterdir()).name
            new = NewJob(JobKind(request.kind), author, name, what, request.collection_id)
            job = storage.jobs.create_queued(session, new)
            try:
                staging = storage.collections.add(
                    session,
                    name=name if request.kind == "new" else f".import-{job.id}",
                    description=request.description.strip(),
                    is_demo=False,
                    corpus_fingerprint="",
                    n_documents=0,
                    document_embedder="",
                    embedders=request.embedders if request.kind == "new" else None,
                    state=CollectionState.IMPORTING,
                    created_by=author,
                )
            except NameTaken as error:
                if storage.collections.find_by_name(session, name) is not None:
                    raise
                if any(job.name == name for job in others):
                    raise InvalidInputError(f"{name!r} is being imported already. Choose another name.") from error
                raise InvalidInputError(
                    f"An import named {name!r} has stopped. In the list of imports, in the Collection tab, go on with "
                    "it or remove it; or choose another name."
                ) from error
            job = storage.jobs.set_staging(session, job.id, staging.id)
            if arrived is not None:
                arrived.rename(import_folder(workspace, job.id))
    except BaseException:
        if arrived is not None:
            shutil.rmtree(arrived, ignore_errors=True)
        raise
    return _shown(job)


def list_jobs(workspace: Workspace) -> list[ImportJob]:
    """Return the imports in the order in which they were asked for; what ended well leaves the list at a restart."""
    with workspace.reading() as session:
        return [_shown(job) for job in storage.jobs.list_all(session, IMPORTS)]


def list_changeable(workspace: Workspace, author: str | None) -> set[int]:
    """Return the ids of the imports that a person may cancel, resume or remove."""
    with workspace.reading() as session:
        jobs = storage.jobs.list_all(session, IMPORTS)
        return {job.id for job in jobs if not _why_not(workspace, session, author, job, "cancel")}


def cancel_import(workspace: Workspace, author: str | None, job_id: int) -> ImportJob:
    """Cancel a waiting import, or ask a running one to stop; nothing of it is left then.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        UnknownRecord: if there is no such import.
    """
    _allowed(workspace, author, job_id, "cancel")
    with workspace.writing() as session:
        job = storage.jobs.cancel_request(session, job_id)
    if job.state is JobState.CANCELLED:
        discard(workspace, job)
    return find_job(workspace, job_id)


def resume_import(workspace: Workspace, author: str | None, job_id: int) -> ImportJob:
    """Queue an import again that was interrupted or failed on the way; it goes on where it was.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if there is nothing to go on with, or too many imports wait.
        UnknownRecord: if there is no such import.
    """
    job = _allowed(workspace, author, job_id, "resume")
    if not _can_resume(job):
        raise InvalidInputError("This import cannot be resumed. Start it again with the same file.")
    with workspace.writing() as session:
        require_place(workspace.settings, job.author, storage.jobs.queue(session, IMPORTS), "imports")
        return _shown(storage.jobs.resume(session, job_id))


def dismiss_import(workspace: Workspace, author: str | None, job_id: int) -> None:
    """Take an import that has ended off the list, and delete what it had stored so far.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if it has not ended.
        UnknownRecord: if there is no such import.
    """
    job = _allowed(workspace, author, job_id, "remove")
    if job.state.is_under_way:
        raise InvalidInputError("This import is under way. Cancel it first.")
    discard(workspace, job)
    with workspace.writing() as session:
        storage.jobs.remove(session, job_id)


def find_job(workspace: Workspace, job_id: int) -> ImportJob:
    """Return an import as it stands.

    Raises:
        UnknownRecord: if there is none.
    """
    with workspace.reading() as session:
        return _shown(_get(session, job_id))


def import_folder(workspace: Workspace, job_id: int) -> Path:
    """Return where the uploaded file of an import is kept until the import is done."""
    return workspace.folder / "imports" / str(job_id)


def discard(workspace: Workspace, job: JobRecord) -> None:
    """Delete the uploaded file of an import and all that waits; a collection that is complete is left alone."""
    with workspace.reading() as session:
        staging_id = storage.jobs.get(session, job.id).staging_id
    if staging_id is not None:  # forgotten in the transaction that deletes it, so that this can be tried again
        discard_staging(workspace, staging_id)
    shutil.rmtree(import_folder(workspace, job.id), ignore_errors=True)


def _check(workspace: Workspace, author: str, request: ImportRequest) -> str:
    """Return the name of the collection concerned, having refused what cannot be meant."""
    if request.kind not in IMPORTS:
        raise InvalidInputError(f"There is no import of the kind {request.kind[:40]!r}. Reload the page and try again.")
    if request.kind != "embedders" and bool(request.path) == bool(request.hub):
        raise InvalidInputError("Choose a file to import, or name a dataset of the Hugging Face Hub.")
    if request.hub and not is_hub_name(request.hub):
        raise InvalidInputError("A dataset of the Hugging Face Hub is named like mteb/scifact.")
    if request.kind == "new":
        return check_name(request.name)
    if request.collection_id is None:
        raise InvalidInputError("Choose the collection that should change.")
    if request.kind == "embedders" and request.embedders is None:
        raise InvalidInputError("Choose the embedders that should read the documents.")
    what = "change the embedders" if request.kind == "embedders" else "change the documents"
    require_arranger(workspace, author, request.collection_id, f"{what} of this collection")
    with workspace.reading() as session:
        found = storage.collections.get(session, request.collection_id)
    if found.state is not CollectionState.READY:
        raise InvalidInputError("This collection does not exist any more. Reload the page and choose another.")
    return found.name


def _take_upload(workspace: Workspace, path: str) -> Path | None:
    """Move what was uploaded into a folder of its own among the imports, and return that."""
    if not path:
        return None
    upload = Path(path).resolve()
    if not upload.exists() or not upload.name:
        raise InvalidInputError("The uploaded file is not there any more. Upload it again.")
    arrived = workspace.folder / "imports" / f".arriving-{uuid.uuid4().hex}"
    arrived.mkdir(parents=True)
    shutil.move(upload, arrived / upload.name)
    return arrived


def _get(session: Session, job_id: int) -> JobRecord:
    job = storage.jobs.get(session, job_id)
    if job.kind not in IMPORTS:
        raise UnknownRecord("import", job_id)
    return job


def _allowed(workspace: Workspace, author: str | None, job_id: int, act: str) -> JobRecord:
    """Return an import that a person may cancel, resume or remove."""
    with workspace.reading() as session:
        job = _get(session, job_id)
        require(_why_not(workspace, session, author, job, act))
    return job


def _why_not(workspace: Workspace, session: Session, author: str | None, job: JobRecord, act: str) -> str:
    collection_id = job.staging_id if job.collection_id is None else job.collection_id
    collection = None if collection_id is None else storage.collections.get(session, collection_id)
    return why_not_manage(workspace.settings, author, collection, f"{act} the import of {job.name}", job.author)


def _can_resume(job: JobRecord) -> bool:
    return job.staging_id is not None and job.state in (JobState.INTERRUPTED, JobState.FAILED)


def _shown(job: JobRecord) -> ImportJob:
    texts = {
        JobState.QUEUED: "Waiting for its turn.",
        JobState.RUNNING: job.message or "Starting.",
        JobState.FINISHED: job.message,
        JobState.FAILED: "It failed. Nothing else is concerned.",
        JobState.CANCELLED: "Cancelled. Nothing of it is left.",
        JobState.INTERRUPTED: "Interrupted when the app stopped. What was read until then is kept: resume it.",
    }
    return ImportJob(
        id=job.id,
        kind=job.kind.value,  # type: ignore[arg-type]  # an import's
        name=job.name,
        state=job.state.value,
        stage=job.stage,
        fraction=job.fraction,
        text=texts[job.state],
        error=job.error,
        remarks=tuple(job.remarks),
        collection_id=job.collection_id,
        can_resume=_can_resume(job),
        author=job.author,
    )


def importing(workspace: Workspace) -> Lane:
    """Return how imports are done in the background."""
    kind = Kind(
        do=partial(_import, workspace),
        discard=lambda job: discard(workspace, job),
        never_goes_on=lambda error: isinstance(error, _NEVER_GOES_ON) and not isinstance(error, _MAY_GO_ON),
    )
    return Lane("importing", [dict.fromkeys(IMPORTS, kind)], partial(_sweep, workspace))


def _import(workspace: Workspace, job: JobRecord, progress: Reporter) -> Done:
    while workspace.pairs.device is None and workspace.readiness.state == "preparing":
        progress("waiting", 0.0, "Waiting for the embedders to be loaded")
        time.sleep(0.2)
    staging_id = job.staging_id
    if staging_id is None:
        raise InvalidInputError("What this import had stored is gone. Start it again.")
    spec = _spec_of(workspace, job)
    progress("loading", 0.0, f"Loading {spec.light.label}")
    pair = workspace.pairs.load(spec)
    collection_id = staging_id if job.kind is JobKind.NEW else _target_of(job)
    if job.kind is JobKind.NEW:
        with _opened(workspace, job, progress) as source:
            done = collect(workspace, source, staging_id, job.author, pair.light, progress)
    elif job.kind is JobKind.EMBEDDERS:  # the old index and embedders are used until the new ones are there
        exchange(workspace, collection_id, pair, workspace.collection_folder(staging_id), progress, spec=spec)
        message = f"{spec.light.label} has read every document; {spec.strong.label} reads the queries."
        done = Done(message, (), collection_id, afterwards=workspace.forget_unused_pairs)
    else:
        mode: UpdateMode = "add" if job.kind is JobKind.ADD else "replace"
        with _opened(workspace, job, progress) as source:
            done = update(workspace, collection_id, source, mode, staging_id, job.author, pair, progress, job.id)

    def clear_and_open() -> None:
        done.afterwards()
        if job.kind is not JobKind.NEW:
            discard_staging(workspace, staging_id)
        shutil.rmtree(import_folder(workspace, job.id), ignore_errors=True)
        _open(workspace, collection_id, job.name, progress)

    return replace(done, afterwards=clear_and_open)


def _open(workspace: Workspace, collection_id: int, name: str, progress: Reporter) -> None:
    """Open and align the collection here, so that the first person to look at it does not wait."""
    try:
        align(workspace, collection_id, name, progress.is_closing)
    except Cancelled:
        logger.info("Aligning %s was stopped; it is done when it is needed.", name)
    except (EraError, AnnotationError, StorageError):
        logger.exception("What was imported could not be opened yet; it is opened when somebody looks at it.")


def _spec_of(workspace: Workspace, job: JobRecord) -> PairSpec:
    wanted: Any = job.request.get("embedders")
    if job.kind in (JobKind.NEW, JobKind.EMBEDDERS):
        return BUNDLED if wanted is None else PairSpec.from_json(wanted)
    return workspace.spec_of(_target_of(job))


def _sweep(workspace: Workspace) -> None:
    """Remove what no import can go on with: ended ones, files without an import, collections that no import fills."""
    with workspace.writing() as session:
        jobs = storage.jobs.list_all(session, IMPORTS)
        for job in jobs:
            if job.state in _OVER:
                storage.jobs.remove(session, job.id)
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


def _opened(workspace: Workspace, job: JobRecord, progress: Reporter) -> AbstractContextManager[Source]:
    """Return what was uploaded, or the dataset that was named, once it is entered; it is read in another process."""
    request = job.request
    if request["hub"]:
        about = request["hub"], request["config"], "", request["mapping"]
        return source_apart(request["hub"], IMPORTING, progress.is_over, open_hub, *about)
    path = import_folder(workspace, job.id) / request["file"]
    as_wanted = path, request["format"], request["mapping"], Choices(**request.get("choices", {}))
    return source_apart(path.name, IMPORTING, progress.is_over, open_source, *as_wanted)


def _target_of(job: JobRecord) -> int:
    if job.collection_id is None:
        raise InvalidInputError("The collection that this import should change does not exist any more.")
    return job.collection_id
