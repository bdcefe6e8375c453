"""Stage 2 of the default recipe: adapt the aligned query side from few labels, and know whether it helped.

The change of the adapter is paid for by the share of score variance over the corpus that it moves, so that a few
labels leave alone what they say nothing about. Its strength is chosen by cross-validation over queries, and the change
is kept only if it helped queries it had not seen. All folds and strengths are solved side by side (`era.lbfgs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from era.adapter import QueryAdapter, normalise, query_features
from era.alignment import AlignmentTexts, add_ridge
from era.candidates import LabelledQueries, MiningConfig, mine_negatives
from era.embedders import Vectors
from era.index import DenseIndex
from era.lbfgs import minimise
from era.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class AdaptationConfig:
    """Settings of `adapt`.

    Attributes:
        temperature: of the softmax over candidates; > 0, in units of cosine.
        strengths: weights of the penalty to choose from, in nats per unit share of score variance moved.
        n_folds: of the cross-validation; with fewer queries each query is its own fold.
        ridge: added to both second-moment matrices, as a share of their mean eigenvalue; > 0.
        n_iterations: of the optimiser, at most.
        mining: which unjudged documents a query is contrasted with.
    """

    temperature: float = 0.1
    strengths: tuple[float, ...] = (10000.0, 1000.0, 100.0, 10.0, 1.0)
    n_folds: int = 5
    ridge: float = 0.1
    n_iterations: int = 60
    mining: MiningConfig = field(default_factory=MiningConfig)

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.ridge <= 0 or not self.strengths or min(self.strengths) <= 0:
            raise ValueError("Temperature, ridge and strengths must be greater than 0.")


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What stage 2 learned.

    Attributes:
        adapter: to deploy; the aligned adapter itself where the gate is closed.
        held_out_vectors: (n, m); row i is the vector of labelled query i by adapters that never saw its labels.
        aligned_losses: (n,) in nats; the aligned adapter on each query.
        held_out_losses: (S, n) in nats; each strength on each query, from the fold that did not see it.
        strength: the chosen one; None where the gate is closed.
        share_moved: share of score variance over the corpus that the change moves.
        reason: one sentence for a person, why the change was kept or not.
    """

    adapter: QueryAdapter
    held_out_vectors: Vectors
    aligned_losses: Vectors
    held_out_losses: Vectors
    strength: float | None
    share_moved: float
    reason: str


def adapt(
    aligned: QueryAdapter,
    labelled: LabelledQueries,
    texts: AlignmentTexts,
    index: DenseIndex,
    device: str,
    seed: int,
    config: AdaptationConfig | None = None,
    progress: Progress = no_progress,
) -> Adaptation:
    """Fit the change of the aligned adapter on the labelled queries.

    The fold adapters are evaluated only on queries that they were not trained on, and the strength used for a fold is
    chosen on the other folds' queries, so `held_out_vectors` owe nothing to the labels of their own query.
    """
    config = config or AdaptationConfig()
    n = len(labelled)
    progress("adaptation", 0.0, "choosing documents to contrast")
    mined = mine_negatives(labelled, aligned, index, config.mining, seed)
    space = FunctionSpace.build(aligned, texts, labelled, config.ridge, device)
    targets = CandidateSet.build(labelled, mined, index, device)

    folds = fold_of_each_query(n, config.n_folds, seed)
    n_folds = int(folds.max()) + 1
    is_training = np.array([folds != fold for fold in range(n_folds)] + [np.ones(n, bool)])  # (F + 1, n)
    if n == 1:
        is_training = is_training[1:]  # a single query cannot be held out
    n_fits, n_strengths = len(is_training), len(config.strengths)
    query_weights = torch.from_numpy(is_training / is_training.sum(axis=1, keepdims=True)).float().to(device)
    query_weights = query_weights.repeat(n_strengths, 1)  # (S * fits, n)
    penalties = torch.tensor(config.strengths, device=device).repeat_interleave(n_fits)  # (S * fits,)

    def objective(points: Tensor, fits: Tensor) -> tuple[Tensor, Tensor]:
        vectors = space.query_vectors(points.view(len(points), *space.shape))
        losses, vector_gradients = targets.losses(vectors, config.temperature, query_weights[fits])
        gradients = space.pull_back(vector_gradients).flatten(1) + 2 * penalties[fits, None] * points
        values = (losses * query_weights[fits]).sum(dim=1) + penalties[fits] * (points**2).sum(dim=1)
        return values, gradients

    start = torch.zeros(n_strengths * n_fits, space.shape[0] * space.shape[1], device=device)
    solutions = minimise(
        objective,
        start,
        config.n_iterations,
        on_iteration=lambda i: progress("adaptation", i / config.n_iterations, f"{n_strengths} strengths tried"),
    )
    coefficients = solutions.view(n_strengths, n_fits, *space.shape)
    flat_vectors = space.query_vectors(coefficients.flatten(0, 1))
    losses, _ = targets.losses(flat_vectors, config.temperature, query_weights)
    all_losses = losses.view(n_strengths, n_fits, n).cpu().numpy()
    all_vectors = flat_vectors.view(n_strengths, n_fits, n, -1).cpu().numpy()
    aligned_vectors = space.aligned_vectors.cpu().numpy()
    aligned_losses = (
        targets.losses(space.aligned_vectors[None], config.temperature, query_weights[:1])[0][0].cpu().numpy()
    )
    progress("adaptation", 1.0, "done")

    if n == 1:
        return Adaptation(
            aligned, normalise(aligned_vectors), aligned_losses, np.empty((n_strengths, 0), np.float32), None, 0.0,
            "One labelled query cannot be checked against another, so the aligned adapter is kept. "
            "Mark relevant documents for a second query.",
        )  # fmt: skip
    own_fold = (folds, np.arange(n))
    held_out_losses = all_losses[:, own_fold[0], own_fold[1]]  # (S, n)
    held_out_vectors = all_vectors[:, own_fold[0], own_fold[1]]  # (S, n, m)
    cross_fitted = aligned_vectors.copy()
    for fold in range(n_folds):
        choice = best_strength(held_out_losses[:, folds != fold], aligned_losses[folds != fold])
        if choice is not None:
            cross_fitted[folds == fold] = held_out_vectors[choice, folds == fold]
    choice = best_strength(held_out_losses, aligned_losses)
    adapter, strength, share = aligned, None, 0.0
    if choice is not None:
        strength = config.strengths[choice]
        full = coefficients[choice, -1]
        adapter, share = space.changed_adapter(aligned, full), float((full**2).sum())
    return Adaptation(
        adapter, normalise(cross_fitted), aligned_losses, held_out_losses, strength, share,
        _reason(choice, held_out_losses, aligned_losses),
    )  # fmt: skip


