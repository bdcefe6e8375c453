"""What a command says: its answer on standard output, as text or JSON; progress and remarks on standard error."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from era.progress import Progress, no_progress, progress_bars


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
        """Write a remark beside the answer, for the person at the terminal."""
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
        with progress_bars(self._err) as progress:
            yield progress
