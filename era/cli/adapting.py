"""`adapt`: stage 2, learn from judged queries; measured on each query by adapters that never saw its judgments."""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from era.adapter import HELD_OUT, HELD_OUT_WORD_WEIGHTS, light_only
from era.cli.adapters import QUERY_HASHES, hash_of
from era.cli.console import Console
from era.cli.folders import require_absent
from era.cli.index_folder import IndexFolder
from era.cli.provenance import made_with
from era.cli.sources import of_known_documents, read_queries
from era.evaluation.figures import figure
from era.evaluation.measures import MEASURES, evaluate
from era.evaluation.significance import paired_difference
from era.index.lexical import LexicalIndex
from era.io.writing import read_qrels
from era.method.recipes import Fit, fit
from era.types import Qrels, Query, Ranking

_DEPTH = 100
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
    folder = IndexFolder.open(arguments, console)
    queries = read_queries(arguments.queries) if arguments.queries else folder.queries()
    qrels, missing = of_known_documents(
        read_qrels(arguments.qrels) if arguments.qrels else folder.qrels(), folder.corpus.doc_ids
    )
    if missing:
        console.remark(missing)
    with console.progress() as progress:
        texts = folder.alignment_texts(progress, arguments.n_texts or folder.spec.strong.n_alignment_texts)
        words = LexicalIndex(folder.corpus, folder.index)
        device, seed = folder.device, arguments.seed
        fitted = fit(arguments.recipe, texts, folder.index, folder.pair, queries, qrels, device, seed, progress, words)
    measures = _measure(folder, words, fitted, queries, qrels)
    _save(arguments, folder, fitted, queries, qrels, measures)
    about = {"adapter": str(arguments.adapter), "recipe": arguments.recipe, "seed": arguments.seed, **measures}
    console.answer({**about, "report": dict(fitted.report)}, lambda: _in_words(arguments, fitted, measures))


def _measure(
    folder: IndexFolder, words: LexicalIndex, fitted: Fit, queries: Sequence[Query], qrels: Qrels
) -> dict[str, Any]:
    """Return means on the queries learned from: light, aligned, and after learning without each one's judgments.

    Matching words count in the latter two, as they do in searches.
    """
    by_id = {query.query_id: query for query in queries}
    encoded = folder.pair.encode_queries([by_id[query_id] for query_id in fitted.query_ids])
    asked, light = [by_id[query_id].text for query_id in fitted.query_ids], light_only(folder.index.embedder.dimension)
    rankings = {
        "light": folder.index.search(light.transform(encoded), _DEPTH),
        "aligned": words.rank(asked, fitted.aligned.transform(encoded), _DEPTH, fitted.aligned.word_weight),
        "after": words.rank(asked, fitted.held_out_vectors, _DEPTH, fitted.held_out_word_weights),
    }
    values = {}
    for name, found in rankings.items():
        run: Mapping[str, Ranking] = dict(zip(fitted.query_ids, found, strict=True))
        values[name] = evaluate(qrels, run)
    main = {name: by_measure[MEASURES[0]] for name, by_measure in values.items()}
    groups = {query_id: int(group) for query_id, group in zip(fitted.query_ids, fitted.groups, strict=True)}
    return {
        "n": len(fitted.query_ids),
        "means": {
            name: {measure: float(np.mean(list(by_query.values()))) for measure, by_query in by_measure.items()}
            for name, by_measure in values.items()
        },
        "from_light": asdict(paired_difference(main["light"], main["after"], groups)),
        "from_aligned": asdict(paired_difference(main["aligned"], main["after"], groups)),
    }


def _save(
    arguments: argparse.Namespace,
    folder: IndexFolder,
    fitted: Fit,
    queries: Sequence[Query],
    qrels: Qrels,
    measures: Mapping[str, Any],
) -> None:
    learned = set(fitted.query_ids)
    snapshot = {query_id: dict(qrels[query_id]) for query_id in sorted(learned)}
    provenance = {
        **fitted.adapter.provenance,
        **made_with(folder),
        "recipe": arguments.recipe,
        "seed": arguments.seed,
        "config": fitted.config,
        "label_snapshot": snapshot,
        "snapshot_hash": hashlib.sha256(json.dumps(snapshot, sort_keys=True).encode()).hexdigest(),
        "query_ids": list(fitted.query_ids),
        HELD_OUT_WORD_WEIGHTS: list(fitted.held_out_word_weights),
        QUERY_HASHES: {query.query_id: hash_of(query) for query in queries if query.query_id in learned},
        "measures": {**measures, "report": dict(fitted.report)},
    }
    extra = {
        HELD_OUT: fitted.held_out_vectors,
        "gains": np.asarray(fitted.certainty.gains, np.float32),
    }
    if fitted.influence is not None:
        provenance["influence"] = fitted.influence.facts()
        extra |= {f"influence_{name}": array for name, array in fitted.influence.arrays().items()}
    replace(fitted.adapter, provenance=provenance).save(arguments.adapter, extra)


def _in_words(arguments: argparse.Namespace, fitted: Fit, measures: Mapping[str, Any]) -> str:
    lines = [f"Learned from {measures['n']:,} queries; the adapter is in {arguments.adapter}.", fitted.report["reason"]]
    for name, label in (("light", "light model"), ("aligned", "aligned, no labels"), ("after", "after, held out")):
        means = "  ".join(f"{measure} {figure(value, _DECIMALS)}" for measure, value in measures["means"][name].items())
        lines.append(f"{label:<20}{means}")
    return "\n".join(lines) + "\n"
