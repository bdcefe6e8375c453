"""The queries of a collection as a judge sees them: what is done, what the query needs, and many queries at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import storage.pools
import storage.queries
from annotation.desk import is_finished, offered_to, setup_of
from annotation.errors import NotAllowedError
from annotation.opening import OpenPage, QueryProgress, list_queries
from annotation.query_files import ImportedQuery, read_queries
from annotation.searching import clean_text, open_query
from annotation.workspace import Workspace
from storage.records import QueryRecord


@dataclass(frozen=True, slots=True)
class QueryLine:
    """One line of the query list.

    Attributes:
        progress: the query and how far its judging is.
        is_own: whether the person who looks wrote it.
        is_done: whether this person has judged all there is to judge for it.
    """

    progress: QueryProgress
    is_own: bool
    is_done: bool


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
        pools = storage.pools.list_all(session, page.label_set.id)
    lines = []
    for progress in list_queries(workspace, page, author):
        query, is_done = progress.query, False
        if progress.standing.n_mine:
            marks = standings.marks_of(query.id)
            is_done = is_finished(offered_to(pools.get(query.id, ()), marks, author, setup), marks, author)
        lines.append(QueryLine(progress, author is not None and query.author == author, is_done))
    return lines


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
        CollectionFileError: if it cannot be read; the message names the lines.
    """
    found = read_queries(file_name, content)
    with workspace.reading() as session:
        known = {(query.text, query.instruction) for query in storage.queries.list_all(session, collection_id)}
    new = [query for query in found if (query.text, query.instruction) not in known]
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
