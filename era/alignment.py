"""Stage 1: bring the strong query embedder and the light document embedder into one space, without labels.

The default, in closed form: reconstruct the strong vector of a document from its light one. The published way, the
other direction by gradient descent, is in `era.encoding_alignment`; both learn from the same texts read by both.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryAdapter
from era.corpus import Corpus
from era.embedders import EmbedderPair, Vectors
from era.index import DenseIndex
from era.progress import Progress, no_progress

N_ALIGNMENT_TEXTS = 1000
ALIGNMENT_SEED = 42

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentTexts:
    """The same N texts as both embedders see them: `strong` (N, p) and `light` (N, m), rows of length 1."""

    doc_ids: Sequence[str]
    strong: Vectors
    light: Vectors

    def __post_init__(self) -> None:
        if not len(self.doc_ids) == len(self.strong) == len(self.light):
            raise ValueError(
                f"Expected as many vectors as texts, got {len(self.doc_ids)} texts, "
                f"{len(self.strong)} strong and {len(self.light)} light vectors."
            )


def read_alignment_texts(
    corpus: Corpus, index: DenseIndex, pair: EmbedderPair, progress: Progress = no_progress
) -> AlignmentTexts:
    """Embed up to 1,000 documents, drawn with seed 42, with the strong embedder; take their light vectors as indexed.

    The drawn documents are the only ones the strong embedder ever reads.
    """
    doc_ids = index.sample(N_ALIGNMENT_TEXTS, ALIGNMENT_SEED)
    strong = pair.strong.encode_documents(corpus.contents(doc_ids), progress)
    return AlignmentTexts(doc_ids, strong, index.vectors(doc_ids))


@dataclass(frozen=True, slots=True)
class DecodingConfig:
    """Settings of `align_by_decoding`.

    Attributes:
        ridge: strength of the ridge, as a share of the mean eigenvalue of the light covariance; > 0.
        light_weight: weight of the light half beside the strong half of the query; >= 0.
    """

    ridge: float = 0.01
    light_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.ridge <= 0 or self.light_weight < 0:
            raise ValueError(f"Expected ridge > 0 and light_weight >= 0, got {self.ridge} and {self.light_weight}.")


def align_by_decoding(texts: AlignmentTexts, config: DecodingConfig | None = None) -> QueryAdapter:
    """Return the adapter whose scores use the best linear reconstruction of strong document vectors from light ones.

    Ridge regression of the centred strong vectors on the centred light ones gives a decoder B (m, p); the score
    `f(q) . (g(d) B)` equals `(f(q) B^T) . g(d)`, so the decoder folds into the query side. The light query vector is
    added with weight `light_weight`: exact terms survive. Averaging the query read with and without its instruction
    is the `mean` view. The intercept of the regression adds the same to every document of a query and is left out.

    Returns:
        An adapter on the views `mean` (p) and `light` (m).
    """
    config = config or DecodingConfig()
    strong, light = texts.strong.astype(np.float64), texts.light.astype(np.float64)
    strong_mean = strong.mean(axis=0)
    strong_centred, light_centred = strong - strong_mean, light - light.mean(axis=0)
    covariance = add_ridge(light_centred.T @ light_centred / len(light), config.ridge)
    decoder = np.linalg.solve(covariance, light_centred.T @ strong_centred / len(light))  # (m, p)
    strong_map = decoder.T  # (p, m)
    mean_length = np.linalg.norm(strong_centred @ strong_map, axis=1).mean()
    strong_map = strong_map / max(mean_length, 1e-12)
    weight = np.concatenate([strong_map, config.light_weight * np.eye(light.shape[1])])
    return QueryAdapter(
        views=("mean", "light"),
        weight=weight.astype(np.float32),
        bias=(-strong_mean @ strong_map).astype(np.float32),
        provenance={"alignment": "decoding", **asdict(config), "n_texts": len(texts.doc_ids)},
    )


def add_ridge(covariance: Matrix, share: float) -> Matrix:
    """Return the (d, d) matrix with `share` of its mean eigenvalue added to the diagonal; never singular."""
    mean_eigenvalue = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    return covariance + share * mean_eigenvalue * np.eye(len(covariance))
