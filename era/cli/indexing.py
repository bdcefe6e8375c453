"""`index`: embed the documents of a collection once. A run that was stopped goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from era.cli.console import Console
from era.cli.folders import appearing, require_free
from era.cli.index_folder import INDEX, load_embedders, read_about, write_index_folder
from era.cli.sources import Counted, embedders_named, of_known_documents, open_for, read_documents
from era.corpus import Corpus, content_hash
from era.encoders.base import Embedder, Vectors
from era.encoders.openai import estimate_cost
from era.encoders.spec import BUNDLED, PairSpec
from era.errors import IndexDamagedError
from era.index.building import IndexBuilding
from era.index.dense import DenseIndex
from era.io.content import Source
from era.io.opening import open_source
from era.progress import Progress
from era.types import Document

_AT_ONCE = 4096  # documents between two chances to stop


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Read a collection and write the index folder.

    Raises:
        FormatError: naming the place of what cannot be read.
        FileExistsError: if the folder exists and is not to be updated.
        EmbedderUnavailableError: if an embedder cannot be loaded.
        ValueError: if there is no document.
    """
    target: Path = arguments.index
    if not arguments.is_update and not arguments.is_estimate:
        require_free(target)
    spec = _spec(arguments)
    source = open_for(arguments, arguments.collection)
    if arguments.is_estimate:
        _estimate(source, spec, console)
        return
    with console.progress() as progress:
        documents = list(read_documents(source, progress))
        if not documents:
            raise ValueError(f"There is no document with any text in {arguments.collection}.")
        corpus = Corpus(each.document for each in documents)
        queries = source.queries()
        qrels, missing = of_known_documents(source.qrels(), corpus.doc_ids)
        pair, _ = load_embedders(arguments, spec)
        known = _Known(target, pair.light) if arguments.is_update else None
        building_folder = target.absolute().with_name(f".{target.name}.building")
        with IndexBuilding(building_folder, pair.light.identity, corpus.fingerprint) as building:
            n_embedded = _embed(building, list(corpus), pair.light, known, progress)
            index = building.finish(corpus.doc_ids)
            with appearing(target, is_replacing=arguments.is_update) as folder:
                write_index_folder(folder, index, spec, corpus, documents, queries, qrels)
            building.discard()
    remarks = [*source.remarks, *([missing] if missing else [])]
    for remark in remarks:
        console.remark(remark)
    console.answer(
        {
            "index": str(target),
            "documents": len(corpus),
            "embedded": n_embedded,
            "queries": len(queries),
            "judgments": sum(len(judged) for judged in qrels.values()),
            "embedders": spec.to_json(),
            "fingerprint": index.fingerprint,
            "bytes": index.size_bytes,
            "remarks": remarks,
        },
        lambda: (
            f"{len(corpus):,} documents are indexed in {target}, {n_embedded:,} of them embedded now "
            f"({index.size_bytes / 1e6:,.1f} MB, fingerprint {index.fingerprint[:12]}).\n"
        ),
    )


def _estimate(source: Source, spec: PairSpec, console: Console) -> None:
    """Say what embedding every document would take; nothing is loaded and nothing sent."""
    with console.progress() as progress:
        documents = Counted(read_documents(source, progress))
        prompt = spec.light.document_prompt or ""
        cost = estimate_cost(
            (prompt + each.document.content for each in documents), spec.light.price_per_million_tokens
        )
    found = {"documents": documents.n, "tokens": cost.n_tokens, "dollars": cost.dollars}
    dollars = "" if cost.dollars is None else f", which cost about ${cost.dollars:,.2f}"
    console.answer(found, lambda: f"{documents.n:,} documents have about {cost.n_tokens:,} tokens{dollars}.\n")


def _spec(arguments: argparse.Namespace) -> PairSpec:
    """Return the embedders asked for, else those of the index that is updated, else the bundled ones."""
    if arguments.embedders:
        return embedders_named(arguments.embedders)
    if arguments.is_update and arguments.index.is_dir():
        return read_about(arguments.index)[0]
    return BUNDLED


class _Known:
    """The vectors of an index that is replaced, by what their texts were; none if another embedder made them."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._doc_ids: dict[str, str] = {}
        try:
            self._index = DenseIndex.load(folder / INDEX)
        except IndexDamagedError:  # every document is embedded
            return
        if self._index.embedder == embedder.identity:
            old = (each.document for each in open_source(folder, "collection").documents())
            self._doc_ids = {content_hash(document): document.doc_id for document in old}

    def __contains__(self, text_hash: str) -> bool:
        return text_hash in self._doc_ids

    def vectors(self, text_hashes: Sequence[str]) -> Vectors:
        """Return (n, m)."""
        return self._index.vectors(self._doc_ids[text_hash] for text_hash in text_hashes)


def _embed(
    building: IndexBuilding, documents: Sequence[Document], embedder: Embedder, known: _Known | None, progress: Progress
) -> int:
    """Add the vectors that are missing; return how many texts had to be embedded for it."""
    n_embedded = 0
    for first in range(len(building), len(documents), _AT_ONCE):
        some = documents[first : first + _AT_ONCE]
        hashes = [content_hash(document) for document in some] if known is not None else []
        is_known = np.array([known is not None and text_hash in known for text_hash in hashes] or [False] * len(some))
        vectors = np.empty((len(some), embedder.identity.dimension), np.float32)
        if known is not None and is_known.any():
            vectors[is_known] = known.vectors([hashes[row] for row in np.flatnonzero(is_known)])

        def report(stage: str, fraction: float, detail: str = "", first: int = first, n: int = len(some)) -> None:
            done = first + int(fraction * n)
            progress(stage, done / len(documents), f"{done:,} of {len(documents):,} documents")

        new = np.flatnonzero(~is_known).tolist()
        if new:
            vectors[new] = embedder.encode_documents([some[row].content for row in new], report)
            n_embedded += len(new)
        building.append(vectors)
    progress("embedding", 1.0, f"{len(documents):,} documents")
    return n_embedded
