"""Which queries ask the same: near-copies are held out together, and count once where certainty is measured.

A query in other words has the same answers. Were it learned from while the other one is held out, the measure would
tell how well answers are remembered, not how well the adapter does on queries it has not seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from era.encoders.base import Vectors
from era.method.folds import same_text

Groups = NDArray[np.int64]
"""(n,) group number of each query, from 0 in the order of their first queries."""

MIN_SHARED = 0.5
"""Jaccard similarity of two queries' relevant documents, from which on they are one group."""

_QUANTILE = 0.999
_N_SAMPLED = 1000  # alignment texts
_NEVER_COPIES, _ALWAYS_COPIES = 0.6, 0.9  # small or repetitive collections tell little of what is unusually near


@dataclass(frozen=True, slots=True, eq=False)
class Nearness:
    """From when on two strong vectors mean nearly the same.

    Attributes:
        centre: (p,) mean of the texts that tell it.
        cosine: of vectors less this centre, from which on they count as copies.
    """

    centre: Vectors
    cosine: float

    @classmethod
    def of(cls, text_vectors: Vectors) -> "Nearness | None":
        """Return what (N, p) alignment texts tell; None of fewer than two, and meaning is left out then.

        The first 1,000 are enough, so that queries stay near-copies or not when more texts are read.
        """
        if len(text_vectors) < 2:
            return None
        sampled = text_vectors[:_N_SAMPLED]
        return cls(sampled.mean(axis=0), nearness_of_copies(sampled))


@dataclass(frozen=True, slots=True, eq=False)
class QueryTraits:
    """What tells near-copies among n queries.

    Attributes:
        texts: n of them.
        vectors: (n, p), of the strong embedder, without instruction; rows of 0 where it has not read the query.
        relevant: of each query, document id -> grade above 0.

    Raises:
        ValueError: if the numbers of queries differ.
    """

    texts: Sequence[str]
    vectors: Vectors
    relevant: Sequence[Mapping[str, float]]

    def __post_init__(self) -> None:
        n = len(self.texts)
        if not n == len(self.vectors) == len(self.relevant):
            raise ValueError(
                f"Expected n of each, got {n} texts, {len(self.vectors)} vectors, {len(self.relevant)} judged."
            )


def near_copies(queries: QueryTraits, others: QueryTraits, nearness: Nearness | None) -> NDArray[np.bool_]:
    """Return (n, m): which of n queries are near-copies of which of m others.

    They are if they have the same text, nearly the same meaning, or mostly the same relevant documents. Nearly the
    same meaning is a cosine above all but one in a thousand of those between the alignment texts, where the strong
    vectors are centred on the mean of these texts.

    Args:
        queries: n of them.
        others: m of them, possibly the same.
        nearness: what the alignment texts tell; None leaves meaning out.
    """
    is_alike = _share_answers(queries.relevant, others.relevant)
    rows_of: dict[str, list[int]] = {}
    for row, text in enumerate(others.texts):
        rows_of.setdefault(same_text(text), []).append(row)
    for row, text in enumerate(queries.texts):
        is_alike[row, rows_of.get(same_text(text), [])] = True
    if nearness is not None:
        cosines = _centred(queries.vectors, nearness.centre) @ _centred(others.vectors, nearness.centre).T
        is_alike |= cosines >= nearness.cosine
    return is_alike


def group_queries(
    texts: Sequence[str],
    query_vectors: Vectors,
    text_vectors: Vectors,
    relevant: Sequence[Mapping[str, float]],
) -> Groups:
    """Group queries that are `near_copies`. Likeness is passed on: groups are connected components.

    Args:
        texts: n of them.
        query_vectors: (n, p), as in `QueryTraits`.
        text_vectors: (N, p), of the same embedder; (0, p) if no text was read yet, then meaning is left out.
        relevant: of each query, document id -> grade above 0.

    Raises:
        ValueError: if the numbers of queries differ.
    """
    queries = QueryTraits(texts, query_vectors, relevant)
    return connected(near_copies(queries, queries, Nearness.of(text_vectors)))


def connected(is_alike: NDArray[np.bool_]) -> Groups:
    """Return the connected components of (n, n) likeness."""
    _, found = connected_components(csr_array(is_alike), directed=False)
    first_seen = {group: place for place, group in enumerate(dict.fromkeys(found.tolist()))}
    return np.array([first_seen[group] for group in found.tolist()], np.int64)


def nearness_of_copies(text_vectors: Vectors) -> float:
    """Return the cosine of centred strong vectors from which on two texts count as saying the same.

    Args:
        text_vectors: (N, p), N > 1.
    """
    unit = _centred(text_vectors, text_vectors.mean(axis=0))
    between = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    return float(np.clip(np.quantile(between, _QUANTILE), _NEVER_COPIES, _ALWAYS_COPIES))


def _centred(vectors: Vectors, centre: Vectors) -> Vectors:
    """Return (n, p) of length 1, seen from the centre; rows of 0 stay."""
    moved = (vectors - centre) * vectors.any(axis=1, keepdims=True)
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12), np.float32)


def _share_answers(relevant: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]]) -> NDArray[np.bool_]:
    """Return (n, m): whether two queries have at least half of their relevant documents in common."""
    shared: dict[tuple[int, int], int] = {}
    rows_of: dict[str, list[int]] = {}
    for row, grades in enumerate(others):
        for doc_id in grades:
            rows_of.setdefault(doc_id, []).append(row)
    for row, grades in enumerate(relevant):
        for doc_id in grades:
            for other in rows_of.get(doc_id, ()):
                shared[row, other] = shared.get((row, other), 0) + 1
    found = np.zeros((len(relevant), len(others)), bool)
    for (row, other), n_shared in shared.items():
        found[row, other] = n_shared >= MIN_SHARED * (len(relevant[row]) + len(others[other]) - n_shared)
    return found
