"""What a command says: its answer on standard output, as text or JSON; progress and remarks on standard error."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

from tqdm import tqdm

from era.progress import Progress, no_progress

_BAR = "{desc} {percentage:3.0f}% {bar:30} {elapsed} "
_SECONDS_BETWEEN = 10.0  # lines of progress in a file, where nobody watches a bar move


class Console:
    """Where a command writes."""

    def __init__(self, out: TextIO, err: TextIO, is_json: bool = False, is_quiet: bool = False) -> None:
        """Write answers to `out`, as JSON if asked for, and the rest to `err`; quiet, no progress and no remarks."""
        self.is_json = is_json
        self._out = out
        self._err = err
        self._is_quiet = is_quiet

    def answer(self, values: Any, text: Callable[[], str]) -> None:
        """Write JSON-ready values, or else the text that says the same to a person."""
        self.write(json.dumps(values, ensure_ascii=False, indent=1) + "\n" if self.is_json else text())

    def write(self, text: str) -> None:
        """Write text as it is."""
        self._out.write(text)
        self._out.flush()

    def remark(self, text: str) -> None:
        """Write a line that whoever reads the answer should know besides."""
        if not self._is_quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Write a line, also if quiet."""
        self._err.write(" ".join(text.split()) + "\n")
        self._err.flush()

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Open a progress that shows a bar for each stage."""
        if self._is_quiet:
            yield no_progress
            return
        bars = _Bars(self._err)
        try:
            yield bars
        finally:
            bars.close()


class _Bars:
    """A progress that is shown as one bar at a time."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._stage = ""
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        if self._bar is None or stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(
                total=100,
                desc=stage,
                file=self._err,
                mininterval=0.1 if self._err.isatty() else _SECONDS_BETWEEN,
                bar_format=_BAR,
            )
        self._bar.bar_format = _BAR + detail.replace("{", "{{").replace("}", "}}")
        self._bar.update(min(100 * fraction, 100) - self._bar.n)

    def close(self) -> None:
        """End the bar that is shown."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
