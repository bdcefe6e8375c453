"""Re-ranking: the strong embedder reads the documents on top of a ranking, and what it says of them counts as well.

The index stays as it is, and a document is read for a query only if it is already near the top. Nothing here is
learned, and nothing is kept: that is left to what reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from era.encoders.base import Vectors
from era.method.alignment import AlignmentTexts
from era.retriever import Retriever
from era.types import Query, ScoredDoc

N_REREAD = 50
"""How many documents on top of a ranking the strong embedder reads."""

STRONG_WEIGHT = 2.0
"""Of a strong cosine beside the cosine of the index, when both are counted in standard deviations over the corpus."""

N_SPREAD_TEXTS = 1000
"""How many alignment texts tell how much both cosines vary: the first ones, which stay when more are read."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RerankingRetriever(Retriever):
    """Ranks as a `Retriever` does, then orders the first `N_REREAD` documents anew.

    Attributes:
        texts: that both embedders have read, a sample of the corpus.
        read: document ids -> (n, p), what the strong embedder makes of these documents.
    """

    texts: AlignmentTexts
    read: Callable[[Sequence[str]], Vectors]

    def rank(
        self, queries: Sequence[Query], vectors: Vectors, k: int, word_weights: Sequence[float] | None = None
    ) -> list[list[ScoredDoc]]:
        """Return the ranking of each query; the first `N_REREAD` documents are the same, in another order.

        To the cosine of query and document in the index comes that of their strong vectors, the query's being the mean
        of those with and without instruction. Both are counted in standard deviations over the alignment texts, so no
        score of a document that is read depends on which others are. Matching words keep their share: they grow as the
        spread of both cosines together does against that of the first one alone. Documents that are not read follow as
        far below the last one on top as they were before.

        Args:
            queries: n of them.
            vectors: (n, m) of length 1, that the index is searched with.
            k: at least 1.
            word_weights: as in `Retriever.rank`.
        """
        rankings = self.rank_before_reading(queries, vectors, max(k, N_REREAD), word_weights)
        encoded = self.pair.encode_queries(queries)
        strong_vectors = (encoded.instructed + encoded.plain) / 2
        reranked = map(self._reranked, rankings, vectors, strong_vectors)
        return [ranking[:k] for ranking in reranked]

    def rank_before_reading(
        self, queries: Sequence[Query], vectors: Vectors, k: int, word_weights: Sequence[float] | None = None
    ) -> list[list[ScoredDoc]]:
        """Return the rankings whose first documents are read, as `Retriever.rank` does."""
        return Retriever.rank(self, queries, vectors, k, word_weights)

    def _reranked(self, ranking: list[ScoredDoc], vector: Vectors, strong_vector: Vectors) -> list[ScoredDoc]:
        top, below = ranking[:N_REREAD], ranking[N_REREAD:]
        if not top:
            return []
        doc_ids = [doc.doc_id for doc in top]
        cosines, strong_cosines = self.index.vectors(doc_ids) @ vector, self.read(doc_ids) @ strong_vector
        words = np.array([doc.score for doc in top]) - cosines
        sampled = self.texts.light[:N_SPREAD_TEXTS] @ vector
        sampled_strong = self.texts.strong[:N_SPREAD_TEXTS] @ strong_vector
        spread, strong_spread = float(sampled.std()), float(sampled_strong.std())
        scale = STRONG_WEIGHT * spread / strong_spread if strong_spread > 0 else 0.0
        growth = float((sampled + scale * sampled_strong).std()) / spread if spread > 0 else 1.0
        scores = cosines + growth * words + scale * (strong_cosines - float(sampled_strong.mean()))
        order = np.argsort(-scores, kind="stable").tolist()
        fall = float(scores[order[-1]]) - top[-1].score
        return [ScoredDoc(doc_ids[place], float(scores[place])) for place in order] + [
            ScoredDoc(doc.doc_id, doc.score + fall) for doc in below
        ]
