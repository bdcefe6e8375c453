"""Embedders that remember on disk: a text is embedded once, however often the benchmarks run.

The models themselves come from `era.encoders.bundled`.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path
from tqdm import tqdm

from era.encoders.base import Embedder, EmbedderIdentity, EmbedderPair, Vectors
from era.encoders.bundled import load_bundled_pair
from era.encoders.cache import VectorCache
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.progress import Progress, no_progress
from era.types import Query

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_N_AT_ONCE = 512  # texts embedded between two writes: what an interruption can cost
_LIMIT_BYTES = 16 << 30


def default_cache_folder() -> Path:
    """Return where embeddings are kept if no one says otherwise."""
    return user_cache_path("era-benchmarks")


def load_cached_pair(folder: Path) -> EmbedderPair:
    """Load the bundled pair on the CPU, remembering every vector in `folder`."""
    pair, cache = load_bundled_pair("cpu"), VectorCache(folder, _LIMIT_BYTES)
    return EmbedderPair(CachedEmbedder(pair.strong, cache), CachedEmbedder(pair.light, cache))


class CachedEmbedder:
    """An `Embedder` that asks `embedder` only for what is not in the cache yet."""

    def __init__(self, embedder: Embedder, cache: VectorCache) -> None:
        self.embedder = embedder
        self._kept = cache.open(f"benchmarks {embedder.identity.to_json()}", embedder.identity.dimension)

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the identity of the embedder that is asked."""
        return self.embedder.identity

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, dimension)."""
        names = [_name("query", query.instruction, query.text) for query in queries]
        return self._encode(names, lambda rows: self.embedder.encode_queries([queries[i] for i in rows]))

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        """Return (n, dimension); progress is shown on stderr and not reported further."""
        names = [_name("document", text) for text in texts]
        return self._encode(names, lambda rows: self.embedder.encode_documents([texts[i] for i in rows]))

    def kept_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which documents are remembered (n,), and their vectors (n, dimension), 0 for the others."""
        return self._kept.find([_name("document", text) for text in texts])

    def _encode(self, names: Sequence[str], encode: Callable[[Sequence[int]], Vectors]) -> Vectors:
        """Return (n, dimension); `encode` gets the places of the names that no one has embedded yet."""
        is_known, vectors = self._kept.find(names)
        missing = np.flatnonzero(~is_known).tolist()
        with tqdm(total=len(missing), desc=self.identity.name, file=sys.stderr, disable=not missing) as bar:
            for start in range(0, len(missing), _N_AT_ONCE):
                rows = missing[start : start + _N_AT_ONCE]
                vectors[rows] = encode(rows)
                self._kept.keep([names[i] for i in rows], vectors[rows])
                bar.update(len(rows))
        return vectors


def model_of(embedder: Embedder) -> "SentenceTransformer":
    """Return the sentence-transformers model behind an embedder.

    Raises:
        ValueError: if there is none.
    """
    if isinstance(embedder, CachedEmbedder):
        embedder = embedder.embedder
    if not isinstance(embedder, SentenceTransformerEmbedder):
        raise ValueError(f"Expected a sentence-transformers model, got {type(embedder).__name__}.")
    return embedder._model


def _name(*parts: str) -> str:
    return json.dumps(parts)
