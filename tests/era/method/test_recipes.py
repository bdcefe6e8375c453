import json
from typing import get_args

import numpy as np
import pytest

from era.encoders.base import EmbedderPair
from era.errors import NothingToLearnError
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.method import recipes
from era.method.alignment import AlignmentTexts
from era.method.paper import ContrastiveConfig, EncodingConfig
from era.method.recipes import Fit, RecipeName, fit
from era.retriever import Retriever
from era.types import Query
from tests.era.stopping import assert_stops
from tests.worlds.words import ANIMALS, QUERIES, READERS, RELEVANT, WANTED_TOPIC, word_pair

LABELLED_ANIMALS, NEW_ANIMALS = ANIMALS[:6], ANIMALS[6:]


@pytest.fixture(autouse=True)
def _few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the published training short; what it learns is the business of other tests."""
    monkeypatch.setattr(recipes, "EncodingConfig", lambda: EncodingConfig(n_epochs=20))
    monkeypatch.setattr(recipes, "ContrastiveConfig", lambda: ContrastiveConfig(n_epochs=20, learning_rate=1e-3))


every_recipe = pytest.mark.parametrize("recipe", get_args(RecipeName))


def fit_world(recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair, seed: int = 0) -> Fit:
    return fit(recipe, texts, index, pair, QUERIES, RELEVANT, seed=seed)


def test_era_tells_apart_queries_of_the_same_text_by_their_instruction(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    learned = fit_world("era", texts, index, pair)
    before, after = (Retriever(pair, index, adapter) for adapter in (learned.aligned, learned.adapter))
    for animal in NEW_ANIMALS:
        queries = [Query("1", animal, reader) for reader in READERS]
        old = [before.search(query, len(index)) for query in queries]
        np.testing.assert_allclose(  # no document says owner or vet: without labels the instruction decides nothing
            [doc.score for doc in old[0]], [doc.score for doc in old[1]], atol=1e-5
        )
        assert [after.search(query, 1)[0].doc_id for query in queries] == [f"{animal}-feeding", f"{animal}-illness"]
    for query in QUERIES:
        assert after.search(query, 1)[0].doc_id == f"{query.text}-{WANTED_TOPIC[query.instruction]}"
    found = index.search(learned.held_out_vectors, 1)
    assert [ranking[0].doc_id for ranking in found] == [
        next(iter(RELEVANT[query_id])) for query_id in learned.query_ids
    ]


@every_recipe
def test_fit_certainty_holds_what_each_query_gained_when_it_was_held_out(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    learned = fit_world(recipe, texts, index, pair)
    by_id = {query.query_id: query for query in QUERIES}
    vectors = learned.aligned.transform(pair.encode_queries([by_id[query_id] for query_id in learned.query_ids]))
    before, after = (
        evaluate(RELEVANT, dict(zip(learned.query_ids, index.search(rows, len(index)), strict=True)), ["nDCG@100"])
        for rows in (vectors, learned.held_out_vectors)
    )
    expected = [after["nDCG@100"][query_id] - before["nDCG@100"][query_id] for query_id in learned.query_ids]
    np.testing.assert_allclose(learned.certainty.gains, expected, atol=1e-6)
    assert recipe == "era-single" or learned.certainty.gains.any()


@every_recipe
def test_fit_report_and_config_are_json(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    learned = fit_world(recipe, texts, index, pair)
    report = json.loads(json.dumps(learned.report, allow_nan=False))
    assert report["reason"].endswith(".")
    assert report["is_changed"] is True
    config = json.loads(json.dumps(learned.config, allow_nan=False))
    assert config.keys() == {"alignment", "adaptation", "has_words"}
    assert config["has_words"] is False
    json.dumps([learned.adapter.provenance, learned.aligned.provenance])


def test_era_report_names_strength_share_and_losses(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    report = fit_world("era", texts, index, pair).report
    losses = report["held_out_losses"]
    assert losses.keys() == {"12000", "3000", "800", "200"}
    assert losses[f"{report['strength']:g}"] == min(losses.values()) < report["start_loss"]
    assert 0 < report["share_of_score_variance_moved"] < 1
    assert report["blend"].keys() == {"light", "neighbours"}


def test_era_report_is_json_when_a_single_query_is_labelled(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    learned = fit("era", texts, index, pair, QUERIES[:1], RELEVANT)
    report = json.loads(json.dumps(learned.report, allow_nan=False))
    assert report["is_changed"] is False
    assert report["strength"] is None
    assert learned.adapter.weight.tobytes() == learned.aligned.weight.tobytes()


@every_recipe
@pytest.mark.parametrize("n", [1, 2])
def test_fit_holds_out_by_the_aligned_adapter_when_a_single_text_is_labelled(
    recipe: RecipeName, n: int, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    queries = QUERIES[:n]  # the second asks the same text with another instruction
    learned = fit(recipe, texts, index, pair, queries, RELEVANT)
    expected = learned.aligned.transform(pair.encode_queries(queries))
    np.testing.assert_allclose(learned.held_out_vectors, expected, atol=1e-6)


@every_recipe
def test_fit_held_out_vectors_follow_the_query_ids(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    gone = Query("aardvark", "cat")
    learned = fit(
        recipe,
        texts,
        index,
        pair,
        [*QUERIES[::-1], gone, Query("unlabelled", "dog")],
        {**RELEVANT, "aardvark": {"x": 1}},
    )
    assert list(learned.query_ids) == sorted(RELEVANT)
    assert learned.held_out_vectors.shape == (12, 11)
    np.testing.assert_allclose(np.linalg.norm(learned.held_out_vectors, axis=1), 1, atol=1e-5)
    for query_id, vector in zip(learned.query_ids, learned.held_out_vectors, strict=True):
        animal = query_id.split("-")[0]
        own = learned.aligned.transform(pair.encode_queries([query for query in QUERIES if query.query_id == query_id]))
        others = learned.aligned.transform(pair.encode_queries([q for q in QUERIES if q.text != animal]))
        assert vector @ own[0] > (others @ vector).max()


@every_recipe
def test_fit_does_not_depend_on_the_order_of_queries_and_judgments(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    qrels = {query_id: {**grades, "seal-illness": 0.0, "seal-feeding": 0.5} for query_id, grades in RELEVANT.items()}
    backwards = {query_id: dict(reversed(grades.items())) for query_id, grades in reversed(qrels.items())}
    first = fit(recipe, texts, index, pair, QUERIES, qrels)
    second = fit(recipe, texts, index, pair, QUERIES[::-1], backwards)
    assert first.adapter.weight.tobytes() == second.adapter.weight.tobytes()
    assert first.held_out_vectors.tobytes() == second.held_out_vectors.tobytes()


@every_recipe
def test_fit_gives_the_same_bytes_for_the_same_seed(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    first, again = (fit_world(recipe, texts, index, pair, seed=3) for _ in range(2))
    assert first.adapter.weight.tobytes() == again.adapter.weight.tobytes()
    assert first.adapter.bias.tobytes() == again.adapter.bias.tobytes()
    assert first.held_out_vectors.tobytes() == again.held_out_vectors.tobytes()
    assert first.report == again.report


def test_paper_depends_on_the_seed(texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair) -> None:
    first, other = (fit_world("paper", texts, index, pair, seed=seed) for seed in (3, 4))
    assert first.aligned.weight.tobytes() != other.aligned.weight.tobytes()


def test_paper_holds_each_query_out_of_its_own_fit(
    texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    queries = QUERIES[:6:2]  # fewer than five: each is a fold of its own
    changed = {**RELEVANT, QUERIES[0].query_id: {"moth-illness": 1.0}}
    first, second = (fit("paper", texts, index, pair, queries, qrels) for qrels in (RELEVANT, changed))
    place = list(first.query_ids).index(QUERIES[0].query_id)
    aligned = first.aligned.transform(pair.encode_queries(QUERIES[:1]))[0]
    assert np.abs(first.held_out_vectors[place] - aligned).max() > 1e-3  # it is a trained one
    assert first.held_out_vectors[place].tobytes() == second.held_out_vectors[place].tobytes()
    assert first.adapter.weight.tobytes() != second.adapter.weight.tobytes()


@every_recipe
def test_fit_changes_only_the_query_side(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    fingerprint = index.fingerprint
    matrix = index.vectors(texts.doc_ids)
    fit_world(recipe, texts, index, pair)
    np.testing.assert_array_equal(index.vectors(texts.doc_ids), matrix)
    assert index.fingerprint == fingerprint


@every_recipe
def test_fit_takes_two_labelled_queries(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    learned = fit(recipe, texts, index, pair, QUERIES[::11], RELEVANT)
    assert list(learned.query_ids) == ["cat-owner", "hare-vet"]
    assert np.isfinite(learned.adapter.weight).all()
    assert np.isfinite(learned.held_out_vectors).all()
    assert learned.held_out_vectors.shape == (2, 11)


@every_recipe
def test_fit_says_what_to_do_when_nothing_is_labelled(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    with pytest.raises(NothingToLearnError, match="Mark at least one document"):
        fit(recipe, texts, index, pair, QUERIES, {"cat-owner": {"cat-feeding": 0.0}})


def test_fit_refuses_an_unknown_recipe(texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair) -> None:
    with pytest.raises(ValueError, match=r"'best'.*'era', 'era-dual', 'era-single', 'paper'"):
        fit("best", texts, index, pair, QUERIES, RELEVANT)  # type: ignore[arg-type]


@every_recipe
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_fit_stops_when_the_report_raises(
    recipe: RecipeName, share: float, texts: AlignmentTexts, index: DenseIndex
) -> None:
    assert_stops(lambda progress: fit(recipe, texts, index, word_pair(), QUERIES, RELEVANT, progress=progress), share)


@every_recipe
def test_fit_reports_fractions_that_grow_within_each_stage(
    recipe: RecipeName, texts: AlignmentTexts, index: DenseIndex, pair: EmbedderPair
) -> None:
    reported: dict[str, list[float]] = {}

    def report(stage: str, fraction: float, detail: str = "") -> None:
        reported.setdefault(stage, []).append(fraction)

    fit(recipe, texts, index, pair, QUERIES, RELEVANT, progress=report)
    assert list(reported) == ["embedding", "alignment", "adaptation"]
    for fractions in reported.values():
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] <= fractions[-1] <= 1
