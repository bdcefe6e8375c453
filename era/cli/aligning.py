"""`align`: stage 1, before any label; what the strong embedder reads for it is kept in the index folder."""

import argparse
from dataclasses import asdict

from era.cli.console import Console
from era.cli.sources import open_collection
from era.intact import require_absent
from era.method.alignment import alignment_fit


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Align the embedders of an index folder, and save the adapter if a folder is named for it.

    Raises:
        EraError: if index or embedders cannot be used.
        FileExistsError: if the folder of the adapter exists.
    """
    if arguments.adapter is not None:
        require_absent(arguments.adapter)
    collection = open_collection(arguments, console)
    with console.progress() as progress:
        aligned = collection.align(arguments.recipe, seed=arguments.seed, n_texts=arguments.n_texts, progress=progress)
        texts = collection.alignment_texts(progress, arguments.n_texts or collection.n_texts_wanted)
        texts = texts.first(arguments.n_texts) if arguments.n_texts else texts
        progress("measuring", 0.0, "how well it reads texts it has not seen")
        fit = alignment_fit(texts)
        progress("measuring", 1.0, "")
    saved = None if arguments.adapter is None else str(aligned.save(arguments.adapter))
    console.answer(
        {"adapter": saved, "recipe": arguments.recipe, "n_texts": len(texts.doc_ids), "fit": asdict(fit)},
        lambda: (
            f"Aligned on {len(texts.doc_ids):,} documents"
            + ("" if fit.explained_variance is None else f", {fit.explained_variance:.0%} of the variance explained")
            + ("." if saved is None else f"; the adapter is in {saved}.")
            + "\n"
        ),
    )
