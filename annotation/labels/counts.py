"""How much is judged: each count of marks that a screen shows is defined here, and nowhere else.

The unit is the document, for the query it was judged for. A card that stands for several identical documents counts as
that many, and a document that several people marked counts once.

Of a document:
- **marked by a person**: the person graded it or could not tell. Taking the mark back undoes that.
- **judged**: it has an agreed grade (`consensus.agreed_grade`), so it is relevant or not relevant. Imported grades
  count until a person gives one. "Cannot tell" is no grade.
- **undecided**: graded, but as many people call it relevant as not. It is counted beside the judged ones.
- **imported**: graded by an import alone; nobody here gave it a grade yet.
- **left for a person**: offered to that person (`offered_to`) and not marked by them. Imported grades leave it open:
  they say nothing about what this person thinks.

Of a query:
- **judged**: at least one document is. **Labelled**: at least one is relevant, so that training can learn from it and
  measures can be computed.
- **done**, **begun** or **open** for a person: see `QueryState`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from annotation.labels.consensus import agreed_grade, by_document, is_conflict
from storage.records import JudgmentRole, StandingMark

QueryState = Literal["open", "begun", "done"]
"""How far a query is for one person.

`done`: it has documents to judge and none is left for this person, who marked them or leaves them to the people that
judged them. `begun`: some are left and the person has marked something of the query. `open`: anything else.
"""


@dataclass(frozen=True, slots=True)
class QueryStanding:
    """How far the judging of a query is, in documents.

    Attributes:
        n_relevant: judged relevant.
        n_not_relevant: judged not relevant.
        n_undecided: graded without an agreed grade.
        n_imported: of all these, those with imported grades alone.
        n_conflicts: on which judges contradict each other, so that they wait for an adjudicator.
        n_mine: marked at the desk by the person who asks.
        n_people: people, not documents: who marked one at the desk.
    """

    n_relevant: int = 0
    n_not_relevant: int = 0
    n_undecided: int = 0
    n_imported: int = 0
    n_conflicts: int = 0
    n_mine: int = 0
    n_people: int = 0

    @property
    def n_graded(self) -> int:
        """Return how many documents have a grade by anyone, agreed or not."""
        return self.n_relevant + self.n_not_relevant + self.n_undecided


UNTOUCHED = QueryStanding()


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """What a label set, or what a training run learned from, holds.

    Attributes:
        n_queries: judged queries.
        n_labelled: those of them with a relevant document.
        n_relevant: documents judged relevant.
        n_not_relevant: documents judged not relevant.
        n_undecided: documents graded without an agreed grade; training leaves them out.
    """

    n_queries: int
    n_labelled: int
    n_relevant: int
    n_not_relevant: int
    n_undecided: int

    @property
    def n_judged(self) -> int:
        """Return how many documents are judged."""
        return self.n_relevant + self.n_not_relevant


@dataclass(frozen=True, slots=True)
class PersonCounts:
    """What one person marked at the desk of a label set.

    Attributes:
        n_graded: documents with a grade by this person.
        n_relevant: those of them with a grade above 0.
        n_unsure: documents the person could not tell about.
        n_queries: queries with a marked document.
    """

    n_graded: int = 0
    n_relevant: int = 0
    n_unsure: int = 0
    n_queries: int = 0

    @property
    def share_relevant(self) -> float | None:
        """Return which share of the graded documents is relevant; None without any."""
        return self.n_relevant / self.n_graded if self.n_graded else None


def standing_by_query(marks: Iterable[StandingMark], author: str | None) -> dict[int, QueryStanding]:
    """Return query id -> how far its judging is, for every query with a mark.

    Args:
        marks: of a whole label set.
        author: who asks; None counts nothing as theirs.
    """
    counts: dict[int, Counter[str]] = {}
    people: dict[int, set[str]] = {}
    for (query_id, _), group in by_document(marks).items():
        at_desk = {mark.author for mark in group if mark.role is JudgmentRole.JUDGE}
        people.setdefault(query_id, set()).update(at_desk)
        counted = counts.setdefault(query_id, Counter())
        counted["n_mine"] += author in at_desk
        counted["n_conflicts"] += is_conflict(group)
        graded_by = {mark.role for mark in group if mark.grade is not None}
        if graded_by:
            grade = agreed_grade(group)
            counted["n_undecided" if grade is None else "n_relevant" if grade > 0 else "n_not_relevant"] += 1
            counted["n_imported"] += graded_by == {JudgmentRole.REFERENCE}
    return {query_id: QueryStanding(**counted, n_people=len(people[query_id])) for query_id, counted in counts.items()}


def count_label_set(standings: Iterable[QueryStanding]) -> LabelCounts:
    """Add up the queries of a label set."""
    return _added_up((each.n_relevant, each.n_not_relevant, each.n_undecided) for each in standings)


def count_labels(labels: Mapping[str, Mapping[str, float]]) -> LabelCounts:
    """Count what a training run learns from: query id -> document id -> agreed grade, as `agreed_qrels` returns it."""
    return _added_up(
        (sum(grade > 0 for grade in judged.values()), sum(grade == 0 for grade in judged.values()), 0)
        for judged in labels.values()
    )


def count_people(marks: Iterable[StandingMark]) -> dict[str, PersonCounts]:
    """Return author -> what that person marked at the desk; who only settled conflicts is not among them."""
    counts: dict[str, Counter[str]] = {}
    queries: dict[str, set[int]] = {}
    for mark in marks:
        if mark.role is not JudgmentRole.JUDGE:
            continue
        counted = counts.setdefault(mark.author, Counter())
        counted["n_graded"] += mark.grade is not None
        counted["n_relevant"] += mark.grade is not None and mark.grade > 0
        counted["n_unsure"] += mark.grade is None
        queries.setdefault(mark.author, set()).add(mark.query_id)
    return {author: PersonCounts(**counted, n_queries=len(queries[author])) for author, counted in counts.items()}


def offered_to(pool: Sequence[str], marks: Iterable[StandingMark], author: str | None, n_judges: int) -> list[str]:
    """Return the documents of a pool that this person is to judge: those that fewer than `n_judges` others graded."""
    others: dict[str, set[str]] = {}
    mine = set()
    for mark in marks:
        if mark.role is not JudgmentRole.JUDGE:
            continue
        if mark.author == author:
            mine.add(mark.doc_id)
        elif mark.grade is not None:
            others.setdefault(mark.doc_id, set()).add(mark.author)
    return [doc_id for doc_id in pool if doc_id in mine or len(others.get(doc_id, ())) < n_judges]


def is_finished(pool: Sequence[str], offered: Sequence[str], marks: Iterable[StandingMark], author: str | None) -> bool:
    """Return whether the person marked everything offered of a pool, and something of the query at all.

    Where others have judged the whole pool, nothing is offered: whoever said something of the query is finished then.
    """
    mine = _marked_by(marks, author)
    return bool(pool) and bool(mine) and all(doc_id in mine for doc_id in offered)


def state_of(
    pool: Sequence[str], offered: Sequence[str], marks: Iterable[StandingMark], author: str | None
) -> QueryState:
    """Return how far a query is for one person; without a pool there is something to judge as soon as it is opened."""
    mine = _marked_by(marks, author)
    if pool and all(doc_id in mine for doc_id in offered):
        return "done"
    return "begun" if mine else "open"


def _marked_by(marks: Iterable[StandingMark], author: str | None) -> set[str]:
    return {mark.doc_id for mark in marks if mark.author == author and mark.role is JudgmentRole.JUDGE}


def _added_up(by_query: Iterable[tuple[int, int, int]]) -> LabelCounts:
    counts = list(by_query)
    return LabelCounts(
        n_queries=sum(n_relevant + n_not_relevant > 0 for n_relevant, n_not_relevant, _ in counts),
        n_labelled=sum(n_relevant > 0 for n_relevant, _, _ in counts),
        n_relevant=sum(n_relevant for n_relevant, _, _ in counts),
        n_not_relevant=sum(n_not_relevant for _, n_not_relevant, _ in counts),
        n_undecided=sum(n_undecided for _, _, n_undecided in counts),
    )
