"""Is our default better than each other system, query by query, and do labels ever hurt it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.outcomes import MEASURES, Results
from era.evaluation.significance import PairedDifference, holm, paired_difference

OURS = "era"
OURS_WITHOUT_LABELS = "era-aligned"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`OURS` minus `system` over the held-out queries of one collection; `p_value` is adjusted over collections."""

    system: str
    n_labels: int
    collection: str
    difference: PairedDifference
    p_value: float


def compare_ours(results: Results) -> list[Comparison]:
    """Compare by nDCG@10, each collection by itself; a query that several seeds held out counts once, with its mean.

    Queries of different collections are no sample of anything, so they are never tested together. The p values of a
    system and number of labels are adjusted over the collections (Holm 1979).
    """
    comparisons = []
    for system, n_labels in product(results.systems, results.budgets):
        found = {}
        for name in results.collections:
            theirs = results.by_query(MEASURES[0], name, system, n_labels)
            ours = results.by_query(MEASURES[0], name, OURS, n_labels)
            if system != OURS and theirs and ours:
                found[name] = paired_difference(theirs, ours)
        adjusted = holm([each.p_value for each in found.values() if each.p_value is not None], list(found))
        comparisons += [
            Comparison(system, n_labels, name, difference, p_value)
            for (name, difference), p_value in zip(found.items(), adjusted, strict=True)
        ]
    return comparisons


@dataclass(frozen=True, slots=True)
class LabelEffect:
    """What labels did to `OURS` in one collection, against the same recipe before any label, in nDCG@10."""

    collection: str
    n_labels: int
    before: float
    after: float

    @property
    def difference(self) -> float:
        """Return after minus before."""
        return self.after - self.before


def label_effects(results: Results) -> Sequence[LabelEffect]:
    """Return the effect in every collection at every number of labels, the worst first."""
    effects = []
    for name in results.collections:
        for n_labels in results.budgets:
            before = results.mean(MEASURES[0], name, OURS_WITHOUT_LABELS, n_labels)
            after = results.mean(MEASURES[0], name, OURS, n_labels)
            if n_labels and before is not None and after is not None:
                effects.append(LabelEffect(name, n_labels, before, after))
    return sorted(effects, key=lambda effect: effect.difference)
