import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import fractional_matrix_power

from era.adapter import QueryView, normalise
from era.corpus import Corpus
from era.encoders.base import EmbedderPair, EncodedQueries, Vectors
from era.index.dense import DenseIndex
from era.method.alignment import (
    RIDGES,
    AlignmentTexts,
    DecodingConfig,
    align_by_decoding,
    chosen_ridge,
    read_alignment_texts,
    whitening,
)
from era.progress import Progress, no_progress
from era.types import Document
from tests.era.stopping import assert_stops
from tests.worlds.vectors import random_unit_rows
from tests.worlds.words import ANIMALS, WordEmbedder, identity_of, light_embedder

Matrix = NDArray[np.float64]

PLAIN = DecodingConfig(views=("mean", "light"), ridge=0.01, strong_whitening=0.0, light_whitening=0.0, light_weight=1.0)
"""Nothing but the reconstruction and the light vector as it is."""

SIZES = [(50, 4, 7), (50, 7, 4), (6, 9, 9)]  # texts, p, m; the last: fewer texts than dimensions


class SlowEmbedder(WordEmbedder):
    """Reads one text at a time, and reports each."""

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        vectors = []
        for done, text in enumerate(texts, start=1):
            vectors.append(super().encode_documents([text]))
            progress("embedding", done / len(texts))
        return np.concatenate(vectors)


def random_texts(n: int, p: int, m: int, seed: int = 0) -> AlignmentTexts:
    return AlignmentTexts([str(i) for i in range(n)], random_unit_rows(n, p, seed), random_unit_rows(n, m, seed + 100))


def ridge_decoder(texts: AlignmentTexts, share: float) -> Matrix:
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


def centred(vectors: Vectors) -> Matrix:
    return np.asarray(vectors - vectors.mean(axis=0, dtype=np.float64), np.float64)


def whitened(vectors: Vectors, power: float, ridge: float) -> Matrix:
    """Return the covariance of the vectors, with a share of its mean eigenvalue added, to the power of `-power`."""
    covariance = np.cov(vectors.astype(np.float64), rowvar=False, bias=True)
    ridged = covariance + ridge * np.linalg.eigvalsh(covariance).mean() * np.eye(len(covariance))
    return np.asarray(fractional_matrix_power(ridged, -power))  # by Schur and Pade, not by eigenvectors


def mean_length(vectors: NDArray[np.floating[Any]]) -> float:
    return float(np.mean([np.linalg.norm(row) for row in vectors]))


@pytest.mark.parametrize(("n", "p", "m"), SIZES)
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_align_by_decoding_without_whitening_equals_stacked_least_squares(n: int, p: int, m: int, share: float) -> None:
    texts = random_texts(n, p, m)
    adapter = align_by_decoding(texts, dataclasses.replace(PLAIN, ridge=share))
    folded = ridge_decoder(texts, share).T  # (p, m)
    centre = texts.strong.mean(axis=0, dtype=np.float64)
    scale = mean_length(centred(texts.strong) @ folded)
    assert adapter.views == ("mean", "light")
    np.testing.assert_allclose(adapter.weight[:p], folded / scale, atol=1e-5)
    np.testing.assert_allclose(adapter.weight[p:], np.eye(m), atol=1e-6)
    np.testing.assert_allclose(adapter.bias, -centre @ folded / scale, atol=1e-5)


@pytest.mark.parametrize(("n", "p", "m"), SIZES)
@pytest.mark.parametrize(
    "config",
    [
        DecodingConfig(ridge=0.01),
        DecodingConfig(ridge=0.01, strong_whitening=1.0, light_whitening=0.0, whitening_ridge=0.3),
        DecodingConfig(strong_whitening=0.0, light_whitening=1.0, ridge=0.2, light_weight=3.0, neighbour_weight=2.0),
    ],
)
def test_align_by_decoding_whitens_each_half_and_scales_it_to_mean_length_1(
    n: int, p: int, m: int, config: DecodingConfig
) -> None:
    texts = random_texts(n, p, m)
    adapter = align_by_decoding(texts, config)
    assert config.ridge is not None
    strong = whitened(texts.strong, config.strong_whitening, config.whitening_ridge)
    strong = strong @ ridge_decoder(texts, config.ridge).T
    strong /= mean_length(centred(texts.strong) @ strong)
    light = whitened(texts.light, config.light_whitening, config.whitening_ridge)
    assert adapter.views == ("mean", "light", "neighbours")
    np.testing.assert_allclose(adapter.weight[:p], strong, atol=2e-5)
    np.testing.assert_allclose(adapter.bias, -texts.strong.mean(axis=0) @ strong, atol=2e-5)
    light_half = config.light_weight * light / mean_length(texts.light @ light)
    np.testing.assert_allclose(adapter.weight[p : p + m], light_half, atol=2e-5 * max(1.0, config.light_weight))
    neighbours = config.neighbour_weight * light / mean_length(centred(texts.light) @ light)
    np.testing.assert_allclose(adapter.weight[p + m :], neighbours, atol=2e-5 * np.abs(neighbours).max())


