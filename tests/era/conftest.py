"""A small world of random directions, and the small world of words, as the tests of `era` use them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from era.corpus import Corpus
from era.encoders.base import EmbedderPair, EncodedQueries
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts
from era.method.candidates import LabelledQueries
from era.types import Document
from tests.fakes import (
    ANIMALS,
    TOPICS,
    index_of,
    labelled_queries,
    random_unit_rows,
    texts_of,
    word_pair,
)

P, M = 8, 5  # dimensions of the strong and the light vectors
N_DOCUMENTS = 40


@dataclass(frozen=True)
class VectorWorld:
    """Documents and queries that are nothing but random directions."""

    index: DenseIndex
    texts: AlignmentTexts
    encoded: EncodedQueries

    def labelled(self, *judgments: dict[str, float]) -> LabelledQueries:
        """Return the first queries, one for each dictionary of judgments."""
        n = len(judgments)
        encoded = EncodedQueries(self.encoded.instructed[:n], self.encoded.plain[:n], self.encoded.light[:n])
        return labelled_queries(encoded, {f"q{i}": grades for i, grades in enumerate(judgments)}, self.index)


@pytest.fixture
def vector_world() -> VectorWorld:
    index = index_of(random_unit_rows(N_DOCUMENTS, M, seed=1))
    encoded = EncodedQueries(
        random_unit_rows(12, P, seed=3), random_unit_rows(12, P, seed=4), random_unit_rows(12, M, seed=5)
    )
    return VectorWorld(index, texts_of(index, random_unit_rows(N_DOCUMENTS, P, seed=2)), encoded)


@pytest.fixture
def corpus() -> Corpus:
    """One document for each animal and topic, `cat-feeding`, `cat-illness`, ..."""
    return Corpus(Document(f"{animal}-{topic}", animal, topic) for animal in ANIMALS for topic in TOPICS)


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
