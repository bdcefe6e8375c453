"""Search: a pair of embedders, an index and an adapter, put together once and never changed.

Before and after are two retrievers, never one retriever with a switch. Usually they share the index of the light
embedder; the strong embedder alone searches an index of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair, Vectors
from era.errors import IdentityMismatchError
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.progress import Progress, no_progress
from era.types import Query, Run, ScoredDoc


@dataclass(frozen=True, slots=True, eq=False)
class Retriever:
    """Ranks the documents of `index` for a query through `adapter`; with `lexical`, matching words count as well.

    The index holds vectors of either embedder of the pair; the adapter leads to that one's space.
    """

    pair: EmbedderPair
    index: DenseIndex
    adapter: QueryAdapter
    lexical: LexicalIndex | None = None

    def __post_init__(self) -> None:
        strong, light = self.pair.strong.identity, self.pair.light.identity
        documents = strong if self.index.embedder == strong else light
        documents.require(self.index.embedder, "The document index")
        sizes = {"light": light.dimension, "neighbours": documents.dimension}
        expected = (sum(sizes.get(view, strong.dimension) for view in self.adapter.views), documents.dimension)
        if self.adapter.weight.shape != expected:
            raise IdentityMismatchError(
                f"The adapter leads from {self.adapter.weight.shape[0]} to {self.adapter.weight.shape[1]} dimensions; "
                f"these embedders and this index need {expected[0]} to {expected[1]}. "
                "Choose an adapter that was trained on this collection."
            )

    def search(self, query: Query, k: int) -> list[ScoredDoc]:
        """Return the `min(k, N)` best documents, best first."""
        return self.rank([query], self.query_vectors([query]), k)[0]

    def run(self, queries: Sequence[Query], k: int, progress: Progress = no_progress) -> Run:
        """Return the ranking of each query, by query id.

        Raises:
            Cancelled: if `progress` raises it.
        """
        rankings = self.rank(queries, self.query_vectors(queries, progress), k)
        return {query.query_id: ranking for query, ranking in zip(queries, rankings, strict=True)}

    def rank(
        self, queries: Sequence[Query], vectors: Vectors, k: int, word_weights: Sequence[float] | None = None
    ) -> list[list[ScoredDoc]]:
        """Return the ranking of each query, searched for with its row of (n, m), whatever made that vector.

        `word_weights` is what words weigh for each query, if they count at all; as the adapter says if None.
        """
        if self.lexical is None:
            return self.index.search(vectors, k)
        weights = self.adapter.word_weight if word_weights is None else word_weights
        return self.lexical.rank([query.text for query in queries], vectors, k, weights)

    def query_vectors(self, queries: Sequence[Query], progress: Progress = no_progress) -> Vectors:
        """Return (n, m), L2-normalised; the strong embedder is asked only if the adapter reads it."""
        if self.adapter.views == ("light",):
            return self.adapter.transform(self.pair.encode_queries_lightly(queries))
        return self.adapter.transform(self.pair.encode_queries(queries, progress))


@dataclass(frozen=True, slots=True, eq=False)
class LexicalRetriever(Retriever):
    """Ranks by matching words alone: neither the vector nor the instruction of a query counts."""

    def rank(
        self, queries: Sequence[Query], vectors: Vectors, k: int, word_weights: Sequence[float] | None = None
    ) -> list[list[ScoredDoc]]:
        """Return for each query at most k documents that share a word with its text, best first."""
        lexical = self.lexical
        if lexical is None:
            raise ValueError("Ranking by matching words needs the words of the corpus.")
        found = [lexical.search(query.text, k)[0] for query in queries]
        return [[ScoredDoc(doc_id, score) for doc_id, score in scores.items()] for scores in found]
