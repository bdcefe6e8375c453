"""Ten experts judging at once, through the real app and a real database: `python -m benchmarks.judging_load`.

A data folder is filled with 500 queries and 100,000 marks, the app is started on it, and experts without a browser
work at it; everything runs on this machine, the experts too. Bare SQLite and an event that the app turns away at the
door stand beside each figure, taken in turns. Afterwards every acknowledged mark is looked for in the database.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks.environment import describe_environment
from benchmarks.figures import Figure, Target, to_json, to_markdown
from benchmarks.fresh_processes import call_in_fresh_process
from benchmarks.load_app import RunningApp, is_quiet
from benchmarks.load_browser import Drawn, measure_page, why_not
from benchmarks.load_client import Expert, Page
from benchmarks.load_phases import Seconds, work
from benchmarks.load_seed import AUTHORS, Seeded
from benchmarks.load_store import BareInserts, look_for

_BARE = "the row inserted and committed by SQLite alone"
_NOTHING = "a delivery turned away at the door: the way there and back"
_TO_MARK = Target("ours", "<=", 50.0)
_TO_MARK_P99 = Target("ours", "<=", 200.0)
_TO_DRAW = Target("ours", "<=", 300.0)
_NONE = Target("ours", "<=", 0.0)


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is, and how hard it is worked at."""

    n_experts: int = len(AUTHORS)
    n_marks: int = 60  # of each expert in each part
    n_queries: int = 500
    n_judgments: int = 100_000
    n_lists: int = 10
    think_s: float = 0.3


QUICK = Load(n_experts=2, n_marks=5, n_judgments=1_000, n_lists=2)


def main() -> None:
    """Measure, print the table, write the file that was asked for."""
    load, json_file = read_arguments()
    environment = describe_environment()
    load_before = _load()
    figures, facts = measure(load)
    conditions = facts | {"load before": load_before, "load after": _load()}
    print(to_markdown(figures, environment, conditions, f"{load.n_experts} experts judging at once"))
    if json_file:
        content = to_json(figures, environment, conditions)
        json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def measure(load: Load) -> tuple[list[Figure], dict[str, Any]]:
    """Return the figures, and facts about what was measured on."""
    with TemporaryDirectory() as scratch, tqdm(total=6, file=sys.stderr) as steps:
        folder, bare = Path(scratch) / "data", Path(scratch) / "bare.sqlite3"
        steps.set_postfix_str("seeding and starting")
        seeded = call_in_fresh_process("benchmarks.load_seed", "seed", folder, load.n_queries, load.n_judgments)
        call_in_fresh_process("benchmarks.load_seed", "copy_database", folder, bare)
        app = RunningApp.start(folder, AUTHORS, Path(scratch) / "output.txt")
        try:
            figures, facts = asyncio.run(_measure_experts(app, seeded, folder, bare, load, steps))
            steps.set_postfix_str("browser")
            reason = why_not()
            if not reason:
                figures += _page_figures(measure_page(app, AUTHORS[0], seeded, load.n_lists))
            steps.update()
        except Exception as error:
            error.add_note(f"The app {app.state()} and said:\n{app.last_words()}")
            raise
        finally:
            app.stop()
    facts = {
        "queries": seeded.n_queries,
        "stored marks": f"{seeded.n_judgments:,} of {len(AUTHORS)} people",
        "experts": load.n_experts,
        "marks of each": load.n_marks,
        "pause before a mark": f"{load.think_s:g} s",
        **facts,
        "gradio": version("gradio"),
        "SQLite": sqlite3.sqlite_version,
    }
    return figures, facts | ({"not measured in a browser": reason} if reason else {})


