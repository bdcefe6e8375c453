"""How far the people who judge agree, beyond what chance would give.

Measured on the marks as they stand; which documents are in conflict is found in `annotation.consensus`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import krippendorff
import numpy as np
import numpy.typing as npt

from storage.records import JudgmentRole, StandingMark

GOOD_ALPHA = 0.8
TENTATIVE_ALPHA = 0.667

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far all who judged agree.

    Attributes:
        alpha: ordinal Krippendorff's alpha; 1 perfect agreement, 0 as by chance, below 0 worse than that.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        n_pairs: (query, document) pairs graded by at least two authors.
        n_people: distinct authors of those grades.
    """

    alpha: float
    low: float
    high: float
    n_pairs: int
    n_people: int


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two people agree.

    Attributes:
        first: the one author; names are in alphabetical order.
        second: the other.
        n_common: (query, document) pairs that both graded, at least 1.
        share_equal: how many of those both call relevant or both not, in [0, 1]; not corrected for chance.
    """

    first: str
    second: str
    n_common: int
    share_equal: float


def agreement(marks: Iterable[StandingMark], seed: int = 0, n_resamples: int = 1000) -> Agreement | None:
    """Measure the agreement of judges and references on everything that two or more of them graded.

    Adjudicators take no part, and who could not tell counts as missing. An author's own mark goes before a reference
    under the same name.

    Args:
        marks: to be compared.
        seed: of the resampling.
        n_resamples: of the (query, document) pairs, for the interval.

    Returns:
        None if fewer than two (query, document) pairs were graded by two authors. Where all grades are equal alpha is
        undefined (there is nothing by which chance could be judged); it is then set to 1, with low = high = 1, and a
        resample without variation counts as 1 too.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; percentile bootstrap (Efron 1979).
    """
    units = _units(marks)
    if len(units) < 2:
        return None
    n_people = len({author for grades in units for author in grades})
    value_counts = _value_counts(units)
    if value_counts.shape[1] == 1:
        return Agreement(1.0, 1.0, 1.0, len(units), n_people)
    alpha = float(krippendorff.alpha(value_counts=value_counts, level_of_measurement="ordinal"))
    # Equal units weigh in together: as likely as drawing them one by one, and there are far fewer of them.
    patterns, frequencies = np.unique(value_counts, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(units), frequencies / len(units), size=n_resamples)
    low, high = np.quantile(ordinal_alphas(patterns, weights), (0.025, 0.975))
    return Agreement(alpha, float(low), float(high), len(units), n_people)


def ordinal_alphas(value_counts: npt.NDArray[np.int_], weights: npt.NDArray[np.int_]) -> _Floats:
    """Return ordinal Krippendorff's alpha under several weightings of the same units.

    The ordinal distance of two grades is the squared difference of their mid-ranks among all grades weighed in, and
    the mid-ranks of all those grades have the mean 0 once half the number of grades is taken off. Both disagreements
    are therefore sums of squares, and no coincidence matrix has to be built.

    Args:
        value_counts: (U, V), how many authors gave unit u the v-th lowest grade; at least 2 authors per unit.
        weights: (B, U), how often each unit counts.

    Returns:
        (B,), at most 1; 1 where a weighting leaves no two different grades.

    Source: Krippendorff 2011, part E, with the ordinal metric.
    """
    counts, unit_weights = value_counts.astype(np.float64), weights.astype(np.float64)
    n_authors = counts.sum(axis=1)  # (U,)
    marginals = unit_weights @ counts  # (B, V)
    n_grades = marginals.sum(axis=1)  # (B,)
    ranks = marginals.cumsum(axis=1) - marginals / 2 - n_grades[:, None] / 2  # (B, V)
    spread = n_authors * (ranks**2 @ counts.T) - (ranks @ counts.T) ** 2  # (B, U)
    observed = (unit_weights * spread / (n_authors - 1)).sum(axis=1)
    expected = n_grades * (marginals * ranks**2).sum(axis=1) / (n_grades - 1)
    disagreement = np.divide(observed, expected, out=np.zeros_like(observed), where=expected > 0)
    return np.asarray(1.0 - disagreement, dtype=np.float64)


def agreement_by_pair(marks: Iterable[StandingMark]) -> list[PairAgreement]:
    """Compare each two judges or references with a document in common, those with the most in common first.

    As in `agreement`, adjudicators take no part and who could not tell counts as missing.
    """
    units = _units(marks)
    names = sorted({author for grades in units for author in grades})
    rows = {name: row for row, name in enumerate(names)}
    relevant = np.zeros((len(names), len(units)))
    not_relevant = np.zeros((len(names), len(units)))
    for column, grades in enumerate(units):
        for author, grade in grades.items():
            (relevant if grade > 0 else not_relevant)[rows[author], column] = 1.0
    n_equal = relevant @ relevant.T + not_relevant @ not_relevant.T  # (A, A)
    n_common = (relevant + not_relevant) @ (relevant + not_relevant).T
    pairs = [
        PairAgreement(names[i], names[j], int(n_common[i, j]), float(n_equal[i, j] / n_common[i, j]))
        for i, j in zip(*np.triu_indices(len(names), 1), strict=True)
        if n_common[i, j] > 0
    ]
    return sorted(pairs, key=lambda pair: -pair.n_common)


def in_words(alpha: float) -> str:
    """Say what an alpha is good for.

    Source: Krippendorff 2004, "Content Analysis", 2nd edition, section 11.4.2: rely on alpha >= .800, draw tentative
    conclusions from alpha >= .667.
    """
    if alpha >= GOOD_ALPHA:
        return "good"
    if alpha >= TENTATIVE_ALPHA:
        return "enough for tentative conclusions"
    return "low: talk about the guidelines"


def _units(marks: Iterable[StandingMark]) -> list[dict[str, float]]:
    """Return author -> grade for every (query, document) that at least two judges or references graded."""
    units: dict[tuple[int, str], dict[str, float]] = {}
    for mark in marks:
        if mark.grade is None or mark.role == JudgmentRole.ADJUDICATOR:
            continue
        grades = units.setdefault((mark.query_id, mark.doc_id), {})
        if mark.role == JudgmentRole.JUDGE:
            grades[mark.author] = mark.grade
        else:
            grades.setdefault(mark.author, mark.grade)
    return [grades for grades in units.values() if len(grades) > 1]


def _value_counts(units: list[dict[str, float]]) -> npt.NDArray[np.int_]:
    """Return (U, V): how many authors gave unit u the v-th lowest of the V grades in use."""
    sizes = [len(grades) for grades in units]
    values, columns = np.unique([grade for grades in units for grade in grades.values()], return_inverse=True)
    rows = np.repeat(np.arange(len(units)), sizes)
    cells = np.bincount(rows * len(values) + columns, minlength=len(units) * len(values))
    return cells.reshape(len(units), len(values))
