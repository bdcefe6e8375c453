"""Stage 2 of the default recipe: adapt the aligned query side from few labels, and know whether it helped.

First the halves of the aligned query are weighed (`era.blends`), which a handful of labels can decide. Then a change of
the adapter is learned; it is paid for by the share of score variance over the corpus that it moves, so that a few
labels leave alone what they say nothing about. Its strength is chosen by cross-validation over queries, and it is kept
only if it helped queries it had not seen. The fits themselves are the business of `era.fitting`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryAdapter, normalise
from era.alignment import AlignmentTexts
from era.attribution import Influence
from era.blends import Blend, BlendGains, ndcg
from era.candidates import LabelledQueries, MiningConfig, Shortlists, shortlist, unjudged_candidates
from era.embedders import Vectors
from era.fitting import SHARE_BEFORE_FITS, Choice, Problem
from era.folds import Fits, FoldOutcome, Trial, assign_folds, best_strength, trials_of
from era.function_space import ScoreMetric
from era.index import DenseIndex
from era.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class AdaptationConfig:
    """Settings of `adapt`.

    Attributes:
        temperature: of the softmax over candidates, in standard deviations of a query's aligned scores; > 0.
        strengths: weights of the penalty to choose from, in nats of one query per unit share of score variance moved.
        n_folds: of the cross-validation; with fewer queries each is its own fold.
        ridge: added to both second-moment matrices, as a share of their mean eigenvalue; > 0.
        n_iterations: of the optimiser, at most.
        minimum_gain: mean held-out gain in nDCG@100 that must be exceeded, or nothing learned is kept.
        mining: which unjudged documents a query is contrasted with.
    """

    temperature: float = 1.0
    strengths: tuple[float, ...] = (12000.0, 3000.0, 800.0, 200.0)
    n_folds: int = 5
    ridge: float = 0.1
    n_iterations: int = 60
    minimum_gain: float = 0.0
    mining: MiningConfig = field(default_factory=MiningConfig)

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.ridge <= 0 or not self.strengths or min(self.strengths) <= 0:
            raise ValueError("Temperature, ridge and strengths must be greater than 0.")


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What stage 2 learned, and what `refit` needs to learn a little more.

    Attributes:
        adapter: to deploy; the aligned adapter itself where nothing helped.
        blend: how the halves are weighed.
        strength: the chosen one; None where the gate is closed.
        share_moved: share of score variance over the corpus that the change moves.
        held_out_vectors: (n, m); row i is the vector of labelled query i by adapters that never saw its labels.
        gains: (n,) change of nDCG@100 from the aligned adapter to `held_out_vectors`.
        start_losses: (n,) in nats; the blend that the fits started from on each query.
        held_out_losses: (S, n) in nats; each strength on each query, by the fit that did not see its fold; (S, 0) if
            nothing could be held out.
        trials: how each strength did, as the gate saw it.
        folds: what was learned without each fold and did for it, also where the last gate kept nothing of it.
        influence: what each labelled query contributes to what was kept.
        reason: one sentence for a person, why the change was kept or not.
        metric: what changes of the aligned adapter cost.
        shortlists: what the aligned adapter ranks highest for each query.
        config: the settings it was learned with.
        seed: of the folds and of the random documents.
    """

    adapter: QueryAdapter
    blend: Blend
    strength: float | None
    share_moved: float
    held_out_vectors: Vectors
    gains: NDArray[np.float64]
    start_losses: Vectors
    held_out_losses: Vectors
    trials: Sequence[Trial]
    folds: Sequence[FoldOutcome]
    influence: Influence
    reason: str
    metric: ScoreMetric
    shortlists: Shortlists
    config: AdaptationConfig
    seed: int

    @property
    def is_changed(self) -> bool:
        """Return whether the adapter differs from the aligned one."""
        return self.strength is not None or self.blend.n_steps > 0


