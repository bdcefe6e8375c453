"""A collection where only the instruction decides which of two documents is wanted, and one with room for marks."""

from dataclasses import dataclass

import numpy as np
import pytest

from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair, Vectors
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts
from era.method.recipes import RecipeName, fit
from era.types import Qrels, Query
from tests.worlds.vectors import index_of, random_unit_rows, texts_of
from tests.worlds.words import TableEmbedder

N_TOPICS, N_LABELLED = 60, 30
KINDS = ("methods", "results")
P, M = 24, 16


@dataclass(frozen=True)
class InstructedWorld:
    """Each topic has a document on methods and one on results; a query names the topic, its instruction the kind.

    Both embedders see in a document its topic and its kind. The strong one also hears the instruction, but as a
    direction in which no document lies, so alignment cannot know what it means; the light one never hears it.
    """

    index: DenseIndex
    texts: AlignmentTexts
    pair: EmbedderPair

    def reciprocal_ranks(self, adapter: QueryAdapter, queries: list[Query]) -> list[float]:
        rankings = self.index.search(adapter.transform(self.pair.encode_queries(queries)), len(self.index))
        return [
            1 / (1 + [doc.doc_id for doc in ranking].index(wanted(query)))
            for query, ranking in zip(queries, rankings, strict=True)
        ]


def wanted(query: Query) -> str:
    return f"d{2 * int(query.text.split()[1]) + KINDS.index(query.instruction):03}"


def queries_about(topics: range) -> list[Query]:
    return [Query(f"q{topic:02}-{kind}", f"topic {topic}", kind) for topic in topics for kind in KINDS]


@pytest.fixture(scope="module")
def world() -> InstructedWorld:
    rng = np.random.default_rng(0)
    topics = random_unit_rows(N_TOPICS, 10, seed=1)  # what there is to know of a topic
    turn = np.linalg.qr(rng.normal(size=(P, P)))[0]
    strong_topics, strong_kinds, strong_instructions = topics @ turn[:10], 0.6 * turn[10:12], turn[12:14]
    turn = np.linalg.qr(rng.normal(size=(M, M)))[0]
    light_topics, light_kinds = topics @ turn[:10], 0.6 * turn[10:12]

    def noise(dimension: int) -> Vectors:
        return (0.02 * rng.normal(size=dimension)).astype(np.float32)

    strong_of: dict[str, Vectors] = {}
    light_of: dict[str, Vectors] = {}
    for topic in range(N_TOPICS):
        strong_of[f"topic {topic}"] = strong_topics[topic] + noise(P)
        light_of[f"topic {topic}"] = light_topics[topic] + noise(M)
        for kind in (0, 1):
            strong_of[f"document {topic} {kind}"] = strong_topics[topic] + strong_kinds[kind] + noise(P)
            light_of[f"document {topic} {kind}"] = light_topics[topic] + light_kinds[kind] + noise(M)
            strong_of[f"{KINDS[kind]} topic {topic}"] = strong_topics[topic] + strong_instructions[kind] + noise(P)
    contents = [f"document {topic} {kind}" for topic in range(N_TOPICS) for kind in (0, 1)]
    pair = EmbedderPair(TableEmbedder("strong", strong_of), TableEmbedder("light", light_of))
    index = index_of(pair.light.encode_documents(contents))
    return InstructedWorld(index, texts_of(index, pair.strong.encode_documents(contents)), pair)


def test_era_learns_what_an_instruction_means_for_texts_it_has_not_seen(world: InstructedWorld) -> None:
    labelled, new = queries_about(range(N_LABELLED)), queries_about(range(N_LABELLED, N_TOPICS))
    qrels: Qrels = {query.query_id: {wanted(query): 1.0} for query in labelled}
    learned = fit("era", world.texts, world.index, world.pair, labelled, qrels)
    before = world.reciprocal_ranks(learned.aligned, new)
    after = world.reciprocal_ranks(learned.adapter, new)
    assert 0.6 < np.mean(before) < 0.8  # the topic is found, and of its two documents the wanted one half of the time
    assert np.mean(after) > 0.95
    assert min(after) > 0.3
    vectors = learned.held_out_vectors
    rankings = world.index.search(vectors, 2)
    found = [ranking[0].doc_id == wanted(query) for query, ranking in zip(labelled, rankings, strict=True)]
    assert np.mean(found) > 0.9
    assert learned.certainty.gains.mean() > 0.1


