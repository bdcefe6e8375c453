"""Rankings by name: the light model, aligned, BM25, an adapter in a folder, or a run that somebody ranked before."""

import zipfile
from pathlib import Path

from era.collection import ALIGNED, BM25, LIGHT, System
from era.io.runs import RunRead, read_run
from era.trained_adapter import TrainedAdapter


def find_run(name: str) -> RunRead | None:
    """Return the rankings if the name is that of a run file; else None: it names something that ranks.

    Raises:
        FormatError: naming the place of what cannot be read.
    """
    path = Path(name)
    is_run = name not in (LIGHT, ALIGNED, BM25) and path.is_file() and not zipfile.is_zipfile(path)
    return read_run(path) if is_run else None


def system_named(name: str) -> System:
    """Return what ranks under a name.

    Raises:
        AdapterDamagedError: if the name is that of no adapter.
    """
    return name if name in (LIGHT, ALIGNED, BM25) else TrainedAdapter.load(name)