def expected_error(f: Matrix, g: Matrix, share: float, share_read: float) -> float:
    """Return the mean squared error of a ridge regression with an intercept over the corpus, from its hat matrix.

    That of the texts themselves where they are what is ranked, else the generalised cross-validation score.
    """
    n = len(g)
    kernel = g @ g.T / n
    ridge = share * np.linalg.eigvalsh(g.T @ g / n).mean()
    hat = kernel @ np.linalg.inv(kernel + ridge * np.eye(n)) + np.ones((n, n)) / n
    error = ((f - hat @ f) ** 2).sum() / n
    return float(share_read * error + (1 - share_read) * error / (1 - np.trace(hat) / n) ** 2)


def related_texts(n: int, p: int, m: int, noise: float) -> tuple[Matrix, Matrix]:
    """Return strong and light vectors of n texts, centred, the strong ones a noisy linear map of the light ones."""
    rng = np.random.default_rng(n)
    light = rng.normal(size=(n, m)) * np.linspace(2, 0.2, m)
    strong = light @ rng.normal(size=(m, p)) + noise * rng.normal(size=(n, p))
    return strong - strong.mean(axis=0), light - light.mean(axis=0)


@pytest.mark.parametrize("share_read", [0.0, 0.3, 0.95])
@pytest.mark.parametrize(("n", "noise"), [(3, 0.5), (10, 3.0), (20, 1.0), (40, 2.0), (40, 20.0)])
def test_chosen_ridge_has_the_least_expected_error_up_to_one_text_a_dimension(
    n: int, noise: float, share_read: float
) -> None:
    strong, light = related_texts(n, 30, 40, noise)
    best = min(RIDGES, key=lambda share: expected_error(strong, light, share, share_read))
    assert chosen_ridge(strong, light, share_read) == pytest.approx(best)


def test_chosen_ridge_is_divided_by_the_square_of_the_texts_per_dimension() -> None:
    strong, light = related_texts(60, 30, 20, noise=20.0)
    best = min(RIDGES, key=lambda share: expected_error(strong, light, share, 0.0))
    assert best > 0.1
    assert chosen_ridge(strong, light, 0.0) == pytest.approx(best / 9)
    assert chosen_ridge(*related_texts(2000, 3, 5, noise=0.01), 0.0) == 0.01  # and never below


def test_chosen_ridge_is_the_smallest_where_every_document_was_read() -> None:
    assert chosen_ridge(*related_texts(40, 30, 40, noise=20.0), 1.0) == 0.01


@pytest.mark.parametrize(("n", "whitening_ridge"), [(50, 0.1), (9, 0.1), (6, 0.15), (3, 0.3)])
def test_align_by_decoding_settles_its_ridges_by_the_texts_and_says_which(n: int, whitening_ridge: float) -> None:
    texts = dataclasses.replace(random_texts(n, 4, 9), share_read=0.5)
    adapter = align_by_decoding(texts)
    expected = chosen_ridge(centred(texts.strong), centred(texts.light), 0.5)
    assert adapter.provenance["ridge"] == pytest.approx(expected)
    assert adapter.provenance["whitening_ridge"] == pytest.approx(whitening_ridge)


