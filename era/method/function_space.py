"""The changes of an adapter that a few labelled queries can cause, measured by what they do to scores."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from era.adapter import QueryAdapter, QueryView
from era.encoders.base import EncodedQueries, Vectors
from era.method.alignment import AlignmentTexts, Matrix, add_ridge
from era.method.influence import linear_features

_SMALLEST_SINGULAR_VALUE = 1e-5  # as a share of the largest: below it, coefficients of float32 hold only noise


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMetric:
    """How much of the score variance over the corpus a change of an adapter moves; no labels are needed to know it.

    With second moments `S_x = L L^T` of the features and `S_g = U D^2 U^T` of the document vectors, a change dW
    moves the share `tr(dW^T S_x dW S_g) / tr(W0^T S_x W0 S_g)`. Only the linear views may change: `neighbours` stay.
    """

    aligned: QueryAdapter
    views: tuple[QueryView, ...]
    feature_root: Matrix  # (d, d): L
    document_axes: Vectors  # (m, m): U
    document_spread: Vectors  # (m,): the diagonal of D
    norm: float  # sqrt of tr(W0^T S_x W0 S_g)
    centre: Vectors  # (d,)

    @classmethod
    def build(cls, aligned: QueryAdapter, texts: AlignmentTexts, ridge: float) -> "ScoreMetric":
        """Measure both sides over the alignment texts; `ridge` is a share of the mean eigenvalue, > 0."""
        strong, light = texts.strong.astype(np.float64), texts.light.astype(np.float64)
        views: tuple[QueryView, ...] = tuple(view for view in aligned.views if view != "neighbours")
        text_features = {"instructed": strong, "mean": strong, "light": light}
        centres = {"instructed": strong.mean(axis=0), "mean": strong.mean(axis=0), "light": np.zeros(light.shape[1])}
        centre = np.concatenate([centres[view] for view in views])
        x = np.concatenate([text_features[view] for view in views], axis=1) - centre
        g = light - light.mean(axis=0)
        x_root = np.linalg.cholesky(add_ridge(x.T @ x / len(x), ridge))
        variances, axes = np.linalg.eigh(add_ridge(g.T @ g / len(g), ridge))
        spread = np.sqrt(variances)
        weight = np.concatenate([aligned.weight[aligned.rows(view)] for view in views]).astype(np.float64)
        return cls(
            aligned=aligned,
            views=views,
            feature_root=np.asarray(x_root, np.float64),
            document_axes=axes.astype(np.float32),
            document_spread=spread.astype(np.float32),
            norm=float(np.linalg.norm((x_root.T @ weight @ axes) * spread)),
            centre=centre.astype(np.float32),
        )

    def score_spread(self, query_vectors: Vectors) -> float:
        """Return the standard deviation of a query's scores over the corpus, the mean over (n, m) unit vectors."""
        return max(
            float(np.linalg.norm((query_vectors @ self.document_axes) * self.document_spread, axis=1).mean()), 1e-6
        )

    def whitened(self, queries: EncodedQueries) -> Matrix:
        """Return (n, d): `L^-1` times the centred features of the linear views."""
        linear = linear_features(self.aligned, self.views, queries).astype(np.float64)
        return np.asarray(np.linalg.solve(self.feature_root, (linear - self.centre).T).T, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSpace:
    """The changes of an adapter that n labelled queries can cause, in coordinates where the penalty is a plain norm.

    By the representer theorem `dW = norm L^-T Q C D^-1 U^T`, with Q an orthonormal basis of the whitened features of
    the labelled queries: then the share of score variance moved is the squared norm of C (r, m). Everything is
    reckoned along the axes U of document space, where a query vector moves by `feature_map C D^-1`.
    """

    feature_map: Tensor  # (n, r): features of the queries in the basis, times norm
    document_scale: Tensor  # (m,): the diagonal of D^-1
    basis: Vectors  # (d, r): norm L^-T Q
    root: Matrix  # (r, n): R, the whitened features of the queries in the basis
    keys: Vectors  # (n, d): L^-T times the whitened features, see `contributions`
    metric: ScoreMetric

    @property
    def shape(self) -> tuple[int, int]:
        """Return (r, m), the shape of the coefficients."""
        return self.feature_map.shape[1], len(self.document_scale)

    @classmethod
    def build(cls, metric: ScoreMetric, queries: EncodedQueries, device: str) -> "FunctionSpace":
        """Span the space by the labelled queries."""
        q, r = np.linalg.qr(metric.whitened(queries).T)  # (d, r), (r, n)
        dual_basis = np.linalg.solve(metric.feature_root.T, q)  # (d, r)
        return cls(
            feature_map=torch.from_numpy((metric.norm * r.T).astype(np.float32)).to(device),
            document_scale=torch.from_numpy(1 / metric.document_spread).to(device),
            basis=(metric.norm * dual_basis).astype(np.float32),
            root=r,
            keys=(dual_basis @ r).T.astype(np.float32),
            metric=metric,
        )

    def moves(self, coefficients: Tensor) -> Tensor:
        """Return (P, n, m): by how much coefficients (P, r, m) move the query vectors, along the axes."""
        return (self.feature_map @ coefficients) * self.document_scale

    def pull_back(self, gradients: Tensor) -> Tensor:
        """Return the gradients of the coefficients (P, r, m) from those of the moves (P, n, m)."""
        return self.feature_map.T @ (gradients * self.document_scale)

    def vector_changes(self, coefficients: Tensor) -> Vectors:
        """Return (n, m): by how much coefficients (r, m) change the query vectors, in document space."""
        return np.asarray(self.moves(coefficients).cpu().numpy() @ self.metric.document_axes.T, np.float32)

    def changed_adapter(self, start: QueryAdapter, coefficients: Tensor) -> QueryAdapter:
        """Return `start` with the change of coefficients (r, m) added."""
        along_axes = self.basis @ (coefficients * self.document_scale).cpu().numpy()
        change = along_axes @ self.metric.document_axes.T  # (d, m)
        weight, first = start.weight.copy(), 0
        for view in self.metric.views:
            rows = start.rows(view)
            n_rows = rows.stop - rows.start
            weight[rows] += change[first : first + n_rows]
            first += n_rows
        return replace(start, weight=weight, bias=(start.bias - self.metric.centre @ change).astype(np.float32))

    def contributions(
        self, coefficients: Tensor, gradients: Tensor, penalty: float, is_training: NDArray[np.bool_]
    ) -> Vectors:
        """Return (n, m): a query with centred features x moves by the sum over i of `(x . keys[i])` times row i.

        At the minimum the coefficients are `R A` with `A = -norm / (2 penalty) gradients D^-1`. The optimiser stops a
        little before it; what is left is shared out by least squares, so that the sum is exact. Queries that the fit
        was not trained on contribute nothing.

        Args:
            coefficients: (r, m) of the fit.
            gradients: (n, m) of its loss with respect to the moves, 0 where a query was not trained on.
            penalty: of the squared norm of the coefficients, > 0.
            is_training: (n,).

        Source: representer points, Yeh et al. 2018.
        """
        scale = self.document_scale.cpu().numpy().astype(np.float64)
        a = gradients.cpu().numpy() * scale * (-self.metric.norm / (2 * penalty))  # (n, m)
        left = coefficients.cpu().numpy() - self.root @ a
        a[is_training] += np.linalg.lstsq(self.root[:, is_training], left, rcond=_SMALLEST_SINGULAR_VALUE)[0]
        return np.asarray((self.metric.norm * a * scale) @ self.metric.document_axes.T, np.float32)
