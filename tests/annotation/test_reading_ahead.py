"""Reading ahead: the same items in the same order, errors where they are used, and no thread left over."""

import threading
from collections.abc import Iterator

import pytest

from annotation.jobs.child import read_ahead
from tests.worlds.desk import PATIENCE_S


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reading-ahead"]


def test_items_come_in_their_order_from_another_thread() -> None:
    threads: set[int] = set()

    def items() -> Iterator[int]:
        for number in range(100):
            threads.add(threading.get_ident())
            yield number

    assert list(read_ahead(items())) == list(range(100))
    assert threads
    assert threading.get_ident() not in threads
    assert readers() == []


def test_error_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    ahead = read_ahead(items())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="disk is gone"):
        next(ahead)
    assert readers() == []


def test_stopping_early_ends_the_reader_and_closes_the_items() -> None:
    is_closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            is_closed.set()

    ahead = read_ahead(items())
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert is_closed.is_set()
    assert readers() == []


def test_no_more_than_a_few_items_are_ready_before_they_are_wanted() -> None:
    made: list[int] = []
    is_full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            if len(made) == 4:  # one taken, two waiting, one in hand
                is_full.set()
            yield number

    ahead = read_ahead(items(), n=2)
    assert next(ahead) == 0
    assert is_full.wait(PATIENCE_S)
    assert len(made) == 4
    assert list(ahead) == list(range(1, 50))
