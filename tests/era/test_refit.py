"""The quick fit while somebody judges: it must come close to the thorough one, and search for nothing twice."""

from dataclasses import replace

import numpy as np
import pytest

from era.method.adaptation import Adaptation, AdaptationConfig, adapt, refit
from era.method.candidates import LabelledQueries, MiningConfig
from era.method.fusion import Blend
from era.types import Query
from tests.era.score_variance import weight_change
from tests.worlds.vectors import DIMENSION, N_DOCUMENTS, CountingIndex, ShiftedWorld, bytes_of
from tests.worlds.words import identity_of

CONFIG = AdaptationConfig(strengths=(60.0,), mining=MiningConfig(n_top=6, n_random=6))


@pytest.fixture
def index(shifted: ShiftedWorld) -> CountingIndex:
    doc_ids = [f"d{row:03}" for row in range(N_DOCUMENTS)]
    return CountingIndex(doc_ids, shifted.index.vectors(doc_ids), identity_of("light", DIMENSION))


def adapted(shifted: ShiftedWorld, n: int, config: AdaptationConfig = CONFIG) -> Adaptation:
    return adapt(
        shifted.aligned, shifted.labelled(shifted.judgments(n)), shifted.texts, shifted.index, "cpu", 0, config
    )


def test_refit_with_the_same_labels_gives_nearly_the_deployed_adapter(
    shifted: ShiftedWorld, index: CountingIndex
) -> None:
    previous = adapted(shifted, 12)
    assert previous.strength == 60.0
    found = refit(previous, shifted.labelled(shifted.judgments(12)), index, "cpu")
    moved = np.abs(weight_change(previous.adapter, shifted.aligned)).max()
    assert moved > 0.3
    np.testing.assert_allclose(found.weight, previous.adapter.weight, atol=0.01 * moved)
    np.testing.assert_allclose(found.bias, previous.adapter.bias, atol=0.01 * moved)
    assert index.n_searched == 0


def test_refit_learns_from_a_further_query_what_adapt_would_and_searches_for_it_alone(
    shifted: ShiftedWorld, index: CountingIndex
) -> None:
    previous = adapted(shifted, 11)
    expected = adapted(shifted, 12)
    assert previous.strength == expected.strength == 60.0
    found = refit(replace(previous, blend=expected.blend), shifted.labelled(shifted.judgments(12)), index, "cpu")
    moved = np.abs(weight_change(expected.adapter, previous.adapter)).max()
    assert moved > 0.05
    np.testing.assert_allclose(found.weight, expected.adapter.weight, atol=0.05 * moved)
    assert index.n_searched == 1


def test_refit_follows_a_changed_judgment_without_searching(shifted: ShiftedWorld, index: CountingIndex) -> None:
    previous = adapted(shifted, 12)
    near = shifted.nearest(0)
    labelled = shifted.labelled(shifted.judgments(12) | {"q0": {near[0]: 0.0, near[3]: 1.0}})
    found = refit(previous, labelled, index, "cpu")
    assert index.n_searched == 0
    unwanted, wanted = shifted.index.vectors([near[0], near[3]])
    before, after = (adapter.transform(labelled.encoded)[0] for adapter in (previous.adapter, found))
    assert (wanted - unwanted) @ after > (wanted - unwanted) @ before + 0.02


def test_refit_searches_again_for_an_edited_query(shifted: ShiftedWorld, index: CountingIndex) -> None:
    labelled = shifted.labelled(shifted.judgments(12))
    queries = [Query("q0", "another text"), *labelled.queries[1:]]
    edited = LabelledQueries(queries, labelled.encoded, labelled.relevant, labelled.not_relevant)
    refit(adapted(shifted, 12), edited, index, "cpu")
    assert index.n_searched == 1


@pytest.mark.parametrize("light", [1.0, 0.5])
def test_refit_is_the_blended_adapter_when_no_strength_was_chosen(
    shifted: ShiftedWorld, index: CountingIndex, light: float
) -> None:
    blend = Blend({"light": light, "neighbours": 2.0})
    previous = replace(adapted(shifted, 3), strength=None, blend=blend)
    found = refit(previous, shifted.labelled(shifted.judgments(12)), index, "cpu")
    assert bytes_of(found) == bytes_of(blend.apply(shifted.aligned))
    assert index.n_searched == 0


def test_refit_takes_the_chosen_strength_alone(shifted: ShiftedWorld, index: CountingIndex) -> None:
    several = adapted(shifted, 12, replace(CONFIG, strengths=(6000.0, 60.0, 600.0)))
    assert several.strength == 60.0
    alone = adapted(shifted, 12)
    labelled = shifted.labelled(shifted.judgments(12))
    np.testing.assert_allclose(
        refit(several, labelled, index, "cpu").weight, refit(alone, labelled, index, "cpu").weight, atol=1e-6
    )


def test_refit_takes_a_single_query(shifted: ShiftedWorld, index: CountingIndex) -> None:
    found = refit(adapted(shifted, 12), shifted.labelled(shifted.judgments(1)), index, "cpu")
    assert np.isfinite(found.weight).all()


def test_refit_leaves_what_it_starts_from_as_it_was(shifted: ShiftedWorld, index: CountingIndex) -> None:
    previous = adapted(shifted, 12)
    aligned, deployed = bytes_of(shifted.aligned), bytes_of(previous.adapter)
    first = refit(previous, shifted.labelled(shifted.judgments(14)), index, "cpu")
    again = refit(previous, shifted.labelled(shifted.judgments(14)), index, "cpu")
    assert bytes_of(first) == bytes_of(again) != deployed
    assert (bytes_of(shifted.aligned), bytes_of(previous.adapter)) == (aligned, deployed)
