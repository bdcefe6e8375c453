"""Vectors on disk by embedder and text, so that nothing is read twice by a slow or paid embedder.

Shared between collections. Versions up to 0.7 kept vectors in folders of their own, one for each embedder; what lies
there is taken over once, when that embedder is used again.
"""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from era.cache import Cache

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]

_TEXTS_AT_ONCE = 2_000  # so that no more than these are held twice in memory
_KEY_BYTES, _CHECK_BYTES = 16, 8
_UNIT_LENGTH_TOLERANCE = 1e-3


class VectorCache:
    """A folder of vectors that takes `limit_bytes` at most; safe to use from several threads and processes."""

    def __init__(self, folder: Path, limit_bytes: int = 2 << 30) -> None:
        """Keep vectors in `folder`, which is made once there is one.

        Raises:
            ValueError: if the limit is not above 0.
        """
        self._folder = folder
        self._values = Cache(folder / "cache.sqlite3", limit_bytes)

    def open(self, about: str, dimension: int) -> "CachedVectors":
        """Return the vectors of one embedder.

        Args:
            about: everything that its vectors depend on besides the text.
            dimension: of its vectors.
        """
        name = hashlib.sha256(f"{dimension} {about}".encode()).hexdigest()[:32]
        opened = CachedVectors(self._values, name, dimension)
        if (self._folder / name).is_dir():
            opened.take_over(self._folder / name)
        return opened

    def close(self) -> None:
        """Let go of the folder, so that it can be moved; it is opened again when it is asked for."""
        self._values.close()


class CachedVectors:
    """The vectors that one embedder has made of texts."""

    def __init__(self, values: Cache, name: str, dimension: int) -> None:
        self._values = values
        self._name = name
        self._dimension = dimension

    def find(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which of n texts are known (n,), and their vectors (n, dimension); rows of unknown ones are 0."""
        is_known, vectors = np.zeros(len(texts), bool), np.zeros((len(texts), self._dimension), np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            keys = _keys_of(texts[start : start + _TEXTS_AT_ONCE])
            found = self._values.find(self._name, list(dict.fromkeys(keys)))
            rows = [row for row, key in enumerate(keys, start) if key in found]
            if rows:
                is_known[rows] = True
                content = b"".join(found[key] for key in keys if key in found)
                vectors[rows] = np.frombuffer(content, "<f4").reshape(-1, self._dimension)
        return is_known, vectors

    def keep(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Remember that row i of `vectors` (n, dimension) belongs to `texts[i]`."""
        self._keep(_keys_of(texts), vectors)

    def take_over(self, folder: Path) -> None:
        """Move what versions up to 0.7 kept in a folder of this embedder; what is damaged there is left out."""
        for file in sorted(folder.glob("*.vectors*")):
            try:
                keys, vectors = _read_shard(file, self._dimension)
                if not self._keep(keys, vectors):
                    return  # the next start tries again
                file.unlink()
            except OSError as error:
                logger.warning("%s cannot be taken over: %s", file, error)
            else:
                logger.info("%d vectors of %s are taken over.", len(keys), file)
        with suppress(OSError):  # if something else lies there
            folder.rmdir()

    def _keep(self, keys: Sequence[bytes], vectors: Vectors) -> bool:
        rows = np.ascontiguousarray(vectors, "<f4")
        return self._values.keep(self._name, {key: row.tobytes() for key, row in zip(keys, rows, strict=True)})


def _keys_of(texts: Sequence[str]) -> list[bytes]:
    """Return the first half of the SHA-256 of each text."""
    return [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_KEY_BYTES] for text in texts]


def _read_shard(file: Path, dimension: int) -> tuple[list[bytes], Vectors]:
    """Return the keys and vectors of the whole records of a file: digest, checksum (since 0.6) and vector of a text."""
    has_checks = file.suffix == ".vectors2"
    checks = [("check", "u1", _CHECK_BYTES)] if has_checks else []
    record = np.dtype([("key", "u1", _KEY_BYTES), *checks, ("row", "<f4", dimension)])
    records = np.fromfile(file, record)  # but for a torn one at the end
    keys, vectors = [key.tobytes() for key in records["key"]], records["row"]
    if has_checks:
        sums = [
            hashlib.sha256(key + row.tobytes()).digest()[:_CHECK_BYTES] for key, row in zip(keys, vectors, strict=True)
        ]
        is_whole = np.array([a == b.tobytes() for a, b in zip(sums, records["check"], strict=True)], bool)
    else:
        is_whole = np.abs(np.linalg.norm(vectors, axis=1) - 1) < _UNIT_LENGTH_TOLERANCE
    return list(compress(keys, is_whole)), vectors[is_whole]
