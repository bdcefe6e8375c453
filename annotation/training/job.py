"""Do one training run: fit, measure on queries it had not seen, and save the adapter with all it was made from."""

import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import storage.queries
import storage.training_runs
from annotation.library import Library
from annotation.main_measure import MainMeasure
from annotation.pooling import sampled_queries
from annotation.training.choice import MAIN_MEASURE, choose
from annotation.training.queueing import DEFAULT_RECIPE, Labels
from annotation.training.reporting import Reporter
from annotation.workspace import Workspace
from era.adapter import HELD_OUT, HELD_OUT_WORD_WEIGHTS
from era.encoders.base import EmbedderPair, Vectors
from era.evaluation.incomplete_judgments import SampledQuery
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.index.lexical import WORD_WEIGHT, LexicalIndex
from era.retriever import Retriever
from era.types import Query, ScoredDoc
from storage.records import TrainingRunRecord

logger = logging.getLogger(__name__)

_MEASURE_DEPTH = 100
_SEARCHED_AT_ONCE = 32  # queries between two chances to cancel
_READ_AHEAD = 2000  # queries; fewer than the embedders remember
_PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "numpy", "ir-measures")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training run leaves in its row.

    Attributes:
        measures: JSON-ready; `report` says how learning went, `seconds` and `cost` what it took.
        config: JSON-ready: settings, embedders, index and versions; with labels and seed they give the adapter again.
        device: what it was computed on, as a person calls it.
        note: what the person should know besides, or empty.
    """

    measures: dict[str, Any]
    config: dict[str, Any]
    device: str
    note: str


def train(workspace: Workspace, run: TrainingRunRecord, progress: Reporter) -> Outcome:
    """Train, evaluate and save the adapter of one run.

    Nothing is left behind unless everything succeeded: the adapter's folder appears in one step at the end.

    Raises:
        Cancelled: if `progress` raises it.
    """
    from era.encoders.devices import choose_device, describe_device
    from era.method.recipes import fit

    library = workspace.library(run.collection_id)
    with workspace.reading() as session:
        snapshot = storage.training_runs.label_snapshot(session, run.id)
        records = [storage.queries.get(session, int(query_id)) for query_id in snapshot]
    queries = [Query(str(record.id), record.text, record.instruction) for record in records]
    labels = still_there(snapshot, library.index)
    device = choose_device(workspace.settings.device)
    _watch_memory(device)
    started = time.perf_counter()
    texts = library.alignment_texts(progress)
    _read_ahead(
        library.pair, [query for query in queries if any(g > 0 for g in labels[query.query_id].values())], progress
    )
    words, remark = _count_words(library, progress)
    fitted = fit(
        run.recipe,  # type: ignore[arg-type]
        texts, library.index, library.pair, queries, labels, device, run.seed, progress, words,
    )  # fmt: skip
    fit_seconds = time.perf_counter() - started

    progress("evaluation", 0.0, "ranking the queries it had not seen")
    used_device = str(fitted.report.get("device") or device)
    wanted = set(fitted.query_ids)
    taught = sorted((query for query in queries if query.query_id in wanted), key=lambda query: query.query_id)
    encoded = library.pair.encode_queries(taught)
    rows = {query_id: row for row, query_id in enumerate(fitted.query_ids)}
    held_out = fitted.held_out_vectors[[rows[query.query_id] for query in taught]]
    vectors = {
        "light": library.light().adapter.transform(encoded),
        "aligned": fitted.aligned.transform(encoded),
        "after": held_out,
    }
    rankings = _rank(library.index, vectors, progress)
    if words is not None:
        held_out_weights = [fitted.held_out_word_weights[rows[query.query_id]] for query in taught]
        weights = {name: [WORD_WEIGHT] * len(taught) for name in vectors} | {"after": held_out_weights}
        with_words = library.with_words(library.light())
        found = _rank_beside(with_words, taught, vectors, weights, progress, 0.5)
        rankings |= {f"{name}+words": ranking for name, ranking in found.items()}
        if library.has_read_all:
            marked = {name: rows for name, rows in vectors.items() if name != "light"}
            found = _rank_beside(library.reread(with_words), taught, marked, weights, progress, 0.7)
            rankings |= {f"{name}+words+reread": ranking for name, ranking in found.items()}
    progress("evaluation", 0.9, "measuring")
    groups = {query_id: int(group) for query_id, group in zip(fitted.query_ids, fitted.groups, strict=True)}
    judged = {int(query.query_id): labels[query.query_id] for query in taught}
    sampled = sampled_queries(workspace, run.label_set_id, library, judged)
    measures = summarise({str(query_id): each for query_id, each in sampled.items()}, rankings, groups)
    measures["choice"] = None  # of a run that is trained for comparison only
    if run.recipe == DEFAULT_RECIPE:
        is_own = fitted.report["is_changed"]  # else it ranks as the aligned model, which is the simpler one
        tried = {name: each for name, each in measures["means"].items() if is_own or not name.startswith("after")}
        measures["choice"] = asdict(choose(measures["n"], tried))
    measures["report"] = dict(fitted.report)
    made_with = {
        "strong_embedder": asdict(library.pair.strong.identity),
        "light_embedder": asdict(library.pair.light.identity),
        "index_fingerprint": library.index.fingerprint,
        "corpus_fingerprint": library.corpus.fingerprint,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "device": used_device,
    }
    provenance = {
        **fitted.adapter.provenance,
        **made_with,
        "recipe": run.recipe,
        "seed": run.seed,
        "config": fitted.config,
        "label_snapshot": snapshot,
        "snapshot_hash": run.snapshot_hash,
        "query_ids": list(fitted.query_ids),
        HELD_OUT_WORD_WEIGHTS: list(fitted.held_out_word_weights),
        "measures": measures,
    }
    extra = {
        HELD_OUT: fitted.held_out_vectors,
        "gains": np.asarray(fitted.certainty.gains, np.float32),
    }
    if fitted.influence is not None:
        provenance["influence"] = fitted.influence.facts()
        extra |= {f"influence_{name}": array for name, array in fitted.influence.arrays().items()}
    progress("evaluation", 1.0, "saving")
    _make_room(workspace.adapter_folder(run.id))
    replace(fitted.adapter, provenance=provenance).save(workspace.adapter_folder(run.id), extra)
    return Outcome(
        measures={
            **measures,
            "seconds": fit_seconds,
            "cost": {"stage_seconds": dict(progress.seconds), **_peak_memory(device)},
        },
        config={**fitted.config, **made_with},
        device=describe_device(used_device),
        note=" ".join(filter(None, (str(fitted.report.get("note") or ""), remark))),
    )


def still_there(snapshot: Labels, index: DenseIndex) -> dict[str, dict[str, float]]:
    """Return labels without the documents that were removed since somebody judged them."""
    return {
        query_id: {doc_id: grade for doc_id, grade in grades.items() if doc_id in index}
        for query_id, grades in snapshot.items()
    }


def summarise(
    judged: Mapping[str, SampledQuery], rankings: Mapping[str, list[list[ScoredDoc]]], groups: Mapping[str, int]
) -> dict[str, Any]:
    """Return the mean measures of each ranking, and how they differ in nDCG@10.

    That measure is estimated where documents that were drawn for judging stand for others.

    Args:
        judged: query id -> judgments, of n queries that were learned from.
        rankings: name -> n rankings, in the same order.
        groups: query id -> its group of near-copies, which is one case.

    Returns:
        `n` queries; `means`: ranking -> measure -> mean; `aligned` and `after`: which rankings are told about, those
        with all that could be added to the vectors; `from_light` and `from_aligned`: how that `after` differs from
        `light` and from that `aligned`; `others_from_light`: how the other rankings differ from `light`, which is not
        tested; `of_judged`: how `after` differs from `light` by what is judged alone, None unless nDCG@10 is estimated.
    """
    qrels = {query_id: each.grades for query_id, each in judged.items()}
    runs = {name: dict(zip(judged, ranking, strict=True)) for name, ranking in rankings.items()}
    values = {name: evaluate(qrels, run) for name, run in runs.items()}
    main = MainMeasure.of(
        MAIN_MEASURE, {name: each[MAIN_MEASURE] for name, each in values.items()}, runs, judged, groups
    )
    means = {
        name: {measure: float(np.mean(list(by_query.values()))) for measure, by_query in by_measure.items()}
        for name, by_measure in values.items()
    }
    beside = next((each for each in ("+words+reread", "+words") if f"after{each}" in rankings), "")
    aligned, after = f"aligned{beside}", f"after{beside}"
    [from_light], [from_aligned] = main.compare("light", [after]), main.compare(aligned, [after])
    return {
        "n": len(judged),
        "aligned": aligned,
        "after": after,
        "means": {name: {**means[name], MAIN_MEASURE: mean} for name, mean in main.means().items()},
        "from_light": asdict(from_light),
        "from_aligned": asdict(from_aligned),
        "others_from_light": {
            name: asdict(main.describe("light", name)) for name in rankings if name not in ("light", after)
        },
        "of_judged": asdict(main.of_judged("light", after)) if main.estimate else None,
    }


def _read_ahead(pair: EmbedderPair, queries: Sequence[Query], progress: Reporter) -> None:
    """Embed queries one at a time, so that cancelling need not wait for several; the embedders remember them."""
    for place, query in enumerate(queries[:_READ_AHEAD]):
        progress("embedding", place / len(queries), f"{place:,} of {len(queries):,} queries")
        pair.encode_queries([query])


def _rank(index: DenseIndex, vectors: Mapping[str, Vectors], progress: Reporter) -> dict[str, list[list[ScoredDoc]]]:
    """Return what is found by each name's vectors, one for each query."""
    rankings: dict[str, list[list[ScoredDoc]]] = {name: [] for name in vectors}
    for some in _batches(len(vectors["light"]), progress, 0.0, 0.3):
        for name, rows in vectors.items():
            rankings[name] += index.search(rows[some], _MEASURE_DEPTH)
    return rankings


