"""Current labels: every mark that stands in a label set, what judges agree on (adjudication), and each count shown.

How well the judges agree beyond chance is measured in `annotation.judging.agreement`. Each count of marks that a screen
shows is defined here, and nowhere else.

The unit is the document, for the query it was judged for. A card that stands for several identical documents counts as
that many, and a document that several people marked counts once.

Of a document:
- **marked by a person**: the person graded it or could not tell. Taking the mark back undoes that.
- **judged**: it has an agreed grade (`agreed_grade`), so it is relevant or not relevant. Imported grades
  count until a person gives one. "Cannot tell" is no grade.
- **undecided**: graded, but as many people call it relevant as not. It is counted beside the judged ones.
- **imported**: graded by an import alone; no judge here gave it a grade yet.
- **left for a person**: offered to that person (`offered_to`) and not marked by them. Imported grades leave it open:
  they say nothing about what this person thinks.

Of a query:
- **judged**: at least one document is. **Labelled**: at least one is relevant, so that training can learn from it and
  measures can be computed.
- **done**, **begun** or **open** for a person: see `QueryState`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Literal

from sqlalchemy.orm import Session

import storage.judgments
from storage.records import Hand, JudgmentRole, StandingMark

QueryState = Literal["open", "begun", "done"]
"""How far a query is for one person.

