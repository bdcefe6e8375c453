"""Stage 2 of the default recipe: adapt the aligned query side from few labels, and know whether it helped.

The change of the adapter is paid for by the share of score variance over the corpus that it moves, so that a few
labels leave alone what they say nothing about. Its strength is chosen by cross-validation over queries, and the change
is kept only if it helped queries it had not seen. All folds and strengths are solved side by side (`era.lbfgs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from era.adapter import QueryAdapter, normalise
from era.alignment import AlignmentTexts
from era.candidates import LabelledQueries, MiningConfig, mine_negatives
from era.embedders import Vectors
from era.folds import Fits, assign_folds, best_strength
from era.function_space import FunctionSpace
from era.index import DenseIndex
from era.lbfgs import minimise
from era.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class AdaptationConfig:
    """Settings of `adapt`.

    Attributes:
        temperature: of the softmax over candidates; > 0, in units of cosine.
        strengths: weights of the penalty to choose from, in nats per unit share of score variance moved.
        n_folds: of the cross-validation; with fewer queries each is its own fold.
        ridge: added to both second-moment matrices, as a share of their mean eigenvalue; > 0.
        n_iterations: of the optimiser, at most.
        mining: which unjudged documents a query is contrasted with.
    """

    temperature: float = 0.1
    strengths: tuple[float, ...] = (10000.0, 1000.0, 100.0, 10.0, 1.0)
    n_folds: int = 5
    ridge: float = 0.1
    n_iterations: int = 60
    mining: MiningConfig = field(default_factory=MiningConfig)

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.ridge <= 0 or not self.strengths or min(self.strengths) <= 0:
            raise ValueError("Temperature, ridge and strengths must be greater than 0.")


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What stage 2 learned.

    Attributes:
        adapter: to deploy; the aligned adapter itself where the gate is closed.
        held_out_vectors: (n, m); row i is the vector of labelled query i by adapters that never saw its labels.
        aligned_losses: (n,) in nats; the aligned adapter on each query.
        held_out_losses: (S, n) in nats; each strength on each query, by the fit that did not see its fold; (S, 0) if
            nothing could be held out.
        strength: the chosen one; None where the gate is closed.
        share_moved: share of score variance over the corpus that the change moves.
        reason: one sentence for a person, why the change was kept or not.
    """

    adapter: QueryAdapter
    held_out_vectors: Vectors
    aligned_losses: Vectors
    held_out_losses: Vectors
    strength: float | None
    share_moved: float
    reason: str


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
    """Fit the change of the aligned adapter on the labelled queries.

    Every query is ranked by adapters whose weights and whose strength were found without its labels (nested
    cross-validation), so `held_out_vectors` owe nothing to the labels of their own query.
    """
    config = config or AdaptationConfig()
    progress("adaptation", 0.0, "choosing documents to contrast")
    mined = mine_negatives(labelled, aligned, index, config.mining, seed)
    space = FunctionSpace.build(aligned, texts, labelled, config.ridge, device)
    targets = CandidateSet.build(labelled, mined, index, device)

    folds = assign_folds([query.text for query in labelled.queries], config.n_folds, seed)
    fits = Fits.plan(folds)
    n_fits, n_strengths = len(fits.excluded), len(config.strengths)
    is_training = np.array([~np.isin(folds, list(excluded)) for excluded in fits.excluded])  # (fits, n)
    query_weights = torch.from_numpy(is_training / is_training.sum(axis=1, keepdims=True)).float().to(device)
    query_weights = query_weights.repeat(n_strengths, 1)  # (S * fits, n)
    penalties = torch.tensor(config.strengths, device=device).repeat_interleave(n_fits)  # (S * fits,)

    def objective(points: Tensor, fits: Tensor) -> tuple[Tensor, Tensor]:
        vectors = space.query_vectors(points.view(len(points), *space.shape))
        losses, vector_gradients = targets.losses(vectors, config.temperature, query_weights[fits])
        gradients = space.pull_back(vector_gradients).flatten(1) + 2 * penalties[fits, None] * points
        values = (losses * query_weights[fits]).sum(dim=1) + penalties[fits] * (points**2).sum(dim=1)
        return values, gradients

    start = torch.zeros(n_strengths * n_fits, space.shape[0] * space.shape[1], device=device)
    solutions = minimise(
        objective,
        start,
        config.n_iterations,
        on_iteration=lambda i: progress("adaptation", i / config.n_iterations, f"{n_strengths} strengths tried"),
    )
    coefficients = solutions.view(n_strengths, n_fits, *space.shape)
    flat_vectors = space.query_vectors(coefficients.flatten(0, 1))
    losses, _ = targets.losses(flat_vectors, config.temperature, query_weights)
    all_losses = losses.view(n_strengths, n_fits, -1).cpu().numpy()
    all_vectors = flat_vectors.view(n_strengths, n_fits, *space.aligned_vectors.shape).cpu().numpy()
    aligned_vectors = space.aligned_vectors.cpu().numpy()
    aligned_losses = (
        targets.losses(space.aligned_vectors[None], config.temperature, query_weights[:1])[0][0].cpu().numpy()
    )
    progress("adaptation", 1.0, "done")

    cross_fitted = aligned_vectors.copy()
    for fold in range(fits.n_folds):
        others, losses_without = fits.held_out_losses(all_losses, folds, also_excluded=fold)
        choice = best_strength(losses_without, aligned_losses[others])
        if choice is not None:
            rows = folds == fold
            cross_fitted[rows] = all_vectors[choice, fits.place[frozenset({fold})]][rows]
    checked, held_out_losses = fits.held_out_losses(all_losses, folds, also_excluded=None)
    choice = best_strength(held_out_losses, aligned_losses[checked])
    adapter, strength, share = aligned, None, 0.0
    if choice is not None:
        strength = config.strengths[choice]
        full = coefficients[choice, fits.place[frozenset()]]
        adapter, share = space.changed_adapter(aligned, full), float((full**2).sum())
    return Adaptation(
        adapter=adapter,
        held_out_vectors=normalise(cross_fitted),
        aligned_losses=aligned_losses,
        held_out_losses=held_out_losses,
        strength=strength,
        share_moved=share,
        reason=_reason(choice, held_out_losses, aligned_losses[checked]),
    )


