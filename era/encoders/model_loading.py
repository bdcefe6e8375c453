"""Load sentence-transformers models by name or folder: weights from safetensors only, and never a model's own code.

A model of the Hugging Face Hub is first copied whole, so that nothing but known kinds of files arrives and the commit
is known; without a network, what was copied earlier is used.
"""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from era.encoders.base import SentenceTransformerEmbedder
from era.encoders.cache import VectorCache
from era.encoders.spec import EmbedderSpec
from era.errors import EmbedderUnavailableError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_OTHER_FORMATS = ("onnx/*", "openvino/*", "original/*", "metal/*", "coreml/*")
_CONVERTER = "SFconvertbot"  # of the Hub: offers models with pickled weights as safetensors, in a pull request
_DEFAULT_OWNER = "sentence-transformers"
_BATCH_SIZE_ON_CPU = 8
_BATCH_SIZE_ON_GPU = 32
_STATIC_BATCH_SIZE = 256
_OFFLINE = "The bundled embedders need no network: choose them, or a model in a local folder."


def load_sentence_model(spec: EmbedderSpec, device: str, cache: VectorCache | None) -> SentenceTransformerEmbedder:
    """Load the model of a specification onto a torch device; a table of word vectors stays on the CPU.

    Raises:
        EmbedderUnavailableError: naming the model and what to do, if it cannot be had or used.
    """
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    if spec.is_local:
        folder = Path(spec.name).expanduser()
        revision = _hash_of(folder)
    else:
        folder = _download(spec.name, spec.revision)
        revision = folder.name
    model = _load(spec, folder, device)
    if isinstance(model[0], StaticEmbedding):
        model.to("cpu")
        batch_size, cache = _STATIC_BATCH_SIZE, None  # computing such a vector takes no longer than finding it
    else:
        batch_size = _BATCH_SIZE_ON_CPU if model.device.type == "cpu" else _BATCH_SIZE_ON_GPU
    _set_length(model, spec)
    embedder = SentenceTransformerEmbedder(
        model, spec.label, revision, spec.batch_size or batch_size, spec.query_prompt, spec.document_prompt, cache
    )
    if spec.truncate_dimension not in (None, embedder.identity.dimension):
        raise EmbedderUnavailableError(
            f"{spec.label} gives vectors of {embedder.identity.dimension} numbers; they cannot be truncated to "
            f"{spec.truncate_dimension}. Choose fewer, or leave the truncation out."
        )
    return embedder


def _load(spec: EmbedderSpec, folder: Path, device: str) -> "SentenceTransformer":
    import torch
    from sentence_transformers import SentenceTransformer

    from era.encoders.devices import free_memory, is_out_of_memory

    dtype = getattr(torch, spec.dtype) if spec.dtype else (torch.float32 if device == "cpu" else "auto")
    _require_safetensors(spec.label, folder)
    try:
        return SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            truncate_dim=spec.truncate_dimension,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        )
    except Exception as error:
        if not (isinstance(error, RuntimeError) and device != "cpu" and is_out_of_memory(error)):
            raise EmbedderUnavailableError(
                f"{spec.label} could not be loaded ({type(error).__name__}: {_first_line(error)}). "
                "It has to be a sentence-transformers model that needs no code of its own. " + _OFFLINE
            ) from error
    logger.warning("The memory of %s is too small for %s; it runs on the CPU.", device, spec.label)
    free_memory()  # not before the error, and with it what was loaded, is gone
    return _load(spec, folder, "cpu")


def _set_length(model: "SentenceTransformer", spec: EmbedderSpec) -> None:
    """Set how many tokens are read of a text."""
    if spec.max_length is None:
        return
    inner = model.transformers_model
    longest = getattr(getattr(inner, "config", None), "max_position_embeddings", None)
    if not isinstance(model.max_seq_length, int) or (isinstance(longest, int) and spec.max_length > longest):
        limit = f"at most {longest:,} tokens" if isinstance(longest, int) else "texts of any length"
        raise EmbedderUnavailableError(
            f"{spec.label} reads {limit}, so max_length cannot be {spec.max_length:,}. Choose fewer, or leave it out."
        )
    model.max_seq_length = spec.max_length


def _download(name: str, revision: str) -> Path:
    """Return the folder that holds a model of the Hub; it is called as its commit."""
    name = name if "/" in name else f"{_DEFAULT_OWNER}/{name}"
    folder = _fetch(name, revision or _commit_here(name))
    if any(folder.rglob("*.safetensors")) or revision:
        return folder
    converted = _find_conversion(name)
    if converted:
        return _fetch(name, converted)
    earlier = [other for other in folder.parent.iterdir() if any(other.rglob("*.safetensors"))]
    return earlier[0] if earlier else folder


def _commit_here(name: str) -> str:
    """Return the commit of a model that was fetched before, else nothing.

    It stays the one to be used: a newer one would make every index and training run that of another model.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    try:
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
        return (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):  # not here, or no name of a model, which fetching it says
        return ""


def _fetch(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        logger.info("Fetching %s from the Hugging Face Hub, unless it is here already …", name)
        return Path(
            snapshot_download(
                name, revision=revision or None, allow_patterns=list(_FILES), ignore_patterns=list(_OTHER_FORMATS)
            )
        )
    except LocalEntryNotFoundError as error:
        raise EmbedderUnavailableError(
            f"{name} is not on this machine, and the Hugging Face Hub cannot be reached. Connect and try again. "
            + _OFFLINE
        ) from error
    except HFValidationError as error:
        raise EmbedderUnavailableError(
            f"{name} is neither a folder on this machine nor the name of a model, such as BAAI/bge-small-en-v1.5. "
            "Correct it. " + _OFFLINE
        ) from error
    except HfHubHTTPError as error:  # not there, not open to everybody, no such revision
        at = f" at revision {revision}" if revision else ""
        raise EmbedderUnavailableError(
            f"The Hugging Face Hub does not give {name}{at} ({_first_line(error)}). Check the name; a model that asks "
            "for agreement needs the environment variable HF_TOKEN. " + _OFFLINE
        ) from error
    except OSError as error:
        raise EmbedderUnavailableError(
            f"{name} could not be copied from the Hugging Face Hub ({_first_line(error)}). Check network and disk. "
            + _OFFLINE
        ) from error


def _find_conversion(name: str) -> str:
    """Return the revision where the Hub's own converter offers a model as safetensors, or nothing."""
    from huggingface_hub import get_repo_discussions

    try:
        for discussion in get_repo_discussions(name, author=_CONVERTER, discussion_type="pull_request"):
            if discussion.author == _CONVERTER and discussion.git_reference:
                return discussion.git_reference
    except OSError as error:
        logger.warning("Could not look for safetensors of %s: %s", name, error)
    return ""


def _require_safetensors(label: str, folder: Path) -> None:
    """Refuse pickled weights, which could run anything."""
    for pickled in ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl"):
        for file in folder.rglob(pickled):
            if not any(file.parent.glob("*.safetensors")):
                raise EmbedderUnavailableError(
                    f"{label} keeps weights in {file.name}, a kind of file that could run anything. Only safetensors "
                    "are read: save the model again with safe_serialization=True."
                )
    if not any(folder.rglob("*.safetensors")):
        raise EmbedderUnavailableError(
            f"{label} offers no weights as safetensors, and other kinds are not read. Choose a revision that does, "
            "or another model. " + _OFFLINE
        )


def _hash_of(folder: Path) -> str:
    """Return a digest of every file that decides about vectors: a folder has no revision of its own."""
    digest = hashlib.sha256()
    for file in sorted(file for kind in _FILES for file in folder.rglob(kind)):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
