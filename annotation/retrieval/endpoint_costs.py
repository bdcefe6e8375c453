"""What an endpoint that reads documents is sent, and what it costs: told before anything is sent."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from era.encoders.openai import estimate_cost
from era.encoders.spec import EmbedderSpec, PairSpec

_N_SAMPLED = 2000  # documents, whose length stands for that of all


@dataclass(frozen=True, slots=True)
class EndpointCosts:
    """What is paid for, about: tokens, 0 without an endpoint, and dollars, None if a price is not known."""

    n_tokens: int
    dollars: float | None

    @property
    def text(self) -> str:
        """Return this for a person; empty if nothing is paid for."""
        if not self.n_tokens:
            return ""
        price = "fill in the dollars per million tokens to see what that costs"
        if self.dollars is not None:
            price = f"about ${self.dollars:,.2f}" if self.dollars >= 0.01 else "less than a cent"
        return f"The endpoint is sent about {self.n_tokens:,} tokens: {price}."


def readers_of(spec: PairSpec, n_documents: int, n_texts: int) -> list[tuple[EmbedderSpec, int]]:
    """Return which embedder reads how many of as many new documents: the light one all, the strong one `n_texts`."""
    return [(spec.light, n_documents), (spec.strong, min(n_documents, n_texts))]


def endpoint_costs(readers: Iterable[tuple[EmbedderSpec, int]], sampled: Sequence[str]) -> EndpointCosts:
    """Return what reading costs; `sampled` are some of the texts, and stand for the others."""
    n_tokens, dollars = 0, 0.0
    is_known = True
    for spec, n in readers:
        if spec.kind != "openai" or not sampled:
            continue
        estimate = estimate_cost(spec, sampled)
        n_tokens += round(estimate.n_tokens * n / len(sampled))
        is_known = is_known and estimate.dollars is not None
        dollars += (estimate.dollars or 0.0) * n / len(sampled)
    return EndpointCosts(n_tokens, dollars if n_tokens and is_known else None)


class SampledTexts:
    """Some of the texts that go by, each with the same chance, and how many there were (Vitter's algorithm R)."""

    def __init__(self) -> None:
        self.n = 0
        self.texts: list[str] = []
        self._random = random.Random(0)

    def add(self, text: str) -> None:
        """Let one more text go by."""
        self.n += 1
        if len(self.texts) < _N_SAMPLED:
            self.texts.append(text)
        elif (place := self._random.randrange(self.n)) < _N_SAMPLED:
            self.texts[place] = text
