"""What decides what is kept of labels: nDCG with matching words counted, and how much they count."""

from dataclasses import replace
from typing import ClassVar

import ir_measures
import numpy as np
import pytest

from era.adapter import HELD_OUT, HELD_OUT_WORD_WEIGHTS, QueryAdapter, held_out_of
from era.corpus import Corpus
from era.encoders.base import EncodedQueries, Vectors
from era.index.lexical import WORD_WEIGHT, LexicalIndex
from era.method.adaptation import Adaptation, AdaptationConfig, adapt, refit
from era.method.alignment import align_by_decoding
from era.method.candidates import LabelledQueries, label
from era.method.label_measure import WORD_STEP_COST, WORD_WEIGHTS, LabelMeasure
from era.types import Document, Query
from tests.worlds.vectors import index_of, random_unit_rows, texts_of

N_DOCUMENTS, N_QUERIES, P, M = 120, 12, 8, 5
INDEX = index_of(random_unit_rows(N_DOCUMENTS, M, seed=1))
TEXTS = texts_of(INDEX, random_unit_rows(N_DOCUMENTS, P, seed=2))
CORPUS = Corpus(Document(f"d{row:03}", "", f"part{row} kind{row % N_QUERIES} thing") for row in range(N_DOCUMENTS))
LEXICAL = LexicalIndex(CORPUS, INDEX)
ENCODED = EncodedQueries(*(random_unit_rows(N_QUERIES, size, seed) for size, seed in ((P, 3), (P, 4), (M, 5))))

Judgments = dict[str, dict[str, float]]


def by_words(n: int = N_QUERIES) -> Judgments:
    """Return judgments that only the words of a query tell: the ten documents that have them, wherever they lie."""
    return {f"q{i}": {f"d{row:03}": 1.0 for row in range(i, N_DOCUMENTS, N_QUERIES)} for i in range(n)}


def labelled(judgments: Judgments) -> LabelledQueries:
    n = len(judgments)
    encoded = EncodedQueries(ENCODED.instructed[:n], ENCODED.plain[:n], ENCODED.light[:n])
    return label([Query(f"q{i}", f"kind{i}") for i in range(n)], encoded, judgments, INDEX)


def adapted(judgments: Judgments, lexical: LexicalIndex | None = LEXICAL) -> Adaptation:
    config = AdaptationConfig(strengths=(3000.0, 200.0))
    aligned = align_by_decoding(TEXTS)
    return adapt(aligned, labelled(judgments), TEXTS, INDEX, "cpu", 0, config, lexical=lexical)


@pytest.mark.parametrize("weights", [0.25, 0.0, [0.1 * i for i in range(N_QUERIES)]])
def test_values_are_ndcg_at_100_of_what_is_ranked_with_words(weights: float | list[float]) -> None:
    judgments = {f"q{i}": {f"d{i:03}": 2.0, f"d{3 * i:03}": 1.0, f"d{i + 20:03}": 0.0} for i in range(N_QUERIES)}
    queries = labelled(judgments)
    rankings = LEXICAL.rank([query.text for query in queries.queries], ENCODED.light, 100, weights)
    qrels = [ir_measures.Qrel(q, d, int(grade)) for q, grades in judgments.items() for d, grade in grades.items()]
    run = [ir_measures.ScoredDoc(f"q{i}", doc.doc_id, doc.score) for i, r in enumerate(rankings) for doc in r]
    expected = {each.query_id: each.value for each in ir_measures.iter_calc([ir_measures.nDCG @ 100], qrels, run)}
    found = LabelMeasure.of(queries, INDEX, LEXICAL).values(ENCODED.light, weights)
    np.testing.assert_allclose(found, [expected[f"q{i}"] for i in range(N_QUERIES)], atol=1e-6)


def test_every_weight_of_words_is_measured_alike() -> None:
    measure, rows = LabelMeasure.of(labelled(by_words()), INDEX, LEXICAL), np.array([7, 2, 5])
    found = measure.by_word_weight(rows, ENCODED.light[rows])
    expected = [measure.values(ENCODED.light, weight)[rows] for weight in WORD_WEIGHTS]
    np.testing.assert_allclose(found, expected)
    assert WORD_WEIGHTS[0] == WORD_WEIGHT


