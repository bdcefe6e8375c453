"""Search: a pair of embedders, an index and an adapter, put together once and never changed.

Before and after are two retrievers over one index, never one retriever with a switch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from era.adapter import QueryAdapter
from era.embedders import EmbedderPair, Vectors
from era.errors import IdentityMismatchError
from era.index import DenseIndex
from era.types import Query, Run, ScoredDoc


@dataclass(frozen=True, slots=True, eq=False)
class Retriever:
    """Ranks the documents of `index` for a query through `adapter`."""

    pair: EmbedderPair
    index: DenseIndex
    adapter: QueryAdapter

    def __post_init__(self) -> None:
        self.pair.light.identity.require(self.index.embedder, "The document index")
        strong, light = self.pair.strong.identity.dimension, self.pair.light.identity.dimension
        expected = (sum(light if view == "light" else strong for view in self.adapter.views), light)
        if self.adapter.weight.shape != expected:
            raise IdentityMismatchError(
                f"The adapter leads from {self.adapter.weight.shape[0]} to {self.adapter.weight.shape[1]} dimensions; "
                f"these embedders and this index need {expected[0]} to {expected[1]}. "
                "Choose an adapter that was trained on this collection."
            )

    def search(self, query: Query, k: int) -> list[ScoredDoc]:
        """Return the `min(k, N)` best documents, best first; `score` is a cosine."""
        return self.index.search(self.query_vectors([query]), k)[0]

    def run(self, queries: Sequence[Query], k: int) -> Run:
        """Return the ranking of each query, by query id."""
        rankings = self.index.search(self.query_vectors(queries), k)
        return {query.query_id: ranking for query, ranking in zip(queries, rankings, strict=True)}

    def query_vectors(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, m), L2-normalised; the strong embedder is asked only if the adapter reads it."""
        is_light = self.adapter.views == ("light",)
        encode = self.pair.encode_queries_lightly if is_light else self.pair.encode_queries
        return self.adapter.transform(encode(queries))
