"""What a trained adapter did for the queries it was tried on; that is all there is to say about one new query.

A probability for a single query, weighed by its likeness to labelled ones, was tried and withdrawn: it said .67 where
.45 came true, worse than the share of queries that became better (`benchmarks.honesty`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from era.evaluation.significance import MIN_FOR_VERDICT

_ONE_IN = 10
_NO_CHANGE = 1e-9


@dataclass(frozen=True, slots=True)
class Expectation:
    """What happened to n labelled queries, each ranked by what was learned without it, in nDCG@100.

    Attributes:
        n_better: queries that became better than by the aligned adapter.
        n_same: queries that stayed.
        n_worse: queries that became worse.
        low: lower end of the interval that holds the change of one further query of this kind 4 times out of 5; None
            with fewer than 10 queries.
        high: upper end.
    """

    n_better: int
    n_same: int
    n_worse: int
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        """Return how many labelled queries this is about."""
        return self.n_better + self.n_same + self.n_worse


@dataclass(frozen=True, slots=True, eq=False)
class Certainty:
    """The held-out record of a training run.

    Attributes:
        gains: (n,) change of nDCG@100 from the aligned adapter to one that never saw the query's labels.
    """

    gains: NDArray[np.float64]

    def expect(self) -> Expectation | None:
        """Return what to expect of a query that was not learned from; None if nothing was held out.

        Source: conformal prediction interval (Vovk, Gammerman and Shafer 2005): of n + 1 exchangeable changes the last
        one lies between the k-th smallest and the k-th largest of the others with a probability of 1 - 2 k / (n + 1).
        """
        n = len(self.gains)
        if not n:
            return None
        low = high = None
        if n >= MIN_FOR_VERDICT:
            k = (n + 1) // _ONE_IN  # as many changes lie beyond either end
            ordered = np.sort(self.gains)
            low, high = float(ordered[k - 1]), float(ordered[n - k])
        n_better, n_worse = int((self.gains > _NO_CHANGE).sum()), int((self.gains < -_NO_CHANGE).sum())
        return Expectation(n_better, n - n_better - n_worse, n_worse, low, high)