async def _measure_experts(
    app: RunningApp, seeded: Seeded, folder: Path, bare: Path, load: Load, steps: "tqdm[Any]"
) -> tuple[list[Figure], dict[str, Any]]:
    names = AUTHORS[: load.n_experts]
    pages = [await Page.open(app, name) for name in names]
    experts = [
        Expert(name, page, seeded, Random(number)) for number, (name, page) in enumerate(zip(names, pages, strict=True))
    ]
    stores = [BareInserts(bare) for _ in experts]
    try:
        while (await experts[0].look())["preparing"] is not None or not await is_quiet(app):
            await asyncio.sleep(1)
        await experts[0].mark()
        steps.update()
        figures: list[Figure] = []
        for name, n_experts, think_s in (
            ("one expert", 1, load.think_s),
            (f"{load.n_experts} experts", load.n_experts, load.think_s),
            ("full speed", load.n_experts, 0.0),
        ):
            steps.set_postfix_str(name)
            seconds = await work(experts[:n_experts], stores[:n_experts], load.n_marks, think_s)
            figures += _mark_figures(name, seconds) if think_s else _throughput_figures(name, seconds)
            steps.update()
        steps.set_postfix_str("query list")
        figures += await _list_figures(experts, load.n_lists)
        await asyncio.gather(*(expert.deliver_again() for expert in experts))
        acknowledged = [mark for expert in experts for mark in expert.acknowledged]
        kept = look_for(acknowledged, folder / "era.sqlite3")
        figures += [
            Figure("kept", f"lost of {kept.n_acknowledged} acknowledged marks", "marks", kept.n_lost, target=_NONE),
            Figure("kept", "stored twice, deliveries repeated", "marks", kept.n_doubled, target=_NONE),
        ]
        steps.update()
    finally:
        for page in pages:
            await page.close()
        for store in stores:
            store.close()
    return figures, {"deliveries that had to wait and try again": sum(expert.n_retries for expert in experts)}


def _mark_figures(name: str, seconds: Seconds) -> list[Figure]:
    figures = []
    for words, percentile, target in (("median", 50, _TO_MARK), ("p99", 99, _TO_MARK_P99)):
        for against, kind in ((_BARE, "bare"), (_NOTHING, "nothing")):
            figures.append(
                Figure(
                    name,
                    f"a mark acknowledged, {words}",
                    "ms",
                    seconds.milliseconds("mark", percentile),
                    against,
                    seconds.milliseconds(kind, percentile),
                    target,
                )
            )
    return figures


def _throughput_figures(name: str, seconds: Seconds) -> list[Figure]:
    marks = seconds.per_second("mark")
    return [
        Figure(name, "marks acknowledged", "1/s", marks, against, seconds.per_second(kind))
        for against, kind in ((_BARE, "bare"), (_NOTHING, "nothing"))
    ]


async def _list_figures(experts: list[Expert], n_times: int) -> list[Figure]:
    """Return what it takes to open a query, as measured while all were at work, and to ask for the list of all."""
    lists, nothing = [], []
    for _ in range(n_times):
        nothing.append(await experts[0].ask_nothing() * 1000)
        lists.append(await experts[0].list_queries() * 1000)
    opened = [took_s * 1000 for expert in experts for took_s in expert.open_s]
    return [
        Figure("query list", "server time, median", "ms", median(lists), _NOTHING, median(nothing), _TO_DRAW),
        Figure("query", "opened during all of the above, server time, median", "ms", median(opened)),
    ]


def _page_figures(drawn: Drawn) -> list[Figure]:
    frame = median(drawn["frame"])
    return [
        Figure("Chromium", f"{what}, median", "ms", median(drawn[kind]), "the next frame", frame, _TO_DRAW)
        for what, kind in (
            ("from the click on a query until its desk is drawn", "click"),
            ("from asking for the query list until it is drawn", "list"),
            ("the query list drawn anew", "draw"),
        )
    ]


def read_arguments() -> tuple[Load, Path | None]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two experts and few marks, to see whether it runs")
    parser.add_argument("--json", type=Path, help="where to write every number")
    given = parser.parse_args()
    return QUICK if given.quick else Load(), given.json


def _load() -> str:
    """Return how many processes wanted a core in the last minute, on the systems that know."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    main()
