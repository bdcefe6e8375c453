import itertools
import tracemalloc
from dataclasses import asdict
from math import erf, sqrt
from statistics import mean, stdev

import numpy as np
import pytest
from scipy import stats

from era import significance
from era.significance import PreferenceShare, paired_difference, preference_interval


def values_of(*numbers: float) -> dict[str, float]:
    return {f"q{i}": number for i, number in enumerate(numbers)}


@pytest.mark.parametrize(
    "changes",
    [
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        [0.3, -0.1, 0.2, 0.25, -0.05, 0.4],
        [-0.3, -0.2, 0.05, 0.0, -0.1, -0.4],
        [0.1, -0.1, 0.2, -0.2, 0.0, 0.3],
    ],
)
def test_paired_difference_p_value_counts_all_changes_of_sign(changes: list[float]) -> None:
    sums = [sum(s * c for s, c in zip(signs, changes, strict=True)) for signs in itertools.product((1, -1), repeat=6)]
    expected = np.mean([abs(total) >= abs(sum(changes)) - 1e-9 for total in sums])
    before = values_of(*[0.5] * 6)
    after = values_of(*(0.5 + change for change in changes))
    assert paired_difference(before, after).p_value == pytest.approx(expected)
    assert paired_difference(after, before).p_value == pytest.approx(expected)


def test_paired_difference_p_value_is_close_to_the_normal_one_when_there_are_many_queries() -> None:
    changes = np.random.default_rng(0).normal(0.02, 0.1, size=100)
    found = paired_difference(values_of(*[0.0] * 100), values_of(*changes))
    z = abs(changes.mean()) / (np.sqrt((changes**2).sum()) / 100)
    assert found.p_value == pytest.approx(2 * (1 - 0.5 * (1 + erf(z / 2**0.5))), abs=0.03)


@pytest.mark.parametrize("n", [6, 9, 40])
def test_paired_difference_interval_is_that_of_students_t(n: int) -> None:
    changes = np.random.default_rng(n).normal(0.05, 0.1, size=n)
    found = paired_difference(values_of(*[0.2] * n), values_of(*(0.2 + changes)))
    expected = stats.ttest_1samp(changes, 0.0).confidence_interval(0.95)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high])


@pytest.mark.parametrize(
    ("n", "evidence"), [(1, "too few"), (5, "too few"), (6, "rough"), (9, "rough"), (10, "enough")]
)
def test_paired_difference_says_how_much_it_goes_by(n: int, evidence: str) -> None:
    changes = np.random.default_rng(n).normal(0.05, 0.1, size=n)
    found = paired_difference(values_of(*[0.2] * n), values_of(*(0.2 + changes)))
    assert found.evidence == evidence
    assert (found.low is None) == (found.high is None) == (evidence == "too few")
    assert (found.effect_size is None) == (evidence != "enough")


def test_paired_difference_counts_near_copies_of_a_query_as_one_case() -> None:
    """Seven groups of sizes 1 to 7: the interval is that of the mean over clusters, worked out step by step."""
    groups = {f"q{i}": group for i, group in enumerate(g for g in range(7) for _ in range(g + 1))}
    changes = np.random.default_rng(3).normal(0.02, 0.1, size=len(groups))
    found = paired_difference(values_of(*[0.2] * 28), values_of(*(0.2 + changes)), groups)
    mean_change = sum(changes) / 28
    squares = 0.0
    for group in range(7):
        own = [change for i, change in enumerate(changes) if groups[f"q{i}"] == group]
        squares += (sum(own) - len(own) * mean_change) ** 2
    reach = 2.4469118511 * sqrt(7 / 6 * squares) / 28  # t of 6 degrees of freedom
    assert found.n == 28
    assert found.n_groups == 7
    assert found.evidence == "rough"
    assert found.low == pytest.approx(mean_change - reach)
    assert found.high == pytest.approx(mean_change + reach)


def test_paired_difference_changes_the_signs_of_near_copies_together() -> None:
    """Three groups leave eight patterns of signs, however many queries they hold; two of them are as far from 0."""
    groups = {f"q{i}": i % 3 for i in range(30)}
    found = paired_difference(values_of(*[0.2] * 30), values_of(*[0.3] * 30), groups)
    assert found.p_value == pytest.approx(2 / 8)
    assert paired_difference(values_of(*[0.2] * 30), values_of(*[0.3] * 30)).p_value < 0.001


def test_paired_difference_wants_a_group_for_every_query() -> None:
    with pytest.raises(ValueError, match="'q1' has none"):
        paired_difference(values_of(0.1, 0.2), values_of(0.1, 0.2), {"q0": 0})


@pytest.mark.parametrize(("n", "reach"), [(6, 0.5), (30, 0.1), (300, 0.01)])
def test_paired_difference_allows_for_exceptions_not_seen_when_all_differ_alike(n: int, reach: float) -> None:
    """By the rule of three up to 3 in n queries may still differ from the others, by as much as a measure can."""
    found = paired_difference(values_of(*[0.4] * n), values_of(*[0.4] * n))
    assert [found.low, found.high] == pytest.approx([-reach, reach])
    found = paired_difference(values_of(*[0.2] * n), values_of(*[0.8] * n))
    assert [found.low, found.high] == pytest.approx([0.6 - reach, min(0.6 + reach, 1.0)])


