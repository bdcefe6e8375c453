"""What stands in a label set: every author's marks, what they agree on, and how far each query is.

Kept in memory and brought up to date from the log of judgments, which only grows: a look costs what was judged since
the last one, however many judgments there are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock

from sqlalchemy.orm import Session

import storage.judgments
from annotation.consensus import QueryStanding, agreed_qrels, conflicts, standing_by_query
from storage.records import JudgmentRole, StandingMark

UNTOUCHED = QueryStanding(n_judged=0, n_relevant=0, n_not_relevant=0, n_conflicts=0, n_mine=0, n_people=0)


class Standings:
    """What stands in one label set; safe to use from several threads."""

    def __init__(self, label_set_id: int) -> None:
        self._label_set_id = label_set_id
        self._newest = 0
        self._marks: dict[int, Sequence[StandingMark]] = {}
        self._qrels: dict[int, Mapping[str, float]] = {}
        self._progress: dict[int, QueryStanding] = {}
        self._by_judge: dict[int, Counter[str]] = {}
        self._lock = Lock()

    def refresh(self, session: Session) -> None:
        """Read what was judged since the last time."""
        with self._lock:
            newest = storage.judgments.newest_event_id(session)
            if newest == self._newest:
                return
            changed: set[int] | None = None
            if self._newest:
                changed = storage.judgments.changed_since(session, self._label_set_id, self._newest)
            marks = storage.judgments.standing(session, self._label_set_id, changed)
            by_query: dict[int, list[StandingMark]] = {query_id: [] for query_id in changed or ()}
            for mark in marks:
                by_query.setdefault(mark.query_id, []).append(mark)
            qrels, progress = agreed_qrels(marks), standing_by_query(marks, None)
            for query_id, of_query in by_query.items():
                self._marks[query_id] = of_query
                self._qrels[query_id] = qrels.get(query_id, {})
                self._progress[query_id] = progress.get(query_id, UNTOUCHED)
                self._by_judge[query_id] = Counter(m.author for m in of_query if m.role is JudgmentRole.JUDGE)
            self._newest = newest

    def marks(self) -> list[StandingMark]:
        """Return every mark that stands, query by query."""
        return [mark for query_id in sorted(self._marks) for mark in self._marks[query_id]]

    def marks_of(self, query_id: int) -> Sequence[StandingMark]:
        """Return every mark that stands for a query."""
        return self._marks.get(query_id, ())

    def qrels(self) -> dict[int, Mapping[str, float]]:
        """Return what is agreed: query id -> document id -> grade; what is open or unjudged is absent."""
        return {query_id: grades for query_id, grades in self._qrels.items() if grades}

    def progress(self, author: str | None) -> dict[int, QueryStanding]:
        """Return how far each judged query is; `n_mine` counts what `author` said."""
        return {
            query_id: replace(standing, n_mine=self._by_judge[query_id][author] if author else 0)
            for query_id, standing in self._progress.items()
        }

    def of_query(self, query_id: int, author: str | None) -> QueryStanding:
        """Return how far one query is."""
        standing = self._progress.get(query_id, UNTOUCHED)
        return replace(standing, n_mine=self._by_judge.get(query_id, Counter())[author]) if author else standing

    def conflicts(self) -> list[tuple[int, str]]:
        """Return (query id, document id) of what judges disagree about and nobody has settled."""
        concerned = sorted(query_id for query_id, each in self._progress.items() if each.n_conflicts)
        return conflicts(mark for query_id in concerned for mark in self.marks_of(query_id))
