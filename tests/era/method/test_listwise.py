from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor

from era.encoders.base import EncodedQueries, Vectors
from era.index.dense import DenseIndex
from era.method import listwise
from era.method.listwise import ListwiseLoss
from tests.worlds.vectors import M, VectorWorld, index_of, labelled_queries, random_unit_rows

AS_THEY_ARE: Vectors = np.eye(M, dtype=np.float32)

JUDGMENTS: list[dict[str, float]] = [
    {"d001": 3.0, "d002": 1.0, "d003": 0.0},
    {"d004": 0.5},
    {"d005": 1.0, "d006": 1.0},
]
UNJUDGED = [["d010"], ["d011", "d012", "d013", "d014"], ["d015", "d016", "d017"]]
CANDIDATES = [
    (["d001", "d002", "d003", "d010"], [0.75, 0.25, 0, 0]),
    (["d004", "d011", "d012", "d013", "d014"], [1.0, 0, 0, 0, 0]),
    (["d005", "d006", "d015", "d016", "d017"], [0.5, 0.5, 0, 0, 0]),
]
"""What JUDGMENTS and UNJUDGED come to: the documents of each query, and their share of its grades."""


@pytest.fixture
def loss(vector_world: VectorWorld) -> ListwiseLoss:
    labelled = vector_world.labelled(*JUDGMENTS)
    return ListwiseLoss.build(labelled, UNJUDGED, vector_world.index, AS_THEY_ARE, 0.2, "cpu")


def losses_by_torch(vectors: Tensor, index: DenseIndex, temperature: float) -> Tensor:
    """Return (P, n): the cross-entropy that torch computes, query by query."""
    columns = []
    for query, (doc_ids, target) in enumerate(CANDIDATES):
        documents = torch.from_numpy(index.vectors(doc_ids)).double()
        logits = torch.nn.functional.normalize(vectors[:, query], dim=1) @ documents.T / temperature
        targets = torch.tensor([target] * len(vectors), dtype=torch.float64)
        columns.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
    return torch.stack(columns, dim=1)


def test_build_spreads_the_target_over_all_relevant_documents(vector_world: VectorWorld) -> None:
    labelled = vector_world.labelled(*JUDGMENTS[:2])
    found = ListwiseLoss.build(labelled, UNJUDGED[:2], vector_world.index, AS_THEY_ARE, 1.0, "cpu")
    assert found.targets.tolist() == [[0.75, 0.25, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert found.is_absent.tolist() == [[False] * 4 + [True], [False] * 5]
    for row, (doc_ids, _) in enumerate(CANDIDATES[:2]):
        np.testing.assert_array_equal(found.documents[row, : len(doc_ids)], vector_world.index.vectors(doc_ids))


def test_build_turns_the_documents_along_the_axes(vector_world: VectorWorld) -> None:
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(M, M)))[0].astype(np.float32)
    labelled = vector_world.labelled(*JUDGMENTS)
    vectors = torch.from_numpy(random_unit_rows(3, M, seed=0))[None]
    straight, turned = (
        ListwiseLoss.build(labelled, UNJUDGED, vector_world.index, a, 0.2, "cpu") for a in (AS_THEY_ARE, axes)
    )
    weights = torch.ones(1, 3)
    np.testing.assert_allclose(
        turned(vectors @ torch.from_numpy(axes), weights)[0], straight(vectors, weights)[0], rtol=1e-4
    )


def test_loss_equals_a_calculation_by_hand() -> None:
    # cosines of (3, 4): 0.6 with (1, 0), 0.8 with (0, 1), -0.6 with (-1, 0)
    documents = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    index = index_of(documents)
    nothing = np.zeros((1, 2), np.float32)
    labelled = labelled_queries(EncodedQueries(nothing, nothing, nothing), {"q0": {"d000": 2.0, "d001": 1.0}}, index)
    loss = ListwiseLoss.build(labelled, [["d002"]], index, np.eye(2, dtype=np.float32), 0.5, "cpu")
    losses, _ = loss(torch.tensor([[[3.0, 4.0]]]), torch.ones(1, 1))
    total = exp(1.2) + exp(1.6) + exp(-1.2)
    assert float(losses) == pytest.approx(-(2 / 3 * (1.2 - log(total)) + 1 / 3 * (1.6 - log(total))), abs=1e-5)


