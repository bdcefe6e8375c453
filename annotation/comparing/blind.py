"""Which of two rankings people prefer when they cannot see which is which.

The page is told two lists and a token. Which side is which follows from a key that lives as long as the process, so
neither lists nor token can tell it.
"""

import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import storage.comparisons
import storage.queries
from annotation.comparing.rank import rank_queries
from annotation.comparing.view import ComparisonView
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.queries import DEPTH, open_query
from annotation.ranking.rankers import RankingKey
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.evaluation.measures import depth_of
from era.evaluation.significance import PreferenceShare, preference_interval
from era.types import Document
from storage.records import NewPreference, PreferenceRecord, Preferred, QueryRecord, ShownLeft

Choice = Literal["left", "right", "tie", "neither"]

_KEY = secrets.token_bytes(32)
_AT_ONCE = 16  # queries ranked at once while looking for one whose lists differ


@dataclass(frozen=True, slots=True)
class BlindPair:
    """Two unnamed lists of the first ten documents of a query.

    Attributes:
        query: what was asked.
        left: one list, best first.
        right: the other.
        token: to be sent back with the answer.
        n_done: queries that this person has answered for this pair of rankings.
        n_left: queries not answered yet, this one included; those with equal lists are left out as they are met.
        n_equal: queries passed over because both rankings show the same first ten.
    """

    query: QueryRecord
    left: Sequence[Document]
    right: Sequence[Document]
    token: str
    n_done: int
    n_left: int
    n_equal: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How often each answer stands, of the first and the second side of a comparison."""

    first: int
    second: int
    tie: int
    neither: int

    @property
    def n(self) -> int:
        """Return the number of answers."""
        return self.first + self.second + self.tie + self.neither


@dataclass(frozen=True, slots=True)
class Preferences:
    """What people prefer.

    Attributes:
        tally: all answers that stand.
        by_query: how many queries went to which side, `tie` where as many answers are for either.
        share: of those queries, how many went to the second side.
        by_person: the same of each person, by name.
        records: the answers, oldest first.
    """

    tally: Tally
    by_query: Tally
    share: PreferenceShare
    by_person: Sequence[tuple[str, Tally]]
    records: Sequence[PreferenceRecord]


def next_pair(
    workspace: Workspace, author: str | None, view: ComparisonView, skip: Collection[int] = ()
) -> BlindPair | None:
    """Return the next two lists for a person, or None if there are none left.

    Compared are the first two sides. Everybody gets the queries in an order of their own.

    Args:
        workspace: of this process.
        author: who is to answer.
        view: the comparison.
        skip: ids of queries that the person has put off.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to say which ranking you prefer.")
    opened = workspace.open(view.collection_id)
    first, second = _pair(view)
    with workspace.reading() as session:
        queries = storage.queries.list_all(session, view.collection_id)
        answered = storage.comparisons.standing_preferences(session, view.label_set_id, first, second, author)
    done = {record.query_id for record in answered}
    todo = [query for query in queries if query.id not in done]
    for key in (key for key in (first, second) if key.stored_side):
        kept = rank_queries(workspace, opened, key, todo, depth_of(view.measures))
        todo = [query for query in todo if query.id in kept]
    waiting = [query for query in todo if query.id not in set(skip)]
    waiting.sort(key=lambda query: _digest("order", author, first, second, query.id))
    n_equal = 0
    for query, one, other in _ranked(workspace, opened, view, waiting):
        if one == other:
            n_equal += 1
            continue
        lists = [[opened.corpus[doc_id] for doc_id in ranking] for ranking in (one, other)]
        left, right = lists if _first_is_left(author, view, query.id) else reversed(lists)
        token = _token(author, view, query.id)
        return BlindPair(query, left, right, token, len(done), len(todo) - n_equal, n_equal)
    return None


def _ranked(
    workspace: Workspace, opened: OpenCollection, view: ComparisonView, queries: Sequence[QueryRecord]
) -> Iterator[tuple[QueryRecord, list[str], list[str]]]:
    """Yield the first ten of both rankings, first before second; what a stored side never ranked is left out.

    A query that a run learned from is always ranked by a version that has not seen it: a preference lasts longer than
    a switch of the screen.
    """
    keys, depth = _pair(view), depth_of(view.measures)
    for start in range(0, len(queries), _AT_ONCE):
        some = queries[start : start + _AT_ONCE]
        one, other = (rank_queries(workspace, opened, key, some, depth) for key in keys)
        for query in some:
            if query.id in one and query.id in other:
                tops = [[doc.doc_id for doc in each[query.id].ranking[:DEPTH]] for each in (one, other)]
                yield query, tops[0], tops[1]


