import itertools
import tracemalloc
from dataclasses import asdict
from math import erf, sqrt
from statistics import mean, stdev

import numpy as np
import pytest
from scipy import stats

from era.evaluation import significance
from era.evaluation.significance import (
    PairedDifference,
    PreferenceShare,
    describe_difference,
    holm,
    paired_difference,
    paired_differences,
    preference_interval,
)


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


def test_describe_difference_is_the_same_without_a_test() -> None:
    before, after = (values_of(*np.random.default_rng(seed).random(12)) for seed in (0, 1))
    groups = {query_id: place // 2 for place, query_id in enumerate(before)}
    tested, described = paired_difference(before, after, groups), describe_difference(before, after, groups)
    assert asdict(tested) == asdict(described) | {
        "p_value": tested.p_value,
        "effect_size": tested.effect_size,
        "n_tests": 1,
    }
    assert not isinstance(described, PairedDifference)


def step_down(changes: list[list[float]]) -> list[float]:
    """Return max-T adjusted p values by trying every change of sign on Student's t itself (Westfall and Young 1993)."""

    def t_of(row: list[float]) -> float:
        return abs(mean(row)) / (stdev(row) / sqrt(len(row)) or 1e-300)

    n = len(changes[0])
    observed = [t_of(row) for row in changes]
    order = sorted(range(len(changes)), key=lambda i: -observed[i])
    counts = [0] * len(changes)
    for signs in itertools.product((1, -1), repeat=n):
        flipped = [t_of([s * c for s, c in zip(signs, row, strict=True)]) for row in changes]
        for place, i in enumerate(order):
            counts[i] += max(flipped[other] for other in order[place:]) >= observed[i] * (1 - 1e-9)
    adjusted, reached = [0.0] * len(changes), 0.0
    for i in order:
        reached = max(reached, counts[i] / 2**n)
        adjusted[i] = reached
    return adjusted


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_others", [2, 3])
def test_paired_differences_are_adjusted_by_every_change_of_sign_that_they_share(seed: int, n_others: int) -> None:
    changes = np.random.default_rng(seed).normal(0.05, 0.1, size=(n_others, 8)).tolist()
    found = paired_differences(values_of(*[0.4] * 8), [values_of(*(0.4 + c for c in row)) for row in changes])
    assert [each.p_value for each in found] == pytest.approx(step_down(changes))
    assert [each.n_tests for each in found] == [n_others] * n_others


def test_paired_differences_worked_out_by_hand() -> None:
    """Four queries, sixteen changes of sign. All of the first rise by .1, and two of them give as large a sum; of the
    second, two rise and two fall, so every change of sign gives at least its sum, which is 0."""
    first = values_of(*[0.5] * 4)
    found = paired_differences(first, [values_of(*[0.6] * 4), values_of(0.6, 0.6, 0.4, 0.4)])
    # the second is the first with two signs changed, so two further changes of sign make the second one reach it
    assert [each.p_value for each in found] == pytest.approx([4 / 16, 1])


def test_paired_differences_of_equal_rankings_cost_no_more_than_one() -> None:
    rows = values_of(*np.random.default_rng(0).random(9))
    first = values_of(*[0.5] * 9)
    twice = paired_differences(first, [rows, rows])
    alone = paired_difference(first, rows)
    assert [each.p_value for each in twice] == pytest.approx([alone.p_value] * 2)
    same = paired_differences(first, [rows, first])
    assert [each.p_value for each in same] == pytest.approx([alone.p_value, 1])


def test_paired_differences_with_one_other_are_that_difference() -> None:
    first, other = (values_of(*np.random.default_rng(seed).random(40)) for seed in (0, 1))
    assert paired_differences(first, [other], seed=3) == [paired_difference(first, other, seed=3)]


def test_paired_differences_change_the_signs_of_near_copies_together() -> None:
    """Three groups of equal changes leave eight changes of sign, two of which are as extreme, for either ranking."""
    groups = {f"q{i}": i % 3 for i in range(30)}
    first, other = values_of(*[0.2] * 30), values_of(*[0.3] * 30)
    assert [each.p_value for each in paired_differences(first, [other, other], groups)] == pytest.approx([2 / 8] * 2)
    assert [each.p_value for each in paired_differences({"q": 0.1}, [{"q": 0.2}, {"q": 0.3}])] == [1, 1]


def test_paired_differences_are_close_to_the_exact_ones_when_signs_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = np.random.default_rng(5).normal(0.04, 0.1, size=(2, 11))
    first = values_of(*[0.4] * 11)
    others = [values_of(*(0.4 + row)) for row in changes]
    exact = [each.p_value for each in paired_differences(first, others)]
    drawn = [each.p_value for each in paired_differences(first, others, n_resamples=2000)]
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=5 * sqrt(0.25 / 2000))
    monkeypatch.setattr(significance, "_MAX_RESAMPLED", 11 * 7)
    assert [each.p_value for each in paired_differences(first, others, n_resamples=2000)] == drawn


