"""Would more labels help? What has been gained from a quarter, half, three quarters and all of them.

Every query is ranked by adapters that learned from other queries only, at every size of the labelled set. The sizes are
nested, so what differs from one to the next is the labels that were added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from era.alignment import AlignmentTexts
from era.candidates import LabelledQueries, label, teachable_queries
from era.embedders import EmbedderPair, Vectors
from era.errors import NothingToLearnError
from era.evaluation import evaluate
from era.figures import NO_DIFFERENCE, difference, interval
from era.folds import assign_folds
from era.index import DenseIndex
from era.progress import Progress, no_progress
from era.recipes import RecipeName, prepare
from era.significance import paired_difference, resamples_at_once
from era.types import Qrels, Query

SHARES = (0.25, 0.5, 0.75, 1.0)
MIN_QUERIES = 8

_N_FOLDS = 5
_MEASURE = "nDCG@10"
_DEPTH = 10
_MATTERS = 0.01  # in nDCG: what one does not label further queries for
_ENOUGH_TO_STOP = 20  # labelled queries: with fewer, a curve that looks flat may just not have begun to rise
_N_RESAMPLES = 5000


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What one size of the labelled set was worth.

    Attributes:
        share: of the queries there are to learn from.
        n_queries: learned from, the mean over the folds.
        value: nDCG@10, the mean over all queries, each held out.
        low: lower end of the 95 % bootstrap interval of the mean.
        high: upper end.
    """

    share: float
    n_queries: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean difference in nDCG@10, with its 95 % bootstrap interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What labels were worth so far; JSON-ready as `asdict` gives it.

    Attributes:
        points: from the fewest labels to the most.
        baseline: nDCG@10 of the aligned adapter, without any label.
        n: queries that were held out, each once.
        gain_last_half: of all labels over half of them.
        advice: for a person, in one sentence.
    """

    points: Sequence[CurvePoint]
    baseline: float
    n: int
    gain_last_half: Gain
    advice: str


def learning_curve(
    texts: AlignmentTexts,
    index: DenseIndex,
    pair: EmbedderPair,
    queries: Sequence[Query],
    qrels: Qrels,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress = no_progress,
    recipe: RecipeName = "era",
) -> LearningCurve:
    """Hold each query out in turn, and learn from more and more of the others; reported under the stage `curve`.

    The queries are held out in 5 folds. Within each, the recipe learns from the subset alone: its own cross-validation
    and gate decide whether anything is kept, as they would if there were no more labels.

    Raises:
        NothingToLearnError: if fewer than 8 queries, or only queries of one text, have a relevant document.
        ValueError: if the recipe is unknown.
        Cancelled: if `progress` raises it.
    """

    def begin(stage: str, fraction: float, detail: str = "") -> None:
        progress("curve", 0.0, detail)

    teachable = teachable_queries(queries, qrels, index)
    labelled = label(teachable, pair.encode_queries(teachable, begin), qrels, index)
    folds = assign_folds([query.text for query in teachable], _N_FOLDS, seed)
    n_folds = int(folds.max()) + 1
    if len(teachable) < MIN_QUERIES or n_folds < 2:
        raise NothingToLearnError(
            f"A learning curve needs at least {MIN_QUERIES} labelled queries, and different texts among them; "
            f"there are {len(teachable)}. Mark relevant documents for more queries."
        )
    learner = prepare(recipe, texts, index, device, seed, begin)
    aligned = learner.aligned.transform(labelled.encoded)
    vectors = np.stack([aligned] * len(SHARES))  # (S, n, m)
    sizes = np.zeros((len(SHARES), n_folds))
    for fold in range(n_folds):
        order = np.random.default_rng([seed, fold]).permutation(np.flatnonzero(folds != fold))
        held_out = np.flatnonzero(folds == fold)
        for place, share in enumerate(SHARES):
            rows = np.sort(order[: max(1, round(share * len(order)))]).tolist()
            step = _Step(progress, fold * len(SHARES) + place, n_folds * len(SHARES))
            adapter = learner.learn(labelled.subset(rows), step)
            vectors[place, held_out] = adapter.transform(labelled.subset(held_out.tolist()).encoded)
            sizes[place, fold] = len(rows)
    progress("curve", 1.0, "done")

    before = _ndcg(labelled, aligned, index, qrels)
    values = [_ndcg(labelled, rows, index, qrels) for rows in vectors]
    points = [
        CurvePoint(share, float(n.mean()), *_mean_and_interval(np.array(list(own.values())), seed))
        for share, n, own in zip(SHARES, sizes, values, strict=True)
    ]
    last_half = paired_difference(values[SHARES.index(0.5)], values[-1], seed)
    gain = Gain(last_half.difference, last_half.low, last_half.high)
    return LearningCurve(
        points=points,
        baseline=float(np.mean(list(before.values()))),
        n=len(labelled),
        gain_last_half=gain,
        advice=advise(points[SHARES.index(0.5)], points[-1], gain, is_anything_learned=values[-1] != before),
    )


def advise(half: CurvePoint, full: CurvePoint, gain: Gain, is_anything_learned: bool) -> str:
    """Return whether to label further queries, in one sentence.

    Args:
        half: with half of the labels.
        full: with all of them.
        gain: from half to full.
        is_anything_learned: whether all labels ranked any query differently from none.
    """
    if not is_anything_learned:
        return (
            f"From {full.n_queries:.0f} labelled queries nothing could be learned that helps others: "
            "label more queries and look again."
        )
    low, high = interval(gain.low, gain.high)
    step, likely = (
        f"Going from {half.n_queries:.0f} to {full.n_queries:.0f} labelled queries",
        f"likely {low} to {high}",
    )
    change = difference(half.value, full.value)
    by = "less than 0.01" if change == NO_DIFFERENCE else change
    if gain.low > 0:
        return f"{step} gained {by} ({likely}): more labelled queries will probably help further."
    if full.n_queries < _ENOUGH_TO_STOP:
        return f"{step} changed {by} ({likely}), which is too few queries to tell: label more queries and look again."
    if gain.high < _MATTERS:
        return f"{step} no longer gained ({likely}): more queries of the same kind will probably not help."
    return f"{step} changed {by} ({likely}), which could be chance: label more queries and look again."


class _Step:
    """Reports the progress of one fit as that of the whole curve."""

    def __init__(self, progress: Progress, number: int, n_steps: int) -> None:
        self._progress = progress
        self._number = number
        self._n_steps = n_steps

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        share = (self._number + fraction) / self._n_steps
        self._progress("curve", share, f"adapter {self._number + 1} of {self._n_steps}")


def _ndcg(labelled: LabelledQueries, vectors: Vectors, index: DenseIndex, qrels: Qrels) -> Mapping[str, float]:
    query_ids = [query.query_id for query in labelled.queries]
    run = dict(zip(query_ids, index.search(vectors, _DEPTH), strict=True))
    own = {query_id: qrels[query_id] for query_id in query_ids}
    return evaluate(own, run, [_MEASURE])[_MEASURE]


def _mean_and_interval(values: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % percentile bootstrap interval.

    Source: Efron 1979.
    """
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return mean, mean, mean
    rng = np.random.default_rng(seed)
    batch = resamples_at_once(len(values))
    found = stats.bootstrap((values,), np.mean, n_resamples=_N_RESAMPLES, batch=batch, method="percentile", rng=rng)
    return mean, float(found.confidence_interval.low), float(found.confidence_interval.high)
