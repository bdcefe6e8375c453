"""How much two rankings of one query have in common, whatever is relevant in them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from era.types import Ranking


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two rankings share.

    Attributes:
        rbo: extrapolated rank-biased overlap of the whole rankings, in [0, 1]; the first places count most.
        jaccard: documents in both among those in any, of the first `depth`, in [0, 1].
        kendall_tau: agreement in [-1, 1] on the order of the documents that both hold, None with fewer than two.
        n_shared: documents that both hold, at any place.
    """

    rbo: float
    jaccard: float
    kendall_tau: float | None
    n_shared: int


@dataclass(frozen=True, slots=True)
class MeanOverlap:
    """The means of `Overlap` over n pairs of rankings.

    Attributes:
        rbo: in [0, 1].
        jaccard: in [0, 1].
        kendall_tau: over the pairs that have one, None if no pair has.
        n_shared: documents.
        n: pairs.
    """

    rbo: float
    jaccard: float
    kendall_tau: float | None
    n_shared: float
    n: int


def overlap(one: Ranking, other: Ranking, depth: int = 10, persistence: float = 0.9) -> Overlap:
    """Compare two rankings; the order of the arguments does not matter.

    Two empty rankings are the same: rbo and jaccard are 1. An empty one shares nothing with another: both are 0.

    Args:
        one: any length, each document once.
        other: any length, each document once.
        depth: places that jaccard looks at, at least 1.
        persistence: in (0, 1), the chance that a reader goes on to the next place; at 0.9 the first ten places carry
            86 % of the weight.

    Raises:
        ValueError: if a document stands twice in a ranking, or depth or persistence are out of range.

    Source: rbo: Webber, Moffat and Zobel 2010, eq. 32; tau-b: Kendall 1945.
    """
    if depth < 1 or not 0 < persistence < 1:
        raise ValueError(f"Expected depth >= 1 and persistence between 0 and 1, got {depth} and {persistence}.")
    places = {doc.doc_id: place for place, doc in enumerate(one)}
    other_places = {doc.doc_id: place for place, doc in enumerate(other)}
    if len(places) < len(one) or len(other_places) < len(other):
        raise ValueError("Expected each document once in a ranking.")
    shared = [(place, other_places[doc_id]) for doc_id, place in places.items() if doc_id in other_places]
    n_near = sum(max(pair) < depth for pair in shared)
    n_any = len(one[:depth]) + len(other[:depth]) - n_near
    tau = None
    if len(shared) > 1:
        from scipy import stats  # takes a second to import, which readers of files do without

        tau = float(stats.kendalltau(*zip(*shared, strict=True)).statistic)
    return Overlap(
        rbo=_rank_biased_overlap([max(pair) for pair in shared], len(one), len(other), persistence),
        jaccard=n_near / n_any if n_any else 1.0,
        kendall_tau=tau,
        n_shared=len(shared),
    )


def mean_overlap(pairs: Iterable[tuple[Ranking, Ranking]], depth: int = 10, persistence: float = 0.9) -> MeanOverlap:
    """Return the means over the two rankings of every query.

    Raises:
        ValueError: if there is no pair, or as `overlap` raises it.
    """
    found = [overlap(one, other, depth, persistence) for one, other in pairs]
    if not found:
        raise ValueError("Expected at least one pair of rankings.")
    taus = [each.kendall_tau for each in found if each.kendall_tau is not None]
    return MeanOverlap(
        rbo=float(np.mean([each.rbo for each in found])),
        jaccard=float(np.mean([each.jaccard for each in found])),
        kendall_tau=float(np.mean(taus)) if taus else None,
        n_shared=float(np.mean([each.n_shared for each in found])),
        n=len(found),
    )


def _rank_biased_overlap(met_at: list[int], length: int, other_length: int, persistence: float) -> float:
    """Return the extrapolated rank-biased overlap.

    Args:
        met_at: for each shared document the place, from 0, down to which both rankings have to be read to see it twice.
        length: of one ranking.
        other_length: of the other.
        persistence: in (0, 1).
    """
    shorter, longer = sorted((length, other_length))
    if not shorter:
        return 0.0 if longer else 1.0
    n_met = np.cumsum(np.bincount(met_at, minlength=longer))  # (longer,), documents seen twice down to each depth
    depths = np.arange(1, longer + 1)
    n_at_shorter, n_at_longer = int(n_met[shorter - 1]), int(n_met[-1])
    expected = n_at_shorter * np.maximum(depths - shorter, 0) / shorter  # as if the shorter one went on alike
    agreement = (n_met + expected) / depths
    seen = (1 - persistence) * float(agreement @ persistence ** (depths - 1.0))
    unseen = ((n_at_longer - n_at_shorter) / longer + n_at_shorter / shorter) * persistence**longer
    return min(seen + unseen, 1.0)
