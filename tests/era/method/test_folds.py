from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from era.method.folds import FitName, Fits, assign_folds, best_strength, trials_of


@pytest.mark.parametrize(("n", "sizes"), [(5, [1] * 5), (7, [1, 1, 1, 2, 2]), (10, [2] * 5), (23, [4, 4, 5, 5, 5])])
def test_assign_folds_gives_equal_sizes(n: int, sizes: list[int]) -> None:
    assert sorted(np.bincount(assign_folds(range(n), 5, seed=0)).tolist()) == sizes


def test_assign_folds_gives_each_query_its_own_when_there_are_few() -> None:
    assert sorted(assign_folds(range(3), 5, seed=0).tolist()) == [0, 1, 2]


def test_assign_folds_depends_on_the_seed_alone() -> None:
    first, again, other = (assign_folds(range(20), 5, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("seed", range(5))
def test_assign_folds_keeps_queries_of_the_same_group_together(seed: int) -> None:
    folds = assign_folds([0, 1, 0, 2, 0, 3, 4, 4], 5, seed)
    assert folds[0] == folds[2] == folds[4]
    assert folds[6] == folds[7]
    assert len(set(folds.tolist())) == 5  # five groups


def test_assign_folds_is_one_fold_when_all_are_one_group() -> None:
    assert assign_folds([7, 7, 7], 5, seed=0).tolist() == [0, 0, 0]


def name(blend: int, *excluded: int) -> FitName:
    return blend, frozenset(excluded)


def always(blend: int) -> Callable[[frozenset[int]], int]:
    return lambda without: blend


@pytest.mark.parametrize(
    ("n_folds", "expected"),
    [
        (1, [name(3)]),  # a single fold cannot be held out
        (2, [name(3), name(3, 0), name(3, 1)]),
        (3, [name(3), *(name(3, *without) for without in [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])]),
        (
            4,  # all but the one without any fold, which has nothing to learn from
            [name(3, *without) for size in range(4) for without in combinations(range(4), size)],
        ),
    ],
)
def test_plan_names_each_fit_once(n_folds: int, expected: list[FitName]) -> None:
    fits = Fits.plan(n_folds, always(3))
    assert set(fits.names) == set(expected)
    assert len(fits.names) == len(expected)
    assert fits.names[0] == name(3)  # the one to deploy
    assert fits.n_folds == n_folds


def test_plan_leaves_out_three_folds_at_most() -> None:
    assert sorted(len(without) for _, without in Fits.plan(6, always(0)).names) == [0] + 6 * [1] + 15 * [2] + 20 * [3]


def test_plan_starts_each_fit_from_the_blend_that_was_chosen_without_its_folds_or_some_of_them() -> None:
    fits = Fits.plan(4, lambda without: 7 if 1 in without else 5)
    assert name(7, 1) in fits.names  # ranks fold 1
    assert name(5, 1) in fits.names  # checks the strength of what is deployed
    assert name(5, 0, 1) in fits.names  # the same without fold 0
    assert name(7, 0, 1, 2) in fits.names
    assert name(7, 0) not in fits.names


def test_held_out_gives_the_fit_without_the_fold_of_the_query() -> None:
    folds = np.array([1, 2, 3, 2, 0])
    fits = Fits.plan(4, always(6))
    queries, places = fits.held_out(folds, 6, frozenset())
    assert queries.tolist() == [0, 1, 2, 3, 4]
    assert [fits.names[place] for place in places] == [name(6, 1), name(6, 2), name(6, 3), name(6, 2), name(6, 0)]


def test_held_out_gives_the_fit_without_the_further_folds_as_well() -> None:
    folds = np.array([1, 2, 3, 2, 0])
    fits = Fits.plan(4, lambda without: 8 if 2 in without else 6)
    queries, places = fits.held_out(folds, 8, frozenset({2}))
    assert queries.tolist() == [0, 2, 4]
    assert [fits.names[place] for place in places] == [name(8, 1, 2), name(8, 2, 3), name(8, 0, 2)]
    queries, places = fits.held_out(folds, 8, frozenset({0, 2}))
    assert queries.tolist() == [0, 2]
    assert [fits.names[place] for place in places] == [name(8, 0, 1, 2), name(8, 0, 2, 3)]


@pytest.mark.parametrize(("folds", "without"), [([0, 1, 1], {0}), ([0, 1, 1], {1}), ([0, 0], set()), ([0, 0], {0})])
def test_held_out_gives_nothing_when_nothing_is_left_to_learn_from(folds: list[int], without: set[int]) -> None:
    fits = Fits.plan(max(folds) + 1, always(0))
    queries, places = fits.held_out(np.array(folds), 0, frozenset(without))
    assert queries.tolist() == places.tolist() == []


@pytest.mark.parametrize("seed", range(25))
def test_no_fit_that_has_a_say_in_the_ranking_of_a_fold_has_seen_it(seed: int) -> None:
    """Whatever is learned without some folds asks only for fits that left these out, and they were all planned."""
    rng = np.random.default_rng(seed)
    n_folds = int(rng.integers(1, 7))
    folds = rng.permutation(np.concatenate([np.arange(n_folds), rng.integers(n_folds, size=int(rng.integers(9)))]))
    blends: dict[frozenset[int], int] = {}
    for size in range(3):
        blends |= {frozenset(without): int(rng.integers(3)) for without in combinations(range(n_folds), size)}
    fits = Fits.plan(n_folds, blends.__getitem__)
    assert len(set(fits.names)) == len(fits.names)
    assert all(len(excluded) < n_folds for _, excluded in fits.names)  # each has something to learn from
    for without, blend in blends.items():
        queries, places = fits.held_out(folds, blend, without)
        is_enough = n_folds > len(without) + 1
        assert queries.tolist() == ([i for i in range(len(folds)) if folds[i] not in without] if is_enough else [])
        for query, place in zip(queries, places, strict=True):
            assert fits.names[place] == (blend, without | {int(folds[query])})
        if n_folds > len(without):
            assert (blend, without) in fits.names


@pytest.mark.parametrize(
    ("gains", "expected"),
    [  # of two gains a and b, the standard error of the mean is half their distance
        ([[2, 0], [1, 1]], 1),  # bounds 1 - 1/2 and 1: the surer of two that gain the same
        ([[3, 0], [1, 1]], 1),  # bounds 3/2 - 3/4 and 1: the surer one, although it gains less
        ([[5, 0], [1, 1]], 0),  # bounds 5/2 - 5/4 and 1
        ([[2, -1]], None),  # bound 1/2 - 3/4
        ([[4, -1]], 0),  # bound 3/2 - 5/4
        ([[0, 0], [0, 0]], None),  # as good is not better
        ([[-1, -2], [-3, -3]], None),
        ([[0.1, 0.1, 0.1], [6, 0, 0]], 1),  # mean 2, variance 12, standard error 2: bound 1
        ([[6, 0, 0], [1.1, 1.1, 1.1]], 1),
        ([[5]], None),  # one query says nothing about chance
        ([[], []], None),
    ],
)
def test_best_strength_is_the_one_whose_gain_is_surest(gains: list[list[float]], expected: int | None) -> None:
    start = np.arange(2.0, 2.0 + len(gains[0]))
    held_out = start - np.array(gains)
    assert best_strength(held_out.astype(np.float32), start.astype(np.float32)) == expected


def test_trials_are_mean_gain_and_its_standard_error() -> None:
    start = np.array([3.0, 2.0, 4.0], np.float32)
    losses = np.array([[2.0, 2.0, 2.0], [3.5, 2.5, 4.5]], np.float32)  # gains of 1, 0, 2 and of -0.5 each
    first, second = trials_of((80.0, 20.0), losses, start, np.array([0.01, 0.04], np.float32))
    assert (first.strength, first.gain) == (80.0, 1.0)
    assert first.standard_error == pytest.approx(3**-0.5)  # the variance of 1, 0, 2 with n - 1 is 1
    assert first.share_moved == pytest.approx(0.01)
    assert (second.strength, second.gain, second.standard_error) == (20.0, -0.5, 0.0)
    assert second.share_moved == pytest.approx(0.04)


@pytest.mark.parametrize("n", [0, 1])
def test_trials_are_none_when_fewer_than_two_queries_were_held_out(n: int) -> None:
    assert trials_of((80.0,), np.ones((1, n), np.float32), np.ones(n, np.float32), np.ones(1, np.float32)) == []
