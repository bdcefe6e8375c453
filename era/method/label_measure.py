"""How well labelled queries are ranked, which decides what is kept of what they teach: nDCG, matching words included.

How much words count can be decided by it as well. One number is learned from a handful of labels, so the choice is
from a short list, and each step away from the usual weight has to be worth something.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.index.lexical import WORD_WEIGHT, Candidates, LexicalIndex, Matching
from era.method.candidates import LabelledQueries

WORD_WEIGHTS = (0.5, 0.25, 1.0, 0.1, 2.0, 0.0)
"""What matching words may weigh; the first is what they weigh without labels."""

WORD_STEP_COST = 0.025
"""In nDCG: what the mean gain over n queries must exceed for each step away from the usual weight, times sqrt(n)."""

_WORD_STEPS = np.array([0, 1, 1, 2, 2, 3])
_DEPTH = 100


@dataclass(frozen=True, slots=True, eq=False)
class LabelMeasure:
    """nDCG@100 of n labelled queries, unjudged documents counted as not relevant.

    Attributes:
        labelled: the queries.
        index: that is searched.
        lexical: the words of its documents; None where they do not count.
        matching: what words say for each query; empty where they do not count.
    """

    labelled: LabelledQueries
    index: DenseIndex
    lexical: LexicalIndex | None
    matching: Sequence[Matching]

    @classmethod
    def of(cls, labelled: LabelledQueries, index: DenseIndex, lexical: LexicalIndex | None = None) -> "LabelMeasure":
        """Match the words of each query once, if they count."""
        matching = [] if lexical is None else [lexical.matching(query.text, _DEPTH) for query in labelled.queries]
        return cls(labelled, index, lexical, matching)

    def values(self, vectors: Vectors, word_weights: float | Sequence[float] = WORD_WEIGHT) -> NDArray[np.float64]:
        """Return (n,): nDCG@100 of each query, searched for with its row of (n, m) of length 1.

        Source: Järvelin and Kekäläinen 2002, with gain = grade and discount log2(rank + 1), as trec_eval computes it.
        """
        each_weight = np.broadcast_to(word_weights, len(self.labelled)).tolist()
        found = self._candidates(np.arange(len(self.labelled)), vectors)
        return np.array([self._ndcg(i, each, [each_weight[i]])[0] for i, each in enumerate(found)])

    def by_word_weight(self, rows: NDArray[np.int64], vectors: Vectors) -> NDArray[np.float64]:
        """Return (W, k): nDCG@100 of the queries `rows`, searched for with (k, m), with each of `WORD_WEIGHTS`."""
        found = self._candidates(rows, vectors)
        values = [self._ndcg(int(i), each, WORD_WEIGHTS) for i, each in zip(rows, found, strict=True)]
        return np.array(values).reshape(len(rows), len(WORD_WEIGHTS)).T

    def choose_word_weight(self, rows: NDArray[np.int64], vectors: Vectors) -> float:
        """Return the weight of words with the highest mean gain over queries `rows`, less the cost of its steps."""
        if self.lexical is None or not len(rows):
            return WORD_WEIGHT
        values = self.by_word_weight(rows, vectors)
        gains = (values - values[0]).mean(axis=1)
        return WORD_WEIGHTS[int((gains - WORD_STEP_COST / np.sqrt(len(rows)) * _WORD_STEPS).argmax())]

    def _candidates(self, rows: NDArray[np.int64], vectors: Vectors) -> list[Candidates]:
        if self.lexical is not None:
            return self.lexical.candidates([self.matching[row] for row in rows], vectors, _DEPTH)
        return [
            Candidates(
                [doc.doc_id for doc in ranking], np.array([doc.score for doc in ranking]), np.zeros(len(ranking))
            )
            for ranking in self.index.search(vectors, _DEPTH)
        ]

    def _ndcg(self, row: int, found: Candidates, weights: Sequence[float]) -> list[float]:
        """Return nDCG@100 of one query with words of each weight."""
        grades = self.labelled.relevant[row]
        gains = np.array([grades.get(doc_id, 0.0) for doc_id in found.doc_ids])
        best = np.sort(np.array(list(grades.values())))[::-1][:_DEPTH]
        discounts = 1 / np.log2(np.arange(2, _DEPTH + 2))
        ideal = float(best @ discounts[: len(best)])
        ordered = (gains[found.order(weight, _DEPTH)] for weight in weights)
        return [float(each @ discounts[: len(each)]) / ideal for each in ordered]
