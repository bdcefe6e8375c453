"""The published recipe: stage 1 by gradient descent in the encoding direction, stage 2 with InfoNCE.

Kept as published (arXiv 2604.03403), for comparison; the defaults are in `era.method.alignment` and
`era.method.adaptation`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize

from era.adapter import QueryAdapter
from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts
from era.method.candidates import LabelledQueries, mine_topk_percpos
from era.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class EncodingConfig:
    """Settings of `align_by_encoding`; the defaults are the paper's. Of more texts the first `max_texts` are read."""

    max_texts: int = 1000
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch_size: int = 256
    n_epochs: int = 100
    training_share: float = 0.9


def align_by_encoding(
    texts: AlignmentTexts,
    device: str,
    seed: int,
    config: EncodingConfig | None = None,
    progress: Progress = no_progress,
) -> QueryAdapter:
    """Return the paper's stage 1: a linear layer from strong to light vectors, loss `1 - cos(A f(t), g(t))`.

    AdamW without schedule on the first 90 % of the texts, the last epoch is kept. The other 10 % only report the fit.

    Source: arXiv 2604.03403, stage 1 (identical-text alignment).
    """
    config = config or EncodingConfig()
    texts = texts.first(config.max_texts)
    generator = torch.Generator().manual_seed(seed)
    weight, bias = random_linear(texts.strong.shape[1], texts.light.shape[1], generator, device)
    strong = torch.from_numpy(texts.strong).to(device)
    light = torch.from_numpy(texts.light).to(device)
    n_training = max(1, round(config.training_share * len(strong)))
    optimizer = torch.optim.AdamW([weight, bias], lr=config.learning_rate, weight_decay=config.weight_decay)
    for epoch in range(config.n_epochs):
        order = torch.randperm(n_training, generator=generator).to(device)
        for first in range(0, n_training, config.batch_size):
            rows = order[first : first + config.batch_size]
            mapped = normalize(linear(strong[rows], weight, bias), dim=1)
            loss = (1 - (mapped * light[rows]).sum(dim=1)).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        progress("alignment", (epoch + 1) / config.n_epochs, f"epoch {epoch + 1} of {config.n_epochs}")
    return QueryAdapter(
        views=("instructed",),
        weight=weight.detach().T.cpu().numpy().copy(),
        bias=bias.detach().cpu().numpy().copy(),
        provenance={"alignment": "encoding", **asdict(config), "seed": seed, "n_texts": len(texts.doc_ids)},
    )


def random_linear(
    n_inputs: int, n_outputs: int, generator: torch.Generator, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (n_outputs, n_inputs) and bias (n_outputs,) initialised as `torch.nn.Linear` does by default.

    Both are uniform in +-1/sqrt(n_inputs); drawn from `generator` (CPU) so that no global seed is touched.
    """
    bound = n_inputs**-0.5
    weight = (torch.rand(n_outputs, n_inputs, generator=generator) * 2 - 1) * bound
    bias = (torch.rand(n_outputs, generator=generator) * 2 - 1) * bound
    return weight.to(device).requires_grad_(), bias.to(device).requires_grad_()


@dataclass(frozen=True, slots=True)
class ContrastiveConfig:
    """Settings of `train_contrastive`; the defaults are the paper's."""

    learning_rate: float = 1e-5
    weight_decay: float = 1e-4
    batch_size: int = 256
    n_epochs: int = 1000
    temperature: float = 0.05
    warm_up_share: float = 0.1
    patience: int = 5
    validation_share: float = 0.1


def train_contrastive(
    start: QueryAdapter,
    teacher: QueryAdapter,
    labelled: LabelledQueries,
    index: DenseIndex,
    device: str,
    seed: int,
    config: ContrastiveConfig | None = None,
    progress: Progress = no_progress,
) -> QueryAdapter:
    """Return `start` trained on the labelled queries, with early stopping on the last tenth of them.

    AdamW with linear warm-up over the first tenth of all planned steps, then linear decay to 0; the weights of the
    lowest validation loss are kept. A single query is its own validation.

    Source: arXiv 2604.03403, stage 2 (supervised adaptation).
    """
    config = config or ContrastiveConfig()
    generator = torch.Generator().manual_seed(seed)
    triples = mine_topk_percpos(labelled, teacher, index, seed)
    features = torch.from_numpy(labelled.encoded.instructed).to(device)  # (n, p)
    documents, is_absent = _stack([index.vectors([positive, *negatives]) for positive, negatives in triples], device)

    n = len(labelled)
    n_validation = max(1, round(config.validation_share * n)) if n > 1 else 0
    training = torch.arange(n - n_validation)
    validation = torch.arange(n - n_validation, n) if n_validation else training

    weight = torch.from_numpy(start.weight.T.copy()).to(device).requires_grad_()
    bias = torch.from_numpy(start.bias.copy()).to(device).requires_grad_()
    optimizer = torch.optim.AdamW([weight, bias], lr=config.learning_rate, weight_decay=config.weight_decay)
    n_steps = config.n_epochs * -(-len(training) // config.batch_size)
    n_warm_up = max(1, round(config.warm_up_share * n_steps))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / n_warm_up, (n_steps - step) / max(n_steps - n_warm_up, 1))
    )

    def loss_of(rows: Tensor) -> Tensor:
        rows = rows.to(device)
        return info_nce(linear(features[rows], weight, bias), documents[rows], is_absent[rows], config.temperature)

    best_loss, best = float("inf"), (start.weight, start.bias)
    epochs_without_gain = 0
    for epoch in range(config.n_epochs):
        order = training[torch.randperm(len(training), generator=generator)]
        for first in range(0, len(order), config.batch_size):
            loss = loss_of(order[first : first + config.batch_size])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            validation_loss = float(loss_of(validation))
        if validation_loss < best_loss:
            best_loss, epochs_without_gain = validation_loss, 0
            best = (weight.detach().T.cpu().numpy().copy(), bias.detach().cpu().numpy().copy())
        else:
            epochs_without_gain += 1
            if epochs_without_gain == config.patience:
                break
        progress("adaptation", (epoch + 1) / config.n_epochs, f"epoch {epoch + 1} of at most {config.n_epochs}")
    return QueryAdapter(start.views, *best, start.provenance)


def info_nce(query_vectors: Tensor, documents: Tensor, is_absent: Tensor, temperature: float) -> Tensor:
    """Return the contrastive loss of each query's first document against its others; no in-batch negatives.

    Args:
        query_vectors: (B, m), of any length; they are normalised here.
        documents: (B, C, m), L2-normalised; the first of each row is the positive.
        is_absent: (B, C); padding to leave out.
        temperature: > 0, in units of cosine.

    Returns:
        Scalar in nats, the mean over B.

    Source: van den Oord et al. 2018, eq. 4.
    """
    logits = torch.einsum("bm,bcm->bc", normalize(query_vectors, dim=1), documents) / temperature
    target = torch.zeros(len(documents), dtype=torch.long, device=documents.device)
    return cross_entropy(logits.masked_fill(is_absent, -torch.inf), target)


def _stack(rows: Sequence[Vectors], device: str) -> tuple[Tensor, Tensor]:
    """Return the documents (n, C, m) of rows of different lengths, and where they are padded (n, C)."""
    width = max(len(row) for row in rows)
    documents = torch.zeros(len(rows), width, rows[0].shape[1])
    is_absent = torch.ones(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        documents[i, : len(row)] = torch.from_numpy(row)
        is_absent[i, : len(row)] = False
    return documents.to(device), is_absent.to(device)
