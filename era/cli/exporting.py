"""`export`: an adapter as a sentence-transformers model; judgments and rankings for other tools."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from era.cli.console import Console
from era.cli.sources import open_collection
from era.collection import Collection
from era.export.model_card import CardFacts, model_card
from era.export.sentence_model import save_model
from era.intact import appearing, require_free
from era.io.judgments import read_qrels
from era.io.runs import read_run
from era.io.writing import csv_text, trec_qrels, trec_run
from era.trained_adapter import TrainedAdapter
from era.types import Qrels, Run


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Write what is asked for.

    Raises:
        NotExportableError: if the adapter cannot be one sentence-transformers model.
        EraError: if files or embedders cannot be used.
        ValueError: if what is needed is not named.
        FileExistsError: if the folder of the model exists.
    """
    if arguments.kind == "model":
        _export_model(arguments, console)
        return
    if arguments.kind == "qrels":
        judged = read_qrels(arguments.source)
        (text, n), remarks = _qrels_text(judged.qrels, arguments.to), judged.remarks
    else:
        ranked = read_run(arguments.source)
        (text, n), remarks = _run_text(ranked.run, arguments.to, arguments.tag), ranked.remarks
    for remark in remarks:
        console.remark(remark)
    if arguments.target is None:
        console.write(text)
        return
    arguments.target.write_text(text, encoding="utf-8", newline="")
    about = {"file": str(arguments.target), "format": arguments.to, "lines": n, "remarks": list(remarks)}
    console.answer(about, lambda: f"{n:,} lines are in {arguments.target}.\n")


def _export_model(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.index is None or arguments.target is None:
        raise ValueError("A model needs the index that its adapter was made for and a folder: --index INDEX TARGET.")
    require_free(arguments.target)
    collection = open_collection(arguments, console)
    learned = TrainedAdapter.load(arguments.source)
    learned.require_made_with(collection.pair, str(arguments.source))
    with appearing(arguments.target) as scratch:
        save_model(collection.pair, learned.adapter, scratch, model_card(_facts(arguments, collection, learned)))
    console.answer(
        {"model": str(arguments.target)},
        lambda: f'The model is in {arguments.target}: SentenceTransformer("{arguments.target}").encode_query(texts)\n',
    )


def _facts(arguments: argparse.Namespace, collection: Collection, learned: TrainedAdapter) -> CardFacts:
    """Return what is known of an adapter by what was saved with it."""
    made = learned.provenance
    grades = [grade for judged in made.get("label_snapshot", {}).values() for grade in judged.values()]
    return CardFacts(
        title=arguments.target.name,
        strong=collection.pair.strong.identity,
        light=collection.pair.light.identity,
        recipe=str(made.get("recipe", "")),
        seed=int(made.get("seed", 0)),
        collection=arguments.index.resolve().name,
        n_documents=len(collection),
        n_queries=len(made.get("query_ids", [])),
        n_relevant=sum(grade > 0 for grade in grades),
        n_not_relevant=sum(grade <= 0 for grade in grades),
        labels_hash=str(made.get("snapshot_hash", "")),
        measures=made.get("measures", {}),
        index_fingerprint=str(made.get("index_fingerprint", "")),
        corpus_fingerprint=str(made.get("corpus_fingerprint", "")),
        versions=made.get("versions", {}),
        model_name=arguments.target.name,
    )


def _qrels_text(qrels: Qrels, form: str) -> tuple[str, int]:
    rows = [(query, doc, grade) for query, judged in qrels.items() for doc, grade in judged.items()]
    if form == "trec":
        return trec_qrels(qrels), len(rows)
    return _rows_text(("query_id", "doc_id", "grade"), rows, form), len(rows)


def _run_text(found: Run, form: str, tag: str) -> tuple[str, int]:
    rows = [
        (query, doc.doc_id, rank, doc.score)
        for query, ranking in found.items()
        for rank, doc in enumerate(ranking, start=1)
    ]
    if form == "trec":
        return trec_run(found, tag), len(rows)
    return _rows_text(("query_id", "doc_id", "rank", "score"), rows, form), len(rows)


def _rows_text(header: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> str:
    if form == "csv":
        return csv_text(header, rows)
    return "".join(json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
