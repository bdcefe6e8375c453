import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from era.adaptation import (
    AdaptationConfig,
    adapt,
)
from era.adapter import light_only
from era.alignment import align_by_decoding
from era.candidates import MiningConfig
from era.embedders import EncodedQueries, Vectors
from era.encoding_alignment import EncodingConfig, align_by_encoding
from era.errors import Cancelled
from tests.era.score_variance import Matrix, second_moments, share_moved, weight_change
from tests.era.shifted_world import DIMENSION, N_DOCUMENTS, ShiftedWorld, bytes_of, shifted_world
from tests.fakes import index_of, labelled_queries, random_unit_rows, texts_of


@pytest.fixture(scope="module")
def shifted() -> ShiftedWorld:
    return shifted_world()


@pytest.mark.parametrize(
    "values", [{"temperature": 0.0}, {"ridge": -0.1}, {"strengths": ()}, {"strengths": (1.0, 0.0)}]
)
def test_adaptation_config_refuses_values_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        AdaptationConfig(**values)  # type: ignore[arg-type]


def test_adapt_finds_the_minimum_of_the_documented_objective(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(12)
    config = AdaptationConfig(strengths=(3.0,))
    aligned, texts = shifted.aligned, shifted.texts
    adaptation = adapt(aligned, shifted.labelled(judgments), texts, shifted.index, "cpu", 0, config)
    assert adaptation.strength == 3.0

    s_x, s_g, centre = (torch.from_numpy(array) for array in second_moments(aligned, texts, 0.1))
    start = torch.from_numpy(aligned.weight.astype(np.float64))
    bias = torch.from_numpy(aligned.bias.astype(np.float64))
    norm = torch.trace(start.T @ s_x @ start @ s_g)
    features = torch.from_numpy(np.hstack([np.roll(shifted.wanted[:12], 1, axis=1), np.full((12, DIMENSION), 0.5)]))
    doc_ids = [f"d{row:03}" for row in range(N_DOCUMENTS)]  # the corpus is small: every document is a candidate
    documents = torch.from_numpy(shifted.index.vectors(doc_ids).astype(np.float64))
    targets = torch.tensor([[judgments[f"q{i}"].get(doc_id, 0.0) / 3 for doc_id in doc_ids] for i in range(12)])

    def objective(flat: Matrix) -> tuple[float, Matrix]:
        change = torch.from_numpy(flat.reshape(start.shape)).requires_grad_()
        vectors = features @ start + bias + (features - centre) @ change
        logits = torch.nn.functional.normalize(vectors, dim=1) @ documents.T / 0.1
        loss = torch.nn.functional.cross_entropy(logits, targets.double())
        value = loss + 3.0 * torch.trace(change.T @ s_x @ change @ s_g) / norm
        torch.autograd.backward(value)
        assert change.grad is not None
        return value.item(), change.grad.numpy().ravel()

    solution = minimize(objective, np.zeros(start.numel()), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    found = weight_change(adaptation.adapter, aligned)
    at_start = objective(np.zeros(start.numel()))[0]
    assert np.abs(solution.x).max() > 1
    assert objective(found.ravel())[0] - solution.fun < 0.001 * (at_start - solution.fun)
    np.testing.assert_allclose(found, solution.x.reshape(found.shape), atol=0.05)
    np.testing.assert_allclose(adaptation.adapter.bias, aligned.bias - centre.numpy() @ found, atol=1e-4)


def test_adapt_reports_the_share_of_score_variance_moved(shifted: ShiftedWorld) -> None:
    adaptation = adapt(shifted.aligned, shifted.labelled(shifted.judgments(12)), shifted.texts, shifted.index, "cpu", 0)
    expected = share_moved(weight_change(adaptation.adapter, shifted.aligned), shifted.aligned, shifted.texts)
    assert adaptation.share_moved > 0.01
    assert adaptation.share_moved == pytest.approx(expected, rel=1e-3)


def test_adapt_moves_less_when_the_penalty_is_stronger(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(12))
    shares = []
    for strength in (1.0, 10.0, 100.0, 1000.0):
        config = AdaptationConfig(strengths=(strength,))
        adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
        assert adaptation.strength == strength
        shares.append(adaptation.share_moved)
    assert all(weaker > 1.2 * stronger > 0 for weaker, stronger in itertools.pairwise(shares))


def mean_reciprocal_rank(shifted: ShiftedWorld, vectors: Vectors, first: int = 0) -> float:
    ranks = [
        [doc.doc_id for doc in ranking].index(shifted.nearest(first + i)[0]) + 1
        for i, ranking in enumerate(shifted.index.search(vectors, N_DOCUMENTS))
    ]
    return float(np.mean([1 / rank for rank in ranks]))


def test_adapt_helps_held_out_and_new_queries_when_the_signal_is_real(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(15))
    adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0)
    assert adaptation.strength is not None
    assert adaptation.held_out_losses.mean(axis=1).min() < 0.5 * adaptation.aligned_losses.mean()
    assert "held out in turn" in adaptation.reason
    before = mean_reciprocal_rank(shifted, shifted.aligned.transform(labelled.encoded))
    assert mean_reciprocal_rank(shifted, adaptation.held_out_vectors) > before + 0.3
    new = shifted.labelled(shifted.judgments(30)).subset(range(15, 30)).encoded
    before = mean_reciprocal_rank(shifted, shifted.aligned.transform(new), first=15)
    assert mean_reciprocal_rank(shifted, adaptation.adapter.transform(new), first=15) > before + 0.3


def test_adapt_held_out_vectors_have_length_1(shifted: ShiftedWorld) -> None:
    adaptation = adapt(shifted.aligned, shifted.labelled(shifted.judgments(7)), shifted.texts, shifted.index, "cpu", 0)
    np.testing.assert_allclose(np.linalg.norm(adaptation.held_out_vectors, axis=1), 1, atol=1e-5)


def test_adapt_aligned_losses_are_the_cross_entropy_of_the_aligned_adapter(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(3)
    labelled = shifted.labelled(judgments)
    adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0)
    doc_ids = [f"d{row:03}" for row in range(N_DOCUMENTS)]
    scores = shifted.aligned.transform(labelled.encoded).astype(np.float64) @ shifted.index.vectors(doc_ids).T / 0.1
    for i in range(3):
        log_probabilities = scores[i] - np.log(np.exp(scores[i]).sum())
        expected = -sum(
            grade / 3 * log_probabilities[doc_ids.index(doc_id)] for doc_id, grade in judgments[f"q{i}"].items()
        )
        assert adaptation.aligned_losses[i] == pytest.approx(expected, rel=1e-4)


LEAVE_ONE_OUT = AdaptationConfig(strengths=(100.0,), n_folds=8)


@pytest.mark.parametrize("place", [0, 3, 7])
def test_adapt_never_trains_on_the_query_that_it_holds_out(shifted: ShiftedWorld, place: int) -> None:
    judgments = shifted.judgments(8)
    changed = judgments | {f"q{place}": {shifted.nearest(place)[2]: 1.0, shifted.nearest(place)[3]: 1.0}}
    first, second = (
        adapt(shifted.aligned, shifted.labelled(labels), shifted.texts, shifted.index, "cpu", 0, LEAVE_ONE_OUT)
        for labels in (judgments, changed)
    )
    aligned = shifted.aligned.transform(shifted.labelled(judgments).encoded)
    assert first.strength == second.strength == 100.0
    others = [i for i in range(8) if i != place]
    assert np.abs(first.held_out_vectors[place] - aligned[place]).max() > 0.1  # it is an adapted one
    np.testing.assert_allclose(first.held_out_vectors[place], second.held_out_vectors[place], atol=1e-3)
    assert np.abs(first.held_out_vectors[others] - second.held_out_vectors[others]).max() > 0.02


@pytest.mark.parametrize("n", [2, 3, 6])
def test_adapt_held_out_vector_owes_nothing_to_the_labels_of_its_own_query(shifted: ShiftedWorld, n: int) -> None:
    """Neither what is learned for a fold nor whether and how strongly it is used may depend on that fold's labels."""
    config = AdaptationConfig(strengths=(1000.0, 100.0))  # weak ones leave flat minima, where rounding shows
    found = []
    for row in range(4):
        labelled = shifted.labelled(shifted.judgments(n) | {"q0": {f"d{row:03}": 1.0}})
        adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
        found.append(adaptation.held_out_vectors[0])
    np.testing.assert_allclose(found, [found[0]] * 4, atol=1e-3)


def test_adapt_ranks_held_out_queries_without_labels_when_there_are_two(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(2))  # no third query could tell whether the other one's labels help
    adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0)
    np.testing.assert_allclose(adaptation.held_out_vectors, shifted.aligned.transform(labelled.encoded), atol=1e-5)


