"""Hand much to the database a little at a time, and insert a row that several writers may want to insert at once."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.schema import Base

ItemT = TypeVar("ItemT")
RowT = TypeVar("RowT", bound=Base)

LOOKUP_BATCH = 500
"""How many values to look up at once: older SQLite takes no more than 999 parameters in a statement."""


def batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Yield the items in lists of `size`, the last one shorter; no more than one list is held at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def find_or_insert(session: Session, statement: Select[RowT], row: RowT) -> tuple[RowT, bool]:
    """Return the row that `statement` selects, inserting `row` if there is none, and whether it was inserted.

    Where another writer inserts it in between, the constraint that makes it unique refuses ours; the savepoint
    keeps the rest of the transaction, and the other's row is returned.

    Raises:
        IntegrityError: if `row` breaks a constraint for another reason.
    """
    found = session.scalars(statement).one_or_none()
    if found is not None:
        return found, False
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        found = session.scalars(statement).one_or_none()
        if found is None:
            raise
        return found, False
    return row, True
