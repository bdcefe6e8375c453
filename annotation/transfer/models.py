"""The adapted query encoder as a sentence-transformers model: as a zip file, or pushed to the Hugging Face Hub."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import storage.collections
import storage.training_runs
from annotation.errors import AnnotationError, InvalidInputError, NotAllowedError
from annotation.people.permissions import is_alone
from annotation.transfer.files import ExportFile, file_name, files_in, new_export, zip_folder
from annotation.workspace import Workspace, find_training_run
from era.export.model_card import CardFacts, model_card
from era.export.sentence_model import require_exportable, save_model
from era.trained_adapter import TrainedAdapter

if TYPE_CHECKING:
    from huggingface_hub import HfApi

COMMIT_MESSAGE = "Query encoder adapted with ERA"


class HubError(AnnotationError):
    """The Hugging Face Hub did not take what was to be pushed."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What is, or would be, on the Hugging Face Hub.

    Attributes:
        repo_id: owner and name of the repository.
        url: its address.
        is_private: whether only its owner sees it.
        is_dry_run: whether nothing was sent.
        files: name and size in bytes of each file.
        n_bytes: of all files.
        remarks: what a person should know, in complete sentences.
    """

    repo_id: str
    url: str
    is_private: bool
    is_dry_run: bool
    files: tuple[tuple[str, int], ...]
    n_bytes: int
    remarks: tuple[str, ...]


def export_model(workspace: Workspace, author: str | None, run_id: int) -> ExportFile:
    """Return a zip file with the model's folder in it; `SentenceTransformer(folder)` loads it anywhere.

    Raises:
        NotAllowedError: if no one is signed in where that is needed: a model is large.
        NotExportableError: if the recipe gives no single linear map, or an embedder is no sentence-transformers model.
        NotFoundError: if the run left no adapter.
        UnknownRecord: if there is no such run.
        IdentityMismatchError: if other embedders are loaded by now.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to take a model out.")
    name, made = _name_of(workspace, run_id), new_export(workspace)
    try:
        _write_model(workspace, run_id, made / "model", name)
        zip_folder(made / "model", made / "model.zip", name)
        shutil.rmtree(made / "model")
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return ExportFile(f"{name}.zip", made / "model.zip", "application/zip")


def push_model(
    workspace: Workspace,
    author: str | None,
    run_id: int,
    repo_id: str,
    is_private: bool = True,
    is_dry_run: bool = False,
    api: "HfApi | None" = None,
) -> PushPlan:
    """Push the model to the Hugging Face Hub, or say what would be pushed.

    The access token is the one of this machine (`hf auth login`, or HF_TOKEN), which huggingface_hub reads by itself;
    so only the person who runs the app can push. A dry run makes the same files and asks no server.

    Args:
        workspace: of this process.
        author: who pushes; None if no one is signed in where that is needed.
        run_id: of a finished training run.
        repo_id: `owner/name`, or a name alone for the token's owner; made if it does not exist.
        is_private: whether a new repository is private; one that exists has to be private too, then.
        is_dry_run: whether nothing is sent.
        api: of the Hub; the usual one if None.

    Raises:
        NotAllowedError: if no one is signed in, or several people use the app.
        InvalidInputError: if there cannot be a repository of that name.
        HubError: if the Hub cannot be reached or refuses.
        NotExportableError: as for `export_model`, and so for its other errors.
    """
    if author is None:
        raise NotAllowedError("Sign in to push a model.")
    if not is_dry_run and not is_alone(workspace.settings):
        raise NotAllowedError(
            "Pushing uses the access token of the machine that runs this app, so only an app that one person uses at "
            "their own machine can push. Take the model out as a file, and push it with `hf upload`."
        )
    _require_repo_id(repo_id)
    made = new_export(workspace)
    try:
        _write_model(workspace, run_id, made / "model", repo_id)
        files = tuple(
            (file.relative_to(made / "model").as_posix(), file.stat().st_size) for file in files_in(made / "model")
        )
        url = f"https://huggingface.co/{repo_id}"
        remarks = ("Nothing was sent. The access token is not checked before the model is pushed.",)
        if not is_dry_run:
            repo_id, url = _send(api, made / "model", repo_id, is_private)
            remarks = (f"Pushed to {url}",)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return PushPlan(repo_id, url, is_private, is_dry_run, files, sum(size for _, size in files), remarks)


