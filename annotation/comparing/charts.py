"""Where the shapes of a report's pictures go: coordinates only, drawn as SVG by the report's template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NOTHING = 1e-9  # what is nearer to 0 than this comes from rounding

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
        title = f"{query['text'][:80]}: {before:.3f} to {after:.3f}"
        points.append(Point(x, SCATTER_SIZE - y, kind(after - before), title))
    return points


def bars(queries: Sequence[Mapping[str, Any]], side: int) -> list[Bar]:
    """Return a bar for each query, from the largest gain to the largest loss against the first side."""
    changes = sorted(((q["values"][side] - q["values"][0], q["text"][:80]) for q in queries), key=lambda c: -c[0])
    reach = max((abs(change) for change, _ in changes), default=0.0) or 1.0
    step, middle = BARS_WIDTH / max(len(changes), 1), BARS_HEIGHT / 2
    found = []
    for place, (change, text) in enumerate(changes):
        height = abs(change) / reach * middle
        top = middle - height if change > 0 else middle
        found.append(Bar(place * step, top, step * 0.85, height, kind(change), f"{text}: {change:+.3f}"))
    return found


def whiskers(rows: Sequence[Mapping[str, Any]]) -> WhiskerPlot:
    """Return the mean difference of each measure with its interval."""
    reach = max((max(abs(row["low"]), abs(row["high"])) for row in rows), default=0.0) or 1.0

    def place(value: float) -> float:
        return WHISKERS_WIDTH / 2 * (1 + value / reach)

    found = [
        Whisker(
            measure=row["measure"],
            y=(number + 0.5) * ROW_HEIGHT,
            low=place(row["low"]),
            middle=place(row["difference"]),
            high=place(row["high"]),
            title=f"{row['measure']}: {row['difference']:+.3f}, between {row['low']:+.3f} and {row['high']:+.3f}",
        )
        for number, row in enumerate(rows)
    ]
    return WhiskerPlot(found, place(0.0), reach, max(len(rows), 1) * ROW_HEIGHT)


def kind(change: float) -> str:
    """Return whether a change is for the better or the worse."""
    return "same" if abs(change) < _NOTHING else "better" if change > 0 else "worse"
