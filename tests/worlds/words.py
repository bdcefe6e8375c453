"""The world of words: an animal and a topic a document, and embedders whose vectors can be worked out on paper."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from era.adapter import normalise
from era.encoders.base import EmbedderIdentity, EmbedderPair, Vectors
from era.progress import Progress, no_progress
from era.types import Document, Query

ANIMALS = ("cat", "dog", "trout", "wren", "newt", "hare", "seal", "moth")
"""Texts of the small world: an animal and a topic. Both embedders know these words as they are."""

TOPICS = ("feeding", "illness")

READERS = ("owner", "vet")
"""Words that only the strong embedder knows, and that no document uses."""

WANTED_TOPIC = {"owner": "feeding", "vet": "illness"}
DOCUMENTS = [Document(f"{animal}-{topic}", animal, topic) for animal in ANIMALS for topic in TOPICS]
QUERIES = [Query(f"{animal}-{reader}", animal, reader) for animal in ANIMALS[:6] for reader in READERS]
QRELS = {
    f"{animal}-{reader}": {
        f"{animal}-{topic}": float(topic == WANTED_TOPIC[reader]) for topic in TOPICS
    }
    for animal in ANIMALS[:6]
    for reader in READERS
}  # fmt: skip
"""Every query with its wanted document relevant and the other document of its animal not relevant."""

RELEVANT = {
    query_id: {doc_id: grade for doc_id, grade in grades.items() if grade} for query_id, grades in QRELS.items()
}
"""Every query with its wanted document alone."""

GRADED_TEXT = " ".join(" ".join([animal] * (7 - place)) for place, animal in enumerate(ANIMALS)) + " feeding" * 8
"""A query that the light embedder ranks without ties: cat-feeding scores 15, dog-feeding 14, ... moth-illness 0."""

GRADED_RANKING = [f"{animal}-{topic}" for topic in TOPICS for animal in ANIMALS]


def identity_of(name: str, dimension: int) -> EmbedderIdentity:
    """Return the identity of a made-up embedder."""
    return EmbedderIdentity(name, "1", dimension, None, "", "")


class WordEmbedder:
    """Counts the words it knows: word i adds 1 to dimension i, the last dimension stands for a text without any.

    Vectors have length 1. A query with an instruction is read as instruction, blank, text. `texts_read` keeps what was
    embedded, in order; documents are kept.
    """

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self._identity = identity_of(name, len(words) + 1)
        self._place_of: Mapping[str, int] = {word: place for place, word in enumerate(words)}
        self.texts_read: list[str] = []
        self._documents: set[str] = set()

    @property
    def identity(self) -> EmbedderIdentity:
        return self._identity

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        return self._encode([f"{query.instruction} {query.text}".strip() for query in queries])

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        vectors = self._encode(texts)
        self._documents.update(texts)
        progress("embedding", 1.0, f"{len(texts)} texts")
        return vectors

    def kept_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        is_known = np.array([text in self._documents for text in texts], bool)
        return is_known, self._count(texts) * is_known[:, None]

    def _encode(self, texts: Sequence[str]) -> Vectors:
        self.texts_read.extend(texts)
        return self._count(texts)

    def _count(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self._identity.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                if word in self._place_of:
                    vectors[row, self._place_of[word]] += 1
            if not vectors[row].any():
                vectors[row, -1] = 1
        return normalise(vectors)


class TableEmbedder:
    """Looks up the vector of each text in a table; a query with an instruction is read as instruction, blank, text."""

    def __init__(self, name: str, vector_of: Mapping[str, Vectors]) -> None:
        self._vector_of = vector_of
        self._identity = identity_of(name, len(next(iter(vector_of.values()))))

    @property
    def identity(self) -> EmbedderIdentity:
        return self._identity

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        return self.encode_documents([f"{query.instruction} {query.text}".strip() for query in queries])

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        progress("embedding", 1.0, f"{len(texts)} texts")
        return normalise(np.stack([self._vector_of[text] for text in texts]))

    def kept_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        return np.zeros(len(texts), bool), np.zeros((len(texts), self._identity.dimension), np.float32)


def strong_embedder() -> WordEmbedder:
    """Return the embedder that knows the readers' words too; dimension 13."""
    return WordEmbedder("strong", [*ANIMALS, *TOPICS, *READERS])


def light_embedder() -> WordEmbedder:
    """Return the embedder that knows animals and topics only; dimension 11."""
    return WordEmbedder("light", [*ANIMALS, *TOPICS])


def word_pair() -> EmbedderPair:
    """Return a fresh pair of the two, with an empty memory."""
    return EmbedderPair(strong_embedder(), light_embedder())
