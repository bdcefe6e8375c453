import numpy as np
import pytest

from era.alignment import (
    AlignmentTexts,
    DecodingConfig,
    align_by_decoding,
    read_alignment_texts,
)
from era.corpus import Corpus
from era.embedders import EmbedderPair, EncodedQueries, Vectors
from era.index import DenseIndex
from era.types import Document
from tests.fakes import WordEmbedder, identity_of, random_unit_rows

SIZES = [(50, 4, 7), (50, 7, 4), (6, 9, 9)]  # texts, p, m; the last: fewer texts than dimensions


def random_texts(n: int, p: int, m: int, seed: int = 0) -> AlignmentTexts:
    return AlignmentTexts([str(i) for i in range(n)], random_unit_rows(n, p, seed), random_unit_rows(n, m, seed + 100))


def ridge_decoder(texts: AlignmentTexts, share: float) -> np.ndarray:
    """Solve the ridge regression of strong on light vectors as least squares with sqrt(N lambda) I stacked below.

    The intercept is the difference of the means; returns the slopes (m, p).
    """
    g = texts.light - texts.light.mean(axis=0, dtype=np.float64)
    f = texts.strong - texts.strong.mean(axis=0, dtype=np.float64)
    n, m = g.shape
    ridge = share * np.linalg.eigvalsh(g.T @ g / n).mean()
    stacked = np.vstack([g, np.sqrt(n * ridge) * np.eye(m)])
    solution = np.linalg.lstsq(stacked, np.vstack([f, np.zeros((m, f.shape[1]))]), rcond=None)[0]
    return np.asarray(solution)


@pytest.mark.parametrize(("n", "p", "m"), SIZES)
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_align_by_decoding_equals_stacked_least_squares(n: int, p: int, m: int, share: float) -> None:
    texts = random_texts(n, p, m)
    adapter = align_by_decoding(texts, DecodingConfig(ridge=share, light_weight=0.7))
    folded = ridge_decoder(texts, share).T  # (p, m)
    centre = texts.strong.mean(axis=0, dtype=np.float64)
    scale = np.mean([np.linalg.norm((strong - centre) @ folded) for strong in texts.strong])
    assert adapter.views == ("mean", "light")
    np.testing.assert_allclose(adapter.weight[:p], folded / scale, atol=1e-5)
    np.testing.assert_allclose(adapter.weight[p:], 0.7 * np.eye(m), atol=1e-7)
    np.testing.assert_allclose(adapter.bias, -centre @ folded / scale, atol=1e-5)


def test_align_by_decoding_scores_as_the_strong_query_scores_reconstructed_documents() -> None:
    texts = random_texts(60, 8, 5)
    adapter = align_by_decoding(texts, DecodingConfig(light_weight=0.0))
    queries = random_unit_rows(7, 8, seed=1)
    documents = random_unit_rows(20, 5, seed=2)
    mapped = adapter.transform(EncodedQueries(queries, queries, random_unit_rows(7, 5, seed=3)))
    centre_f, centre_g = texts.strong.mean(axis=0), texts.light.mean(axis=0)
    reconstructed = (documents - centre_g) @ ridge_decoder(texts, 0.01)  # (20, p), without the mean of the strong side
    expected = (queries - centre_f) @ reconstructed.T  # (7, 20)
    found = mapped @ (documents - centre_g).T
    for row in range(7):  # the same up to a positive factor of each query
        factor = np.linalg.norm(expected[row]) / np.linalg.norm(found[row])
        np.testing.assert_allclose(found[row] * factor, expected[row], atol=1e-5)


def test_align_by_decoding_finds_a_linear_relation_exactly() -> None:
    light = random_unit_rows(80, 6, seed=0)
    relation = np.random.default_rng(1).normal(size=(6, 9))
    texts = AlignmentTexts([str(i) for i in range(80)], (light @ relation).astype(np.float32), light)
    adapter = align_by_decoding(texts, DecodingConfig(ridge=1e-7))
    found = adapter.weight[:9] / np.linalg.norm(adapter.weight[:9])
    np.testing.assert_allclose(found, relation.T / np.linalg.norm(relation), atol=1e-4)


def test_align_by_decoding_makes_mapped_texts_of_mean_length_1() -> None:
    texts = random_texts(50, 7, 4)
    adapter = align_by_decoding(texts)
    mapped = texts.strong @ adapter.weight[:7] + adapter.bias
    assert np.linalg.norm(mapped, axis=1).mean() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("constant", ["strong", "light", "both", "one text"])
def test_align_by_decoding_leaves_the_light_vector_when_nothing_can_be_learned(constant: str) -> None:
    n = 1 if constant == "one text" else 20
    strong, light = random_unit_rows(n, 4, seed=0), random_unit_rows(n, 3, seed=1)
    if constant in ("strong", "both"):
        strong[:] = strong[0]
    if constant in ("light", "both"):
        light[:] = light[0]
    adapter = align_by_decoding(AlignmentTexts([str(i) for i in range(n)], strong, light))
    queries = random_unit_rows(5, 4, seed=2)
    own = random_unit_rows(5, 3, seed=3)
    np.testing.assert_allclose(adapter.transform(EncodedQueries(queries, queries, own)), own, atol=1e-4)


@pytest.mark.parametrize(("ridge", "light_weight"), [(0, 1), (-1, 1), (0.01, -0.1)])
def test_decoding_config_refuses_values_out_of_range(ridge: float, light_weight: float) -> None:
    with pytest.raises(ValueError, match="Expected ridge"):
        DecodingConfig(ridge, light_weight)


def test_alignment_texts_refuse_unequal_numbers() -> None:
    with pytest.raises(ValueError, match="2 texts, 3 strong and 2 light"):
        AlignmentTexts(["a", "b"], random_unit_rows(3, 4, 0), random_unit_rows(2, 4, 0))


def test_read_alignment_texts_reads_every_document_of_a_small_corpus(
    corpus: Corpus, index: DenseIndex, pair: EmbedderPair
) -> None:
    texts = read_alignment_texts(corpus, index, pair)
    assert sorted(texts.doc_ids) == sorted(corpus.doc_ids)
    contents = corpus.contents(texts.doc_ids)
    np.testing.assert_array_equal(texts.strong, pair.strong.encode_documents(contents))
    np.testing.assert_array_equal(texts.light, index.vectors(texts.doc_ids))


def test_read_alignment_texts_reads_1000_documents_of_a_large_corpus() -> None:
    documents = [Document(str(i), "", "cat" if i % 2 else "dog") for i in range(1100)]
    strong, light = WordEmbedder("strong", ["cat"]), identity_of("light", 2)
    vectors: Vectors = np.tile(np.eye(2, dtype=np.float32), (550, 1))
    index = DenseIndex([document.doc_id for document in documents], vectors, light)
    pair = EmbedderPair(strong, WordEmbedder("light", ["cat"]))
    texts = read_alignment_texts(Corpus(documents), index, pair)
    assert len(set(texts.doc_ids)) == len(strong.texts_read) == 1000
    assert texts.doc_ids == read_alignment_texts(Corpus(documents), index, pair).doc_ids
    np.testing.assert_array_equal(texts.light[:, 1] == 1, [int(doc_id) % 2 == 1 for doc_id in texts.doc_ids])
    np.testing.assert_array_equal(texts.strong[:, 0] == 1, [int(doc_id) % 2 == 1 for doc_id in texts.doc_ids])