def test_settled_settings_give_the_same_adapter_again_when_the_corpus_has_grown() -> None:
    texts = dataclasses.replace(random_texts(20, 30, 40), share_read=1.0)
    settled = DecodingConfig().settled(texts)
    grown = dataclasses.replace(texts, share_read=0.1)
    assert settled.settled(grown) == settled != DecodingConfig().settled(grown)
    np.testing.assert_array_equal(align_by_decoding(grown, settled).weight, align_by_decoding(texts).weight)


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_whitening_is_the_power_of_the_covariance_up_to_a_factor(power: float) -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    covariance = turn @ np.diag([1.0, 2.0, 9.0]) @ turn.T  # mean 4; with a ridge of half of it 3, 4 and 11
    found = whitening(covariance, power, ridge=0.5)
    expected = turn @ np.diag([3.0**-power, 4.0**-power, 11.0**-power]) @ turn.T
    np.testing.assert_allclose(found / np.trace(found), expected / np.trace(expected), atol=1e-10)
    np.testing.assert_allclose(found, found.T, atol=1e-12)


def test_whitening_by_half_makes_the_covariance_round() -> None:
    light = random_unit_rows(200, 4, seed=0) * np.array([5, 1, 1, 0.2], np.float32)
    covariance = np.cov(light.astype(np.float64), rowvar=False)
    spread = np.linalg.eigvalsh(np.cov(light @ whitening(covariance, 0.5, 1e-9), rowvar=False))
    np.testing.assert_allclose(spread / spread.mean(), np.ones(4), atol=1e-5)
    np.testing.assert_allclose(whitening(covariance, 0.0, 0.1), np.eye(4), atol=1e-9)


ORDERS: list[tuple[QueryView, ...]] = [
    ("light", "mean", "neighbours"),
    ("neighbours", "mean", "light"),
    ("mean", "neighbours"),
    ("mean", "instructed"),
    ("instructed",),
]


@pytest.mark.parametrize("views", ORDERS, ids="+".join)
def test_align_by_decoding_puts_the_halves_in_the_order_of_the_views(views: tuple[QueryView, ...]) -> None:
    texts = random_texts(50, 4, 7)
    usual = align_by_decoding(texts)
    adapter = align_by_decoding(texts, DecodingConfig(views=views))
    for view in views:
        same: QueryView = "mean" if view == "instructed" else view
        np.testing.assert_array_equal(adapter.weight[adapter.rows(view)], usual.weight[usual.rows(same)])
    n_strong = sum(view in ("mean", "instructed") for view in views)
    np.testing.assert_allclose(adapter.bias, n_strong * usual.bias, atol=1e-6)  # once for each centred view
    assert (adapter.neighbourhood is not None) == ("neighbours" in views)
    assert len(adapter.weight) == sum(4 if view in ("mean", "instructed") else 7 for view in views)


def test_align_by_decoding_looks_up_neighbours_among_the_texts() -> None:
    texts = random_texts(30, 6, 4)
    adapter = align_by_decoding(texts, DecodingConfig(neighbour_temperature=1e-3))
    encoded = EncodedQueries(texts.strong, texts.strong, np.zeros((30, 4), np.float32))
    found = adapter.features(encoded)[:, adapter.rows("neighbours")]
    np.testing.assert_allclose(found, centred(texts.light), atol=1e-4)  # the nearest to a text is the text


def test_align_by_decoding_without_whitening_scores_as_the_strong_query_scores_reconstructed_documents() -> None:
    texts = random_texts(60, 8, 5)
    adapter = align_by_decoding(texts, dataclasses.replace(PLAIN, views=("mean",)))
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
    adapter = align_by_decoding(texts, dataclasses.replace(PLAIN, ridge=1e-7))
    found = adapter.weight[:9] / np.linalg.norm(adapter.weight[:9])
    np.testing.assert_allclose(found, relation.T / np.linalg.norm(relation), atol=1e-4)


@pytest.mark.parametrize(("n", "p", "m"), SIZES)
def test_align_by_decoding_weighs_the_halves_by_their_mean_length_over_the_texts(n: int, p: int, m: int) -> None:
    texts = random_texts(n, p, m)
    adapter = align_by_decoding(texts)
    strong = texts.strong @ adapter.weight[:p] + adapter.bias
    assert mean_length(strong) == pytest.approx(1, abs=1e-4)
    assert mean_length(texts.light @ adapter.weight[p : p + m]) == pytest.approx(0.7, abs=1e-4)
    neighbours = centred(texts.light) @ adapter.weight[p + m :]
    assert mean_length(neighbours) == pytest.approx(0.5, abs=1e-4)


