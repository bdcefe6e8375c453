"""An index that grows on disk, so that a process that was killed while embedding goes on where it was.

The vectors are appended to a file; a second file says how many of them are safely there, and of what.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from era.encoders.base import Embedder, EmbedderIdentity, Vectors
from era.index.dense import DenseIndex
from era.progress import Progress

logger = logging.getLogger(__name__)

Texts = Sequence[tuple[str, str]]
"""(content hash, content) of documents."""

_VECTORS_FILE = "vectors.f32"
_ABOUT_FILE = "about.json"
_ROWS_AT_ONCE = 65_536
_KEPT_AT_ONCE = 512  # documents; a slow embedder that is stopped loses no more than these
_NOTED_EVERY_S = 3.0  # a kill loses no more than this, and syncing more often would only cost time


class IndexBuilding:
    """Vectors of one embedder in the order of the documents, as far as they were computed; used by one thread."""

    def __init__(self, folder: Path, embedder: EmbedderIdentity, documents: str) -> None:
        """Go on with what is in the folder, or begin anew if that is of another embedder or of other documents.

        Args:
            folder: of this building alone; made if need be.
            embedder: what computes the vectors.
            documents: names the documents and their order, such as the fingerprint of their corpus.
        """
        self._folder = folder
        self._embedder = embedder
        self._about = {"embedder": json.loads(embedder.to_json()), "documents": documents}
        self._row_bytes = 4 * embedder.dimension
        folder.mkdir(parents=True, exist_ok=True)
        self._n, self._digest = self._noted_rows()
        self._noted_at = time.monotonic()
        if self._n == 0:
            (folder / _VECTORS_FILE).write_bytes(b"")
            self._note()
        self._file = (folder / _VECTORS_FILE).open("r+b")
        self._file.truncate(self._n * self._row_bytes)
        self._file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        """Return how many vectors there are."""
        return self._n

    def __enter__(self) -> "IndexBuilding":
        """Return the building itself; leaving it closes the file and keeps what is there."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def append(self, vectors: Vectors) -> None:
        """Add the vectors (n, m) of the next n documents.

        Raises:
            ValueError: if they are not of the embedder's dimension.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self._embedder.dimension:
            raise ValueError(f"Expected vectors of shape (n, {self._embedder.dimension}), got {vectors.shape}.")
        content = np.ascontiguousarray(vectors, np.float32).data
        self._file.write(content)
        self._digest.update(content)
        self._n += len(vectors)
        if time.monotonic() - self._noted_at >= _NOTED_EVERY_S:
            self._note()

    def restart(self) -> None:
        """Drop every vector: the documents turned out to be others."""
        self._file.seek(0)
        self._file.truncate()
        self._n, self._digest = 0, hashlib.sha256()
        self._note()

    def finish(self, doc_ids: Sequence[str]) -> DenseIndex:
        """Return the index of the vectors; the files stay until `discard`.

        Raises:
            ValueError: if there are not as many vectors as documents, or an id repeats.
        """
        self._note()
        return DenseIndex.from_batches(doc_ids, self._batches(), self._embedder)

    def close(self) -> None:
        """Note what is there and close the file; a later building goes on with it."""
        if not self._file.closed:
            self._note()
            self._file.close()

    def discard(self) -> None:
        """Remove the files."""
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _batches(self) -> Iterator[Vectors]:
        with (self._folder / _VECTORS_FILE).open("rb") as file:
            for first in range(0, self._n, _ROWS_AT_ONCE):
                n = min(_ROWS_AT_ONCE, self._n - first)
                yield np.fromfile(file, np.float32, n * self._embedder.dimension).reshape(n, -1)

    def _noted_rows(self) -> "tuple[int, hashlib._Hash]":
        """Return how many rows of these documents and this embedder an earlier building left, and their digest."""
        nothing = 0, hashlib.sha256()
        file = self._folder / _VECTORS_FILE
        try:
            about = json.loads((self._folder / _ABOUT_FILE).read_text(encoding="utf-8"))
            n_noted, noted = int(about.pop("n_rows")), about.pop("sha256", None)
            n_there = file.stat().st_size // self._row_bytes
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return nothing
        if about != self._about or not 0 < n_noted <= n_there:
            return nothing
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            for first in range(0, n_noted, _ROWS_AT_ONCE):
                digest.update(stream.read(min(_ROWS_AT_ONCE, n_noted - first) * self._row_bytes))
        if noted not in (digest.hexdigest(), None):  # None: begun by a version before the checksums
            logger.warning("What was embedded so far in %s is damaged and is embedded again.", self._folder)
            return nothing
        return n_noted, digest

    def _note(self) -> None:
        """Write down how many vectors there are, after they are on the disk."""
        file = getattr(self, "_file", None)
        if file is not None:
            file.flush()
            os.fsync(file.fileno())
        scratch = self._folder / f".{_ABOUT_FILE}"
        noted = {**self._about, "n_rows": self._n, "sha256": self._digest.hexdigest()}
        scratch.write_text(json.dumps(noted), encoding="utf-8")
        scratch.replace(self._folder / _ABOUT_FILE)
        self._noted_at = time.monotonic()


def embed_rest(
    building: IndexBuilding,
    batches: Iterable[Texts],
    embedder: Embedder,
    n_documents: int,
    progress: Progress,
    known: Mapping[str, int] | None = None,
    known_index: DenseIndex | None = None,
) -> int:
    """Embed the documents that the building lacks, batch by batch, and return how many texts were read for it.

    Args:
        building: takes the vectors; what it has is kept.
        batches: the documents that come next, in their order.
        embedder: reads the texts.
        n_documents: of the whole building, for the progress.
        progress: told about embedding; raising `Cancelled` in it keeps what is done.
        known: content hash -> row of `known_index`, for texts that need not be read again.
        known_index: made by the same embedder.
    """
    known = known or {}
    n_read = 0
    for batch in batches:
        for start in range(0, len(batch), _KEPT_AT_ONCE):
            some = batch[start : start + _KEPT_AT_ONCE]
            done = len(building)

            def within(stage: str, fraction: float, detail: str = "", done: int = done, n: int = len(some)) -> None:
                so_far = done + round(n * fraction)
                progress(
                    "embedding", min(so_far / max(n_documents, 1), 1.0), f"{so_far:,} of {n_documents:,} documents"
                )

            within("embedding", 0.0)
            vectors = np.empty((len(some), embedder.identity.dimension), np.float32)
            missing = [place for place, (text_hash, _) in enumerate(some) if text_hash not in known]
            if missing:
                vectors[missing] = embedder.encode_documents([some[place][1] for place in missing], within)
            if known_index is not None:
                found = [(place, known[text_hash]) for place, (text_hash, _) in enumerate(some) if text_hash in known]
                vectors[[place for place, _ in found]] = known_index.rows([row for _, row in found])
            building.append(vectors)
            n_read += len(missing)
    return n_read
