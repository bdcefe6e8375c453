"""Worlds of vectors: random directions, and a world whose queries are shifted, which only labels can put right."""

from dataclasses import dataclass

import numpy as np

from era.adapter import QueryAdapter
from era.encoders.base import EncodedQueries, Vectors
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts, DecodingConfig, align_by_decoding
from era.method.candidates import LabelledQueries, label
from era.types import Qrels, Query, ScoredDoc
from tests.worlds.words import identity_of

Judgments = dict[str, dict[str, float]]

N_DOCUMENTS = 40
P, M = 8, 5  # dimensions of the strong and the light vectors of random directions
DIMENSION = 4  # of the shifted world, whose embedders see documents alike
HALVES = DecodingConfig(light_weight=1.0, neighbour_weight=0.25)


class CountingIndex(DenseIndex):
    """Counts the query vectors it was asked about."""

    n_searched = 0

    def search(self, vectors: Vectors, k: int) -> list[list[ScoredDoc]]:
        self.n_searched += len(vectors)
        return super().search(vectors, k)


def random_unit_rows(n: int, dimension: int, seed: int) -> Vectors:
    """Return (n, dimension) directions drawn uniformly."""
    rows = np.random.default_rng(seed).normal(size=(n, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def index_of(vectors: Vectors) -> DenseIndex:
    """Return an index of the rows under the ids d000, d001, ..."""
    return DenseIndex([f"d{row:03}" for row in range(len(vectors))], vectors, identity_of("light", vectors.shape[1]))


def texts_of(index: DenseIndex, strong: Vectors) -> AlignmentTexts:
    """Return the alignment texts that are all the documents of the index, in its order."""
    doc_ids = [f"d{row:03}" for row in range(len(index))]
    return AlignmentTexts(doc_ids, strong, index.vectors(doc_ids))


def labelled_queries(encoded: EncodedQueries, qrels: Qrels, index: DenseIndex) -> LabelledQueries:
    """Return the queries q0, q1, ... of these vectors with their judgments."""
    queries = [Query(f"q{row}", f"text {row}") for row in range(len(encoded))]
    return label(queries, encoded, qrels, index)


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


def vector_world() -> VectorWorld:
    index = index_of(random_unit_rows(N_DOCUMENTS, M, seed=1))
    encoded = EncodedQueries(
        random_unit_rows(12, P, seed=3), random_unit_rows(12, P, seed=4), random_unit_rows(12, M, seed=5)
    )
    return VectorWorld(index, texts_of(index, random_unit_rows(N_DOCUMENTS, P, seed=2)), encoded)


@dataclass(frozen=True)
class ShiftedWorld:
    """Both embedders see the documents alike, but a query is asked with its coordinates moved on by one place.

    What is wanted is the document nearest to `wanted[i]` (grade 2) and the next one (grade 1); the strong embedder says
    `wanted[i]` rolled by one, the light one always the same. Alignment cannot know the shift, and labels tell it.
    """

    index: DenseIndex
    texts: AlignmentTexts
    aligned: QueryAdapter
    wanted: Vectors

    def nearest(self, i: int) -> list[str]:
        """Return the document ids by cosine with `wanted[i]`."""
        doc_ids = [f"d{row:03}" for row in range(N_DOCUMENTS)]
        return [doc_ids[row] for row in np.argsort(-(self.index.vectors(doc_ids) @ self.wanted[i]))]

    def judgments(self, n: int) -> Judgments:
        return {f"q{i}": {self.nearest(i)[0]: 2.0, self.nearest(i)[1]: 1.0} for i in range(n)}

    def labelled(self, judgments: Judgments) -> LabelledQueries:
        n = len(judgments)
        asked = np.roll(self.wanted[:n], 1, axis=1)
        encoded = EncodedQueries(asked, asked, np.full((n, DIMENSION), 0.5, np.float32))
        return labelled_queries(encoded, judgments, self.index)


def shifted_world() -> ShiftedWorld:
    vectors = random_unit_rows(N_DOCUMENTS, DIMENSION, seed=0)
    index = index_of(vectors)
    texts = texts_of(index, vectors)
    return ShiftedWorld(index, texts, align_by_decoding(texts, HALVES), random_unit_rows(30, DIMENSION, seed=1))


def bytes_of(adapter: QueryAdapter) -> bytes:
    return adapter.weight.tobytes() + adapter.bias.tobytes()
