"""How much a few labelled queries buy: `python -m benchmarks.label_efficiency`.

For every collection and number of labels, on the same embeddings, splits and labels: what each system of
`benchmarks.systems` achieves on held-out queries. Splits: `benchmarks.splits`. A collection with fewer labelled queries
than asked for has no figure there ("-"). Tables go to stdout, progress to stderr, embeddings to a cache folder.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.curves import draw_curves
from benchmarks.embeddings import default_cache_folder, load_cached_pair
from benchmarks.environment import describe_environment
from benchmarks.judged_collections import JudgedCollection, find_collections, open_collection
from benchmarks.outcomes import Outcome, Record, Results
from benchmarks.report import CollectionFacts, to_json, to_markdown
from benchmarks.splits import Split, split
from benchmarks.systems import SYSTEMS, System


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line."""

    folders: list[Path]
    labels: list[int]
    n_seeds: int
    systems: list[str]
    json: Path | None
    png: Path | None
    cache: Path


def main() -> None:
    """Measure, print the tables, write the files that were asked for."""
    arguments = read_arguments()
    pair = load_cached_pair(arguments.cache)
    records: list[Record] = []
    facts: list[CollectionFacts] = []
    for folder in arguments.folders:
        collection = open_collection(folder, pair)
        splits = [split(collection.queries, seed) for seed in range(arguments.n_seeds)]
        facts.append(CollectionFacts.of(collection, splits))
        records += measure_collection(collection, splits, arguments.systems, arguments.labels)
    results = Results(records)
    environment = describe_environment()
    print(to_markdown(results, facts, environment, arguments.n_seeds))
    if arguments.json:
        content = to_json(results, facts, environment, arguments.n_seeds)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.png:
        draw_curves(results, arguments.png)


def measure_collection(
    collection: JudgedCollection, splits: Sequence[Split], names: Sequence[str], budgets: Sequence[int]
) -> list[Record]:
    """Return the records of all systems, splits and numbers of labels that the collection has.

    One thread learns: with more, times say what else the machine was doing rather than how much there is to do.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    n_available = min(len(each.labelled) for each in splits)
    budgets = [n_labels for n_labels in budgets if n_labels <= n_available]
    records = []
    steps = tqdm(list(product(splits, names)), desc=collection.name, file=sys.stderr)
    for each, name in steps:
        steps.set_postfix_str(name)
        for n_labels, outcome in _measure_system(SYSTEMS[name], collection, each, budgets):
            records.append(Record(collection.name, each.seed, n_labels, name, outcome))
    torch.set_num_threads(n_threads)
    return records


def _measure_system(
    system: System, collection: JudgedCollection, each: Split, budgets: Sequence[int]
) -> list[tuple[int, Outcome]]:
    """Return (number of labels, outcome); a system that uses no labels has the same outcome at every number."""
    is_before = {n_labels: n_labels == 0 or system.after is None for n_labels in budgets}
    outcomes = []
    if system.before is not None and any(is_before.values()):
        before = system.before(collection, each)
        outcomes += [(n_labels, before) for n_labels in budgets if is_before[n_labels]]
    if system.after is not None:
        outcomes += [
            (n_labels, system.after(collection, each, n_labels)) for n_labels in budgets if not is_before[n_labels]
        ]
    return outcomes


def read_arguments() -> Arguments:
    """Read and check the command line; a mistake ends the program with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("ERA_COLLECTIONS")
    parser.add_argument("--folder", type=Path, default=folder, help="where the collection folders are")
    parser.add_argument("--collections", type=_names, default=[], help="names, separated by commas (default: all)")
    parser.add_argument("--labels", type=_numbers, default=[0, 5, 10, 20, 40, 80], help="numbers of labelled queries")
    parser.add_argument("--seeds", type=int, default=5, help="how many splits")
    parser.add_argument("--recipes", type=_names, default=list(SYSTEMS), help=f"out of {', '.join(SYSTEMS)}")
    parser.add_argument("--json", type=Path, help="where to write every number")
    parser.add_argument("--png", type=Path, help="where to draw the curves")
    parser.add_argument("--cache", type=Path, default=default_cache_folder(), help="where embeddings are kept")
    given = parser.parse_args()
    if unknown := [name for name in given.recipes if name not in SYSTEMS]:
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(SYSTEMS)}")
    if given.seeds < 1 or not given.labels or min(given.labels) < 0:
        parser.error("expected at least one seed, and numbers of labels of at least 0")
    if given.folder is None:
        parser.error("name the folder of judged collections by --folder or ERA_COLLECTIONS")
    if not given.folder.is_dir():
        parser.error(f"there is no folder {given.folder}")
    try:
        folders = find_collections(given.folder, given.collections)
    except ValueError as error:
        parser.error(str(error))
    return Arguments(
        folders=folders,
        labels=sorted(set(given.labels)),
        n_seeds=given.seeds,
        systems=[name for name in SYSTEMS if name in given.recipes],
        json=given.json,
        png=given.png,
        cache=given.cache,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
