"""Whether a difference between two rankings is more than chance, and how large it is.

The values that are compared are those of `era.evaluation.measures`, or people's preferences. One measure is tested;
others are described, without p value and effect size, and several tests of one measure share one rate of errors.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from era.evaluation.figures import NO_CHANGE

MIN_FOR_INTERVAL = 6
"""Cases below which no interval is given: of 5, Student's covers 85 % where it claims 95."""

MIN_FOR_VERDICT = 10
"""Cases below which an interval is rough and nothing is concluded: from here on Student's covers 92 %."""

_MAX_RESAMPLED = 2_000_000  # values held at once
_CONFIDENCE = 0.95

Evidence = Literal["too few", "rough", "enough"]


def evidence_of(n: int) -> Evidence:
    """Return what n independent cases allow: no interval, a rough one, or a conclusion. Decided here and nowhere else.

    The bounds come from the coverage that `python -m benchmarks.honesty` measures.
    """
    if n < MIN_FOR_INTERVAL:
        return "too few"
    return "rough" if n < MIN_FOR_VERDICT else "enough"


@dataclass(frozen=True, slots=True)
class Difference:
    """How a measure differs between two rankings of the same n queries.

    Attributes:
        before: mean before, in the measure's unit.
        after: mean after.
        low: lower end of the 95 % interval of the mean difference; None if there are too few groups.
        high: upper end.
        n_better: queries whose value rose.
        n_same: queries whose value stayed.
        n_worse: queries whose value fell.
        n_groups: independent cases; near-copies of a query are one.
    """

    before: float
    after: float
    low: float | None
    high: float | None
    n_better: int
    n_same: int
    n_worse: int
    n_groups: int

    @property
    def difference(self) -> float:
        """Return after minus before."""
        return self.after - self.before

    @property
    def n(self) -> int:
        """Return the number of queries."""
        return self.n_better + self.n_same + self.n_worse

    @property
    def evidence(self) -> Evidence:
        """Return what may be concluded from as many groups."""
        return evidence_of(self.n_groups)


@dataclass(frozen=True, slots=True)
class PairedDifference(Difference):
    """A difference that was tested.

    Attributes:
        p_value: two-sided paired randomisation test; 1 where all differences are 0.
        effect_size: mean difference in standard deviations of the differences, corrected for small samples; 0 where
            all differences are 0, None with fewer than 10 groups or where all differ by the same amount.
        n_tests: of differences that share one rate of errors, which the p value is adjusted for.
    """

    p_value: float
    effect_size: float | None = None
    n_tests: int = 1


@dataclass(frozen=True, slots=True)
class PreferenceShare:
    """On how many of n queries the first of two rankings was preferred; undecided queries count among the n.

    Attributes:
        share: in [0, 1]; 0 where n is 0.
        low: lower end of the 95 % Wilson interval of the share; 0 where n is 0.
        high: upper end; 1 where n is 0.
        p_value: two-sided sign test over the decided queries; 1 where there is none.
        n: queries.
    """

    share: float
    low: float
    high: float
    p_value: float
    n: int


def paired_difference(
    before: Mapping[str, float],
    after: Mapping[str, float],
    groups: Mapping[str, int] | None = None,
    seed: int = 0,
    n_resamples: int = 5000,
    ideals: Mapping[str, float] | None = None,
) -> PairedDifference:
    """Compare a measure query by query; queries of one group are one case, not several.

    Args:
        before: query id -> value in [0, 1].
        after: query id -> value, of the same queries.
        groups: query id -> group, as `era.method.query_groups` finds them; None if each query is a case of its own.
        seed: of the randomisation test.
        n_resamples: for that, where not all sign changes can be tried.
        ideals: query id -> what its value is a part of, above 0: then means are sums of values over sums of these, as
            of an `era.evaluation.incomplete_judgments.NdcgEstimate`; None if values are parts of 1 already.

    Raises:
        ValueError: if the queries differ or there is none, or a query has no group.

    Source: Student's t of the mean over clusters (Cochran 1977, section 9A.2), and Fisher's paired randomisation test,
    whose signs change group by group, as compared for retrieval by Smucker, Allan and Carterette 2007; effect size d_z
    (Cohen 1988, section 2.3.5) with the correction of Hedges 1981. Where all differences are equal there is no
    spread to go by; then the rule of three (Hanley and Lippman-Hand 1983) says how many exceptions may still exist.
    """
    found, sums, sizes = _described(before, after, groups, ideals)
    return _tested(found, sums / sizes, _p_value(sums, seed, n_resamples))


def describe_difference(
    before: Mapping[str, float],
    after: Mapping[str, float],
    groups: Mapping[str, int] | None = None,
    ideals: Mapping[str, float] | None = None,
) -> Difference:
    """Compare a measure that nothing is decided by: as `paired_difference`, without p value and effect size."""
    return _described(before, after, groups, ideals)[0]


