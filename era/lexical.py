"""Matching words: a BM25 run over the same documents, as a second signal beside the adapted query vector.

The adapter moves one vector in a small space; names, numbers and rare terms may get lost in it. They are counted here,
and added to the cosine where that is asked for. Nothing here is learned.
"""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from era.corpus import Corpus
from era.embedders import Vectors
from era.index import DenseIndex
from era.types import ScoredDoc
from era.words import WordReader

if TYPE_CHECKING:
    import bm25s  # imported when words are counted: it takes half a second, and a page can be shown meanwhile

WORD_WEIGHT = 0.25
"""Of a BM25 score, when both signals are counted in standard deviations over the corpus."""

_DEPTH = 100  # candidates of each signal
_N_SAMPLED = 1000  # documents that tell how much cosines vary


class LexicalIndex:
    """The words of a corpus beside its vectors, by stems of its language, scored by BM25 (k1 1.5, b 0.75)."""

    def __init__(self, corpus: Corpus, index: DenseIndex) -> None:
        """Count the words of every document's title and text; `index` holds vectors of the same documents."""
        from bm25s import BM25

        self._doc_ids = list(corpus.doc_ids)
        self._take(index)
        contents = corpus.contents(self._doc_ids)
        self._reader = WordReader.of(contents)
        tokens = self._reader.read(contents)
        self._bm25: bm25s.BM25 | None = None
        if any(tokens):
            self._bm25 = BM25(k1=1.5, b=0.75)
            self._bm25.index(tokens, show_progress=False)

    def _take(self, index: DenseIndex) -> None:
        self._index = index
        self._sample = index.vectors(index.sample(_N_SAMPLED, seed=0))

    def beside(self, index: DenseIndex) -> "LexicalIndex":
        """Return the same words beside other vectors of the same documents; nothing is counted again."""
        other = copy(self)
        other._take(index)
        return other

    def search(self, text: str, k: int) -> tuple[dict[str, float], float]:
        """Return the documents that share a word with `text`, at most the best k, and the spread of all scores.

        Returns:
            Document id -> BM25 score > 0; standard deviation of the scores over the corpus.
        """
        [words] = self._reader.read([text])
        if self._bm25 is None or not words:
            return {}, 0.0
        scores: NDArray[np.float32] = self._bm25.get_scores(words)
        rows = np.argsort(-scores, kind="stable")[:k]
        return {self._doc_ids[row]: float(scores[row]) for row in rows if scores[row] > 0}, float(scores.std())

    def rank(self, texts: Sequence[str], vectors: Vectors, k: int) -> list[list[ScoredDoc]]:
        """Return for each query the `min(k, N)` documents of the highest cosine plus what matching words add.

        Both signals are brought to one scale by their standard deviation over the corpus, so no score depends on which
        other documents were retrieved. Which documents are scored does: those that either signal puts first, as many
        as `n_candidates` says, so that a deeper ranking may begin with others.

        Args:
            texts: n query texts, without instructions.
            vectors: (n, m) query vectors of length 1.
            k: at least 1.
        """
        depth = n_candidates(k)
        matching = {text: self.search(text, depth) for text in dict.fromkeys(texts)}
        rankings = []
        for text, vector, nearest in zip(texts, vectors, self._index.search(vectors, depth), strict=True):
            added = self._added(matching[text], vector)
            cosines = {doc.doc_id: doc.score for doc in nearest}
            others = [doc_id for doc_id in added if doc_id not in cosines]
            cosines.update(zip(others, (self._index.vectors(others) @ vector).tolist(), strict=True))
            total = {doc_id: cosine + added.get(doc_id, 0.0) for doc_id, cosine in cosines.items()}
            best = sorted(total, key=lambda doc_id: -total[doc_id])[:k]
            rankings.append([ScoredDoc(doc_id, total[doc_id]) for doc_id in best])
        return rankings

    def added(self, text: str, vector: Vectors, k: int) -> dict[str, float]:
        """Return what matching words add to the cosine of each document in a ranking of k; nothing to those left out.

        Args:
            text: of the query, without instruction.
            vector: (m,) of length 1, that the query is searched with.
            k: at least 1.
        """
        return self._added(self.search(text, n_candidates(k)), vector)

    def _added(self, matching: tuple[dict[str, float], float], vector: Vectors) -> dict[str, float]:
        scores, spread = matching
        scale = WORD_WEIGHT * float((self._sample @ vector).std()) / spread if spread > 0 else 0.0
        return {doc_id: scale * score for doc_id, score in scores.items()}


def n_candidates(k: int) -> int:
    """Return how many documents of each signal are scored by both for a ranking of k; it decides what is ranked."""
    return max(k, _DEPTH)
