"""The fits of stage 2: what one of them minimises, and all folds and strengths solved side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from era.adapter import normalise
from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.method.candidates import LabelledQueries
from era.method.folds import FitName, Folds
from era.method.function_space import FunctionSpace, ScoreMetric
from era.method.lbfgs import minimise
from era.method.listwise import ListwiseLoss
from era.progress import Progress

SHARE_BEFORE_FITS = 0.1  # of the progress


@dataclass(frozen=True, slots=True)
class Choice:
    """The fit that ranks some of the queries.

    Attributes:
        name: the place of its blend, and the folds it has not seen.
        strength: the place of its strength; None where the gate stayed closed and the blend is all that it learned.
    """

    name: FitName
    strength: int | None

    @property
    def blend(self) -> int:
        """Return the place of its blend."""
        return self.name[0]

    def strength_of(self, strengths: Sequence[float]) -> float | None:
        """Return its strength, None where the gate stayed closed."""
        return None if self.strength is None else strengths[self.strength]


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """The solutions of S strengths times F fits."""

    names: Sequence[FitName]
    coefficients: Tensor  # (S, F, r, m)
    losses: Vectors  # (S, F, n) in nats
    start_losses: Vectors  # (B, n) in nats: of each blend before any change

    def of(self, choice: Choice) -> Tensor | None:
        """Return the coefficients (r, m) of a fit, None where its gate stayed closed."""
        if choice.strength is None:
            return None
        return self.coefficients[choice.strength, self.names.index(choice.name)]

    def shares_moved(self, place: int) -> Vectors:
        """Return (S,): the share of score variance that the fit at a place moves with each strength."""
        return np.asarray((self.coefficients[:, place] ** 2).sum(dim=(1, 2)).cpu().numpy(), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What a fit minimises: the mean loss of its n queries, plus strength times share of variance moved over n."""

    space: FunctionSpace
    loss: ListwiseLoss
    starts: Tensor  # (B, n, m): the queries under each blend, along the axes
    strengths: Sequence[float]
    n_iterations: int

    @classmethod
    def build(
        cls,
        metric: ScoreMetric,
        labelled: LabelledQueries,
        unjudged: Sequence[Sequence[str]],
        starts: Vectors,
        index: DenseIndex,
        device: str,
        temperature: float,
        strengths: Sequence[float],
        n_iterations: int,
    ) -> "Problem":
        """Lay out the candidates.

        Args:
            metric: what changes of the aligned adapter cost.
            labelled: n queries.
            unjudged: for each query, the unjudged documents it is contrasted with.
            starts: (B, n, m), of any length; the queries under each blend, the aligned one first.
            index: holds the documents.
            device: of torch.
            temperature: of the softmax, in standard deviations of a query's aligned scores.
            strengths: of the penalty.
            n_iterations: of the optimiser, at most.
        """
        temperature *= metric.score_spread(normalise(starts[0]))
        return cls(
            space=FunctionSpace.build(metric, labelled.encoded, device),
            loss=ListwiseLoss.build(labelled, unjudged, index, metric.document_axes, temperature, device),
            starts=torch.from_numpy(starts @ metric.document_axes).to(device),
            strengths=strengths,
            n_iterations=n_iterations,
        )

    def solve(self, names: Sequence[FitName], folds: Folds, progress: Progress) -> Solved:
        """Fit every strength for every (blend, excluded folds)."""
        space, strengths, device = self.space, self.strengths, self.starts.device
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
            share = SHARE_BEFORE_FITS + (1 - SHARE_BEFORE_FITS) * iteration / self.n_iterations
            progress("adaptation", share, f"{len(strengths)} strengths tried")

        nowhere = torch.zeros(len(penalties), space.shape[0] * space.shape[1], device=device)
        points = minimise(objective, nowhere, self.n_iterations, on_iteration=report)
        coefficients = points.view(len(penalties), *space.shape)
        losses, _ = self.loss(self.starts[blends] + space.moves(coefficients), query_weights)
        start_losses, _ = self.loss(self.starts, query_weights[:1].expand(len(self.starts), -1))
        return Solved(
            names=names,
            coefficients=coefficients.view(len(strengths), len(names), *space.shape),
            losses=losses.view(len(strengths), len(names), -1).cpu().numpy(),
            start_losses=start_losses.cpu().numpy(),
        )

    def contributions(self, choice: Choice, solved: Solved, folds: Folds) -> Vectors:
        """Return (n, m): what each labelled query adds to the change of a fit; see `FunctionSpace.contributions`."""
        coefficients, strength = solved.of(choice), choice.strength_of(self.strengths)
        if coefficients is None or strength is None:
            return np.zeros(self.starts.shape[1:], np.float32)
        blend, excluded = choice.name
        is_training = ~np.isin(folds, list(excluded))
        weights = torch.from_numpy(is_training / is_training.sum()).float().to(self.starts.device)
        _, gradients = self.loss((self.starts[blend] + self.space.moves(coefficients))[None], weights[None])
        return self.space.contributions(coefficients, gradients[0], strength / float(is_training.sum()), is_training)