class FixedMeasure(LabelMeasure):
    """Measures nothing: each weight of words gains what it is told to, for every query."""

    gains: ClassVar[dict[float, float]] = {}

    def by_word_weight(self, rows: np.ndarray, vectors: Vectors) -> np.ndarray:
        return np.array([[0.5 + self.gains.get(weight, 0.0)] * len(rows) for weight in WORD_WEIGHTS])


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ({}, WORD_WEIGHT),
        ({1.0: 1.01}, 1.0),
        ({1.0: 0.99}, WORD_WEIGHT),
        ({2.0: 2.01}, 2.0),
        ({2.0: 1.99}, WORD_WEIGHT),
        ({0.0: 3.01}, 0.0),
        ({0.1: 2.01}, 0.1),
        ({0.25: 1.01, 0.1: 2.0}, 0.25),
    ],
)
def test_a_weight_of_words_has_to_gain_what_its_steps_cost(gains: dict[float, float], chosen: float) -> None:
    """Gains are in units of what one step costs with nine queries."""
    measure = FixedMeasure(labelled(by_words(9)), INDEX, LEXICAL, [])
    unit = WORD_STEP_COST / 3
    FixedMeasure.gains = {weight: gain * unit for weight, gain in gains.items()}
    assert measure.choose_word_weight(np.arange(9), ENCODED.light[:9]) == chosen
    assert measure.choose_word_weight(np.arange(0), ENCODED.light[:0]) == WORD_WEIGHT
    assert replace(measure, lexical=None).choose_word_weight(np.arange(9), ENCODED.light[:9]) == WORD_WEIGHT


def test_labels_that_only_words_tell_make_words_count_more() -> None:
    found = adapted(by_words())
    assert found.adapter.word_weight > WORD_WEIGHT
    assert found.is_changed
    assert np.mean(found.held_out_word_weights) > WORD_WEIGHT
    measure = LabelMeasure.of(labelled(by_words()), INDEX, LEXICAL)
    before = measure.values(found.metric.aligned.transform(labelled(by_words()).encoded))
    after = measure.values(found.held_out_vectors, found.held_out_word_weights)
    np.testing.assert_allclose(found.gains, after - before, atol=1e-6)
    assert found.gains.mean() > 0.03
    assert adapted(by_words(), lexical=None).adapter.word_weight == WORD_WEIGHT


@pytest.mark.parametrize("place", [0, 4])
def test_the_weight_of_words_for_a_held_out_query_owes_nothing_to_its_labels(place: int) -> None:
    """That anything at all is kept is decided on all queries together, and is another matter."""
    judgments = by_words()
    first = adapted(judgments)
    nearest = INDEX.search(first.metric.aligned.transform(labelled(judgments).encoded), 1)
    others = ({nearest[place][0].doc_id: 1.0}, {"d055": 3.0, "d056": 1.0}, {f"d{place:03}": 2.0, "d055": 1.0})
    learned = [found for other in others if (found := adapted(judgments | {f"q{place}": other})).is_changed]
    assert learned
    for found in learned:
        assert found.held_out_word_weights[place] == first.held_out_word_weights[place]


def test_refitting_keeps_what_words_were_chosen_to_weigh() -> None:
    learned = adapted(by_words())
    again = refit(learned, labelled(by_words()), INDEX, "cpu")
    assert again.word_weight == learned.adapter.word_weight != WORD_WEIGHT


def test_what_two_queries_teach_about_words_is_not_checked_and_so_not_kept() -> None:
    found = adapted(by_words(2))
    assert found.adapter.word_weight == WORD_WEIGHT
    assert list(found.held_out_word_weights) == [WORD_WEIGHT] * 2


def saved(**provenance: object) -> QueryAdapter:
    aligned = align_by_decoding(TEXTS)
    return replace(aligned, provenance={"query_ids": ["1", "2"], **provenance})


def test_held_out_of_a_saved_adapter() -> None:
    vectors = random_unit_rows(2, M, seed=9)
    found = held_out_of(saved(**{HELD_OUT_WORD_WEIGHTS: [0.5, 0.0]}), {HELD_OUT: vectors})
    assert {query_id: each.word_weight for query_id, each in found.items()} == {"1": 0.5, "2": 0.0}
    np.testing.assert_array_equal([each.vector for each in found.values()], vectors)
    before = held_out_of(saved(), {HELD_OUT: vectors})  # as earlier versions wrote it
    assert [each.word_weight for each in before.values()] == [0.25] * 2


@pytest.mark.parametrize("weights", [[0.5], [0.5, -1.0], [0.5, None], [0.5, float("inf")], ["0.5", 0.5]])
def test_held_out_refuses_weights_that_cannot_be(weights: list[object]) -> None:
    with pytest.raises(ValueError, match="it "):
        held_out_of(saved(**{HELD_OUT_WORD_WEIGHTS: weights}), {HELD_OUT: random_unit_rows(2, M, seed=9)})


def test_held_out_refuses_what_is_incomplete() -> None:
    for extra in ({}, {HELD_OUT: random_unit_rows(1, M, seed=9)}):
        with pytest.raises(ValueError, match="incomplete"):
            held_out_of(saved(), extra)
