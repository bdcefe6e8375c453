"""Hand much to the database a little at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

ItemT = TypeVar("ItemT")

LOOKUP_BATCH = 500
"""How many values to look up at once: older SQLite takes no more than 999 parameters in a statement."""


def batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Yield the items in lists of `size`, the last one shorter; no more than one list is held at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
