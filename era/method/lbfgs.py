"""L-BFGS on many small problems at once.

Cross-validation fits the same kind of problem dozens of times; solving them side by side turns many tiny products into
a few large ones, which is what makes adaptation fast. A problem that has converged costs nothing any more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points (A, D), problems (A,)) -> values (A,) and gradients (A, D); row i is a point of problem `problems[i]`."""

_SUFFICIENT_DECREASE = 1e-4  # Armijo's constant
_MAX_HALVINGS = 12


@dataclass(slots=True, eq=False)
class _Search:
    """The state of the problems still being solved; every tensor has one row a problem."""

    problems: Tensor  # (A,)
    points: Tensor  # (A, D)
    values: Tensor  # (A,)
    gradients: Tensor  # (A, D)
    steps: list[Tensor]  # each (A, D), oldest first
    changes: list[Tensor]  # each (A, D): change of the gradient along the step
    curvatures: list[Tensor]  # each (A,): 1 / (step . change), 0 where that pair is unusable
    was_slow: Tensor  # (A,): whether the last iteration decreased the value by no more than the tolerance

    def keep(self, is_kept: Tensor) -> None:
        """Drop the problems that are solved."""
        self.problems, self.points = self.problems[is_kept], self.points[is_kept]
        self.values, self.gradients = self.values[is_kept], self.gradients[is_kept]
        self.was_slow = self.was_slow[is_kept]
        for pairs in (self.steps, self.changes, self.curvatures):
            pairs[:] = [rows[is_kept] for rows in pairs]


def minimise(
    objective: Objective,
    start: Tensor,
    n_iterations: int = 60,
    n_history: int = 5,
    tolerance: float = 3e-4,
    on_iteration: Callable[[int], None] = lambda _: None,
) -> Tensor:
    """Minimise P smooth functions of D variables with limited-memory BFGS and a backtracking line search.

    A problem is solved once its relative decrease in each of two iterations on end is at most `tolerance`; a single
    slow one may just be a badly scaled step.

    Args:
        objective: see `Objective`.
        start: (P, D).
        n_iterations: at most this many.
        n_history: number of curvature pairs kept.
        tolerance: relative decrease of the value per iteration.
        on_iteration: called with the number of finished iterations; may raise to stop.

    Returns:
        (P, D): the best point found for each problem.

    Source: Nocedal and Wright 2006, algorithms 7.4 and 3.1.
    """
    result = start.clone()
    problems = torch.arange(len(start), device=start.device)
    values, gradients = objective(start, problems)
    is_nowhere_slow = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    search = _Search(problems, start.clone(), values, gradients, [], [], [], is_nowhere_slow)
    for iteration in range(1, n_iterations + 1):
        directions = -_inverse_hessian_product(search)
        slopes = _dot(directions, search.gradients)
        is_uphill = slopes >= 0
        directions = torch.where(is_uphill[:, None], -search.gradients, directions)
        slopes = torch.where(is_uphill, -_dot(search.gradients, search.gradients), slopes)
        points, values, gradients = _line_search(objective, search, directions, slopes)

        is_slow = search.values - values <= tolerance * values.abs()
        is_solved = is_slow & search.was_slow
        search.was_slow = is_slow
        step, change = points - search.points, gradients - search.gradients
        curvature = _dot(step, change)
        is_usable = curvature > 1e-10 * step.norm(dim=1) * change.norm(dim=1)
        search.steps.append(step)
        search.changes.append(change)
        search.curvatures.append(torch.where(is_usable, 1 / curvature.clamp_min(1e-30), 0.0))
        for pairs in (search.steps, search.changes, search.curvatures):
            del pairs[:-n_history]
        search.points, search.values, search.gradients = points, values, gradients
        result[search.problems] = points
        on_iteration(iteration)
        if is_solved.all():
            break
        search.keep(~is_solved)
    return result


def _line_search(
    objective: Objective, search: _Search, directions: Tensor, slopes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, values and gradients after a step that decreases enough; unchanged where no step does."""
    lengths = torch.ones_like(search.values)
    if not search.steps:  # nothing is known of the curvature yet
        lengths = (1 / directions.norm(dim=1).clamp_min(1e-12)).clamp_max(1.0)
    points = search.points + lengths[:, None] * directions
    values, gradients = objective(points, search.problems)
    trying = _too_high(values, search, lengths, slopes)
    for _ in range(_MAX_HALVINGS):
        if not len(trying):
            return points, values, gradients
        lengths[trying] /= 2
        points[trying] = search.points[trying] + lengths[trying, None] * directions[trying]
        values[trying], gradients[trying] = objective(points[trying], search.problems[trying])
        trying = _too_high(values, search, lengths, slopes)
    points[trying], values[trying] = search.points[trying], search.values[trying]
    gradients[trying] = search.gradients[trying]
    return points, values, gradients


def _too_high(values: Tensor, search: _Search, lengths: Tensor, slopes: Tensor) -> Tensor:
    """Return the places of the problems that did not decrease enough along their direction."""
    is_enough = values <= search.values + _SUFFICIENT_DECREASE * lengths * slopes
    return (~is_enough).nonzero()[:, 0]  # a value that is not a number is never enough


def _inverse_hessian_product(search: _Search) -> Tensor:
    """Return the inverse-Hessian approximation times the gradient, row by row (A, D): the two-loop recursion."""
    product = search.gradients.clone()
    weights = []
    for step, change, curvature in zip(
        reversed(search.steps), reversed(search.changes), reversed(search.curvatures), strict=True
    ):
        weight = curvature * _dot(step, product)
        product -= weight[:, None] * change
        weights.append(weight)
    scale = torch.ones_like(search.values)
    for change, curvature in zip(search.changes, search.curvatures, strict=True):
        newest = 1 / (curvature * _dot(change, change)).clamp_min(1e-30)
        scale = torch.where(curvature > 0, newest, scale)
    product *= scale[:, None]
    for step, change, curvature, weight in zip(
        search.steps, search.changes, search.curvatures, reversed(weights), strict=True
    ):
        product += step * (weight - curvature * _dot(change, product))[:, None]
    return product


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the row-wise inner product (A,)."""
    product: Tensor = torch.linalg.vecdot(a, b)
    return product
