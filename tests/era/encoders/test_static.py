"""The table of word vectors read in bulk: bit for bit what the model's own `encode` gives."""

import random

import numpy as np
import pytest

from era.encoders.bundled import load_bundled_light
from era.encoders.static import StaticTableEmbedder
from era.errors import Cancelled

TEXTS = ["cats purr", "", "  \n", "naïve 🦉 ﷽ \x00", "a" * 5000, "The owl, the OWL; the owl!", "\u202eright to left"]


@pytest.fixture(scope="module")
def light() -> StaticTableEmbedder:
    loaded = load_bundled_light()
    assert isinstance(loaded, StaticTableEmbedder)
    return loaded


def test_documents_have_the_bits_of_the_models_own_encode(light: StaticTableEmbedder) -> None:
    draw = random.Random(5)
    words = ["owl", "cathedral", "ß", "12.5%", "don't", "Übergrößenträger", "\t", "e-mail@x.org"]
    texts = TEXTS + [" ".join(draw.choices(words, k=draw.randint(0, 80))) for _ in range(600)]
    expected = light.model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert np.array_equal(light.encode_documents(texts), expected)


def test_a_document_has_the_same_bits_alone_and_among_others(light: StaticTableEmbedder) -> None:
    together = light.encode_documents(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
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
