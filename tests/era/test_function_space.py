import numpy as np
import pytest
import torch

from era.adapter import query_features
from era.alignment import align_by_decoding
from era.encoding_alignment import align_by_encoding
from era.function_space import FunctionSpace
from tests.era.conftest import VectorWorld
from tests.era.score_variance import share_moved, weight_change


@pytest.mark.parametrize("alignment", ["decoding", "encoding"])
@pytest.mark.parametrize("n", [2, 6, 12])
@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_function_space_norm_is_the_share_of_score_variance_moved(
    vector_world: VectorWorld, alignment: str, n: int, ridge: float
) -> None:
    texts = vector_world.texts
    aligned = align_by_decoding(texts) if alignment == "decoding" else align_by_encoding(texts, "cpu", 0)
    labelled = vector_world.labelled(*({f"d{i:03}": 1.0} for i in range(n)))
    space = FunctionSpace.build(aligned, texts, labelled, ridge, "cpu")
    coefficients = torch.randn(space.shape, generator=torch.Generator().manual_seed(0))
    changed = space.changed_adapter(aligned, coefficients)
    expected = share_moved(weight_change(changed, aligned), aligned, texts, ridge)
    assert float((coefficients**2).sum()) == pytest.approx(expected, rel=1e-3)


def test_function_space_query_vectors_are_those_of_the_changed_adapter(vector_world: VectorWorld) -> None:
    aligned = align_by_decoding(vector_world.texts)
    labelled = vector_world.labelled(*({f"d{i:03}": 1.0} for i in range(7)))
    space = FunctionSpace.build(aligned, vector_world.texts, labelled, 0.1, "cpu")
    coefficients = torch.randn(3, *space.shape, generator=torch.Generator().manual_seed(0))
    vectors = space.query_vectors(coefficients).numpy()
    for row, own in enumerate(coefficients):
        changed = space.changed_adapter(aligned, own)
        expected = query_features(labelled.encoded, aligned.views) @ changed.weight + changed.bias
        np.testing.assert_allclose(vectors[row], expected, atol=1e-4 * np.abs(expected).max())
        lengths = np.linalg.norm(vectors[row], axis=1, keepdims=True)
        np.testing.assert_allclose(vectors[row] / lengths, changed.transform(labelled.encoded), atol=1e-4)


def test_function_space_leaves_the_mean_text_where_it_was(vector_world: VectorWorld) -> None:
    aligned = align_by_encoding(vector_world.texts, "cpu", 0)
    labelled = vector_world.labelled(*({f"d{i:03}": 1.0} for i in range(7)))
    space = FunctionSpace.build(aligned, vector_world.texts, labelled, 0.1, "cpu")
    changed = space.changed_adapter(aligned, torch.ones(space.shape))
    mean = vector_world.texts.strong.mean(axis=0)
    before, after = mean @ aligned.weight + aligned.bias, mean @ changed.weight + changed.bias
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert np.abs(changed.weight - aligned.weight).max() > 0.1


def test_function_space_pull_back_is_the_gradient_of_query_vectors(vector_world: VectorWorld) -> None:
    aligned = align_by_decoding(vector_world.texts)
    labelled = vector_world.labelled(*({f"d{i:03}": 1.0} for i in range(6)))
    space = FunctionSpace.build(aligned, vector_world.texts, labelled, 0.1, "cpu")
    coefficients = torch.zeros(2, *space.shape, requires_grad=True)
    outer = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward((space.query_vectors(coefficients) * outer).sum())
    assert coefficients.grad is not None
    np.testing.assert_allclose(space.pull_back(outer), coefficients.grad, rtol=1e-4, atol=1e-4)
