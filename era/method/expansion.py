"""Known texts around a query: what the strong embedder finds near it, said in the words of the light one.

The alignment texts are the only ones that both embedders have read. The light vectors of those that the strong
embedder puts near a query are what relevance feedback would have added to it, before anybody gave any.
"""

from dataclasses import dataclass

import numpy as np

from era.encoders.base import Vectors

_N_SAMPLED = 1000  # texts that tell how similar two of them are


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """T texts as both embedders see them.

    Attributes:
        keys: (T, p) strong vectors minus `centre`, of length 1.
        values: (T, m) light vectors minus their mean.
        centre: (p,) mean of the strong vectors.
        temperature: of the softmax over similarities to the keys; > 0, in units of cosine.
    """

    keys: Vectors
    values: Vectors
    centre: Vectors
    temperature: float

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.values) or self.centre.shape != self.keys.shape[1:]:
            raise ValueError(
                f"Keys {self.keys.shape}, values {self.values.shape} and centre {self.centre.shape} do not fit."
            )
        if not self.temperature > 0:
            raise ValueError(f"The temperature must be greater than 0, got {self.temperature}.")

    @classmethod
    def build(cls, strong: Vectors, light: Vectors, temperature: float) -> "Neighbourhood":
        """Prepare texts for being looked up.

        Args:
            strong: (T, p).
            light: (T, m), of the same texts.
            temperature: in standard deviations of the similarity of two of the first 1,000 texts, so that it suits any
                embedder.
        """
        centre = strong.mean(axis=0, dtype=np.float64)
        keys = strong - centre
        keys = keys / np.maximum(np.linalg.norm(keys, axis=1, keepdims=True), 1e-12)
        sampled = keys[:_N_SAMPLED]
        similarities = (sampled @ sampled.T)[~np.eye(len(sampled), dtype=bool)]
        spread = float(similarities.std()) if len(similarities) else 0.0
        return cls(
            keys=keys.astype(np.float32),
            values=(light - light.mean(axis=0, dtype=np.float64)).astype(np.float32),
            centre=centre.astype(np.float32),
            temperature=temperature * max(spread, 1e-3),
        )

    def vectors(self, strong: Vectors) -> Vectors:
        """Return (n, m): the mean of the values, weighted by a softmax over the similarity of (n, p) to the keys."""
        queries = strong - self.centre
        queries = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
        logits = queries @ self.keys.T / self.temperature  # (n, T)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray(weights @ self.values, np.float32)
