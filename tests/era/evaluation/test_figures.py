"""Figures as people read them; expected texts by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era.evaluation.figures import difference, figure, interval, rounded, signed

MEASURES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.534, "0.53"),
        (0.125, "0.13"),  # exactly half: away from zero, as toFixed does
        (1, "1.00"),
        (-0.125, "−0.13"),
        (-0.004, "0.00"),
        (-0.0, "0.00"),
    ],
)
def test_figure_has_two_decimals_and_a_true_minus(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.031, "+0.03"), (-0.031, "−0.03"), (0.004, "0.00"), (-0.004, "0.00")])
def test_signed_has_a_sign_unless_nothing_is_left(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (0.79, 0.76, "−0.03"),
        (0.7949, 0.7650, "−0.02"),  # 0.79 → 0.77, though the raw values differ by 0.0299
        (0.5349, 0.5351, "+0.01"),  # 0.53 → 0.54
        (0.531, 0.534, "no difference"),
        (0.5, 0.5, "no difference"),
        (0.0, 1.0, "+1.00"),
    ],
)
def test_difference_is_that_of_the_two_figures(before: float, after: float, text: str) -> None:
    assert difference(before, after) == text


def test_difference_can_be_finer() -> None:
    assert difference(0.53146, 0.53413, decimals=4) == "+0.0026"  # 0.5315 → 0.5341


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.008, 0.0124, ("0.00", "+0.02")),
        (-0.001, 0.0, ("−0.01", "0.00")),
        (-0.25, 0.125, ("−0.25", "+0.13")),
        (0.3 - 0.1, 0.1 + 0.1, ("+0.20", "+0.20")),  # 0.3 - 0.1 is 0.19999999999999998
    ],
)
def test_interval_is_rounded_outwards(low: float, high: float, texts: tuple[str, str]) -> None:
    assert interval(low, high) == texts


@given(MEASURES, MEASURES, st.floats(0, 0.2), st.floats(0, 0.2))
def test_interval_holds_the_difference_that_is_shown(before: float, after: float, below: float, above: float) -> None:
    low, high = (Decimal(end.replace("−", "-")) for end in interval(after - before - below, after - before + above))
    assert low <= rounded(after) - rounded(before) <= high