def test_adapt_trains_the_deployed_adapter_on_every_query(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(6)
    config = AdaptationConfig(strengths=(1.0,))
    first = adapt(shifted.aligned, shifted.labelled(judgments), shifted.texts, shifted.index, "cpu", 0, config)
    for place in (0, 5):
        changed = judgments | {f"q{place}": {shifted.nearest(place)[3]: 1.0}}
        second = adapt(shifted.aligned, shifted.labelled(changed), shifted.texts, shifted.index, "cpu", 0, config)
        assert np.abs(weight_change(first.adapter, second.adapter)).max() > 0.05


@pytest.mark.parametrize("n_texts", [1, 3])
def test_adapt_keeps_the_aligned_adapter_when_labels_contradict_each_other(n_texts: int) -> None:
    """Each text is asked twice; one time a document on its left is wanted, the other time one on its right."""
    directions = np.eye(6, dtype=np.float32)
    texts, sides = directions[:3], directions[3:]
    vectors = np.concatenate([0.9 * texts + 0.4 * sides, 0.9 * texts - 0.4 * sides])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = index_of(vectors)  # d000-d002 on the left, d003-d005 on the right
    aligned = light_only(6)
    asked = np.repeat(texts[:n_texts], 2, axis=0)
    judgments = {f"q{2 * i + side}": {f"d{i + 3 * side:03}": 1.0} for i in range(n_texts) for side in (0, 1)}
    labelled = labelled_queries(EncodedQueries(asked, asked, asked), judgments, index)
    config = AdaptationConfig(n_folds=len(judgments))
    adaptation = adapt(aligned, labelled, texts_of(index, vectors), index, "cpu", 0, config)
    assert adaptation.strength is None
    assert adaptation.share_moved == 0
    assert bytes_of(adaptation.adapter) == bytes_of(aligned)
    assert "the ranking stays as it was" in adaptation.reason
    np.testing.assert_allclose(adaptation.held_out_vectors, asked, atol=1e-6)


def test_adapt_keeps_the_aligned_adapter_when_labels_are_shuffled(shifted: ShiftedWorld) -> None:
    n = 20
    true = shifted.judgments(n)
    assert adapt(shifted.aligned, shifted.labelled(true), shifted.texts, shifted.index, "cpu", 0).strength is not None
    is_open = []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(n)
        shuffled = {f"q{i}": true[f"q{order[i]}"] for i in range(n)}
        adaptation = adapt(shifted.aligned, shifted.labelled(shuffled), shifted.texts, shifted.index, "cpu", seed)
        is_open.append(adaptation.strength is not None)
        assert is_open[-1] or bytes_of(adaptation.adapter) == bytes_of(shifted.aligned)
    assert sum(is_open) <= 2  # noise beats a margin of 1.5 standard errors now and then


def test_adapt_keeps_the_aligned_adapter_when_there_is_one_query(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(1))
    adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0)
    assert bytes_of(adaptation.adapter) == bytes_of(shifted.aligned)
    assert adaptation.strength is None
    assert adaptation.held_out_losses.shape == (5, 0)
    assert "Mark relevant documents for a second query" in adaptation.reason
    np.testing.assert_allclose(adaptation.held_out_vectors, shifted.aligned.transform(labelled.encoded), atol=1e-6)