def prefer(
    workspace: Workspace,
    author: str | None,
    view: ComparisonView,
    token: str,
    choice: str,
    seconds: float | None = None,
) -> PreferenceRecord:
    """Store an answer; a later one of the same person to the same query takes its place.

    No one is told afterwards which ranking it was, so that no answer is given anew with that in mind.

    Args:
        workspace: of this process.
        author: who answers.
        view: the comparison that the lists were laid out for.
        token: of the lists.
        choice: `left`, `right`, `tie` or `neither`.
        seconds: how long the lists were looked at.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        InvalidInputError: if the token is of another person, comparison or process, or the choice is none of these.
        NotFoundError: if the query does not exist.
    """
    if author is None:
        raise NotAllowedError("Sign in to say which ranking you prefer.")
    if choice not in get_args(Choice):
        raise InvalidInputError("Choose the left list, the right one, both alike, or neither.")
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise InvalidInputError("The time that an answer took has to be a number of seconds.")
    query_id = _read_token(author, view, token)
    query = open_query(workspace, view.collection_id, query_id)
    first, second = _pair(view)
    left, right = (first, second) if _first_is_left(author, view, query.id) else (second, first)
    chosen = {"left": left, "right": right}.get(choice)
    preferred = Preferred(choice) if chosen is None else Preferred.FIRST if chosen == first else Preferred.SECOND
    shown = ShownLeft.FIRST if left == first else ShownLeft.SECOND
    new = NewPreference(view.label_set_id, query.id, author, first, second, preferred, shown, seconds)
    with workspace.writing() as session:
        return storage.comparisons.append_preference(session, new)


def preferences(workspace: Workspace, view: ComparisonView) -> Preferences:
    """Return what people prefer of the first two sides."""
    first, second = _pair(view)
    with workspace.reading() as session:
        records = storage.comparisons.standing_preferences(session, view.label_set_id, first, second)
    is_swapped = view.sides[0] != first
    tally = _tally(records, is_swapped)
    people = sorted({record.author for record in records}, key=str.casefold)
    by_person = [(name, _tally([r for r in records if r.author == name], is_swapped)) for name in people]
    by_query = _by_query(records, is_swapped)
    share = preference_interval(by_query.second, by_query.first, by_query.tie)
    return Preferences(tally, by_query, share, by_person, records)


def _tally(records: Sequence[PreferenceRecord], is_swapped: bool) -> Tally:
    counts = Counter(record.preferred for record in records)
    first, second = counts[Preferred.FIRST], counts[Preferred.SECOND]
    if is_swapped:
        first, second = second, first
    return Tally(first, second, counts[Preferred.TIE], counts[Preferred.NEITHER])


def _by_query(records: Sequence[PreferenceRecord], is_swapped: bool) -> Tally:
    """Return how many queries went to which side: people who see the same two lists are no independent cases."""
    leads: Counter[int] = Counter()
    for record in records:
        leads[record.query_id] += {Preferred.FIRST: -1, Preferred.SECOND: 1}.get(record.preferred, 0)
    n_second, n_first = sum(lead > 0 for lead in leads.values()), sum(lead < 0 for lead in leads.values())
    if is_swapped:
        n_first, n_second = n_second, n_first
    return Tally(n_first, n_second, len(leads) - n_first - n_second, 0)


def _pair(view: ComparisonView) -> tuple[RankingKey, RankingKey]:
    """Return the two keys in the order they are stored in, so that exchanging the sides finds the same answers."""
    first, second = sorted(view.sides[:2])
    return first, second


def _first_is_left(author: str, view: ComparisonView, query_id: int) -> bool:
    return _digest("order of lists", author, view.label_set_id, *_pair(view), query_id, key=_KEY)[0] % 2 == 0


def _token(author: str, view: ComparisonView, query_id: int) -> str:
    signature = _digest("token", author, view.label_set_id, *_pair(view), query_id, key=_KEY)
    return f"{query_id}.{signature.hex()}"


def _read_token(author: str, view: ComparisonView, token: str) -> int:
    digits = token.partition(".")[0]
    query_id = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else 0
    if not hmac.compare_digest(token.encode(errors="replace"), _token(author, view, query_id).encode()):
        raise InvalidInputError("These lists were laid out before the app was started anew. Look at the next pair.")
    return query_id


def _digest(*parts: str | int, key: bytes = b"everybody") -> bytes:
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).digest()
