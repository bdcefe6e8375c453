"""Relevance feedback: while a query is judged, its vector and its words move towards the documents found relevant.

This is for the remaining documents of the same query and is forgotten with it; what carries over to other queries is
learned in `era.method.adaptation`. Whether relevant documents of one query resemble each other at all differs between
collections, so queries that were judged before decide how far to move (`Trials`). Documents judged not relevant do not
push the query away: on real collections that cost more than it gained.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from era.adapter import normalise
from era.encoders.base import Vectors
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex, Terms
from era.method.candidates import LabelledQueries
from era.types import ScoredDoc

FEEDBACK_WEIGHTS = (0.0, 0.15, 0.3, 0.5, 0.75)
"""Of the mean relevant document, beside a query vector of length 1; the first is no feedback."""

FEEDBACK_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Of the words of the mean relevant document, where the query has the rest; the first is no feedback."""

MIN_QUERIES = 2
"""Labelled queries with two or more relevant documents that must be there before feedback is given at all."""

_N_TERMS = 20  # of the mean relevant document, the highest; common words below them cost time and gain nothing
_CUTOFF = 10
_MEASURE = f"nDCG@{_CUTOFF}"
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


def expand(lexical: LexicalIndex, text: str, relevant: Mapping[str, float], share: float) -> Terms:
    """Return the words of a query with those of its mean relevant document, which together weigh `share` of 1.

    A relevant document is its BM25 weights, brought to length 1; the highest terms of their mean count.

    Args:
        lexical: the words of the corpus.
        text: of the query, without instruction.
        relevant: document id -> grade > 0; how much each document counts in the mean.
        share: in [0, 1]; one of `FEEDBACK_SHARES`.

    Source: Rocchio 1971, with no part for the documents that are not relevant.
    """
    own, fed_back = _parts(lexical, text, relevant)
    return {stem: (1 - share) * own.get(stem, 0) + share * fed_back.get(stem, 0) for stem in {**own, **fed_back}}


def _parts(lexical: LexicalIndex, text: str, relevant: Mapping[str, float]) -> tuple[Terms, Terms]:
    """Return the words of a query and those of its mean relevant document, each with weights that add up to 1."""
    mean: dict[str, float] = defaultdict(float)
    for doc_id, grade in relevant.items():
        terms = lexical.document_terms(doc_id)
        length = math.hypot(*terms.values())
        for stem, weight in terms.items():
            mean[stem] += grade * weight / length
    highest = sorted(mean.items(), key=lambda term: -term[1])[:_N_TERMS]
    return _adding_up_to_1(lexical.terms(text)), _adding_up_to_1(dict(highest))


def _adding_up_to_1(terms: Terms) -> Terms:
    total = sum(terms.values())
    return {stem: weight / total for stem, weight in terms.items()}


class Trials:
    """What labelled queries tell of feedback, each judged by what it would have done for them.

    Each query with two or more relevant documents is fed back the one that its vector ranks highest, and judged by
    where the other ones then stand: among the documents judged for it, so that documents that were never shown do
    not count against feedback, or among its top 100 if none was judged not relevant. What gives the highest mean
    nDCG@10 is chosen; without `MIN_QUERIES` such queries it is no feedback.
    """

    def __init__(self, labelled: LabelledQueries, vectors: Vectors, index: DenseIndex) -> None:
        """Try n queries on the documents of `index`.

        Args:
            labelled: n queries; not the one being judged.
            vectors: (n, m), L2-normalised; the query vectors, held out if an adapter has learned from these labels.
            index: where the document vectors are; searched for queries without a document judged not relevant.
        """
        rows = [row for row in range(len(labelled)) if len(labelled.relevant[row]) > 1]
        self._trials = [_Trial(labelled, row, vectors[row], index) for row in rows] if len(rows) >= MIN_QUERIES else []

    def choose_weight(self) -> float:
        """Return the one of `FEEDBACK_WEIGHTS` to move vectors by, from rankings by vectors alone."""
        scores = [np.stack([trial.cosines(weight) for weight in FEEDBACK_WEIGHTS]) for trial in self._trials]
        return FEEDBACK_WEIGHTS[self._best(scores)]

    def choose_share(self, weight: float, lexical: LexicalIndex, word_weights: Sequence[float]) -> float:
        """Return the one of `FEEDBACK_SHARES` to expand words by, from rankings in which they count.

        Args:
            weight: that vectors are moved by.
            lexical: the words of the documents of the index.
            word_weights: n numbers >= 0; what words weigh for each labelled query.
        """
        scores = [trial.with_words(weight, lexical, word_weights[trial.row]) for trial in self._trials]
        return FEEDBACK_SHARES[self._best(scores)]

    def _best(self, scores: Sequence[NDArray[np.floating]]) -> int:
        """Return which of s ways to score is best, the first without trials; `scores` has (s, c) for each trial."""
        if not self._trials:
            return 0
        qrels = {str(trial.row): trial.others for trial in self._trials}
        means = []
        for way in range(len(scores[0])):
            run = {str(trial.row): trial.top(rows[way]) for trial, rows in zip(self._trials, scores, strict=True)}
            means.append(np.mean(list(evaluate(qrels, run, [_MEASURE])[_MEASURE].values())))
        return int(np.argmax(means))


class _Trial:
    """One labelled query whose highest ranked relevant document is fed back; `others` are still to be found."""

    def __init__(self, labelled: LabelledQueries, row: int, query_vector: Vectors, index: DenseIndex) -> None:
        relevant, not_relevant = labelled.relevant[row], list(labelled.not_relevant[row])
        if not not_relevant:
            top = index.search(query_vector[None], _DEPTH)[0]
            not_relevant = [doc.doc_id for doc in top if doc.doc_id not in relevant]
        relevant_vectors = index.vectors(relevant)
        self._known = list(relevant)[int((relevant_vectors @ query_vector).argmax())]
        self.row = row
        self.others = {doc_id: grade for doc_id, grade in relevant.items() if doc_id != self._known}
        self._text, self._query_vector = labelled.queries[row].text, query_vector
        self._fed_back = index.vectors([self._known])
        self._doc_ids = sorted([*self.others, *not_relevant])
        self._doc_vectors = index.vectors(self._doc_ids)

    def cosines(self, weight: float) -> Vectors:
        """Return (c,): of the c documents and the query moved by this weight."""
        cosines: Vectors = self._doc_vectors @ self._moved(weight)
        return cosines

    def with_words(self, weight: float, lexical: LexicalIndex, word_weight: float) -> NDArray[np.floating]:
        """Return (s, c): these cosines plus what words add to them, for each of `FEEDBACK_SHARES`."""
        moved = self._moved(weight)
        mixtures = np.array([[1 - share, share] for share in FEEDBACK_SHARES])
        parts = _parts(lexical, self._text, {self._known: 1.0})
        added = lexical.added_by_mixtures(parts, mixtures, moved, self._doc_ids)
        return self._doc_vectors @ moved + word_weight * added

    def _moved(self, weight: float) -> Vectors:
        return feed_back(self._query_vector, self._fed_back, [1.0], weight)

    def top(self, scores: NDArray[np.floating]) -> list[ScoredDoc]:
        """Return as many documents as the measure looks at, by (c,) scores, best first."""
        places = np.argsort(-scores, kind="stable")[:_CUTOFF]
        return [ScoredDoc(self._doc_ids[place], float(scores[place])) for place in places]
