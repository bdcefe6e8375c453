import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from era.adapter import QueryAdapter
from era.alignment import (
    AlignmentTexts,
    DecodingConfig,
    EncodingConfig,
    align_by_decoding,
    align_by_encoding,
    random_linear,
    read_alignment_texts,
)
from era.corpus import Corpus
from era.embedders import EmbedderPair, EncodedQueries, Vectors
from era.errors import Cancelled
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


def mean_cosine_loss(adapter: QueryAdapter, texts: AlignmentTexts) -> float:
    mapped = adapter.transform(EncodedQueries(texts.strong, texts.strong, texts.light))
    return float((1 - (mapped * texts.light).sum(axis=1)).mean())


def linearly_related_texts(n: int = 40) -> AlignmentTexts:
    strong = random_unit_rows(n, 6, seed=0)
    light = strong @ np.random.default_rng(1).normal(size=(6, 4))
    light /= np.linalg.norm(light, axis=1, keepdims=True)
    return AlignmentTexts([str(i) for i in range(n)], strong, light.astype(np.float32))


def test_align_by_encoding_brings_texts_close_to_their_light_vectors() -> None:
    texts = linearly_related_texts()
    untrained = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=0))
    trained = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=300, learning_rate=1e-2))
    assert mean_cosine_loss(untrained, texts) > 0.5
    assert mean_cosine_loss(trained, texts) < 0.01
    assert trained.views == ("instructed",)


def test_align_by_encoding_starts_from_the_default_initialisation() -> None:
    untrained = align_by_encoding(random_texts(20, 9, 200), "cpu", 0, EncodingConfig(n_epochs=0))
    reference = torch.nn.Linear(9, 200)  # uniform in +-1/3 by default
    assert untrained.weight.shape == (9, 200)
    for found, default in ((untrained.weight, reference.weight), (untrained.bias, reference.bias)):
        assert np.abs(found).max() <= 1 / 3
        assert np.abs(found).max() > 0.32
        assert abs(found.mean()) < 0.05
        assert found.std() == pytest.approx(float(default.detach().std()), abs=0.025)


def test_random_linear_touches_no_global_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    random_linear(4, 5, torch.Generator().manual_seed(1), "cpu")
    assert torch.equal(torch.rand(3), expected)


def test_align_by_encoding_gives_the_same_bytes_for_the_same_seed() -> None:
    texts = linearly_related_texts()
    config = EncodingConfig(n_epochs=3, batch_size=8)
    first, again = (align_by_encoding(texts, "cpu", 5, config) for _ in range(2))
    assert first.weight.tobytes() == again.weight.tobytes()
    assert first.bias.tobytes() == again.bias.tobytes()
    assert align_by_encoding(texts, "cpu", 6, config).weight.tobytes() != first.weight.tobytes()


@pytest.mark.parametrize("n_epochs", [1, 7])
def test_align_by_encoding_equals_a_linear_layer_trained_by_adamw(n_epochs: int) -> None:
    texts = linearly_related_texts()
    start = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=0))
    layer = torch.nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start.weight.T.copy()))
        layer.bias.copy_(torch.from_numpy(start.bias))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=0.01)
    strong, light = torch.from_numpy(texts.strong[:36]), torch.from_numpy(texts.light[:36])  # nine tenths of 40
    for _ in range(n_epochs):  # one batch holds all, so the order does not matter
        optimizer.zero_grad()
        (1 - cosine_similarity(layer(strong), light)).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=n_epochs))
    np.testing.assert_allclose(found.weight, layer.weight.detach().numpy().T, atol=1e-6)
    np.testing.assert_allclose(found.bias, layer.bias.detach().numpy(), atol=1e-6)
    assert np.abs(found.weight - start.weight).max() > 5e-4


def test_align_by_encoding_sees_every_training_text_once_an_epoch() -> None:
    texts = linearly_related_texts(30)
    # 27 training texts in batches of 10 make 3 steps; AdamW moves a weight by at most about its rate in each
    config = EncodingConfig(n_epochs=1, batch_size=10, weight_decay=0.0)
    start = align_by_encoding(texts, "cpu", 0, EncodingConfig(n_epochs=0))
    moved = np.abs(align_by_encoding(texts, "cpu", 0, config).weight - start.weight).max()
    assert 2e-3 < moved < 3.1e-3


def test_align_by_encoding_learns_nothing_from_the_last_tenth() -> None:
    texts = linearly_related_texts()
    light = texts.light.copy()
    light[36:] = -light[36:]
    changed = AlignmentTexts(texts.doc_ids, texts.strong, light)
    config = EncodingConfig(n_epochs=2)
    first, second = (align_by_encoding(t, "cpu", 0, config) for t in (texts, changed))
    assert first.weight.tobytes() == second.weight.tobytes()


def test_align_by_encoding_takes_a_single_text() -> None:
    adapter = align_by_encoding(random_texts(1, 4, 3), "cpu", 0, EncodingConfig(n_epochs=2))
    assert np.isfinite(adapter.weight).all()


def test_align_by_encoding_reports_every_epoch_and_stops_when_the_report_raises() -> None:
    reported: list[float] = []

    def report(stage: str, fraction: float, detail: str = "") -> None:
        reported.append(fraction)
        if fraction == 0.5:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        align_by_encoding(random_texts(5, 4, 3), "cpu", 0, EncodingConfig(n_epochs=4), report)
    assert reported == [0.25, 0.5]


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
