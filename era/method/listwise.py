"""The loss of stage 2: a softmax over all candidates of a query, whose target is the grades of the relevant ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.method.candidates import LabelledQueries

_MAX_LOGITS = 2**24  # at once; bounds the memory whatever the number of queries


@dataclass(frozen=True, slots=True, eq=False)
class ListwiseLoss:
    """Softmax cross-entropy over the candidates of each query; a query vector counts by its direction alone.

    Attributes:
        documents: (n, C, m) candidates.
        targets: (n, C), summing to 1 over C.
        is_absent: (n, C); padding.
        temperature: > 0, in units of cosine.
    """

    documents: Tensor
    targets: Tensor
    is_absent: Tensor
    temperature: float

    @classmethod
    def build(
        cls,
        labelled: LabelledQueries,
        unjudged: Sequence[Sequence[str]],
        index: DenseIndex,
        axes: Vectors,
        temperature: float,
        device: str,
    ) -> "ListwiseLoss":
        """Lay out the relevant, judged-not-relevant and `unjudged` documents of n queries along `axes` (m, m).

        The target is the grades of the relevant documents, normalised to sum 1.
        """
        ids = [
            [*labelled.relevant[i], *labelled.not_relevant[i], *row] for i, row in enumerate(unjudged)
        ]  # relevant ones first
        n, width = len(ids), max(len(row) for row in ids)
        documents = np.zeros((n, width, index.embedder.dimension), np.float32)
        targets = np.zeros((n, width), np.float32)
        is_absent = np.ones((n, width), bool)
        for i, row in enumerate(ids):
            documents[i, : len(row)] = index.vectors(row) @ axes
            grades = np.array(list(labelled.relevant[i].values()), np.float64)
            targets[i, : len(grades)] = grades / grades.sum()
            is_absent[i, : len(row)] = False
        return cls(
            torch.from_numpy(documents).to(device),
            torch.from_numpy(targets).to(device),
            torch.from_numpy(is_absent).to(device),
            temperature,
        )

    def __call__(self, query_vectors: Tensor, query_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each query and the gradient of their weighted sum.

        Args:
            query_vectors: (P, n, m), of any length.
            query_weights: (P, n).

        Returns:
            Losses (P, n) in nats, gradients (P, n, m) with respect to `query_vectors`.
        """
        n, width = self.targets.shape
        n_rows = max(1, _MAX_LOGITS // (width * len(query_vectors)))
        parts = [self._rows(slice(i, i + n_rows), query_vectors, query_weights) for i in range(0, n, n_rows)]
        if len(parts) == 1:
            return parts[0]
        return torch.cat([losses for losses, _ in parts], dim=1), torch.cat([grads for _, grads in parts], dim=1)

    def _rows(self, rows: slice, query_vectors: Tensor, query_weights: Tensor) -> tuple[Tensor, Tensor]:
        documents, targets, vectors = self.documents[rows], self.targets[rows, None], query_vectors[:, rows]
        lengths = vectors.norm(dim=2, keepdim=True).clamp_min_(1e-12)
        unit = vectors / lengths
        logits = (unit / self.temperature).transpose(0, 1) @ documents.transpose(1, 2)  # (q, P, C)
        logits.masked_fill_(self.is_absent[rows, None], -torch.inf)
        log_sum = logits.logsumexp(dim=2, keepdim=True)
        losses = log_sum[..., 0] - (logits.masked_fill(targets == 0, 0.0) * targets).sum(dim=2)  # (q, P)
        errors = logits.sub_(log_sum).exp_().sub_(targets)
        errors *= query_weights[:, rows].T[..., None] / self.temperature
        unit_gradients = (errors @ documents).transpose(0, 1)  # (P, q, m)
        along = torch.linalg.vecdot(unit_gradients, unit)[..., None]
        return losses.T, unit_gradients.sub_(unit * along).div_(lengths)
