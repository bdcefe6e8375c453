"""The document index: exact inner-product search over vectors that are stored once and never change.

The method asks four things of an index, `search`, `vectors`, `sample` and `fingerprint`; FAISS stays in here.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import faiss
import numpy as np

from era.encoders.base import EmbedderIdentity, Vectors
from era.errors import IndexDamagedError
from era.intact import require_unit_rows
from era.types import ScoredDoc

_INDEX_FILE = "index.faiss"
_ABOUT_FILE = "index.json"


class DenseIndex:
    """Document vectors of length 1 with their ids, searched exactly by cosine."""

    def __init__(self, doc_ids: Sequence[str], vectors: Vectors, embedder: EmbedderIdentity) -> None:
        """Index row i of `vectors` (N, m), L2-normalised, under `doc_ids[i]`.

        Raises:
            ValueError: if the counts differ, an id repeats, or the vectors are not of the embedder's dimension.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.shape != (len(doc_ids), embedder.dimension):
            raise ValueError(f"Expected vectors of shape {(len(doc_ids), embedder.dimension)}, got {vectors.shape}.")
        flat = faiss.IndexFlatIP(embedder.dimension)
        flat.add(vectors)
        self._take(list(doc_ids), flat, embedder)

    @classmethod
    def from_batches(
        cls, doc_ids: Sequence[str], batches: Iterable[Vectors], embedder: EmbedderIdentity
    ) -> "DenseIndex":
        """Index vectors that come (n, m) at a time, so that memory holds them once; otherwise as `DenseIndex(...)`.

        Raises:
            ValueError: if the counts differ, an id repeats, or the vectors are not of the embedder's dimension.
        """
        index, flat = cls.__new__(cls), faiss.IndexFlatIP(embedder.dimension)
        for vectors in batches:
            if vectors.ndim != 2 or vectors.shape[1] != embedder.dimension:
                raise ValueError(f"Expected vectors of shape (n, {embedder.dimension}), got {vectors.shape}.")
            flat.add(np.ascontiguousarray(vectors, dtype=np.float32))
        if flat.ntotal != len(doc_ids):
            raise ValueError(f"Expected {len(doc_ids):,} vectors, one for each document, got {flat.ntotal:,}.")
        index._take(list(doc_ids), flat, embedder)
        return index

    def _take(self, doc_ids: list[str], flat: "faiss.IndexFlatIP", embedder: EmbedderIdentity) -> None:
        self._doc_ids = doc_ids
        self._rows = {doc_id: row for row, doc_id in enumerate(doc_ids)}
        if len(self._rows) != len(doc_ids):
            raise ValueError("Two vectors share a document id; give each document its own id.")
        self._flat = flat
        self.embedder = embedder
        digest = hashlib.sha256(embedder.to_json().encode())
        digest.update(json.dumps(doc_ids).encode())
        digest.update(self._matrix().data)
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._doc_ids)

    @property
    def doc_ids(self) -> Sequence[str]:
        """Return the ids of the documents, row by row."""
        return self._doc_ids

    def __contains__(self, doc_id: object) -> bool:
        return doc_id in self._rows

    def search(self, vectors: Vectors, k: int) -> list[list[ScoredDoc]]:
        """Return for each of (n, m) query vectors the `min(k, N)` documents of highest inner product, best first.

        Raises:
            ValueError: if k < 1 or the vectors have another dimension.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}.")
        if vectors.ndim != 2 or vectors.shape[1] != self.embedder.dimension:
            raise ValueError(f"Expected query vectors of shape (n, {self.embedder.dimension}), got {vectors.shape}.")
        if not len(self):
            return [[] for _ in vectors]
        scores, rows = self._flat.search(np.ascontiguousarray(vectors, np.float32), min(k, len(self)))
        return [
            [ScoredDoc(self._doc_ids[row], float(score)) for row, score in zip(row_list, score_list, strict=True)]
            for row_list, score_list in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def vectors(self, doc_ids: Iterable[str]) -> Vectors:
        """Return (n, m): the stored vectors of the given documents, in the given order.

        Raises:
            KeyError: if a document is not in the index.
        """
        return self._matrix()[[self._rows[doc_id] for doc_id in doc_ids]]

    def sample(self, n: int, seed: int) -> list[str]:
        """Return `min(n, N)` distinct document ids, drawn uniformly by a generator of this seed."""
        rows = np.random.default_rng(seed).permutation(len(self))[:n]
        return [self._doc_ids[row] for row in rows]

    def rows(self, rows: Sequence[int]) -> Vectors:
        """Return (n, m): the stored vectors of the documents at these places, counted from 0."""
        return self._matrix()[list(rows)]

    def _matrix(self) -> Vectors:
        n = self._flat.ntotal
        return faiss.rev_swig_ptr(self._flat.get_xb(), n * self._flat.d).reshape(n, self._flat.d)

    @property
    def size_bytes(self) -> int:
        """Return the memory that the vectors take."""
        return int(self._flat.ntotal * self._flat.d * 4)

    def save(self, folder: Path) -> None:
        """Write the index; a reader sees the old files or the new ones, and a mixture is noticed by `load`."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "fingerprint": self.fingerprint,
            "embedder": json.loads(self.embedder.to_json()),
            "doc_ids": self._doc_ids,
        }
        scratch = folder / f".{_INDEX_FILE}.{os.getpid()}"
        faiss.write_index(self._flat, str(scratch))
        scratch.replace(folder / _INDEX_FILE)
        scratch = folder / f".{_ABOUT_FILE}.{os.getpid()}"
        scratch.write_text(json.dumps(about), encoding="utf-8")
        scratch.replace(folder / _ABOUT_FILE)

    @classmethod
    def load(cls, folder: Path) -> "DenseIndex":
        """Read an index and check that it is the one that was saved.

        Raises:
            IndexDamagedError: if a file is missing, unreadable or changed, or vectors are not of length 1.
        """
        try:
            about = json.loads((folder / _ABOUT_FILE).read_text(encoding="utf-8"))
            index, identity = cls.__new__(cls), EmbedderIdentity(**about["embedder"])
            _require_count(folder / _INDEX_FILE, len(about["doc_ids"]) * identity.dimension)
            flat = faiss.read_index(str(folder / _INDEX_FILE))
            if not isinstance(flat, faiss.IndexFlatIP) or flat.metric_type != faiss.METRIC_INNER_PRODUCT:
                raise ValueError("another kind of index")
            if flat.d != identity.dimension or flat.ntotal != len(about["doc_ids"]):
                raise ValueError("counts differ")
            index._take(about["doc_ids"], flat, identity)
            if index.fingerprint != about["fingerprint"]:
                raise ValueError("fingerprint differs")
            require_unit_rows(index._matrix(), "its vectors")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise IndexDamagedError(
                f"The saved index in {folder} is missing or damaged ({error}). "
                "The documents are not affected; build the index again from them."
            ) from error
        return index


def _require_count(file: Path, n_numbers: int) -> None:
    """Check how many numbers the header announces, before FAISS takes as much memory for them as it says."""
    n_header = file.stat().st_size - 4 * n_numbers
    with file.open("rb") as stream:
        header = stream.read(min(max(n_header, 0), 1024))
    if not 8 < n_header < 1024 or int.from_bytes(header[-8:], "little") != n_numbers:
        raise ValueError("its length differs")
