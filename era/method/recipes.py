"""The named ways to learn an adapter, behind one signature: alignment texts and labels in, a `Fit` out.

`era` is the default (align_by_decoding + adapt), `era-dual` the same without neighbours, `era-single` with the strong
half alone; `paper` is the published recipe (align_by_encoding + train_contrastive). Each comes with query vectors that
are honest about the labelled queries themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair, Vectors
from era.encoders.devices import DeviceWithFallback
from era.index.dense import DenseIndex
from era.index.lexical import WORD_WEIGHT, LexicalIndex
from era.method.adaptation import Adaptation, AdaptationConfig, adapt
from era.method.alignment import AlignmentTexts, DecodingConfig, align_by_decoding, alignment_fit
from era.method.candidates import LabelledQueries, label, teachable_queries
from era.method.certainty import Certainty
from era.method.folds import assign_folds
from era.method.influence import Influence
from era.method.label_measure import LabelMeasure
from era.method.paper import ContrastiveConfig, EncodingConfig, align_by_encoding, train_contrastive
from era.method.query_groups import Groups, group_queries
from era.progress import Progress, no_progress
from era.types import Qrels, Query

RecipeName = Literal["era", "era-dual", "era-single", "paper"]

_DECODING_CONFIGS: Mapping[str, DecodingConfig] = {
    "era": DecodingConfig(),
    "era-dual": DecodingConfig(views=("mean", "light")),
    "era-single": DecodingConfig(views=("instructed",)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a recipe learned.

    Attributes:
        adapter: learned from all labels; to deploy.
        aligned: the same recipe before it saw any label.
        query_ids: the labelled queries that taught something.
        held_out_vectors: (n, m); row i searches for `query_ids[i]` with adapters that never saw its labels.
        held_out_word_weights: (n,) what matching words weigh for each of these, where they count.
        groups: (n,) which of them are near-copies of each other, and one case where certainty is measured.
        certainty: what it did for queries that were held out.
        influence: what each labelled query contributes to what was learned; None for `paper`, which does not add up.
        report: JSON-ready facts about how it went; `reason` is a sentence for a person, `note` another one, or empty.
        config: JSON-ready settings that, with seed and data, give the same adapter again; `has_words` says whether
            what was learned and `certainty` are about rankings with matching words.
    """

    adapter: QueryAdapter
    aligned: QueryAdapter
    query_ids: Sequence[str]
    held_out_vectors: Vectors
    held_out_word_weights: Sequence[float]
    groups: Groups
    certainty: Certainty
    influence: Influence | None
    report: Mapping[str, Any]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Learner:
    """A recipe after its first stage: it learns from as many sets of labelled queries as you like."""

    aligned: QueryAdapter
    learn: Callable[[LabelledQueries, Progress], QueryAdapter]


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
    lexical: LexicalIndex | None = None,
) -> Fit:
    """Learn an adapter from the labelled ones among `queries`, for rankings with matching words if `lexical` is given.

    The same arguments give the same adapter, bit by bit, on the same device and thread count. A step that the memory of
    the device is too small for is done on the CPU, and so is what follows it; the report says so.

    Raises:
        NothingToLearnError: if no query has a relevant document in the index.
        ValueError: if the recipe is unknown.
        Cancelled: if `progress` raises it.
    """
    _require_known(recipe)
    teachable = teachable_queries(queries, qrels, index)
    labelled = label(teachable, pair.encode_queries(teachable, progress), qrels, index)
    progress("embedding", 1.0, f"{len(teachable)} labelled queries")
    computer = DeviceWithFallback(device)
    if recipe == "paper":
        return _fit_paper(texts, index, labelled, computer, seed, progress)
    return _fit_era(_DECODING_CONFIGS[recipe], texts, index, labelled, computer, seed, progress, lexical)


def prepare(
    recipe: RecipeName,
    texts: AlignmentTexts,
    index: DenseIndex,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress = no_progress,
    lexical: LexicalIndex | None = None,
) -> Learner:
    """Do the first stage of a recipe, which needs no labels; its learner gives the adapters that `fit` would deploy.

    Raises:
        ValueError: if the recipe is unknown.
        Cancelled: if `progress` raises it.
    """
    _require_known(recipe)
    computer = DeviceWithFallback(device)
    if recipe == "paper":
        encoder = computer.run(lambda device: align_by_encoding(texts, device, seed, EncodingConfig(), progress))

        def train(labelled: LabelledQueries, progress: Progress) -> QueryAdapter:
            config = ContrastiveConfig()
            return computer.run(
                lambda device: train_contrastive(encoder, encoder, labelled, index, device, seed, config, progress)
            )

        return Learner(encoder, train)
    decoder = align_by_decoding(texts, _DECODING_CONFIGS[recipe])

    def learn(labelled: LabelledQueries, progress: Progress) -> QueryAdapter:
        config = AdaptationConfig()
        return computer.run(
            lambda device: adapt(decoder, labelled, texts, index, device, seed, config, progress, lexical)
        ).adapter

    return Learner(decoder, learn)


