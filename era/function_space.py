"""The changes of an adapter that a few labelled queries can cause, measured by what they do to scores."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from era.adapter import QueryAdapter, query_features
from era.alignment import AlignmentTexts, add_ridge
from era.candidates import LabelledQueries
from era.embedders import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSpace:
    """The changes of an adapter that n labelled queries can cause, in coordinates where the penalty is a plain norm.

    With second moments `S_x = L_x L_x^T` of the features and `S_g = L_g L_g^T` of the document vectors, a change dW
    moves the share `tr(dW^T S_x dW S_g) / tr(W0^T S_x W0 S_g)` of the score variance. By the representer theorem
    `dW = sqrt(norm) L_x^-T Q C L_g^-1`, with Q an orthonormal basis of the whitened features of the labelled queries:
    then the share is the squared norm of C (r, m).
    """

    aligned_vectors: Tensor  # (n, m), before normalisation
    feature_map: Tensor  # (n, r): features of the queries in the basis, times sqrt(norm)
    document_map: Tensor  # (m, m): L_g^-1
    basis: Vectors  # (d, r): sqrt(norm) L_x^-T Q
    centre: Vectors  # (d,)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (r, m), the shape of the coefficients."""
        return self.feature_map.shape[1], self.document_map.shape[0]

    @classmethod
    def build(
        cls, aligned: QueryAdapter, texts: AlignmentTexts, labelled: LabelledQueries, ridge: float, device: str
    ) -> "FunctionSpace":
        """Whiten both sides with the second moments over the alignment texts."""
        strong, light = texts.strong.astype(np.float64), texts.light.astype(np.float64)
        text_features = {"instructed": strong, "mean": strong, "light": light}
        centres = {"instructed": strong.mean(axis=0), "mean": strong.mean(axis=0), "light": np.zeros(light.shape[1])}
        centre = np.concatenate([centres[view] for view in aligned.views])
        x = np.concatenate([text_features[view] for view in aligned.views], axis=1) - centre
        g = light - light.mean(axis=0)
        x_root = np.linalg.cholesky(add_ridge(x.T @ x / len(x), ridge))
        g_root = np.linalg.cholesky(add_ridge(g.T @ g / len(g), ridge))
        weight = aligned.weight.astype(np.float64)
        norm = float(np.linalg.norm(x_root.T @ weight @ g_root))  # sqrt of tr(W0^T S_x W0 S_g)

        features = query_features(labelled.encoded, aligned.views).astype(np.float64)
        whitened = np.linalg.solve(x_root, (features - centre).T)  # (d, n)
        q, r = np.linalg.qr(whitened)
        return cls(
            aligned_vectors=torch.from_numpy((features @ weight + aligned.bias).astype(np.float32)).to(device),
            feature_map=torch.from_numpy((norm * r.T).astype(np.float32)).to(device),
            document_map=torch.from_numpy(np.linalg.inv(g_root).astype(np.float32)).to(device),
            basis=(norm * np.linalg.solve(x_root.T, q)).astype(np.float32),
            centre=centre.astype(np.float32),
        )

    def query_vectors(self, coefficients: Tensor) -> Tensor:
        """Return (P, n, m), not normalised, for coefficients (P, r, m)."""
        return self.aligned_vectors + self.feature_map @ (coefficients @ self.document_map)

    def pull_back(self, vector_gradients: Tensor) -> Tensor:
        """Return the gradients of the coefficients (P, r, m) from those of the query vectors (P, n, m)."""
        return (self.feature_map.T @ vector_gradients) @ self.document_map.T

    def changed_adapter(self, aligned: QueryAdapter, coefficients: Tensor) -> QueryAdapter:
        """Return the aligned adapter with the change of coefficients (r, m) added."""
        change = self.basis @ (coefficients @ self.document_map).cpu().numpy()
        return QueryAdapter(
            aligned.views,
            (aligned.weight + change).astype(np.float32),
            (aligned.bias - self.centre @ change).astype(np.float32),
            aligned.provenance,
        )