def test_one_true_difference_in_twenty_is_called_one_however_many_rankings_are_compared() -> None:
    """Where nothing differs but by chance, any of three is proven as rarely as one alone (400 draws, exact tests)."""
    rng, first, n_proven = np.random.default_rng(0), values_of(*[0.5] * 10), 0
    for _ in range(400):
        others = [values_of(*(0.5 + row)) for row in rng.normal(0, 0.1, size=(3, 10))]
        tests = paired_differences(first, others, n_resamples=1024)
        n_proven += any(each.p_value < 0.05 for each in tests)
    assert n_proven / 400 < 0.05 + 3 * sqrt(0.05 * 0.95 / 400)
    assert n_proven / 400 > 0.05 - 4 * sqrt(0.05 * 0.95 / 400)


def test_holm_is_that_of_statsmodels_where_every_family_has_one() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for seed in range(20):
        p_values = np.random.default_rng(seed).random(1 + seed % 6) ** 2
        expected = multitest.multipletests(p_values, method="holm")[1]
        assert holm(p_values.tolist(), list(range(len(p_values)))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("p_values", "families", "expected"),
    [
        ([], "", []),
        ([0.03], "a", [0.03]),
        ([0.04, 0.01], "ab", [0.04, 0.02]),
        ([0.04, 0.03, 0.01], "abc", [0.06, 0.06, 0.03]),  # no larger p value gets a smaller one
        ([0.5, 0.6], "ab", [1.0, 1.0]),
        ([0.01, 0.04], "aa", [0.01, 0.04]),  # adjusted for each other already
        ([0.01, 0.04, 0.02, 0.03], "aabb", [0.02, 0.06, 0.04, 0.06]),  # two families are left until the last of one
        ([0.01, 0.02, 0.03], "aab", [0.02, 0.04, 0.04]),
    ],
)
def test_holm_worked_out_by_hand(p_values: list[float], families: str, expected: list[float]) -> None:
    assert holm(p_values, families) == pytest.approx(expected)


def test_holm_refuses_numbers_that_differ() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        holm([0.1], "ab")


def test_paired_difference_of_parts_is_a_ratio_of_sums() -> None:
    before, after = values_of(1, 2, 0, 1, 2, 3), values_of(2, 2, 1, 1, 4, 3)
    ideals = values_of(2, 4, 1, 3, 5, 5)
    found = paired_difference(before, after, ideals=ideals)
    assert (found.before, found.after) == pytest.approx((9 / 20, 13 / 20))
    assert (found.n_better, found.n_same, found.n_worse) == (3, 3, 0)
    # Cochran 1977, 2.11: the ratio's variance is that of the residuals, over n times the mean ideal squared
    change, sizes = np.array([1, 0, 1, 0, 2, 0]), np.array([2, 4, 1, 3, 5, 5])
    error = np.sqrt(((change - sizes * 0.2) ** 2).sum() / 5 / 6) / (20 / 6)
    reach = stats.t.ppf(0.975, 5) * error
    assert (found.low, found.high) == pytest.approx((0.2 - reach, 0.2 + reach))
    assert found.p_value == paired_difference(before, after).p_value == 2 / 8  # by the sums alone
    assert describe_difference(before, after, ideals=ideals).low == found.low
    assert paired_differences(before, [after], ideals=ideals) == [found]
    both = paired_differences(before, [after, before], ideals=ideals)
    assert [each.after for each in both] == pytest.approx([13 / 20, 9 / 20])
    grouped = paired_difference(before, after, dict(zip(before, [0, 0, 1, 1, 2, 2], strict=True)), ideals=ideals)
    assert grouped.n_groups == 3
    assert grouped.difference == pytest.approx(0.2)


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
