"""Whether a difference between two rankings is more than chance, and how large it is.

Every test comes from scipy; the values that are compared are those of `era.evaluation`, or people's preferences.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from era.figures import NO_CHANGE

_MAX_RESAMPLED = 2_000_000  # values held at once


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How a measure differs between two rankings of the same n queries.

    Attributes:
        before: mean before, in the measure's unit.
        after: mean after.
        low: lower end of the 95 % bootstrap interval of the mean difference.
        high: upper end.
        p_value: two-sided paired randomisation test; 1 where all differences are 0.
        n_better: queries whose value rose.
        n_same: queries whose value stayed.
        n_worse: queries whose value fell.
        effect_size: mean difference in standard deviations of the differences; 0 where all differences are 0, None
            where it is not defined: all differ by the same amount, or there is one query.
    """

    before: float
    after: float
    low: float
    high: float
    p_value: float
    n_better: int
    n_same: int
    n_worse: int
    effect_size: float | None = None

    @property
    def difference(self) -> float:
        """Return after minus before."""
        return self.after - self.before

    @property
    def n(self) -> int:
        """Return the number of queries."""
        return self.n_better + self.n_same + self.n_worse


@dataclass(frozen=True, slots=True)
class PreferenceShare:
    """How many of n decisions between two rankings went to the first; ties are not among them.

    Attributes:
        share: in [0, 1]; 0.5 where n is 0.
        low: lower end of the 95 % Wilson interval of the share; 0 where n is 0.
        high: upper end; 1 where n is 0.
        p_value: two-sided exact test of a share of one half; 1 where n is 0.
        n: decisions.
    """

    share: float
    low: float
    high: float
    p_value: float
    n: int


def paired_difference(
    before: Mapping[str, float], after: Mapping[str, float], seed: int = 0, n_resamples: int = 5000
) -> PairedDifference:
    """Compare a measure query by query.

    Args:
        before: query id -> value.
        after: query id -> value, of the same queries.
        seed: of the resampling.
        n_resamples: for the bootstrap, and for the randomisation test where not all sign changes can be tried.

    Raises:
        ValueError: if the queries differ or there is none.

    Source: percentile bootstrap (Efron 1979) and Fisher's paired randomisation test, as compared for retrieval by
    Smucker, Allan and Carterette 2007; effect size d_z (Cohen 1988, section 2.3.5).
    """
    if not before or before.keys() != after.keys():
        raise ValueError(f"Expected values for the same queries, got {len(before)} before and {len(after)} after.")
    ids = sorted(before)
    old, new = np.array([before[i] for i in ids]), np.array([after[i] for i in ids])
    change = np.where(np.abs(new - old) < NO_CHANGE, 0.0, new - old)
    low = high = float(change.mean())
    p_value = 1.0
    if change.any() and len(change) > 1:
        rng, batch = np.random.default_rng(seed), resamples_at_once(len(change))
        interval = stats.bootstrap(
            (change,), np.mean, n_resamples=n_resamples, batch=batch, method="percentile", rng=rng
        )
        low, high = (float(end) for end in interval.confidence_interval)
        test = stats.permutation_test(
            (change,),
            np.mean,
            permutation_type="samples",
            n_resamples=n_resamples,
            batch=batch,
            vectorized=True,
            rng=rng,
        )
        p_value = float(test.pvalue)
    return PairedDifference(
        before=float(old.mean()),
        after=float(new.mean()),
        low=low,
        high=high,
        p_value=p_value,
        n_better=int((change > 0).sum()),
        n_same=int((change == 0).sum()),
        n_worse=int((change < 0).sum()),
        effect_size=_effect_size(change),
    )


def resamples_at_once(n: int) -> int:
    """Return how many resamples of n values to hold in memory; the numbers drawn are the same however many."""
    return max(1, _MAX_RESAMPLED // n)


def _effect_size(change: NDArray[np.float64]) -> float | None:
    """Return the mean of the differences in their own standard deviations (n - 1), None where that is not defined."""
    if not change.any():
        return 0.0
    spread = float(change.std(ddof=1)) if len(change) > 1 else 0.0
    return float(change.mean()) / spread if spread > NO_CHANGE else None


def preference_interval(n_for: int, n_against: int) -> PreferenceShare:
    """Return the share of decisions for one of two rankings, ties left out.

    Raises:
        ValueError: if a count is negative.

    Source: score interval (Wilson 1927) and exact binomial test.
    """
    if min(n_for, n_against) < 0:
        raise ValueError(f"Expected counts of at least 0, got {n_for} for and {n_against} against.")
    n = n_for + n_against
    if not n:
        return PreferenceShare(0.5, 0.0, 1.0, 1.0, 0)
    test = stats.binomtest(n_for, n, 0.5)
    interval = test.proportion_ci(confidence_level=0.95, method="wilson")
    return PreferenceShare(n_for / n, float(interval.low), float(interval.high), float(test.pvalue), n)
