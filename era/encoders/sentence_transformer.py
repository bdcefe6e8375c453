"""Models of sentence-transformers as embedders: loaded by name or folder, from safetensors, never with their own code.

A model of the Hugging Face Hub is first copied whole, so that nothing but known kinds of files arrives and the commit
is known; without a network, what was copied earlier is used. sentence-transformers is imported when a model is loaded,
not before: the import alone takes seconds, and a page can be shown meanwhile.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from era.encoders.base import INSTRUCTION_TEMPLATE, EmbedderIdentity, Vectors
from era.encoders.cache import CachedVectors, VectorCache
from era.encoders.spec import EmbedderSpec
from era.errors import EmbedderUnavailableError
from era.progress import Progress, no_progress
from era.types import Query

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_BREATH_S = 0.0005  # locks are not fair: without a pause the thread that embeds would take its own lock again
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_OTHER_FORMATS = ("onnx/*", "openvino/*", "original/*", "metal/*", "coreml/*")
_CONVERTER = "SFconvertbot"  # of the Hub: offers models with pickled weights as safetensors, in a pull request
_DEFAULT_OWNER = "sentence-transformers"
_BATCH_SIZE_ON_CPU = 8
_BATCH_SIZE_ON_GPU = 32
_STATIC_BATCH_SIZE = 256
_OFFLINE = "The bundled embedders need no network: choose them, or a model in a local folder."


class SentenceTransformerEmbedder:
    """A sentence-transformers model as an `Embedder`, with the prompts of the model's own configuration or others."""

    def __init__(
        self,
        model: "SentenceTransformer",
        name: str,
        revision: str,
        batch_size: int = 32,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        cache: VectorCache | None = None,
    ) -> None:
        """Wrap a loaded model.

        Args:
            model: that embeds.
            name: for people.
            revision: commit or digest; two models of one name differ by it.
            batch_size: documents at once.
            query_prompt: written before a query without instruction; None for the model's own.
            document_prompt: written before a document; None for the model's own.
            cache: keeps the vectors of documents; None where computing them again is as quick.

        Raises:
            EmbedderUnavailableError: if the model does not say how long its vectors are.
        """
        self._model = model
        self._batch_size = batch_size
        self._lock = Lock()  # fast tokenizers refuse two threads at once
        dimension = model.get_embedding_dimension()
        if dimension is None:
            raise EmbedderUnavailableError(f"{name} does not say how long its vectors are; choose another embedder.")
        self._identity = EmbedderIdentity(
            name=name,
            revision=revision,
            dimension=int(dimension),
            max_length=model.max_seq_length if isinstance(model.max_seq_length, int) else None,
            query_prompt=(model.prompts.get("query") or "") if query_prompt is None else query_prompt,
            document_prompt=(model.prompts.get("document") or "") if document_prompt is None else document_prompt,
        )
        self._n_read, self._seconds_read = 0, 0.0
        self._kept: CachedVectors | None = None
        if cache is not None:
            about = replace(self._identity, query_prompt="").to_json() + str(getattr(model, "dtype", ""))
            self._kept = cache.open(about, self._identity.dimension)

    @property
    def model(self) -> "SentenceTransformer":
        """Return the loaded model itself; a change to it changes every vector."""
        return self._model

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the model's name, revision, size and prompts."""
        return self._identity

    @property
    def seconds_per_text(self) -> float | None:
        """Return how long a document has taken so far; None before the first one."""
        return self._seconds_read / self._n_read if self._n_read else None

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, dimension); for a query with an instruction `INSTRUCTION_TEMPLATE` replaces the model's prompt.

        Queries go through the model one at a time: in a batch, padding changes the last bits of a vector, and a query
        must have the same vector whatever it is embedded with, or a training run could not be repeated bit by bit.
        """
        vectors = np.empty((len(queries), self._identity.dimension), np.float32)
        for row, query in enumerate(queries):
            prompt = self._identity.query_prompt
            if query.instruction:
                prompt = INSTRUCTION_TEMPLATE.format(instruction=query.instruction, text="")
            vectors[row] = self._encode([query.text], prompt, "query")[0]
        return vectors

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        """Return (n, dimension), a batch of similar lengths at a time; between batches a waiting search goes first."""
        vectors = np.empty((len(texts), self._identity.dimension), np.float32)
        unknown: Iterable[int] = range(len(texts))
        if self._kept is not None:
            is_known, vectors = self._kept.find(texts)
            unknown = np.flatnonzero(~is_known).tolist()
        order = sorted(unknown, key=lambda i: -len(texts[i]))
        n_known = len(texts) - len(order)
        batch_size = self._batch_size  # it may become smaller meanwhile
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = [texts[i] for i in rows]
            started = time.perf_counter()
            vectors[rows] = self._encode(batch, self._identity.document_prompt, "document")
            self._n_read, self._seconds_read = self._n_read + len(rows), self._seconds_read + _since(started)
            if self._kept is not None:
                self._kept.keep(batch, vectors[rows])
            done = n_known + start + len(rows)
            progress("embedding", done / len(texts), f"{done:,} of {len(texts):,} texts with {self._identity.name}")
            time.sleep(_BREATH_S)
        if n_known and not order:
            progress("embedding", 1.0, f"{n_known:,} of {n_known:,} texts with {self._identity.name}")
        return vectors

    def kept_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which documents need not be read again (n,), and their vectors (n, dimension), 0 for the others."""
        if self._kept is None:
            return np.zeros(len(texts), bool), np.zeros((len(texts), self._identity.dimension), np.float32)
        return self._kept.find(texts)

    def _encode(self, texts: list[str], prompt: str, task: Literal["query", "document"]) -> Vectors:
        with self._lock:
            while True:
                try:
                    vectors = self._model.encode(
                        texts,
                        prompt=prompt,
                        task=task,
                        batch_size=self._batch_size,
                        normalize_embeddings=True,
                        show_progress_bar=False,
                        convert_to_numpy=True,
                    )
                    return self._numbers(np.asarray(vectors, dtype=np.float32))
                except RuntimeError as error:
                    from era.encoders.devices import free_memory, is_out_of_memory

                    if self._model.device.type == "cpu" or not is_out_of_memory(error):
                        raise
                self._use_less_memory(min(self._batch_size, len(texts)))
                free_memory()  # not before the error, and with it what the model held, is gone

    def _numbers(self, vectors: Vectors) -> Vectors:
        if not np.isfinite(vectors).all():
            raise EmbedderUnavailableError(
                f"{self._identity.name} computed something that is no number, as happens where its precision is too "
                "small. Nothing of it was kept; choose float32 as its precision, or another embedder."
            )
        return vectors

    def _use_less_memory(self, n_at_once: int) -> None:
        """Halve the batches; where a single text was too much, go on with the CPU."""
        if n_at_once > 1:
            self._batch_size = n_at_once // 2
            logger.warning("The GPU is out of memory; %s now reads fewer texts at once.", self._identity.name)
        else:
            self._model.to("cpu")
            self._batch_size = _BATCH_SIZE_ON_CPU
            logger.warning("The GPU is out of memory; %s now runs on the CPU.", self._identity.name)


