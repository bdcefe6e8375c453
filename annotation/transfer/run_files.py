"""A TREC run file as it is brought in: rankings by what queries are called in files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from era.errors import FormatError
from era.io.runs import IN_SAMPLE, read_run

MAX_BYTES = 500_000_000
_LARGEST = float(np.finfo(np.float32).max)  # trec_eval reads scores in 32 bits


@dataclass(frozen=True, slots=True)
class RunFile:
    """What a run file holds: document ids and scores, the best first, and whether it learned from what it ranks."""

    rankings: Mapping[str, list[tuple[str, float]]]
    is_in_sample: bool
    remarks: tuple[str, ...]


def read_run_file(path: Path, name: str) -> RunFile:
    """Read a TREC run file.

    Args:
        path: of the file.
        name: as the person knows it.

    Raises:
        FormatError: naming the line that is no place of a ranking.
    """
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(f"the file is larger than {MAX_BYTES / 1e6:.0f} MB. Keep fewer places a query.", name)
    read = read_run(path, name)
    rankings = {query_id: [(doc.doc_id, doc.score) for doc in ranking] for query_id, ranking in read.run.items()}
    if any(abs(score) > _LARGEST for ranking in rankings.values() for _, score in ranking):
        raise FormatError("a score is larger than 32 bits can hold. Divide all scores by the same number.", name)
    return RunFile(rankings, read.tag.endswith(IN_SAMPLE), read.remarks)
