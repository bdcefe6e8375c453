"""How sure it is that a trained adapter helps a query, judged by what held-out labelled queries like it gained."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from era.embedders import Vectors

_SIMILARITY_WIDTH = 0.4  # in units of cosine: a query further away than this counts less than half
_COVERAGE = 0.8


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an adapter is expected to change for one query, in nDCG@100.

    Attributes:
        change: the expected change.
        low: lower end of the interval that holds the change of such a query 4 times out of 5.
        high: upper end.
        probability: that the change is for the better, in [0, 1].
        n: labelled queries this is judged by.
    """

    change: float
    low: float
    high: float
    probability: float
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class Certainty:
    """The labelled queries of a training run, and what each gained when it was held out.

    Attributes:
        keys: (n, m) vectors of the labelled queries by the aligned adapter, of length 1.
        gains: (n,) change of nDCG@100 from the aligned adapter to one that never saw the query's labels.
    """

    keys: Vectors
    gains: NDArray[np.float64]

    def expect(self, vectors: Vectors) -> list[Expectation | None]:
        """Return what to expect of each query, None where there are fewer than three labelled queries to judge by.

        The gains are weighed by similarity of the queries; mean and interval are those of Student's t for one further
        query, with the effective number of weighed queries.

        Args:
            vectors: (k, m) by the aligned adapter, of length 1.
        """
        n = len(self.gains)
        expectations: list[Expectation | None] = []
        for row in vectors:
            weights = np.exp((self.keys @ row - 1.0) / _SIMILARITY_WIDTH).astype(np.float64)
            weights /= weights.sum()
            n_effective = 1 / (weights**2).sum()
            if n < 3 or n_effective <= 2:
                expectations.append(None)
                continue
            mean = float(weights @ self.gains)
            variance = float(weights @ (self.gains - mean) ** 2) * n_effective / (n_effective - 1)
            scale = max(float(np.sqrt(variance * (1 + 1 / n_effective))), 1e-9)
            one_more = stats.t(df=n_effective - 1, loc=mean, scale=scale)
            low, high = one_more.interval(_COVERAGE)
            better = 0.5 if not self.gains.any() else float(one_more.sf(0.0))
            expectations.append(Expectation(mean, max(float(low), -1.0), min(float(high), 1.0), better, n))
        return expectations
