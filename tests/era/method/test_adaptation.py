import functools
import itertools

import numpy as np
import pytest
import torch
from scipy import optimize

from era.adapter import light_only
from era.encoders.base import EncodedQueries, Vectors
from era.method import fitting
from era.method.adaptation import AdaptationConfig, adapt
from era.method.alignment import align_by_decoding
from era.method.candidates import MiningConfig
from era.method.lbfgs import minimise
from era.method.paper import EncodingConfig, align_by_encoding
from era.progress import Progress
from tests.era.score_variance import Matrix, changeable, second_moments, share_moved, weight_change
from tests.era.stopping import assert_stops
from tests.worlds.vectors import (
    DIMENSION,
    N_DOCUMENTS,
    ShiftedWorld,
    bytes_of,
    index_of,
    labelled_queries,
    random_unit_rows,
    texts_of,
)

DOC_IDS = [f"d{row:03}" for row in range(N_DOCUMENTS)]  # the corpus is small: every document is a candidate


@pytest.mark.parametrize(
    "values",
    [{"temperature": 0.0}, {"ridge": -0.1}, {"strengths": ()}, {"strengths": (1.0, 0.0)}],
)
def test_adaptation_config_refuses_values_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        AdaptationConfig(**values)  # type: ignore[arg-type]


def standard_deviation_of_scores(vectors: Vectors, s_g: Matrix) -> float:
    """Return the mean over the queries of the root of `q^T S_g q`."""
    return float(np.mean([(vector @ s_g @ vector) ** 0.5 for vector in vectors.astype(np.float64)]))


