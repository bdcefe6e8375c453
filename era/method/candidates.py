"""Which documents a labelled query learns from: relevant, judged not relevant, and mined unjudged ones.

Mining asks the index for what the aligned adapter ranks high, so that it needs no labels and no document twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from era.adapter import QueryAdapter
from era.encoders.base import EncodedQueries
from era.errors import NothingToLearnError
from era.index.dense import DenseIndex
from era.types import Qrels, Query

POSITIVE_MARGIN = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class LabelledQueries:
    """Queries that can teach something: each has at least one relevant document of the index.

    `relevant[i]` and `not_relevant[i]` map the judged documents of query i to their grades.
    """

    queries: Sequence[Query]
    encoded: EncodedQueries
    relevant: Sequence[Mapping[str, float]]
    not_relevant: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.queries)

    def subset(self, rows: Sequence[int]) -> "LabelledQueries":
        """Return the labelled queries at the given places."""
        encoded = EncodedQueries(
            self.encoded.instructed[list(rows)], self.encoded.plain[list(rows)], self.encoded.light[list(rows)]
        )
        return LabelledQueries(
            [self.queries[i] for i in rows],
            encoded,
            [self.relevant[i] for i in rows],
            [self.not_relevant[i] for i in rows],
        )


def teachable_queries(queries: Iterable[Query], qrels: Qrels, index: DenseIndex) -> list[Query]:
    """Return the queries with at least one relevant document that is in the index, ordered by id.

    Raises:
        NothingToLearnError: if there is none.
    """
    kept = [
        query
        for query in sorted(queries, key=lambda query: query.query_id)
        if any(grade > 0 and doc_id in index for doc_id, grade in qrels.get(query.query_id, {}).items())
    ]
    if not kept:
        raise NothingToLearnError(
            "There is nothing to learn from yet. Mark at least one document as relevant, then train."
        )
    return kept


def label(queries: Sequence[Query], encoded: EncodedQueries, qrels: Qrels, index: DenseIndex) -> LabelledQueries:
    """Join queries with their judgments; judgments of documents that are no longer in the index are left out."""
    relevant, not_relevant = [], []
    for query in queries:
        judged = sorted((doc_id, grade) for doc_id, grade in qrels[query.query_id].items() if doc_id in index)
        relevant.append({doc_id: grade for doc_id, grade in judged if grade > 0})
        not_relevant.append([doc_id for doc_id, grade in judged if grade <= 0])
    return LabelledQueries(queries, encoded, relevant, not_relevant)


@dataclass(frozen=True, slots=True)
class MiningConfig:
    """How many unjudged documents each query is contrasted with.

    Attributes:
        n_top: highest ranked by the aligned adapter.
        n_random: drawn uniformly from the index, the same for every query.
    """

    n_top: int = 64
    n_random: int = 32


Shortlists = Mapping[Query, Sequence[str]]
"""What the aligned adapter ranks highest for a query, best first; judgments do not change it."""


def shortlist(
    labelled: LabelledQueries, teacher: QueryAdapter, index: DenseIndex, n_top: int, known: Shortlists
) -> dict[Query, Sequence[str]]:
    """Return for each query what `teacher` ranks highest: `n_top` unjudged documents and the judged ones among them.

    Args:
        labelled: n queries.
        teacher: the aligned adapter.
        index: searched for the queries that are not in `known`.
        n_top: unjudged documents wanted for each query.
        known: shortlists by the same teacher, taken over as they are.
    """
    missing = [i for i, query in enumerate(labelled.queries) if query not in known]
    found = {query: known[query] for query in labelled.queries if query in known}
    if missing:
        n_judged = max(len(labelled.relevant[i]) + len(labelled.not_relevant[i]) for i in missing)
        rankings = index.search(teacher.transform(labelled.subset(missing).encoded), n_top + n_judged)
        for i, ranking in zip(missing, rankings, strict=True):
            found[labelled.queries[i]] = [doc.doc_id for doc in ranking]
    return found


def unjudged_candidates(
    labelled: LabelledQueries, shortlists: Shortlists, index: DenseIndex, config: MiningConfig, seed: int
) -> list[list[str]]:
    """Return for each query the unjudged documents it is contrasted with, best ranked first, then the random ones."""
    random_ids = index.sample(config.n_random, seed)
    chosen = []
    for query, relevant, not_relevant in zip(labelled.queries, labelled.relevant, labelled.not_relevant, strict=True):
        judged = relevant.keys() | set(not_relevant)
        top = [doc_id for doc_id in shortlists[query] if doc_id not in judged][: config.n_top]
        chosen.append(list(dict.fromkeys([*top, *(doc_id for doc_id in random_ids if doc_id not in judged)])))
    return chosen


def mine_topk_percpos(
    labelled: LabelledQueries, teacher: QueryAdapter, index: DenseIndex, seed: int, depth: int = 2000, n_pool: int = 10
) -> list[tuple[str, list[str]]]:
    """Return the paper's (positive, 5 negatives) of each query: `topk_percpos` mining.

    The positive is drawn from the relevant documents. Of the teacher's top `depth` without judged documents, those
    scoring below 0.95 of the positive are kept, the first 10 of them are the pool: the hardest one and 4 drawn from
    the rest, filled up with random unjudged documents where the pool is short.

    Source: arXiv 2604.03403, stage 2; positive-aware mining after NV-Retriever (arXiv 2407.15831).
    """
    rng = np.random.default_rng(seed)
    query_vectors = teacher.transform(labelled.encoded)
    triples = []
    for i, ranking in enumerate(index.search(query_vectors, depth)):
        positives = list(labelled.relevant[i])
        positive = positives[int(rng.integers(len(positives)))]
        ceiling = POSITIVE_MARGIN * float(index.vectors([positive])[0] @ query_vectors[i])
        judged = labelled.relevant[i].keys() | set(labelled.not_relevant[i])
        pool = [doc.doc_id for doc in ranking if doc.doc_id not in judged and doc.score < ceiling][:n_pool]
        negatives = pool[:1]
        if len(pool) > 1:
            drawn = rng.permutation(len(pool) - 1)[:4] + 1
            negatives += [pool[place] for place in drawn]
        for doc_id in index.sample(len(judged) + 10, int(rng.integers(2**31))):
            if len(negatives) == 5:
                break
            if doc_id not in judged and doc_id not in negatives:
                negatives.append(doc_id)
        triples.append((positive, negatives))
    return triples