`done`: it has documents to judge and none is left for this person, who marked them or leaves them to the people that
judged them. `begun`: some are left and the person has marked something of the query. `open`: anything else.
"""

CONFLICT_DISTANCE = 2.0
"""From this many grades apart two judges contradict each other, even if both call the document relevant."""


def agreed_grade(marks: Sequence[StandingMark]) -> float | None:
    """Return what counts as the grade of one document for one query.

    The last adjudicator's grade settles it. Without one it is the median of the judges' grades, for an even number
    the lower middle; without judges likewise the median of the references.

    Args:
        marks: of one query and document, oldest first, at most one per author and role.

    Returns:
        None if no one gave a grade, or if exactly as many judges call the document relevant as not: it is left out
        of training and measuring until somebody decides.
    """
    if len(marks) == 1:
        return marks[0].grade
    adjudicated: float | None = None
    judged: list[float] = []
    references: list[float] = []
    for mark in marks:
        if mark.grade is None:
            continue
        if mark.role == JudgmentRole.ADJUDICATOR:
            adjudicated = mark.grade
        elif mark.role == JudgmentRole.JUDGE:
            judged.append(mark.grade)
        else:
            references.append(mark.grade)
    if adjudicated is not None:
        return adjudicated
    if judged:
        is_tie = 2 * sum(grade > 0 for grade in judged) == len(judged)
        return None if is_tie else _lower_median(judged)
    return _lower_median(references) if references else None


def is_conflict(marks: Sequence[StandingMark]) -> bool:
    """Say whether judges contradict each other about one document and it is not settled yet.

    They do if one calls it relevant and another not, or if two grades lie `CONFLICT_DISTANCE` or more apart.
    References take no part, and an adjudicator who could not tell settles nothing.

    Args:
        marks: of one query and document, at most one per author and role.
    """
    if len(marks) < 2:
        return False
    judged: list[float] = []
    for mark in marks:
        if mark.grade is None:
            continue
        if mark.role == JudgmentRole.ADJUDICATOR:
            return False
        if mark.role == JudgmentRole.JUDGE:
            judged.append(mark.grade)
    if len(judged) < 2:
        return False
    low, high = min(judged), max(judged)
    return low == 0 < high or high - low >= CONFLICT_DISTANCE


def agreed_qrels(marks: Iterable[StandingMark]) -> dict[int, dict[str, float]]:
    """Return query id -> document id -> agreed grade; what has none is left out, and so are queries without any."""
    qrels: dict[int, dict[str, float]] = {}
    for (query_id, doc_id), group in by_document(marks).items():
        grade = agreed_grade(group)
        if grade is not None:
            qrels.setdefault(query_id, {})[doc_id] = grade
    return qrels


def conflicts(marks: Iterable[StandingMark]) -> list[tuple[int, str]]:
    """Return the (query id, document id) in conflict, by query id and then in the order of their first marks."""
    found = [key for key, group in by_document(marks).items() if is_conflict(group)]
    return sorted(found, key=lambda key: key[0])


def by_document(marks: Iterable[StandingMark]) -> Mapping[tuple[int, str], list[StandingMark]]:
    """Return (query id, document id) -> its marks, both in the order given."""
    groups: dict[tuple[int, str], list[StandingMark]] = {}
    for mark in marks:
        key = (mark.query_id, mark.doc_id)
        group = groups.get(key)
        if group is None:
            groups[key] = [mark]
        else:
            group.append(mark)
    return groups


def _lower_median(grades: list[float]) -> float:
    return sorted(grades)[(len(grades) - 1) // 2]


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

    Where others have judged the whole pool, nothing is offered: a person who said something of the query is
    finished then.
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


@dataclass(frozen=True, slots=True)
class _State:
    """What stood after the event `newest`, by query; never changed, a refresh makes another one."""

    newest: int = 0
    marks: Mapping[int, Sequence[StandingMark]] = field(default_factory=dict)
    qrels: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    progress: Mapping[int, QueryStanding] = field(default_factory=dict)
    by_judge: Mapping[int, Counter[str]] = field(default_factory=dict)
    hands: Mapping[int, Set[Hand]] = field(default_factory=dict)


class Standings:
    """What stands in one label set; safe to use from several threads.

    Kept in memory and brought up to date from the log of judgments, which only grows: a look costs what was judged
    since the last one, however many judgments there are.
    """

    def __init__(self, label_set_id: int) -> None:
        self._label_set_id = label_set_id
        self._state = _State()
        self._refreshing = Lock()

    def refresh(self, session: Session) -> None:
        """Read what was judged since the last time."""
        with self._refreshing:
            state = self._state
            newest = storage.judgments.newest_event_id(session)
            if newest <= state.newest:
                return
            changed: set[int] | None = None
            if state.newest:
                changed = storage.judgments.changed_since(session, self._label_set_id, state.newest)
            found = storage.judgments.standing(session, self._label_set_id, changed)
            hands: dict[int, set[Hand]] = {}
            for hand in storage.judgments.hands(session, self._label_set_id, changed):
                hands.setdefault(hand.query_id, set()).add(hand)
            marks: dict[int, list[StandingMark]] = {query_id: [] for query_id in changed or ()}
            for mark in found:
                marks.setdefault(mark.query_id, []).append(mark)
            qrels, progress = agreed_qrels(found), standing_by_query(found, None)
            self._state = _State(
                newest,
                {**state.marks, **marks},
                {**state.qrels, **{query_id: qrels.get(query_id, {}) for query_id in marks}},
                {**state.progress, **{query_id: progress.get(query_id, UNTOUCHED) for query_id in marks}},
                {**state.by_judge, **{query_id: _judges(of_query) for query_id, of_query in marks.items()}},
                {**state.hands, **hands},
            )

    @property
    def as_of(self) -> int:
        """Return the id of the newest event that is counted; who reads it first and counts then is never too new."""
        return self._state.newest

    def counts(self) -> LabelCounts:
        """Return how much of the label set is judged."""
        return count_label_set(self._state.progress.values())

    def marks(self) -> list[StandingMark]:
        """Return every mark that stands, query by query."""
        marks = self._state.marks
        return [mark for query_id in sorted(marks) for mark in marks[query_id]]

    def marks_of(self, query_id: int) -> Sequence[StandingMark]:
        """Return every mark that stands for a query."""
        return self._state.marks.get(query_id, ())

    def hands_of(self, query_id: int) -> Set[Hand]:
        """Return who ever judged a query or settled something of it, also if all of that was taken back."""
        return self._state.hands.get(query_id, frozenset())

    def qrels(self) -> dict[int, Mapping[str, float]]:
        """Return what is agreed: query id -> document id -> grade; what is open or unjudged is absent."""
        return {query_id: grades for query_id, grades in self._state.qrels.items() if grades}

    def progress(self, author: str | None) -> dict[int, QueryStanding]:
        """Return how far each judged query is; `n_mine` counts what `author` said."""
        state = self._state
        return {
            query_id: replace(standing, n_mine=state.by_judge[query_id][author] if author else 0)
            for query_id, standing in state.progress.items()
        }

    def of_query(self, query_id: int, author: str | None) -> QueryStanding:
        """Return how far one query is."""
        state = self._state
        standing = state.progress.get(query_id, UNTOUCHED)
        return (
            replace(standing, n_mine=state.by_judge[query_id][author]) if author and standing != UNTOUCHED else standing
        )

    def conflicts(self) -> list[tuple[int, str]]:
        """Return (query id, document id) of what judges disagree about and no one has settled."""
        state = self._state
        concerned = sorted(query_id for query_id, each in state.progress.items() if each.n_conflicts)
        return conflicts(mark for query_id in concerned for mark in state.marks[query_id])


def _judges(marks: Sequence[StandingMark]) -> Counter[str]:
    return Counter(mark.author for mark in marks if mark.role is JudgmentRole.JUDGE)