def paired_differences(
    first: Mapping[str, float],
    others: Sequence[Mapping[str, float]],
    groups: Mapping[str, int] | None = None,
    seed: int = 0,
    n_resamples: int = 5000,
    ideals: Mapping[str, float] | None = None,
) -> list[PairedDifference]:
    """Compare several rankings with the first one; that any of them differs by chance is as improbable as for one.

    Args:
        first: query id -> value in [0, 1].
        others: of each other ranking, query id -> value of the same queries.
        groups: as in `paired_difference`.
        seed: of the randomisation test.
        n_resamples: for that, where not all sign changes can be tried.
        ideals: as in `paired_difference`.

    Raises:
        ValueError: as in `paired_difference`.

    Source: step-down max-T (Westfall and Young 1993, algorithm 4.1) over sign changes that all rankings share (Nichols
    and Holmes 2002).
    """
    if len(others) == 1:
        return [paired_difference(first, others[0], groups, seed, n_resamples, ideals)]
    described = [_described(first, other, groups, ideals) for other in others]
    adjusted = _max_t(np.array([sums for _, sums, _ in described]), seed, n_resamples) if described else []
    return [
        _tested(found, sums / sizes, p_value, len(others))
        for (found, sums, sizes), p_value in zip(described, adjusted, strict=True)
    ]


def holm(p_values: Sequence[float], families: Sequence[Hashable]) -> list[float]:
    """Return p values adjusted so that one rate of errors holds for all families together.

    Args:
        p_values: each adjusted already for the others of its family.
        families: which one each belongs to; where all differ this is Holm's procedure itself.

    Raises:
        ValueError: if the numbers differ.

    Source: Holm 1979. From the smallest p value on, each is multiplied by the number of families that still have one;
    as long as a family has a true null hypothesis left it is among these, so the bound of Bonferroni holds.
    """
    if len(p_values) != len(families):
        raise ValueError(f"Expected a family for each p value, got {len(p_values)} and {len(families)}.")
    adjusted, reached = [1.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for place, i in enumerate(order):
        n_left = len({families[other] for other in order[place:]})
        reached = max(reached, min(p_values[i] * n_left, 1.0))
        adjusted[i] = reached
    return adjusted


def _described(
    before: Mapping[str, float],
    after: Mapping[str, float],
    groups: Mapping[str, int] | None,
    ideals: Mapping[str, float] | None = None,
) -> tuple[Difference, NDArray[np.float64], NDArray[np.float64]]:
    """Return how a measure differs, and of each group (G,) the sums of its differences and of its ideals."""
    if not before or before.keys() != after.keys():
        raise ValueError(f"Expected values for the same queries, got {len(before)} before and {len(after)} after.")
    ids = sorted(before)
    if groups is not None and (missing := [query_id for query_id in ids if query_id not in groups]):
        raise ValueError(f"Expected a group for every query, but {missing[0]!r} has none.")
    old, new = np.array([before[i] for i in ids]), np.array([after[i] for i in ids])
    change = np.where(np.abs(new - old) < NO_CHANGE, 0.0, new - old)
    parts_of = np.ones(len(ids)) if ideals is None else np.array([ideals[i] for i in ids])
    sums, sizes = _by_group(change, parts_of, ids if groups is None else [groups[i] for i in ids])
    low, high = mean_interval(sums, sizes)
    found = Difference(
        before=float(old.sum() / parts_of.sum()),
        after=float(new.sum() / parts_of.sum()),
        low=low,
        high=high,
        n_better=int((change > 0).sum()),
        n_same=int((change == 0).sum()),
        n_worse=int((change < 0).sum()),
        n_groups=len(sums),
    )
    return found, sums, sizes


def _tested(found: Difference, changes: NDArray[np.float64], p_value: float, n_tests: int = 1) -> PairedDifference:
    return PairedDifference(**asdict(found), p_value=p_value, effect_size=_effect_size(changes), n_tests=n_tests)


def mean_interval(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], lowest: float = -1.0, highest: float = 1.0
) -> tuple[float | None, float | None]:
    """Return the ends of the 95 % interval of the mean over all members of groups; (None, None) if there are too few.

    Args:
        sums: (G,) of the values of each group.
        sizes: (G,) how many members each group has, or what its values are parts of.
        lowest: a value can have.
        highest: a value can have.

    Source: see `paired_difference`.
    """
    n_groups, n = len(sums), float(sizes.sum())
    if evidence_of(n_groups) == "too few":
        return None, None
    mean = float(sums.sum()) / n
    residuals = sums - sizes * mean
    if np.abs(residuals).max() < NO_CHANGE:
        reach = min(3 / n_groups, 1.0) * (highest - lowest) / 2
    else:
        from scipy import stats

        error = np.sqrt(n_groups / (n_groups - 1) * float((residuals**2).sum())) / n
        reach = float(stats.t.ppf((1 + _CONFIDENCE) / 2, n_groups - 1) * error)
    return max(mean - reach, lowest), min(mean + reach, highest)


