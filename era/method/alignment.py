"""Stage 1: bring the strong query embedder and the light document embedder into one space, without labels.

The default, in closed form: reconstruct the strong vector of a document from its light one. The published way, the
other direction by gradient descent, is in `era.method.paper`; both learn from the same texts read by both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryAdapter, QueryView
from era.corpus import Corpus
from era.encoders.base import EmbedderPair, Vectors
from era.encoders.spec import MAX_ALIGNMENT_TEXTS
from era.index.dense import DenseIndex
from era.method.expansion import Neighbourhood
from era.progress import Progress, no_progress

ALIGNMENT_SEED = 42

RIDGES: tuple[float, ...] = tuple(10 ** (step / 4) for step in range(4, -9, -1))
"""What `chosen_ridge` tries, as shares of the mean eigenvalue of the light covariance."""

_SMALLEST_RIDGE = min(RIDGES)

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentTexts:
    """The same N texts as both embedders see them: `strong` (N, p) and `light` (N, m), rows of length 1.

    In the order in which they were drawn, so that the first of them are a sample as well.
    `share_read` is the share of the documents to be ranked that these texts are, from 0 (few of many) to 1 (all).
    """

    doc_ids: Sequence[str]
    strong: Vectors
    light: Vectors
    share_read: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share_read <= 1:
            raise ValueError(f"Expected share_read from 0 to 1, got {self.share_read}.")
        if not len(self.doc_ids) == len(self.strong) == len(self.light):
            raise ValueError(
                f"Expected as many vectors as texts, got {len(self.doc_ids)} texts, "
                f"{len(self.strong)} strong and {len(self.light)} light vectors."
            )

    @classmethod
    def among(cls, index: DenseIndex, doc_ids: Sequence[str], strong: Vectors) -> "AlignmentTexts":
        """Return the texts of documents of an index, `strong` (N, p) being what the strong embedder made of them."""
        return cls(doc_ids, strong, index.vectors(doc_ids), len(doc_ids) / max(len(index), 1))

    def first(self, n: int) -> "AlignmentTexts":
        """Return the first n texts; all of them if there are no more."""
        if n >= len(self.doc_ids):
            return self
        return AlignmentTexts(
            self.doc_ids[:n], self.strong[:n], self.light[:n], self.share_read * n / len(self.doc_ids)
        )


def read_alignment_texts(
    corpus: Corpus,
    index: DenseIndex,
    pair: EmbedderPair,
    progress: Progress = no_progress,
    n: int = MAX_ALIGNMENT_TEXTS,
    known: AlignmentTexts | None = None,
) -> AlignmentTexts:
    """Embed documents, drawn with seed 42, with the strong embedder; take their light vectors as indexed.

    The drawn documents are the only ones the strong embedder ever reads. Fewer texts are the first of more.

    Args:
        corpus: the documents.
        index: of the same documents.
        pair: the embedders.
        progress: told about embedding.
        n: how many texts there are in the end; all documents if there are no more.
        known: texts that were read before, which come first and are not read again.
    """
    doc_ids, strong = ([*known.doc_ids], known.strong) if known is not None else ([], None)
    further = further_texts(index, doc_ids, n)
    if further or strong is None:
        read = pair.strong.encode_documents(corpus.contents(further), progress)
        strong = read if strong is None else np.concatenate([strong, read])
    return AlignmentTexts.among(index, [*doc_ids, *further], strong)


def further_texts(index: DenseIndex, doc_ids: Sequence[str], n: int) -> list[str]:
    """Return which documents to read next so that there are n texts, where these were read before."""
    known = set(doc_ids)
    drawn = (doc_id for doc_id in index.sample(n, ALIGNMENT_SEED) if doc_id not in known)
    return list(islice(drawn, max(n - len(known), 0)))


@dataclass(frozen=True, slots=True)
class DecodingConfig:
    """Settings of `align_by_decoding`.

    Attributes:
        views: what the query side reads; see `QueryView`.
        ridge: strength of the ridge, as a share of the mean eigenvalue of the light covariance; > 0. None until it
            is settled by the texts, see `settled`.
        strong_whitening: power of the strong covariance that is divided out; 0 for none, 1 for all of it.
        light_whitening: the same for the light covariance.
        whitening_ridge: added to both covariances before, as a share of their mean eigenvalue; > 0.
        light_weight: weight of the light half beside the strong half, which weighs 1; >= 0.
        neighbour_weight: weight of the neighbours beside them; >= 0.
        neighbour_temperature: see `Neighbourhood.build`.
    """

    views: tuple[QueryView, ...] = ("mean", "light", "neighbours")
    ridge: float | None = None
    strong_whitening: float = 0.25
    light_whitening: float = 0.5
    whitening_ridge: float = 0.1
    light_weight: float = 0.7
    neighbour_weight: float = 0.5
    neighbour_temperature: float = 0.4

    def __post_init__(self) -> None:
        ridges = [self.whitening_ridge] if self.ridge is None else [self.whitening_ridge, self.ridge]
        if min(ridges) <= 0 or min(self.light_weight, self.neighbour_weight) < 0:
            raise ValueError(f"Expected ridges > 0 and weights >= 0, got {self}.")
        if not {"mean", "instructed"} & set(self.views):
            raise ValueError(f"One view must be the strong embedder's, got {self.views}.")

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any]) -> "DecodingConfig":
        """Return the settings that a run was saved with; before version 0.7.0 the light half always weighed 1."""
        return cls(**{"light_weight": 1.0, **saved, "views": tuple(saved["views"])})

    def settled(self, texts: AlignmentTexts) -> "DecodingConfig":
        """Return the settings for these texts, which give the same adapter again whatever else the corpus becomes.

        A ridge that is None is chosen, see `chosen_ridge`. Then the ridge of the whitening grows as light dimensions
        per text where that is above 1: a covariance is known badly from few texts. Given ridges stay as they are.
        """
        if self.ridge is not None:
            return self
        strong, light = texts.strong.astype(np.float64), texts.light.astype(np.float64)
        ridge = chosen_ridge(strong - strong.mean(axis=0), light - light.mean(axis=0), texts.share_read)
        growth = max(1.0, light.shape[1] / len(light))
        return replace(self, ridge=ridge, whitening_ridge=growth * self.whitening_ridge)


def align_by_decoding(texts: AlignmentTexts, config: DecodingConfig | None = None) -> QueryAdapter:
    """Return the adapter whose scores add up what the strong and the light embedder would say of a document.

    Strong half: ridge regression of the centred strong vectors on the centred light ones gives a decoder B (m, p); the
    score `f(q) P (g(d) B)` equals `(f(q) P B^T) . g(d)`, so the decoder folds into the query side. P is a partial
    whitening: what all documents share says little about any of them. Light half: the light vector of the query,
    partially whitened likewise, so that exact terms survive. Neighbours: the light vectors of the texts that the strong
    embedder puts near the query. Each part is scaled to a mean length of 1 over the texts before it is weighted. The
    intercept of the regression adds the same to every document of a query and is left out.
    """
    config = (config or DecodingConfig()).settled(texts)
    strong, light = texts.strong.astype(np.float64), texts.light.astype(np.float64)
    strong_mean = strong.mean(axis=0)
    strong_centred, light_centred = strong - strong_mean, light - light.mean(axis=0)
    light_covariance = light_centred.T @ light_centred / len(light)
    decoder = _decoder(strong_centred, light_centred, light_covariance, config)
    strong_covariance = strong_centred.T @ strong_centred / len(strong)
    strong_map = whitening(strong_covariance, config.strong_whitening, config.whitening_ridge) @ decoder.T  # (p, m)
    strong_map /= _mean_length(strong_centred @ strong_map)
    light_map = whitening(light_covariance, config.light_whitening, config.whitening_ridge)  # (m, m)
    light_length = _mean_length(light @ light_map)
    centred_length = max(_mean_length(light_centred @ light_map), 1e-6 * light_length)  # all 0 if all texts are one
    maps: dict[QueryView, Matrix] = {
        "mean": strong_map,
        "instructed": strong_map,
        "light": config.light_weight * light_map / light_length,
        "neighbours": config.neighbour_weight * light_map / centred_length,
    }
    neighbourhood = None
    if "neighbours" in config.views:
        neighbourhood = Neighbourhood.build(texts.strong, texts.light, config.neighbour_temperature)
    n_strong_views = sum(view in ("mean", "instructed") for view in config.views)
    return QueryAdapter(
        views=config.views,
        weight=np.concatenate([maps[view] for view in config.views]).astype(np.float32),
        bias=(-n_strong_views * strong_mean @ strong_map).astype(np.float32),
        provenance={"alignment": "decoding", **asdict(config), "n_texts": len(texts.doc_ids)},
        neighbourhood=neighbourhood,
    )


@dataclass(frozen=True, slots=True)
class AlignmentFit:
    """How well strong vectors can be read from light ones, on texts that the reading was not learned from.

    Attributes:
        explained_variance: share of the variance of the strong vectors around the mean of the texts learned from, at
            most 1, below 0 if the mean alone were nearer; None where there is none to explain.
        mean_cosine: of the strong vectors and what was read; None as above.
        n: texts; each was read by what the other half taught.
    """

    explained_variance: float | None
    mean_cosine: float | None
    n: int


def alignment_fit(texts: AlignmentTexts, config: DecodingConfig | None = None) -> AlignmentFit:
    """Return how well the decoder of `align_by_decoding` reads texts it has not seen, every second text in turn."""
    config, n = config or DecodingConfig(), len(texts.doc_ids)
    strong, light = texts.strong.astype(np.float64), texts.light.astype(np.float64)
    is_even, unexplained, variance, cosines = np.arange(n) % 2 == 0, 0.0, 0.0, 0.0
    for is_learned in (is_even, ~is_even) if n > 1 else ():
        strong_mean, light_mean = strong[is_learned].mean(axis=0), light[is_learned].mean(axis=0)
        light_centred = light[is_learned] - light_mean
        light_covariance = light_centred.T @ light_centred / len(light_centred)
        strong_centred = strong[is_learned] - strong_mean
        decoder = _decoder(strong_centred, light_centred, light_covariance, config)
        wanted, read = strong[~is_learned], (light[~is_learned] - light_mean) @ decoder + strong_mean
        unexplained += float(((wanted - read) ** 2).sum())
        variance += float(((wanted - strong_mean) ** 2).sum())
        lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(read, axis=1)
        cosines += float(((wanted * read).sum(axis=1) / np.maximum(lengths, 1e-12)).sum())
    if variance <= 1e-9 * n:
        return AlignmentFit(None, None, n)
    return AlignmentFit(1 - unexplained / variance, cosines / n, n)


def _decoder(strong_centred: Matrix, light_centred: Matrix, light_covariance: Matrix, config: DecodingConfig) -> Matrix:
    """Return (m, p): the ridge regression of centred strong vectors on centred light ones, of others than these."""
    ridge = config.ridge or chosen_ridge(strong_centred, light_centred, share_read=0.0)
    covariance = light_centred.T @ strong_centred / len(light_centred)
    return np.asarray(np.linalg.solve(add_ridge(light_covariance, ridge), covariance), np.float64)


def chosen_ridge(strong_centred: Matrix, light_centred: Matrix, share_read: float) -> float:
    """Return the ridge that suits so many texts, as a share of the mean eigenvalue of the light covariance.

    Out of `RIDGES`, the one with the least squared error over the corpus: of the texts themselves for the documents
    that are among them, of generalised cross-validation for the others. With more texts than light dimensions that is
    too much for a ranking, where the light half makes up for what the decoder leaves out; so it is divided by the
    square of the texts per dimension (benchmarks/LOG.md, 2026-11-30).

    Args:
        strong_centred: (N, p), minus their mean.
        light_centred: (N, m), minus their mean.
        share_read: of the documents to be ranked, see `AlignmentTexts`.

    Source: Golub, Heath and Wahba 1979, with the intercept as one more degree of freedom.
    """
    n, m = light_centred.shape
    variances, axes = np.linalg.eigh(light_centred.T @ light_centred / n)
    explainable = (((light_centred @ axes).T @ strong_centred / n) ** 2).sum(axis=1)  # (m,)
    variance, mean_eigenvalue = float((strong_centred**2).sum()) / n, max(float(variances.mean()), 1e-12)
    errors = []
    for ridge in RIDGES:
        ridged = variances + ridge * mean_eigenvalue
        unexplained = variance - float((explainable * (2 / ridged - variances / ridged**2)).sum())
        free = max(1 - (1 + float((variances / ridged).sum())) / n, 1e-12)  # degrees of freedom left, a share of n
        errors.append(unexplained * (share_read + (1 - share_read) / free**2))
    shrinkage = min(1.0, float(m / n)) ** 2
    return max(RIDGES[int(np.argmin(errors))] * shrinkage, _SMALLEST_RIDGE)


def add_ridge(covariance: Matrix, share: float) -> Matrix:
    """Return the (d, d) matrix with `share` of its mean eigenvalue added to the diagonal; never singular."""
    mean_eigenvalue = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    return covariance + share * mean_eigenvalue * np.eye(len(covariance))


def whitening(covariance: Matrix, power: float, ridge: float) -> Matrix:
    """Return the (d, d) symmetric matrix `(covariance + ridge)^-power`, up to a factor."""
    eigenvalues, eigenvectors = np.linalg.eigh(add_ridge(covariance, ridge))
    relative = np.maximum(eigenvalues, 1e-300) / eigenvalues.mean()
    return np.asarray((eigenvectors * relative**-power) @ eigenvectors.T, np.float64)


def _mean_length(vectors: Matrix) -> float:
    return max(float(np.linalg.norm(vectors, axis=1).mean()), 1e-12)
