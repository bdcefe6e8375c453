"""The measure that decides, as a rule nDCG@10: of what is judged, or estimated where drawn documents were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from era.evaluation.incomplete_judgments import NdcgEstimate, SampledQuery, cutoff_of, estimate_ndcg, is_sampled
from era.evaluation.significance import Difference, PairedDifference, describe_difference, paired_differences
from era.types import Run

AnyDifference = TypeVar("AnyDifference", bound=Difference)


@dataclass(frozen=True, slots=True)
class MainMeasure:
    """One measure of several rankings over the same queries; ask `of` for it.

    Attributes:
        judged: ranking -> query id -> value, of what is judged.
        groups: query id -> its group of near-copies, which is one case.
        estimate: of the rankings in the order of `judged`; None where nothing stands for anything else, or where the
            measure cannot be estimated.
    """

    judged: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, int]
    estimate: NdcgEstimate | None

    @classmethod
    def of(
        cls,
        name: str,
        judged: Mapping[str, Mapping[str, float]],
        runs: Mapping[str, Run],
        queries: Mapping[str, SampledQuery],
        groups: Mapping[str, int],
    ) -> "MainMeasure":
        """Estimate the measure if there is need and a way.

        Args:
            name: of the measure.
            judged: ranking -> query id -> value, of what is judged.
            runs: ranking -> query id -> documents.
            queries: query id -> judgments, at least one relevant, and how documents were drawn for them.
            groups: query id -> its group of near-copies.
        """
        k = cutoff_of(name)
        if k is None or not any(map(is_sampled, queries.values())):
            return cls(judged, groups, None)
        return cls(judged, groups, estimate_ndcg(queries, [runs[ranking] for ranking in judged], k))

    def means(self) -> dict[str, float]:
        """Return ranking -> mean."""
        if self.estimate is None:
            return {name: sum(values.values()) / len(values) for name, values in self.judged.items()}
        return dict(zip(self.judged, self.estimate.means(), strict=True))

    def compare(self, first: str, others: Sequence[str]) -> list[PairedDifference]:
        """Test each of the others against the first one."""
        values, ideals = self._values()
        tests = paired_differences(values[first], [values[name] for name in others], self.groups, ideals=ideals)
        return [self._counted(test, first, name) for test, name in zip(tests, others, strict=True)]

    def describe(self, first: str, other: str) -> Difference:
        """Compare with the first one without testing."""
        values, ideals = self._values()
        return self._counted(describe_difference(values[first], values[other], self.groups, ideals), first, other)

    def of_judged(self, first: str, other: str) -> Difference:
        """Compare by what is judged alone."""
        return describe_difference(self.judged[first], self.judged[other], self.groups)

    def _values(self) -> tuple[Mapping[str, Mapping[str, float]], Mapping[str, float] | None]:
        if self.estimate is None:
            return self.judged, None
        return dict(zip(self.judged, self.estimate.gains, strict=True)), self.estimate.ideals

    def _counted(self, found: AnyDifference, first: str, other: str) -> AnyDifference:
        """Count queries by what is judged, as the screens show each of them."""
        if self.estimate is None:
            return found
        counts = self.of_judged(first, other)
        return replace(found, n_better=counts.n_better, n_same=counts.n_same, n_worse=counts.n_worse)
