from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import era.method.reranking
from era.adapter import light_only
from era.corpus import Corpus
from era.encoders.base import EmbedderPair, Vectors
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.method.alignment import AlignmentTexts
from era.method.reranking import N_REREAD, RerankingRetriever
from era.retriever import Retriever
from era.types import Document, Query, ScoredDoc
from tests.worlds.vectors import index_of, random_unit_rows, texts_of
from tests.worlds.words import TableEmbedder

LIGHT = {"d1": (1, 0), "d2": (0.8, 0.6), "d3": (0.6, 0.8), "d4": (0, 1)}
"""Cosines with the query (1, 0): 1, .8, .6, 0; mean .6, variance .14."""

STRONG = {"d1": (0, 1), "d2": (0.6, 0.8), "d3": (1, 0), "d4": (0.8, 0.6)}
"""Cosines with the query (1, 0): 0, .6, 1, .8; mean .6, variance .14, so that two of them weigh as two cosines."""

QUERY = Query("q", "query")


class Reader:
    """Looks up what the strong embedder makes of a document, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, doc_ids: Sequence[str]) -> Vectors:
        self.asked.append(list(doc_ids))
        return rows(STRONG)[[list(STRONG).index(doc_id) for doc_id in doc_ids]]


def rows(table: dict[str, tuple[float, float]]) -> Vectors:
    return np.array(list(table.values()), np.float32)


def pair() -> EmbedderPair:
    east, north = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    strong = TableEmbedder("strong", {"query": east, "instruction query": north})
    return EmbedderPair(strong, TableEmbedder("light", {"query": east}))


def reranking(read: Reader, lexical: LexicalIndex | None = None, strong: Vectors | None = None) -> RerankingRetriever:
    embedders = pair()
    index = DenseIndex(list(LIGHT), rows(LIGHT), embedders.light.identity)
    texts = AlignmentTexts.among(index, list(LIGHT), rows(STRONG) if strong is None else strong)
    adapter = replace(light_only(2), word_weight=0.25)
    return RerankingRetriever(embedders, index, adapter, lexical, texts=texts, read=read)


def assert_ranking(found: Sequence[ScoredDoc], expected: dict[str, float]) -> None:
    assert [doc.doc_id for doc in found] == list(expected)
    assert [doc.score for doc in found] == pytest.approx(list(expected.values()), abs=1e-5)


def test_strong_cosines_count_twice_beside_those_of_the_index() -> None:
    # 1 + 2 (0 - .6), .8 + 2 (.6 - .6), .6 + 2 (1 - .6), 0 + 2 (.8 - .6)
    assert_ranking(reranking(Reader()).search(QUERY, 4), {"d3": 1.4, "d2": 0.8, "d4": 0.4, "d1": -0.2})


def test_both_cosines_are_counted_in_their_own_standard_deviations() -> None:
    # with instruction the strong query is (.5, .5): cosines .5, .7, .5, .7, which vary by .1 around .6
    scale = 2 * 0.14**0.5 / 0.1
    expected = {"d2": 0.8 + 0.1 * scale, "d4": 0.1 * scale, "d1": 1 - 0.1 * scale, "d3": 0.6 - 0.1 * scale}
    assert_ranking(reranking(Reader()).search(Query("q", "query", "instruction"), 4), expected)


def test_matching_words_grow_as_the_spread_of_the_score_does() -> None:
    corpus = Corpus([Document(doc_id, "", "query" if doc_id == "d4" else "other") for doc_id in LIGHT])
    plain = reranking(Reader())
    lexical = LexicalIndex(corpus, plain.index)
    [added] = [doc.score for doc in Retriever(plain.pair, plain.index, plain.adapter, lexical).search(QUERY, 4)[3:]]
    assert added > 0  # the cosine of d4 is 0
    growth = (0.34 / 0.14) ** 0.5  # cosine and twice the strong one, less their mean: -.8, .2, .8, -.2
    expected = {"d1": -0.2, "d2": 0.8, "d3": 1.4, "d4": 0.4 + growth * added}
    best_first = dict(sorted(expected.items(), key=lambda scored: -scored[1]))
    assert_ranking(reranking(Reader(), lexical).search(QUERY, 4), best_first)


def test_what_is_not_read_follows_as_far_below_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(era.method.reranking, "N_REREAD", 2)
    reader = Reader()
    expected = {"d2": 0.8, "d1": -0.2, "d3": -0.4, "d4": -1.0}  # d3 was .2 below the second, d4 .8
    assert_ranking(reranking(reader).search(QUERY, 4), expected)
    assert reader.asked == [["d1", "d2"]]


def test_a_short_ranking_is_the_beginning_of_a_longer_one() -> None:
    reader = Reader()
    retriever = reranking(reader)
    longest = retriever.search(QUERY, 4)
    assert [retriever.search(QUERY, k) for k in (1, 2, 3)] == [longest[:k] for k in (1, 2, 3)]
    assert reader.asked == [["d1", "d2", "d3", "d4"]] * 4


def test_a_strong_model_that_says_the_same_of_everything_changes_nothing() -> None:
    strong = np.array([[1, 0]] * 4, np.float32)
    expected = {"d1": 1.0, "d2": 0.8, "d3": 0.6, "d4": 0.0}
    retriever = reranking(Reader(), strong=strong)
    assert_ranking(retriever.search(QUERY, 4), expected)


def test_each_query_is_reranked_by_the_vector_it_is_searched_with() -> None:
    retriever = reranking(Reader())
    north = np.array([[0, 1]], np.float32)
    # cosines with (0, 1): 0, .6, .8, 1; mean .6, variance .14
    [found] = retriever.rank([QUERY], north, 4)
    assert_ranking(found, {"d3": 1.6, "d4": 1.4, "d2": 0.6, "d1": -1.2})


def reranking_at_random(n_texts: int) -> RerankingRetriever:
    """Return one over 1,200 random documents, of which both embedders have read the first `n_texts`."""
    index = index_of(random_unit_rows(1200, 5, seed=1))
    strong = random_unit_rows(1200, 8, seed=2)
    texts = texts_of(index, strong)
    read = dict(zip(texts.doc_ids, strong, strict=True))
    strong_query, light_query = random_unit_rows(1, 8, seed=4)[0], random_unit_rows(1, 5, seed=3)[0]
    return RerankingRetriever(
        EmbedderPair(TableEmbedder("strong", {"query": strong_query}), TableEmbedder("light", {"query": light_query})),
        index,
        light_only(5),
        texts=AlignmentTexts(texts.doc_ids[:n_texts], strong[:n_texts], texts.light[:n_texts]),
        read=lambda doc_ids: np.stack([read[doc_id] for doc_id in doc_ids]),
    )


def test_among_many_documents_the_first_fifty_are_reordered_and_nothing_else() -> None:
    retriever = reranking_at_random(1000)
    before = [doc.doc_id for doc in Retriever(retriever.pair, retriever.index, retriever.adapter).search(QUERY, 80)]
    found = retriever.search(QUERY, 80)
    after = [doc.doc_id for doc in found]
    assert set(after[:N_REREAD]) == set(before[:N_REREAD])
    assert after[:N_REREAD] != before[:N_REREAD]
    assert after[N_REREAD:] == before[N_REREAD:]
    assert all(left.score >= right.score for left, right in pairwise(found))


def test_texts_read_after_the_first_thousand_change_no_ranking() -> None:
    assert reranking_at_random(1200).search(QUERY, 80) == reranking_at_random(1000).search(QUERY, 80)
    assert reranking_at_random(900).search(QUERY, 80) != reranking_at_random(1000).search(QUERY, 80)
