"""`index`: embed the documents of a collection once. A run that was stopped goes on where it was."""

import argparse

from era.cli.console import Console
from era.cli.sources import Counted, open_for
from era.collection import Collection, read_documents, spec_in
from era.encoders.loading import spec_of
from era.encoders.openai import estimate_cost
from era.encoders.spec import BUNDLED, PairSpec
from era.intact import require_free
from era.io.content import Source


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Read a collection and write the index folder.

    Raises:
        FormatError: naming the place of what cannot be read.
        FileExistsError: if the folder exists and is not to be updated.
        EmbedderUnavailableError: if an embedder cannot be loaded.
        ValueError: if there is no document.
    """
    if not arguments.is_update and not arguments.is_estimate:
        require_free(arguments.index)
    source = open_for(arguments, arguments.collection)
    if arguments.is_estimate:
        _estimate(source, _spec(arguments), console)
        return
    with console.progress() as progress:
        made = Collection.build(
            source,
            arguments.embedders or None,
            arguments.index,
            device=arguments.device,
            cache=arguments.cache,
            progress=progress,
        )
    for remark in made.remarks:
        console.remark(remark)
    console.answer(
        {
            "index": str(arguments.index),
            "documents": len(made),
            "embedded": made.n_embedded,
            "queries": len(made.queries),
            "judgments": sum(len(judged) for judged in made.qrels.values()),
            "embedders": _spec(arguments).to_json(),
            "fingerprint": made.index.fingerprint,
            "bytes": made.index.size_bytes,
            "remarks": list(made.remarks),
        },
        lambda: (
            f"{len(made):,} documents are indexed in {arguments.index}, {made.n_embedded:,} of them embedded now "
            f"({made.index.size_bytes / 1e6:,.1f} MB, fingerprint {made.index.fingerprint[:12]}).\n"
        ),
    )


def _estimate(source: Source, spec: PairSpec, console: Console) -> None:
    """Say what embedding every document would take; nothing is loaded and nothing sent."""
    with console.progress() as progress:
        documents = Counted(read_documents(source, progress))
        cost = estimate_cost(spec.light, (each.document.content for each in documents))
    found = {"documents": documents.n, "tokens": cost.n_tokens, "dollars": cost.dollars}
    dollars = "" if cost.dollars is None else f", which cost about ${cost.dollars:,.2f}"
    console.answer(found, lambda: f"{documents.n:,} documents have about {cost.n_tokens:,} tokens{dollars}.\n")


def _spec(arguments: argparse.Namespace) -> PairSpec:
    """Return the embedders asked for, else those of the index that is updated, else the bundled ones."""
    named = spec_of(arguments.embedders) if arguments.embedders else spec_in(arguments.index)
    return named or BUNDLED
