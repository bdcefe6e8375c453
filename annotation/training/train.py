"""Do one training run: fit, measure by cross-fitting on queries it had not seen, save the adapter, choose what to use.

Training may lose: then what was there before stays in use, and a sentence says why.
"""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import storage.queries
import storage.training_runs
from annotation.jobs.progress import Reporter
from annotation.judging.pool import sampled_queries
from annotation.ranking.main_measure import MainMeasure
from annotation.ranking.rankers import AFTER, ALIGNED, LIGHT, RankingKey
from annotation.retrieval.open_collection import OpenCollection
from annotation.training.start import DEFAULT_RECIPE, Labels
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.evaluation.figures import figure, rounded
from era.evaluation.held_out import fullest, held_out_rankings
from era.evaluation.incomplete_judgments import SampledQuery
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.trained_adapter import TrainedAdapter, made_with
from era.types import Query, Ranking
from storage.records import TrainingRunRecord

logger = logging.getLogger(__name__)

SHARES = {"embedding": 0.4, "alignment": 0.1, "adaptation": 0.4, "evaluation": 0.1}
"""The stages of a training run in their order, and the share of the whole that each is taken to be."""

RANKINGS = (
    LIGHT,
    LIGHT.with_words(),
    *(key for base in (ALIGNED, AFTER) for key in (base, base.with_words(), base.with_words().with_rereading())),
)
"""What is measured on the labelled queries, from the simplest on. `AFTER` is the training run, each query ranked by
adapters that never saw its marks. What the strong model orders anew is measured where it has read every document."""

MAIN_MEASURE = "nDCG@10"
_OTHERS = {LIGHT: "the light model alone", ALIGNED: "the aligned ranking", AFTER: "with your marks"}

_READ_AHEAD = 2000  # queries; fewer than the embedders remember


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

    opened = workspace.open(run.collection_id)
    snapshot, queries = labels_and_queries(workspace, run)
    labels = still_there(snapshot, opened.index)
    device = choose_device(workspace.settings.device)
    _watch_memory(device)
    started = time.perf_counter()
    texts = opened.alignment_texts(progress)
    _read_ahead(
        opened.pair, [query for query in queries if any(g > 0 for g in labels[query.query_id].values())], progress
    )
    words, remark = _count_words(opened, progress)
    fitted = fit(
        run.recipe,  # type: ignore[arg-type]
        texts, opened.index, opened.pair, queries, labels, device, run.seed, progress, words,
    )  # fmt: skip
    fit_seconds = time.perf_counter() - started

    progress("evaluation", 0.0, "ranking the queries it had not seen")
    used_device = str(fitted.report.get("device") or device)
    wanted = set(fitted.query_ids)
    taught = sorted((query for query in queries if query.query_id in wanted), key=lambda query: query.query_id)
    light = opened.light()
    with_words = None if words is None else opened.with_words(light)
    reread = opened.reread(with_words) if with_words is not None and opened.has_read_all else None
    rankings = held_out_rankings(fitted, opened.pair, taught, light, with_words, reread, progress)
    progress("evaluation", 0.9, "measuring")
    groups = {query_id: int(group) for query_id, group in zip(fitted.query_ids, fitted.groups, strict=True)}
    judged = {int(query.query_id): labels[query.query_id] for query in taught}
    sampled = sampled_queries(workspace, run.label_set_id, opened, judged)
    measures = summarise({str(query_id): each for query_id, each in sampled.items()}, rankings, groups)
    measures["choice"] = None  # of a run that is trained for comparison only
    if run.recipe == DEFAULT_RECIPE:
        measures["choice"] = asdict(choose(measures["n"], measures["means"], fitted.report["is_changed"]))
    made = made_with(opened.pair, opened.index, opened.corpus, used_device)
    learned = TrainedAdapter.of(
        fitted,
        made,
        recipe=run.recipe,
        seed=run.seed,
        labels=snapshot,
        measures=measures,
        snapshot_hash=run.snapshot_hash,
    )
    progress("evaluation", 1.0, "saving")
    _make_room(workspace.adapter_folder(run.id))
    learned.save(workspace.adapter_folder(run.id))
    return Outcome(
        measures={
            **learned.measures,
            "seconds": fit_seconds,
            "cost": {"stage_seconds": dict(progress.seconds), **_peak_memory(device)},
        },
        config={**fitted.config, **made},
        device=describe_device(used_device),
        note=" ".join(filter(None, (str(fitted.report.get("note") or ""), remark))),
    )


def labels_and_queries(workspace: Workspace, run: TrainingRunRecord) -> tuple[Labels, list[Query]]:
    """Return what a training run learns from, and its queries in the same order."""
    with workspace.reading() as session:
        labels = storage.training_runs.label_snapshot(session, run.id)
        queries = {str(each.id): each for each in storage.queries.list_all(session, run.collection_id)}
    return labels, [Query(query_id, queries[query_id].text, queries[query_id].instruction) for query_id in labels]


def still_there(snapshot: Labels, index: DenseIndex) -> dict[str, dict[str, float]]:
    """Return labels without the documents that were removed since somebody judged them."""
    return {
        query_id: {doc_id: grade for doc_id, grade in grades.items() if doc_id in index}
        for query_id, grades in snapshot.items()
    }


def summarise(
    judged: Mapping[str, SampledQuery], rankings: Mapping[str, Sequence[Ranking]], groups: Mapping[str, int]
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
    aligned, after = fullest(rankings, "aligned"), fullest(rankings, "after")
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


def _count_words(opened: OpenCollection, progress: Reporter) -> tuple[LexicalIndex | None, str]:
    """Return the words of the documents, or None and a remark: a run that is trained is not lost for want of them."""
    progress("embedding", 1.0, "counting words")
    try:
        return opened.words(), ""
    except Exception as error:
        logger.exception("Words could not be counted")
        return None, f"Matching words could not be counted ({type(error).__name__}), so no ranking was tried with them."


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


@dataclass(frozen=True, slots=True)
class Choice:
    """The one of `RANKINGS` that goes in use, and why in one sentence for people."""

    ranking: RankingKey
    reason: str


def choose(n: int, means: Mapping[str, Mapping[str, float]], is_changed: bool = True) -> Choice:
    """Return the best ranking by its mean as people read it, so that a tie on the screen is a tie.

    Args:
        n: labelled queries that it was measured on.
        means: ranking -> measure -> mean over them; of `RANKINGS`, those that were measured.
        is_changed: whether training changed anything; else `AFTER` ranks as the simpler aligned model does.
    """
    tried = [name for name in RANKINGS if name in means and (is_changed or name.base != AFTER)]
    values = {name: means[name][MAIN_MEASURE] for name in tried}
    highest = max(map(rounded, values.values()))
    best = [name for name, value in values.items() if rounded(value) == highest]
    other = LIGHT if best[0] != LIGHT else RankingKey(fullest(values, AFTER if AFTER in values else ALIGNED))
    how = "best" if len(best) == 1 else "as well as the best and is the simplest"
    return Choice(
        best[0],
        f"On your {n:,} {'query' if n == 1 else 'queries'} it ranks {how}: {MAIN_MEASURE} {figure(values[best[0]])}; "
        f"{_OTHERS[other.base]} {figure(values[other])}.",
    )
