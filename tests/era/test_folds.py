import numpy as np
import pytest

from era.folds import FitName, Fits, assign_folds, best_strength, trials_of


def texts(n: int) -> list[str]:
    return [f"text {i}" for i in range(n)]


@pytest.mark.parametrize(("n", "sizes"), [(5, [1] * 5), (7, [1, 1, 1, 2, 2]), (10, [2] * 5), (23, [4, 4, 5, 5, 5])])
def test_assign_folds_gives_equal_sizes(n: int, sizes: list[int]) -> None:
    assert sorted(np.bincount(assign_folds(texts(n), 5, seed=0)).tolist()) == sizes


def test_assign_folds_gives_each_query_its_own_when_there_are_few() -> None:
    assert sorted(assign_folds(texts(3), 5, seed=0).tolist()) == [0, 1, 2]


def test_assign_folds_depends_on_the_seed_alone() -> None:
    first, again, other = (assign_folds(texts(20), 5, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("seed", range(5))
def test_assign_folds_keeps_queries_of_the_same_text_together(seed: int) -> None:
    folds = assign_folds(["cat", "dog", " Cat", "wren", "CAT ", "newt", "two  words", "Two words"], 5, seed)
    assert folds[0] == folds[2] == folds[4]
    assert folds[6] == folds[7]
    assert len(set(folds.tolist())) == 5  # five different texts


def test_assign_folds_is_one_fold_when_all_texts_are_the_same() -> None:
    assert assign_folds(["cat", "Cat", "cat"], 5, seed=0).tolist() == [0, 0, 0]


def name(blend: int, *excluded: int) -> FitName:
    return blend, frozenset(excluded)


@pytest.mark.parametrize(
    ("folds", "blend", "blend_without", "expected"),
    [
        ([0, 0], 3, [0], [name(3)]),  # a single fold cannot be held out
        ([1, 0, 1], 3, [3, 3], [name(3), name(3, 0), name(3, 1)]),
        ([1, 0, 1], 3, [3, 7], [name(3), name(3, 0), name(3, 1), name(7, 1)]),
        (
            [2, 0, 1, 1],
            0,
            [0, 0, 0],
            [name(0), name(0, 0), name(0, 1), name(0, 2), name(0, 0, 1), name(0, 0, 2), name(0, 1, 2)],
        ),
        (
            [2, 0, 1, 1],
            0,
            [0, 4, 0],
            [
                *(name(0), name(0, 0), name(0, 1), name(0, 2), name(0, 0, 1), name(0, 0, 2), name(0, 1, 2)),
                *(name(4, 1), name(4, 0, 1), name(4, 1, 2)),
            ],
        ),
    ],
)
def test_plan_names_each_fit_once(
    folds: list[int], blend: int, blend_without: list[int], expected: list[FitName]
) -> None:
    fits = Fits.plan(np.array(folds), blend, blend_without)
    assert set(fits.names) == set(expected)
    assert len(fits.names) == len(expected)
    assert fits.names[0] == name(blend)  # the one to deploy
    assert fits.n_folds == max(folds) + 1


def test_held_out_gives_the_fit_without_the_fold_of_the_query() -> None:
    folds = np.array([1, 2, 3, 2, 0])
    fits = Fits.plan(folds, 6, [6, 6, 8, 6])
    queries, places = fits.held_out(folds, 6, also_excluded=None)
    assert queries.tolist() == [0, 1, 2, 3, 4]
    assert [fits.names[place] for place in places] == [name(6, 1), name(6, 2), name(6, 3), name(6, 2), name(6, 0)]


def test_held_out_gives_the_fit_without_the_further_fold_as_well() -> None:
    folds = np.array([1, 2, 3, 2, 0])
    fits = Fits.plan(folds, 6, [6, 6, 8, 6])
    queries, places = fits.held_out(folds, 8, also_excluded=2)
    assert queries.tolist() == [0, 2, 4]
    assert [fits.names[place] for place in places] == [name(8, 1, 2), name(8, 2, 3), name(8, 0, 2)]


@pytest.mark.parametrize(("folds", "also_excluded"), [([0, 1, 1], 0), ([0, 1, 1], 1), ([0, 0], None), ([0, 0], 0)])
def test_held_out_gives_nothing_when_nothing_is_left_to_learn_from(folds: list[int], also_excluded: int | None) -> None:
    fits = Fits.plan(np.array(folds), 0, [0] * (max(folds) + 1))
    queries, places = fits.held_out(np.array(folds), 0, also_excluded)
    assert queries.tolist() == places.tolist() == []


@pytest.mark.parametrize("seed", range(25))
def test_no_fit_that_has_a_say_in_the_ranking_of_a_fold_has_seen_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_folds = int(rng.integers(1, 7))
    folds = rng.permutation(np.concatenate([np.arange(n_folds), rng.integers(n_folds, size=int(rng.integers(9)))]))
    blend, blend_without = int(rng.integers(3)), rng.integers(3, size=n_folds).tolist()
    fits = Fits.plan(folds, blend, blend_without)
    assert len(set(fits.names)) == len(fits.names)
    assert all(len(excluded) < n_folds for _, excluded in fits.names)  # each has something to learn from
    for fold in range(n_folds):
        queries, places = fits.held_out(folds, blend_without[fold], also_excluded=fold)
        assert queries.tolist() == ([i for i in range(len(folds)) if folds[i] != fold] if n_folds > 2 else [])
        for query, place in zip(queries, places, strict=True):
            start, excluded = fits.names[place]
            assert start == blend_without[fold]  # a blend that was chosen without the fold, too
            assert {fold, int(folds[query])} == excluded
        if n_folds > 1:
            assert name(blend_without[fold], fold) in fits.names  # ranks the fold
    queries, places = fits.held_out(folds, blend, also_excluded=None)
    assert len(queries) == (len(folds) if n_folds > 1 else 0)
    assert all(fits.names[place] == name(blend, int(folds[i])) for i, place in zip(queries, places, strict=True))


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
