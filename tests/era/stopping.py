"""What it means that work stops when the person asks for it."""

from collections.abc import Callable

import pytest

from era.errors import Cancelled
from era.progress import Progress


def assert_stops(work: Callable[[Progress], object], share: float) -> None:
    """Hold that work ends at the very report that raises: the one after `share` of all its reports, 0 for the first."""
    n_reports = 0

    def count(stage: str, fraction: float, detail: str = "") -> None:
        nonlocal n_reports
        n_reports += 1

    work(count)
    last = 1 + int(share * (n_reports - 1))
    n_reports = 0

    def stop(stage: str, fraction: float, detail: str = "") -> None:
        nonlocal n_reports
        n_reports += 1
        if n_reports == last:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        work(stop)
    assert n_reports == last
