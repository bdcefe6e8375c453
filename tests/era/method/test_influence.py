"""The shares of why a document moved have to add up to how it moved, and be 0 for queries that had no part in it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from era.adapter import QueryAdapter, QueryView, light_only, normalise
from era.encoders.base import EncodedQueries, Vectors
from era.errors import AdapterDamagedError
from era.index.dense import DenseIndex
from era.method.adaptation import Adaptation, AdaptationConfig, adapt
from era.method.alignment import DecodingConfig, align_by_decoding
from era.method.candidates import LabelledQueries
from era.method.influence import Explanation, Influence, aligned_parts, explain, light_parts, trained_parts
from tests.era.score_variance import weight_change
from tests.worlds.vectors import (
    DIMENSION,
    N_DOCUMENTS,
    ShiftedWorld,
    index_of,
    labelled_queries,
    random_unit_rows,
    texts_of,
)

DOC_IDS = [f"d{row:03}" for row in range(N_DOCUMENTS)]
CONFIG = AdaptationConfig(strengths=(3000.0, 200.0, 20.0), minimum_gain=-1.0)
N = 12


@pytest.fixture(scope="module")
def learned(shifted: ShiftedWorld) -> Adaptation:
    found = adapted(shifted, N)
    assert found.strength is not None
    assert found.blend.n_steps > 0
    return found


def adapted(shifted: ShiftedWorld, n: int, config: AdaptationConfig = CONFIG) -> Adaptation:
    return adapt(
        shifted.aligned, shifted.labelled(shifted.judgments(n)), shifted.texts, shifted.index, "cpu", 0, config
    )


def one(encoded: EncodedQueries, row: int) -> EncodedQueries:
    return EncodedQueries(encoded.instructed[[row]], encoded.plain[[row]], encoded.light[[row]])


def explained(
    found: Adaptation, aligned: QueryAdapter, encoded: EncodedQueries, documents: Vectors, query_id: str | None
) -> list[Explanation]:
    """Return what moved each of the documents from the aligned to the trained adapter, among all of them."""
    before, after = aligned_parts(aligned, encoded), trained_parts(found.influence, aligned, encoded, query_id)
    return [explain(before, after, document, documents) for document in documents]


def assert_adds_up(explanations: list[Explanation], documents: Vectors, before: Vectors, after: Vectors) -> None:
    """Hold that the parts are the difference of the two cosines, and relative to the others that of the differences.

    Args:
        explanations: of each document.
        documents: (k, m), the background too.
        before: (m,) of length 1.
        after: (m,) of length 1.
    """
    change = documents @ (after - before)
    for row, explanation in enumerate(explanations):
        relative = explanation.aligning + explanation.weighing + explanation.length
        relative += sum(explanation.by_query.values())
        assert relative + explanation.common == pytest.approx(explanation.change, abs=1e-9)
        assert explanation.change == pytest.approx(change[row], abs=1e-5)
        assert relative == pytest.approx(float(change[row] - change.mean()), abs=1e-5)


@pytest.mark.parametrize("views", [("mean", "light", "neighbours"), ("light", "mean"), ("instructed",)])
def test_influence_is_the_change_of_the_deployed_adapter(shifted: ShiftedWorld, views: tuple[QueryView, ...]) -> None:
    aligned = align_by_decoding(shifted.texts, DecodingConfig(views=views))
    labelled = shifted.labelled(shifted.judgments(N))
    found = adapt(aligned, labelled, shifted.texts, shifted.index, "cpu", 0, CONFIG)
    assert found.strength is not None
    blended = found.blend.apply(aligned)
    change = weight_change(found.adapter, blended)
    assert np.abs(change).max() > 0.1
    influence = found.influence
    expected = np.concatenate([change[aligned.rows(view)] for view in influence.views])
    by_labels = influence.keys.T @ influence.moves[0]
    np.testing.assert_allclose(by_labels, expected, atol=1e-5)
    np.testing.assert_allclose(-influence.centre @ by_labels, found.adapter.bias - blended.bias, atol=1e-5)


def test_influence_of_each_fold_is_that_of_the_held_out_vectors(shifted: ShiftedWorld, learned: Adaptation) -> None:
    encoded = shifted.labelled(shifted.judgments(N)).encoded
    documents = shifted.index.vectors(DOC_IDS)
    before = shifted.aligned.transform(encoded)
    assert np.abs(before - learned.held_out_vectors).max() > 0.1
    for i in range(N):
        explanations = explained(learned, shifted.aligned, one(encoded, i), documents, f"q{i}")
        assert_adds_up(explanations, documents, before[i], learned.held_out_vectors[i])


def test_explanations_of_a_new_query_add_up_to_what_the_deployed_adapter_changes(
    shifted: ShiftedWorld, learned: Adaptation
) -> None:
    encoded = shifted.labelled(shifted.judgments(30)).encoded
    documents = shifted.index.vectors(DOC_IDS)
    for i in (0, 20, 29):  # a labelled query that nobody names is a new one
        before, after = (adapter.transform(one(encoded, i))[0] for adapter in (shifted.aligned, learned.adapter))
        assert_adds_up(explained(learned, shifted.aligned, one(encoded, i), documents, None), documents, before, after)


@pytest.mark.parametrize("sides", [("light", "q3"), ("q3", "light"), ("light", "aligned"), ("other", "q3")])
def test_explanations_add_up_between_any_two_vectors_of_a_query(
    shifted: ShiftedWorld, learned: Adaptation, sides: tuple[str, str]
) -> None:
    encoded = one(shifted.labelled(shifted.judgments(N)).encoded, 3)
    documents = shifted.index.vectors(DOC_IDS)
    other = adapted(shifted, N - 4)  # another run, whose first queries are those of the first one
    vectors = {
        "light": light_only(DIMENSION).transform(encoded)[0],
        "aligned": shifted.aligned.transform(encoded)[0],
        "q3": learned.held_out_vectors[3],
        "other": other.held_out_vectors[3],
    }
    parts = {
        "light": light_parts(encoded),
        "aligned": aligned_parts(shifted.aligned, encoded),
        "q3": trained_parts(learned.influence, shifted.aligned, encoded, "q3"),
        "other": trained_parts(other.influence, shifted.aligned, encoded, "q3"),
    }
    before, after = sides
    found = [explain(parts[before], parts[after], document, documents) for document in documents]
    assert max(abs(explanation.change) for explanation in found) > 0.01
    assert_adds_up(found, documents, vectors[before], vectors[after])


def test_influence_of_the_run_before_is_taken_off_query_by_query(shifted: ShiftedWorld, learned: Adaptation) -> None:
    encoded = one(shifted.labelled(shifted.judgments(N)).encoded, 3)
    documents = shifted.index.vectors(DOC_IDS)
    aligned = aligned_parts(shifted.aligned, encoded)
    first, second = (
        trained_parts(found.influence, shifted.aligned, encoded, "q3") for found in (adapted(shifted, N - 4), learned)
    )
    by_first, by_second, by_both = (
        explain(*sides, documents[4], documents).by_query
        for sides in ((aligned, first), (aligned, second), (first, second))
    )
    assert by_both.keys() == by_second.keys() > by_first.keys()
    for query_id, amount in by_both.items():
        assert amount == pytest.approx(by_second[query_id] - by_first.get(query_id, 0.0), abs=1e-9)


def test_no_query_of_its_own_fold_contributes_to_a_held_out_one(shifted: ShiftedWorld, learned: Adaptation) -> None:
    encoded = shifted.labelled(shifted.judgments(N)).encoded
    documents = shifted.index.vectors(DOC_IDS)
    folds = learned.influence.folds
    for i in range(N):
        found = explained(learned, shifted.aligned, one(encoded, i), documents, f"q{i}")
        for other in range(N):
            size = max(abs(explanation.by_query[f"q{other}"]) for explanation in found)
            assert (size == 0) == (folds[other] == folds[i])


def test_weighing_alone_explains_what_only_the_blend_did(shifted: ShiftedWorld, learned: Adaptation) -> None:
    blend_alone = replace(learned.influence, moves=np.zeros_like(learned.influence.moves))
    encoded = one(shifted.labelled(shifted.judgments(N)).encoded, 0)
    documents = shifted.index.vectors(DOC_IDS)
    found = explained(replace(learned, influence=blend_alone), shifted.aligned, encoded, documents, None)
    after = learned.blend.apply(shifted.aligned).transform(encoded)[0]
    assert_adds_up(found, documents, shifted.aligned.transform(encoded)[0], after)
    assert not any(value for explanation in found for value in explanation.by_query.values())
    assert max(abs(explanation.weighing) for explanation in found) > 0.01
    assert not any(explanation.length for explanation in found)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_length_stands_apart_from_weighing(factor: float) -> None:
    """One half alone, doubled or not, points where it did; then one query adds (0, 1), and the sum is scaled back."""
    unit, plane = np.eye(2, dtype=np.float32), light_only(2)
    influence = Influence(
        ["q"], ("light",), unit[:1], np.zeros(2, np.float32), unit[None, 1:].repeat(2, 0), [{"light": factor}] * 2, [0]
    )
    encoded = EncodedQueries(unit[:1], unit[:1], unit[:1])
    before, after = aligned_parts(plane, encoded), trained_parts(influence, plane, encoded, None)
    along, across = (explain(before, after, document, np.zeros((1, 2), np.float32)) for document in unit)
    scale = 1 / np.sqrt(factor**2 + 1)
    assert [along.weighing, along.length, along.by_query["q"]] == pytest.approx([0.0, factor * scale - 1, 0.0])
    assert [across.weighing, across.length, across.by_query["q"]] == pytest.approx([0.0, 0.0, scale])


@pytest.mark.parametrize("n", [1, 2])
def test_nothing_contributes_when_too_few_queries_are_labelled(shifted: ShiftedWorld, n: int) -> None:
    found = adapted(shifted, n)
    encoded = shifted.labelled(shifted.judgments(n)).encoded
    documents = shifted.index.vectors(DOC_IDS)
    assert found.influence.moves.shape == (1 + n, n, DIMENSION)
    for i in range(n):
        explanations = explained(found, shifted.aligned, one(encoded, i), documents, f"q{i}")
        assert_adds_up(explanations, documents, shifted.aligned.transform(encoded)[i], found.held_out_vectors[i])
        assert not any(value for explanation in explanations for value in explanation.by_query.values())


def test_nothing_contributes_when_the_last_gate_is_closed(shifted: ShiftedWorld) -> None:
    found = adapted(shifted, N, replace(CONFIG, minimum_gain=1.0))
    assert not found.is_changed
    assert not found.influence.moves.any()
    encoded = shifted.labelled(shifted.judgments(N)).encoded
    for explanation in explained(found, shifted.aligned, one(encoded, 0), shifted.index.vectors(DOC_IDS), "q0"):
        assert explanation.change == pytest.approx(0, abs=1e-6)
        assert explanation.weighing == pytest.approx(0, abs=1e-6)
        assert explanation.length == 0


def test_queries_of_one_text_each_pull_to_their_own_document(shifted: ShiftedWorld) -> None:
    """The embedders are deaf to the instruction of q12, which asks what q0 asks and wants another document."""
    own, other = shifted.nearest(0)[0], shifted.nearest(0)[-1]
    usual = shifted.labelled(shifted.judgments(N))
    rows = [*range(N), 0]
    encoded = EncodedQueries(usual.encoded.instructed[rows], usual.encoded.plain[rows], usual.encoded.light[rows])
    labelled = labelled_queries(encoded, {**shifted.judgments(N), "q12": {other: 1.0}}, shifted.index)
    found = adapt(shifted.aligned, labelled, shifted.texts, shifted.index, "cpu", 0, CONFIG)
    assert found.strength is not None
    documents = shifted.index.vectors([own, other])
    before, after = (adapter.transform(one(encoded, 0))[0] for adapter in (shifted.aligned, found.adapter))
    explanations = explained(found, shifted.aligned, one(encoded, 0), documents, None)
    assert_adds_up(explanations, documents, before, after)
    for place, query_id in ((0, "q0"), (1, "q12")):
        assert explanations[place].by_query[query_id] > 0.01
        assert explanations[1 - place].by_query[query_id] < -0.01


def topic_world(left_out: int | None) -> tuple[QueryAdapter, DenseIndex, LabelledQueries, Adaptation]:
    """Return what is learned of 5 topics with 4 queries each, one of all these left out.

    Queries of topic i lie around axis i; what they want most is the one document on axis 5 + i, which no embedder
    knows. Each also wants two documents that no other one does, so that they are no copies of each other.
    """
    axes = np.eye(10, dtype=np.float32)
    vectors = np.concatenate([axes[5:], random_unit_rows(60, 10, seed=0)])
    index = index_of(vectors)
    asked = normalise(axes[np.arange(20) // 4] + 0.6 * random_unit_rows(20, 10, seed=1))
    encoded = EncodedQueries(asked, asked, np.full((20, 10), 0.3, np.float32))
    wanted = {f"q{i}": {f"d{i // 4:03}": 1.0, f"d{5 + 2 * i:03}": 0.1, f"d{6 + 2 * i:03}": 0.1} for i in range(20)}
    every = labelled_queries(encoded, wanted, index)
    labelled = every.subset([i for i in range(20) if i != left_out])
    texts = texts_of(index, vectors)
    aligned = align_by_decoding(texts)
    found = adapt(aligned, labelled, texts, index, "cpu", 0, AdaptationConfig(strengths=(1000.0,)))
    assert found.strength is not None
    return aligned, index, every, found


def test_a_document_falls_when_the_query_that_raised_it_most_is_left_out() -> None:
    aligned, index, every, found = topic_world(None)
    documents = index.vectors([f"d{row:03}" for row in range(len(index))])
    for place in (0, 9, 18):
        asked, topic = one(every.encoded, place), place // 4
        explanation = explained(found, aligned, asked, documents, None)[topic]
        ranked = sorted(explanation.by_query.items(), key=lambda item: -item[1])
        best = int(ranked[0][0].removeprefix("q"))
        assert best // 4 == topic
        _, _, _, without = topic_world(best)
        leads = []
        for adapter in (found.adapter, without.adapter):
            scores = documents @ adapter.transform(asked)[0]
            leads.append(scores[topic] - scores.mean())
        assert leads[1] < leads[0] - 0.01


def test_influence_comes_back_as_it_was_saved(shifted: ShiftedWorld, learned: Adaptation, tmp_path: Path) -> None:
    adapter = replace(learned.adapter, provenance={"influence": learned.influence.facts()})
    adapter.save(tmp_path / "adapter", learned.influence.arrays() | {"held_out": learned.held_out_vectors})
    loaded, extra = QueryAdapter.load(tmp_path / "adapter")
    found = Influence.from_saved(extra, json.loads(json.dumps(loaded.provenance["influence"], allow_nan=False)))
    encoded = one(shifted.labelled(shifted.judgments(N)).encoded, 5)
    documents = shifted.index.vectors(DOC_IDS)
    for query_id in (None, "q5"):
        first, second = (
            explained(replace(learned, influence=influence), shifted.aligned, encoded, documents, query_id)
            for influence in (learned.influence, found)
        )
        assert first == second


@pytest.mark.parametrize("part", ["influence.keys", "influence.centre", "influence.moves"])
def test_influence_says_so_when_what_was_saved_is_damaged(learned: Adaptation, part: str) -> None:
    arrays, facts = learned.influence.arrays(), learned.influence.facts()
    incomplete = {name: array for name, array in arrays.items() if name != part}
    with pytest.raises(AdapterDamagedError, match="train again"):
        Influence.from_saved(incomplete, facts)
    with pytest.raises(AdapterDamagedError, match="do not fit together"):
        Influence.from_saved({**arrays, part: arrays[part][:-1]}, facts)


@pytest.mark.parametrize("part", ["query_ids", "views", "blends", "folds"])
def test_influence_says_so_when_a_fact_is_missing(learned: Adaptation, part: str) -> None:
    facts = {name: fact for name, fact in learned.influence.facts().items() if name != part}
    with pytest.raises(AdapterDamagedError, match=part):
        Influence.from_saved(learned.influence.arrays(), facts)


def test_influence_refuses_ids_and_folds_of_other_queries(learned: Adaptation) -> None:
    with pytest.raises(ValueError, match="12 queries"):
        replace(learned.influence, query_ids=learned.influence.query_ids[1:])
    with pytest.raises(ValueError, match="12 queries"):
        replace(learned.influence, folds=[5, *learned.influence.folds[1:]])


def test_explain_refuses_what_it_cannot_explain(shifted: ShiftedWorld, learned: Adaptation) -> None:
    encoded = shifted.labelled(shifted.judgments(2)).encoded
    documents = shifted.index.vectors(DOC_IDS)
    influence, first = learned.influence, one(encoded, 0)
    with pytest.raises(ValueError, match="one query, got 2"):
        trained_parts(influence, shifted.aligned, encoded, None)
    with pytest.raises(ValueError, match="documents to compare with"):
        explain(light_parts(first), aligned_parts(shifted.aligned, first), documents[0], documents[:0])
    with pytest.raises(ValueError, match="has not learned by the views"):
        trained_parts(influence, light_only(DIMENSION), first, None)
