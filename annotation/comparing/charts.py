"""Where the shapes of a report's pictures go: coordinates only, drawn as SVG by the report's template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from era.evaluation.figures import Direction, change, difference, direction, figure, interval

SCATTER_SIZE = 320.0  # of the square in which points lie
BARS_WIDTH, BARS_HEIGHT = 720.0, 220.0
WHISKERS_WIDTH, ROW_HEIGHT = 420.0, 28.0


@dataclass(frozen=True, slots=True)
class Point:
    """A query before and after; `x` and `y` from the upper left corner, `kind` is better, same or worse."""

    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """How much a query changed."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Whisker:
    """A measure's mean difference with its interval, along one axis."""

    measure: str
    y: float
    low: float
    middle: float
    high: float
    title: str


@dataclass(frozen=True, slots=True)
class WhiskerPlot:
    """All measures of a part on one axis; `zero` is where no difference would lie, `reach` the value at both ends."""

    whiskers: Sequence[Whisker]
    zero: float
    reach: float
    height: float


def scatter(queries: Sequence[Mapping[str, Any]], side: int) -> list[Point]:
    """Return a point for each query, the first side along x and side number `side` along y; measures in [0, 1]."""
    points = []
    for query in queries:
        before, after = query["values"][0], query["values"][side]
        x, y = (min(max(value, 0.0), 1.0) * SCATTER_SIZE for value in (before, after))
        title = f"{query['text'][:80]}: {figure(before)} to {figure(after)}"
        points.append(Point(x, SCATTER_SIZE - y, kind(after - before), title))
    return points


def bars(queries: Sequence[Mapping[str, Any]], side: int) -> list[Bar]:
    """Return a bar for each query, from the largest gain to the largest loss against the first side."""
    ordered = sorted(queries, key=lambda query: query["values"][0] - query["values"][side])
    reach = max((abs(query["values"][side] - query["values"][0]) for query in queries), default=0.0) or 1.0
    step, middle = BARS_WIDTH / max(len(ordered), 1), BARS_HEIGHT / 2
    found = []
    for place, query in enumerate(ordered):
        before, after = query["values"][0], query["values"][side]
        height = abs(after - before) / reach * middle
        top = middle - height if after > before else middle
        title = f"{query['text'][:80]}: {change(before, after)}"
        found.append(Bar(place * step, top, step * 0.85, height, kind(after - before), title))
    return found


def whiskers(rows: Sequence[Mapping[str, Any]]) -> WhiskerPlot:
    """Return the mean difference of each measure that has an interval."""
    given = [row for row in rows if row["low"] is not None]  # none where there are too few queries
    reach = max((max(abs(row["low"]), abs(row["high"])) for row in given), default=0.0) or 1.0

    def place(value: float) -> float:
        return WHISKERS_WIDTH / 2 * (1 + value / reach)

    found = [
        Whisker(
            measure=row["measure"],
            y=(number + 0.5) * ROW_HEIGHT,
            low=place(row["low"]),
            middle=place(row["difference"]),
            high=place(row["high"]),
            title=f"{row['measure']}: {difference(row['before'], row['after'])}, "
            f"likely between {' and '.join(interval(row['low'], row['high']))}",
        )
        for number, row in enumerate(given)
    ]
    return WhiskerPlot(found, place(0.0), reach, max(len(given), 1) * ROW_HEIGHT)


def kind(change: float) -> Direction:
    """Return whether a change is for the better or the worse."""
    return direction(0.0, change)
