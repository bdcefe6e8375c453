"""Vectors on disk by embedder and text, so that nothing is read twice by a slow or paid embedder.

Shared between collections; the oldest files go when there are too many. What cannot be read or written is computed
again: this is a shortcut, never the only copy. A record is a digest of the text, its vector and a checksum of both;
files only grow. Files of versions before the checksums are read, but nothing is added to them.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import RLock

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
_Keys = NDArray[np.uint64]

_SHARD_BYTES = 32 << 20
_SUFFIX = ".vectors2"
_SUFFIX_BEFORE_CHECKSUMS = ".vectors"


class VectorCache:
    """A folder of vectors that takes `limit_bytes` at most; safe to use from several threads."""

    def __init__(self, folder: Path, limit_bytes: int = 2 << 30) -> None:
        """Keep vectors in `folder`, which is made once there is one.

        Raises:
            ValueError: if the limit is not above 0.
        """
        if limit_bytes < 1:
            raise ValueError(f"Expected a limit above 0 bytes, got {limit_bytes}.")
        self._folder = folder
        self._limit_bytes = limit_bytes
        self.shard_bytes = max(min(_SHARD_BYTES, limit_bytes // 8), 1)
        self.lock = RLock()

    def open(self, about: str, dimension: int) -> "CachedVectors":
        """Return the vectors of one embedder.

        Args:
            about: everything that its vectors depend on besides the text.
            dimension: of its vectors.
        """
        name = hashlib.sha256(f"{dimension} {about}".encode()).hexdigest()[:32]
        return CachedVectors(self, self._folder / name, dimension)

    @property
    def size_bytes(self) -> int:
        """Return what the vectors take on disk."""
        return sum(size for _, size in self._files())

    def make_room(self) -> None:
        """Delete the oldest files until one more fits."""
        with self.lock:
            files = sorted(self._files(), key=lambda found: found[0].name)
            left = sum(size for _, size in files)
            for file, size in files:
                if left <= self._limit_bytes - self.shard_bytes:
                    return
                try:
                    file.unlink()
                except OSError:  # another process reads it
                    continue
                left -= size

    def _files(self) -> list[tuple[Path, int]]:
        found = []
        for file in _shard_files(self._folder.glob("*")):
            try:
                found.append((file, file.stat().st_size))
            except OSError:  # deleted meanwhile
                continue
        return found


class CachedVectors:
    """The vectors that one embedder has made of texts."""

    def __init__(self, cache: VectorCache, folder: Path, dimension: int) -> None:
        self._cache = cache
        self._folder = folder
        self._dimension = dimension
        self._shards = [_Shard(file, dimension) for file in sorted(_shard_files([folder]))]

    def find(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which of n texts are known (n,), and their vectors (n, dimension); rows of unknown ones are 0."""
        keys = _keys_of(texts)
        is_known, vectors = np.zeros(len(texts), bool), np.zeros((len(texts), self._dimension), np.float32)
        with self._cache.lock:
            for shard in reversed(self._shards):
                missing = np.flatnonzero(~is_known)
                if not len(missing):
                    break
                found, rows = shard.find(keys[missing])
                vectors[missing[found]] = rows
                is_known[missing[found]] = True
        return is_known, vectors

    def keep(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Remember that row i of `vectors` (n, dimension) belongs to `texts[i]`."""
        records = np.empty(len(texts), _record(self._dimension))
        records["key"], records["row"] = _keys_of(texts), vectors
        records["check"] = _checks_of(records)
        with self._cache.lock:
            try:
                if not self._shards or not self._shards[-1].has_room(self._cache.shard_bytes):
                    self._folder.mkdir(parents=True, exist_ok=True)
                    self._cache.make_room()
                    if self._shards:
                        self._shards[-1] = _Shard(self._shards[-1].file, self._dimension)  # looked up in less memory
                    self._shards.append(_Shard(self._folder / f"{time.time_ns():020}{_SUFFIX}", self._dimension))
                self._shards[-1].append(records)
            except OSError as error:
                logger.warning("Vectors could not be kept for later (%s); they will be computed again.", error)


class _Shard:
    """One file of records; what was there when it was opened is found by search, what came since by a table."""

    def __init__(self, file: Path, dimension: int) -> None:
        self.file = file
        self._has_checks = file.suffix == _SUFFIX
        self._record = _record(dimension) if self._has_checks else _record_before_checksums(dimension)
        self._n = self._whole_records()
        self._fresh: dict[bytes, int] = {}
        keys = self._read()["key"][:, 0] if self._n else np.empty(0, np.uint64)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def has_room(self, limit_bytes: int) -> bool:
        """Return whether the file is there, or about to be, takes checksums, and is shorter than the limit."""
        return (
            self._has_checks and (self.file.exists() or not self._n) and self._n * self._record.itemsize < limit_bytes
        )

    def append(self, records: NDArray[np.void]) -> None:
        """Add records at the end, after whatever a kill or another process left there."""
        with self.file.open("ab", buffering=0) as stream:
            whole, torn = divmod(stream.tell(), self._record.itemsize)
            if torn:  # a process was killed while it wrote
                stream.truncate(whole * self._record.itemsize)
            stream.write(records.tobytes())
        for place, key in enumerate(records["key"]):
            self._fresh[key.tobytes()] = whole + place
        self._n = whole + len(records)

    def find(self, keys: _Keys) -> tuple[NDArray[np.int64], Vectors]:
        """Return the places in `keys` (n, 2) that are known, and their vectors."""
        rows = np.full(len(keys), -1, np.int64)
        if len(self._sorted):
            places = np.maximum(np.searchsorted(self._sorted, keys[:, 0], "right") - 1, 0)  # the newest of equal ones
            is_there = self._sorted[places] == keys[:, 0]
            rows[is_there] = self._order[places[is_there]]
        if self._fresh:
            for place, key in enumerate(keys):
                rows[place] = self._fresh.get(key.tobytes(), rows[place])
        known = np.flatnonzero(rows >= 0)
        if not len(known):
            return known, np.empty((0, self._record["row"].shape[0]), np.float32)
        try:
            records = self._read()[rows[known]]
        except (OSError, ValueError, IndexError):  # deleted or cut off meanwhile
            return known[:0], np.empty((0, self._record["row"].shape[0]), np.float32)
        is_whole = (records["key"] == keys[known]).all(axis=1)
        if self._has_checks:
            is_intact = records["check"] == _checks_of(records)
        else:
            is_intact = np.abs(np.linalg.norm(records["row"], axis=1) - 1) < 1e-3
        if not is_intact.all():
            n_damaged = np.count_nonzero(is_whole & ~is_intact)
            logger.warning("%s is damaged; what is read again of it: %d texts.", self.file.name, n_damaged)
        is_whole &= is_intact
        return known[is_whole], np.asarray(records["row"][is_whole], np.float32)

    def _read(self) -> NDArray[np.void]:
        return np.memmap(self.file, self._record, "r", shape=(self._n,))

    def _whole_records(self) -> int:
        try:
            return int(self.file.stat().st_size // self._record.itemsize)
        except OSError:
            return 0


def _record(dimension: int) -> np.dtype[np.void]:
    return np.dtype([("key", "<u8", (2,)), ("check", "<u8"), ("row", "<f4", (dimension,))])


def _record_before_checksums(dimension: int) -> np.dtype[np.void]:
    return np.dtype([("key", "<u8", (2,)), ("row", "<f4", (dimension,))])


def _shard_files(folders: Iterable[Path]) -> list[Path]:
    return [
        file for folder in folders for end in (_SUFFIX_BEFORE_CHECKSUMS, _SUFFIX) for file in folder.glob(f"*{end}")
    ]


def _checks_of(records: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return (n,): the first quarter of the SHA-256 of the key and the vector of each record."""
    digests = [
        hashlib.sha256(key.tobytes() + row.tobytes()).digest()[:8]
        for key, row in zip(records["key"], records["row"], strict=True)
    ]
    return np.frombuffer(b"".join(digests), "<u8")


def _keys_of(texts: Sequence[str]) -> _Keys:
    """Return (n, 2): the first half of the SHA-256 of each text."""
    digests = b"".join(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16] for text in texts)
    return np.frombuffer(digests, "<u8").reshape(-1, 2)