def adapt(
    aligned: QueryAdapter,
    labelled: LabelledQueries,
    texts: AlignmentTexts,
    index: DenseIndex,
    device: str,
    seed: int,
    config: AdaptationConfig | None = None,
    progress: Progress = no_progress,
) -> Adaptation:
    """Learn from the labelled queries how to blend and change the aligned adapter.

    Every query is ranked by adapters whose blend, weights and strength were found without its labels (nested
    cross-validation), so `held_out_vectors` owe nothing to the labels of their own query. Only whether anything is kept
    at all is decided on all of them together: if they gain nothing on average, the aligned adapter stays.

    Raises:
        Cancelled: if `progress` raises it, which is asked at every step.
    """
    config = config or AdaptationConfig()
    folds = assign_folds([query.text for query in labelled.queries], config.n_folds, seed)
    n_folds = int(folds.max()) + 1
    blends = BlendGains.measure(aligned, labelled, index, progress)
    blend_without = [blends.choose(np.flatnonzero(folds != fold)) for fold in range(n_folds)]
    blend = blends.choose(np.arange(len(labelled))) if n_folds > 1 else 0

    progress("adaptation", SHARE_BEFORE_FITS, "choosing documents to contrast")
    metric = ScoreMetric.build(aligned, texts, config.ridge)
    shortlists = shortlist(labelled, aligned, index, config.mining.n_top, {})
    problem = _problem(metric, labelled, shortlists, blends.vectors, index, device, seed, config)
    fits = Fits.plan(folds, blend, blend_without)
    solved = problem.solve(fits.names, folds, progress)

    start_losses = solved.start_losses
    checked, places = fits.held_out(folds, blend, also_excluded=None)
    held_out_losses, shares_moved = solved.losses[:, places, checked], solved.shares_moved(place=0)
    choices = [Choice((blend, frozenset()), best_strength(held_out_losses, start_losses[blend, checked]))]
    cross_fitted = np.empty_like(blends.vectors[0])
    for fold in range(n_folds):
        start, rows = blend_without[fold], folds == fold
        others, places = fits.held_out(folds, start, also_excluded=fold)
        chosen = best_strength(solved.losses[:, places, others], start_losses[start, others])
        choices.append(Choice((start, frozenset({fold})), chosen))
        cross_fitted[rows] = blends.vectors[start][rows]
        if (coefficients := solved.of(choices[-1])) is not None:
            cross_fitted[rows] += problem.space.vector_changes(coefficients)[rows]

    held_out_vectors = normalise(cross_fitted)
    values = ndcg(labelled, held_out_vectors, index)
    outcomes = [
        FoldOutcome(
            n=int((folds == fold).sum()),
            before=float(blends.values[0][folds == fold].mean()),
            after=float(values[folds == fold].mean()),
            strength=choice.strength_of(config.strengths),
            blend=blends.blends[choice.name[0]].factors,
        )
        for fold, choice in enumerate(choices[1:])
    ]
    gains = values - blends.values[0]
    if gains.mean() <= config.minimum_gain:  # the last gate: what was chosen step by step has to help in the end
        choices, gains = [Choice((0, choice.name[1]), None) for choice in choices], np.zeros_like(gains)
        held_out_vectors = normalise(blends.vectors[0])
    deployed, share = choices[0], 0.0
    kept, full = deployed.name[0], solved.of(deployed)
    adapter = blends.blends[kept].apply(aligned) if kept else aligned
    if full is not None:
        adapter, share = problem.space.changed_adapter(adapter, full), float((full**2).sum())
    influence = Influence(
        query_ids=[query.query_id for query in labelled.queries],
        views=metric.views,
        keys=problem.space.keys,
        centre=metric.centre,
        moves=np.stack([problem.contributions(choice, solved, folds) for choice in choices]),
        blends=[blends.blends[choice.name[0]].factors for choice in choices],
        folds=folds.tolist(),
    )
    progress("adaptation", 1.0, "done")
    return Adaptation(
        adapter=adapter,
        blend=blends.blends[kept],
        strength=deployed.strength_of(config.strengths),
        share_moved=share,
        held_out_vectors=held_out_vectors,
        gains=gains,
        start_losses=start_losses[blend],
        held_out_losses=held_out_losses,
        trials=trials_of(config.strengths, held_out_losses, start_losses[blend, checked], shares_moved),
        folds=outcomes,
        influence=influence,
        reason=_reason(n_folds, kept > 0 or full is not None, gains),
        metric=metric,
        shortlists=shortlists,
        config=config,
        seed=seed,
    )


def refit(previous: Adaptation, labelled: LabelledQueries, index: DenseIndex, device: str) -> QueryAdapter:
    """Return the adapter that `previous` becomes with today's labels; for re-ranking while somebody judges.

    Blend and strength stay as they were chosen, so nothing is held out and no evidence of the gain comes with it;
    `adapt` decides anew. Queries that `previous` knew are not searched for again.
    """
    metric, config = previous.metric, previous.config
    start = previous.blend.apply(metric.aligned)
    if previous.strength is None:
        return start
    shortlists = shortlist(labelled, metric.aligned, index, config.mining.n_top, previous.shortlists)
    starts = [adapter.features(labelled.encoded) @ adapter.weight + adapter.bias for adapter in (metric.aligned, start)]
    only = replace(config, strengths=(previous.strength,))
    problem = _problem(metric, labelled, shortlists, np.stack(starts), index, device, previous.seed, only)
    solved = problem.solve([(1, frozenset())], np.zeros(len(labelled), np.int64), no_progress)
    return problem.space.changed_adapter(start, solved.coefficients[0, 0])


def _problem(
    metric: ScoreMetric,
    labelled: LabelledQueries,
    shortlists: Shortlists,
    starts: Vectors,
    index: DenseIndex,
    device: str,
    seed: int,
    config: AdaptationConfig,
) -> Problem:
    return Problem.build(
        metric=metric,
        labelled=labelled,
        unjudged=unjudged_candidates(labelled, shortlists, index, config.mining, seed),
        starts=starts,
        index=index,
        device=device,
        temperature=config.temperature,
        strengths=config.strengths,
        n_iterations=config.n_iterations,
    )


def _reason(n_folds: int, is_changed: bool, gains: NDArray[np.float64]) -> str:
    """Return in words what the last gate decided; it counts no queries, since what is shown may measure otherwise."""
    if n_folds < 2:
        return (
            "What one query teaches cannot be checked without another one, so the aligned adapter is kept. "
            "Mark relevant documents for a second query with other words."
        )
    if not is_changed and gains.any():
        return (
            "What was learned without one part of the queries helped that part on average, but all marks together "
            "point to no sure change, so the aligned ranking stays as it was. More marked queries usually change that."
        )
    if not is_changed:
        return (
            "On queries it had not seen, what could be learned from these marks did not help, "
            "so the aligned ranking stays as it was. More marked queries usually change that."
        )
    return (
        "What was learned is kept: with it, the first hundred documents of queries held out in turn were ranked better "
        "on average than by the aligned model."
    )
