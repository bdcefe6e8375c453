"""Which queries ask the same: near-copies are held out together, and count once where certainty is measured.

A query in other words has the same answers. Were it learned from while the other one is held out, the measure would
tell how well answers are remembered, not how well the adapter does on queries it has not seen.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from era.embedders import Vectors
from era.folds import same_text

Groups = NDArray[np.int64]
"""(n,) group number of each query, from 0 in the order of their first queries."""

MIN_SHARED = 0.5
"""Jaccard similarity of two queries' relevant documents, from which on they are one group."""

_QUANTILE = 0.999
_NEVER_COPIES, _ALWAYS_COPIES = 0.6, 0.9  # small or repetitive collections tell little of what is unusually near


def group_queries(
    texts: Sequence[str],
    query_vectors: Vectors,
    text_vectors: Vectors,
    relevant: Sequence[Mapping[str, float]],
) -> Groups:
    """Group queries of the same text, of nearly the same meaning, or with mostly the same relevant documents.

    Nearly the same meaning is a cosine above all but one in a thousand of those between the alignment texts, where
    the strong vectors are centred on the mean of these texts. Likeness is passed on: groups are connected components.

    Args:
        texts: n of them.
        query_vectors: (n, p), of the strong embedder, without instruction.
        text_vectors: (N, p), of the same embedder; (0, p) if no text was read yet, then meaning is left out.
        relevant: of each query, document id -> grade above 0.

    Raises:
        ValueError: if the numbers of queries differ.
    """
    n = len(texts)
    if not n == len(query_vectors) == len(relevant):
        raise ValueError(f"Expected n of each, got {n} texts, {len(query_vectors)} vectors, {len(relevant)} judged.")
    is_alike = np.eye(n, dtype=bool)
    by_text: dict[str, int] = {}
    for row, text in enumerate(texts):
        is_alike[row, by_text.setdefault(same_text(text), row)] = True
    if len(text_vectors) > 1 and n > 1:
        centre = text_vectors.mean(axis=0)
        is_alike |= _cosines(query_vectors - centre) >= nearness_of_copies(text_vectors)
    is_alike |= _share_answers(relevant)
    return _components(is_alike | is_alike.T)


def nearness_of_copies(text_vectors: Vectors) -> float:
    """Return the cosine of centred strong vectors from which on two texts count as saying the same.

    Args:
        text_vectors: (N, p), N > 1.
    """
    cosines = _cosines(text_vectors - text_vectors.mean(axis=0))
    between = cosines[np.triu_indices(len(cosines), 1)]
    return float(np.clip(np.quantile(between, _QUANTILE), _NEVER_COPIES, _ALWAYS_COPIES))


def _cosines(vectors: Vectors) -> Vectors:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(unit @ unit.T, np.float32)


def _share_answers(relevant: Sequence[Mapping[str, float]]) -> NDArray[np.bool_]:
    """Return (n, n): whether two queries have at least half of their relevant documents in common."""
    n = len(relevant)
    shared: dict[tuple[int, int], int] = {}
    rows_of: dict[str, list[int]] = {}
    for row, grades in enumerate(relevant):
        for doc_id in grades:
            for other in rows_of.setdefault(doc_id, []):
                shared[other, row] = shared.get((other, row), 0) + 1
            rows_of[doc_id].append(row)
    found = np.zeros((n, n), bool)
    for (one, other), n_shared in shared.items():
        found[one, other] = n_shared >= MIN_SHARED * (len(relevant[one]) + len(relevant[other]) - n_shared)
    return found


def _components(is_alike: NDArray[np.bool_]) -> Groups:
    _, found = connected_components(csr_array(is_alike), directed=False)
    first_seen = {group: place for place, group in enumerate(dict.fromkeys(found.tolist()))}
    return np.array([first_seen[group] for group in found.tolist()], np.int64)
