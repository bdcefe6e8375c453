import numpy as np
import pytest

from era.adapter import QueryAdapter, light_only, strong_only
from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.errors import IdentityMismatchError
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.method.alignment import AlignmentTexts, align_by_decoding
from era.retriever import LexicalRetriever, Retriever
from era.types import Query
from tests.era.stopping import assert_stops
from tests.worlds.vectors import random_unit_rows
from tests.worlds.words import WordEmbedder, light_embedder, strong_embedder, word_pair


@pytest.fixture
def adapter() -> QueryAdapter:
    """13 dimensions of `instructed` and 11 of `light` to the 11 of the index."""
    return QueryAdapter(("instructed", "light"), random_unit_rows(24, 11, seed=0), random_unit_rows(1, 11, seed=1)[0])


QUERIES = [Query("1", "cat", "vet"), Query("2", "dog illness"), Query("3", "trout", "owner feeding"), Query("4", "x")]


def test_run_equals_scoring_every_document(
    pair: EmbedderPair, index: DenseIndex, adapter: QueryAdapter, texts: object
) -> None:
    run = Retriever(pair, index, adapter).run(QUERIES, 5)
    doc_ids = index.sample(len(index), 0)
    documents = index.vectors(doc_ids).astype(np.float64)
    assert list(run) == ["1", "2", "3", "4"]
    for query in QUERIES:
        strong = pair.strong.encode_queries([query])[0]
        light = pair.light.encode_queries([Query("", query.text)])[0]
        vector = np.concatenate([strong, light]).astype(np.float64) @ adapter.weight + adapter.bias
        scores = dict(zip(doc_ids, documents @ vector / np.linalg.norm(vector), strict=True))
        expected = sorted(scores, key=lambda doc_id: -scores[doc_id])[:5]
        assert [doc.doc_id for doc in run[query.query_id]] == expected
        np.testing.assert_allclose(
            [doc.score for doc in run[query.query_id]], [scores[doc_id] for doc_id in expected], atol=1e-5
        )


def test_search_gives_the_ranking_that_run_gives(pair: EmbedderPair, index: DenseIndex, adapter: QueryAdapter) -> None:
    retriever = Retriever(pair, index, adapter)
    run = retriever.run(QUERIES, 3)
    for query in QUERIES:
        found = retriever.search(query, 3)
        assert [doc.doc_id for doc in found] == [doc.doc_id for doc in run[query.query_id]]
        np.testing.assert_allclose([doc.score for doc in found], [doc.score for doc in run[query.query_id]], atol=1e-6)


def test_search_by_the_light_vector_finds_the_words(pair: EmbedderPair, index: DenseIndex) -> None:
    found = Retriever(pair, index, light_only(11)).search(Query("1", "dog illness", "owner"), 3)
    assert found[0].doc_id == "dog-illness"
    assert found[0].score == pytest.approx(1, abs=1e-6)
    assert found[1].score == pytest.approx(0.5, abs=1e-6)  # one word of two in common


def test_retriever_refuses_an_index_of_another_embedder(pair: EmbedderPair, index: DenseIndex) -> None:
    other = WordEmbedder("another", [str(i) for i in range(10)])
    with pytest.raises(IdentityMismatchError, match=r"The document index was made with light .*another"):
        Retriever(EmbedderPair(pair.strong, other), index, light_only(11))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (light_only(10), "10 to 10 dimensions.* 11 to 11"),
        (QueryAdapter(("mean", "light"), np.ones((395, 11), np.float32), np.ones(11, np.float32)), "395 to 11.* 24 to"),
        (QueryAdapter(("instructed",), np.ones((11, 11), np.float32), np.ones(11, np.float32)), "11 to 11.* 13 to 11"),
    ],
    ids=["another index", "another strong embedder", "the light dimension for the strong one"],
)
def test_retriever_refuses_an_adapter_of_other_dimensions(
    pair: EmbedderPair, index: DenseIndex, adapter: QueryAdapter, message: str
) -> None:
    with pytest.raises(IdentityMismatchError, match=message):
        Retriever(pair, index, adapter)


def test_search_asks_the_strong_embedder_only_for_adapters_that_read_it(index: DenseIndex) -> None:
    strong, light = strong_embedder(), light_embedder()
    pair = EmbedderPair(strong, light)
    found = Retriever(pair, index, light_only(11)).run(QUERIES, 3)
    assert strong.texts_read == []
    assert light.texts_read == ["cat", "dog illness", "trout", "x"]
    assert found["2"][0].doc_id == "dog-illness"
    adapter = QueryAdapter(("light", "mean"), random_unit_rows(24, 11, seed=0), np.zeros(11, np.float32))
    Retriever(pair, index, adapter).run(QUERIES, 3)
    assert strong.texts_read


