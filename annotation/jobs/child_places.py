"""Whose file is read next while people wait for it: a few at a time, and never all of them one person's."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from annotation.errors import InvalidInputError
from annotation.jobs.child import COUNTING, LOOKING, call_apart, source_apart
from era.errors import Cancelled
from era.io.content import Source

Parameters = ParamSpec("Parameters")
ValueT = TypeVar("ValueT")

N_PLACES = 6
N_EACH = 2
"""Places of one person; those who are not signed in count as one together."""

_PATIENCE_S = 30.0


@dataclass(slots=True, eq=False)
class _Place:
    author: str | None
    reading: str
    number: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)

    def is_of(self, author: str | None, reading: str) -> bool:
        """Return whether a person looks at this."""
        return (self.author, self.reading) == (author, reading)


class ReadingPlaces:
    """The places of one process; each is held as long as something is read."""

    def __init__(self) -> None:
        """Begin with all of them free."""
        self._places: list[_Place] = []
        self._change = threading.Condition()

    def call(
        self,
        author: str | None,
        reading: str,
        file: str,
        function: Callable[Parameters, ValueT],
        *arguments: Parameters.args,
        **named: Parameters.kwargs,
    ) -> ValueT:
        """Return what a function reads, in a process of its own.

        Args:
            author: who waits.
            reading: what for, as a page names it: a later look at the same thing ends the former, whose answer is of
                no use any more. Its number, as in `page preview#7`, tells which is later where looks overtake each
                other on their way. Empty for what is never looked at twice.
            file: what the person calls what is read.
            function: with its arguments, as `annotation.jobs.child.call_apart` takes them.
            arguments: for the function.
            named: none.

        Raises:
            InvalidInputError: if this person's other files are being read, or there are too many of other people's.
            Cancelled: if there is a later look, or it was ended by `end`.
            FormatError: if it takes more time or memory than it may; and whatever the function raises.
        """
        with self._taken(author, reading) as is_over:
            return call_apart(file, LOOKING, is_over, function, *arguments, **named)

    @contextmanager
    def source(
        self,
        author: str | None,
        reading: str,
        file: str,
        opener: Callable[Parameters, Source],
        *arguments: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Iterator[Source]:
        """Open a source that is read in a process of its own; arguments and errors are those of `call`."""
        with (
            self._taken(author, reading) as is_over,
            source_apart(file, COUNTING, is_over, opener, *arguments, **named) as source,
        ):
            yield source

    def end(self, author: str | None, reading: str) -> None:
        """End what a person has being read under a name, if there is anything."""
        with self._change:
            self._end(author, reading)

    def leave(self, page: str) -> None:
        """End all that is read under names that begin with that of a page, which is closed."""
        with self._change:
            for each in self._places:
                if each.reading.startswith(f"{page} "):
                    each.is_over.set()

    @contextmanager
    def _taken(self, author: str | None, reading: str) -> Iterator[Callable[[], bool]]:
        name, _, number = reading.partition("#")
        place = _Place(author, name, int(number or 0))
        with self._change:
            if name and any(each.is_of(author, name) and each.number > place.number for each in self._places):
                raise Cancelled("A later look was asked for.")
            self._end(author, name)
            if sum(each.author == author and not each.is_over.is_set() for each in self._places) >= N_EACH:
                raise InvalidInputError("Your other file is still being read. Wait until it is done, then try again.")
            self._wait()
            self._places.append(place)
        try:
            yield place.is_over.is_set
        finally:
            with self._change:
                self._places.remove(place)
                self._change.notify_all()

    def _end(self, author: str | None, reading: str) -> None:
        for each in self._places:
            if reading and each.is_of(author, reading):
                each.is_over.set()

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while len(self._places) >= N_PLACES:
            if not self._change.wait(until - time.monotonic()):
                raise InvalidInputError("Files of several other people are being read. Try again in a minute.")
