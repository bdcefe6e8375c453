"""The people who judge: who did how much, how fast, and inter-annotator agreement beyond what chance would give.

Measured on the marks as they stand; which documents are in conflict is found in `annotation.labels.current`.
Imported (reference) marks were not made under the same guidelines, so they are compared apart.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import krippendorff
import numpy as np
import numpy.typing as npt

import storage.judgments
from annotation.judging.review import DRAWN_LIST, DrawnMarks, kept_when_drawn
from annotation.judging.setup import hidden_queries
from annotation.labels.current import PersonCounts, count_people
from annotation.workspace import Workspace
from storage.records import JudgmentRole, StandingMark

GOOD_ALPHA = 0.8
TENTATIVE_ALPHA = 0.667

MIN_PAIRS, MIN_QUERIES, MIN_RARER = 30, 5, 5
"""What it takes to say anything in words: documents judged twice, their queries, grades of the rarer relevance."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far all who judged agree.

    Attributes:
        alpha: ordinal Krippendorff's alpha; 1 perfect agreement, 0 as by chance, below 0 worse than that; None if all
            grades are equal, for then there is nothing by which chance could be judged.
        low: lower end of its 95 % bootstrap interval; None with `alpha`, or if there is one query.
        high: upper end.
        positive: of the grades that call a document relevant, the share that another judge's grade of the same
            document shares; None if there is no such grade.
        n_pairs: (query, document) pairs graded by at least two judges.
        n_queries: their queries.
        n_rarer: their grades of the rarer relevance: relevant or not relevant.
        n_people: distinct judges of those grades.
    """

    alpha: float | None
    low: float | None
    high: float | None
    positive: float | None
    n_pairs: int
    n_queries: int
    n_rarer: int
    n_people: int


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two people agree, or one of them with imported marks.

    Attributes:
        first: the one author; names are in alphabetical order, imported marks come second.
        second: the other.
        n_common: (query, document) pairs that both graded, at least 1.
        share_equal: how many of those both call relevant or both not, in [0, 1]; not corrected for chance.
    """

    first: str
    second: str
    n_common: int
    share_equal: float


def agreement(marks: Iterable[StandingMark], seed: int = 0, n_resamples: int = 1000) -> Agreement | None:
    """Measure the agreement of judges on everything that two or more of them graded.

    Adjudicators and imported marks take no part, and who could not tell counts as missing.

    Args:
        marks: to be compared.
        seed: of the resampling.
        n_resamples: of the queries, for the interval: documents of one query are judged by the same reading of it.

    Returns:
        None if no (query, document) pair was graded by two judges.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; bootstrap of clusters (Davison and Hinkley
    1997, section 3.8); positive agreement (Cicchetti and Feinstein 1990), averaged over the pairs of judges.
    """
    found = {key: grades for key, grades in _units(marks, JudgmentRole.JUDGE).items() if len(grades) > 1}
    if not found:
        return None
    units = list(found.values())
    every_grade = [grade for grades in units for grade in grades.values()]
    n_relevant = sum(grade > 0 for grade in every_grade)
    query_ids, queries = np.unique([query_id for query_id, _ in found], return_inverse=True)
    value_counts = _value_counts(units)
    alpha = low = high = None
    if value_counts.shape[1] > 1:
        alpha = float(krippendorff.alpha(value_counts=value_counts, level_of_measurement="ordinal"))
    if alpha is not None and len(query_ids) > 1:
        low, high = _interval(value_counts, queries, len(query_ids), seed, n_resamples)
    return Agreement(
        alpha=alpha,
        low=low,
        high=high,
        positive=_positive_agreement(units),
        n_pairs=len(units),
        n_queries=len(query_ids),
        n_rarer=min(n_relevant, len(every_grade) - n_relevant),
        n_people=len({author for grades in units for author in grades}),
    )


def _interval(
    value_counts: npt.NDArray[np.int_], queries: npt.NDArray[np.int_], n_queries: int, seed: int, n_resamples: int
) -> tuple[float, float]:
    # Equal units weigh in together: as likely as drawing them one by one, and there are far fewer of them.
    patterns, places = np.unique(value_counts, axis=0, return_inverse=True)
    of_query = np.zeros((n_queries, len(patterns)), np.int64)  # how many units of each pattern
    np.add.at(of_query, (queries, places.ravel()), 1)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_queries, np.full(n_queries, 1 / n_queries), size=n_resamples)
    low, high = np.quantile(ordinal_alphas(patterns, drawn @ of_query), (0.025, 0.975))
    return float(low), float(high)


def _positive_agreement(units: Iterable[dict[str, float]]) -> float | None:
    """Return the share; judges of one document are compared two by two, and a document counts once for each judge."""
    n_shared, n_positive = 0.0, 0
    for grades in units:
        n_relevant = sum(grade > 0 for grade in grades.values())
        n_positive += n_relevant
        n_shared += n_relevant * (n_relevant - 1) / (len(grades) - 1)
    return n_shared / n_positive if n_positive else None


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
    """Compare each two judges with a document in common, those with the most in common first.

    As in `agreement`, adjudicators and imported marks take no part, and who could not tell counts as missing.
    """
    units = [grades for grades in _units(marks, JudgmentRole.JUDGE).values() if len(grades) > 1]
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


