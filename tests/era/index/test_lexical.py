from dataclasses import replace

import numpy as np
import pytest

from era.adapter import light_only
from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.index.dense import DenseIndex
from era.index.lexical import WORD_WEIGHT, LexicalIndex, n_candidates
from era.retriever import Retriever
from era.types import Document, Query
from tests.worlds.vectors import random_unit_rows
from tests.worlds.words import light_embedder, strong_embedder

DOCUMENTS = [
    Document("alpha", "", "the quick zebra runs"),
    Document("beta", "zebra", "a zebra and a zebra"),
    Document("gamma", "", "nothing of the kind"),
    Document("delta", "", "kind words"),
]


@pytest.fixture(scope="module")
def index() -> DenseIndex:
    embedder = light_embedder()
    vectors = random_unit_rows(4, embedder.identity.dimension, seed=1)
    return DenseIndex([document.doc_id for document in DOCUMENTS], vectors, embedder.identity)


@pytest.fixture(scope="module")
def lexical(index: DenseIndex) -> LexicalIndex:
    return LexicalIndex(Corpus(DOCUMENTS), index)


def bm25_by_hand(word: str) -> dict[str, float]:
    """Lucene's BM25 (k1 1.5, b 0.75) of one word, written down once more from its formula."""
    stop_words = {"the", "a", "and", "of"}
    texts = {d.doc_id: [w for w in d.content.lower().split() if w not in stop_words and len(w) > 1] for d in DOCUMENTS}
    mean_length = sum(map(len, texts.values())) / len(texts)
    n_holding = sum(word in words for words in texts.values())
    idf = np.log(1 + (len(texts) - n_holding + 0.5) / (n_holding + 0.5))
    scores = {}
    for doc_id, words in texts.items():
        n = words.count(word)
        if n:
            scores[doc_id] = float(idf * n / (n + 1.5 * (1 - 0.75 + 0.75 * len(words) / mean_length)))
    return scores


def test_search_scores_words_by_bm25_of_title_and_text(lexical: LexicalIndex) -> None:
    found, spread = lexical.search("Zebra!", 10)
    expected = bm25_by_hand("zebra")
    assert found == pytest.approx(expected, rel=1e-5)
    assert list(found) == ["beta", "alpha"]
    assert spread == pytest.approx(np.std([*expected.values(), 0, 0]), rel=1e-5)
    assert list(lexical.search("zebra", 1)[0]) == ["beta"]


def test_document_terms_are_what_each_stem_of_a_document_scores(lexical: LexicalIndex) -> None:
    expected = {
        stem: bm25_by_hand(word)["alpha"] for stem, word in (("quick", "quick"), ("zebra", "zebra"), ("run", "runs"))
    }
    assert lexical.document_terms("alpha") == pytest.approx(expected, rel=1e-5)
    assert lexical.document_terms("beta") == pytest.approx({"zebra": bm25_by_hand("zebra")["beta"]}, rel=1e-5)
    with pytest.raises(KeyError):
        lexical.document_terms("omega")


def test_scores_add_up_terms_as_they_weigh(lexical: LexicalIndex) -> None:
    zebra, kind = bm25_by_hand("zebra"), bm25_by_hand("kind")
    found = lexical.scores({"zebra": 2.0, "kind": 0.5, "nowhere": 3.0})
    expected = [2 * zebra.get(each.doc_id, 0.0) + 0.5 * kind.get(each.doc_id, 0.0) for each in DOCUMENTS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert lexical.terms("zebras of a zebra, nowhere kind") == {"zebra": 2, "kind": 1}


def test_search_finds_other_forms_of_a_word(lexical: LexicalIndex) -> None:
    assert list(lexical.search("running zebras", 10)[0]) == ["alpha", "beta"]
    assert lexical.search("zebras", 10) == lexical.search("zebra", 10)


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        (["Die alten Häuser und der Garten", "Es ist nicht mehr so kalt wie am Abend zuvor"], "Haus"),
        (["東京都の天気予報", "大阪の料理"], "東京"),
    ],
)
def test_words_are_matched_in_the_language_of_the_corpus(texts: list[str], query: str) -> None:
    corpus = Corpus([Document(f"d{number}", "", text) for number, text in enumerate(texts)])
    embedder = light_embedder()
    vectors = random_unit_rows(2, embedder.identity.dimension, seed=6)
    lexical = LexicalIndex(corpus, DenseIndex(list(corpus.doc_ids), vectors, embedder.identity))
    assert list(lexical.search(query, 3)[0]) == ["d0"]


