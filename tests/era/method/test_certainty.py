import numpy as np
import pytest

from era.method.certainty import Certainty, Expectation


def expected(*gains: float) -> Expectation | None:
    return Certainty(np.array(gains)).expect()


def test_expectation_counts_what_happened_to_the_labelled_queries() -> None:
    assert expected(0.1, 0.0, -0.2, 1e-12, 0.3) == Expectation(2, 2, 1, None, None)


def test_nothing_is_expected_where_nothing_was_held_out() -> None:
    assert expected() is None


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [
        (9, None, None),
        (10, 1.0, 10.0),  # (n + 1) / 10 is 1.1: from the smallest to the largest
        (19, 2.0, 18.0),
        (99, 10.0, 90.0),
    ],
)
def test_interval_is_between_changes_that_happened(n: int, low: float | None, high: float | None) -> None:
    order = np.random.default_rng(0).permutation(n)
    found = Certainty((order + 1).astype(np.float64)).expect()
    assert found is not None
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize("n", [10, 19, 40])
def test_interval_holds_one_further_change_four_times_out_of_five(n: int) -> None:
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(2000):
        *seen, new = rng.standard_t(2, size=n + 1)
        found = Certainty(np.array(seen)).expect()
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= new <= found.high
    assert 0.775 < held / 2000 < 0.86
