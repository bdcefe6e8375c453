"""Stage 2 of the default recipe: adapt the aligned query side from few labels, and know whether it helped.

First the halves of the aligned query are weighed (`era.blends`), which a handful of labels can decide. Then a change of
the adapter is learned; it is paid for by the share of score variance over the corpus that it moves, so that a few
labels leave alone what they say nothing about. Its strength is chosen by cross-validation over queries, and it is kept
only if it helped queries it had not seen. All folds and strengths are solved side by side (`era.lbfgs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from era.adapter import QueryAdapter, normalise
from era.alignment import AlignmentTexts
from era.blends import Blend, BlendGains, ndcg
from era.candidates import LabelledQueries, MiningConfig, Shortlists, shortlist, unjudged_candidates
from era.embedders import Vectors
from era.folds import FitName, Fits, Folds, assign_folds, best_strength
from era.function_space import FunctionSpace, ScoreMetric
from era.index import DenseIndex
from era.lbfgs import minimise
from era.listwise import ListwiseLoss
from era.progress import Progress, no_progress

_SHARE_OF_BLENDS = 0.1  # of the progress


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

    progress("adaptation", _SHARE_OF_BLENDS, "choosing documents to contrast")
    metric = ScoreMetric.build(aligned, texts, config.ridge)
    shortlists = shortlist(labelled, aligned, index, config.mining.n_top, {})
    problem = _Problem.build(metric, labelled, shortlists, blends.vectors, index, device, seed, config)
    fits = Fits.plan(folds, blend, blend_without)
    solved = problem.solve(fits.names, folds, progress)

    start_losses = solved.start_losses
    cross_fitted = np.empty_like(blends.vectors[0])
    for fold in range(n_folds):
        start, rows = blend_without[fold], folds == fold
        others, places = fits.held_out(folds, start, also_excluded=fold)
        choice = best_strength(solved.losses[:, places, others], start_losses[start, others])
        cross_fitted[rows] = blends.vectors[start][rows]
        if choice is not None:
            coefficients = solved.coefficients[choice, fits.names.index((start, frozenset({fold})))]
            cross_fitted[rows] += problem.space.vector_changes(coefficients)[rows]
    checked, places = fits.held_out(folds, blend, also_excluded=None)
    held_out_losses = solved.losses[:, places, checked]
    choice = best_strength(held_out_losses, start_losses[blend, checked])

    held_out_vectors = normalise(cross_fitted)
    gains, kept = ndcg(labelled, held_out_vectors, index) - blends.values[0], blend
    if gains.mean() <= config.minimum_gain:  # the last gate: what was chosen step by step has to help in the end
        kept, choice, gains = 0, None, np.zeros_like(gains)
        held_out_vectors = normalise(blends.vectors[0])
    adapter, strength, share = blends.blends[kept].apply(aligned) if kept else aligned, None, 0.0
    if choice is not None:
        strength = config.strengths[choice]
        full = solved.coefficients[choice, 0]
        adapter, share = problem.space.changed_adapter(adapter, full), float((full**2).sum())
    progress("adaptation", 1.0, "done")
    return Adaptation(
        adapter=adapter,
        blend=blends.blends[kept],
        strength=strength,
        share_moved=share,
        held_out_vectors=held_out_vectors,
        gains=gains,
        start_losses=start_losses[blend],
        held_out_losses=held_out_losses,
        reason=_reason(n_folds, kept > 0 or choice is not None, gains),
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
    problem = _Problem.build(metric, labelled, shortlists, np.stack(starts), index, device, previous.seed, only)
    solved = problem.solve([(1, frozenset())], np.zeros(len(labelled), np.int64), no_progress)
    return problem.space.changed_adapter(start, solved.coefficients[0, 0])


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """The solutions of S strengths times F fits."""

    coefficients: Tensor  # (S, F, r, m)
    losses: Vectors  # (S, F, n) in nats
    start_losses: Vectors  # (B, n) in nats: of each blend before any change


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """What a fit minimises: the mean loss of its n queries, plus strength times share of variance moved over n."""

    space: FunctionSpace
    loss: ListwiseLoss
    starts: Tensor  # (B, n, m): the queries under each blend, along the axes
    config: AdaptationConfig

    @classmethod
    def build(
        cls,
        metric: ScoreMetric,
        labelled: LabelledQueries,
        shortlists: Shortlists,
        starts: Vectors,
        index: DenseIndex,
        device: str,
        seed: int,
        config: AdaptationConfig,
    ) -> "_Problem":
        """Lay out the candidates; `starts` (B, n, m) are the queries under each blend, the aligned one first."""
        unjudged = unjudged_candidates(labelled, shortlists, index, config.mining, seed)
        temperature = config.temperature * metric.score_spread(normalise(starts[0]))
        return cls(
            space=FunctionSpace.build(metric, labelled.encoded, device),
            loss=ListwiseLoss.build(labelled, unjudged, index, metric.document_axes, temperature, device),
            starts=torch.from_numpy(starts @ metric.document_axes).to(device),
            config=config,
        )

    def solve(self, names: Sequence[FitName], folds: Folds, progress: Progress) -> _Solved:
        """Fit every strength for every (blend, excluded folds)."""
        space, strengths, device = self.space, self.config.strengths, self.starts.device
        is_training = np.array([~np.isin(folds, list(excluded)) for _, excluded in names])  # (F, n)
        n_training = is_training.sum(axis=1, keepdims=True)
        query_weights = torch.from_numpy(is_training / n_training).float().repeat(len(strengths), 1).to(device)
        penalties = torch.from_numpy((np.array(strengths)[:, None] / n_training.T).ravel()).float().to(device)
        blends = torch.tensor([blend for blend, _ in names], device=device).repeat(len(strengths))  # (S * F,)

        def objective(points: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
            weights, penalty = query_weights[problems], penalties[problems]
            vectors = self.starts[blends[problems]] + space.moves(points.view(len(points), *space.shape))
            losses, vector_gradients = self.loss(vectors, weights)
            gradients = space.pull_back(vector_gradients).flatten(1) + 2 * penalty[:, None] * points
            return (losses * weights).sum(dim=1) + penalty * (points**2).sum(dim=1), gradients

        def report(iteration: int) -> None:
            share = _SHARE_OF_BLENDS + (1 - _SHARE_OF_BLENDS) * iteration / self.config.n_iterations
            progress("adaptation", share, f"{len(strengths)} strengths tried")

        nowhere = torch.zeros(len(penalties), space.shape[0] * space.shape[1], device=device)
        points = minimise(objective, nowhere, self.config.n_iterations, on_iteration=report)
        coefficients = points.view(len(penalties), *space.shape)
        losses, _ = self.loss(self.starts[blends] + space.moves(coefficients), query_weights)
        start_losses, _ = self.loss(self.starts, query_weights[:1].expand(len(self.starts), -1))
        return _Solved(
            coefficients=coefficients.view(len(strengths), len(names), *space.shape),
            losses=losses.view(len(strengths), len(names), -1).cpu().numpy(),
            start_losses=start_losses.cpu().numpy(),
        )


def _reason(n_folds: int, is_changed: bool, gains: NDArray[np.float64]) -> str:
    if n_folds < 2:
        return (
            "What one query teaches cannot be checked without another one, so the aligned adapter is kept. "
            "Mark relevant documents for a second query with other words."
        )
    if not is_changed:
        return (
            "On queries it had not seen, what could be learned from these marks did not help, "
            "so the ranking stays as it was. More marked queries usually change that."
        )
    better, worse = int((gains > 1e-9).sum()), int((gains < -1e-9).sum())
    return (
        f"Held out in turn and ranked without its own marks, {better} of {len(gains)} queries became better "
        f"and {worse} worse."
    )