SCRIPTS = [
    "図書館で本を借りる方法を説明します。",
    "炊飯器の掃除の仕方です。",
    "如何在图书馆借书以及归还书籍",
    "電車 の 遅延 証明書",
    "도서관에서 책을 빌리는 방법",
    "วิธียืมหนังสือจากห้องสมุด",
    "how to borrow a book from the library in R or C",
    "كيف أستعير كتابا من المكتبة",
    "पुस्तकालय से किताब कैसे लें",
    "ｶﾞｲﾄﾞ ver. 7",
]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        *[("図書館", 0), ("本", 0), ("電車の遅延", 3), ("书", 2), ("图书馆", 2), ("책", 4), ("빌리다", 4)],
        *[("ห้องสมุด", 5), ("หนังสือ", 5), ("library", 6), ("R", 6), ("c", 6), ("Ｃ", 6), ("كِتَابًا", 7), ("किताब", 8)],
        *[("ガイド", 9), ("７", 9), ("ガイド 本", 9)],
    ],
)
def test_words_of_any_script_and_of_one_letter_are_found_in_a_mixed_corpus(query: str, first: int) -> None:
    embedder = light_embedder()
    corpus = Corpus([Document(f"d{number}", "", text) for number, text in enumerate(SCRIPTS)])
    vectors = random_unit_rows(len(SCRIPTS), embedder.identity.dimension, seed=6)
    lexical = LexicalIndex(corpus, DenseIndex(list(corpus.doc_ids), vectors, embedder.identity))
    assert next(iter(lexical.search(query, 10)[0])) == f"d{first}"


@pytest.mark.parametrize("text", ["", "  ", "the of and", "unheardof", "?!", "\x00", "日本"])
def test_search_finds_nothing_where_no_word_is_shared(lexical: LexicalIndex, text: str) -> None:
    assert lexical.search(text, 10)[0] == {}


@pytest.mark.parametrize("texts", [[""], ["the", "of"], ["\x00", "?"]])
def test_a_corpus_without_words_is_searched_like_any_other(texts: list[str]) -> None:
    corpus = Corpus([Document(f"d{number}", "", text) for number, text in enumerate(texts)])
    embedder = light_embedder()
    vectors = random_unit_rows(len(texts), embedder.identity.dimension, seed=6)
    lexical = LexicalIndex(corpus, DenseIndex(list(corpus.doc_ids), vectors, embedder.identity))
    assert lexical.search("zebra", 3) == ({}, 0.0)
    assert lexical.document_terms("d0") == {}
    assert len(lexical.rank(["zebra"], vectors[:1], 3)[0]) == len(texts)


def test_words_add_their_share_of_the_spread_to_the_cosine(lexical: LexicalIndex, index: DenseIndex) -> None:
    [vector] = random_unit_rows(1, index.embedder.dimension, seed=2)
    ids = [document.doc_id for document in DOCUMENTS]
    cosines = dict(zip(ids, (index.vectors(ids) @ vector).tolist(), strict=True))
    words = bm25_by_hand("zebra")
    scale = WORD_WEIGHT * np.std(list(cosines.values())) / np.std([*words.values(), 0, 0])
    expected = {doc_id: cosines[doc_id] + scale * words.get(doc_id, 0.0) for doc_id in ids}
    [ranking] = lexical.rank(["zebra"], vector[None], 4)
    assert [doc.doc_id for doc in ranking] == sorted(ids, key=lambda doc_id: -expected[doc_id])
    assert {doc.doc_id: doc.score for doc in ranking} == pytest.approx(expected, abs=1e-5)


def test_a_text_can_be_read_as_terms_of_any_weight(lexical: LexicalIndex, index: DenseIndex) -> None:
    [vector] = random_unit_rows(1, index.embedder.dimension, seed=8)
    ids = [document.doc_id for document in DOCUMENTS]
    cosines = index.vectors(ids) @ vector
    zebra, kind = bm25_by_hand("zebra"), bm25_by_hand("kind")
    words = np.array([0.2 * zebra.get(doc_id, 0.0) + 0.6 * kind.get(doc_id, 0.0) for doc_id in ids])
    scores = cosines + 2.0 * np.std(cosines) * words / np.std(words)
    for terms in ({"zebra": 0.2, "kind": 0.6}, {"zebra": 1.0, "kind": 3.0, "nowhere": 1.0}):
        [ranking, as_ever] = lexical.reading_as("a text", terms).rank(
            ["a text", "zebra"], np.stack([vector] * 2), 3, 2.0
        )
        assert [doc.doc_id for doc in ranking] == [ids[place] for place in np.argsort(-scores)[:3]]
        assert [doc.score for doc in ranking] == pytest.approx(sorted(scores, reverse=True)[:3], abs=1e-5)
        assert as_ever == lexical.rank(["zebra"], vector[None], 3, 2.0)[0]