def _count_words(library: Library, progress: Reporter) -> tuple[LexicalIndex | None, str]:
    """Return the words of the documents, or None and a remark: a run that is trained is not lost for want of them."""
    progress("embedding", 1.0, "counting words")
    try:
        return library.words(), ""
    except Exception as error:
        logger.exception("Words could not be counted")
        return None, f"Matching words could not be counted ({type(error).__name__}), so no ranking was tried with them."


def _rank_beside(
    retriever: Retriever,
    queries: Sequence[Query],
    vectors: Mapping[str, Vectors],
    weights: Mapping[str, Sequence[float]],
    progress: Reporter,
    start: float,
) -> dict[str, list[list[ScoredDoc]]]:
    """Return what is found by each name's vectors with all that the retriever counts beside them, words as weighed."""
    rankings: dict[str, list[list[ScoredDoc]]] = {name: [] for name in vectors}
    for some in _batches(len(queries), progress, start, 0.2):
        together = np.concatenate([rows[some] for rows in vectors.values()])
        word_weights = [weight for name in vectors for weight in weights[name][some]]
        n = len(queries[some])
        found = retriever.rank([*queries[some]] * len(vectors), together, _MEASURE_DEPTH, word_weights)
        for place, name in enumerate(vectors):
            rankings[name] += found[place * n : (place + 1) * n]
    return rankings


def _batches(n: int, progress: Reporter, start: float, share: float) -> Iterator[slice]:
    """Return n queries a few at a time, so that cancelling need not wait for all."""
    for first in range(0, n, _SEARCHED_AT_ONCE):
        progress("evaluation", start + share * first / n, f"query {first + 1} of {n}")
        yield slice(first, first + _SEARCHED_AT_ONCE)


def _watch_memory(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(torch.device(device))


def _peak_memory(device: str) -> dict[str, int]:
    """Return the most memory taken so far, in bytes: by this process, and on the GPU by this run if there is one."""
    found = {}
    if sys.platform != "win32":  # which has no such count
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        found["memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if device.startswith("cuda"):
        import torch

        found["gpu_memory_bytes"] = int(torch.cuda.max_memory_allocated(torch.device(device)))
    return found


def _make_room(folder: Path) -> None:
    """Put aside what a lost database left behind under this number; nothing is deleted."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}-left-behind-{time.time_ns()}"))
