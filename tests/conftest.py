"""How the tests run, two processes side by side: one thread each, and what takes long before what is quick."""

import csv
import os
from collections.abc import Iterator

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # threads that wait for others spin

LONGEST_FIRST = ("tests/ui/", "tests/test_", "tests/era/", "tests/annotation/")
"""Where a file takes minutes, or starts processes; what is not named is quick."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that take long first: the quick ones keep both processes busy to the end."""

    def turn(item: pytest.Item) -> int:
        return next((n for n, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start)), len(LONGEST_FIRST))

    items.sort(key=turn)


@pytest.fixture(autouse=True)
def _csv_limit() -> Iterator[None]:
    """Put back how long a field may be, which the module `csv` keeps for the whole process."""
    before = csv.field_size_limit()
    yield
    csv.field_size_limit(before)