def test_mixtures_of_terms_add_what_they_would_add_alone(lexical: LexicalIndex, index: DenseIndex) -> None:
    [vector] = random_unit_rows(1, index.embedder.dimension, seed=8)
    ids = [document.doc_id for document in DOCUMENTS]
    zebra, kind = (
        np.array([by_hand.get(doc_id, 0.0) for doc_id in ids])
        for by_hand in (bm25_by_hand("zebra"), bm25_by_hand("kind"))
    )
    mixtures = np.array([[1.0, 0.0], [0.7, 0.3], [0.0, 0.0]])
    found = lexical.added_by_mixtures([{"zebra": 1.0}, {"kind": 1.0}], mixtures, vector, ["delta", "beta"])
    spread = np.std(index.vectors(ids) @ vector)
    expected = [(spread * words / np.std(words))[[3, 1]] for words in (zebra, 0.7 * zebra + 0.3 * kind)]
    np.testing.assert_allclose(found, [*expected, [0, 0]], rtol=1e-4)


def test_without_a_shared_word_the_ranking_is_that_of_the_vectors(lexical: LexicalIndex, index: DenseIndex) -> None:
    vectors = random_unit_rows(3, index.embedder.dimension, seed=3)
    assert lexical.rank(["nowhere"] * 3, vectors, 2) == index.search(vectors, 2)


def test_a_document_far_away_is_found_by_its_words() -> None:
    documents = [Document(f"d{number}", "", f"filler{number}") for number in range(400)] + [
        Document("wanted", "", "XK-4711 manual")
    ]
    embedder = light_embedder()
    vectors = random_unit_rows(401, embedder.identity.dimension, seed=4)
    query = random_unit_rows(1, embedder.identity.dimension, seed=5)
    place = int(np.argsort(-(vectors @ query[0]))[300])
    vectors[[400, place]] = vectors[[place, 400]]  # 300 documents are nearer
    index = DenseIndex([document.doc_id for document in documents], vectors, embedder.identity)
    assert "wanted" not in [doc.doc_id for doc in index.search(query, 300)[0]]
    [ranking] = LexicalIndex(Corpus(documents), index).rank(["xk-4711"], query, 10)
    assert ranking[0].doc_id == "wanted"


def test_a_ranking_up_to_the_candidates_is_the_beginning_of_any_other(lexical: LexicalIndex, index: DenseIndex) -> None:
    vectors = random_unit_rows(1, index.embedder.dimension, seed=7)
    [longest] = lexical.rank(["zebra kind"], vectors, 4)
    assert [lexical.rank(["zebra kind"], vectors, k)[0] for k in range(1, 5)] == [longest[:k] for k in range(1, 5)]
    assert [n_candidates(k) for k in (1, 100, 101, 1000)] == [100, 100, 101, 1000]


def test_a_retriever_counts_words_only_where_it_is_told_to(lexical: LexicalIndex, index: DenseIndex) -> None:
    pair = EmbedderPair(strong_embedder(), light_embedder())
    without = Retriever(pair, index, light_only(index.embedder.dimension))
    with_words = Retriever(pair, index, light_only(index.embedder.dimension), lexical)
    query = Query("q", "zebra")
    vectors = without.query_vectors([query])
    assert without.search(query, 4) == index.search(vectors, 4)[0]
    assert with_words.search(query, 4) == lexical.rank(["zebra"], vectors, 4)[0]
    assert with_words.run([query], 4) == {"q": with_words.search(query, 4)}


def test_words_weigh_what_the_adapter_says_or_the_query_is_given(lexical: LexicalIndex, index: DenseIndex) -> None:
    pair, queries = EmbedderPair(strong_embedder(), light_embedder()), [Query("q", "zebra"), Query("r", "zebra")]
    adapter = replace(light_only(index.embedder.dimension), word_weight=2.0)
    retriever = Retriever(pair, index, adapter, lexical)
    vectors = retriever.query_vectors(queries)
    by_weight = {weight: lexical.rank(["zebra"], vectors[:1], 4, weight)[0] for weight in (0.0, 0.5, 2.0)}
    assert retriever.search(queries[0], 4) == by_weight[2.0]
    assert retriever.rank(queries, vectors, 4, [0.5, 0.0]) == [by_weight[0.5], by_weight[0.0]]
    assert by_weight[0.0] == index.search(vectors[:1], 4)[0]
    added = lexical.added("zebra", vectors[0], 4, 0.5)
    cosines = {doc.doc_id: doc.score for doc in by_weight[0.0]}
    expected = {doc.doc_id: cosines[doc.doc_id] + added.get(doc.doc_id, 0.0) for doc in by_weight[0.5]}
    assert {doc.doc_id: doc.score for doc in by_weight[0.5]} == pytest.approx(expected, abs=1e-6)
