"""Relevance feedback: while a query is judged, its vector moves towards the documents found relevant.

This is for the remaining documents of the same query and is forgotten with it; what carries over to other queries is
learned in `era.adaptation`. Whether relevant documents of one query resemble each other at all differs between
collections, so queries that were judged before decide how far to move. Documents judged not relevant do not push the
vector away: on real collections that cost more than it gained.
"""

from collections.abc import Sequence

import numpy as np

from era.adapter import normalise
from era.candidates import LabelledQueries
from era.embedders import Vectors
from era.evaluation import evaluate
from era.index import DenseIndex
from era.types import ScoredDoc

FEEDBACK_WEIGHTS = (0.0, 0.15, 0.3, 0.5, 0.75)
"""Of the mean relevant document, beside a query vector of length 1; the first is no feedback."""

MIN_QUERIES = 2
"""Labelled queries with two or more relevant documents that must be there before feedback is given at all."""

_MEASURE = "nDCG@10"
_DEPTH = 100


def feed_back(query_vector: Vectors, relevant_vectors: Vectors, grades: Sequence[float], weight: float) -> Vectors:
    """Return the vector (m,) of length 1 in the direction of the query plus `weight` times its mean relevant document.

    Args:
        query_vector: (m,), L2-normalised.
        relevant_vectors: (n, m), L2-normalised; with none the query vector stays.
        grades: n numbers > 0; how much each document counts in the mean.
        weight: >= 0; one of `FEEDBACK_WEIGHTS`.

    Raises:
        ValueError: if the counts differ, a grade is not above 0, or the weight is below 0.

    Source: Rocchio 1971, with no part for the documents that are not relevant.
    """
    if len(grades) != len(relevant_vectors) or any(grade <= 0 for grade in grades) or weight < 0:
        raise ValueError(
            f"Expected {len(relevant_vectors)} grades above 0 and a weight of at least 0, got {list(grades)}, {weight}."
        )
    if not len(grades) or weight == 0:
        return query_vector
    mean = np.average(relevant_vectors, axis=0, weights=grades)
    moved: Vectors = normalise((query_vector + weight * mean)[None])[0]
    return moved


def choose_weight(labelled: LabelledQueries, vectors: Vectors, index: DenseIndex) -> float:
    """Return the weight of feedback that would have helped the labelled queries most.

    Each query with two or more relevant documents is fed back the one it ranks highest, and judged by where the other
    ones then stand: among the documents judged for it, so that documents nobody has seen do not count against
    feedback, or among its top 100 if none was judged not relevant. The weight of the highest mean nDCG@10 is taken;
    without `MIN_QUERIES` such queries it is 0.

    Args:
        labelled: n queries; the one being judged may be among them.
        vectors: (n, m), L2-normalised; the query vectors, held out if an adapter has learned from these labels.
        index: where the document vectors are; searched for queries without a document judged not relevant.
    """
    rows = [row for row in range(len(labelled)) if len(labelled.relevant[row]) > 1]
    if len(rows) < MIN_QUERIES:
        return 0.0
    trials = [_Trial(labelled, row, vectors[row], index) for row in rows]
    qrels = {str(row): trial.others for row, trial in zip(rows, trials, strict=True)}
    means = []
    for weight in FEEDBACK_WEIGHTS:
        run = {str(row): trial.rank(weight) for row, trial in zip(rows, trials, strict=True)}
        means.append(np.mean(list(evaluate(qrels, run, [_MEASURE])[_MEASURE].values())))
    return FEEDBACK_WEIGHTS[int(np.argmax(means))]


class _Trial:
    """One labelled query whose highest ranked relevant document is fed back; `others` are still to be found."""

    def __init__(self, labelled: LabelledQueries, row: int, query_vector: Vectors, index: DenseIndex) -> None:
        relevant, not_relevant = labelled.relevant[row], list(labelled.not_relevant[row])
        if not not_relevant:
            top = index.search(query_vector[None], _DEPTH)[0]
            not_relevant = [doc.doc_id for doc in top if doc.doc_id not in relevant]
        relevant_vectors = index.vectors(relevant)
        best = list(relevant)[int((relevant_vectors @ query_vector).argmax())]
        self.others = {doc_id: grade for doc_id, grade in relevant.items() if doc_id != best}
        self._query_vector, self._fed_back = query_vector, index.vectors([best])
        self._doc_ids = sorted([*self.others, *not_relevant])
        self._doc_vectors = index.vectors(self._doc_ids)

    def rank(self, weight: float) -> list[ScoredDoc]:
        scores = self._doc_vectors @ feed_back(self._query_vector, self._fed_back, [1.0], weight)
        return [ScoredDoc(self._doc_ids[place], float(scores[place])) for place in np.argsort(-scores, kind="stable")]
