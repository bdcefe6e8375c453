"""`search`: the best documents of one query, or the rankings of many as a TREC run."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from era.cli.console import Console
from era.cli.sources import open_collection
from era.cli.systems import find_run, system_named
from era.collection import Hits, System
from era.io.memory import queries_of
from era.io.writing import trec_run
from era.trained_adapter import TrainedAdapter
from era.types import Query, Run

_K = 10
_K_OF_RUNS = 100
_CHARACTERS = 300  # of a text that a person sees; JSON has all of it


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Rank the documents of an index folder.

    Raises:
        EraError: if folder, adapter or embedders cannot be used.
        FormatError: if the queries cannot be read.
        ValueError: if neither or both of a query and a file of queries are given.
    """
    if (arguments.query is None) == (arguments.queries is None):
        raise ValueError("Give either one query or --queries FILE.")
    if arguments.query is not None and (not arguments.query.strip() or arguments.out):
        raise ValueError("Write what you are looking for; --out takes the run of --queries FILE.")
    if find_run(arguments.system) is not None:
        raise ValueError(
            f"{arguments.system} is a file of rankings, which cannot search. Give the folder of an adapter."
        )
    if arguments.queries is not None:
        remarks: list[str] = []
        queries = queries_of(arguments.queries, remarks)
        for remark in remarks:
            console.remark(remark)
    else:
        queries = [Query("query", arguments.query, arguments.instruction)]
    system = system_named(arguments.system)
    collection = open_collection(arguments, console)
    depth = arguments.k or (_K if arguments.queries is None else _K_OF_RUNS)
    if arguments.queries is None:
        _show(console, collection.search(queries[0], adapter=system, k=depth, words=arguments.has_words))
        return
    with console.progress() as progress:
        found = collection.run(
            queries,
            adapter=system,
            k=depth,
            words=arguments.has_words,
            held_out=arguments.is_held_out,
            progress=progress,
        )
    if not arguments.is_held_out:
        _warn(console, arguments.system, system, queries)
    _write(console, arguments, found)


def _warn(console: Console, name: str, system: System, queries: Sequence[Query]) -> None:
    """Say so if measuring these rankings would flatter."""
    learned = isinstance(system, TrainedAdapter) and [each for each in queries if system.held_out_for(each) is not None]
    if learned:
        console.remark(
            f"{name} learned from {len(learned):,} of these queries. For rankings to be measured, use --held-out."
        )


def _show(console: Console, hits: Hits) -> None:
    results = [{"rank": rank, **asdict(hit)} for rank, hit in enumerate(hits, start=1)]

    def text() -> str:
        lines = []
        for each in results:
            shown = " ".join(f"{each['title']} {each['text']}".split())
            shown = shown if len(shown) <= _CHARACTERS else shown[: _CHARACTERS - 1] + "…"
            lines.append(f"{each['rank']:>3}  {each['score']:.4f}  {each['doc_id']}\n     {shown}\n")
        return "".join(lines)

    console.answer(results, text)


def _write(console: Console, arguments: argparse.Namespace, found: Run) -> None:
    if arguments.out is not None:
        arguments.out.write_text(trec_run(found, "era"), encoding="utf-8")
        summary = {"run": str(arguments.out), "queries": len(found)}
        console.answer(summary, lambda: f"The rankings of {len(found):,} queries are in {arguments.out}.\n")
        return
    values = {query: [{"doc_id": d.doc_id, "score": d.score} for d in ranking] for query, ranking in found.items()}
    console.answer(values, lambda: trec_run(found, "era"))
