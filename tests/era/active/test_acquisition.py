"""Expected gradient length, checked against the gradients of the listwise loss itself and against cases by hand."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from era.active.acquisition import PRIOR_LOGIT, PRIOR_SPREAD, ScoredJudgments, ScoreScale, Usefulness, most_useful
from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.method.listwise import ListwiseLoss
from tests.worlds.vectors import index_of, random_unit_rows

EAST, NORTH, UP = np.eye(3, dtype=np.float32)
ROUND = ScoreScale.build(np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32))
"""Mean 0 and covariance I / 3: a score s is s * sqrt(3) standard deviations above the mean."""


def of(found: list[Usefulness], doc_id: str) -> Usefulness:
    return next(useful for useful in found if useful.doc_id == doc_id)


def doc(east: float, north: float, up: float) -> Vectors:
    return np.array([east, north, up], np.float32)


def world(n: int = 12, dimension: int = 6) -> tuple[DenseIndex, ScoreScale, Vectors]:
    vectors = random_unit_rows(n, dimension, seed=0)
    sample = np.asarray(random_unit_rows(50, dimension, seed=1) * np.arange(1, dimension + 1), np.float32)
    return index_of(vectors), ScoreScale.build(sample), random_unit_rows(1, dimension, seed=2)[0]


def test_scores_are_counted_in_standard_deviations_over_the_corpus() -> None:
    corpus = random_unit_rows(200, 4, seed=0) + 0.3
    query = random_unit_rows(1, 4, seed=1)[0]
    scores = corpus @ query
    found = ScoreScale.build(corpus).standard_scores(query, corpus[:7])
    np.testing.assert_allclose(found, (scores[:7] - scores.mean()) / scores.std(), rtol=1e-4, atol=1e-4)


def test_changes_are_differences_of_the_gradients_of_the_listwise_loss() -> None:
    index, scale, query = world()
    judged = {"d010": 2.0, "d011": 1.0, "d009": 0.0}
    candidates = [f"d{row:03}" for row in range(9)]
    found = most_useful(query, candidates, judged, index, scale)
    ids = [*candidates, *judged]
    grades = np.array([of(found, doc_id).probability for doc_id in candidates] + [2 / 1.5, 1 / 1.5, 0.0])
    temperature = 0.7

    def gradient(expected: np.ndarray) -> np.ndarray:
        loss = ListwiseLoss(
            documents=torch.from_numpy(index.vectors(ids))[None],
            targets=torch.from_numpy(expected / expected.sum()).float()[None],
            is_absent=torch.zeros(1, len(ids), dtype=torch.bool),
            temperature=temperature,
        )
        _, gradients = loss(torch.from_numpy(query)[None, None], torch.ones(1, 1))
        return gradients[0, 0].double().numpy() * temperature

    for place, doc_id in enumerate(candidates):
        useful = of(found, doc_id)
        for outcome, change in ((1.0, useful.change_if_relevant), (0.0, useful.change_if_not)):
            after = grades.copy()
            after[place] = outcome
            step = (gradient(after) - gradient(grades)) @ scale.whitening
            assert change == pytest.approx(float(np.linalg.norm(step)), rel=1e-3, abs=1e-5)


def test_value_weighs_both_changes_and_orders_the_documents() -> None:
    index, scale, query = world()
    found = most_useful(query, [f"d{row:03}" for row in range(9)], {"d010": 2.0, "d009": 0.0}, index, scale)
    expected = [u.probability * u.change_if_relevant + (1 - u.probability) * u.change_if_not for u in found]
    assert expected == sorted(expected, reverse=True)
    assert [useful.value for useful in found] == pytest.approx([change / expected[0] for change in expected])
    assert found[0].value == 1.0


@pytest.mark.parametrize("with_others", [False, True])
def test_probability_is_the_logistic_curve_of_highest_posterior(with_others: bool) -> None:
    index, scale, query = world()
    judged = {"d010": 2.0, "d011": 0.0, "d009": 1.0}
    others = ScoredJudgments(np.array([4.0, 3.0, 1.0, -1.0]), np.array([True, True, True, False]))

    def fitted(scores: np.ndarray, is_relevant: np.ndarray, centre: np.ndarray) -> np.ndarray:
        def objective(logit: np.ndarray) -> float:
            logits = (logit[0] + logit[1] * scores) * np.where(is_relevant, 1, -1)
            return float(np.logaddexp(0, -logits).sum() + (((logit - centre) / PRIOR_SPREAD) ** 2).sum() / 2)

        return np.asarray(minimize(objective, centre, tol=1e-10).x)

    centre = np.array(PRIOR_LOGIT)
    if with_others:
        centre = fitted(others.standard_scores, others.is_relevant, centre)
    own = scale.standard_scores(query, index.vectors(judged))
    logit = fitted(own, np.array([True, False, True]), centre)
    score = scale.standard_scores(query, index.vectors(["d000"]))[0]
    found = most_useful(query, ["d000", "d001"], judged, index, scale, others if with_others else None)
    assert of(found, "d000").probability == pytest.approx(1 / (1 + np.exp(-logit[0] - logit[1] * score)), rel=1e-3)


def test_without_judgments_the_probability_is_the_prior_curve() -> None:
    index = index_of(np.stack([doc(5 / 3**0.5, 0, 1), doc(0, 1, 0)]))  # 5 and 0 standard deviations above the mean
    found = most_useful(EAST, ["d000", "d001"], {}, index, ROUND)
    assert of(found, "d000").probability == pytest.approx(0.5)  # -5 + 5
    assert of(found, "d001").probability == pytest.approx(1 / (1 + np.exp(5)))


def test_a_copy_of_a_relevant_document_is_less_useful_than_an_equally_probable_new_direction() -> None:
    index = index_of(np.stack([doc(0.6, 0.8, 0), doc(0.6, 0, 0.8), doc(0.6, 0.8, 0)]))
    found = most_useful(EAST, ["d000", "d001"], {"d002": 1.0}, index, ROUND)
    assert [useful.doc_id for useful in found] == ["d001", "d000"]
    assert found[0].probability == pytest.approx(found[1].probability)
    # with p of both, grades 1, p, p: the mean lies p / (1 + 2 p) of the way from the copy to the new one
    p = found[0].probability
    assert found[1].value == pytest.approx(p / (1 + p))


def test_a_certain_document_is_less_useful_than_an_uncertain_one_as_far_away() -> None:
    unsure, sure = 5 / 3**0.5, 9 / 3**0.5  # probabilities 1/2 and 1 / (1 + exp(-4))
    index = index_of(np.stack([doc(unsure, 1, 0), doc(unsure, -1, 0), doc(sure, 0, 1), doc(sure, 0, -1)]))
    found = most_useful(EAST, ["d000", "d001", "d002", "d003"], {}, index, ROUND)
    assert {useful.doc_id for useful in found[:2]} == {"d000", "d001"}
    p, total = 1 / (1 + np.exp(-4)), 1 + 2 / (1 + np.exp(-4))  # all 1 away from the mean, across the query
    apart = p * (1 - p) / (total + 1 - p) + (1 - p) * p / (total - p)
    assert found[2].value == pytest.approx(apart / (0.25 / (total + 0.5) + 0.25 / (total - 0.5)), rel=1e-4)


def test_what_lies_along_the_query_vector_alone_changes_nothing() -> None:
    index = index_of(np.stack([doc(0.9, 0, 0), doc(0.5, 0, 0), doc(0.2, 0, 0)]))
    found = most_useful(EAST, ["d000", "d001"], {"d002": 1.0}, index, ROUND)
    assert [(useful.doc_id, useful.value) for useful in found] == [("d000", 0.0), ("d001", 0.0)]


def test_a_change_counts_by_the_score_variance_it_would_move() -> None:
    sample = np.concatenate([np.eye(3), -np.eye(3)]) * [1, 3, 1]  # scores vary most along north: a step there is dear
    index = index_of(np.stack([doc(0.6, 0.8, 0), doc(0.6, 0, 0.8), doc(0.6, 0, 0)]))
    found = most_useful(EAST, ["d000", "d001"], {"d002": 1.0}, index, ScoreScale.build(sample.astype(np.float32)))
    assert [useful.doc_id for useful in found] == ["d001", "d000"]
    assert found[0].probability == pytest.approx(found[1].probability)


def test_judged_documents_and_repetitions_are_left_out() -> None:
    index, scale, query = world()
    found = most_useful(query, ["d001", "d002", "d001", "d003"], {"d002": 1.0, "d003": 0.0}, index, scale)
    assert [useful.doc_id for useful in found] == ["d001"]


def test_neither_the_order_of_candidates_nor_that_of_judgments_matters() -> None:
    index, scale, query = world()
    candidates, judged = [f"d{row:03}" for row in range(8)], {"d008": 1.0, "d009": 0.0, "d010": 2.0}
    found = most_useful(query, candidates, judged, index, scale)
    assert most_useful(query, candidates[::-1], dict(reversed(judged.items())), index, scale) == found


def test_equally_useful_documents_are_ordered_by_id() -> None:
    index = index_of(np.stack([doc(0.6, 0, 0.8), doc(0.6, 0.8, 0)] * 2))
    found = most_useful(EAST, ["d003", "d002", "d001", "d000"], {}, index, ROUND)
    assert [useful.doc_id for useful in found] == ["d000", "d001", "d002", "d003"]


@pytest.mark.parametrize("judged", [{}, {"d001": 0.0}, {"d001": 1.0}])
def test_no_candidates_give_nothing(judged: dict[str, float]) -> None:
    index, scale, query = world()
    assert most_useful(query, judged, judged, index, scale) == []


@pytest.mark.parametrize("judged", [{}, {"d001": 0.0}])
def test_a_single_candidate_without_relevant_documents_changes_nothing(judged: dict[str, float]) -> None:
    index, scale, query = world()
    [only] = most_useful(query, ["d000"], judged, index, scale)
    assert (only.value, only.change_if_relevant, only.change_if_not) == pytest.approx((0, 0, 0), abs=1e-6)
    assert 0 < only.probability < 1


def test_a_judgment_of_a_document_no_longer_in_the_index_is_left_out() -> None:
    index, scale, query = world()
    with_gone = most_useful(query, ["d000", "d001"], {"d002": 1.0, "gone": 1.0}, index, scale)
    assert with_gone == most_useful(query, ["d000", "d001"], {"d002": 1.0}, index, scale)


def test_a_candidate_outside_the_index_is_an_error() -> None:
    index, scale, query = world()
    with pytest.raises(KeyError):
        most_useful(query, ["gone"], {}, index, scale)


def test_scored_judgments_of_different_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="as many scores as judgments"):
        ScoredJudgments(np.array([1.0, 2.0]), np.array([True]))