def _send(api: "HfApi | None", folder: Path, repo_id: str, is_private: bool) -> tuple[str, str]:
    """Return the full name and the address of the repository that now holds the folder."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    [http_error] = [base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"]  # of its web client
    refused: tuple[type[Exception], ...] = (LocalTokenNotFoundError, OfflineModeIsEnabled, http_error)
    api = api or HfApi(library_name="era")
    try:
        made = api.create_repo(repo_id, private=is_private, exist_ok=True, repo_type="model")
        if is_private and not api.model_info(made.repo_id).private:
            raise HubError(
                f"{made.repo_id} exists already and everybody can see it, so nothing was pushed. Choose another name, "
                "or push it publicly."
            )
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message=COMMIT_MESSAGE, repo_type="model")
    except refused as error:
        _raise_in_words(error, repo_id)
    return made.repo_id, str(made.url)


def _raise_in_words(error: Exception, repo_id: str) -> NoReturn:
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403) or type(error).__name__ == "LocalTokenNotFoundError":
        raise HubError(
            f"The Hugging Face Hub does not let this machine write to {repo_id}. Sign in with `hf auth login` (a token "
            "that may write), or choose a repository of your own; the model was not pushed."
        ) from error
    if status is not None:
        raise HubError(
            f"The Hugging Face Hub answered with an error ({status}), so the push is not complete. Try again later."
        ) from error
    raise HubError(
        "The Hugging Face Hub cannot be reached from this machine, so nothing was pushed. Take the model out as a file "
        "instead, or try again once there is a connection."
    ) from error


def _require_repo_id(repo_id: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise InvalidInputError(
            f"There cannot be a repository named {repo_id[:100]!r}. Write owner/name, with letters, digits, hyphens, "
            "dots and underscores."
        ) from error


def _write_model(workspace: Workspace, run_id: int, folder: Path, model_name: str) -> None:
    with workspace.reading() as session:
        run = storage.training_runs.get(session, run_id)
        collection = storage.collections.get(session, run.collection_id)
    adapter_folder = find_training_run(workspace, run_id)
    require_exportable(TrainedAdapter.load(adapter_folder).adapter)  # the plainest reason first
    opened = workspace.open(run.collection_id)
    retriever, _ = opened.trained(adapter_folder)
    provenance = retriever.adapter.provenance
    card = model_card(
        CardFacts(
            title=f"Query encoder for {collection.name} (run {run.number})",
            strong=opened.pair.strong.identity,
            light=opened.pair.light.identity,
            recipe=run.recipe,
            seed=run.seed,
            collection=collection.name,
            n_documents=collection.n_documents,
            n_queries=run.n_queries,
            n_relevant=run.n_relevant,
            n_not_relevant=run.n_not_relevant,
            labels_hash=run.snapshot_hash,
            measures=run.measures or {},
            index_fingerprint=str(provenance.get("index_fingerprint", "")),
            corpus_fingerprint=str(provenance.get("corpus_fingerprint", "")),
            versions={str(name): str(number) for name, number in provenance.get("versions", {}).items()},
            model_name=model_name,
        )
    )
    save_model(opened.pair, retriever.adapter, folder, card)


def _name_of(workspace: Workspace, run_id: int) -> str:
    with workspace.reading() as session:
        run = storage.training_runs.get(session, run_id)
        collection = storage.collections.get(session, run.collection_id)
    return file_name(collection.name, f"run-{run.number}", "query-encoder", ending="")
