"""Is our default better than each other system, query by query, and do labels ever hurt it?"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.outcomes import MEASURES, Results
from era.significance import PairedDifference, paired_difference

OURS = "era"
OURS_WITHOUT_LABELS = "era-aligned"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`OURS` minus `system` over the held-out queries of all collections with that many labels."""

    system: str
    n_labels: int
    difference: PairedDifference


def compare_ours(results: Results) -> list[Comparison]:
    """Compare by nDCG@10; a query that several seeds held out counts once, with its mean."""
    comparisons = []
    for system in results.systems:
        for n_labels in results.budgets:
            theirs = results.by_query(MEASURES[0], system, n_labels)
            ours = results.by_query(MEASURES[0], OURS, n_labels)
            if system != OURS and theirs and ours:
                comparisons.append(Comparison(system, n_labels, paired_difference(theirs, ours)))
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
