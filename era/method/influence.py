"""Why a document moved: what aligning, the blend and each labelled query add to the change of a score.

What is learned beyond the blend is a sum over the labelled queries it was learned from: a query moves in the direction
that each of them pulls, as far as its features are like theirs. So every vector that a query is searched with is a sum,
and the change of a score between any two of them splits into what these sums differ by. Every labelled query is
explained by the fit that ranked it, which has not seen its labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from era.adapter import QueryAdapter, QueryView, normalise
from era.encoders.base import EncodedQueries, Vectors
from era.errors import AdapterDamagedError
from era.method.alignment import Matrix
from era.method.fusion import Blend

_ARRAY_NAMES = {"keys": "influence.keys", "centre": "influence.centre", "moves": "influence.moves"}


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """What n labelled queries contribute to what an adapter learned, in 1 + F fits.

    Fit 0 is deployed; fit 1 + f ranks the queries of fold f, whose labels it has not seen. In each, a query with linear
    features x moves, before it is normalised, by the sum over i of `(x - centre) . keys[i]` times `moves[fit, i]`.

    Attributes:
        query_ids: of the labelled queries.
        views: whose features may be weighed anew, in the order of `keys`.
        keys: (n, d).
        centre: (d,).
        moves: (1 + F, n, m); 0 where a fit has not seen the labels of a query.
        blends: for each fit, what the weight of each half is multiplied by.
        folds: for each labelled query, the number of its fold.
    """

    query_ids: Sequence[str]
    views: tuple[QueryView, ...]
    keys: Vectors
    centre: Vectors
    moves: Vectors
    blends: Sequence[Mapping[QueryView, float]]
    folds: Sequence[int]

    def __post_init__(self) -> None:
        n, d = self.keys.shape
        expected = (len(self.blends), n)
        if self.moves.ndim != 3 or self.moves.shape[:2] != expected or self.centre.shape != (d,):
            raise ValueError(
                f"Keys {self.keys.shape}, centre {self.centre.shape} and moves {self.moves.shape} do not fit together."
            )
        if not n == len(self.query_ids) == len(self.folds) or max(self.folds, default=-1) + 1 >= len(self.blends):
            raise ValueError(f"Expected ids and folds of {n} queries, and a blend for each of {len(self.moves)} fits.")

    def arrays(self) -> dict[str, Vectors]:
        """Return what to keep beside the weights of the adapter; see `QueryAdapter.save`."""
        return {name: getattr(self, part) for part, name in _ARRAY_NAMES.items()}

    def facts(self) -> dict[str, Any]:
        """Return the rest of it, JSON-ready."""
        return {
            "query_ids": list(self.query_ids),
            "views": list(self.views),
            "blends": [dict(blend) for blend in self.blends],
            "folds": [int(fold) for fold in self.folds],
        }

    @classmethod
    def from_saved(cls, arrays: Mapping[str, Vectors], facts: Mapping[str, Any]) -> "Influence":
        """Return what was saved as `arrays` and `facts`.

        Raises:
            AdapterDamagedError: if something is missing or does not fit together.
        """
        try:
            return cls(
                query_ids=list(facts["query_ids"]),
                views=tuple(facts["views"]),
                blends=[dict(blend) for blend in facts["blends"]],
                folds=[int(fold) for fold in facts["folds"]],
                **{part: np.asarray(arrays[name], np.float32) for part, name in _ARRAY_NAMES.items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AdapterDamagedError(
                f"What explains the saved adapter is missing or damaged ({error}). Your marks are safe; train again."
            ) from error

    def fit_of(self, query_id: str | None) -> int:
        """Return which fit ranks a query: that of its fold if it is labelled, else the deployed one."""
        place = {own: i for i, own in enumerate(self.query_ids)}
        return 0 if query_id not in place else 1 + self.folds[place[query_id]]


@dataclass(frozen=True, slots=True, eq=False)
class VectorParts:
    """The vector (m,) that a query is searched with, as the sum of what put it there.

    Attributes:
        light: the light embedder's own vector.
        aligning: what aligning the two embedders moved it by.
        weighing: what weighing the halves anew moved it by, as it would alone.
        length: what scaling the sum to length 1 moved what was there before any label moved it.
        by_query: labelled query id -> what its labels moved it by.
    """

    light: Matrix
    aligning: Matrix
    weighing: Matrix
    length: Matrix
    by_query: Mapping[str, Matrix] = field(default_factory=dict)

    @property
    def vector(self) -> Matrix:
        """Return (m,): the sum."""
        return sum(self.by_query.values(), self.light + self.aligning + self.weighing + self.length)


def light_parts(encoded: EncodedQueries) -> VectorParts:
    """Return the parts of the one query's vector by the light embedder alone."""
    light = normalise(_one(encoded).light)[0].astype(np.float64)
    nothing = np.zeros_like(light)
    return VectorParts(light, aligning=nothing, weighing=nothing, length=nothing)


