"""`adapt`: stage 2, learn from judged queries; measured on each query by adapters that never saw its judgments."""

import argparse
from collections.abc import Mapping
from typing import Any

from era.cli.console import Console
from era.cli.sources import open_collection
from era.evaluation.held_out import fullest
from era.intact import require_absent
from era.trained_adapter import TrainedAdapter, held_out_in_words

_DECIMALS = 4


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Learn, measure and save an adapter.

    Raises:
        NothingToLearnError: if no query has a relevant document.
        EraError: if index or embedders cannot be used.
        FormatError: if queries or judgments cannot be read.
        FileExistsError: if the folder of the adapter exists.
    """
    require_absent(arguments.adapter)
    collection = open_collection(arguments, console)
    with console.progress() as progress:
        learned = collection.fit(
            arguments.queries,
            arguments.qrels,
            arguments.recipe,
            seed=arguments.seed,
            n_texts=arguments.n_texts,
            progress=progress,
        )
    learned.save(arguments.adapter)
    remarks = list(learned.measures.get("remarks", ()))
    for remark in remarks:
        console.remark(remark)
    told = {**learned.measures, "remarks": remarks, "means": _told(learned.measures["means"])}
    about = {"adapter": str(arguments.adapter), "recipe": arguments.recipe, "seed": arguments.seed, **told}
    console.answer(about, lambda: _in_words(arguments, learned))


def _told(means: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the means of the light model alone, and before and after learning with all that counts in a search."""
    return {"light": means["light"], **{name: means[fullest(means, name)] for name in ("aligned", "after")}}


def _in_words(arguments: argparse.Namespace, learned: TrainedAdapter) -> str:
    n = learned.measures["n"]
    return (
        f"Learned from {n:,} queries; the adapter is in {arguments.adapter}.\n{learned.measures['report']['reason']}\n"
        f"{held_out_in_words(learned.measures, _DECIMALS)}\n"
    )
