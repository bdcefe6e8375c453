"""The penalty of the method, written down from its definition; `neighbours` are never changed and do not count."""

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryAdapter
from era.method.alignment import AlignmentTexts

Matrix = NDArray[np.float64]


def centred_features(aligned: QueryAdapter, texts: AlignmentTexts) -> tuple[Matrix, Matrix]:
    """Return the features of the texts that may change (N, d), centred, and their centre (d,); light is not centred."""
    strong, light = texts.strong.astype(np.float64), texts.light.astype(np.float64)
    of_view = {"mean": strong, "instructed": strong, "light": light}
    centre_of = {"mean": strong.mean(axis=0), "instructed": strong.mean(axis=0), "light": np.zeros(light.shape[1])}
    views = [view for view in aligned.views if view != "neighbours"]
    centre = np.concatenate([centre_of[view] for view in views])
    return np.hstack([of_view[view] for view in views]) - centre, centre


def second_moments(aligned: QueryAdapter, texts: AlignmentTexts, ridge: float) -> tuple[Matrix, Matrix, Matrix]:
    """Return S_x (d, d), S_g (m, m), each with `ridge` of its mean eigenvalue on the diagonal, and mu_x (d,)."""
    x, centre = centred_features(aligned, texts)
    g = texts.light - texts.light.astype(np.float64).mean(axis=0)
    moments = []
    for rows in (x, g):
        moment: Matrix = np.array([np.outer(row, row) for row in rows.astype(np.float64)]).mean(axis=0)
        moments.append(moment + ridge * np.linalg.eigvalsh(moment).mean() * np.eye(len(moment)))
    return moments[0], moments[1], centre


def changeable(weight: Matrix, aligned: QueryAdapter) -> Matrix:
    """Return the rows (d, m) of a weight that may change; in every adapter here `neighbours` come last."""
    n_kept = weight.shape[1] if "neighbours" in aligned.views else 0
    return weight[: len(weight) - n_kept].astype(np.float64)


def share_moved(change: Matrix, aligned: QueryAdapter, texts: AlignmentTexts, ridge: float = 0.1) -> float:
    """Return tr(dW^T S_x dW S_g) / tr(W0^T S_x W0 S_g)."""
    s_x, s_g, _ = second_moments(aligned, texts, ridge)
    moved, start = changeable(change, aligned), changeable(aligned.weight.astype(np.float64), aligned)
    return float(np.trace(moved.T @ s_x @ moved @ s_g) / np.trace(start.T @ s_x @ start @ s_g))


def weight_change(adapter: QueryAdapter, aligned: QueryAdapter) -> Matrix:
    return adapter.weight.astype(np.float64) - aligned.weight.astype(np.float64)
