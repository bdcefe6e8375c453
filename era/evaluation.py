"""Measures of rankings against judged relevance, and whether a difference between two rankings is more than chance.

Every measure comes from ir-measures, every test from scipy; here they are only put together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np
from scipy import stats

from era.types import Qrels, Run

MEASURES = ("nDCG@10", "R@10", "RR", "Judged@10")
_GRADE_SCALE = 10_000  # measures take whole grades; nDCG does not change when all grades are scaled alike


def evaluate(qrels: Qrels, run: Run, measures: Sequence[str] = MEASURES) -> dict[str, dict[str, float]]:
    """Return measure -> query id -> value in [0, 1], for queries of the run with at least one relevant document.

    Unjudged documents count as not relevant; `Judged@10` says how many of the first ten were judged at all.

    Raises:
        ValueError: if ir-measures does not know a measure.
    """
    judged = {
        query_id: grades
        for query_id, grades in qrels.items()
        if query_id in run and any(grade > 0 for grade in grades.values())
    }
    is_whole = all(float(grade).is_integer() for grades in judged.values() for grade in grades.values())
    scale = 1 if is_whole else _GRADE_SCALE
    try:
        parsed = {ir_measures.parse_measure(name): name for name in measures}
    except NameError as error:
        raise ValueError(f"Unknown measure: {error}. Expected names such as {', '.join(MEASURES)}.") from error
    values: dict[str, dict[str, float]] = {name: {q: 0.0 for q in judged if not run[q]} for name in measures}
    judged = {query_id: grades for query_id, grades in judged.items() if run[query_id]}
    if judged:
        scaled = {q: {d: round(grade * scale) for d, grade in grades.items()} for q, grades in judged.items()}
        scores = {q: _strictly_falling([doc.doc_id for doc in run[q]]) for q in judged}
        for metric in ir_measures.iter_calc(list(parsed), scaled, scores):
            values[parsed[metric.measure]][metric.query_id] = float(metric.value)
    return values


def _strictly_falling(doc_ids: Sequence[str]) -> dict[str, float]:
    """Return scores that keep the given order: evaluation tools break ties of scores in ways of their own."""
    return {doc_id: float(len(doc_ids) - place) for place, doc_id in enumerate(doc_ids)}


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How a measure differs between two rankings of the same n queries.

    Attributes:
        before: mean before, in the measure's unit.
        after: mean after.
        low: lower end of the 95 % bootstrap interval of the mean difference.
        high: upper end.
        p_value: two-sided paired randomisation test; 1 where all differences are 0.
        n_better: queries whose value rose.
        n_same: queries whose value stayed.
        n_worse: queries whose value fell.
    """

    before: float
    after: float
    low: float
    high: float
    p_value: float
    n_better: int
    n_same: int
    n_worse: int

    @property
    def difference(self) -> float:
        """Return after minus before."""
        return self.after - self.before

    @property
    def n(self) -> int:
        """Return the number of queries."""
        return self.n_better + self.n_same + self.n_worse


def paired_difference(
    before: Mapping[str, float], after: Mapping[str, float], seed: int = 0, n_resamples: int = 5000
) -> PairedDifference:
    """Compare a measure query by query.

    Args:
        before: query id -> value.
        after: query id -> value, of the same queries.
        seed: of the resampling.
        n_resamples: for the bootstrap, and for the randomisation test where not all sign changes can be tried.

    Raises:
        ValueError: if the queries differ or there is none.

    Source: percentile bootstrap (Efron 1979) and Fisher's paired randomisation test, as compared for retrieval by
    Smucker, Allan and Carterette 2007.
    """
    if not before or before.keys() != after.keys():
        raise ValueError(f"Expected values for the same queries, got {len(before)} before and {len(after)} after.")
    ids = sorted(before)
    old, new = np.array([before[i] for i in ids]), np.array([after[i] for i in ids])
    change = np.where(np.abs(new - old) < 1e-9, 0.0, new - old)
    low = high = float(change.mean())
    p_value = 1.0
    if change.any() and len(change) > 1:
        rng = np.random.default_rng(seed)
        interval = stats.bootstrap((change,), np.mean, n_resamples=n_resamples, method="percentile", rng=rng)
        low, high = (float(end) for end in interval.confidence_interval)
        test = stats.permutation_test(
            (change,), np.mean, permutation_type="samples", n_resamples=n_resamples, vectorized=True, rng=rng
        )
        p_value = float(test.pvalue)
    return PairedDifference(
        before=float(old.mean()),
        after=float(new.mean()),
        low=low,
        high=high,
        p_value=p_value,
        n_better=int((change > 0).sum()),
        n_same=int((change == 0).sum()),
        n_worse=int((change < 0).sum()),
    )