def test_era_learns_what_the_instructions_say_and_not_what_they_look_like(world: InstructedWorld) -> None:
    """With the kinds swapped in the labels, the same collection teaches the opposite."""
    labelled, new = queries_about(range(N_LABELLED)), queries_about(range(N_LABELLED, N_TOPICS))
    swapped = [Query(query.query_id, query.text, KINDS[1 - KINDS.index(query.instruction)]) for query in labelled]
    qrels: Qrels = {query.query_id: {wanted(query): 1.0} for query in labelled}
    learned = fit("era", world.texts, world.index, world.pair, swapped, qrels)
    assert np.mean(world.reciprocal_ranks(learned.adapter, new)) < 0.6


def test_era_finds_nothing_to_learn_when_the_instruction_decides_at_random(world: InstructedWorld) -> None:
    labelled = queries_about(range(N_LABELLED))
    new = queries_about(range(N_LABELLED, N_TOPICS))
    rng = np.random.default_rng(3)
    qrels: Qrels = {
        query.query_id: {f"d{2 * int(query.text.split()[1]) + int(rng.integers(2)):03}": 1.0} for query in labelled
    }
    learned = fit("era", world.texts, world.index, world.pair, labelled, qrels)
    before = world.reciprocal_ranks(learned.aligned, new)
    assert abs(np.mean(world.reciprocal_ranks(learned.adapter, new)) - np.mean(before)) < 0.1
    assert learned.certainty.gains.mean() < 0.03


@pytest.mark.parametrize("recipe", ["era", "era-dual"])
def test_documents_judged_not_relevant_go_down_although_they_were_not_mined(recipe: RecipeName) -> None:
    """Compare with the same fit without those marks; what is mined would be contrasted with anyway."""
    index = index_of(random_unit_rows(400, 8, seed=0))
    texts = texts_of(index, random_unit_rows(400, 8, seed=1))
    names = [f"query {i}" for i in range(20)]
    pair = EmbedderPair(
        TableEmbedder("strong", dict(zip(names, random_unit_rows(20, 8, seed=15), strict=True))),
        TableEmbedder("light", dict(zip(names, random_unit_rows(20, 8, seed=115), strict=True))),
    )
    queries = [Query(f"q{i:02}", name) for i, name in enumerate(names)]
    liked, disliked = (
        [doc.doc_id for doc in ranking] for ranking in index.search(random_unit_rows(2, 8, seed=215), 60)
    )
    likes: dict[str, dict[str, float]] = {query.query_id: {liked[i]: 1.0} for i, query in enumerate(queries)}
    unmarked = fit(recipe, texts, index, pair, queries, likes)
    encoded = pair.encode_queries(queries)
    drawn = {*index.sample(32, 0), *liked}
    marks = {}
    for query, ranking in zip(queries, index.search(unmarked.aligned.transform(encoded), 90), strict=True):
        mined = drawn | {doc.doc_id for doc in ranking}
        marks[query.query_id] = dict.fromkeys([doc_id for doc_id in disliked if doc_id not in mined][:12], 0.0)
    marked = fit(recipe, texts, index, pair, queries, {q: {**likes[q], **marks[q]} for q in likes})
    scores = [
        np.mean([(index.vectors(marks[q]) @ vector).mean() for q, vector in zip(likes, vectors, strict=True)])
        for vectors in (learned.adapter.transform(encoded) for learned in (unmarked, marked))
    ]
    assert scores[1] < scores[0] - 0.001
