"""Text to vectors: the strong query embedder, the light document embedder, and the pair that ERA joins.

Every vector that leaves this module is float32 and L2-normalised. The instruction of a query reaches the strong
embedder only. sentence-transformers is imported when a model is loaded, not before: the import alone takes seconds,
and a page can be shown meanwhile.
"""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from era.encoders.cache import CachedVectors, VectorCache
from era.errors import EmbedderUnavailableError, IdentityMismatchError
from era.progress import Progress, no_progress
from era.types import Query

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]

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

    def kept_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which documents need not be read again (n,), and their vectors (n, dimension), 0 for the others."""


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
        """Return the loaded model itself; whoever changes it changes every vector."""
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
        must have the same vector whoever it is embedded with, or a training run could not be repeated bit by bit.
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
        self._n_asking = 0  # threads that wait for queries to be embedded
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
        with self._asking():
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

    @property
    def is_asked(self) -> bool:
        """Return whether queries are being embedded; what can wait then lets them go first."""
        return self._n_asking > 0

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._lock:
            self._n_asking += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_asking -= 1

    def remembered(self, queries: Sequence[Query]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which of n queries were embedded lately (n,), and their plain strong vectors (n, p), 0 for others."""
        found = np.zeros((len(queries), self.strong.identity.dimension), np.float32)
        is_known = np.zeros(len(queries), bool)
        with self._lock:
            for row, query in enumerate(queries):
                vectors = self._remembered.get((query.text, query.instruction))
                if vectors is not None:
                    is_known[row], found[row] = True, vectors[1]
        return is_known, found

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