def fold_of_each_query(n: int, n_folds: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return (n,) fold numbers of equal sizes, shuffled by the seed; each query its own fold if n < n_folds."""
    if n < n_folds:
        return np.arange(n)
    return np.random.default_rng(seed).permutation(np.arange(n) % n_folds)


def best_strength(held_out_losses: Vectors, aligned_losses: Vectors) -> int | None:
    """Return the place of the strength with the lowest mean held-out loss; None if the aligned adapter is as good.

    Args:
        held_out_losses: (S, n).
        aligned_losses: (n,).
    """
    means = held_out_losses.mean(axis=1)
    best = int(means.argmin())
    return best if means[best] < aligned_losses.mean() else None


def _reason(choice: int | None, held_out_losses: Vectors, aligned_losses: Vectors) -> str:
    if choice is None:
        return (
            "On queries it had not seen, what could be learned from these marks did not help, "
            "so the ranking stays as it was. More marked queries usually change that."
        )
    helped = int((held_out_losses[choice] < aligned_losses).sum())
    return f"Learning from the marks helped {helped} of {len(aligned_losses)} queries that were held out in turn."


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


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSet:
    """The documents of each query's softmax: `vectors` (n, C, m), `targets` (n, C) summing to 1, `is_absent` (n, C)."""

    vectors: Tensor
    targets: Tensor
    is_absent: Tensor

    @classmethod
    def build(
        cls, labelled: LabelledQueries, mined: Sequence[Sequence[str]], index: DenseIndex, device: str
    ) -> "CandidateSet":
        """Lay out relevant, judged-not-relevant and mined documents; the target is the grades, normalised to sum 1."""
        n = len(labelled)
        ids = [
            [*labelled.relevant[i], *labelled.not_relevant[i], *mined[i]] for i in range(n)
        ]  # relevant first, then judged not relevant, then unjudged
        width = max(len(row) for row in ids)
        vectors = np.zeros((n, width, index.embedder.dimension), np.float32)
        targets = np.zeros((n, width), np.float32)
        is_absent = np.ones((n, width), bool)
        for i, row in enumerate(ids):
            vectors[i, : len(row)] = index.vectors(row)
            grades = np.array(list(labelled.relevant[i].values()), np.float64)
            targets[i, : len(grades)] = grades / grades.sum()
            is_absent[i, : len(row)] = False
        return cls(
            torch.from_numpy(vectors).to(device),
            torch.from_numpy(targets).to(device),
            torch.from_numpy(is_absent).to(device),
        )

    def losses(self, query_vectors: Tensor, temperature: float, query_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the softmax cross-entropy of each query and the gradient of their weighted sum.

        Args:
            query_vectors: (P, n, m), of any length; they are normalised here.
            temperature: > 0.
            query_weights: (P, n).

        Returns:
            Losses (P, n) in nats, gradients (P, n, m) with respect to `query_vectors`.
        """
        lengths = query_vectors.norm(dim=2, keepdim=True).clamp_min(1e-12)
        unit = query_vectors / lengths
        logits = (unit.transpose(0, 1) @ self.vectors.transpose(1, 2)) / temperature  # (n, P, C)
        logits.masked_fill_(self.is_absent[:, None], -torch.inf)
        log_sum = logits.logsumexp(dim=2, keepdim=True)
        targets = self.targets[:, None]
        losses = log_sum[..., 0] - (logits.masked_fill(self.is_absent[:, None], 0.0) * targets).sum(dim=2)  # (n, P)
        errors = (logits - log_sum).exp_() - targets  # (n, P, C)
        errors *= query_weights.T[..., None] / temperature
        unit_gradients = (errors @ self.vectors).transpose(0, 1)  # (P, n, m)
        along = (unit_gradients * unit).sum(dim=2, keepdim=True)
        return losses.T, (unit_gradients - along * unit) / lengths
