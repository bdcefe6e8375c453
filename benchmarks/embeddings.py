"""Embedders that remember on disk: a text is embedded once, however often the benchmarks run.

Vectors are kept by embedder identity and by the hash of what was read, in safetensors files that are only ever added.
The models themselves come from `era.encoders.bundled`.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from era.encoders.base import Embedder, EmbedderIdentity, EmbedderPair, Vectors
from era.encoders.bundled import load_bundled_pair
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.progress import Progress, no_progress
from era.types import Query

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SHARD_SIZE = 512  # texts embedded between two writes: what an interruption can cost


def default_cache_folder() -> Path:
    """Return where embeddings are kept if nobody says otherwise."""
    return user_cache_path("era-benchmarks")


def load_cached_pair(folder: Path) -> EmbedderPair:
    """Load the bundled pair on the CPU, remembering every vector in `folder`."""
    pair = load_bundled_pair("cpu")
    return EmbedderPair(CachedEmbedder(pair.strong, folder), CachedEmbedder(pair.light, folder))


class CachedEmbedder:
    """An `Embedder` that asks `embedder` only for what is not in `folder` yet."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        """Read what is remembered of this embedder."""
        self.embedder = embedder
        identity = embedder.identity
        digest = hashlib.sha256(identity.to_json().encode()).hexdigest()
        self._folder = folder / f"{re.sub(r'[^a-z0-9]+', '-', identity.name.lower())}-{digest[:16]}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[bytes, Vectors] = {}
        for file in sorted(self._folder.glob("*.safetensors")):
            shard = load_file(file)
            self._known.update(zip((row.tobytes() for row in shard["keys"]), shard["vectors"], strict=True))

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the identity of the embedder that is asked."""
        return self.embedder.identity

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, dimension)."""
        keys = [_key("query", query.instruction, query.text) for query in queries]
        return self._encode(keys, lambda rows: self.embedder.encode_queries([queries[i] for i in rows]))

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        """Return (n, dimension); progress is shown on stderr and not reported further."""
        keys = [_key("document", text) for text in texts]
        return self._encode(keys, lambda rows: self.embedder.encode_documents([texts[i] for i in rows]))

    def kept_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which documents are remembered (n,), and their vectors (n, dimension), 0 for the others."""
        known = [self._known.get(_key("document", text)) for text in texts]
        nothing = np.zeros(self.identity.dimension, np.float32)
        rows = [nothing if vector is None else vector for vector in known]
        is_known = np.array([vector is not None for vector in known], bool)
        return is_known, np.array(rows, np.float32).reshape(-1, self.identity.dimension)

    def _encode(self, keys: Sequence[bytes], encode: Callable[[Sequence[int]], Vectors]) -> Vectors:
        """Return (n, dimension); `encode` gets the places of the keys that nobody has embedded yet."""
        missing = list({key: i for i, key in enumerate(keys) if key not in self._known}.values())
        with tqdm(total=len(missing), desc=self.identity.name, file=sys.stderr, disable=not missing) as bar:
            for start in range(0, len(missing), _SHARD_SIZE):
                rows = missing[start : start + _SHARD_SIZE]
                vectors = encode(rows)
                self._remember([keys[i] for i in rows], vectors)
                bar.update(len(rows))
        return np.array([self._known[key] for key in keys], np.float32).reshape(-1, self.identity.dimension)

    def _remember(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        rows = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)
        name = hashlib.sha256(rows.tobytes()).hexdigest()[:24]
        scratch = self._folder / f".{name}.{os.getpid()}"
        save_file({"keys": rows, "vectors": np.ascontiguousarray(vectors, np.float32)}, scratch)
        scratch.replace(self._folder / f"{name}.safetensors")
        self._known.update(zip(keys, vectors, strict=True))


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


def _key(*parts: str) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()
