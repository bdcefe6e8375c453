import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair
from era.errors import NothingToLearnError
from era.evaluation import learning_curve as module
from era.evaluation.learning_curve import CurvePoint, Gain, LearningCurve, advise, learning_curve
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts
from era.method.candidates import LabelledQueries
from era.method.folds import assign_folds
from era.method.recipes import Learner, RecipeName, fit
from era.progress import Progress
from era.types import Qrels, Query, Ranking
from tests.era.stopping import assert_stops
from tests.worlds.words import ANIMALS, READERS, WANTED_TOPIC, WordEmbedder

QUERIES = [Query(f"{animal}-{reader}", animal, reader) for animal in ANIMALS for reader in READERS]
QRELS: Qrels = {query.query_id: {f"{query.text}-{WANTED_TOPIC[query.instruction]}": 1.0} for query in QUERIES}
N = len(QUERIES)


def curve_of(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair, recipe: RecipeName = "era", seed: int = 0
) -> LearningCurve:
    return learning_curve(texts, index, pair, QUERIES, QRELS, seed=seed, recipe=recipe)


def test_learning_curve_rises_where_labels_tell_what_alignment_cannot_know(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    curve = curve_of(texts, index, pair)
    assert [point.share for point in curve.points] == [0.25, 0.5, 0.75, 1.0]
    assert curve.n == N
    assert curve.baseline < 0.9  # the instruction, which decides, is Greek to the documents
    assert curve.points[-1].value > curve.baseline + 0.1
    assert curve.expected.low is not None
    assert curve.points[-1].value >= curve.points[0].value
    for point in curve.points:
        assert point.low is not None
        assert point.high is not None
        assert 0 <= point.low <= point.value <= point.high <= 1
    assert json.loads(json.dumps(asdict(curve), allow_nan=False))["points"][0]["share"] == 0.25


@pytest.mark.parametrize("recipe", ["era", "era-single"])
def test_learning_curve_ends_with_what_the_recipe_learns_from_all_other_folds(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    ordered = sorted(QUERIES, key=lambda query: query.query_id)
    folds = assign_folds([ANIMALS.index(query.text) for query in ordered], 10, 3)
    run: dict[str, Ranking] = {}
    aligned_run: dict[str, Ranking] = {}
    sizes = []
    for fold in range(8):
        rest = [query for query, own in zip(ordered, folds, strict=True) if own != fold]
        held_out = [query for query, own in zip(ordered, folds, strict=True) if own == fold]
        learned = fit(recipe, texts, index, pair, rest, QRELS, seed=3)
        sizes.append(len(rest))
        for ranked, adapter in ((run, learned.adapter), (aligned_run, learned.aligned)):
            rankings = index.search(adapter.transform(pair.encode_queries(held_out)), 16)
            ranked.update({query.query_id: ranking for query, ranking in zip(held_out, rankings, strict=True)})
    curve = curve_of(texts, index, pair, recipe, seed=3)
    for found, expected in ((curve.points[-1].value, run), (curve.baseline, aligned_run)):
        values = evaluate(QRELS, expected, ["nDCG@10"])["nDCG@10"].values()
        assert found == pytest.approx(np.mean(list(values)), abs=1e-6)
    assert curve.points[-1].n_queries == np.mean(sizes)


class FakeLearner:
    """Learns nothing from fewer than `n_needed` queries, and to say what the documents say from as many.

    Either way each query finds its animal's two documents first; without learning, the wrong one of them on top.
    """

    def __init__(self, aligned: QueryAdapter, learned: QueryAdapter, n_needed: int) -> None:
        self.learned_from: list[list[str]] = []
        self._adapters = (aligned, learned)
        self._n_needed = n_needed

    def prepare(
        self,
        recipe: str,
        texts: AlignmentTexts,
        index: DenseIndex,
        device: str,
        seed: int,
        progress: Progress,
        lexical: None,
    ) -> Learner:
        return Learner(self._adapters[0], self._learn)

    def _learn(self, labelled: LabelledQueries, progress: Progress) -> QueryAdapter:
        self.learned_from.append([query.query_id for query in labelled.queries])
        return self._adapters[len(labelled) >= self._n_needed]


def fake_learner(n_needed: int) -> FakeLearner:
    """Return one of the two adapters over instructed queries, of 13 strong and 11 light dimensions."""
    weight = np.zeros((13, 11), np.float32)
    weight[np.arange(8), np.arange(8)] = 1
    right, wrong = weight.copy(), weight.copy()
    for row, topic in ((10, 8), (11, 9)):  # owner and feeding, vet and illness
        right[row, topic], wrong[row, 17 - topic] = 0.5, 0.5  # less than the animal
    bias = np.zeros(11, np.float32)
    return FakeLearner(QueryAdapter(("instructed",), wrong, bias), QueryAdapter(("instructed",), right, bias), n_needed)


def test_learning_curve_learns_from_nested_sets_that_never_hold_what_they_rank(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = fake_learner(1)
    monkeypatch.setattr(module, "prepare", fake.prepare)
    curve_of(texts, index, pair)
    text_of = {query.query_id: query.text for query in QUERIES}
    held_out_texts: list[str] = []
    assert len(fake.learned_from) == 32
    for first in range(0, 32, 4):
        sets = [set(query_ids) for query_ids in fake.learned_from[first : first + 4]]
        n = len(sets[-1])
        assert [len(one) for one in sets] == [round(share * n) for share in (0.25, 0.5, 0.75, 1)]
        assert sets[0] < sets[1] < sets[2] < sets[3]
        seen = {text_of[query_id] for query_id in sets[-1]}
        held_out_texts += [text for text in ANIMALS if text not in seen]
    assert sorted(held_out_texts) == sorted(ANIMALS)


@pytest.mark.parametrize(
    ("n_needed", "n_right", "words"),
    [
        (1, [16, 16, 16, 16], "changed by less than 0.01, likely between −0.38 and +0.38."),
        (5, [0, 16, 16, 16], "changed by less than 0.01, likely between −0.38 and +0.38."),
        (9, [0, 0, 16, 16], "changed by +0.37, likely between −0.01 and +0.75. That could be chance. If it goes"),
        (100, [0, 0, 0, 0], "From 14 labelled queries nothing could be learned"),
    ],
)
def test_learning_curve_measures_what_was_learned(
    texts: AlignmentTexts,
    index: DenseIndex,
    pair: EmbedderPair,
    monkeypatch: pytest.MonkeyPatch,
    n_needed: int,
    n_right: list[int],
    words: str,
) -> None:
    """Each of 8 folds has 14 queries to learn from: 4, 7, 10, all; where all gain alike, 3 of 8 may yet differ."""
    monkeypatch.setattr(module, "prepare", fake_learner(n_needed).prepare)
    curve = curve_of(texts, index, pair)
    second = 1 / np.log2(3)  # nDCG@10 of the only relevant document at rank 2
    assert curve.baseline == pytest.approx(second, abs=1e-6)
    for point, n in zip(curve.points, n_right, strict=True):
        value = (n + (N - n) * second) / N
        assert point.value == pytest.approx(value, abs=1e-6)
        assert point.low == pytest.approx(max(value - 0.5 * 3 / 8, 0), abs=1e-6)
        assert point.high == pytest.approx(min(value + 0.5 * 3 / 8, 1), abs=1e-6)
    assert words in curve.advice


def test_intervals_go_by_folds_and_not_by_queries() -> None:
    folds = np.repeat(np.arange(8), 5)
    of_fold = np.random.default_rng(0).normal(0.3, 0.1, size=8)
    mean, low, high = module._mean_and_interval(of_fold[folds], folds, 0.0)
    expected = stats.ttest_1samp(of_fold, 0.0).confidence_interval(0.95)
    assert [mean, low, high] == pytest.approx([of_fold.mean(), expected.low, expected.high])


def test_gain_of_doubling_is_what_a_curve_that_flattens_as_one_over_n_has_left() -> None:
    """Two queries, one that rises as .5 - 2 / n and one that falls as .3 + 1 / n; doubled, n is 40 instead of 20."""
    sizes = np.array([[5.0, 5], [10, 10], [15, 15], [20, 20]])
    values = np.stack([0.5 - 2 / sizes[:, 0], 0.3 + 1 / sizes[:, 1]], axis=1)
    np.testing.assert_allclose(module._gain_of_doubling(values, sizes), [2 / 20 - 2 / 40, -1 / 20 + 1 / 40])


HALF, FULL = CurvePoint(0.5, 20.4, 0.3, 0.2, 0.4), CurvePoint(1.0, 40.0, 0.331, 0.2, 0.4)


AHEAD = Gain(0.02, 0.004, 0.036)


@pytest.mark.parametrize(
    ("full", "gain", "said"),
    [
        (0.331, Gain(0.031, 0.010, 0.052), "+0.03, likely between +0.01 and +0.06."),
        (0.304, Gain(0.004, 0.002, 0.0055), "less than 0.01, likely between 0.00 and +0.01."),
        (0.312, Gain(0.012, -0.01, 0.03), "+0.01, likely between −0.01 and +0.03. That could be chance."),
        (0.298, Gain(-0.002, -0.012, 0.0096), "less than 0.01, likely between −0.02 and +0.01. That could be chance."),
        (0.278, Gain(-0.022, -0.032, -0.012), "−0.02, likely between −0.04 and −0.01."),
    ],
)
def test_advice_says_what_was_measured_and_what_twice_as_many_labels_would_bring(
    full: float, gain: Gain, said: str
) -> None:
    assert advise(HALF, replace(FULL, value=full), gain, AHEAD, 44, is_anything_learned=True) == (
        f"From 20 to 40 labelled queries nDCG@10 on 44 held-out queries changed by {said} "
        "If it goes on like this, from 40 to 80: between 0.00 and +0.04."
    )


def test_advice_says_so_when_nothing_was_learned() -> None:
    no_gain = Gain(0.0, -0.001, 0.001)
    assert advise(HALF, FULL, no_gain, no_gain, 44, is_anything_learned=False) == (
        "From 40 labelled queries nothing could be learned that helps others: each of 44 held-out queries has the "
        "same nDCG@10 as without labels."
    )


def test_advice_promises_nothing_where_too_few_queries_differ() -> None:
    unknown = Gain(0.1, None, None)
    assert advise(HALF, FULL, unknown, unknown, 9, is_anything_learned=True) == (
        "From 20 to 40 labelled queries nDCG@10 on 9 held-out queries changed by +0.03; fewer than 6 different queries "
        "tell nothing more."
    )


def test_learning_curve_needs_eight_labelled_queries(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    with pytest.raises(NothingToLearnError, match=r"needs at least 8 labelled queries.*there are 7"):
        learning_curve(texts, index, pair, QUERIES[:7], QRELS)
    assert learning_curve(texts, index, pair, QUERIES[:8], QRELS).n == 8


def test_learning_curve_needs_queries_of_different_texts(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    queries = [Query(f"q{i}", "cat", f"as reader {i}") for i in range(9)]
    with pytest.raises(NothingToLearnError, match="and 1 different among them"):
        learning_curve(texts, index, pair, queries, {query.query_id: {"cat-feeding": 1.0} for query in queries})


def test_learning_curve_refuses_an_unknown_recipe(texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair) -> None:
    with pytest.raises(ValueError, match="Unknown recipe 'best'"):
        learning_curve(texts, index, pair, QUERIES, QRELS, recipe="best")  # type: ignore[arg-type]


def test_learning_curve_is_the_same_for_the_same_seed_and_embeds_nothing_twice(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    assert isinstance(pair.strong, WordEmbedder)
    first = learning_curve(texts, index, pair, QUERIES[:8], QRELS)
    n_read = len(pair.strong.texts_read)
    assert learning_curve(texts, index, pair, QUERIES[:8], QRELS) == first
    assert len(pair.strong.texts_read) == n_read


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_learning_curve_stops_when_the_report_raises(
    share: float, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    pair.encode_queries(QUERIES)
    assert_stops(lambda progress: learning_curve(texts, index, pair, QUERIES[:8], QRELS, progress=progress), share)


def test_learning_curve_reports_one_stage_up_to_the_end(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    reported: list[tuple[str, float]] = []
    learning_curve(
        texts, index, pair, QUERIES[:8], QRELS,
        progress=lambda stage, fraction, detail="": reported.append((stage, fraction)),
    )  # fmt: skip
    fractions = [fraction for _, fraction in reported]
    assert {stage for stage, _ in reported} == {"curve"}
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
