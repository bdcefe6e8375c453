"""The people who judge a label set: who did how much, how fast, and how well they agree."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import storage.judgments
from annotation.judging.agreement import Agreement, PairAgreement, agreement, agreement_by_pair, agreement_with_imported
from annotation.judging.suspect_marks import DRAWN_LIST, DrawnMarks, kept_when_drawn
from annotation.judging.visibility import hidden_queries
from annotation.labels.counts import PersonCounts, count_people
from annotation.workspace import Workspace


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
