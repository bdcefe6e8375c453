"""What embedders are: text to vectors, the identity that makes vectors comparable, and the pair that ERA joins.

Every vector is float32 and L2-normalised. The instruction of a query reaches the strong embedder only. The embedders
themselves are in `sentence_transformer` and `openai`.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from era.errors import IdentityMismatchError
from era.progress import Progress, no_progress
from era.types import Query

Vectors = NDArray[np.float32]

INSTRUCTION_TEMPLATE = "Instruct: {instruction}\nQuery: {text}"
_QUERIES_AT_ONCE = 8  # between two reports of progress


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
