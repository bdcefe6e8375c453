"""Rankings kept by content, so that a comparison opened again is not searched for again, nor after a restart.

A name stands for everything that decides a ranking: what ranks, over which documents, for which query. So nothing in
here ever becomes wrong; it is only forgotten, what was used longest ago first.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from era.cache import Cache
from era.types import ScoredDoc

_LIMIT_BYTES = 256 << 20
_SCORE, _NUMBER = np.dtype("<f8"), np.dtype("<i4")


class RunCache:
    """The rankings of one collection in a folder; safe to use from several threads."""

    def __init__(self, folder: Path, doc_ids: Sequence[str]) -> None:
        """Use `folder`, which need not exist; `doc_ids` are the documents in the order of the corpus."""
        self._values = Cache(folder / "cache.sqlite3", _LIMIT_BYTES)
        self._doc_ids = doc_ids
        for file in folder.glob("*.safetensors"):  # of versions up to 0.7
            with suppress(OSError):
                file.unlink()

    def find(self, ranker: str, queries: Iterable[bytes], depth: int) -> dict[bytes, list[ScoredDoc]]:
        """Return the known rankings down to `depth`, by query.

        Args:
            ranker: stands for what ranks, and over which documents.
            queries: bytes that stand for a query each.
            depth: how many documents are asked for.
        """
        found = {}
        for query, value in self._values.find(ranker, list(dict.fromkeys(queries))).items():
            n = len(value) // (_SCORE.itemsize + _NUMBER.itemsize)
            scores = np.frombuffer(value, _SCORE, n)
            rows = np.frombuffer(value, _NUMBER, n + 1, scores.nbytes)  # and how deep was searched
            if rows[n] >= depth:
                pairs = zip(rows[:n][:depth].tolist(), scores[:depth].tolist(), strict=True)
                found[query] = [ScoredDoc(self._doc_ids[row], score) for row, score in pairs]
        return found

    def keep(self, ranker: str, rankings: Mapping[bytes, Sequence[ScoredDoc]], depth: int) -> None:
        """Remember rankings that were searched for to `depth`."""
        values = {}
        for query, ranking in rankings.items():
            scores = np.array([doc.score for doc in ranking], _SCORE)
            rows = np.array([*(self._rows[doc.doc_id] for doc in ranking), depth], _NUMBER)
            values[query] = scores.tobytes() + rows.tobytes()
        self._values.keep(ranker, values)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {doc_id: row for row, doc_id in enumerate(self._doc_ids)}
