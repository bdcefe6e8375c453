"""How fast it is and how much memory it takes: `python -m benchmarks.speed`.

Every figure stands beside that of a baseline taken in the same run, the two in turns; medians unless said otherwise.
Each measurement runs in a process of its own; `memory` gives each side of the first contest of every measurement a
process of its own, and `busy` times adaptation beside another process that computes without a pause. `scale` takes
minutes and runs only when it is named. The table goes to stdout.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks.environment import describe_environment
from benchmarks.figures import Figure, Target, to_json, to_markdown
from benchmarks.fresh_processes import call_in_fresh_process
from era.threads import wait_asleep

TIMED = ("alignment", "adaptation", "refit", "search", "indexing")
BY_DEFAULT = (*TIMED, "memory", "busy")
MEASUREMENTS = (*BY_DEFAULT, "scale")
_MOST_SLOWED = 2.5


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line; without `folder` the demo collection is measured on."""

    only: list[str]
    json: Path | None
    folder: Path | None
    collection: str | None
    n_rounds: int
    cache: Path | None


def main() -> None:
    """Measure, print the table, write the file that was asked for."""
    arguments = read_arguments()
    wait_asleep()  # as the app and the command line do
    environment = describe_environment()
    load_before = _load()
    figures, facts = measure(arguments)
    conditions = facts | {"rounds": arguments.n_rounds, "load before": load_before, "load after": _load()}
    print(to_markdown(figures, environment, conditions))
    if arguments.json:
        content = to_json(figures, environment, conditions)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def measure(arguments: Arguments) -> tuple[list[Figure], dict[str, Any]]:
    """Return the figures, and facts about what was measured on."""
    figures: list[Figure] = []
    facts: dict[str, Any] = {"threads": call_in_fresh_process("torch", "get_num_threads")}
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if set(arguments.only) - {"scale"}:
            source = (arguments.folder, arguments.collection, arguments.cache)
            facts |= call_in_fresh_process("benchmarks.workload", "write_workload", folder, *source)
        steps = tqdm(arguments.only, file=sys.stderr)
        for name in steps:
            steps.set_postfix_str(name)
            if name == "scale":
                figures += _measure_scale()
            elif name == "busy":
                figures.append(_measure_busy(folder, arguments.n_rounds))
            elif name == "memory":
                figures += _measure_memory(folder)
            else:
                figures += call_in_fresh_process(
                    "benchmarks.contests", "hold_contests", name, folder, arguments.n_rounds
                )
    return figures, facts


def _measure_memory(folder: Path) -> list[Figure]:
    figures = []
    for name in TIMED:
        peaks: list[float] = []
        for side in ("ours", "baseline"):
            what, against, peak = call_in_fresh_process("benchmarks.contests", "peak_of_side", name, side, folder)
            peaks.append(peak / 2**20)
        figures.append(Figure("memory", f"peak of {name}: {what}", "MiB", peaks[0], against, peaks[1]))
    return figures


def _measure_busy(folder: Path, n_rounds: int) -> Figure:
    """Time adaptation while another process computes without a pause, against the machine to itself, in turns."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for is_busy in (False, True) * 2:
        other = get_context("spawn").Process(target=_compute_without_pause, daemon=True)
        if is_busy:
            other.start()
        seconds[is_busy].append(
            call_in_fresh_process("benchmarks.learning_contests", "seconds_of_adaptation", folder, n_rounds)
        )
        if is_busy:
            other.kill()
            other.join()
    target = Target("ratio", "<=", _MOST_SLOWED)
    ours, alone = min(seconds[True]), min(seconds[False])
    return Figure("busy", "adaptation beside one busy core", "s", ours, "with the machine to itself", alone, target)


def _compute_without_pause() -> None:
    while True:
        pass


def _measure_scale() -> list[Figure]:
    figures: list[Figure] = []
    with TemporaryDirectory() as scratch:
        for step in ("make_world", "adapt_in_world"):
            figures += call_in_fresh_process("benchmarks.scale", step, Path(scratch))
    return figures


def read_arguments() -> Arguments:
    """Read and check the command line; a mistake ends the program with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = Path(os.environ.get("ERA_COLLECTIONS", "../shared/collections"))
    parser.add_argument("--only", type=_names, default=list(BY_DEFAULT), help=f"out of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--json", type=Path, help="where to write every number")
    parser.add_argument("--folder", type=Path, help="where the collection folders are (none there: the demo)")
    parser.add_argument("--collection", help="name of the one to measure on (default: the largest)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is timed; searches 40 times that")
    parser.add_argument("--cache", type=Path, help="where embeddings are kept")
    given = parser.parse_args()
    if unknown := [name for name in given.only if name not in MEASUREMENTS]:
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(MEASUREMENTS)}")
    if given.rounds < 1:
        parser.error("expected at least one round")
    if given.folder and not given.folder.is_dir():
        parser.error(f"there is no folder {given.folder}")
    return Arguments(
        only=[name for name in MEASUREMENTS if name in given.only],
        json=given.json,
        folder=given.folder or (folder if folder.is_dir() else None),
        collection=given.collection,
        n_rounds=given.rounds,
        cache=given.cache,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _load() -> str:
    """Return how many processes wanted a core in the last minute, on the systems that know."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    main()