def test_paired_difference_interval_stays_within_what_a_measure_can_be() -> None:
    found = paired_difference(values_of(0, 0, 0, 0, 0, 1), values_of(1, 1, 1, 1, 1, 1))
    assert found.high == 1.0
    assert found.low is not None
    assert found.low > 0


def test_paired_difference_is_the_same_however_many_resamples_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, after = (values_of(*np.random.default_rng(seed).random(60)) for seed in (0, 1))
    at_once = paired_difference(before, after)
    monkeypatch.setattr(significance, "_MAX_RESAMPLED", 60 * 7)
    assert paired_difference(before, after) == at_once


def test_paired_difference_of_many_queries_holds_little_in_memory() -> None:
    before, after = (values_of(*np.random.default_rng(seed).random(3000)) for seed in (0, 1))
    tracemalloc.start()
    try:
        paired_difference(before, after)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200e6  # all resamples of one test are 5000 times 3000 numbers of 8 bytes, and several copies of them


def test_paired_difference_counts_and_means() -> None:
    found = paired_difference(values_of(0.5, 0.5, 0.5, 0.2, 0.1), values_of(0.7, 0.4, 0.5, 0.2 + 1e-12, 0.9))
    assert (found.n_better, found.n_same, found.n_worse, found.n) == (2, 2, 1, 5)
    assert found.before == pytest.approx(0.36)
    assert found.after == pytest.approx(0.54)
    assert found.difference == pytest.approx(0.18)


def test_paired_difference_pairs_by_query_and_not_by_order() -> None:
    found = paired_difference({"a": 0.1, "b": 0.9, "c": 0.5}, {"c": 0.5, "b": 0.9, "a": 0.1})
    assert (found.n_same, found.n) == (3, 3)


def test_paired_difference_proves_nothing_when_nothing_changed() -> None:
    found = paired_difference(values_of(0.1, 0.7, 0.4), values_of(0.1, 0.7, 0.4))
    assert (found.p_value, found.difference) == (1, 0)


def test_paired_difference_proves_nothing_when_there_is_one_query() -> None:
    found = paired_difference({"q": 0.25}, {"q": 0.75})
    assert (found.p_value, found.low, found.high) == (1, None, None)
    assert found.n_better == 1


def test_paired_difference_repeats_itself_for_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    before, after = values_of(*rng.random(30)), values_of(*rng.random(30))
    assert paired_difference(before, after, seed=1) == paired_difference(before, after, seed=1)
    assert paired_difference(before, after, seed=1).p_value != paired_difference(before, after, seed=2).p_value


@pytest.mark.parametrize(("before", "after"), [({}, {}), ({"a": 1.0}, {"b": 1.0}), ({"a": 1.0}, {"a": 1.0, "b": 0.0})])
def test_paired_difference_refuses_different_queries(before: dict[str, float], after: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(before, after)


def test_paired_difference_gives_the_effect_size_in_standard_deviations_of_the_differences() -> None:
    changes = [0.3, -0.1, 0.2, 0.25, 0.0, 0.1, -0.2, 0.4, 0.05, 0.15]
    before, after = values_of(*[0.5] * 10), values_of(*(0.5 + change for change in changes))
    expected = mean(changes) / stdev(changes) * (1 - 3 / 35)  # Hedges' correction for 9 degrees of freedom
    assert paired_difference(before, after).effect_size == pytest.approx(expected)
    assert paired_difference(after, before).effect_size == pytest.approx(-expected)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.1, 0.7, 0.4], [0.1, 0.7, 0.4], 0.0),
        ([0.5], [0.5], 0.0),
        ([0.25], [0.75], None),
        ([0.1, 0.2, 0.6], [0.2, 0.5, 0.5], None),  # too few
        ([0.1] * 12, [0.2] * 12, None),  # no spread
    ],
)
def test_paired_difference_effect_size_where_it_is_not_defined(
    before: list[float], after: list[float], expected: float | None
) -> None:
    found = paired_difference(values_of(*before), values_of(*after))
    assert asdict(found)["effect_size"] == expected


@pytest.mark.parametrize(
    ("n_for", "n_against", "n_tied", "p_value"),
    [
        (8, 2, 0, 2 * (45 + 10 + 1) / 1024),
        (2, 8, 5, 2 * (45 + 10 + 1) / 1024),
        (5, 5, 1, 1),
        (6, 0, 0, 2 / 64),
        (1, 0, 0, 1),
        (0, 0, 4, 1),
    ],
)
def test_preference_interval_is_the_score_interval_of_all_with_the_sign_test_of_the_decided(
    n_for: int, n_against: int, n_tied: int, p_value: float
) -> None:
    n, z = n_for + n_against + n_tied, 1.959963984540054
    share = n_for / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    found = preference_interval(n_for, n_against, n_tied)
    assert (found.share, found.n) == (share, n)
    assert found.low == pytest.approx(centre - half, abs=1e-12)
    assert found.high == pytest.approx(centre + half, abs=1e-12)
    assert found.p_value == pytest.approx(p_value)


def test_preference_interval_says_nothing_without_queries() -> None:
    assert preference_interval(0, 0) == PreferenceShare(0.0, 0.0, 1.0, 1.0, 0)


@pytest.mark.parametrize("counts", [(-1, 3, 0), (3, -1, 0), (1, 1, -1)])
def test_preference_interval_refuses_negative_counts(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        preference_interval(*counts)
