"""What was measured, against what, and which target it has; as a Markdown table and as JSON.

Imports nothing that takes memory: a process that starts others must stay small (`benchmarks.fresh_processes`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that our value, or its ratio to the baseline, should keep."""

    quantity: Literal["ours", "ratio"]
    relation: Literal["<=", ">="]
    bound: float

    def is_met(self, figure: "Figure") -> bool:
        """Return whether the figure keeps the bound.

        Raises:
            ValueError: if the ratio is bounded and there is no baseline.
        """
        value = figure.ours if self.quantity == "ours" else figure.ratio
        if value is None:
            raise ValueError(f"{figure.what!r} has a target for a ratio but no baseline.")
        return value <= self.bound if self.relation == "<=" else value >= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value beside that of its baseline.

    Attributes:
        measurement: the name it is asked for by.
        what: was measured.
        against: what the baseline is; empty if there is none.
        unit: of both values.
        ours: our value.
        baseline: its value in the same run.
        target: what is aimed for.
    """

    measurement: str
    what: str
    unit: str
    ours: float
    against: str = ""
    baseline: float | None = None
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """Return ours divided by the baseline."""
        return None if self.baseline is None else self.ours / self.baseline


def to_markdown(
    figures: Sequence[Figure],
    environment: Mapping[str, Any],
    conditions: Mapping[str, Any],
    title: str = "Speed and memory",
) -> str:
    """Return the whole report."""
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    lines = [
        f"# {title}",
        "",
        f"{environment['date']}, commit {environment['commit']}, {environment['cpu']} ({environment['cores']} cores), "
        f"{environment['system']}, Python {environment['python']}, {packages}.",
        "",
        ", ".join(f"{name}: {value}" for name, value in conditions.items()) + ".",
        "",
        "| measurement | ours | against | unit | ours | baseline | ratio | target |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(figure) for figure in figures),
    ]
    return "\n".join(lines)


def to_json(figures: Sequence[Figure], environment: Mapping[str, Any], conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return every number."""
    rows = [asdict(figure) | {"ratio": figure.ratio} for figure in figures]
    return {"environment": dict(environment), "conditions": dict(conditions), "figures": rows}


def _row(figure: Figure) -> str:
    target = "-"
    if figure.target is not None:
        wanted = f"{figure.target.quantity} {figure.target.relation} {figure.target.bound:g}"
        target = f"{wanted}: {'met' if figure.target.is_met(figure) else 'MISSED'}"
    numbers = [_number(value) for value in (figure.ours, figure.baseline, figure.ratio)]
    cells = [figure.measurement, figure.what, figure.against or "-", figure.unit, *numbers, target]
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None) -> str:
    """Return three digits that count, without an exponent."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    n_decimals = next((n for n, size in enumerate((100, 10, 1, 0.1, 0.01)) if abs(value) >= size), 5)
    return f"{value:,.{n_decimals}f}"