def _since(started: float) -> float:
    return time.perf_counter() - started


class StaticTableEmbedder(SentenceTransformerEmbedder):
    """A table of word vectors that reads documents in bulk: the model's own vectors, for less work.

    What `encode` does besides, such as finding out what kind of input a text is and where each word stood in it, takes
    a third of the time that a table needs. Queries take the usual way.
    """

    def _encode(self, texts: list[str], prompt: str, task: Literal["query", "document"]) -> Vectors:
        if task == "query":
            return super()._encode(texts, prompt, task)
        import torch

        table: Any = self._model[0]
        with self._lock:
            encodings = table.tokenizer.encode_batch_fast([prompt + text for text in texts], add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        ends = np.cumsum([len(of_text) for of_text in ids])  # (B,)
        features = {
            "input_ids": torch.from_numpy(np.fromiter(chain.from_iterable(ids), np.int64, int(ends[-1]))),
            "offsets": torch.from_numpy(np.concatenate([[0], ends[:-1]]).astype(np.int64)),
        }
        with torch.inference_mode():
            for module in self._model:
                features = module(features)
            # a second time, as `encode` does: the last bits would differ otherwise
            vectors = torch.nn.functional.normalize(features["sentence_embedding"], dim=1)
        return np.asarray(vectors.numpy(), np.float32)


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
