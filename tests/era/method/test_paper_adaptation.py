import math

import numpy as np
import pytest
import torch

from era.adapter import QueryAdapter
from era.encoders.base import EncodedQueries
from era.errors import Cancelled
from era.index.dense import DenseIndex
from era.method import paper
from era.method.candidates import LabelledQueries
from era.method.paper import ContrastiveConfig, info_nce, train_contrastive
from tests.worlds.vectors import index_of, labelled_queries, random_unit_rows

P, M = 5, 4
N_DOCUMENTS = 6  # one relevant document and all five others as negatives, whatever is drawn


@pytest.fixture
def index() -> DenseIndex:
    return index_of(random_unit_rows(N_DOCUMENTS, M, seed=0))


@pytest.fixture
def start() -> QueryAdapter:
    weight = np.random.default_rng(1).normal(size=(P, M)).astype(np.float32)
    return QueryAdapter(("instructed",), weight, np.array([0.1, -0.2, 0.3, 0.0], np.float32))


def queries_wanting(index: DenseIndex, wanted: list[int], seed: int = 2) -> LabelledQueries:
    """Return as many queries as `wanted` has entries; query i wants document `wanted[i]`."""
    strong = random_unit_rows(len(wanted), P, seed)
    encoded = EncodedQueries(strong, random_unit_rows(len(wanted), P, seed + 1), random_unit_rows(len(wanted), M, 9))
    return labelled_queries(encoded, {f"q{i}": {f"d{row:03}": 1.0} for i, row in enumerate(wanted)}, index)


def learnable(index: DenseIndex, n: int) -> LabelledQueries:
    """Return queries that want the document nearest to a fixed linear map of them."""
    labelled = queries_wanting(index, [0] * n)
    relation = np.random.default_rng(5).normal(size=(P, M))
    scores = labelled.encoded.instructed @ relation @ index.vectors([f"d{row:03}" for row in range(N_DOCUMENTS)]).T
    return queries_wanting(index, scores.argmax(axis=1).tolist())


def test_info_nce_equals_a_calculation_by_hand() -> None:
    # cosines of (3, 4): with (1, 0) 0.6, with (0, 1) 0.8; of (0, -2): 0 and -1, and 1 with (0, -1)
    documents = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]])
    is_absent = torch.tensor([[False, False, True], [False, False, False]])
    loss = info_nce(torch.tensor([[3.0, 4.0], [0.0, -2.0]]), documents, is_absent, temperature=0.5)
    first = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(1.6)))
    second = -math.log(1 / (1 + math.exp(-2) + math.exp(2)))
    assert float(loss) == pytest.approx((first + second) / 2, abs=1e-5)


def test_info_nce_is_zero_when_there_is_nothing_to_contrast() -> None:
    documents = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    loss = info_nce(torch.tensor([[0.3, 0.4]]), documents, torch.tensor([[False, True]]), temperature=0.05)
    assert float(loss) == 0


def learning_rates(peak: float, n_steps: int, n_warm_up: int) -> list[float]:
    """Return the rate of each step: up in equal parts to the peak, then down a straight line that ends at 0."""
    warm_up = [peak * (step + 1) / n_warm_up for step in range(n_warm_up)]
    decay = [peak * (n_steps - step) / (n_steps - n_warm_up) for step in range(n_warm_up, n_steps)]
    return warm_up + decay


def trained_by_hand(
    start: QueryAdapter, labelled: LabelledQueries, index: DenseIndex, config: ContrastiveConfig
) -> tuple[torch.nn.Linear, int]:
    """Train a linear layer on all but the last tenth; return its best state and the epochs it took. One batch only."""
    layer = torch.nn.Linear(P, M)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start.weight.T.copy()))
        layer.bias.copy_(torch.from_numpy(start.bias))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1.0, weight_decay=config.weight_decay)
    doc_ids = [f"d{row:03}" for row in range(N_DOCUMENTS)]
    documents = torch.from_numpy(index.vectors(doc_ids))
    wanted = torch.tensor([doc_ids.index(next(iter(relevant))) for relevant in labelled.relevant])
    features = torch.from_numpy(labelled.encoded.instructed)
    n_training = len(labelled) - len(labelled) // 10

    def loss_of(rows: slice) -> torch.Tensor:
        cosines = torch.nn.functional.cosine_similarity(layer(features[rows])[:, None], documents[None], dim=2)
        return torch.nn.functional.cross_entropy(cosines / config.temperature, wanted[rows])

    rates = learning_rates(config.learning_rate, config.n_epochs, round(0.1 * config.n_epochs))
    best_loss, best, waited, n_epochs = math.inf, layer.state_dict(), 0, 0
    for rate in rates:
        n_epochs += 1
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(slice(0, n_training)))
        optimizer.step()
        with torch.no_grad():
            validation_loss = float(loss_of(slice(n_training, None)))
        if validation_loss < best_loss:
            best_loss, waited = validation_loss, 0
            best = {name: value.clone() for name, value in layer.state_dict().items()}
        else:
            waited += 1
            if waited == 5:
                break
    layer.load_state_dict(best)
    return layer, n_epochs


def assert_same_weights(adapter: QueryAdapter, layer: torch.nn.Linear) -> None:
    np.testing.assert_allclose(adapter.weight, layer.weight.detach().numpy().T, atol=2e-5)
    np.testing.assert_allclose(adapter.bias, layer.bias.detach().numpy(), atol=2e-5)


