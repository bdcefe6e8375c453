"""What stands in a label set: every author's marks, what they agree on, and how far each query is.

Kept in memory and brought up to date from the log of judgments, which only grows: a look costs what was judged since
the last one, however many judgments there are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from threading import Lock

from sqlalchemy.orm import Session

import storage.judgments
from annotation.labels.consensus import agreed_qrels, conflicts
from annotation.labels.counts import UNTOUCHED, LabelCounts, QueryStanding, count_label_set, standing_by_query
from storage.records import Hand, JudgmentRole, StandingMark


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
    """What stands in one label set; safe to use from several threads."""

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
        """Return (query id, document id) of what judges disagree about and nobody has settled."""
        state = self._state
        concerned = sorted(query_id for query_id, each in state.progress.items() if each.n_conflicts)
        return conflicts(mark for query_id in concerned for mark in state.marks[query_id])


def _judges(marks: Sequence[StandingMark]) -> Counter[str]:
    return Counter(mark.author for mark in marks if mark.role is JudgmentRole.JUDGE)
