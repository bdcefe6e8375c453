from math import exp

import numpy as np
import pytest

from era.method.expansion import Neighbourhood
from tests.worlds.vectors import random_unit_rows

# three texts; the strong vectors have their mean at (0, 0), so their directions from it are themselves
STRONG = np.array([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]], np.float32)
LIGHT = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3]], np.float32)  # mean (1, 1, 1)


def test_vectors_are_a_softmax_over_the_texts_worked_out_by_hand() -> None:
    neighbourhood = Neighbourhood(STRONG, LIGHT - 1, np.zeros(2, np.float32), temperature=0.5)
    # (5, 0) has the cosines 1, -1/2 and -1/2 with the texts
    near, far = exp(1 / 0.5), exp(-0.5 / 0.5)
    total = near + 2 * far
    found = neighbourhood.vectors(np.array([[5, 0]], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[3 * near / total - 1, 3 * far / total - 1, 3 * far / total - 1]], atol=1e-6)


def test_build_centres_both_sides_and_measures_the_temperature_in_spreads() -> None:
    strong = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)  # centre (1/2, 1/2); keys at the four corners
    neighbourhood = Neighbourhood.build(strong, np.arange(8, dtype=np.float32).reshape(4, 2), temperature=0.3)
    np.testing.assert_allclose(neighbourhood.centre, [0.5, 0.5])
    corner = 0.5**0.5
    np.testing.assert_allclose(
        neighbourhood.keys, [[corner, -corner], [-corner, corner], [corner, corner], [-corner, -corner]], atol=1e-6
    )
    np.testing.assert_allclose(neighbourhood.values, [[-3, -3], [-1, -1], [1, 1], [3, 3]])
    # each corner has the cosines -1, 0 and 0 with the others: mean -1/3, mean square 1/3, variance 2/9
    assert neighbourhood.temperature == pytest.approx(0.3 * (2 / 9) ** 0.5, rel=1e-5)


def test_vectors_ask_for_the_direction_from_the_centre() -> None:
    strong = random_unit_rows(20, 4, seed=0)
    neighbourhood = Neighbourhood.build(strong, random_unit_rows(20, 3, seed=1), 0.4)
    queries = random_unit_rows(5, 4, seed=2)
    further = neighbourhood.centre + 7 * (queries - neighbourhood.centre)
    np.testing.assert_allclose(neighbourhood.vectors(further), neighbourhood.vectors(queries), atol=1e-5)


def test_build_gives_the_same_weights_however_long_and_wherever_the_strong_vectors_are() -> None:
    strong, light = random_unit_rows(30, 6, seed=0), random_unit_rows(30, 4, seed=1)
    queries = random_unit_rows(5, 6, seed=2)
    offset = 3 * random_unit_rows(1, 6, seed=3)
    first = Neighbourhood.build(strong, light, 0.4)
    second = Neighbourhood.build(10 * strong + offset, light, 0.4)
    np.testing.assert_allclose(second.vectors(10 * queries + offset), first.vectors(queries), atol=1e-4)


def test_build_makes_an_embedder_whose_texts_differ_little_as_sharp_as_any_other() -> None:
    """Squeeze the cosines between texts together; what counts is how they compare with each other."""
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(60, 300))  # in many dimensions all cosines are small
    many = Neighbourhood.build(texts.astype(np.float32), np.eye(60, dtype=np.float32), 0.4)
    cosines = [many.keys[i] @ many.keys[j] for i in range(60) for j in range(60) if i != j]
    assert many.temperature == pytest.approx(0.4 * np.std(cosines), rel=1e-4)
    assert many.temperature < 0.03
    # a query at two spreads from the middle counts exp(2 / 0.4) times as much as one in the middle, for any embedder
    key = many.keys[0]
    assert np.exp(2 * np.std(cosines) / many.temperature) == pytest.approx(exp(2 / 0.4), rel=1e-3)
    weights = many.vectors((many.centre + key)[None])[0] + 1 / 60  # the values were the identity, minus its mean
    assert weights.argmax() == 0
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-4)


def test_vectors_are_the_nearest_text_when_it_is_cold_and_their_mean_when_it_is_hot() -> None:
    strong, light = random_unit_rows(10, 4, seed=0), random_unit_rows(10, 3, seed=1)
    centred = light - light.mean(axis=0)
    cold, hot = (Neighbourhood.build(strong, light, temperature) for temperature in (1e-4, 1e6))
    np.testing.assert_allclose(cold.vectors(strong), centred, atol=1e-4)
    np.testing.assert_allclose(hot.vectors(strong), np.zeros((10, 3)), atol=1e-4)


def test_vectors_say_nothing_when_there_is_one_text() -> None:
    neighbourhood = Neighbourhood.build(random_unit_rows(1, 4, seed=0), random_unit_rows(1, 3, seed=1), 0.4)
    assert neighbourhood.temperature > 0
    np.testing.assert_array_equal(neighbourhood.vectors(random_unit_rows(2, 4, seed=2)), np.zeros((2, 3)))


@pytest.mark.parametrize("n", [2, 7, 50])
def test_vectors_are_the_mean_of_the_texts_when_the_strong_embedder_cannot_tell_them_apart(n: int) -> None:
    strong = np.repeat(random_unit_rows(1, 4, seed=0), n, axis=0)
    neighbourhood = Neighbourhood.build(strong, random_unit_rows(n, 3, seed=1), 0.4)
    found = neighbourhood.vectors(np.concatenate([strong[:1], -strong[:1]]))
    np.testing.assert_allclose(found, np.zeros((2, 3)), atol=1e-5)


def test_vectors_tell_two_texts_apart() -> None:
    strong = np.array([[1, 0], [0, 1]], np.float32)
    neighbourhood = Neighbourhood.build(strong, np.array([[2, 0], [0, 4]], np.float32), 0.4)
    np.testing.assert_allclose(neighbourhood.vectors(strong), [[1, -2], [-1, 2]], atol=1e-6)


def test_vectors_of_the_mean_text_are_the_mean() -> None:
    strong, light = random_unit_rows(9, 4, seed=0), random_unit_rows(9, 3, seed=1)
    neighbourhood = Neighbourhood.build(strong, light, 0.4)
    np.testing.assert_allclose(neighbourhood.vectors(neighbourhood.centre[None]), np.zeros((1, 3)), atol=1e-6)


@pytest.mark.parametrize(("keys", "values", "centre"), [((3, 2), (2, 4), (2,)), ((3, 2), (3, 4), (3,))])
def test_neighbourhood_refuses_sides_that_do_not_fit(
    keys: tuple[int, ...], values: tuple[int, ...], centre: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Neighbourhood(np.ones(keys, np.float32), np.ones(values, np.float32), np.ones(centre, np.float32), 1.0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_neighbourhood_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Neighbourhood(STRONG, LIGHT, np.zeros(2, np.float32), temperature)


def test_the_first_1000_texts_tell_the_temperature_of_more() -> None:
    strong, light = random_unit_rows(1200, 6, seed=0), random_unit_rows(1200, 4, seed=1)
    keys = strong[:1000] - strong.mean(axis=0, dtype=np.float64)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    spread = (keys @ keys.T)[np.triu_indices(1000, 1)].std()
    found = Neighbourhood.build(strong, light, 0.5)
    assert found.temperature == pytest.approx(0.5 * spread)
    assert len(found.keys) == 1200
