"""Two things timed in turns, so that whatever else the machine does meanwhile slows down both."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Action = Callable[[], object]


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """Seconds of each call (n,), in the order of the calls."""

    ours: NDArray[np.float64]
    baseline: NDArray[np.float64]


def time_in_turns(ours: Action, baseline: Action, n_calls: int) -> Timings:
    """Call both `n_calls` times, the baseline first in every even turn; before that each once without a clock."""
    ours()
    baseline()
    seconds: dict[Action, list[float]] = {ours: [], baseline: []}
    for turn in range(n_calls):
        for action in (baseline, ours) if turn % 2 == 0 else (ours, baseline):
            start = time.perf_counter()
            action()
            seconds[action].append(time.perf_counter() - start)
    return Timings(np.array(seconds[ours]), np.array(seconds[baseline]))
