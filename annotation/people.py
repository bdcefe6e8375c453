"""The people who judge a label set: who did how much, how fast, and how well they agree."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import storage.judgments
from annotation.agreement import Agreement, PairAgreement, agreement, agreement_by_pair
from annotation.comparing.all_queries import compare_all
from annotation.comparing.views import ComparisonView
from annotation.rankers import LIGHT, default_ranker
from annotation.workspace import Workspace
from storage.records import JudgmentRole


@dataclass(frozen=True, slots=True)
class JudgeWork:
    """What one person did.

    Attributes:
        author: the name.
        n_judged: documents with a grade that stands.
        n_unsure: documents the person could not tell about.
        n_queries: queries with a mark.
        share_relevant: of the grades, how many are above 0; None without grades.
        median_seconds: for a document, where it is known.
        first_at: the first mark.
        last_at: the latest one.
    """

    author: str
    n_judged: int
    n_unsure: int
    n_queries: int
    share_relevant: float | None
    median_seconds: float | None
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class People:
    """Everybody who judged a label set, and how they agree; None where too little was judged twice."""

    work: Sequence[JudgeWork]
    agreement: Agreement | None
    pairs: Sequence[PairAgreement]
    n_conflicts: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the first ten is judged, averaged over labelled queries, in [0, 1]."""

    n_queries: int
    before: float
    after: float


def people_of(workspace: Workspace, label_set_id: int) -> People:
    """Return who judged the label set."""
    standings = workspace.standings(label_set_id)
    marks = standings.marks()
    at_desk = [mark for mark in marks if mark.role is JudgmentRole.JUDGE]
    graded = Counter(mark.author for mark in at_desk if mark.grade is not None)
    relevant = Counter(mark.author for mark in at_desk if mark.grade is not None and mark.grade > 0)
    queries = Counter(author for author, _ in {(mark.author, mark.query_id) for mark in at_desk})
    unsure = Counter(mark.author for mark in at_desk if mark.grade is None)
    with workspace.reading() as session:
        work = storage.judgments.work_by_author(session, label_set_id)
    return People(
        work=[
            JudgeWork(
                author=each.author,
                n_judged=graded[each.author],
                n_unsure=unsure[each.author],
                n_queries=queries[each.author],
                share_relevant=relevant[each.author] / graded[each.author] if graded[each.author] else None,
                median_seconds=statistics.median(each.seconds) if each.seconds else None,
                first_at=each.first_at,
                last_at=each.last_at,
            )
            for each in work
        ],
        agreement=agreement(marks),
        pairs=agreement_by_pair(marks),
        n_conflicts=len(standings.conflicts()),
    )


def coverage(workspace: Workspace, collection_id: int, label_set_id: int) -> Coverage | None:
    """Return how much of the first ten of the light model and of the ranking in use is judged; None without labels.

    Raises:
        NotReadyError: if the embedders are still being loaded.
    """
    best = default_ranker(workspace, collection_id, label_set_id)
    overall = compare_all(workspace, ComparisonView(collection_id, label_set_id, (LIGHT, best), None))
    if overall is None or not overall.queries:
        return None
    before, after = (statistics.fmean(judged) for judged in zip(*(q.judged for q in overall.queries), strict=True))
    return Coverage(len(overall.queries), before, after)
