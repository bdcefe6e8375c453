import numpy as np
import pytest
import torch

from era.adapter import QueryAdapter, QueryView
from era.encoders.base import EncodedQueries
from era.method.alignment import AlignmentTexts, DecodingConfig, align_by_decoding
from era.method.function_space import FunctionSpace, ScoreMetric
from era.method.fusion import Blend
from era.method.paper import EncodingConfig, align_by_encoding
from tests.era.score_variance import Matrix, centred_features, changeable, share_moved, weight_change
from tests.worlds.vectors import N_DOCUMENTS, M, P, VectorWorld, random_unit_rows

VIEWS: list[tuple[QueryView, ...]] = [
    ("mean", "light", "neighbours"),
    ("mean", "light"),
    ("instructed",),
    ("light", "mean", "neighbours"),
]

every_view = pytest.mark.parametrize("views", VIEWS, ids="+".join)


def decoded(texts: AlignmentTexts, views: tuple[QueryView, ...] = VIEWS[0]) -> QueryAdapter:
    return align_by_decoding(texts, DecodingConfig(views=views))


def first_queries(world: VectorWorld, n: int) -> EncodedQueries:
    return EncodedQueries(world.encoded.instructed[:n], world.encoded.plain[:n], world.encoded.light[:n])


def some_coefficients(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def score_variance(weight: Matrix, aligned: QueryAdapter, texts: AlignmentTexts) -> float:
    """Return the mean square of the scores of every text against every document, one pair after the other."""
    x, _ = centred_features(aligned, texts)
    documents = texts.light - texts.light.astype(np.float64).mean(axis=0)
    return float(np.mean([[(row @ weight @ document) ** 2 for document in documents] for row in x]))


@every_view
def test_function_space_norm_is_the_share_of_score_variance_counted_pair_by_pair(
    vector_world: VectorWorld, views: tuple[QueryView, ...]
) -> None:
    texts = vector_world.texts
    aligned = decoded(texts, views)
    space = FunctionSpace.build(ScoreMetric.build(aligned, texts, 1e-6), first_queries(vector_world, 6), "cpu")
    coefficients = some_coefficients(*space.shape)
    change = weight_change(space.changed_adapter(aligned, coefficients), aligned)
    moved = score_variance(changeable(change, aligned), aligned, texts)
    start = score_variance(changeable(aligned.weight.astype(np.float64), aligned), aligned, texts)
    assert float((coefficients**2).sum()) == pytest.approx(moved / start, rel=1e-3)


@pytest.mark.parametrize("alignment", ["decoding", "encoding"])
@pytest.mark.parametrize("n", [1, 2, 6, 12])
@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_function_space_norm_is_the_share_of_score_variance_moved(
    vector_world: VectorWorld, alignment: str, n: int, ridge: float
) -> None:
    texts = vector_world.texts
    aligned = (
        decoded(texts) if alignment == "decoding" else align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=5))
    )
    space = FunctionSpace.build(ScoreMetric.build(aligned, texts, ridge), first_queries(vector_world, n), "cpu")
    coefficients = some_coefficients(*space.shape)
    changed = space.changed_adapter(aligned, coefficients)
    expected = share_moved(weight_change(changed, aligned), aligned, texts, ridge)
    assert float((coefficients**2).sum()) == pytest.approx(expected, rel=1e-3)


@every_view
def test_changed_adapter_moves_the_queries_by_the_vector_changes(
    vector_world: VectorWorld, views: tuple[QueryView, ...]
) -> None:
    aligned = decoded(vector_world.texts, views)
    queries = first_queries(vector_world, 7)
    metric = ScoreMetric.build(aligned, vector_world.texts, 0.1)
    space = FunctionSpace.build(metric, queries, "cpu")
    start = Blend({view: 2.0 for view in views if view in ("light", "neighbours")}).apply(aligned)
    for coefficients in some_coefficients(3, *space.shape):
        changed = space.changed_adapter(start, coefficients)
        before = start.features(queries) @ start.weight + start.bias
        after = changed.features(queries) @ changed.weight + changed.bias
        expected = space.vector_changes(coefficients)
        assert np.linalg.norm(expected, axis=1).min() > 0.1
        np.testing.assert_allclose(after - before, expected, atol=1e-4 * np.abs(expected).max())


