"""Why a document moved: what each labelled query adds to the change of a score, exactly.

What is learned beyond the blend is a sum over the labelled queries it was learned from: a query moves in the direction
that each of them pulls, as far as its features are like theirs. So a change of score splits into one number for each of
them and one for the blend. Every labelled query is explained by the fit that ranked it, which has not seen its labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from era.adapter import QueryAdapter, QueryView
from era.alignment import Matrix
from era.blends import Blend
from era.embedders import EncodedQueries, Vectors
from era.errors import AdapterDamagedError

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


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the score of a document changed; `before + weighing + sum(by_query.values())` is `after`.

    A change that raises all documents alike changes no place; the relative numbers are those of this document less
    their mean over the documents of the background, so they tell why it rose or fell among these.

    Attributes:
        before: cosine of query and document by the aligned adapter.
        after: the same by the adapter that ranks this query.
        weighing: what weighing the halves anew contributes, and the change of length with it.
        by_query: labelled query id -> what its labels contribute.
        relative_weighing: as `weighing`, less the mean of the background.
        relative_by_query: as `by_query`, less the mean of the background.
    """

    before: float
    after: float
    weighing: float
    by_query: Mapping[str, float]
    relative_weighing: float
    relative_by_query: Mapping[str, float]


def explain(
    influence: Influence,
    aligned: QueryAdapter,
    encoded: EncodedQueries,
    document: Vectors,
    background: Vectors,
    query_id: str | None,
) -> Explanation:
    """Return why the score of one document (m,) changed; see `explain_documents`."""
    return explain_documents(influence, aligned, encoded, document[None], background, query_id)[0]


def explain_documents(
    influence: Influence,
    aligned: QueryAdapter,
    encoded: EncodedQueries,
    documents: Vectors,
    background: Vectors,
    query_id: str | None,
) -> list[Explanation]:
    """Return for each document why its score for one query changed from the aligned to the trained adapter.

    Args:
        influence: of the trained adapter.
        aligned: the adapter it was learned from.
        encoded: of the one query.
        documents: (k, m) of length 1.
        background: (b, m) of length 1, b > 0; the documents to compare with, such as all that both rankings show.
        query_id: of the query; if it is one of the labelled ones, the fit that has not seen its labels is explained.

    Raises:
        ValueError: if there is not exactly one query, no background, or the adapter is not the one that was aligned.
    """
    if len(encoded) != 1 or not len(background):
        raise ValueError(f"Expected one query and a background, got {len(encoded)} and {len(background)} documents.")
    fit = influence.fit_of(query_id)
    likeness = _likeness(influence, aligned, encoded)
    before = aligned.transform(encoded)[0].astype(np.float64)
    start = _raw_vector(Blend(influence.blends[fit]).apply(aligned), encoded)
    pulls = likeness[:, None] * influence.moves[fit]  # (n, m)
    length = max(float(np.linalg.norm(start + pulls.sum(axis=0))), 1e-12)
    weighing, by_query = start / length - before, pulls / length

    own, others = documents.astype(np.float64), background.mean(axis=0, dtype=np.float64)
    contributions, common = by_query @ own.T, by_query @ others  # (n, k), (n,)
    return [
        Explanation(
            before=float(before @ row),
            after=float((before + weighing + by_query.sum(axis=0)) @ row),
            weighing=float(weighing @ row),
            by_query=_by_id(influence, column),
            relative_weighing=float(weighing @ (row - others)),
            relative_by_query=_by_id(influence, column - common),
        )
        for row, column in zip(own, contributions.T, strict=True)
    ]


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


def _by_id(influence: Influence, contributions: Matrix) -> dict[str, float]:
    return dict(zip(influence.query_ids, contributions.tolist(), strict=True))