def _reason(choice: int | None, held_out_losses: Vectors, aligned_losses: Vectors) -> str:
    if not held_out_losses.size:
        return (
            "One labelled query cannot be checked against another, so the aligned adapter is kept. "
            "Mark relevant documents for a second query."
        )
    if choice is None:
        return (
            "On queries it had not seen, what could be learned from these marks did not help, "
            "so the ranking stays as it was. More marked queries usually change that."
        )
    helped = int((held_out_losses[choice] < aligned_losses).sum())
    return f"Learning from the marks helped {helped} of {len(aligned_losses)} queries that were held out in turn."


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSet:
    """The documents of each query's softmax: `vectors` (n, C, m), `targets` (n, C) summing to 1, `is_absent` (n, C)."""

    vectors: Tensor
    targets: Tensor
    is_absent: Tensor

    @classmethod
    def build(
        cls, labelled: LabelledQueries, mined: Sequence[Sequence[str]], index: DenseIndex, device: str
    ) -> "CandidateSet":
        """Lay out relevant, judged-not-relevant and mined documents; the target is the grades, normalised to sum 1."""
        n = len(labelled)
        ids = [
            [*labelled.relevant[i], *labelled.not_relevant[i], *mined[i]] for i in range(n)
        ]  # relevant first, then judged not relevant, then unjudged
        width = max(len(row) for row in ids)
        vectors = np.zeros((n, width, index.embedder.dimension), np.float32)
        targets = np.zeros((n, width), np.float32)
        is_absent = np.ones((n, width), bool)
        for i, row in enumerate(ids):
            vectors[i, : len(row)] = index.vectors(row)
            grades = np.array(list(labelled.relevant[i].values()), np.float64)
            targets[i, : len(grades)] = grades / grades.sum()
            is_absent[i, : len(row)] = False
        return cls(
            torch.from_numpy(vectors).to(device),
            torch.from_numpy(targets).to(device),
            torch.from_numpy(is_absent).to(device),
        )

    def losses(self, query_vectors: Tensor, temperature: float, query_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the softmax cross-entropy of each query and the gradient of their weighted sum.

        Args:
            query_vectors: (P, n, m), of any length; they are normalised here.
            temperature: > 0.
            query_weights: (P, n).

        Returns:
            Losses (P, n) in nats, gradients (P, n, m) with respect to `query_vectors`.
        """
        lengths = query_vectors.norm(dim=2, keepdim=True).clamp_min(1e-12)
        unit = query_vectors / lengths
        logits = (unit.transpose(0, 1) @ self.vectors.transpose(1, 2)) / temperature  # (n, P, C)
        logits.masked_fill_(self.is_absent[:, None], -torch.inf)
        log_sum = logits.logsumexp(dim=2, keepdim=True)
        targets = self.targets[:, None]
        losses = log_sum[..., 0] - (logits.masked_fill(self.is_absent[:, None], 0.0) * targets).sum(dim=2)  # (n, P)
        errors = (logits - log_sum).exp_() - targets  # (n, P, C)
        errors *= query_weights.T[..., None] / temperature
        unit_gradients = (errors @ self.vectors).transpose(0, 1)  # (P, n, m)
        along = (unit_gradients * unit).sum(dim=2, keepdim=True)
        return losses.T, (unit_gradients - along * unit) / lengths
