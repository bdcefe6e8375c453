"""How much each half of the aligned query counts: a menu of blends, chosen from by what labelled queries gain.

Two numbers are all that the first few labels can teach reliably: how far to trust the light half, and the neighbours,
beside the strong half. No gradient is needed for two numbers; the measure itself decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryAdapter, QueryView, normalise
from era.encoders.base import Vectors
from era.method.label_measure import LabelMeasure
from era.progress import Progress, no_progress

FACTORS: Mapping[QueryView, Sequence[float]] = {"light": (1.0, 0.5, 2.0), "neighbours": (1.0, 0.0, 2.0, 4.0)}
"""What the weight of each half may be multiplied by; the first is the aligned adapter's own."""

STEP_COST = 0.025
"""In nDCG: what the mean gain over n queries must exceed for each step away from the aligned blend, times sqrt(n)."""

_STEPS = {1.0: 0, 0.5: 1, 2.0: 1, 0.0: 1, 4.0: 2}


@dataclass(frozen=True, slots=True)
class Blend:
    """One choice of the menu: what the weight of each half is multiplied by."""

    factors: Mapping[QueryView, float]

    @property
    def n_steps(self) -> int:
        """Return how far the blend is from the aligned adapter's own."""
        return sum(_STEPS[factor] for factor in self.factors.values())

    def apply(self, aligned: QueryAdapter) -> QueryAdapter:
        """Return the adapter with its halves weighted so."""
        weight = aligned.weight.copy()
        for view, factor in self.factors.items():
            weight[aligned.rows(view)] *= factor
        return replace(aligned, weight=weight)


def menu(aligned: QueryAdapter) -> list[Blend]:
    """Return the blends there are for the views of an adapter, its own first."""
    views = [view for view in aligned.views if view in FACTORS]
    return [Blend(dict(zip(views, factors, strict=True))) for factors in product(*(FACTORS[view] for view in views))]


@dataclass(frozen=True, slots=True, eq=False)
class BlendGains:
    """What each blend of the menu gains for each labelled query.

    Attributes:
        blends: B of them, the aligned adapter's own first.
        vectors: (B, n, m), of any length; the labelled queries under each blend.
        values: (B, n) nDCG@100, see `LabelMeasure`.
    """

    blends: Sequence[Blend]
    vectors: Vectors
    values: NDArray[np.float64]

    @classmethod
    def measure(cls, aligned: QueryAdapter, measure: LabelMeasure, progress: Progress = no_progress) -> "BlendGains":
        """Rank the labelled queries with every blend."""
        blends = menu(aligned)
        features = aligned.features(measure.labelled.encoded)
        parts = {view: features[:, aligned.rows(view)] @ aligned.weight[aligned.rows(view)] for view in aligned.views}
        vectors = np.stack(
            [
                aligned.bias + sum(blend.factors.get(view, 1.0) * part for view, part in parts.items())
                for blend in blends
            ]
        ).astype(np.float32)
        values = []
        for place, row in enumerate(vectors):
            progress("adaptation", 0.1 * place / len(blends), f"weighing the halves, {place + 1} of {len(blends)}")
            values.append(measure.values(normalise(row)))
        return cls(blends, vectors, np.stack(values))

    def choose(self, rows: Sequence[int] | NDArray[np.int64]) -> int:
        """Return the place of the blend with the highest mean gain over queries `rows`, less the cost of its steps."""
        if not len(rows):
            return 0
        gains = (self.values[:, rows] - self.values[0, rows]).mean(axis=1)
        costs = STEP_COST / np.sqrt(len(rows)) * np.array([blend.n_steps for blend in self.blends])
        return int((gains - costs).argmax())
