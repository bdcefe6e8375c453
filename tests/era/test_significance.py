import itertools
import tracemalloc
from dataclasses import asdict
from math import erf, sqrt
from statistics import mean, stdev

import numpy as np
import pytest

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


def test_paired_difference_interval_is_close_to_the_normal_one_when_there_are_many_queries() -> None:
    changes = np.random.default_rng(0).normal(0.05, 0.1, size=200)
    found = paired_difference(values_of(*[0.2] * 200), values_of(*(0.2 + changes)))
    error = changes.std() / 200**0.5
    assert found.low == pytest.approx(changes.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(changes.mean() + 1.96 * error, abs=0.15 * error)


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
    assert found.low < 0.18 < found.high
    assert found.low >= -0.1 - 1e-9
    assert found.high <= 0.8 + 1e-9


def test_paired_difference_pairs_by_query_and_not_by_order() -> None:
    found = paired_difference({"a": 0.1, "b": 0.9, "c": 0.5}, {"c": 0.5, "b": 0.9, "a": 0.1})
    assert (found.n_same, found.n) == (3, 3)


def test_paired_difference_proves_nothing_when_nothing_changed() -> None:
    found = paired_difference(values_of(0.1, 0.7, 0.4), values_of(0.1, 0.7, 0.4))
    assert (found.p_value, found.low, found.high, found.difference) == (1, 0, 0, 0)


def test_paired_difference_proves_nothing_when_there_is_one_query() -> None:
    found = paired_difference({"q": 0.25}, {"q": 0.75})
    assert (found.p_value, found.low, found.high) == (1, 0.5, 0.5)
    assert found.n_better == 1


def test_paired_difference_repeats_itself_for_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    before, after = values_of(*rng.random(30)), values_of(*rng.random(30))
    assert paired_difference(before, after, seed=1) == paired_difference(before, after, seed=1)
    assert paired_difference(before, after, seed=1).low != paired_difference(before, after, seed=2).low


@pytest.mark.parametrize(("before", "after"), [({}, {}), ({"a": 1.0}, {"b": 1.0}), ({"a": 1.0}, {"a": 1.0, "b": 0.0})])
def test_paired_difference_refuses_different_queries(before: dict[str, float], after: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(before, after)


def test_paired_difference_gives_the_effect_size_in_standard_deviations_of_the_differences() -> None:
    changes = [0.3, -0.1, 0.2, 0.25]
    found = paired_difference(values_of(*[0.5] * 4), values_of(*(0.5 + change for change in changes)))
    # mean 0.1625; squared distances 0.01890625, 0.06890625, 0.00140625, 0.00765625: 0.096875 / 3
    assert found.effect_size == pytest.approx(0.1625 / sqrt(0.096875 / 3))
    assert found.effect_size == pytest.approx(mean(changes) / stdev(changes))


def test_paired_difference_effect_size_turns_its_sign_with_the_order() -> None:
    before, after = values_of(0.1, 0.2, 0.6), values_of(0.2, 0.5, 0.5)
    there, back = paired_difference(before, after).effect_size, paired_difference(after, before).effect_size
    assert there == pytest.approx(0.1 / 0.2)
    assert back == pytest.approx(-0.1 / 0.2)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.1, 0.7, 0.4], [0.1, 0.7, 0.4], 0.0),
        ([0.5], [0.5], 0.0),
        ([0.25], [0.75], None),
        ([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], None),
    ],
)
def test_paired_difference_effect_size_without_spread(
    before: list[float], after: list[float], expected: float | None
) -> None:
    found = paired_difference(values_of(*before), values_of(*after))
    assert asdict(found)["effect_size"] == expected


@pytest.mark.parametrize(
    ("n_for", "n_against", "p_value"),
    [(8, 2, 2 * (45 + 10 + 1) / 1024), (2, 8, 2 * (45 + 10 + 1) / 1024), (5, 5, 1), (6, 0, 2 / 64), (1, 0, 1)],
)
def test_preference_interval_is_the_score_interval_with_the_exact_test(
    n_for: int, n_against: int, p_value: float
) -> None:
    n, z = n_for + n_against, 1.959963984540054
    share = n_for / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    found = preference_interval(n_for, n_against)
    assert (found.share, found.n) == (share, n)
    assert found.low == pytest.approx(centre - half, abs=1e-12)
    assert found.high == pytest.approx(centre + half, abs=1e-12)
    assert found.p_value == pytest.approx(p_value)


def test_preference_interval_says_nothing_without_decisions() -> None:
    assert preference_interval(0, 0) == PreferenceShare(0.5, 0.0, 1.0, 1.0, 0)


@pytest.mark.parametrize("counts", [(-1, 3), (3, -1)])
def test_preference_interval_refuses_negative_counts(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        preference_interval(*counts)