def test_adapt_holds_out_each_of_two_queries(shifted: ShiftedWorld) -> None:
    adaptation = adapt(shifted.aligned, shifted.labelled(shifted.judgments(2)), shifted.texts, shifted.index, "cpu", 0)
    assert adaptation.held_out_losses.shape == (5, 2)
    assert adaptation.held_out_vectors.shape == (2, DIMENSION)
    assert np.isfinite(adaptation.held_out_losses).all()
    assert np.isfinite(adaptation.held_out_vectors).all()


def test_adapt_takes_the_same_query_several_times(shifted: ShiftedWorld) -> None:
    once = shifted.labelled(shifted.judgments(6))
    repeated = once.subset([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5])
    config = AdaptationConfig(strengths=(1.0,))
    first, second = (
        adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
        for labelled in (once, repeated)
    )
    # the mean loss is the same function, so its minimum is; the change is small against the weights' size of about 1
    np.testing.assert_allclose(second.adapter.weight, first.adapter.weight, atol=0.05)
    assert np.abs(weight_change(first.adapter, shifted.aligned)).max() > 0.3
    assert second.share_moved == pytest.approx(first.share_moved, rel=0.02)


def test_adapt_depends_on_ratios_of_grades_only(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(6)
    equal = {query_id: dict.fromkeys(grades, 1.0) for query_id, grades in judgments.items()}
    tenfold = {query_id: dict.fromkeys(grades, 10.0) for query_id, grades in judgments.items()}
    config = AdaptationConfig(strengths=(1.0,))
    adapters = [
        adapt(shifted.aligned, shifted.labelled(labels), shifted.texts, shifted.index, "cpu", 0, config).adapter
        for labels in (judgments, equal, tenfold)
    ]
    assert bytes_of(adapters[1]) == bytes_of(adapters[2])
    assert np.abs(weight_change(adapters[0], adapters[1])).max() > 0.01


def test_adapt_lowers_documents_judged_not_relevant(shifted: ShiftedWorld) -> None:
    n = 10
    judgments = {f"q{i}": {shifted.nearest(i)[0]: 1.0} for i in range(n)}
    labelled = shifted.labelled(judgments)
    before = shifted.index.search(shifted.aligned.transform(labelled.encoded), 3)
    unwanted = [next(doc.doc_id for doc in before[i] if doc.doc_id not in labelled.relevant[i]) for i in range(n)]
    marked = shifted.labelled({f"q{i}": {**judgments[f"q{i}"], unwanted[i]: 0.0} for i in range(n)})
    config = AdaptationConfig(mining=MiningConfig(n_top=0, n_random=0))  # nothing but what was judged
    adaptation = adapt(shifted.aligned, marked, shifted.texts, shifted.index, "cpu", 0, config)
    assert adaptation.strength is not None
    documents = shifted.index.vectors(unwanted)
    old = (shifted.aligned.transform(marked.encoded) * documents).sum(axis=1)
    new = (adaptation.adapter.transform(marked.encoded) * documents).sum(axis=1)
    assert (new < old - 0.05).all()
    unmarked = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
    assert unmarked.strength is None  # a relevant document alone leaves nothing to tell apart


def test_adapt_works_on_an_encoder_of_the_published_kind(shifted: ShiftedWorld) -> None:
    aligned = align_by_encoding(shifted.texts, "cpu", 0, EncodingConfig(n_epochs=20))
    config = AdaptationConfig(strengths=(10.0, 1.0))
    labelled = shifted.labelled(shifted.judgments(12))
    adaptation = adapt(aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
    assert adaptation.strength is not None
    assert adaptation.adapter.views == ("instructed",)
    assert adaptation.held_out_losses.mean(axis=1).min() < 0.5 * adaptation.aligned_losses.mean()


def test_adapt_reports_progress_up_to_the_end(shifted: ShiftedWorld) -> None:
    reported: list[tuple[str, float]] = []
    adapt(
        shifted.aligned, shifted.labelled(shifted.judgments(3)), shifted.texts, shifted.index, "cpu", 0,
        progress=lambda stage, fraction, detail="": reported.append((stage, fraction)),
    )  # fmt: skip
    fractions = [fraction for _, fraction in reported]
    assert {stage for stage, _ in reported} == {"adaptation"}
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert len(fractions) > 3


def test_adapt_stops_when_the_report_raises(shifted: ShiftedWorld) -> None:
    def stop(stage: str, fraction: float, detail: str = "") -> None:
        if fraction > 0:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        adapt(
            shifted.aligned, shifted.labelled(shifted.judgments(3)), shifted.texts, shifted.index, "cpu", 0,
            progress=stop,
        )  # fmt: skip


def digest_of_an_adaptation() -> str:
    """Return the SHA-256 of everything learned in a small world; also run by a process of its own."""
    index = index_of(random_unit_rows(40, 5, seed=1))
    texts = texts_of(index, random_unit_rows(40, 8, seed=2))
    encoded = EncodedQueries(*(random_unit_rows(9, size, seed) for seed, size in ((3, 8), (4, 8), (5, 5))))
    judgments = {f"q{i}": {f"d{3 * i:03}": 1.0, f"d{3 * i + 1:03}": 0.0} for i in range(9)}
    aligned = align_by_decoding(texts)
    config = AdaptationConfig(mining=MiningConfig(n_top=5, n_random=5))
    found = adapt(aligned, labelled_queries(encoded, judgments, index), texts, index, "cpu", 7, config)
    arrays = (found.adapter.weight, found.adapter.bias, found.held_out_vectors, found.held_out_losses)
    assert bytes_of(found.adapter) != bytes_of(aligned)
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def test_adapt_gives_the_same_bytes_for_the_same_seed() -> None:
    first = digest_of_an_adaptation()
    torch.manual_seed(1)
    np.random.seed(1)
    assert digest_of_an_adaptation() == first


def test_adapt_gives_the_same_bytes_in_another_process() -> None:
    program = (
        f"import torch; torch.set_num_threads({torch.get_num_threads()});"
        "from tests.era.test_adaptation import digest_of_an_adaptation; print(digest_of_an_adaptation())"
    )
    root = Path(__file__).parents[2]
    finished = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == digest_of_an_adaptation()
