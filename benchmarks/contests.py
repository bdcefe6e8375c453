"""A contest: our way and a baseline over one workload, timed in turns, or each alone in a process for its memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.figures import Figure, Target
from benchmarks.fresh_processes import peak_memory_bytes
from benchmarks.timing import Action, time_in_turns
from benchmarks.workload import Workload

_PER_SECOND = {"s": 1.0, "ms": 1e3}
_SERVING = ("search", "indexing")

Prepare = Callable[[Workload], Action]
"""Load and build what a side needs; the action it returns is what is timed."""

Side = Literal["ours", "baseline"]


@dataclass(frozen=True, slots=True)
class Contest:
    """How one figure comes about.

    Attributes:
        measurement: the name it is asked for by.
        what: our side does.
        against: what the baseline does.
        unit: of the figure: `s`, `ms`, or a rate such as `documents/s` if `n_items` is there.
        ours: prepares our side.
        baseline: prepares the other side.
        n_calls: of each side in a round.
        n_items: what one call handles.
        has_tail: whether the 99th percentile is a figure of its own.
        target: for the median.
    """

    measurement: str
    what: str
    against: str
    unit: str
    ours: Prepare
    baseline: Prepare
    n_calls: int = 1
    n_items: Callable[[Workload], int] | None = None
    has_tail: bool = False
    target: Target | None = None

    def hold(self, workload: Workload, n_rounds: int) -> list[Figure]:
        """Time both sides in turns."""
        timings = time_in_turns(self.ours(workload), self.baseline(workload), n_rounds * self.n_calls)
        sides = (timings.ours, timings.baseline)
        if self.n_items is not None:
            rates = [self.n_items(workload) / float(np.median(seconds)) for seconds in sides]
            return [self._figure(self.what, rates, self.target)]
        factor = _PER_SECOND[self.unit]
        medians = [float(np.median(seconds)) * factor for seconds in sides]
        name = f"{self.what}, median" if self.has_tail else self.what
        figures = [self._figure(name, medians, self.target)]
        if self.has_tail:
            tails = [float(np.percentile(seconds, 99)) * factor for seconds in sides]
            figures.append(self._figure(f"{self.what}, 99th percentile", tails, None))
        return figures

    def _figure(self, what: str, values: Sequence[float], target: Target | None) -> Figure:
        return Figure(self.measurement, what, self.unit, values[0], self.against, values[1], target)


def hold_contests(measurement: str, folder: Path, n_rounds: int) -> list[Figure]:
    """Return the figures of a measurement over the workload in `folder`."""
    workload = Workload.load(folder)
    return [figure for contest in _contests(measurement) for figure in contest.hold(workload, n_rounds)]


def peak_of_side(measurement: str, side: Side, folder: Path) -> tuple[str, str, int]:
    """Return what the first contest of a measurement does, against what, and the peak in bytes of one side of it.

    Call it in a fresh process; libraries, models and the collection are part of the peak.
    """
    contest = _contests(measurement)[0]
    prepare = contest.ours if side == "ours" else contest.baseline
    prepare(Workload.load(folder))()
    return contest.what, contest.against, peak_memory_bytes()


def _contests(measurement: str) -> list[Contest]:
    """Return the contests of a measurement; the module with the others is not imported, it takes memory of its own."""
    module = "serving_contests" if measurement in _SERVING else "learning_contests"
    contests: list[Contest] = list(import_module(f"benchmarks.{module}").CONTESTS)
    return [contest for contest in contests if contest.measurement == measurement]
