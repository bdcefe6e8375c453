import numpy as np
import pytest
import torch
from torch import Tensor

from era.errors import Cancelled
from era.method.lbfgs import Objective, minimise


def quadratics(n: int, dimension: int, seed: int) -> tuple[Objective, Tensor]:
    """Return `x A x / 2 - b x` for n random positive definite A, and their minima by numpy (n, dimension)."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n, dimension, dimension))
    a = roots @ roots.transpose(0, 2, 1) + 0.5 * np.eye(dimension)
    b = rng.normal(size=(n, dimension))
    minima = np.linalg.solve(a, b[..., None])[..., 0]
    matrices, offsets = torch.from_numpy(a), torch.from_numpy(b)

    def objective(points: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        products = torch.einsum("aij,aj->ai", matrices[problems], points)
        values = (points * (products / 2 - offsets[problems])).sum(dim=1)
        return values, products - offsets[problems]

    return objective, torch.from_numpy(minima)


def rosenbrock(points: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
    """Return the banana valley; its minimum is 0 at (1, 1)."""
    x, y = points[:, 0], points[:, 1]
    values = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    gradients = torch.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)], dim=1)
    return values, gradients


def test_minimise_solves_many_quadratics_at_once() -> None:
    objective, minima = quadratics(n=50, dimension=7, seed=0)
    found = minimise(objective, torch.zeros(50, 7, dtype=torch.float64), n_iterations=300, tolerance=0.0)
    np.testing.assert_allclose(found, minima, atol=1e-5)


def test_minimise_comes_close_in_single_precision_with_default_settings() -> None:
    objective, minima = quadratics(n=50, dimension=7, seed=1)

    def single(points: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = objective(points.double(), problems)
        return values.float(), gradients.float()

    every = torch.arange(50)
    start = torch.zeros(50, 7)
    found = minimise(single, start).double()
    gap = objective(found, every)[0] - objective(minima, every)[0]
    gap_at_start = objective(start.double(), every)[0] - objective(minima, every)[0]
    assert (gap / gap_at_start).max() < 0.02


def test_minimise_follows_a_curved_valley() -> None:
    start = torch.tensor([[-1.2, 1.0], [2.0, -2.0], [0.0, 0.0]], dtype=torch.float64)
    found = minimise(rosenbrock, start, n_iterations=200, tolerance=1e-9)
    np.testing.assert_allclose(found, np.ones((3, 2)), atol=1e-4)


def test_minimise_solves_each_problem_as_if_it_were_alone() -> None:
    objective, _ = quadratics(n=6, dimension=5, seed=2)
    start = torch.from_numpy(np.random.default_rng(3).normal(size=(6, 5)))
    together = minimise(objective, start, n_iterations=4)  # far from solved: the paths are compared, not the minima
    for place in range(6):

        def alone(points: Tensor, problems: Tensor, place: int = place) -> tuple[Tensor, Tensor]:
            return objective(points, problems + place)

        found = minimise(alone, start[place : place + 1], n_iterations=4)
        np.testing.assert_allclose(found[0], together[place], rtol=1e-8, atol=1e-10)


def test_minimise_asks_no_more_about_a_solved_problem() -> None:
    objective, _ = quadratics(n=2, dimension=5, seed=4)
    asked: list[list[int]] = []

    def easy_and_hard(points: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(problems.tolist())
        values, gradients = objective(points, problems)
        is_easy = problems == 0
        return torch.where(is_easy, 1.0, values), torch.where(is_easy[:, None], 0.0, gradients)

    minimise(easy_and_hard, torch.ones(2, 5, dtype=torch.float64))
    assert asked[0] == [0, 1]
    assert asked[-1] == [1]


def test_minimise_never_returns_a_worse_point_than_the_start() -> None:
    objective, _ = quadratics(n=20, dimension=5, seed=5)
    start = torch.from_numpy(np.random.default_rng(6).normal(size=(20, 5)))
    every = torch.arange(20)
    for n_iterations in (1, 2, 5):
        found = minimise(objective, start, n_iterations=n_iterations)
        assert (objective(found, every)[0] < objective(start, every)[0]).all()


def test_minimise_stays_where_the_gradient_is_zero() -> None:
    objective, minima = quadratics(n=3, dimension=4, seed=7)

    def flat(points: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        values, _ = objective(points, problems)
        return values, torch.zeros_like(points)

    np.testing.assert_array_equal(minimise(flat, minima), minima)


def test_minimise_leaves_the_start_as_it_was() -> None:
    objective, _ = quadratics(n=3, dimension=4, seed=8)
    start = torch.zeros(3, 4, dtype=torch.float64)
    minimise(objective, start)
    assert not start.any()


def test_minimise_reports_every_iteration_and_stops_at_the_limit() -> None:
    reported: list[int] = []
    start = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    minimise(rosenbrock, start, n_iterations=5, tolerance=0.0, on_iteration=reported.append)
    assert reported == [1, 2, 3, 4, 5]


def test_minimise_stops_when_the_report_raises() -> None:
    reported: list[int] = []

    def stop(iteration: int) -> None:
        reported.append(iteration)
        if iteration == 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        minimise(rosenbrock, torch.tensor([[-1.2, 1.0]], dtype=torch.float64), on_iteration=stop)
    assert reported == [1, 2]
