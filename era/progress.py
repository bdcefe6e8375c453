"""How long work tells where it is, and how it is asked to stop."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

_BAR = "{desc} {percentage:3.0f}% {bar:30} {elapsed} "
_SECONDS_BETWEEN = 10.0  # lines of progress in a file, where a moving bar is of no use


class Progress(Protocol):
    """Called after every step of long work; raise `era.errors.Cancelled` inside it to stop the work."""

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        """Report that `stage` is done to `fraction` in [0, 1]; `detail` is for a person to read."""


def no_progress(stage: str, fraction: float, detail: str = "") -> None:
    """Ignore the report."""


@contextmanager
def progress_bars(stream: TextIO | None = None) -> Iterator[Progress]:
    """Open a progress that shows a bar for each stage, on standard error where no stream is given."""
    bars = _Bars(stream or sys.stderr)
    try:
        yield bars
    finally:
        bars.close()


class _Bars:
    """A progress that is shown as one bar at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage = ""
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        from tqdm import tqdm

        if self._bar is None or stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(
                total=100,
                desc=stage,
                file=self._stream,
                mininterval=0.1 if self._stream.isatty() else _SECONDS_BETWEEN,
                bar_format=_BAR,
            )
        self._bar.bar_format = _BAR + detail.replace("{", "{{").replace("}", "}}")
        self._bar.update(min(100 * fraction, 100) - self._bar.n)

    def close(self) -> None:
        """End the bar that is shown."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
