"""The named ways to learn an adapter, behind one signature: alignment texts and labels in, a `Fit` out.

`era` is the default (align_by_decoding + adapt), `era-dual` the same without neighbours, `era-single` with the strong
half alone; `paper` is the published recipe (align_by_encoding + train_contrastive). Each comes with query vectors that
are honest about the labelled queries themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from era.adaptation import AdaptationConfig, adapt
from era.adapter import QueryAdapter
from era.alignment import AlignmentTexts, DecodingConfig, align_by_decoding
from era.blends import ndcg
from era.candidates import LabelledQueries, label, teachable_queries
from era.certainty import Certainty
from era.contrastive import ContrastiveConfig, train_contrastive
from era.embedders import EmbedderPair, Vectors
from era.encoding_alignment import EncodingConfig, align_by_encoding
from era.folds import assign_folds
from era.index import DenseIndex
from era.progress import Progress, no_progress
from era.types import Qrels, Query

RecipeName = Literal["era", "era-dual", "era-single", "paper"]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a recipe learned.

    Attributes:
        adapter: learned from all labels; to deploy.
        aligned: the same recipe before it saw any label.
        query_ids: the labelled queries that taught something.
        held_out_vectors: (n, m); row i searches for `query_ids[i]` with adapters that never saw its labels.
        certainty: how sure it is that the adapter helps a query.
        report: JSON-ready facts about how it went; `reason` is a sentence for a person.
        config: JSON-ready settings that, with seed and data, give the same adapter again.
    """

    adapter: QueryAdapter
    aligned: QueryAdapter
    query_ids: Sequence[str]
    held_out_vectors: Vectors
    certainty: Certainty
    report: Mapping[str, Any]
    config: Mapping[str, Any]


def fit(
    recipe: RecipeName,
    texts: AlignmentTexts,
    index: DenseIndex,
    pair: EmbedderPair,
    queries: Sequence[Query],
    qrels: Qrels,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress = no_progress,
) -> Fit:
    """Learn an adapter from the labelled ones among `queries`.

    The same arguments give the same adapter, bit by bit, on the same device and thread count.

    Raises:
        NothingToLearnError: if no query has a relevant document in the index.
        ValueError: if the recipe is unknown.
        Cancelled: if `progress` raises it.
    """
    if recipe not in _FITTERS:
        raise ValueError(f"Unknown recipe {recipe!r}; expected one of {sorted(_FITTERS)}.")
    teachable = teachable_queries(queries, qrels, index)
    labelled = label(teachable, pair.encode_queries(teachable, progress), qrels, index)
    progress("embedding", 1.0, f"{len(teachable)} labelled queries")
    return _FITTERS[recipe](texts, index, labelled, device, seed, progress)


def _fit_era(alignment_config: DecodingConfig) -> "_Fitter":
    """Return the default recipe for the views that `alignment_config` names."""

    def fitter(
        texts: AlignmentTexts, index: DenseIndex, labelled: LabelledQueries, device: str, seed: int, progress: Progress
    ) -> Fit:
        config = AdaptationConfig()
        progress("alignment", 0.0, "closed form")
        aligned = align_by_decoding(texts, alignment_config)
        progress("alignment", 1.0, "closed form")
        adaptation = adapt(aligned, labelled, texts, index, device, seed, config, progress)
        report = {
            "reason": adaptation.reason,
            "is_changed": adaptation.is_changed,
            "blend": dict(adaptation.blend.factors),
            "strength": adaptation.strength,
            "share_of_score_variance_moved": adaptation.share_moved,
            "start_loss": float(adaptation.start_losses.mean()),
            "held_out_losses": {
                f"{strength:g}": float(losses.mean())
                for strength, losses in zip(config.strengths, adaptation.held_out_losses, strict=True)
                if losses.size
            },
        }
        return Fit(
            adapter=adaptation.adapter,
            aligned=aligned,
            query_ids=[query.query_id for query in labelled.queries],
            held_out_vectors=adaptation.held_out_vectors,
            certainty=Certainty(aligned.transform(labelled.encoded), adaptation.gains),
            report=report,
            config={"alignment": asdict(alignment_config), "adaptation": asdict(config)},
        )

    return fitter


def _fit_paper(
    texts: AlignmentTexts, index: DenseIndex, labelled: LabelledQueries, device: str, seed: int, progress: Progress
) -> Fit:
    alignment_config, config = EncodingConfig(), ContrastiveConfig()
    aligned = align_by_encoding(texts, device, seed, alignment_config, progress)
    aligned_vectors = aligned.transform(labelled.encoded)
    held_out_vectors = aligned_vectors.copy()
    folds = assign_folds([query.text for query in labelled.queries], 5, seed)
    n_folds = int(folds.max()) + 1 if folds.any() else 0  # one fold alone cannot be held out

    def part(number: int) -> Progress:
        def report(stage: str, fraction: float, detail: str = "") -> None:
            progress(stage, (number + fraction) / (n_folds + 1), f"fit {number + 1} of {n_folds + 1}, {detail}")

        return report

    for fold in range(n_folds):
        rest, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        trained = train_contrastive(
            aligned, aligned, labelled.subset(rest.tolist()), index, device, seed, config, part(fold)
        )
        held_out_vectors[held_out] = trained.transform(labelled.subset(held_out.tolist()).encoded)
    adapter = train_contrastive(aligned, aligned, labelled, index, device, seed, config, part(n_folds))
    gains = ndcg(labelled, held_out_vectors, index) - ndcg(labelled, aligned_vectors, index)
    return Fit(
        adapter=adapter,
        aligned=aligned,
        query_ids=[query.query_id for query in labelled.queries],
        held_out_vectors=held_out_vectors,
        certainty=Certainty(aligned_vectors, gains),
        report={"reason": "The published recipe keeps what it learned without checking it.", "is_changed": True},
        config={"alignment": asdict(alignment_config), "adaptation": asdict(config)},
    )


_Fitter = Callable[[AlignmentTexts, DenseIndex, LabelledQueries, str, int, Progress], Fit]
_FITTERS: dict[str, _Fitter] = {
    "era": _fit_era(DecodingConfig()),
    "era-dual": _fit_era(DecodingConfig(views=("mean", "light"))),
    "era-single": _fit_era(DecodingConfig(views=("instructed",))),
    "paper": _fit_paper,
}
