"""A made-up world that only labels can put right."""

from dataclasses import dataclass

import numpy as np

from era.adapter import QueryAdapter
from era.encoders.base import EncodedQueries, Vectors
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts, DecodingConfig, align_by_decoding
from era.method.candidates import LabelledQueries
from tests.fakes import index_of, labelled_queries, random_unit_rows, texts_of

Judgments = dict[str, dict[str, float]]

DIMENSION = 4
N_DOCUMENTS = 40
HALVES = DecodingConfig(light_weight=1.0, neighbour_weight=0.25)


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