def agreement_with_imported(marks: Iterable[StandingMark]) -> list[PairAgreement]:
    """Compare each judge with the imported marks on the same documents, those with the most in common first."""
    marks = list(marks)
    own, imported = _units(marks, JudgmentRole.JUDGE), _units(marks, JudgmentRole.REFERENCE)
    compared: dict[tuple[str, str], list[bool]] = {}
    for key, given in own.items():
        for author, grade in given.items():
            for source, other in imported.get(key, {}).items():
                if source != author:
                    compared.setdefault((author, source), []).append((grade > 0) == (other > 0))
    found = [
        PairAgreement(author, source, len(equal), sum(equal) / len(equal))
        for (author, source), equal in sorted(compared.items())
    ]
    return sorted(found, key=lambda pair: -pair.n_common)


def in_words(found: Agreement) -> str:
    """Say what an agreement is good for; the lower end of its interval decides.

    Source: Krippendorff 2004, "Content Analysis", 2nd edition, section 11.4.2: rely on alpha >= .800, draw tentative
    conclusions from alpha >= .667.
    """
    if found.alpha is None:
        return "cannot be told, since all grades are equal"
    missing = [
        f"{minimum} {what} (there are {n})"
        for n, minimum, what in (
            (found.n_pairs, MIN_PAIRS, "documents judged twice"),
            (found.n_queries, MIN_QUERIES, "queries"),
            (found.n_rarer, MIN_RARER, "grades of the rarer kind"),
        )
        if n < minimum
    ]
    if missing or found.low is None or found.high is None:
        return f"too little to tell; it takes {' and '.join(missing)}"
    if found.low >= GOOD_ALPHA:
        return "good"
    if found.low >= TENTATIVE_ALPHA:
        return "enough for tentative conclusions"
    if found.high < TENTATIVE_ALPHA:
        return "low: talk about the guidelines"
    return "not clear yet: it may be low, judge more documents twice"


def _units(marks: Iterable[StandingMark], role: JudgmentRole) -> dict[tuple[int, str], dict[str, float]]:
    """Return author -> grade of that role for every (query, document)."""
    units: dict[tuple[int, str], dict[str, float]] = {}
    for mark in marks:
        if mark.grade is not None and mark.role == role:
            units.setdefault((mark.query_id, mark.doc_id), {})[mark.author] = mark.grade
    return units


def _value_counts(units: list[dict[str, float]]) -> npt.NDArray[np.int_]:
    """Return (U, V): how many authors gave unit u the v-th lowest of the V grades in use."""
    sizes = [len(grades) for grades in units]
    values, columns = np.unique([grade for grades in units for grade in grades.values()], return_inverse=True)
    rows = np.repeat(np.arange(len(units)), sizes)
    cells = np.bincount(rows * len(values) + columns, minlength=len(units) * len(values))
    return cells.reshape(len(units), len(values))


@dataclass(frozen=True, slots=True)
class JudgeWork:
    """What one person did.

    Attributes:
        author: the name.
        counts: of the documents that this person marked at the desk.
        share_relevant: share of this person's graded documents that is relevant, of what may be seen; None without any.
        drawn: what this person kept of the marks that were drawn at random to be looked at again.
        median_seconds: for a document, where it is known.
        first_at: the first mark.
        last_at: the latest one.
    """

    author: str
    counts: PersonCounts
    share_relevant: float | None
    drawn: DrawnMarks
    median_seconds: float | None
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class People:
    """Everybody who judged a label set, how they agree (None where nothing was judged twice), and with what came in.

    What would tell how others judged is without the `n_hidden` queries of which that stays hidden from who looks.
    """

    work: Sequence[JudgeWork]
    agreement: Agreement | None
    pairs: Sequence[PairAgreement]
    with_imported: Sequence[PairAgreement]
    n_conflicts: int
    n_hidden: int = 0


def people_of(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int) -> People:
    """Return who judged the label set, as `author` may see it."""
    standings = workspace.standings(label_set_id)
    marks = standings.marks()
    hidden = hidden_queries(workspace, author, collection_id, label_set_id, {mark.query_id for mark in marks})
    told = [mark for mark in marks if mark.query_id not in hidden]
    counts = count_people(marks)
    seen = count_people(mark for mark in marks if mark.query_id not in hidden or mark.author == author)
    with workspace.reading() as session:
        work = storage.judgments.work_by_author(session, label_set_id)
        drawn = kept_when_drawn(storage.judgments.histories_marked_on(session, label_set_id, DRAWN_LIST))
    return People(
        work=[
            JudgeWork(
                author=each.author,
                counts=counts.get(each.author, PersonCounts()),
                share_relevant=seen.get(each.author, PersonCounts()).share_relevant,
                drawn=drawn.get(each.author, DrawnMarks()),
                median_seconds=statistics.median(each.seconds) if each.seconds else None,
                first_at=each.first_at,
                last_at=each.last_at,
            )
            for each in work
        ],
        agreement=agreement(told),
        pairs=agreement_by_pair(told),
        with_imported=agreement_with_imported(told),
        n_conflicts=sum(query_id not in hidden for query_id, _ in standings.conflicts()),
        n_hidden=len(hidden),
    )
