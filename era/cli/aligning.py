"""`align`: stage 1, before any label; what the strong embedder reads for it is kept in the index folder."""

import argparse
from dataclasses import asdict, replace

from era.cli.console import Console
from era.cli.folders import require_absent
from era.cli.index_folder import IndexFolder
from era.cli.provenance import made_with
from era.method.alignment import alignment_fit
from era.method.recipes import prepare


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Align the embedders of an index folder, and save the adapter if a folder is named for it.

    Raises:
        EraError: if index or embedders cannot be used.
        FileExistsError: if the folder of the adapter exists.
    """
    if arguments.adapter is not None:
        require_absent(arguments.adapter)
    folder = IndexFolder.open(arguments, console)
    with console.progress() as progress:
        texts = folder.alignment_texts(progress, arguments.n_texts or folder.spec.strong.n_alignment_texts)
        aligned = prepare(arguments.recipe, texts, folder.index, folder.device, arguments.seed, progress).aligned
        progress("measuring", 0.0, "how well it reads texts it has not seen")
        fit = alignment_fit(texts)
        progress("measuring", 1.0, "")
    if arguments.adapter is not None:
        about = {"recipe": arguments.recipe, "seed": arguments.seed, **made_with(folder), "query_ids": []}
        replace(aligned, provenance={**aligned.provenance, **about}).save(arguments.adapter)
    saved = None if arguments.adapter is None else str(arguments.adapter)
    console.answer(
        {"adapter": saved, "recipe": arguments.recipe, "n_texts": len(texts.doc_ids), "fit": asdict(fit)},
        lambda: (
            f"Aligned on {len(texts.doc_ids):,} documents"
            + ("" if fit.explained_variance is None else f", {fit.explained_variance:.0%} of the variance explained")
            + ("." if saved is None else f"; the adapter is in {saved}.")
            + "\n"
        ),
    )