def test_moves_are_the_vector_changes_along_the_axes_of_document_space(vector_world: VectorWorld) -> None:
    metric = ScoreMetric.build(decoded(vector_world.texts), vector_world.texts, 0.1)
    space = FunctionSpace.build(metric, first_queries(vector_world, 4), "cpu")
    coefficients = some_coefficients(2, *space.shape)
    documents = random_unit_rows(9, M, seed=0)
    along_axes = np.asarray(space.moves(coefficients)) @ (documents @ metric.document_axes).T
    for row in (0, 1):
        scores = space.vector_changes(coefficients[row]) @ documents.T
        np.testing.assert_allclose(along_axes[row], scores, atol=1e-4 * np.abs(scores).max())


@pytest.mark.parametrize("place", [0, 2, 3])
def test_changed_adapter_leaves_the_rows_of_the_neighbours(vector_world: VectorWorld, place: int) -> None:
    views: list[QueryView] = ["light", "instructed", "mean"]
    views.insert(place, "neighbours")
    aligned = decoded(vector_world.texts, tuple(views))
    metric = ScoreMetric.build(aligned, vector_world.texts, 0.1)
    space = FunctionSpace.build(metric, first_queries(vector_world, 5), "cpu")
    changed = space.changed_adapter(aligned, some_coefficients(*space.shape))
    rows = aligned.rows("neighbours")
    np.testing.assert_array_equal(changed.weight[rows], aligned.weight[rows])
    assert changed.neighbourhood is aligned.neighbourhood
    for view in ("light", "instructed", "mean"):
        assert np.abs(weight_change(changed, aligned)[aligned.rows(view)]).max() > 0.01


def test_changed_adapter_leaves_the_adapter_it_starts_from_as_it_was(vector_world: VectorWorld) -> None:
    aligned = decoded(vector_world.texts)
    weight, bias = aligned.weight.copy(), aligned.bias.copy()
    space = FunctionSpace.build(
        ScoreMetric.build(aligned, vector_world.texts, 0.1), first_queries(vector_world, 5), "cpu"
    )
    space.changed_adapter(aligned, some_coefficients(*space.shape))
    np.testing.assert_array_equal(aligned.weight, weight)
    np.testing.assert_array_equal(aligned.bias, bias)


def test_changed_adapter_leaves_the_mean_text_where_it_was(vector_world: VectorWorld) -> None:
    aligned = align_by_encoding(vector_world.texts, "cpu", 0, EncodingConfig(n_epochs=5))
    metric = ScoreMetric.build(aligned, vector_world.texts, 0.1)
    space = FunctionSpace.build(metric, first_queries(vector_world, 7), "cpu")
    changed = space.changed_adapter(aligned, torch.ones(space.shape))
    mean = vector_world.texts.strong.mean(axis=0)
    before, after = mean @ aligned.weight + aligned.bias, mean @ changed.weight + changed.bias
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert np.abs(changed.weight - aligned.weight).max() > 0.1


def test_pull_back_is_the_gradient_of_the_moves(vector_world: VectorWorld) -> None:
    metric = ScoreMetric.build(decoded(vector_world.texts), vector_world.texts, 0.1)
    space = FunctionSpace.build(metric, first_queries(vector_world, 6), "cpu")
    coefficients = torch.zeros(2, *space.shape, requires_grad=True)
    outer = some_coefficients(2, 6, M)
    torch.autograd.backward((space.moves(coefficients) * outer).sum())
    assert coefficients.grad is not None
    np.testing.assert_allclose(space.pull_back(outer), coefficients.grad, rtol=1e-4, atol=1e-4)


def test_function_space_of_many_queries_is_no_larger_than_the_features(vector_world: VectorWorld) -> None:
    aligned = decoded(vector_world.texts, ("mean",))
    metric = ScoreMetric.build(aligned, vector_world.texts, 0.1)
    assert FunctionSpace.build(metric, first_queries(vector_world, 12), "cpu").shape == (P, M)
    assert FunctionSpace.build(metric, first_queries(vector_world, 3), "cpu").shape == (3, M)


def test_score_spread_is_the_standard_deviation_of_the_scores_of_a_query(vector_world: VectorWorld) -> None:
    metric = ScoreMetric.build(decoded(vector_world.texts), vector_world.texts, 1e-9)
    queries = random_unit_rows(6, M, seed=8)
    documents = vector_world.index.vectors([f"d{row:03}" for row in range(N_DOCUMENTS)]).astype(np.float64)
    expected = np.mean([np.std(documents @ query) for query in queries])
    assert metric.score_spread(queries) == pytest.approx(expected, rel=1e-4)
    assert metric.score_spread(np.zeros((2, M), np.float32)) > 0
