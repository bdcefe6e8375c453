import numpy as np
import pytest

from era.folds import Fits, assign_folds, best_strength


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


@pytest.mark.parametrize(
    ("folds", "excluded"),
    [
        ([0, 0], [()]),
        ([1, 0, 1], [(), (0,), (1,)]),
        ([2, 0, 1, 1], [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]),
    ],
)
def test_plan_excludes_every_fold_and_every_pair_but_never_everything(
    folds: list[int], excluded: list[tuple[int, ...]]
) -> None:
    fits = Fits.plan(np.array(folds))
    assert set(fits.excluded) == {frozenset(names) for names in excluded}
    assert len(fits.excluded) == len(excluded)
    assert fits.n_folds == max(folds) + 1
    assert all(fits.excluded[place] == name for name, place in fits.place.items())


def losses_of(fits: Fits, folds: list[int]) -> np.ndarray:
    """Return losses (1, fits, n) from which fit and query can be read: `ab.q` for folds a and b excluded, query q."""
    digits = [sum(fold * 10**place for place, fold in enumerate(sorted(name))) for name in fits.excluded]
    return np.array([[[digit + query / 10 for query in range(len(folds))] for digit in digits]], np.float32)


def test_held_out_losses_come_from_the_fit_without_the_fold_of_the_query() -> None:
    folds = [1, 2, 3, 2, 0]
    fits = Fits.plan(np.array(folds))
    queries, losses = fits.held_out_losses(losses_of(fits, folds), np.array(folds), also_excluded=None)
    assert queries.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(losses, [[1.0, 2.1, 3.2, 2.3, 0.4]])


def test_held_out_losses_come_from_the_fit_without_the_further_fold_as_well() -> None:
    folds = [1, 2, 3, 2, 0]
    fits = Fits.plan(np.array(folds))
    queries, losses = fits.held_out_losses(losses_of(fits, folds), np.array(folds), also_excluded=2)
    assert queries.tolist() == [0, 2, 4]
    np.testing.assert_allclose(losses, [[21.0, 32.2, 20.4]])


@pytest.mark.parametrize(("folds", "also_excluded"), [([0, 1, 1], 0), ([0, 1, 1], 1), ([0, 0], None)])
def test_held_out_losses_are_none_when_nothing_is_left_to_learn_from(
    folds: list[int], also_excluded: int | None
) -> None:
    fits = Fits.plan(np.array(folds))
    queries, losses = fits.held_out_losses(losses_of(fits, folds), np.array(folds), also_excluded)
    assert queries.tolist() == []
    assert losses.shape == (1, 0)


@pytest.mark.parametrize(
    ("held_out", "aligned", "expected"),
    [
        ([[3, 2], [1, 1.1]], [2, 2], 1),  # gains 1 and 0.9: mean 0.95, standard error 0.05
        ([[3, 1], [1, 2]], [2, 2], None),  # gains 1 and 0: mean 0.5, standard error 0.5, and 1.5 of those are more
        ([[3, 1], [4, 2]], [2, 2], None),  # as good is not better
        ([[1, 1, 1], [4, 2, 2]], [2, 2, 2.6], 0),  # gains 1, 1, 1.6: mean 1.2, standard error 0.2
        ([[1]], [2], None),  # one query says nothing about chance
        ([[], []], [], None),
    ],
)
def test_best_strength_has_to_beat_the_aligned_adapter(
    held_out: list[list[float]], aligned: list[float], expected: int | None
) -> None:
    assert best_strength(np.array(held_out, np.float32), np.array(aligned, np.float32)) == expected