@pytest.mark.parametrize("is_patient", [True, False])
def test_adapt_finds_the_minimum_of_the_documented_objective(
    shifted: ShiftedWorld, is_patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_patient:
        monkeypatch.setattr(fitting, "minimise", functools.partial(minimise, tolerance=0.0))
    n, strength = 12, 36.0
    judgments = shifted.judgments(n)
    labelled = shifted.labelled(judgments)
    aligned, texts = shifted.aligned, shifted.texts
    config = AdaptationConfig(temperature=0.5, strengths=(strength,), n_iterations=500 if is_patient else 60)
    adaptation = adapt(aligned, labelled, texts, shifted.index, "cpu", 0, config)
    assert adaptation.strength == strength

    s_x, s_g, centre = second_moments(aligned, texts, 0.1)
    blended = adaptation.blend.apply(aligned)
    start = torch.from_numpy((blended.features(labelled.encoded) @ blended.weight + blended.bias).astype(np.float64))
    features = np.hstack([np.roll(shifted.wanted[:n], 1, axis=1), np.full((n, DIMENSION), 0.5)]) - centre
    temperature = 0.5 * standard_deviation_of_scores(aligned.transform(labelled.encoded), s_g)
    documents = torch.from_numpy(shifted.index.vectors(DOC_IDS).astype(np.float64))
    targets = torch.tensor([[judgments[f"q{i}"].get(doc_id, 0.0) / 3 for doc_id in DOC_IDS] for i in range(n)])
    moments_x, moments_g, x = torch.from_numpy(s_x), torch.from_numpy(s_g), torch.from_numpy(features)
    w = torch.from_numpy(changeable(aligned.weight.astype(np.float64), aligned))
    norm = torch.trace(w.T @ moments_x @ w @ moments_g)

    def objective(flat: Matrix) -> tuple[float, Matrix]:
        change = torch.from_numpy(flat.reshape(w.shape)).requires_grad_()
        logits = torch.nn.functional.normalize(start + x @ change, dim=1) @ documents.T / temperature
        loss = torch.nn.functional.cross_entropy(logits, targets.double())
        share = torch.trace(change.T @ moments_x @ change @ moments_g) / norm
        value = loss + strength / n * share
        torch.autograd.backward(value)
        assert change.grad is not None
        return value.item(), change.grad.numpy().ravel()

    solution = optimize.minimize(objective, np.zeros(w.numel()), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    found = changeable(weight_change(adaptation.adapter, blended), aligned)
    at_start = objective(np.zeros(w.numel()))[0]
    assert np.abs(solution.x).max() > 0.5
    excess = (objective(found.ravel())[0] - solution.fun) / (at_start - solution.fun)
    assert excess < (1e-4 if is_patient else 0.03)
    if is_patient:
        np.testing.assert_allclose(found, solution.x.reshape(found.shape), atol=0.05)
    np.testing.assert_allclose(adaptation.adapter.bias, aligned.bias - centre @ found, atol=1e-4)


def test_adapt_reports_the_share_of_score_variance_moved(shifted: ShiftedWorld) -> None:
    config = AdaptationConfig(strengths=(100.0, 10.0))
    adaptation = adapt(
        shifted.aligned, shifted.labelled(shifted.judgments(12)), shifted.texts, shifted.index, "cpu", 0, config
    )
    change = weight_change(adaptation.adapter, adaptation.blend.apply(shifted.aligned))
    assert adaptation.share_moved > 0.01
    assert adaptation.share_moved == pytest.approx(share_moved(change, shifted.aligned, shifted.texts), rel=1e-3)


def test_adapt_moves_less_when_the_penalty_is_stronger(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(12))
    shares = []
    for strength in (12.0, 120.0, 1200.0, 12000.0):
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
    config = AdaptationConfig(strengths=(200.0, 20.0))
    adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
    assert adaptation.strength is not None
    assert adaptation.is_changed
    assert adaptation.held_out_losses.mean(axis=1).min() < 0.75 * adaptation.start_losses.mean()
    n_better, n_worse = int((adaptation.gains > 1e-9).sum()), int((adaptation.gains < -1e-9).sum())
    assert n_better > 10 > n_worse
    assert adaptation.gate_gain > 0
    assert adaptation.reason.startswith("What was learned is kept: ")
    assert not any(character.isdigit() for character in adaptation.reason)  # other counts stand beside it
    before = mean_reciprocal_rank(shifted, shifted.aligned.transform(labelled.encoded))
    assert mean_reciprocal_rank(shifted, adaptation.held_out_vectors) > before + 0.3
    new = shifted.labelled(shifted.judgments(30)).subset(range(15, 30)).encoded
    before = mean_reciprocal_rank(shifted, shifted.aligned.transform(new), first=15)
    assert mean_reciprocal_rank(shifted, adaptation.adapter.transform(new), first=15) > before + 0.3


def test_adapt_start_losses_are_the_cross_entropy_of_the_blended_adapter(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(12)
    labelled = shifted.labelled(judgments)
    adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0)
    _, s_g, _ = second_moments(shifted.aligned, shifted.texts, 0.1)
    temperature = standard_deviation_of_scores(shifted.aligned.transform(labelled.encoded), s_g)
    vectors = adaptation.blend.apply(shifted.aligned).transform(labelled.encoded).astype(np.float64)
    scores = vectors @ shifted.index.vectors(DOC_IDS).T / temperature
    for i in range(12):
        log_probabilities = scores[i] - np.log(np.exp(scores[i]).sum())
        expected = -sum(
            grade / 3 * log_probabilities[DOC_IDS.index(doc_id)] for doc_id, grade in judgments[f"q{i}"].items()
        )
        assert adaptation.start_losses[i] == pytest.approx(expected, rel=1e-4)


def test_adapt_weighs_the_halves_when_one_of_them_is_noise() -> None:
    """The strong embedder speaks of anything but the query; the light one names the wanted document."""
    vectors = random_unit_rows(80, 6, seed=0)
    index = index_of(vectors)
    texts = texts_of(index, vectors)
    aligned = align_by_decoding(texts)
    n = 20
    astray = random_unit_rows(n, 6, seed=2)
    encoded = EncodedQueries(astray, astray, vectors[:n])
    labelled = labelled_queries(encoded, {f"q{i}": {f"d{i:03}": 1.0} for i in range(n)}, index)
    adaptation = adapt(aligned, labelled, texts, index, "cpu", 0, AdaptationConfig(strengths=(1e9,)))
    assert adaptation.blend.factors["light"] == 2.0
    assert adaptation.is_changed
    np.testing.assert_allclose(adaptation.adapter.weight[:6], aligned.weight[:6], atol=1e-3)
    for view, factor in adaptation.blend.factors.items():
        rows = aligned.rows(view)
        np.testing.assert_allclose(adaptation.adapter.weight[rows], factor * aligned.weight[rows], atol=1e-3)
    assert adaptation.gains.mean() > 0.05


def test_adapt_trains_the_deployed_adapter_on_every_query(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(6)
    config = AdaptationConfig(strengths=(6.0,))
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
    assert not adaptation.is_changed
    assert "the aligned ranking stays as it was" in adaptation.reason
    np.testing.assert_allclose(adaptation.held_out_vectors, asked, atol=1e-6)


def test_adapt_promises_nothing_when_labels_are_shuffled(shifted: ShiftedWorld) -> None:
    """What noise teaches may be deployed now and then; the gains that are reported with it must not call it good."""
    n = 20
    true = shifted.judgments(n)
    gains, shares = [], []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(n)
        shuffled = {f"q{i}": true[f"q{order[i]}"] for i in range(n)}
        adaptation = adapt(shifted.aligned, shifted.labelled(shuffled), shifted.texts, shifted.index, "cpu", seed)
        gains.append(adaptation.gains.mean())
        shares.append(adaptation.share_moved)
    learned = adapt(shifted.aligned, shifted.labelled(true), shifted.texts, shifted.index, "cpu", 0)
    assert np.mean(gains) < 0.02 < 0.1 < learned.gains.mean()
    assert np.mean(shares) < 0.2 * learned.share_moved


def test_adapt_keeps_the_aligned_adapter_when_there_is_one_query(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(1))
    adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0)
    assert bytes_of(adaptation.adapter) == bytes_of(shifted.aligned)
    assert adaptation.strength is None
    assert not adaptation.is_changed
    assert adaptation.gains.tolist() == [0]
    assert adaptation.held_out_losses.shape == (4, 0)
    assert "Mark relevant documents for two more queries" in adaptation.reason
    np.testing.assert_allclose(adaptation.held_out_vectors, shifted.aligned.transform(labelled.encoded), atol=1e-6)


def test_adapt_takes_the_same_query_several_times(shifted: ShiftedWorld) -> None:
    once = shifted.labelled(shifted.judgments(6))
    repeated = once.subset([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5])
    first, second = (  # twice the queries outweigh twice the strength
        adapt(
            shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, AdaptationConfig(strengths=(strength,))
        )
        for labelled, strength in ((once, 30.0), (repeated, 60.0))
    )
    assert first.blend == second.blend
    # the objective is the same function, so its minimum is; the change is small against the weights' size of about 1
    np.testing.assert_allclose(second.adapter.weight, first.adapter.weight, atol=0.05)
    assert np.abs(weight_change(first.adapter, shifted.aligned)).max() > 0.3
    assert second.share_moved == pytest.approx(first.share_moved, rel=0.02)


def test_adapt_depends_on_ratios_of_grades_only(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(6)
    equal = {query_id: dict.fromkeys(grades, 1.0) for query_id, grades in judgments.items()}
    tenfold = {query_id: dict.fromkeys(grades, 10.0) for query_id, grades in judgments.items()}
    config = AdaptationConfig(strengths=(6.0,))
    adapters = [
        adapt(shifted.aligned, shifted.labelled(labels), shifted.texts, shifted.index, "cpu", 0, config).adapter
        for labels in (judgments, equal, tenfold)
    ]
    assert bytes_of(adapters[1]) == bytes_of(adapters[2])
    assert np.abs(weight_change(adapters[0], adapters[1])).max() > 0.01


@pytest.mark.parametrize(("n_random", "margin"), [(0, 0.1), (8, 0.02)])
def test_adapt_lowers_documents_judged_not_relevant(shifted: ShiftedWorld, n_random: int, margin: float) -> None:
    n = 10
    judgments = {f"q{i}": {shifted.nearest(i)[0]: 1.0} for i in range(n)}
    unmarked = shifted.labelled(judgments)
    before = shifted.index.search(shifted.aligned.transform(unmarked.encoded), 3)
    unwanted = [next(doc.doc_id for doc in before[i] if doc.doc_id not in unmarked.relevant[i]) for i in range(n)]
    marked = shifted.labelled({f"q{i}": {**judgments[f"q{i}"], unwanted[i]: 0.0} for i in range(n)})
    mining = MiningConfig(n_top=0, n_random=n_random)  # what is mined would be contrasted with anyway
    config = AdaptationConfig(strengths=(30.0,), mining=mining)
    scores = []
    for labelled in (unmarked, marked):
        adaptation = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
        assert (adaptation.strength is not None) == (labelled is marked or n_random > 0)  # one alone teaches nothing
        vectors = adaptation.adapter.transform(labelled.encoded)
        scores.append((vectors * shifted.index.vectors(unwanted)).sum(axis=1))
    assert scores[1].mean() < scores[0].mean() - margin


@pytest.mark.parametrize("strength", [20.0, 200.0])
def test_adapt_pulls_a_document_of_a_higher_grade_more(shifted: ShiftedWorld, strength: float) -> None:
    n = 10
    near = [shifted.nearest(i) for i in range(n)]
    config = AdaptationConfig(strengths=(strength,), minimum_gain=-1.0)
    leads = []
    for first, second in ((3.0, 1.0), (2.0, 2.0), (1.0, 3.0)):
        labelled = shifted.labelled({f"q{i}": {near[i][0]: first, near[i][9]: second} for i in range(n)})
        adapter = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config).adapter
        scores = [
            shifted.index.vectors([near[i][0], near[i][9]]) @ vector
            for i, vector in enumerate(adapter.transform(labelled.encoded))
        ]
        leads.append(np.mean([high - low for high, low in scores]))
    assert leads[0] > leads[1] + 0.01
    assert leads[1] > leads[2] + 0.01


def test_adapt_works_on_an_encoder_of_the_published_kind(shifted: ShiftedWorld) -> None:
    aligned = align_by_encoding(shifted.texts, "cpu", 0, EncodingConfig(n_epochs=5))
    config = AdaptationConfig(strengths=(12.0, 1.2))
    labelled = shifted.labelled(shifted.judgments(12))
    adaptation = adapt(aligned, labelled, shifted.texts, shifted.index, "cpu", 0, config)
    assert adaptation.strength is not None
    assert adaptation.adapter.views == ("instructed",)
    assert adaptation.held_out_losses.mean(axis=1).min() < 0.75 * adaptation.start_losses.mean()


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


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_adapt_stops_at_the_call_at_which_the_report_raises(shifted: ShiftedWorld, share: float) -> None:
    def run(progress: Progress) -> None:
        adapt(
            shifted.aligned, shifted.labelled(shifted.judgments(3)), shifted.texts, shifted.index, "cpu", 0,
            progress=progress,
        )  # fmt: skip

    assert_stops(run, share)
