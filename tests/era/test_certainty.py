import numpy as np
import pytest
from scipy import stats

from era.certainty import Certainty
from tests.fakes import random_unit_rows

SAME = np.tile(np.array([[1, 0]], np.float32), (4, 1))


def test_expectation_is_the_mean_gain_where_all_queries_are_alike() -> None:
    gains = np.array([0.1, 0.3, -0.1, 0.1])
    [expected] = Certainty(SAME, gains).expect(SAME[:1])
    assert expected is not None
    # mean 0.1, squared deviations 0, 0.04, 0.04, 0: variance 0.08 / 3, for one further query times 1 + 1/4
    scale = (0.08 / 3 * 1.25) ** 0.5
    assert expected.change == pytest.approx(0.1)
    assert expected.high - expected.change == pytest.approx(stats.t.ppf(0.9, 3) * scale)
    assert expected.change - expected.low == pytest.approx(stats.t.ppf(0.9, 3) * scale)
    assert expected.probability == pytest.approx(1 - stats.t.cdf(-0.1 / scale, 3))
    assert expected.n == 4


def test_queries_nearby_count_more() -> None:
    east, north = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    keys = np.stack([east] * 5 + [north] * 5)
    gains = np.array([0.2, 0.3, 0.2, 0.3, 0.2, -0.2, -0.3, -0.2, -0.3, -0.2])
    like_east, like_north = Certainty(keys, gains).expect(np.stack([east, north]))
    assert like_east is not None
    assert like_north is not None
    # weights 1 and exp(-1 / 0.4) = 0.082: (0.24 - 0.24 * 0.082) / 1.082
    near = np.exp(-1 / 0.4)
    assert like_east.change == pytest.approx(0.24 * (1 - near) / (1 + near))
    assert like_north.change == pytest.approx(-like_east.change)
    assert like_east.probability > 0.7
    assert like_north.probability == pytest.approx(1 - like_east.probability)


def test_more_queries_that_agree_make_it_surer() -> None:
    gains = np.array([0.1, 0.2, 0.0])
    probabilities = []
    for times in (1, 4, 16):
        [expected] = Certainty(np.repeat(SAME[:1], 3 * times, axis=0), np.tile(gains, times)).expect(SAME[:1])
        assert expected is not None
        probabilities.append(expected.probability)
    assert probabilities == sorted(probabilities)


def test_a_run_that_changed_nothing_is_no_better_and_no_worse() -> None:
    [expected] = Certainty(SAME, np.zeros(4)).expect(SAME[:1])
    assert expected is not None
    assert (expected.change, expected.probability) == (0, 0.5)
    assert expected.high - expected.low < 1e-6


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_queries_allow_no_expectation(n: int) -> None:
    assert Certainty(SAME[:n], np.full(n, 0.5)).expect(SAME[:1]) == [None]


def test_probability_is_calibrated_for_gains_from_one_distribution() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for seed in range(300):
        gains = rng.normal(0.02, 0.1, size=12)
        [expected] = Certainty(random_unit_rows(12, 24, seed=seed), gains).expect(
            random_unit_rows(1, 24, seed=1000 + seed)
        )
        assert expected is not None
        inside.append(expected.low <= rng.normal(0.02, 0.1) <= expected.high)
    assert 0.74 <= np.mean(inside) <= 0.86  # 80 %, give or take what 300 draws allow
