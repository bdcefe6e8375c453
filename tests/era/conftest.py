"""The worlds of words and of random directions, as the tests of `era` use them."""

from collections.abc import Callable

import pytest

from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts
from tests.worlds import vectors as worlds
from tests.worlds.words import DOCUMENTS, word_pair


@pytest.fixture
def vector_world() -> worlds.VectorWorld:
    return worlds.vector_world()


@pytest.fixture(scope="session")
def shifted() -> worlds.ShiftedWorld:
    return worlds.shifted_world()


@pytest.fixture
def corpus() -> Corpus:
    """One document for each animal and topic, `cat-feeding`, `cat-illness`, ..."""
    return Corpus(DOCUMENTS)


@pytest.fixture
def pair() -> EmbedderPair:
    return word_pair()


@pytest.fixture
def index(corpus: Corpus, pair: EmbedderPair) -> DenseIndex:
    vectors = pair.light.encode_documents(corpus.contents(corpus.doc_ids))
    return DenseIndex(corpus.doc_ids, vectors, pair.light.identity)


@pytest.fixture
def texts(corpus: Corpus, index: DenseIndex, pair: EmbedderPair) -> AlignmentTexts:
    strong = pair.strong.encode_documents(corpus.contents(corpus.doc_ids))
    return AlignmentTexts(corpus.doc_ids, strong, index.vectors(corpus.doc_ids))


@pytest.fixture
def flip_byte() -> Callable[[bytes, int], bytes]:
    """Return a function that gives the bytes back with every bit of one of them changed."""

    def flip(content: bytes, place: int) -> bytes:
        changed = bytearray(content)
        changed[place] ^= 0xFF
        return bytes(changed)

    return flip
