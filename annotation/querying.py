"""The queries of a collection as a judge sees them: what is done, what the query needs, and many queries at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import storage.pools
import storage.queries
from annotation.consensus import QueryStanding
from annotation.desk import is_finished, offered_to, setup_of
from annotation.errors import CollectionFileError, NotAllowedError
from annotation.opening import OpenPage, QueryProgress, list_queries
from annotation.query_files import ImportedQuery, read_queries
from annotation.searching import clean_text, open_query
from annotation.workspace import Workspace
from storage.records import JudgmentRole, QueryRecord, StandingMark


@dataclass(frozen=True, slots=True)
class QueryLine:
    """One line of the query list.

    Attributes:
        progress: the query and how far its judging is.
        is_own: whether the person who looks wrote it.
        is_done: whether this person has judged all there is to judge for it.
        has_nothing_left: whether others have judged all of its documents, so that this person is offered none.
    """

    progress: QueryProgress
    is_own: bool
    is_done: bool
    has_nothing_left: bool


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What a file of queries would bring, or has brought."""

    new: Sequence[ImportedQuery]
    n_known: int


def list_lines(workspace: Workspace, page: OpenPage, author: str | None) -> list[QueryLine]:
    """Return the query list for one person."""
    standings = workspace.standings(page.label_set.id)
    setup = setup_of(workspace, page.collection.id)
    with workspace.reading() as session:
        pools = storage.pools.doc_ids_by_query(session, page.label_set.id)
    lines = []
    for progress in list_queries(workspace, page, author):
        query, is_done, has_nothing_left = progress.query, False, False
        pool, n_judged = pools.get(query.id, ()), progress.standing.n_judged
        if progress.standing.n_mine or (pool and n_judged >= len(pool)):  # else something is left, whoever looks
            marks = standings.marks_of(query.id)
            offered = offered_to(pool, marks, author, setup)
            is_done = is_finished(pool, offered, marks, author)
            has_nothing_left = bool(pool) and not offered
            progress = QueryProgress(query, as_seen_by(progress.standing, marks, author, is_done))
        lines.append(QueryLine(progress, author is not None and query.author == author, is_done, has_nothing_left))
    return lines


def as_seen_by(
    standing: QueryStanding, marks: Iterable[StandingMark], author: str | None, is_done: bool
) -> QueryStanding:
    """Return a query's progress without what would tell a person at work what the others think of a document.

    Who has begun a query and is not done with it sees the own relevant documents, and no disagreement.
    """
    if is_done or not standing.n_mine:
        return standing
    mine = [mark.grade for mark in marks if mark.author == author and mark.role is JudgmentRole.JUDGE]
    n_relevant = sum(grade is not None and grade > 0 for grade in mine)
    n_not_relevant = sum(grade == 0 for grade in mine)
    return replace(standing, n_relevant=n_relevant, n_not_relevant=n_not_relevant, n_conflicts=0)


def set_need(workspace: Workspace, author: str | None, collection_id: int, query_id: int, need: str) -> QueryRecord:
    """Keep what would meet a query, in Markdown.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        NotFoundError: if the collection has no such query.
        InvalidInputError: if the text is too long.
    """
    if author is None:
        raise NotAllowedError("Sign in to describe what a query needs.")
    need = clean_text(need, "information need")
    open_query(workspace, collection_id, query_id)
    with workspace.writing() as session:
        return storage.queries.set_need(session, query_id, need)


def look_through(workspace: Workspace, collection_id: int, file_name: str, content: bytes) -> ImportOutcome:
    """Return what a file of queries would bring; nothing is stored.

    Raises:
        CollectionFileError: if it cannot be read, or another query has one of its ids; the message says where.
    """
    found = read_queries(file_name, content)
    with workspace.reading() as session:
        stored = storage.queries.list_all(session, collection_id)
    known = {(query.text, query.instruction) for query in stored}
    new = [query for query in found if (query.text, query.instruction) not in known]
    taken = {query.public_id for query in stored} & {query.query_id for query in new if query.query_id}
    if taken:
        raise CollectionFileError(
            f"{file_name}: the id {min(map(str, taken))!r} belongs to another query of this collection"
            f"{f' (and {len(taken) - 1} more ids do)' if len(taken) > 1 else ''}. Give it another id, or none."
        )
    return ImportOutcome(new, len(found) - len(new))


def import_queries(
    workspace: Workspace, author: str | None, collection_id: int, file_name: str, content: bytes
) -> ImportOutcome:
    """Store the queries of a file that the collection does not have yet, all of them or none.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        CollectionFileError: if it cannot be read; the message names the lines.
    """
    if author is None:
        raise NotAllowedError("Sign in to import queries.")
    outcome = look_through(workspace, collection_id, file_name, content)
    with workspace.writing() as session:
        for query in outcome.new:
            storage.queries.get_or_create(
                session, collection_id, query.text, query.instruction, author, query.query_id, query.need
            )
    return outcome
