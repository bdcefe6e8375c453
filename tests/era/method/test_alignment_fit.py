"""How well the decoder is said to read strong vectors has to be what it does to texts it has not seen."""

import numpy as np
import pytest
from scipy import linalg

from era.adapter import normalise
from era.encoders.base import Vectors
from era.method.alignment import AlignmentTexts, DecodingConfig, alignment_fit
from tests.worlds.vectors import random_unit_rows


def texts_with(strong: Vectors, light: Vectors) -> AlignmentTexts:
    return AlignmentTexts([str(i) for i in range(len(light))], strong, light)


def test_alignment_fit_is_perfect_where_the_strong_vector_is_a_rotation_of_the_light_one() -> None:
    light = random_unit_rows(200, 6, seed=0)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    found = alignment_fit(texts_with((light @ rotation).astype(np.float32), light), DecodingConfig(ridge=1e-6))
    assert found.n == 200
    assert found.explained_variance == pytest.approx(1, abs=1e-4)
    assert found.mean_cosine == pytest.approx(1, abs=1e-4)


def test_alignment_fit_finds_nothing_where_the_two_embedders_agree_on_nothing() -> None:
    found = alignment_fit(texts_with(random_unit_rows(1000, 8, seed=0), random_unit_rows(1000, 8, seed=1)))
    assert found.explained_variance is not None
    assert found.mean_cosine is not None
    assert -0.05 < found.explained_variance < 0.02
    assert abs(found.mean_cosine) < 0.1


@pytest.mark.parametrize("n", [40, 41])
def test_alignment_fit_is_that_of_a_ridge_regression_on_the_other_half(n: int) -> None:
    light = random_unit_rows(n, 5, seed=2)
    mixed = light @ np.random.default_rng(3).normal(size=(5, 7)) + 0.5 * random_unit_rows(n, 7, seed=4) + 0.3
    strong = normalise(mixed.astype(np.float32))
    share, wanted, read, known_mean = 0.05, [], [], []
    for first in (0, 1):
        learned, others = slice(first, None, 2), slice(1 - first, None, 2)
        x, y = light[learned].astype(np.float64), strong[learned].astype(np.float64)
        x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
        ridge = len(x) * share * np.linalg.eigvalsh(np.cov(x.T, bias=True)).mean()
        stacked = np.vstack([x - x_mean, ridge**0.5 * np.eye(5)])  # ridge regression as ordinary least squares
        slopes = linalg.lstsq(stacked, np.vstack([y - y_mean, np.zeros((5, 7))]))[0]
        wanted.append(strong[others].astype(np.float64))
        read.append((light[others] - x_mean) @ slopes + y_mean)
        known_mean.append(np.repeat(y_mean[None], len(strong[others]), axis=0))
    truth, guess, base = np.concatenate(wanted), np.concatenate(read), np.concatenate(known_mean)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(truth, guess, strict=True)]
    found = alignment_fit(texts_with(strong, light), DecodingConfig(ridge=share))
    assert found.explained_variance == pytest.approx(1 - ((truth - guess) ** 2).sum() / ((truth - base) ** 2).sum())
    assert found.mean_cosine == pytest.approx(np.mean(cosines))
    assert found.n == n


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_alignment_fit_says_nothing_where_there_is_nothing_to_explain(n: int) -> None:
    same = np.repeat(random_unit_rows(1, 4, seed=0), n, axis=0)
    found = alignment_fit(texts_with(same, random_unit_rows(n, 3, seed=1)))
    assert (found.explained_variance, found.mean_cosine, found.n) == (None, None, n)


def test_alignment_fit_takes_two_texts() -> None:
    found = alignment_fit(texts_with(random_unit_rows(2, 4, seed=0), random_unit_rows(2, 3, seed=1)))
    assert found.explained_variance == pytest.approx(0)  # one text is its own mean, and that is all it teaches
