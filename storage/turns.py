"""Whose turn it is in a queue that several people share: round robin by person, and in order for each of them."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

_NEVER = datetime.min.replace(tzinfo=UTC)


class Waiting(Protocol):
    """Something that a person put into a queue."""

    @property
    def author(self) -> str:
        """Return who put it there."""


WaitingT = TypeVar("WaitingT", bound=Waiting)


def in_turn(waiting: Sequence[WaitingT], last_turns: Mapping[str, datetime]) -> list[WaitingT]:
    """Return what waits in the order in which it will be done: next comes the person served least recently.

    Args:
        waiting: in the order in which it joined the queue.
        last_turns: author -> when something of theirs was last taken up; who is missing was never served.
    """
    lines: dict[str, deque[WaitingT]] = {}
    for each in waiting:
        lines.setdefault(each.author, deque()).append(each)
    people = sorted(lines, key=lambda author: last_turns.get(author, _NEVER))
    turns: list[WaitingT] = []
    while people:
        turns += [lines[author].popleft() for author in people]
        people = [author for author in people if lines[author]]
    return turns
