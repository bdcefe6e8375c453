"""Nested cross-validation over groups of queries: which fits it needs, and what may be concluded from which."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryView
from era.encoders.base import Vectors

Folds = NDArray[np.int64]
"""(n,) fold number of each query."""

GATE_STANDARD_ERRORS = 0.5

FitName = tuple[int, frozenset[int]]
"""The place of the blend a fit starts from, and the folds it must not see."""


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """What would have been deployed without one fold, and what it did for the fold's queries.

    Attributes:
        n: queries of the fold.
        before: their mean nDCG@100 by the aligned adapter.
        after: the same by what was learned, chosen and let through the last gate without them.
        strength: chosen without them; None where the gate stayed closed.
        blend: what the weight of each half was multiplied by.
    """

    n: int
    before: float
    after: float
    strength: float | None
    blend: Mapping[QueryView, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """How a strength did on queries that its fits had not seen.

    Attributes:
        strength: of the penalty.
        gain: mean loss of the blend less that of the change, in nats; above 0 is better.
        standard_error: of the gain.
        share_moved: share of score variance that the fit on all queries moves.
    """

    strength: float
    gain: float
    standard_error: float
    share_moved: float


@dataclass(frozen=True, slots=True)
class Fits:
    """Which fits the cross-validation needs.

    Whatever learns from some of the folds chooses its strength by fits that leave out each of them in turn, and passes
    a last gate if what was chosen so, leaving out each of them in turn, helps. That takes fits without every pair of
    folds. To measure what is deployed, all of it is done once more without each fold, on which it is then measured;
    that takes fits without every three folds. So nothing that ranks a query has seen its labels, gate included.
    """

    n_folds: int
    names: tuple[FitName, ...]

    @classmethod
    def plan(cls, n_folds: int, blend_without: Callable[[frozenset[int]], int]) -> "Fits":
        """Return the fits to make; those that would have nothing to learn from are left out.

        Args:
            n_folds: how many folds there are.
            blend_without: the place of the blend that is chosen without some folds.
        """
        every = range(n_folds)
        names: list[FitName] = []
        for without in (frozenset[int](), *(frozenset({fold}) for fold in every)):
            for left_out in (without, *(without | {fold} for fold in every)):
                start = blend_without(left_out)
                names += [(start, left_out), *((start, left_out | {fold}) for fold in every)]
        return cls(n_folds, tuple(name for name in dict.fromkeys(names) if len(name[1]) < n_folds))

    def held_out(self, folds: Folds, blend: int, without: frozenset[int]) -> tuple[Folds, Folds]:
        """Return the queries outside the folds `without`, and for each the place of the fit that may rank it.

        Args:
            folds: (n,).
            blend: which the fits start from.
            without: folds whose labels none of the fits may have seen.
        """
        places = {name: place for place, name in enumerate(self.names)}
        wanted = [(blend, without | {int(fold)}) for fold in folds]
        rows = [i for i, name in enumerate(wanted) if folds[i] not in without and name in places]
        return np.array(rows, np.int64), np.array([places[wanted[i]] for i in rows], np.int64)


def assign_folds(groups: Sequence[int] | Folds, n_folds: int, seed: int) -> Folds:
    """Return (n,) fold numbers from 0; queries of one group share a fold, so that none is a giveaway.

    Groups are spread evenly in an order shuffled by the seed; each is a fold of its own if there are fewer than
    `n_folds`.

    Args:
        groups: (n,), as `era.method.query_groups` finds them.
        n_folds: at most.
        seed: of the order.
    """
    places = {group: place for place, group in enumerate(dict.fromkeys(int(group) for group in groups))}
    n_folds = min(n_folds, len(places))
    fold_of_group = np.random.default_rng(seed).permutation(np.arange(len(places)) % n_folds)
    return np.array([fold_of_group[places[int(group)]] for group in groups], np.int64)


def same_text(text: str) -> str:
    """Return what is equal for texts that differ in nothing but case and blanks."""
    return " ".join(text.casefold().split())


def best_strength(held_out_losses: Vectors, start_losses: Vectors) -> int | None:
    """Return the place of the strength whose gain is surest, or None where the gate stays closed.

    That is the highest mean gain less `GATE_STANDARD_ERRORS` of its standard errors; the gate opens if it is above 0.

    Args:
        held_out_losses: (S, n) in nats.
        start_losses: (n,) in nats, of the blend that the fits start from.
    """
    if held_out_losses.shape[1] < 2:
        return None
    gains, standard_errors = _gains(held_out_losses, start_losses)
    surest = gains - GATE_STANDARD_ERRORS * standard_errors
    best = int(surest.argmax())
    return best if surest[best] > 0 else None


def trials_of(
    strengths: Sequence[float], held_out_losses: Vectors, start_losses: Vectors, shares_moved: Vectors
) -> list[Trial]:
    """Return how each strength did, none where fewer than two queries could be held out.

    Args:
        strengths: S of them.
        held_out_losses: (S, n) in nats.
        start_losses: (n,) in nats, of the blend that the fits start from.
        shares_moved: (S,).
    """
    if held_out_losses.shape[1] < 2:
        return []
    gains, standard_errors = _gains(held_out_losses, start_losses)
    rows = zip(strengths, gains, standard_errors, shares_moved, strict=True)
    return [Trial(strength, float(gain), float(error), float(share)) for strength, gain, error, share in rows]


def _gains(held_out_losses: Vectors, start_losses: Vectors) -> tuple[Vectors, Vectors]:
    gains = start_losses - held_out_losses  # (S, n)
    return gains.mean(axis=1), gains.std(axis=1, ddof=1) / np.sqrt(gains.shape[1])
