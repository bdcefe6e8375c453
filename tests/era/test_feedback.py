import numpy as np
import pytest

from era.embedders import EncodedQueries, Vectors
from era.feedback import FEEDBACK_WEIGHTS, choose_weight, feed_back
from era.index import DenseIndex
from tests.fakes import identity_of, labelled_queries

EAST, NORTH, UP = np.eye(3, dtype=np.float32)


def unit(*numbers: float) -> Vectors:
    return np.asarray(np.array(numbers) / np.linalg.norm(numbers), np.float32)


def test_feed_back_adds_the_mean_of_the_relevant_documents_weighed_by_grade() -> None:
    found = feed_back(EAST, np.stack([NORTH, UP]), [3.0, 1.0], 0.8)
    np.testing.assert_allclose(found, unit(1, 0.6, 0.2), atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("vectors", "weight"), [(np.zeros((0, 3), np.float32), 0.5), (NORTH[None], 0.0)])
def test_feed_back_leaves_the_query_where_there_is_nothing_to_feed_back(vectors: Vectors, weight: float) -> None:
    np.testing.assert_array_equal(feed_back(EAST, vectors, [1.0] * len(vectors), weight), EAST)


@pytest.mark.parametrize(("grades", "weight"), [([1.0, 1.0], 0.5), ([0.0], 0.5), ([1.0], -0.5)])
def test_feed_back_refuses_what_it_cannot_mean(grades: list[float], weight: float) -> None:
    with pytest.raises(ValueError, match="Expected 1 grades above 0"):
        feed_back(EAST, NORTH[None], grades, weight)


DOCUMENTS = {
    "known": unit(0.8, 0.6, 0),
    "alike": unit(0.5, 0.5, 0.7071),
    "other": unit(0.52, 0, 0.8542),
    "unlike": unit(0.48, 0, -0.8773),
}
"""Fed back is `known`, which the query ranks highest: `alike` has .50 + .70 w then, `other` .52 + .42 w, `unlike` .48 +
.38 w. So `alike` is behind `other` without feedback and before it with any of the weights."""

TWIN = {"twin": unit(0.49, 0.8717, 0)}
""".49 + .92 w: behind `alike` without feedback and before it with any of the weights."""


def weight_for(judged: dict[str, float], documents: dict[str, Vectors] = DOCUMENTS, n_queries: int = 2) -> float:
    index = DenseIndex(list(documents), np.stack(list(documents.values())), identity_of("light", 3))
    rows = np.tile(EAST, (n_queries, 1))
    labelled = labelled_queries(EncodedQueries(rows, rows, rows), {f"q{i}": judged for i in range(n_queries)}, index)
    return choose_weight(labelled, rows, index)


@pytest.mark.parametrize("unwanted", [{"other": 0.0}, {}])
def test_choose_weight_takes_feedback_where_relevant_documents_are_alike(unwanted: dict[str, float]) -> None:
    assert weight_for({"known": 1, "alike": 1} | unwanted) == FEEDBACK_WEIGHTS[1]


@pytest.mark.parametrize("unwanted", [{"alike": 0.0}, {}])
def test_choose_weight_is_zero_where_they_are_not(unwanted: dict[str, float]) -> None:
    assert weight_for({"known": 1, "other": 1} | unwanted) == 0.0


def test_choose_weight_counts_unjudged_documents_only_if_none_was_judged_not_relevant() -> None:
    documents = DOCUMENTS | TWIN
    assert weight_for({"known": 1, "alike": 1, "other": 0}, documents) == FEEDBACK_WEIGHTS[1]
    assert weight_for({"known": 1, "alike": 1}, documents) == 0.0


def test_choose_weight_is_zero_with_a_single_query_to_learn_from() -> None:
    assert weight_for({"known": 1, "alike": 1}, n_queries=1) == 0.0


def test_choose_weight_is_zero_where_no_query_has_two_relevant_documents() -> None:
    assert weight_for({"known": 1, "other": 0}) == 0.0
