"""Rankings kept by content, so that a comparison opened again is not searched for again, nor after a restart.

A name stands for everything that decides a ranking: what ranks, over which documents, for which query. So nothing in
here ever becomes wrong; it is only forgotten, what was used longest ago first.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from era.errors import DamagedFileError
from era.intact import load_arrays, save_arrays
from era.types import ScoredDoc

logger = logging.getLogger(__name__)

MAX_QUERIES = 5000  # of one ranker
MAX_MEMORY_BYTES = 128 * 2**20  # of all rankers
MAX_BYTES = 256 * 2**20  # of all files

_KEY_BYTES = 32
_OVERHEAD_BYTES = 600  # of one ranking, beside what it holds


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """One ranking: rows of the corpus and scores, best first, searched for to `depth` places."""

    depth: int
    rows: NDArray[np.int32]
    scores: NDArray[np.float64]

    @property
    def n_bytes(self) -> int:
        """Return what it takes in memory."""
        return self.rows.nbytes + self.scores.nbytes + _OVERHEAD_BYTES


_Rankings = OrderedDict[bytes, _Kept]


class RunCache:
    """The rankings of one collection, in memory and in a folder; safe to use from several threads."""

    def __init__(self, folder: Path, doc_ids: Sequence[str]) -> None:
        """Use `folder`, which need not exist; `doc_ids` are the documents in the order of the corpus."""
        self._folder = folder
        self._doc_ids = doc_ids
        self._rows: dict[str, int] = {}
        self._rankers: OrderedDict[str, _Rankings] = OrderedDict()
        self._n_bytes: dict[str, int] = {}  # of each ranker in memory
        self._lock = Lock()  # of what is in memory
        self._keeping = Lock()  # taken before the other, and held while a file is written

    def find(self, ranker: str, queries: Iterable[bytes], depth: int) -> dict[bytes, list[ScoredDoc]]:
        """Return the known rankings down to `depth`, by query.

        Args:
            ranker: 64 hexadecimal digits that stand for what ranks, and over which documents.
            queries: 32 bytes each, that stand for a query.
            depth: how many documents are asked for.
        """
        with self._lock:
            known = self._rankings(ranker)
            found = {query: known[query] for query in queries if query in known and known[query].depth >= depth}
            for query in found:
                known.move_to_end(query)
        return {query: self._ranking(kept, depth) for query, kept in found.items()}

    def keep(self, ranker: str, rankings: Mapping[bytes, Sequence[ScoredDoc]], depth: int) -> None:
        """Remember rankings that were searched for to `depth`; what cannot be written is only kept in memory."""
        if not rankings:
            return
        with self._keeping:
            if not self._rows:
                self._rows = {doc_id: row for row, doc_id in enumerate(self._doc_ids)}
            fresh = {query: self._kept(ranking, depth) for query, ranking in rankings.items()}
            with self._lock:
                known = self._rankings(ranker)
                for query, kept in fresh.items():
                    known[query] = kept
                    known.move_to_end(query)
                while len(known) > MAX_QUERIES:
                    known.popitem(last=False)
                self._forget_beyond_memory(ranker)
                written = known.copy()
            try:
                self._write(self._file(ranker), written)
                self._make_room()
            except (OSError, SafetensorError) as error:
                logger.warning("Rankings cannot be kept for the next start: %s", error)

    def _kept(self, ranking: Sequence[ScoredDoc], depth: int) -> _Kept:
        rows = np.array([self._rows[doc.doc_id] for doc in ranking], np.int32)
        return _Kept(depth, rows, np.array([doc.score for doc in ranking], np.float64))

    def _ranking(self, kept: _Kept, depth: int) -> list[ScoredDoc]:
        pairs = zip(kept.rows[:depth].tolist(), kept.scores[:depth].tolist(), strict=True)
        return [ScoredDoc(self._doc_ids[row], score) for row, score in pairs]

    def _rankings(self, ranker: str) -> _Rankings:
        if ranker not in self._rankers:
            self._rankers[ranker] = self._read(self._file(ranker))
            self._forget_beyond_memory(ranker)
        self._rankers.move_to_end(ranker)
        return self._rankers[ranker]

    def _forget_beyond_memory(self, changed: str) -> None:
        """Let go of the rankers that were used longest ago if all take too much, but never of the changed one."""
        self._n_bytes[changed] = sum(kept.n_bytes for kept in self._rankers[changed].values())
        total = sum(self._n_bytes.values())
        for ranker in [each for each in self._rankers if each != changed]:
            if total <= MAX_MEMORY_BYTES:
                return
            del self._rankers[ranker]
            total -= self._n_bytes.pop(ranker)

    def _file(self, ranker: str) -> Path:
        return self._folder / f"{ranker}.safetensors"

    def _read(self, file: Path) -> _Rankings:
        """Return what a file holds; nothing if there is none or it is damaged."""
        if not file.is_file():
            return OrderedDict()
        try:
            kept, _ = load_arrays(file)
            queries, depths, ends = kept["queries"], kept["depths"], kept["ends"]
            rows, scores = kept["rows"], kept["scores"]
            lengths = np.diff(ends, prepend=0)
            if queries.shape != (len(depths), _KEY_BYTES) or not len(rows) == len(scores) == lengths.sum():
                raise ValueError("counts differ")
            if (lengths < 0).any() or (lengths > depths).any():
                raise ValueError("lengths and depths do not fit")
            if not np.isfinite(scores).all():
                raise ValueError("scores that are no numbers")
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._doc_ids):
                raise ValueError("documents that are not there")
            parts = zip(depths.tolist(), np.split(rows, ends[:-1]), np.split(scores, ends[:-1]), strict=True)
            return OrderedDict(
                (query.tobytes(), _Kept(depth, own_rows.copy(), own_scores.copy()))  # not a view, which holds it all
                for query, (depth, own_rows, own_scores) in zip(queries, parts, strict=True)
            )
        except (DamagedFileError, ValueError, KeyError, TypeError, IndexError) as error:
            logger.warning("The rankings kept in %s are damaged (%s); searching again.", file.name, error)
            return OrderedDict()

    def _write(self, file: Path, known: _Rankings) -> None:
        """Write a file that appears only when complete."""
        self._folder.mkdir(parents=True, exist_ok=True)
        rankings = list(known.values())
        arrays: dict[str, NDArray[Any]] = {
            "queries": np.frombuffer(b"".join(known), np.uint8).reshape(-1, _KEY_BYTES),
            "depths": np.array([each.depth for each in rankings], np.int32),
            "ends": np.cumsum([len(each.rows) for each in rankings], dtype=np.int64),
            "rows": np.concatenate([each.rows for each in rankings]),
            "scores": np.concatenate([each.scores for each in rankings]),
        }
        save_arrays(file, arrays)

    def _make_room(self) -> None:
        """Delete the files that were written longest ago, if all together take too much."""
        files = sorted(self._folder.glob("*.safetensors"), key=lambda file: -file.stat().st_mtime_ns)
        sizes = np.cumsum([file.stat().st_size for file in files])
        for file, size in list(zip(files, sizes, strict=True))[1:]:
            if size > MAX_BYTES:
                file.unlink(missing_ok=True)