def query_like(text: int, texts: AlignmentTexts) -> EncodedQueries:
    row = slice(text, text + 1)
    return EncodedQueries(texts.strong[row], texts.strong[row], texts.light[row])


@pytest.mark.parametrize(("p", "m"), [(2, 9), (1, 4), (9, 2)])
def test_align_by_decoding_takes_embedders_of_any_two_sizes(p: int, m: int) -> None:
    rng = np.random.default_rng(0)
    meaning = normalise(rng.normal(size=(60, min(p, m))).astype(np.float32))
    strong = normalise((meaning @ rng.normal(size=(min(p, m), p))).astype(np.float32))
    light = normalise((meaning @ rng.normal(size=(min(p, m), m))).astype(np.float32))
    texts = AlignmentTexts([str(i) for i in range(60)], strong, light)
    adapter = align_by_decoding(texts)
    assert adapter.weight.shape == (p + 2 * m, m)
    nearest = [int((adapter.transform(query_like(i, texts)) @ light.T).argmax()) for i in range(60)]
    assert np.mean([float(light[i] @ light[place]) for i, place in enumerate(nearest)]) > 0.85


def test_align_by_decoding_tells_two_texts_apart() -> None:
    texts = random_texts(2, 5, 3)
    adapter = align_by_decoding(texts)
    for text in (0, 1):
        scores = texts.light @ adapter.transform(query_like(text, texts))[0]
        assert scores.argmax() == text


def test_align_by_decoding_searches_by_the_light_vector_when_there_is_one_text() -> None:
    queries, own = random_unit_rows(5, 4, seed=2), random_unit_rows(5, 3, seed=3)
    found = align_by_decoding(random_texts(1, 4, 3)).transform(EncodedQueries(queries, queries, own))
    np.testing.assert_allclose(found, own, atol=1e-5)


@pytest.mark.parametrize("n", [2, 20, 1000])
def test_align_by_decoding_searches_by_the_light_half_when_the_strong_embedder_cannot_tell_texts_apart(n: int) -> None:
    strong = np.repeat(random_unit_rows(1, 4, seed=0), n, axis=0)
    texts = AlignmentTexts([str(i) for i in range(n)], strong, random_unit_rows(n, 3, seed=1))
    adapter = align_by_decoding(texts)
    queries, own = random_unit_rows(5, 4, seed=2), random_unit_rows(5, 3, seed=3)
    expected = normalise(own @ adapter.weight[adapter.rows("light")])
    np.testing.assert_allclose(adapter.transform(EncodedQueries(queries, queries, own)), expected, atol=1e-4)


@pytest.mark.parametrize("n", [2, 20, 1000])
@pytest.mark.parametrize("is_strong_constant", [True, False])
def test_align_by_decoding_searches_by_the_light_vector_when_all_light_vectors_are_the_same(
    n: int, is_strong_constant: bool
) -> None:
    strong = random_unit_rows(n, 4, seed=0)
    if is_strong_constant:
        strong[:] = strong[0]
    light = np.repeat(random_unit_rows(1, 3, seed=1), n, axis=0)
    adapter = align_by_decoding(AlignmentTexts([str(i) for i in range(n)], strong, light))
    queries, own = random_unit_rows(5, 4, seed=2), random_unit_rows(5, 3, seed=3)
    np.testing.assert_allclose(adapter.transform(EncodedQueries(queries, queries, own)), own, atol=1e-4)


@pytest.mark.parametrize(
    "values",
    [
        {"ridge": 0.0},
        {"ridge": -1.0},
        {"whitening_ridge": 0.0},
        {"light_weight": -0.1},
        {"neighbour_weight": -0.1},
        {"views": ("light",)},
        {"views": ("light", "neighbours")},
    ],
)
def test_decoding_config_refuses_values_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"Expected ridges|must be the strong embedder's"):
        DecodingConfig(**values)  # type: ignore[arg-type]