@pytest.mark.parametrize("n_rows", [3, 2, 1, 0])  # queries the limit has room for; one is taken at the least
@pytest.mark.parametrize("n_points", [1, 4])
def test_losses_and_gradients_equal_those_of_torch(
    vector_world: VectorWorld, loss: ListwiseLoss, n_rows: int, n_points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listwise, "_MAX_LOGITS", n_rows * 5 * n_points)  # five candidates
    generator = torch.Generator().manual_seed(0)
    vectors = 3 * torch.randn(n_points, 3, M, generator=generator)
    weights = torch.rand(n_points, 3, generator=generator)
    losses, gradients = loss(vectors, weights)

    variables = vectors.double().requires_grad_()
    expected = losses_by_torch(variables, vector_world.index, 0.2)
    torch.autograd.backward((weights * expected).sum())
    assert variables.grad is not None
    assert losses.shape == (n_points, 3)
    np.testing.assert_allclose(losses, expected.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients, variables.grad, rtol=1e-3, atol=1e-5)


def test_loss_is_reckoned_in_blocks_that_hold_no_more_than_the_limit(
    loss: ListwiseLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = torch.randn(2, 3, M, generator=torch.Generator().manual_seed(0))
    expected = loss(vectors, torch.ones(2, 3))
    sizes: list[int] = []
    logsumexp = Tensor.logsumexp

    def counting(logits: Tensor, dim: int, keepdim: bool) -> Tensor:
        sizes.append(logits.numel())
        return logsumexp(logits, dim=dim, keepdim=keepdim)

    monkeypatch.setattr(Tensor, "logsumexp", counting)
    monkeypatch.setattr(listwise, "_MAX_LOGITS", 20)  # 2 points of 2 queries of 5 candidates
    found = loss(vectors, torch.ones(2, 3))
    assert sizes == [20, 10]
    for now, before in zip(found, expected, strict=True):
        np.testing.assert_allclose(now, before, rtol=1e-5, atol=1e-6)


def test_a_query_of_weight_0_has_a_loss_but_no_gradient(loss: ListwiseLoss) -> None:
    vectors = torch.randn(1, 3, M, generator=torch.Generator().manual_seed(0))
    losses, gradients = loss(vectors, torch.tensor([[1.0, 0.0, 2.0]]))
    assert (losses > 0).all()
    assert not gradients[0, 1].any()
    assert gradients[0, 0].any()


def test_a_query_vector_counts_by_its_direction_alone(loss: ListwiseLoss) -> None:
    vectors = torch.randn(1, 3, M, generator=torch.Generator().manual_seed(0))
    losses, gradients = loss(vectors, torch.ones(1, 3))
    longer, smaller = loss(10 * vectors, torch.ones(1, 3))
    np.testing.assert_allclose(longer, losses, rtol=1e-5)
    np.testing.assert_allclose(10 * smaller, gradients, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose((gradients * vectors).sum(dim=2), np.zeros((1, 3)), atol=1e-4)


def test_a_lone_candidate_teaches_nothing(vector_world: VectorWorld) -> None:
    loss = ListwiseLoss.build(vector_world.labelled({"d001": 1.0}), [[]], vector_world.index, AS_THEY_ARE, 0.2, "cpu")
    losses, gradients = loss(torch.ones(1, 1, M), torch.ones(1, 1))
    np.testing.assert_allclose(losses, [[0]], atol=1e-6)
    np.testing.assert_allclose(gradients, np.zeros((1, 1, M)), atol=1e-6)
