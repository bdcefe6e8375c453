"""Blind judging: what a person may see of what others say of a query. The one rule, for every screen and file.

The marks of other judges on a query (grades, names, notes, what was settled) are hidden from a person who may still
judge it: a person who could mark, and to whom the pool of the query still offers a document. A query without a pool
offers all of its documents to everybody. A visitor who is signed out counts as a person without marks, since signing in
would let them judge.

Imported marks, such as the references that the demo is measured by, are shown as long as the person has not begun the
query, and hidden from their first mark on until they have finished it. A mark that was taken back still counts as one
that was made, by the person as by others: taking marks back shows nothing.

Means over a label set, and training, use all marks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import storage.pools
from annotation.judging.view import setup_of
from annotation.labels.consensus import agreed_qrels
from annotation.labels.counts import offered_to
from annotation.people.permissions import is_alone
from annotation.workspace import Workspace
from storage.records import JudgmentRole, StandingMark


@dataclass(frozen=True, slots=True)
class Sight:
    """What one person may see of some queries of a label set.

    Attributes:
        author: the person; None for a visitor who has not signed in.
        hidden: the queries of which what others say stays hidden.
        begun: those of them that the person has begun, so that imported marks stay hidden, too.
    """

    author: str | None
    hidden: frozenset[int] = frozenset()
    begun: frozenset[int] = frozenset()

    def visible(self, query_id: int, marks: Iterable[StandingMark]) -> list[StandingMark]:
        """Return the marks of a query that the person may see."""
        if query_id not in self.hidden:
            return list(marks)
        with_references = query_id not in self.begun
        return [
            mark
            for mark in marks
            if (mark.role is JudgmentRole.JUDGE and mark.author == self.author)
            or (mark.role is JudgmentRole.REFERENCE and with_references)
        ]

    def grades(self, query_id: int, marks: Iterable[StandingMark]) -> Mapping[str, float]:
        """Return document id -> grade as the marks that the person may see agree on it."""
        return agreed_qrels(self.visible(query_id, marks)).get(query_id, {})


def sight_of(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, query_ids: Iterable[int]
) -> Sight:
    """Return what a person may see of these queries."""
    settings = workspace.settings
    if author is None and settings.oauth_client_id is None:
        return Sight(author)  # nobody can sign in here, so this visitor can never judge
    standings = workspace.standings(label_set_id)
    judged_by_others, begun_beside_imports = set(), set()
    begun = set()
    for query_id in set(query_ids):
        hands = standings.hands_of(query_id)
        # a person who is alone has brought in every file: what it says in the name of others is like references
        at_desk = [hand for hand in hands if not (hand.is_imported and is_alone(settings))]
        references = (mark for mark in standings.marks_of(query_id) if mark.role is JudgmentRole.REFERENCE)
        if any(hand.author == author and hand.role is JudgmentRole.JUDGE for hand in at_desk):
            begun.add(query_id)
            if len(at_desk) < len(hands) or any(references):
                begun_beside_imports.add(query_id)
        if any(hand.author != author for hand in at_desk):
            judged_by_others.add(query_id)
    concerned = judged_by_others | begun_beside_imports
    if not concerned:
        return Sight(author)
    setup = setup_of(workspace, collection_id)
    with workspace.reading() as session:
        pools = storage.pools.doc_ids_by_query(session, label_set_id, concerned)
    hidden = set()
    for query_id in concerned:
        marks = standings.marks_of(query_id)
        mine = {mark.doc_id for mark in marks if mark.author == author and mark.role is JudgmentRole.JUDGE}
        offered = offered_to(pools.get(query_id, ()), marks, author, setup.n_judges)
        is_without_pool = query_id not in pools and query_id in judged_by_others
        if is_without_pool or any(doc_id not in mine for doc_id in offered):
            hidden.add(query_id)
    return Sight(author, frozenset(hidden), frozenset(hidden & begun))


def hidden_queries(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, query_ids: Iterable[int]
) -> frozenset[int]:
    """Return those of these queries of which what others say stays hidden from a person."""
    return sight_of(workspace, author, collection_id, label_set_id, query_ids).hidden


def left_out(n: int) -> str:
    """Return in a sentence that queries are left out of something, and why."""
    queries, them = ("1 query", "it") if n == 1 else (f"{n:,} queries", "them")
    return f"Left out: {queries} that you may still judge; what others say of {them} stays hidden until you are done."
