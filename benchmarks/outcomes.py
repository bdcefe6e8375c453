"""What a system achieved on held-out queries, and the records and means that the report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from era.encoders.base import Vectors
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.types import Qrels, Query, Ranking

MEASURES = ("nDCG@10", "R@100")
DEPTH = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """Measure -> held-out query id -> value in [0, 1]; `fit_s` is the time of learning, None if it was not taken."""

    values: Mapping[str, Mapping[str, float]]
    fit_s: float | None = None

    def mean(self, measure: str) -> float:
        """Return the mean over the held-out queries."""
        return float(np.mean(list(self.values[measure].values())))


def judge_rankings(
    rankings: Sequence[Ranking], queries: Sequence[Query], qrels: Qrels, fit_s: float | None = None
) -> Outcome:
    """Evaluate the ranking of each query; unjudged documents count as not relevant."""
    run = {query.query_id: ranking for query, ranking in zip(queries, rankings, strict=True)}
    return Outcome(evaluate(qrels, run, MEASURES), fit_s)


def judge_vectors(
    vectors: Vectors, index: DenseIndex, queries: Sequence[Query], qrels: Qrels, fit_s: float | None = None
) -> Outcome:
    """Search `index` with the vector (m,) of each query and evaluate the rankings."""
    return judge_rankings(index.search(vectors, DEPTH), queries, qrels, fit_s)


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one system in one split of one collection with `n_labels` labelled queries."""

    collection: str
    seed: int
    n_labels: int
    system: str
    outcome: Outcome


class Results:
    """All records, and means over them. A cell that was not measured is None."""

    def __init__(self, records: Sequence[Record]) -> None:
        """Order the records by collection, system and number of labels."""
        self.collections = list(dict.fromkeys(record.collection for record in records))
        self.systems = list(dict.fromkeys(record.system for record in records))
        self.budgets = sorted({record.n_labels for record in records})
        self._cells: dict[tuple[str, str, int], list[Record]] = {}
        for record in records:
            self._cells.setdefault((record.collection, record.system, record.n_labels), []).append(record)

    def records(self, collection: str, system: str, n_labels: int) -> Sequence[Record]:
        """Return one record a seed, none if this was not measured."""
        return self._cells.get((collection, system, n_labels), [])

    def collections_with(self, n_labels: int) -> list[str]:
        """Return the collections with that many labels."""
        return [name for name in self.collections if any(self.records(name, s, n_labels) for s in self.systems)]

    @property
    def complete_collections(self) -> list[str]:
        """Return the collections that have every budget."""
        return [name for name in self.collections if all(name in self.collections_with(n) for n in self.budgets)]

    def mean(self, measure: str, collection: str, system: str, n_labels: int) -> float | None:
        """Return the mean over seeds."""
        records = self.records(collection, system, n_labels)
        return float(np.mean([record.outcome.mean(measure) for record in records])) if records else None

    def mean_over(self, measure: str, collections: Sequence[str], system: str, n_labels: int) -> float | None:
        """Return the mean over collections, each with the same weight; None unless all of them were measured."""
        means = [self.mean(measure, name, system, n_labels) for name in collections]
        known = [mean for mean in means if mean is not None]
        return float(np.mean(known)) if means and len(known) == len(means) else None

    def fit_s(self, system: str, n_labels: int) -> float | None:
        """Return the median time of learning over collections and seeds."""
        times = [r.outcome.fit_s for name in self.collections for r in self.records(name, system, n_labels)]
        known = [time for time in times if time is not None]
        return float(np.median(known)) if known else None

    def by_query(self, measure: str, collection: str, system: str, n_labels: int) -> dict[str, float]:
        """Return the value of each held-out query of a collection, its mean where several seeds held it out."""
        values: dict[str, list[float]] = {}
        for record in self.records(collection, system, n_labels):
            for query_id, value in record.outcome.values[measure].items():
                values.setdefault(query_id, []).append(value)
        return {query_id: float(np.mean(of_seeds)) for query_id, of_seeds in values.items()}
