"""Would more labels help? What has been gained from a quarter, half, three quarters and all of them.

Every query is ranked by adapters that learned from other queries only, at every size of the labelled set. The sizes are
nested, so what differs from one to the next is the labels that were added. Queries of one fold are ranked by the same
adapters and learned in the same order, so folds are the independent cases that intervals go by.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from era.encoders.base import EmbedderPair, Vectors
from era.errors import NothingToLearnError
from era.evaluation.figures import NO_DIFFERENCE, difference, interval
from era.evaluation.measures import evaluate
from era.evaluation.significance import MIN_FOR_INTERVAL, mean_interval
from era.index.dense import DenseIndex
from era.index.lexical import WORD_WEIGHT, LexicalIndex
from era.method.alignment import AlignmentTexts
from era.method.candidates import LabelledQueries, label, teachable_queries
from era.method.folds import Folds, assign_folds
from era.method.query_groups import group_queries
from era.method.recipes import RecipeName, prepare
from era.progress import Progress, no_progress
from era.types import Qrels, Query, Ranking

SHARES = (0.25, 0.5, 0.75, 1.0)
MIN_QUERIES = 8

_N_FOLDS = 10
_MEASURE = "nDCG@10"
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What one size of the labelled set was worth.

    Attributes:
        share: of the queries there are to learn from.
        n_queries: learned from, the mean over the folds.
        value: nDCG@10, the mean over all queries, each held out.
        low: lower end of the 95 % interval of the mean; None with fewer than 6 folds.
        high: upper end.
    """

    share: float
    n_queries: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean difference in nDCG@10, with its 95 % interval; None with fewer than 6 folds."""

    difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What labels were worth so far; JSON-ready as `asdict` gives it.

    Attributes:
        points: from the fewest labels to the most.
        baseline: nDCG@10 of the aligned adapter, without any label.
        n: queries that were held out, each once.
        gain_last_half: of all labels over half of them.
        expected: of twice as many labels over all of them, if the curve goes on as `a + b / n`.
        advice: for a person, in words.
    """

    points: Sequence[CurvePoint]
    baseline: float
    n: int
    gain_last_half: Gain
    expected: Gain
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
    lexical: LexicalIndex | None = None,
) -> LearningCurve:
    """Hold each query out in turn, and learn from more and more of the others; reported under the stage `curve`.

    With `lexical`, matching words count in what is learned and measured.

    The queries are held out in up to 10 folds. Within each, the recipe learns from the subset alone: its own
    cross-validation and gate decide whether anything is kept, as they would if there were no more labels.

    Raises:
        NothingToLearnError: if fewer than 8 queries, or only near-copies of one query, have a relevant document.
        ValueError: if the recipe is unknown.
        Cancelled: if `progress` raises it.
    """

    def begin(stage: str, fraction: float, detail: str = "") -> None:
        progress("curve", 0.0, detail)

    teachable = teachable_queries(queries, qrels, index)
    labelled = label(teachable, pair.encode_queries(teachable, begin), qrels, index)
    texts_asked = [query.text for query in teachable]
    groups = group_queries(texts_asked, labelled.encoded.plain, texts.strong, labelled.relevant)
    folds = assign_folds(groups, _N_FOLDS, seed)
    n_folds = int(folds.max()) + 1
    if len(teachable) < MIN_QUERIES or n_folds < 2:
        raise NothingToLearnError(
            f"A learning curve needs at least {MIN_QUERIES} labelled queries that ask for different things; "
            f"there are {len(teachable)}, and {n_folds} different among them. Mark relevant documents for more queries."
        )
    learner = prepare(recipe, texts, index, device, seed, begin, lexical)
    aligned = learner.aligned.transform(labelled.encoded)
    vectors = np.stack([aligned] * len(SHARES))  # (S, n, m)
    word_weights = np.full((len(SHARES), len(labelled)), WORD_WEIGHT)
    sizes = np.zeros((len(SHARES), n_folds))
    for fold in range(n_folds):
        order = np.random.default_rng([seed, fold]).permutation(np.flatnonzero(folds != fold))
        held_out = np.flatnonzero(folds == fold)
        for place, share in enumerate(SHARES):
            rows = np.sort(order[: max(1, round(share * len(order)))]).tolist()
            step = _Step(progress, fold * len(SHARES) + place, n_folds * len(SHARES))
            adapter = learner.learn(labelled.subset(rows), step)
            vectors[place, held_out] = adapter.transform(labelled.subset(held_out.tolist()).encoded)
            word_weights[place, held_out] = adapter.word_weight
            sizes[place, fold] = len(rows)
    progress("curve", 1.0, "done")

    def measure(rows: Vectors, weights: Sequence[float]) -> NDArray[np.float64]:
        if lexical is None:
            return _ndcg(labelled, index.search(rows, _DEPTH), qrels)
        return _ndcg(labelled, lexical.rank(texts_asked, rows, _DEPTH, weights), qrels)

    before = measure(aligned, [WORD_WEIGHT] * len(labelled))
    values = np.stack([measure(*each) for each in zip(vectors, word_weights.tolist(), strict=True)])  # (S, n)
    means = [_mean_and_interval(own, folds, 0.0) for own in values]
    points = [
        CurvePoint(share, float(n.mean()), mean, low, high)
        for share, n, (mean, low, high) in zip(SHARES, sizes, means, strict=True)
    ]
    half, full = points[SHARES.index(0.5)], points[-1]
    gain = Gain(*_mean_and_interval(values[-1] - values[SHARES.index(0.5)], folds, -1.0))
    expected = Gain(*_mean_and_interval(_gain_of_doubling(values, sizes[:, folds]), folds, -1.0))
    return LearningCurve(
        points=points,
        baseline=float(before.mean()),
        n=len(labelled),
        gain_last_half=gain,
        expected=expected,
        advice=advise(half, full, gain, expected, len(labelled), not np.array_equal(values[-1], before)),
    )