def test_retriever_takes_an_adapter_that_reads_neighbours(
    pair: EmbedderPair, index: DenseIndex, texts: AlignmentTexts
) -> None:
    adapter = align_by_decoding(texts)
    assert adapter.views == ("mean", "light", "neighbours")
    assert Retriever(pair, index, adapter).search(Query("1", "cat illness"), 1)[0].doc_id == "cat-illness"


def test_run_stops_when_the_report_raises(index: DenseIndex, adapter: QueryAdapter) -> None:
    queries = [Query(str(i), f"cat {i}") for i in range(30)]
    assert_stops(lambda progress: Retriever(word_pair(), index, adapter).run(queries, 3, progress), 0.6)


def strong_index(pair: EmbedderPair, index: DenseIndex) -> DenseIndex:
    """Return the documents of the small world as the strong embedder reads them."""
    doc_ids = index.sample(len(index), 0)
    contents = [doc_id.replace("-", " ") for doc_id in doc_ids]
    return DenseIndex(doc_ids, pair.strong.encode_documents(contents), pair.strong.identity)


def test_the_strong_embedder_alone_searches_by_the_mean_of_a_query_with_and_without_instruction(
    pair: EmbedderPair, index: DenseIndex
) -> None:
    retriever = Retriever(pair, strong_index(pair, index), strong_only(13))
    found = retriever.search(Query("1", "cat illness", "owner"), 2)
    assert found[0].doc_id == "cat-illness"
    # "owner cat illness" holds sqrt(2 / 3) of "cat illness" and sqrt(1 / 3) of "owner"
    across, along = (1 / 3) ** 0.5, (2 / 3) ** 0.5 + 1
    assert found[0].score == pytest.approx(along / (along**2 + across**2) ** 0.5, abs=1e-6)
    [vector] = retriever.query_vectors([Query("1", "cat")])
    np.testing.assert_allclose(vector, pair.strong.encode_queries([Query("1", "cat")])[0], atol=1e-6)


@pytest.mark.parametrize("adapter", [light_only(11), light_only(13), strong_only(11)])
def test_an_index_of_the_strong_embedder_needs_an_adapter_that_leads_there(
    pair: EmbedderPair, index: DenseIndex, adapter: QueryAdapter
) -> None:
    with pytest.raises(IdentityMismatchError):
        Retriever(pair, strong_index(pair, index), adapter)


def test_an_adapter_of_the_strong_embedder_does_not_fit_the_light_index(pair: EmbedderPair, index: DenseIndex) -> None:
    with pytest.raises(IdentityMismatchError, match="13 to 13"):
        Retriever(pair, index, strong_only(13))


def test_words_alone_rank_only_documents_that_share_one(pair: EmbedderPair, index: DenseIndex, corpus: Corpus) -> None:
    retriever = LexicalRetriever(pair, index, light_only(11), LexicalIndex(corpus, index))
    run = retriever.run([Query("1", "cat illness", "dog"), Query("2", "unknown"), Query("3", "the and")], 3)
    assert [doc.doc_id for doc in run["1"]][:2] == ["cat-illness", "cat-feeding"]  # the instruction does not count
    assert [doc.score for doc in run["1"]] == sorted((doc.score for doc in run["1"]), reverse=True)
    assert (len(run["1"]), run["2"], run["3"]) == (3, [], [])
    assert retriever.search(Query("1", "trout"), 99) == retriever.search(Query("2", "trout"), 2)


def test_words_alone_cannot_rank_without_words(pair: EmbedderPair, index: DenseIndex) -> None:
    with pytest.raises(ValueError, match="words of the corpus"):
        LexicalRetriever(pair, index, light_only(11)).search(Query("1", "cat"), 1)


def test_words_count_beside_the_vectors_of_either_embedder(
    pair: EmbedderPair, index: DenseIndex, corpus: Corpus
) -> None:
    documents = strong_index(pair, index)
    words = LexicalIndex(corpus, index).beside(documents)
    plain = Retriever(pair, documents, strong_only(13)).search(Query("1", "cat illness"), 16)
    added = Retriever(pair, documents, strong_only(13), words).search(Query("1", "cat illness"), 16)
    before, after = ({doc.doc_id: doc.score for doc in ranking} for ranking in (plain, added))
    gains = {doc_id: after[doc_id] - before[doc_id] for doc_id in before}
    assert max(gains, key=lambda doc_id: gains[doc_id]) == "cat-illness"
    assert gains["dog-feeding"] == pytest.approx(0, abs=1e-6)
    assert gains["cat-feeding"] > gains["dog-illness"] > 0
