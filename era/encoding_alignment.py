"""Stage 1 of the paper: regress the light vector of a text from its strong one, by gradient descent.

Kept as published, for comparison; the default is in `era.alignment`.
"""

from dataclasses import asdict, dataclass

import torch
from torch.nn.functional import linear, normalize

from era.adapter import QueryAdapter
from era.alignment import AlignmentTexts
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