def advise(half: CurvePoint, full: CurvePoint, gain: Gain, expected: Gain, n: int, is_anything_learned: bool) -> str:
    """Return what was measured, and what twice as many labels would bring if it goes on like this, in words.

    Args:
        half: with half of the labels.
        full: with all of them.
        gain: from half to full.
        expected: from full to twice as many.
        n: queries that were held out.
        is_anything_learned: whether all labels ranked any query differently from none.
    """
    if not is_anything_learned:
        return (
            f"From {full.n_queries:.0f} labelled queries nothing could be learned that helps others: each of {n} "
            f"held-out queries has the same {_MEASURE} as without labels."
        )
    change = difference(half.value, full.value)
    by = "less than 0.01" if change == NO_DIFFERENCE else change
    step = (
        f"From {half.n_queries:.0f} to {full.n_queries:.0f} labelled queries {_MEASURE} on {n} held-out queries "
        f"changed by {by}"
    )
    if gain.low is None or gain.high is None or expected.low is None or expected.high is None:
        return f"{step}; fewer than {MIN_FOR_INTERVAL} different queries tell nothing more."
    doubt = " That could be chance." if gain.low <= 0 <= gain.high else ""
    return (
        f"{step}, likely between {' and '.join(interval(gain.low, gain.high))}.{doubt} If it goes on like this, from "
        f"{full.n_queries:.0f} to {2 * full.n_queries:.0f}: between "
        f"{' and '.join(interval(expected.low, expected.high))}."
    )


class _Step:
    """Reports the progress of one fit as that of the whole curve."""

    def __init__(self, progress: Progress, number: int, n_steps: int) -> None:
        self._progress = progress
        self._number = number
        self._n_steps = n_steps

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        share = (self._number + fraction) / self._n_steps
        self._progress("curve", share, f"adapter {self._number + 1} of {self._n_steps}")


def _ndcg(labelled: LabelledQueries, rankings: Sequence[Ranking], qrels: Qrels) -> NDArray[np.float64]:
    query_ids = [query.query_id for query in labelled.queries]
    run = dict(zip(query_ids, rankings, strict=True))
    own = {query_id: qrels[query_id] for query_id in query_ids}
    values = evaluate(own, run, [_MEASURE])[_MEASURE]
    return np.array([values[query_id] for query_id in query_ids])


def _mean_and_interval(
    values: NDArray[np.float64], folds: Folds, lowest: float
) -> tuple[float, float | None, float | None]:
    """Return the mean of (n,) values and the ends of its 95 % interval, with the folds as cases."""
    sums, sizes = (counted.astype(np.float64) for counted in (np.bincount(folds, values), np.bincount(folds)))
    low, high = mean_interval(sums, sizes, lowest)
    return float(values.mean()), low, high


def _gain_of_doubling(values: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,): by how much each query would rise with twice the labels, by least squares of `a + b / size`.

    Args:
        values: (S, n).
        sizes: (S, n) how many queries were learned from.
    """
    inverse = 1 / sizes
    from_mean = inverse - inverse.mean(axis=0)
    slopes = (from_mean * values).sum(axis=0) / np.maximum((from_mean**2).sum(axis=0), 1e-12)
    return np.asarray(-slopes / (2 * sizes[-1]), np.float64)
