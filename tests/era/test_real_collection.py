"""The method on real collections with the bundled pair: what benchmarks found has to hold."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from annotation.collections.store_whole import CollectionContent, content_of
from era.adapter import light_only
from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.encoders.bundled import load_bundled_pair
from era.evaluation.measures import evaluate
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.io.opening import open_source
from era.method.alignment import AlignmentTexts, read_alignment_texts
from era.method.recipes import Fit, RecipeName, fit
from era.retriever import Retriever
from era.types import Query

pytestmark = pytest.mark.collections

N_HELD_OUT, N_LABELLED = 100, 20


@pytest.fixture(scope="module", params=["recipe_mpr"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def collection(name: str) -> CollectionContent:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("ERA_COLLECTIONS") or root.parent / "shared" / "collections") / name
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}; set ERA_COLLECTIONS to a folder that holds {name}.")
    return content_of(open_source(folder))


@pytest.fixture(scope="module")
def pair(collection: CollectionContent) -> EmbedderPair:
    return load_bundled_pair("cpu")


@pytest.fixture(scope="module")
def index(collection: CollectionContent, pair: EmbedderPair) -> DenseIndex:
    corpus = Corpus(collection.documents)
    vectors = pair.light.encode_documents(corpus.contents(corpus.doc_ids))
    return DenseIndex(corpus.doc_ids, vectors, pair.light.identity)


@pytest.fixture(scope="module")
def texts(collection: CollectionContent, index: DenseIndex, pair: EmbedderPair) -> AlignmentTexts:
    return read_alignment_texts(Corpus(collection.documents), index, pair)


@pytest.fixture(scope="module")
def split(collection: CollectionContent) -> tuple[list[Query], list[Query]]:
    """Queries to learn from, out of one half; queries to measure with, out of the other."""
    order = np.random.default_rng(0).permutation(len(collection.queries))
    shuffled = [collection.queries[row] for row in order]
    half = len(shuffled) // 2
    return shuffled[:half][:N_LABELLED], shuffled[half:][:N_HELD_OUT]


@pytest.fixture(scope="module")
def fits(
    collection: CollectionContent,
    texts: AlignmentTexts,
    index: DenseIndex,
    pair: EmbedderPair,
    split: tuple[list[Query], list[Query]],
    words: LexicalIndex,
) -> Mapping[RecipeName, Fit]:
    recipes: tuple[RecipeName, ...] = ("era", "paper")
    return {
        recipe: fit(recipe, texts, index, pair, split[0], collection.qrels, lexical=words if recipe == "era" else None)
        for recipe in recipes
    }


@pytest.fixture(scope="module")
def words(collection: CollectionContent, index: DenseIndex) -> LexicalIndex:
    return LexicalIndex(Corpus(collection.documents), index)


@pytest.fixture(scope="module")
def quality(
    collection: CollectionContent,
    index: DenseIndex,
    pair: EmbedderPair,
    split: tuple[list[Query], list[Query]],
    fits: Mapping[RecipeName, Fit],
    words: LexicalIndex,
) -> dict[str, float]:
    """nDCG@10 on the queries that nobody learned from; words count in our recipe alone, as they do by default."""
    adapters = {
        "light": light_only(index.embedder.dimension),
        "era, no labels": fits["era"].aligned,
        "era": fits["era"].adapter,
        "paper": fits["paper"].adapter,
    }
    means = {}
    for name, adapter in adapters.items():
        retriever = Retriever(pair, index, adapter, words if name.startswith("era") else None)
        values = evaluate(collection.qrels, retriever.run(split[1], 100))["nDCG@10"]
        assert len(values) == N_HELD_OUT
        means[name] = float(np.mean(list(values.values())))
    return means


def test_era_without_labels_is_better_than_the_light_embedder(quality: dict[str, float], name: str) -> None:
    assert quality["era, no labels"] > quality["light"] + {"recipe_mpr": 0.01, "cranfield": 0.03}[name]


def test_era_with_labels_is_far_better_than_the_light_embedder(quality: dict[str, float]) -> None:
    assert quality["era"] > quality["light"] + 0.03


def test_era_is_far_better_than_the_published_recipe_with_the_same_labels(quality: dict[str, float]) -> None:
    assert quality["era"] > quality["paper"] + 0.08


def test_era_with_labels_is_better_than_without_if_it_keeps_what_it_learned(
    quality: dict[str, float], fits: Mapping[RecipeName, Fit], name: str
) -> None:
    if not fits["era"].report["is_changed"]:  # the held-out queries of this split did not gain, and it knows
        assert name != "recipe_mpr"
        assert quality["era"] == quality["era, no labels"]
    else:
        assert quality["era"] > quality["era, no labels"] + 0.005
