"""The penalty of the method, written down from its definition."""

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryAdapter
from era.alignment import AlignmentTexts

Matrix = NDArray[np.float64]


def second_moments(aligned: QueryAdapter, texts: AlignmentTexts, ridge: float) -> tuple[Matrix, Matrix, Matrix]:
    """Return S_x (d, d), S_g (m, m), each with `ridge` of its mean eigenvalue on the diagonal, and mu_x (d,)."""
    strong_mean = texts.strong.astype(np.float64).mean(axis=0)
    parts = {
        "mean": (texts.strong, strong_mean),
        "instructed": (texts.strong, strong_mean),
        "light": (texts.light, np.zeros(texts.light.shape[1])),
    }
    x = np.hstack([parts[view][0] - parts[view][1] for view in aligned.views])
    g = texts.light - texts.light.astype(np.float64).mean(axis=0)
    moments = []
    for rows in (x, g):
        moment: Matrix = np.array([np.outer(row, row) for row in rows.astype(np.float64)]).mean(axis=0)
        moments.append(moment + ridge * np.linalg.eigvalsh(moment).mean() * np.eye(len(moment)))
    return moments[0], moments[1], np.concatenate([parts[view][1] for view in aligned.views])


def share_moved(change: Matrix, aligned: QueryAdapter, texts: AlignmentTexts, ridge: float = 0.1) -> float:
    """Return tr(dW^T S_x dW S_g) / tr(W0^T S_x W0 S_g)."""
    s_x, s_g, _ = second_moments(aligned, texts, ridge)
    start = aligned.weight.astype(np.float64)
    return float(np.trace(change.T @ s_x @ change @ s_g) / np.trace(start.T @ s_x @ start @ s_g))


def weight_change(adapter: QueryAdapter, aligned: QueryAdapter) -> Matrix:
    return adapter.weight.astype(np.float64) - aligned.weight.astype(np.float64)