def aligned_parts(aligned: QueryAdapter, encoded: EncodedQueries) -> VectorParts:
    """Return the parts of the one query's vector by an aligned adapter."""
    parts = light_parts(encoded)
    return replace(parts, aligning=aligned.transform(encoded)[0] - parts.light)


def trained_parts(
    influence: Influence, aligned: QueryAdapter, encoded: EncodedQueries, query_id: str | None
) -> VectorParts:
    """Return the parts of the one query's vector by a trained adapter.

    Args:
        influence: of the trained adapter.
        aligned: the adapter it was learned from.
        encoded: of the one query.
        query_id: of the query; if it is one of the labelled ones, the fit that has not seen its labels is taken apart.

    Raises:
        ValueError: if there is not exactly one query, or the adapter is not the one that was aligned.
    """
    parts = aligned_parts(aligned, encoded)
    fit = influence.fit_of(query_id)
    pulls = _likeness(influence, aligned, encoded)[:, None] * influence.moves[fit]  # (n, m)
    start = _raw_vector(Blend(influence.blends[fit]).apply(aligned), encoded)
    blended = start / _length(start)
    length = _length(start + pulls.sum(axis=0))
    return replace(
        parts,
        weighing=blended - (parts.light + parts.aligning),
        length=start / length - blended,
        by_query=dict(zip(influence.query_ids, pulls / length, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the change of a document's score is made of.

    `aligning + weighing + length + sum(by_query.values()) + common` is `change`. These are shares of one sum and no
    causes: without a labelled query the others would have been learned from otherwise, and take over some of its share.

    A change that raises all documents alike changes no place. So it stands apart, as `common`, and the other numbers
    are those of this document less their mean over the documents of the background: they tell why it rose or fell
    among these.

    Attributes:
        change: of the cosine of query and document.
        aligning: what aligning contributes.
        weighing: what weighing the halves anew contributes.
        length: what scaling the vector to length 1 contributes.
        by_query: labelled query id -> what its labels contribute.
        common: the mean change over the background.
    """

    change: float
    aligning: float
    weighing: float
    length: float
    by_query: Mapping[str, float]
    common: float


def explain(before: VectorParts, after: VectorParts, document: Vectors, background: Vectors) -> Explanation:
    """Return what the change of a document's score between two vectors of one query is made of.

    Args:
        before: the vector it was searched with.
        after: the vector it is searched with.
        document: (m,) of length 1.
        background: (b, m) of length 1, b > 0; the documents to compare with, such as all that both rankings show.

    Raises:
        ValueError: if there is no background.
    """
    if not len(background):
        raise ValueError("Expected documents to compare with, got none.")
    own, others = document.astype(np.float64), background.mean(axis=0, dtype=np.float64)
    lead = own - others
    nothing = np.zeros_like(own)
    moves = {
        query_id: after.by_query.get(query_id, nothing) - before.by_query.get(query_id, nothing)
        for query_id in dict.fromkeys([*after.by_query, *before.by_query])
    }
    aligning, weighing = after.aligning - before.aligning, after.weighing - before.weighing
    length = after.length - before.length
    moved = aligning + weighing + length + sum(moves.values(), nothing)
    return Explanation(
        change=float(moved @ own),
        aligning=float(aligning @ lead),
        weighing=float(weighing @ lead),
        length=float(length @ lead),
        by_query={query_id: float(move @ lead) for query_id, move in moves.items()},
        common=float(moved @ others),
    )


def linear_features(adapter: QueryAdapter, views: Sequence[QueryView], queries: EncodedQueries) -> Vectors:
    """Return (n, d): the features of some of the adapter's views side by side."""
    features = adapter.features(queries)
    return np.concatenate([features[:, adapter.rows(view)] for view in views], axis=1)


def _likeness(influence: Influence, aligned: QueryAdapter, encoded: EncodedQueries) -> Matrix:
    """Return (n,): how much of each labelled query's move the one query makes."""
    if not set(influence.views) <= set(aligned.views):
        raise ValueError(f"An adapter with views {aligned.views} has not learned by the views {influence.views}.")
    features = linear_features(aligned, influence.views, encoded)[0].astype(np.float64)
    if features.shape != influence.centre.shape:
        raise ValueError(f"Expected {len(influence.centre)} features to explain, got {len(features)}.")
    return np.asarray(influence.keys @ (features - influence.centre), np.float64)


def _raw_vector(adapter: QueryAdapter, encoded: EncodedQueries) -> Matrix:
    """Return (m,), of any length: where the adapter puts the one query."""
    return np.asarray(adapter.features(encoded)[0] @ adapter.weight + adapter.bias, np.float64)


def _length(vector: Matrix) -> float:
    return max(float(np.linalg.norm(vector)), 1e-12)


def _one(encoded: EncodedQueries) -> EncodedQueries:
    if len(encoded) != 1:
        raise ValueError(f"Expected one query, got {len(encoded)}.")
    return encoded
