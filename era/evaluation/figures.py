"""Figures as people read them, rounded in one way, so that every difference is that of the figures beside it.

The pages round in the same way (`annotation/ui/assets/dom.js`). Files that programs read hold unrounded values.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Literal

DECIMALS = 2
"""Of every measure on a screen; what is equal down to these counts as equally good."""

NO_DIFFERENCE = "no difference"

NO_CHANGE = 1e-9
"""Two values of a measure that are nearer than this are the same; the rest comes from computing with fractions."""

Direction = Literal["better", "same", "worse"]

_MINUS = "\u2212"
_NOISE_DECIMALS = 9  # what lies behind these comes from computing with binary fractions


def rounded(value: float, decimals: int = DECIMALS) -> Decimal:
    """Return a value as it is shown; a half goes away from zero, as in JavaScript's `toFixed`."""
    return _quantised(Decimal(value), decimals, ROUND_HALF_UP)


def figure(value: float, decimals: int = DECIMALS) -> str:
    """Return a value as a text, such as `0.53`."""
    return _text(rounded(value, decimals))


def signed(value: float, decimals: int = DECIMALS) -> str:
    """Return a value with its sign, such as `+0.03` or `−0.03`; `0.00` has none."""
    return _signed(rounded(value, decimals))


def difference(before: float, after: float, decimals: int = DECIMALS) -> str:
    """Return after less before, both as they are shown; `no difference` where they are shown alike."""
    change = rounded(after, decimals) - rounded(before, decimals)
    return _signed(change) if change else NO_DIFFERENCE


def direction(before: float, after: float) -> Direction:
    """Return whether a measure of one query rose, stayed or fell, as they are counted everywhere."""
    if abs(after - before) < NO_CHANGE:
        return "same"
    return "better" if after > before else "worse"


def change(before: float, after: float, decimals: int = DECIMALS) -> str:
    """Return how much one query changed, shorter than `difference`: `=`, or `< 0.01` where too little to be seen."""
    if direction(before, after) == "same":
        return "="
    text = difference(before, after, decimals)
    return f"< {Decimal(1).scaleb(-decimals)}" if text == NO_DIFFERENCE else text


def interval(low: float, high: float, decimals: int = DECIMALS) -> tuple[str, str]:
    """Return both ends with their signs, rounded outwards: the difference of rounded figures lies inside as well."""
    ends = [_quantised(Decimal(end), _NOISE_DECIMALS, ROUND_HALF_UP) for end in (low, high)]
    return _signed(_quantised(ends[0], decimals, ROUND_FLOOR)), _signed(_quantised(ends[1], decimals, ROUND_CEILING))


def _quantised(value: Decimal, decimals: int, rounding: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding) + 0  # which makes -0 a 0


def _signed(value: Decimal) -> str:
    return f"+{value}" if value > 0 else _text(value)


def _text(value: Decimal) -> str:
    return f"{_MINUS if value < 0 else ''}{abs(value)}"
