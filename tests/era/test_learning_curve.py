import json
import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest

from era import learning_curve as module
from era.adapter import QueryAdapter
from era.alignment import AlignmentTexts
from era.candidates import LabelledQueries
from era.embedders import EmbedderPair
from era.errors import NothingToLearnError
from era.evaluation import evaluate
from era.folds import assign_folds
from era.index import DenseIndex
from era.learning_curve import CurvePoint, Gain, LearningCurve, advise, learning_curve
from era.progress import Progress
from era.recipes import Learner, RecipeName, fit
from era.types import Qrels, Query, Ranking
from tests.era.stopping import assert_stops
from tests.fakes import ANIMALS, READERS, WordEmbedder

WANTED_TOPIC = {"owner": "feeding", "vet": "illness"}
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
    assert curve.points[-1].value >= curve.points[0].value
    for point in curve.points:
        assert 0 <= point.low <= point.value <= point.high <= 1
    assert json.loads(json.dumps(asdict(curve), allow_nan=False))["points"][0]["share"] == 0.25


@pytest.mark.parametrize("recipe", ["era", "era-single"])
def test_learning_curve_ends_with_what_the_recipe_learns_from_all_other_folds(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    ordered = sorted(QUERIES, key=lambda query: query.query_id)
    folds = assign_folds([query.text for query in ordered], 5, 3)
    run: dict[str, Ranking] = {}
    aligned_run: dict[str, Ranking] = {}
    sizes = []
    for fold in range(5):
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
        self, recipe: str, texts: AlignmentTexts, index: DenseIndex, device: str, seed: int, progress: Progress
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
    assert len(fake.learned_from) == 20
    for first in range(0, 20, 4):
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
        (1, [16, 16, 16, 16], "too few queries to tell"),
        (5, [0, 16, 16, 16], "too few queries to tell"),
        (9, [0, 0, 16, 16], "gained +0.37 (likely +0.36 to +0.37)"),
        (100, [0, 0, 0, 0], "From 13 labelled queries nothing could be learned"),
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
    """Each fold has 12 or 14 queries to learn from: 3, 6 or 7, 9 or 10, all."""
    monkeypatch.setattr(module, "prepare", fake_learner(n_needed).prepare)
    curve = curve_of(texts, index, pair)
    second = 1 / np.log2(3)  # nDCG@10 of the only relevant document at rank 2
    assert curve.baseline == pytest.approx(second, abs=1e-6)
    for point, n in zip(curve.points, n_right, strict=True):
        for value in (point.value, point.low, point.high):
            assert value == pytest.approx((n + (N - n) * second) / N, abs=1e-6)
    assert words in curve.advice


def test_learning_curve_intervals_are_those_of_the_mean_over_queries(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the folds with 14 other queries learn enough, so that of 16 values a few are 1 and the rest lower."""
    monkeypatch.setattr(module, "prepare", fake_learner(14).prepare)
    curve = curve_of(texts, index, pair)
    _, counts = np.unique(
        assign_folds([q.text for q in sorted(QUERIES, key=lambda q: q.query_id)], 5, 0), return_counts=True
    )
    n_right = int(counts[N - counts >= 14].sum())
    assert 0 < n_right < N
    second = 1 / np.log2(3)
    point, p = curve.points[-1], n_right / N
    assert point.value == pytest.approx(p + (1 - p) * second, abs=1e-6)
    half_width = 1.96 * (1 - second) * (p * (1 - p) / N) ** 0.5  # of a mean of values that are one of two
    assert point.high - point.low == pytest.approx(2 * half_width, rel=0.25)
    gain = curve.gain_last_half
    assert gain.difference == pytest.approx(point.value - second, abs=1e-6)
    assert gain.low < gain.difference < gain.high


HALF, FULL = CurvePoint(0.5, 20.4, 0.3, 0.2, 0.4), CurvePoint(1.0, 40.0, 0.331, 0.2, 0.4)


@pytest.mark.parametrize(
    ("full", "gain", "expected"),
    [
        (
            0.331,
            Gain(0.031, 0.010, 0.052),
            "Going from 20 to 40 labelled queries gained +0.03 (likely +0.01 to +0.06): "
            "more labelled queries will probably help further.",
        ),
        (
            0.304,
            Gain(0.004, 0.002, 0.0055),
            "Going from 20 to 40 labelled queries gained less than 0.01 (likely 0.00 to +0.01): "
            "more labelled queries will probably help further.",
        ),
        (
            0.312,
            Gain(0.012, -0.01, 0.03),
            "Going from 20 to 40 labelled queries changed +0.01 (likely −0.01 to +0.03), "
            "which could be chance: label more queries and look again.",
        ),
        (
            0.298,
            Gain(-0.002, -0.012, 0.0096),
            "Going from 20 to 40 labelled queries no longer gained (likely −0.02 to +0.01): "
            "more queries of the same kind will probably not help.",
        ),
        (
            0.3,
            Gain(0.0, -0.0001, 0.0),
            "Going from 20 to 40 labelled queries no longer gained (likely −0.01 to 0.00): "
            "more queries of the same kind will probably not help.",
        ),
    ],
)
def test_advice_follows_from_the_interval_of_the_last_half(full: float, gain: Gain, expected: str) -> None:
    assert advise(HALF, replace(FULL, value=full), gain, is_anything_learned=True) == expected


def test_advice_gives_up_neither_early_nor_when_nothing_was_learned_yet() -> None:
    no_gain = Gain(0.0, 0.0, 0.0)
    early = advise(replace(HALF, n_queries=8), replace(FULL, n_queries=16), no_gain, is_anything_learned=True)
    assert "too few queries to tell: label more" in early
    assert "label more queries" in advise(HALF, FULL, no_gain, is_anything_learned=False)


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
    with pytest.raises(NothingToLearnError, match="different texts"):
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


def test_the_interval_of_many_queries_holds_little_in_memory() -> None:
    values = np.random.default_rng(0).random(3000)
    tracemalloc.start()
    try:
        mean, low, high = module._mean_and_interval(values, 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6  # all resamples are 5000 times 3000 places of 8 bytes, and as many values
    error = values.std() / 3000**0.5
    assert [low, high] == pytest.approx([mean - 1.96 * error, mean + 1.96 * error], abs=0.15 * error)
