"""What can be said of rankings where only some of their documents were judged: an estimate, and what is certain.

A document without a judgment counts as not relevant in every usual measure, so a ranking that fed the selection for
judging looks better than one that did not (Buckley and Voorhees 2004, "Retrieval evaluation with incomplete
information"). Where what was judged had been drawn at random, each judged document can stand for those that were not
drawn: inverse-probability weighting (Horvitz and Thompson 1952), for retrieval Yilmaz, Kanoulas and Aslam 2008, "A
simple and efficient sampling method for estimating AP and NDCG". Without any assumption, the difference of two rankings
lies between what it would be if all that is open spoke for the one, and for the other.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from era.evaluation.measures import evaluate
from era.types import Qrels, Run, ScoredDoc

TOP = 10
"""Places at the top of a ranking that judging is about."""

DEEP = 50
"""How far down is looked for relevant documents that every ranking's first places miss."""

_NDCG = re.compile(r"nDCG@(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents that were drawn at random, each as probably as any other, without replacement.

    Attributes:
        drawn: document ids.
        not_drawn: of the documents that were drawn from, the others.
        is_deep: whether these stand below the first `TOP` places of all rankings; then they tell how many relevant
            documents there are, and nothing of the rankings.
    """

    drawn: Sequence[str]
    not_drawn: Sequence[str]
    is_deep: bool = False


@dataclass(frozen=True, slots=True)
class SampledQuery:
    """The judgments of a query, document id -> grade, and how documents were drawn for judging."""

    grades: Mapping[str, float]
    samples: Sequence[Sample] = ()


@dataclass(frozen=True, slots=True)
class NdcgEstimate:
    """nDCG@k of some rankings, estimated: for each the sum of gains over the sum of ideals.

    Attributes:
        gains: for each ranking, query id -> estimated discounted cumulative gain.
        ideals: query id -> estimated gain of the best possible ranking, above 0.
    """

    gains: Sequence[Mapping[str, float]]
    ideals: Mapping[str, float]

    def means(self) -> list[float]:
        """Return the estimate for each ranking; the ratio of sums, since a mean of ratios would be biased."""
        total = sum(self.ideals.values())
        return [sum(each.values()) / total for each in self.gains]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what the mean difference of two rankings lies, whatever the unjudged documents are.

    Attributes:
        low: if of the unjudged documents exactly those were relevant that the first ranking puts higher.
        high: if those that the second one puts higher.
        n_unjudged: documents among the first `TOP` of either, summed over queries.
    """

    low: float
    high: float
    n_unjudged: int

    @property
    def could_turn(self) -> bool:
        """Return whether either ranking may be the better one."""
        return self.low < 0 < self.high


def cutoff_of(measure: str) -> int | None:
    """Return k if a measure is nDCG@k and can be estimated: up to the depth that documents are drawn from."""
    found = _NDCG.fullmatch(measure)
    return int(found[1]) if found and 1 <= int(found[1]) <= TOP else None


def is_sampled(query: SampledQuery) -> bool:
    """Return whether a judged document stands for others than itself."""
    return any(weight > 1 for weight in weigh(query).values()) or bool(_missed(query))


def weigh(query: SampledQuery) -> dict[str, float]:
    """Return judged document -> how many documents it stands for, itself included.

    The drawn documents of a sample stand for all of it, in equal parts, once they are judged. What was judged without
    having been drawn weighs 0 until the whole sample is judged: it was chosen for a reason, and beside the drawn ones
    it would count what is chosen twice. What belongs to no sample, and what stands deep, weighs 1.
    """
    weights = dict.fromkeys(query.grades, 1.0)
    for sample in query.samples:
        if not sample.is_deep:
            weights |= _shared(sample, query.grades.keys())
    return weights


def estimate_ndcg(queries: Mapping[str, SampledQuery], runs: Sequence[Run], k: int) -> NdcgEstimate:
    """Estimate nDCG@k as if everything among the first places had been judged.

    Relevant documents below all first places count in the ideal ranking of queries that have a deep sample: as many as
    these samples tell in the mean, since one of them alone tells little. No ideal is less than that of what is known.

    Args:
        queries: query id -> judgments, at least one of them relevant.
        runs: query id -> ranking, for each of the rankings.
        k: at most `TOP`.

    Raises:
        ValueError: if there is no query, or one has nothing relevant.
    """
    if not queries:
        raise ValueError("Expected at least one query.")
    missed: dict[float, float] = {}
    n_deep = 0
    for query in queries.values():
        found = _missed(query)
        if found is not None:
            n_deep += 1
            for grade, n in found.items():
                missed[grade] = missed.get(grade, 0.0) + n
    mean_missed = {grade: n / n_deep for grade, n in missed.items()}
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains: list[dict[str, float]] = [{} for _ in runs]
    ideals: dict[str, float] = {}
    for query_id, query in queries.items():
        relevant = {doc_id: grade for doc_id, grade in query.grades.items() if grade > 0}
        if not relevant:
            raise ValueError(f"Expected something relevant for every query, but {query_id!r} has nothing.")
        tops = [[doc.doc_id for doc in run.get(query_id, ())[:k]] for run in runs]
        weights = weigh(query)
        counts = {} if _missed(query) is None else dict(mean_missed)
        chosen = {d for sample in query.samples if sample.is_deep for d in sample.not_drawn}
        for doc_id, grade in relevant.items():
            if doc_id not in chosen:
                counts[grade] = counts.get(grade, 0.0) + weights[doc_id]
        known = Counter(relevant.values())  # what was chosen weighs nothing, and yet is there
        ideals[query_id] = max(_ideal(counts, discounts), _ideal(known, discounts))
        if all(doc_id in query.grades for top in tops for doc_id in top):
            weights = dict.fromkeys(weights, 1.0)  # nothing of these rankings is left to be estimated
        for side, top in zip(gains, tops, strict=True):
            side[query_id] = _gain(top, relevant, weights, discounts)
    return NdcgEstimate(gains, ideals)


def bound_difference(
    qrels: Qrels,
    before: Run,
    after: Run,
    measure: str,
    threshold: float | None = None,
    seen: Set[tuple[str, str]] = frozenset(),
) -> Bounds:
    """Return between what the mean difference of two rankings lies, after minus before.

    Args:
        qrels: query id -> document id -> grade.
        before: query id -> ranking.
        after: the same queries.
        measure: by the name that ir-measures gives it.
        threshold: as for `era.evaluation.measures.evaluate`.
        seen: (query id, document id) that people looked at without agreeing; they are not open.

    Raises:
        ValueError: if the measure is unknown or cannot be computed.
    """
    judged = {query_id: qrels.get(query_id, {}) for query_id in before}
    highest = max((grade for grades in judged.values() for grade in grades.values()), default=1.0)
    relevant = max(highest, 1.0, threshold or 0.0)
    for_before, for_after, n_unjudged = {}, {}, 0
    for query_id, grades in judged.items():
        places = [_places(run[query_id]) for run in (before, after)]
        unjudged = [d for d in dict.fromkeys([*places[0], *places[1]]) if d not in grades and (query_id, d) not in seen]
        n_unjudged += len(unjudged)
        lead = {d: places[1].get(d, TOP + 1) - places[0].get(d, TOP + 1) for d in unjudged}
        for_before[query_id] = {**grades, **{d: relevant for d in unjudged if lead[d] > 0}}
        for_after[query_id] = {**grades, **{d: relevant for d in unjudged if lead[d] < 0}}
    differences = [
        _mean_difference(each, before, after, measure, threshold) for each in (judged, for_before, for_after)
    ]
    return Bounds(min(differences), max(differences), n_unjudged)


def _mean_difference(qrels: Qrels, before: Run, after: Run, measure: str, threshold: float | None) -> float:
    """Return the mean over all queries; those without anything relevant differ by 0."""
    old, new = (evaluate(qrels, run, [measure], threshold)[measure] for run in (before, after))
    return sum(new[query_id] - old[query_id] for query_id in old) / len(before) if before else 0.0


def _places(ranking: Sequence[ScoredDoc]) -> dict[str, int]:
    return {doc.doc_id: place for place, doc in enumerate(ranking[:TOP], start=1)}


def _shared(sample: Sample, judged: Set[str], elsewhere: Set[str] = frozenset()) -> dict[str, float]:
    """Return judged document -> how many of the sample it stands for; what is `elsewhere` belongs to it no more."""
    drawn = [doc_id for doc_id in sample.drawn if doc_id in judged and doc_id not in elsewhere]
    others = [
        doc_id for doc_id in (*sample.drawn, *sample.not_drawn) if doc_id not in elsewhere and doc_id not in drawn
    ]
    chosen = [doc_id for doc_id in others if doc_id in judged]
    if not drawn or len(chosen) == len(others):
        return dict.fromkeys([*drawn, *chosen], 1.0)
    return dict.fromkeys(drawn, 1 + len(others) / len(drawn)) | dict.fromkeys(chosen, 0.0)


def _missed(query: SampledQuery) -> dict[float, float] | None:
    """Return grade -> estimated relevant documents below all first places, without those drawn; None if unknown."""
    first = {d for each in query.samples if not each.is_deep for d in (*each.drawn, *each.not_drawn)}
    found: dict[float, float] | None = None
    for sample in query.samples:
        if sample.is_deep and any(doc_id in query.grades for doc_id in sample.drawn):
            found = found or {}
            for doc_id, weight in _shared(sample, query.grades.keys(), first).items():
                if (grade := query.grades[doc_id]) > 0 and weight > 1:
                    found[grade] = found.get(grade, 0.0) + weight - 1
    return found


def _gain(
    top: Sequence[str], relevant: Mapping[str, float], weights: Mapping[str, float], discounts: NDArray[np.float64]
) -> float:
    return sum(
        float(discount) * relevant[doc_id] * weights[doc_id]
        for doc_id, discount in zip(top, discounts, strict=False)
        if doc_id in relevant
    )


def _ideal(counts: Mapping[float, float], discounts: NDArray[np.float64]) -> float:
    """Return the gain of the best ranking of so many documents of each grade; counts need not be whole."""
    cumulated = np.concatenate([[0.0], np.cumsum(discounts)])
    places = np.arange(len(cumulated))
    total, filled = 0.0, 0.0
    for grade in sorted(counts, reverse=True):
        until = min(filled + counts[grade], float(places[-1]))
        total += grade * float(np.interp(until, places, cumulated) - np.interp(filled, places, cumulated))
        filled = until
    return total