def test_settings_of_a_run_are_read_as_they_were_saved() -> None:
    config = DecodingConfig(views=("mean", "neighbours"), ridge=0.2, light_weight=0.4, neighbour_weight=0.3)
    assert DecodingConfig.from_saved(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_settings_of_a_run_before_version_0_6_have_a_light_half_that_weighs_1() -> None:
    saved = {"views": ["mean", "light", "neighbours"], "ridge": 0.01, "neighbour_weight": 0.25}
    assert DecodingConfig.from_saved(saved) == DecodingConfig(ridge=0.01, light_weight=1.0, neighbour_weight=0.25)


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
    assert texts.share_read == 1


@pytest.mark.parametrize(("n", "n_read"), [(4000, 4000), (1000, 1000), (9000, 4100)])
def test_read_alignment_texts_reads_as_many_as_are_wanted(n: int, n_read: int) -> None:
    documents = [Document(str(i), "", "cat" if i % 2 else "dog") for i in range(4100)]
    strong, light = WordEmbedder("strong", ["cat"]), identity_of("light", 2)
    vectors: Vectors = np.tile(np.eye(2, dtype=np.float32), (2050, 1))
    index = DenseIndex([document.doc_id for document in documents], vectors, light)
    pair = EmbedderPair(strong, WordEmbedder("light", ["cat"]))
    texts = read_alignment_texts(Corpus(documents), index, pair, n=n)
    assert len(set(texts.doc_ids)) == len(strong.texts_read) == n_read
    assert texts.share_read == n_read / 4100
    assert texts.doc_ids == index.sample(n, seed=42)
    assert texts.doc_ids[:1000] == index.sample(1000, seed=42)  # those that earlier versions read
    np.testing.assert_array_equal(texts.light[:, 1] == 1, [int(doc_id) % 2 == 1 for doc_id in texts.doc_ids])
    np.testing.assert_array_equal(texts.strong[:, 0] == 1, [int(doc_id) % 2 == 1 for doc_id in texts.doc_ids])


@pytest.mark.parametrize("share_read", [-0.1, 1.1])
def test_alignment_texts_refuse_a_share_that_is_none(share_read: float) -> None:
    with pytest.raises(ValueError, match="share_read from 0 to 1"):
        AlignmentTexts(["a"], random_unit_rows(1, 4, 0), random_unit_rows(1, 4, 0), share_read)


def test_further_texts_come_after_those_that_were_read(corpus: Corpus, index: DenseIndex, pair: EmbedderPair) -> None:
    strong = pair.strong
    assert isinstance(strong, WordEmbedder)
    all_at_once = read_alignment_texts(corpus, index, pair)
    few = read_alignment_texts(corpus, index, pair, n=3)
    n_read = len(strong.texts_read)
    more = read_alignment_texts(corpus, index, pair, n=5, known=few)
    assert len(strong.texts_read) == n_read + 2
    assert few.doc_ids == all_at_once.doc_ids[:3]
    assert more.doc_ids == all_at_once.doc_ids[:5]
    assert more.share_read == 5 / len(index)
    np.testing.assert_array_equal(more.strong, all_at_once.strong[:5])
    np.testing.assert_array_equal(more.light, all_at_once.light[:5])
    assert read_alignment_texts(corpus, index, pair, n=4, known=more).doc_ids == more.doc_ids
    assert len(strong.texts_read) == n_read + 2


def test_texts_that_were_drawn_from_other_documents_are_not_read_twice(
    corpus: Corpus, index: DenseIndex, pair: EmbedderPair
) -> None:
    last = read_alignment_texts(corpus, index, pair).doc_ids[-2:]
    known = AlignmentTexts.among(index, last, pair.strong.encode_documents(corpus.contents(last)))
    texts = read_alignment_texts(corpus, index, pair, n=4, known=known)
    assert texts.doc_ids[:2] == last
    assert len(set(texts.doc_ids)) == 4


def test_the_first_texts_are_the_same_texts_and_as_much_less_of_the_corpus() -> None:
    texts = random_texts(8, 4, 3)
    first = dataclasses.replace(texts, share_read=0.5).first(2)
    assert first.doc_ids == ["0", "1"]
    assert first.share_read == 0.125
    np.testing.assert_array_equal(first.strong, texts.strong[:2])
    np.testing.assert_array_equal(first.light, texts.light[:2])
    assert texts.first(9) is texts


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_read_alignment_texts_stops_when_the_report_raises(share: float, index: DenseIndex, corpus: Corpus) -> None:
    strong = SlowEmbedder("strong", ANIMALS)
    pair = EmbedderPair(strong, light_embedder())
    assert_stops(lambda progress: read_alignment_texts(corpus, index, pair, progress), share)
    assert len(strong.texts_read) == len(corpus) + 1 + int(share * (len(corpus) - 1))  # all, then up to the stop
