"""The ranking by which a labelled query is measured owes nothing to its own labels, and can be repeated."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from era.encoders.base import EncodedQueries, Vectors
from era.method.adaptation import Adaptation, AdaptationConfig, adapt
from era.method.alignment import align_by_decoding
from era.method.candidates import LabelledQueries, MiningConfig
from era.method.folds import assign_folds
from era.method.label_measure import LabelMeasure
from era.types import Query
from tests.worlds.vectors import (
    DIMENSION,
    Judgments,
    ShiftedWorld,
    bytes_of,
    index_of,
    labelled_queries,
    random_unit_rows,
    texts_of,
)

ANYTHING = -1.0  # whether to keep what was learned is decided on all queries together, and is another matter
CONFIG = AdaptationConfig(strengths=(3000.0, 200.0), minimum_gain=ANYTHING)
ROUNDING = 1e-3  # sums over other shapes of batches differ in the last bits, and the optimiser spreads that


def adapted(shifted: ShiftedWorld, judgments: Judgments, config: AdaptationConfig = CONFIG) -> Adaptation:
    return adapt(shifted.aligned, shifted.labelled(judgments), shifted.texts, shifted.index, "cpu", 0, config)


def other_labels(shifted: ShiftedWorld, place: int) -> list[dict[str, float]]:
    """Return what somebody else could have said of a query: as many other documents, more of them, only one."""
    near = shifted.nearest(place)
    return [
        {near[20]: 2.0, near[21]: 1.0},
        {near[39]: 1.0, near[38]: 3.0, near[37]: 1.0, near[0]: 0.0, near[1]: 0.0},
        {near[5]: 0.25},
    ]


@pytest.mark.parametrize("n", [5, 6, 12])
@pytest.mark.parametrize("place", [0, 1])
def test_held_out_vector_owes_nothing_to_the_labels_of_its_own_query(shifted: ShiftedWorld, n: int, place: int) -> None:
    """Neither blend nor change nor its strength may know them, so each label set must give the same vector."""
    judgments = shifted.judgments(n)
    every = [judgments, *(judgments | {f"q{place}": labels} for labels in other_labels(shifted, place))]
    learned = [adaptation for own in every if (adaptation := adapted(shifted, own)).is_changed]  # the one common bit
    assert len(learned) > 1
    for other in learned[1:]:
        np.testing.assert_allclose(other.held_out_vectors[place], learned[0].held_out_vectors[place], atol=ROUNDING)
    if n == 12:  # or there would be nothing to leak
        aligned = shifted.aligned.transform(shifted.labelled(judgments).encoded)
        assert np.abs(learned[0].held_out_vectors[place] - aligned[place]).max() > 50 * ROUNDING
        assert bytes_of(learned[1].adapter) != bytes_of(learned[0].adapter)
        others = [i for i in range(n) if i != place]
        assert np.abs(learned[1].held_out_vectors[others] - learned[0].held_out_vectors[others]).max() > 10 * ROUNDING


def test_held_out_vectors_owe_nothing_to_the_labels_of_their_fold(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(12)
    folds = assign_folds(range(12), CONFIG.n_folds, 0)  # no two queries are alike
    together = np.flatnonzero(folds == folds[0])
    assert 1 < len(together) < 4
    changed = judgments | {f"q{i}": other_labels(shifted, i)[i % 3] for i in together.tolist()}
    first, second = adapted(shifted, judgments), adapted(shifted, changed)
    np.testing.assert_allclose(second.held_out_vectors[together], first.held_out_vectors[together], atol=ROUNDING)


def test_held_out_vector_owes_nothing_to_the_same_text_with_another_instruction(shifted: ShiftedWorld) -> None:
    """The instruction of a query may be all that differs, and then its labels would be half a giveaway."""
    judgments = shifted.judgments(12)
    usual = shifted.labelled(judgments)
    queries = [Query(f"q{i}", f"text {i % 6}", "before" if i < 6 else "after") for i in range(12)]
    labels = [judgments, judgments | {"q6": other_labels(shifted, 6)[0]}]
    first, second = (
        adapt(
            shifted.aligned,
            LabelledQueries(queries, usual.encoded, shifted.labelled(own).relevant, usual.not_relevant),
            shifted.texts,
            shifted.index,
            "cpu",
            0,
            CONFIG,
        ).held_out_vectors
        for own in labels
    )
    np.testing.assert_allclose(second[[0, 6]], first[[0, 6]], atol=ROUNDING)
    assert np.abs(second - first).max() > 10 * ROUNDING


def test_held_out_vector_owes_nothing_to_its_labels_when_not_every_document_is_a_candidate() -> None:
    vectors = random_unit_rows(150, 5, seed=0)
    index = index_of(vectors)
    texts = texts_of(index, random_unit_rows(150, 7, seed=1))
    n = 10
    encoded = EncodedQueries(*(random_unit_rows(n, size, seed) for seed, size in ((2, 7), (3, 7), (4, 5))))
    judgments: Judgments = {f"q{i}": {f"d{i:03}": 1.0, f"d{i + 20:03}": 0.0} for i in range(n)}
    config = AdaptationConfig(strengths=(300.0,), minimum_gain=ANYTHING, mining=MiningConfig(n_top=8, n_random=4))
    found: list[Vectors] = []
    for grades in ({"d130": 1.0}, {"d140": 1.0}, {f"d{row:03}": float(row % 3) for row in range(30, 60)}):
        labelled = labelled_queries(encoded, judgments | {"q3": grades}, index)
        found.append(adapt(align_by_decoding(texts), labelled, texts, index, "cpu", 1, config).held_out_vectors)
    np.testing.assert_allclose(found[1][3], found[0][3], atol=ROUNDING)
    np.testing.assert_allclose(found[2][3], found[0][3], atol=ROUNDING)
    assert np.abs(found[2] - found[0]).max() > 10 * ROUNDING


def test_nothing_is_deployed_that_could_not_be_measured(shifted: ShiftedWorld) -> None:
    # learned from one of two queries, nothing could be checked, and so nothing is known of what both teach
    found = adapted(shifted, shifted.judgments(2))
    assert not found.is_changed
    assert bytes_of(found.adapter) == bytes_of(shifted.aligned)
    assert "Mark relevant documents for a third query" in found.reason


def test_nothing_is_kept_that_does_not_gain_enough(shifted: ShiftedWorld) -> None:
    judgments = shifted.judgments(12)
    learned = adapted(shifted, judgments)
    gain = learned.gate_gain
    assert learned.is_changed
    for minimum, is_kept in ((gain - 1e-6, True), (gain + 1e-6, False)):
        found = adapted(shifted, judgments, AdaptationConfig(strengths=CONFIG.strengths, minimum_gain=minimum))
        assert found.is_changed is is_kept
        if is_kept:
            assert bytes_of(found.adapter) == bytes_of(learned.adapter)
        else:
            assert bytes_of(found.adapter) == bytes_of(shifted.aligned)
            aligned = shifted.aligned.transform(shifted.labelled(judgments).encoded)
            np.testing.assert_allclose(found.held_out_vectors, aligned, atol=1e-6)
            assert not found.gains.any()
            assert "did not help" in found.reason


def test_held_out_vectors_have_length_1(shifted: ShiftedWorld) -> None:
    found = adapted(shifted, shifted.judgments(7)).held_out_vectors
    assert found.shape == (7, DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_gains_are_those_of_the_held_out_vectors_over_the_aligned_adapter(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(12))
    found = adapted(shifted, shifted.judgments(12))
    measure = LabelMeasure.of(labelled, shifted.index)
    before = measure.values(shifted.aligned.transform(labelled.encoded))
    np.testing.assert_allclose(found.gains, measure.values(found.held_out_vectors) - before, atol=1e-9)


@pytest.mark.parametrize("n", [2, 3])
def test_held_out_losses_are_those_of_every_strength_and_query(shifted: ShiftedWorld, n: int) -> None:
    found = adapted(shifted, shifted.judgments(n)).held_out_losses
    assert found.shape == (2, n)
    assert np.isfinite(found).all()


def digest_of_an_adaptation() -> str:
    """Return the SHA-256 of everything learned in a small world; also run by a process of its own."""
    index = index_of(random_unit_rows(40, 5, seed=1))
    texts = texts_of(index, random_unit_rows(40, 8, seed=2))
    encoded = EncodedQueries(*(random_unit_rows(9, size, seed) for seed, size in ((3, 8), (4, 8), (5, 5))))
    judgments = {f"q{i}": {f"d{3 * i:03}": 1.0, f"d{3 * i + 1:03}": 0.0} for i in range(9)}
    config = AdaptationConfig(strengths=(200.0, 20.0), minimum_gain=ANYTHING, mining=MiningConfig(n_top=5, n_random=5))
    labelled = labelled_queries(encoded, judgments, index)
    found = adapt(align_by_decoding(texts), labelled, texts, index, "cpu", 7, config)
    assert np.abs(found.held_out_losses - found.start_losses).max() > 0.1  # something was learned
    arrays = (found.adapter.weight, found.adapter.bias, found.held_out_vectors, found.held_out_losses, found.gains)
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def test_adapt_gives_the_same_bytes_for_the_same_seed() -> None:
    first = digest_of_an_adaptation()
    torch.manual_seed(1)
    np.random.seed(1)
    assert digest_of_an_adaptation() == first


def test_adapt_gives_the_same_bytes_in_another_process() -> None:
    program = (
        f"import torch; torch.set_num_threads({torch.get_num_threads()});"
        "from tests.era.method.test_adaptation_held_out import digest_of_an_adaptation;"
        "print(digest_of_an_adaptation())"
    )
    root = Path(__file__).parents[3]
    finished = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == digest_of_an_adaptation()


def test_adapt_depends_on_the_seed(shifted: ShiftedWorld) -> None:
    labelled = shifted.labelled(shifted.judgments(12))
    config = AdaptationConfig(strengths=(80.0,), minimum_gain=ANYTHING, mining=MiningConfig(n_top=4, n_random=4))
    first, other = (
        adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", seed, config) for seed in (0, 1)
    )
    assert np.abs(first.held_out_vectors - other.held_out_vectors).max() > 10 * ROUNDING