def test_train_contrastive_equals_a_linear_layer_trained_by_hand(start: QueryAdapter, index: DenseIndex) -> None:
    labelled = learnable(index, 40)
    config = ContrastiveConfig(learning_rate=1e-2, n_epochs=20)
    trained = train_contrastive(start, start, labelled, index, "cpu", 0, config)
    layer, n_epochs = trained_by_hand(start, labelled, index, config)
    assert n_epochs == 20  # it was never stopped early: the whole schedule is compared
    assert np.abs(trained.weight - start.weight).max() > 0.05
    assert_same_weights(trained, layer)


def test_train_contrastive_stops_early_and_keeps_the_best_weights(
    start: QueryAdapter, index: DenseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = learnable(index, 40)
    wanted = [int(next(iter(relevant))[1:]) for relevant in labelled.relevant]
    labelled = queries_wanting(index, wanted[:36] + [(row + 1) % N_DOCUMENTS for row in wanted[36:]])
    config = ContrastiveConfig(learning_rate=3e-2, n_epochs=100)
    batch_sizes: list[int] = []

    def counted(vectors: torch.Tensor, documents: torch.Tensor, absent: torch.Tensor, heat: float) -> torch.Tensor:
        batch_sizes.append(len(vectors))
        return info_nce(vectors, documents, absent, heat)

    monkeypatch.setattr(paper, "info_nce", counted)
    trained = train_contrastive(start, start, labelled, index, "cpu", 0, config)
    layer, n_epochs = trained_by_hand(start, labelled, index, config)
    assert 6 < n_epochs < 100
    assert batch_sizes == [36, 4] * n_epochs  # training, validation
    assert_same_weights(trained, layer)


def test_train_contrastive_learns_nothing_from_the_last_tenth_but_when_to_stop(
    start: QueryAdapter, index: DenseIndex
) -> None:
    config = ContrastiveConfig(learning_rate=1e-2, n_epochs=1)
    labelled = learnable(index, 20)
    wanted = [int(next(iter(relevant))[1:]) for relevant in labelled.relevant]
    rest = queries_wanting(index, wanted[:18] + [(row + 1) % N_DOCUMENTS for row in wanted[18:]])
    other = queries_wanting(index, [*wanted[:17], (wanted[17] + 1) % N_DOCUMENTS, *wanted[18:]])
    first, second, third = (
        train_contrastive(start, start, part, index, "cpu", 0, config) for part in (labelled, rest, other)
    )
    np.testing.assert_allclose(first.weight, second.weight, atol=1e-6)
    assert np.abs(first.weight - third.weight).max() > 1e-4


def test_train_contrastive_learns_what_two_queries_want(start: QueryAdapter, index: DenseIndex) -> None:
    labelled = queries_wanting(index, [2, 4])  # the first is for training, the second for validation
    config = ContrastiveConfig(learning_rate=1e-2, n_epochs=1)
    trained = train_contrastive(start, start, labelled, index, "cpu", 0, config)
    document = index.vectors(["d002"])[0]
    before, after = (adapter.transform(labelled.encoded)[0] @ document for adapter in (start, trained))
    assert after > before


def test_train_contrastive_validates_a_single_query_on_itself(start: QueryAdapter, index: DenseIndex) -> None:
    labelled = queries_wanting(index, [2])
    config = ContrastiveConfig(learning_rate=1e-2, n_epochs=60)
    trained = train_contrastive(start, start, labelled, index, "cpu", 0, config)
    assert index.search(trained.transform(labelled.encoded), 1)[0][0].doc_id == "d002"


def test_train_contrastive_takes_a_corpus_of_two_documents(start: QueryAdapter) -> None:
    index = index_of(random_unit_rows(2, M, seed=0))
    labelled = queries_wanting(index, [0, 1, 0])
    trained = train_contrastive(start, start, labelled, index, "cpu", 0, ContrastiveConfig(n_epochs=3))
    assert np.isfinite(trained.weight).all()
    assert trained.weight.tobytes() != start.weight.tobytes()


def test_train_contrastive_takes_queries_with_different_numbers_of_negatives(
    start: QueryAdapter, index: DenseIndex
) -> None:
    vectors = EncodedQueries(random_unit_rows(2, P, 2), random_unit_rows(2, P, 3), random_unit_rows(2, M, 4))
    everything = {f"d{row:03}": float(row == 0) for row in range(N_DOCUMENTS)}
    labelled = labelled_queries(vectors, {"q0": everything, "q1": {"d001": 1.0}}, index)
    trained = train_contrastive(start, start, labelled, index, "cpu", 0, ContrastiveConfig(n_epochs=2))
    # the only training query has nothing to be contrasted with: no gradient, only the decay of the weights
    np.testing.assert_allclose(trained.weight, start.weight, rtol=1e-6)


def test_train_contrastive_gives_the_same_bytes_for_the_same_seed(start: QueryAdapter, index: DenseIndex) -> None:
    labelled = learnable(index, 20)
    config = ContrastiveConfig(learning_rate=1e-2, n_epochs=5, batch_size=4)
    first, again, other = (train_contrastive(start, start, labelled, index, "cpu", seed, config) for seed in (0, 0, 1))
    assert first.weight.tobytes() == again.weight.tobytes()
    assert first.bias.tobytes() == again.bias.tobytes()
    assert first.weight.tobytes() != other.weight.tobytes()


def test_train_contrastive_stops_when_the_report_raises(start: QueryAdapter, index: DenseIndex) -> None:
    def stop(stage: str, fraction: float, detail: str = "") -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        train_contrastive(start, start, learnable(index, 5), index, "cpu", 0, progress=stop)


def test_contrastive_defaults_are_the_published_ones() -> None:
    config = ContrastiveConfig()
    assert (config.learning_rate, config.weight_decay, config.batch_size) == (1e-5, 1e-4, 256)
    assert (config.n_epochs, config.temperature, config.patience) == (1000, 0.05, 5)