def _by_group(
    values: NDArray[np.float64], parts_of: NDArray[np.float64], groups: Sequence[object]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (G,) sum of the values of each group, and (G,) of what they are parts of."""
    place_of = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    places = np.array([place_of[group] for group in groups])
    return np.bincount(places, values).astype(np.float64), np.bincount(places, parts_of).astype(np.float64)


def _p_value(sums: NDArray[np.float64], seed: int, n_resamples: int) -> float:
    if not sums.any() or len(sums) < 2:
        return 1.0
    from scipy import stats  # takes a second to import, which readers of files do without

    test = stats.permutation_test(
        (sums,),
        np.sum,
        permutation_type="samples",
        n_resamples=n_resamples,
        batch=_resamples_at_once(len(sums)),
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _max_t(sums: NDArray[np.float64], seed: int, n_resamples: int) -> list[float]:
    """Return adjusted p values of S differences, from (S, G) sums of groups.

    Under changes of sign a difference's squares stay, so its t rises with its sum over the root of these squares; that
    is what is compared.
    """
    n_groups, lengths = sums.shape[1], np.sqrt((sums**2).sum(axis=1))
    p_values = np.ones(len(sums))
    differing = np.flatnonzero(lengths)
    if n_groups < 2 or not len(differing):
        return [float(each) for each in p_values]
    scaled = sums[differing] / lengths[differing, None]
    order = np.argsort(-np.abs(scaled.sum(axis=1)), kind="stable")  # the surest first
    scaled = scaled[order]
    observed, n_reached, n_tried = np.abs(scaled.sum(axis=1)), np.zeros(len(order)), 0
    for signs in _signs(n_groups, seed, n_resamples):
        by_chance = np.abs(signs @ scaled.T)  # (B, S)
        largest = np.maximum.accumulate(by_chance[:, ::-1], axis=1)[:, ::-1]  # of each and those less sure
        n_reached += (largest >= observed - NO_CHANGE).sum(axis=0)
        n_tried += len(signs)
    if n_tried < 2**n_groups:  # what is observed is one of the possible changes of sign
        n_reached, n_tried = n_reached + 1, n_tried + 1
    p_values[differing[order]] = np.maximum.accumulate(n_reached / n_tried)
    return [float(each) for each in p_values]


def _signs(n: int, seed: int, n_resamples: int) -> Iterator[NDArray[np.float64]]:
    """Yield (B, n) of -1 and 1: every possible row if that is no more than `n_resamples`, else so many random ones."""
    rng, is_exact = np.random.default_rng(seed), 2**n <= n_resamples
    n_rows, step = 2**n if is_exact else n_resamples, _resamples_at_once(n)
    for start in range(0, n_rows, step):
        rows = np.arange(start, min(start + step, n_rows))
        bits = (rows[:, None] >> np.arange(n)) & 1 if is_exact else rng.random((len(rows), n)) < 0.5
        yield np.where(bits, -1.0, 1.0)


def _resamples_at_once(n: int) -> int:
    """Return how many resamples of n values to hold in memory; the numbers drawn are the same however many."""
    return max(1, _MAX_RESAMPLED // n)


def _effect_size(change: NDArray[np.float64]) -> float | None:
    """Return the mean of the differences in their own standard deviations (n - 1), corrected for small samples."""
    n = len(change)
    if not change.any():
        return 0.0
    spread = float(change.std(ddof=1)) if n > 1 else 0.0
    if evidence_of(n) != "enough" or spread <= NO_CHANGE:
        return None
    return float(change.mean()) / spread * (1 - 3 / (4 * (n - 1) - 1))


def preference_interval(n_for: int, n_against: int, n_tied: int = 0) -> PreferenceShare:
    """Return the share of queries on which one of two rankings was preferred.

    Raises:
        ValueError: if a count is negative.

    Source: score interval (Wilson 1927) and sign test (Conover 1999, section 3.4), which leaves ties out.
    """
    if min(n_for, n_against, n_tied) < 0:
        raise ValueError(f"Expected counts of at least 0, got {n_for} for, {n_against} against and {n_tied} tied.")
    n, n_decided = n_for + n_against + n_tied, n_for + n_against
    if not n:
        return PreferenceShare(0.0, 0.0, 1.0, 1.0, 0)
    from scipy import stats

    interval = stats.binomtest(n_for, n).proportion_ci(confidence_level=0.95, method="wilson")
    p_value = float(stats.binomtest(n_for, n_decided, 0.5).pvalue) if n_decided else 1.0
    return PreferenceShare(n_for / n, float(interval.low), float(interval.high), p_value, n)
