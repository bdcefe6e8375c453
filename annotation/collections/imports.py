"""Imports that take long: asked for on a page, done one after the other in the background, kept across restarts.

What is being imported is seen by nobody until it is complete; what is cancelled, or cannot be read, leaves nothing.
The thread that does the work is in `annotation.collections.import_worker`.
"""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import storage.collections
import storage.import_jobs
from annotation.collections.import_now import import_now as import_now
from annotation.collections.import_source import discard_staging
from annotation.collections.update import require_arranger
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.jobs.fair_share import require_place
from annotation.people.permissions import require, why_not_manage
from annotation.workspace import Workspace
from era.encoders.spec import PairSpec
from era.io.opening import AS_THEY_LOOK, Choices, is_hub_name
from storage.errors import NameTaken
from storage.records import CollectionState, ImportJobRecord, ImportKind, ImportState, NewImportJob

MAX_NAME_LENGTH = 80
_UNDER_WAY = (ImportState.QUEUED, ImportState.RUNNING)


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
        NotAllowedError: if nobody is signed in where that is needed, or the collection is not the person's to change.
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
            others = storage.import_jobs.list_all(session)
            require_place(workspace.settings, author, _waiting(others), "imports")
            what = {key: value for key, value in asdict(request).items() if key not in ("kind", "name", "path")}
            what["file"] = "" if arrived is None else next(arrived.iterdir()).name
            new = NewImportJob(ImportKind(request.kind), name, what, author, request.collection_id)
            job = storage.import_jobs.create_queued(session, new)
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
                if any(job.name == name and job.state in _UNDER_WAY for job in others):
                    raise InvalidInputError(f"{name!r} is being imported already. Choose another name.") from error
                raise InvalidInputError(
                    f"An import named {name!r} has stopped. In the list of imports, in the Collection tab, go on with "
                    "it or remove it; or choose another name."
                ) from error
            job = storage.import_jobs.set_staging(session, job.id, staging.id)
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
        return [_shown(job) for job in storage.import_jobs.list_all(session)]


def list_changeable(workspace: Workspace, author: str | None) -> set[int]:
    """Return the ids of the imports that a person may cancel, resume or remove."""
    with workspace.reading() as session:
        jobs = storage.import_jobs.list_all(session)
    return {job.id for job in jobs if not _why_not(workspace, author, job, "cancel")}


def cancel_import(workspace: Workspace, author: str | None, job_id: int) -> ImportJob:
    """Cancel a waiting import, or ask a running one to stop; nothing of it is left then.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        UnknownRecord: if there is no such import.
    """
    _require_allowed(workspace, author, job_id, "cancel")
    with workspace.writing() as session:
        job = storage.import_jobs.cancel_request(session, job_id)
    if job.state is ImportState.CANCELLED:
        discard(workspace, job)
    return find_job(workspace, job_id)


def resume_import(workspace: Workspace, author: str | None, job_id: int) -> ImportJob:
    """Queue an import again that was interrupted or failed on the way; it goes on where it was.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if there is nothing to go on with, or too many imports wait.
        UnknownRecord: if there is no such import.
    """
    _require_allowed(workspace, author, job_id, "resume")
    if not find_job(workspace, job_id).can_resume:
        raise InvalidInputError("This import cannot be resumed. Start it again with the same file.")
    with workspace.writing() as session:
        owner = storage.import_jobs.get(session, job_id).author
        require_place(workspace.settings, owner, _waiting(storage.import_jobs.list_all(session)), "imports")
        return _shown(storage.import_jobs.resume(session, job_id))


def dismiss_import(workspace: Workspace, author: str | None, job_id: int) -> None:
    """Take an import that has ended off the list, and delete what it had stored so far.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if it has not ended.
        UnknownRecord: if there is no such import.
    """
    _require_allowed(workspace, author, job_id, "remove")
    with workspace.reading() as session:
        job = storage.import_jobs.get(session, job_id)
    if job.state in _UNDER_WAY:
        raise InvalidInputError("This import is under way. Cancel it first.")
    discard(workspace, job)
    with workspace.writing() as session:
        storage.import_jobs.remove(session, job_id)


def find_job(workspace: Workspace, job_id: int) -> ImportJob:
    """Return an import as it stands.

    Raises:
        UnknownRecord: if there is none.
    """
    with workspace.reading() as session:
        return _shown(storage.import_jobs.get(session, job_id))


def import_folder(workspace: Workspace, job_id: int) -> Path:
    """Return where the uploaded file of an import is kept until the import is done."""
    return workspace.folder / "imports" / str(job_id)


def discard(workspace: Workspace, job: ImportJobRecord) -> None:
    """Delete the uploaded file of an import and all that waits; a collection that is complete is left alone."""
    with workspace.reading() as session:
        staging_id = storage.import_jobs.get(session, job.id).staging_id
    if staging_id is not None:  # forgotten in the transaction that deletes it, so that this can be tried again
        discard_staging(workspace, staging_id)
    shutil.rmtree(import_folder(workspace, job.id), ignore_errors=True)


def check_name(name: str) -> str:
    """Return the name of a collection without needless blanks.

    Raises:
        InvalidInputError: if it is empty, too long, or begins with a full stop.
    """
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_LENGTH or name.startswith("."):
        raise InvalidInputError(f"A collection needs a name of 1 to {MAX_NAME_LENGTH} letters that begins with no dot.")
    return name


def _check(workspace: Workspace, author: str, request: ImportRequest) -> str:
    """Return the name of the collection concerned, having refused what cannot be meant."""
    if request.kind not in tuple(ImportKind):
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


def _require_allowed(workspace: Workspace, author: str | None, job_id: int, act: str) -> None:
    with workspace.reading() as session:
        job = storage.import_jobs.get(session, job_id)
    require(_why_not(workspace, author, job, act))


def _why_not(workspace: Workspace, author: str | None, job: ImportJobRecord, act: str) -> str:
    collection_id = job.staging_id if job.collection_id is None else job.collection_id
    with workspace.reading() as session:
        collection = None if collection_id is None else storage.collections.get(session, collection_id)
    return why_not_manage(workspace.settings, author, collection, f"{act} the import of {job.name}", job.author)


def _waiting(jobs: Sequence[ImportJobRecord]) -> list[str]:
    """Return whose imports wait for their turn."""
    return [job.author for job in jobs if job.state is ImportState.QUEUED]


def _shown(job: ImportJobRecord) -> ImportJob:
    texts = {
        ImportState.QUEUED: "Waiting for its turn.",
        ImportState.RUNNING: job.message or "Starting.",
        ImportState.FINISHED: job.message,
        ImportState.FAILED: "It failed. Nothing else is concerned.",
        ImportState.CANCELLED: "Cancelled. Nothing of it is left.",
        ImportState.INTERRUPTED: "Interrupted when the app stopped. What was read until then is kept: resume it.",
    }
    can_resume = job.staging_id is not None and job.state in (ImportState.INTERRUPTED, ImportState.FAILED)
    return ImportJob(
        id=job.id,
        kind=job.kind.value,
        name=job.name,
        state=job.state.value,
        stage=job.stage,
        fraction=job.fraction,
        text=texts[job.state],
        error=job.error,
        remarks=tuple(job.remarks),
        collection_id=job.collection_id,
        can_resume=can_resume,
        author=job.author,
    )