def _require_known(recipe: str) -> None:
    known = sorted([*_DECODING_CONFIGS, "paper"])
    if recipe not in known:
        raise ValueError(f"Unknown recipe {recipe!r}; expected one of {known}.")


def _fit_era(
    alignment_config: DecodingConfig,
    texts: AlignmentTexts,
    index: DenseIndex,
    labelled: LabelledQueries,
    computer: DeviceWithFallback,
    seed: int,
    progress: Progress,
    lexical: LexicalIndex | None,
) -> Fit:
    config = AdaptationConfig()
    progress("alignment", 0.0, "closed form")
    aligned = align_by_decoding(texts, alignment_config)
    progress("alignment", 0.5, "how well it reads texts it has not seen")
    quality = alignment_fit(texts, alignment_config)
    progress("alignment", 1.0, "closed form")
    adaptation = computer.run(
        lambda device: adapt(aligned, labelled, texts, index, device, seed, config, progress, lexical)
    )
    return Fit(
        adapter=adaptation.adapter,
        aligned=aligned,
        query_ids=[query.query_id for query in labelled.queries],
        held_out_vectors=adaptation.held_out_vectors,
        held_out_word_weights=adaptation.held_out_word_weights,
        groups=adaptation.groups,
        certainty=Certainty(adaptation.gains),
        influence=adaptation.influence,
        report=_report(adaptation) | {"alignment_fit": asdict(quality)} | _computed_on(computer),
        config={
            "alignment": asdict(alignment_config.settled(texts)),
            "adaptation": asdict(config),
            "has_words": lexical is not None,
        },
    )


def _report(adaptation: Adaptation) -> dict[str, Any]:
    return {
        "reason": adaptation.reason,
        "is_changed": adaptation.is_changed,
        "gate_gain": adaptation.gate_gain,
        "blend": dict(adaptation.blend.factors),
        "strength": adaptation.strength,
        "word_weight": adaptation.adapter.word_weight,
        "share_of_score_variance_moved": adaptation.share_moved,
        "start_loss": float(adaptation.start_losses.mean()),
        "held_out_losses": {
            f"{strength:g}": float(losses.mean())
            for strength, losses in zip(adaptation.config.strengths, adaptation.held_out_losses, strict=True)
            if losses.size
        },
        "strengths": [asdict(trial) for trial in adaptation.trials],
        "folds": [asdict(outcome) for outcome in adaptation.folds],
    }


def _computed_on(computer: DeviceWithFallback) -> dict[str, str]:
    return {"device": computer.device, "note": computer.note}


def _fit_paper(
    texts: AlignmentTexts,
    index: DenseIndex,
    labelled: LabelledQueries,
    computer: DeviceWithFallback,
    seed: int,
    progress: Progress,
) -> Fit:
    alignment_config, config = EncodingConfig(), ContrastiveConfig()
    aligned = computer.run(lambda device: align_by_encoding(texts, device, seed, alignment_config, progress))
    aligned_vectors = aligned.transform(labelled.encoded)
    held_out_vectors = aligned_vectors.copy()
    groups = group_queries(
        [query.text for query in labelled.queries], labelled.encoded.plain, texts.strong, labelled.relevant
    )
    folds = assign_folds(groups, 5, seed)
    n_folds = int(folds.max()) + 1 if folds.any() else 0  # one fold alone cannot be held out

    def train(some: LabelledQueries, number: int) -> QueryAdapter:
        def report(stage: str, fraction: float, detail: str = "") -> None:
            progress(stage, (number + fraction) / (n_folds + 1), f"fit {number + 1} of {n_folds + 1}, {detail}")

        return computer.run(
            lambda device: train_contrastive(aligned, aligned, some, index, device, seed, config, report)
        )

    for fold in range(n_folds):
        rest, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        trained = train(labelled.subset(rest.tolist()), fold)
        held_out_vectors[held_out] = trained.transform(labelled.subset(held_out.tolist()).encoded)
    adapter = train(labelled, n_folds)
    measure = LabelMeasure.of(labelled, index)
    gains = measure.values(held_out_vectors) - measure.values(aligned_vectors)
    report = {"reason": "The published recipe keeps what it learned without checking it.", "is_changed": True}
    return Fit(
        adapter=adapter,
        aligned=aligned,
        query_ids=[query.query_id for query in labelled.queries],
        held_out_vectors=held_out_vectors,
        held_out_word_weights=[WORD_WEIGHT] * len(labelled),
        groups=groups,
        certainty=Certainty(gains),
        influence=None,
        report=report | _computed_on(computer),
        config={"alignment": asdict(alignment_config), "adaptation": asdict(config), "has_words": False},
    )
