import numpy as np
import torch

from era.adaptation import (
    CandidateSet,
)
from tests.era.conftest import VectorWorld


def test_candidate_set_spreads_the_target_over_all_relevant_documents(vector_world: VectorWorld) -> None:
    labelled = vector_world.labelled({"d001": 3.0, "d002": 1.0, "d003": 0.0}, {"d004": 0.5})
    targets = CandidateSet.build(labelled, [["d010"], ["d011", "d012", "d013", "d014"]], vector_world.index, "cpu")
    assert targets.targets.tolist() == [[0.75, 0.25, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert targets.is_absent.tolist() == [[False] * 4 + [True], [False] * 5]
    first = vector_world.index.vectors(["d001", "d002", "d003", "d010"])
    np.testing.assert_array_equal(targets.vectors[0, :4], first)
    second = vector_world.index.vectors(["d004", "d011", "d012", "d013", "d014"])
    np.testing.assert_array_equal(targets.vectors[1], second)


def test_candidate_set_losses_and_gradients_equal_those_of_torch(vector_world: VectorWorld) -> None:
    labelled = vector_world.labelled({"d001": 3.0, "d002": 1.0, "d003": 0.0}, {"d004": 0.5}, {"d005": 1.0, "d006": 1.0})
    mined = [["d010"], ["d011", "d012", "d013", "d014"], ["d015", "d016", "d017"]]
    targets = CandidateSet.build(labelled, mined, vector_world.index, "cpu")
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 3, 5, generator=generator)  # four points of three queries
    weights = torch.rand(4, 3, generator=generator)
    losses, gradients = targets.losses(vectors, 0.2, weights)

    contents = [
        (["d001", "d002", "d003", "d010"], [0.75, 0.25, 0, 0]),
        (["d004", "d011", "d012", "d013", "d014"], [1.0, 0, 0, 0, 0]),
        (["d005", "d006", "d015", "d016", "d017"], [0.5, 0.5, 0, 0, 0]),
    ]
    variables = vectors.clone().requires_grad_()
    total = torch.zeros(())
    for query, (doc_ids, target) in enumerate(contents):
        documents = torch.from_numpy(vector_world.index.vectors(doc_ids))
        logits = torch.nn.functional.normalize(variables[:, query], dim=1) @ documents.T / 0.2
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor([target] * 4), reduction="none")
        np.testing.assert_allclose(losses[:, query], expected.detach(), rtol=1e-4, atol=1e-5)
        total = total + (weights[:, query] * expected).sum()
    torch.autograd.backward(total)
    assert variables.grad is not None
    np.testing.assert_allclose(gradients, variables.grad, rtol=1e-3, atol=1e-4)
