"""Let a thread of its own read and store what comes next while this one computes."""

import threading
from collections.abc import Generator, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

ItemT = TypeVar("ItemT")

_LOOK_EVERY_S = 0.1


class _End:
    """Stands for the end of the items, and for what ended them."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Iterator[ItemT], n: int = 2) -> Generator[ItemT, None, None]:
    """Yield the items, up to `n` of which another thread has ready; what is raised there is raised here.

    Where the caller stops early, the thread ends before this generator does, and `items` is closed.
    """
    ready: Queue[ItemT | _End] = Queue(maxsize=n)
    is_over = threading.Event()
    reader = threading.Thread(target=_read, args=(items, ready, is_over), name="reading-ahead", daemon=True)
    reader.start()
    try:
        while True:
            try:
                item = ready.get(timeout=_LOOK_EVERY_S)
            except Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        is_over.set()
        reader.join()


def _read(items: Iterator[ItemT], ready: "Queue[ItemT | _End]", is_over: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not _put(item, ready, is_over):
                break
    except BaseException as caught:  # noqa: BLE001 - it is raised again where the items are used
        error = caught
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
        _put(_End(error), ready, is_over)


def _put(item: "ItemT | _End", ready: "Queue[ItemT | _End]", is_over: threading.Event) -> bool:
    """Return whether the item was taken; False once nobody wants any more."""
    while not is_over.is_set():
        try:
            ready.put(item, timeout=_LOOK_EVERY_S)
        except Full:
            continue
        return True
    return False
