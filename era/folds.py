"""Nested cross-validation over queries: which fits it needs, and what may be concluded from which."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from era.embedders import Vectors

Folds = NDArray[np.int64]
"""(n,) fold number of each query."""

GATE_STANDARD_ERRORS = 1.5


@dataclass(frozen=True, slots=True)
class Fits:
    """Which fits the cross-validation needs, each named by the folds it must not see.

    One sees everything and is deployed; one excludes each fold and ranks that fold's queries; one excludes each pair
    of folds, so that the strength for a fold is chosen without its labels as well.
    """

    n_folds: int
    excluded: tuple[frozenset[int], ...]
    place: dict[frozenset[int], int]

    @classmethod
    def plan(cls, folds: Folds) -> "Fits":
        """Return the fits for (n,) fold numbers; those that would have nothing to learn from are left out."""
        n_folds = int(folds.max()) + 1
        names = [frozenset(c) for size in (0, 1, 2) for c in combinations(range(n_folds), size) if size < n_folds]
        return cls(n_folds, tuple(names), {name: place for place, name in enumerate(names)})

    def held_out_losses(self, all_losses: Vectors, folds: Folds, also_excluded: int | None) -> tuple[Folds, Vectors]:
        """Return the queries outside fold `also_excluded` and their losses (S, that many).

        Args:
            all_losses: (S, fits, n).
            folds: (n,).
            also_excluded: a fold whose labels none of the fits may have seen; None for no further one.
        """
        names = [frozenset({int(fold)} if also_excluded is None else {int(fold), also_excluded}) for fold in folds]
        rows = [i for i, name in enumerate(names) if folds[i] != also_excluded and name in self.place]
        places = [self.place[names[i]] for i in rows]
        return np.array(rows, np.int64), all_losses[:, places, rows]


def assign_folds(texts: Sequence[str], n_folds: int, seed: int) -> Folds:
    """Return (n,) fold numbers from 0; queries of the same text share a fold, so that none is a giveaway.

    Different texts are spread evenly in an order shuffled by the seed; each is a fold of its own if there are fewer
    than `n_folds`.
    """
    groups = {text: group for group, text in enumerate(dict.fromkeys(_same(text) for text in texts))}
    n_folds = min(n_folds, len(groups))
    fold_of_group = np.random.default_rng(seed).permutation(np.arange(len(groups)) % n_folds)
    return np.array([fold_of_group[groups[_same(text)]] for text in texts], np.int64)


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


def best_strength(held_out_losses: Vectors, aligned_losses: Vectors) -> int | None:
    """Return the place of the strength with the lowest mean held-out loss, or None where the gate stays closed.

    It opens only if the mean gain over the aligned adapter exceeds `GATE_STANDARD_ERRORS` of its standard errors:
    the best of several strengths beats the aligned adapter by a little on pure noise, too.

    Args:
        held_out_losses: (S, n) in nats.
        aligned_losses: (n,) in nats.
    """
    n = held_out_losses.shape[1]
    if n < 2:
        return None
    best = int(held_out_losses.mean(axis=1).argmin())
    gains = aligned_losses - held_out_losses[best]
    standard_error = gains.std(ddof=1) / np.sqrt(n)
    return best if gains.mean() > GATE_STANDARD_ERRORS * standard_error else None
