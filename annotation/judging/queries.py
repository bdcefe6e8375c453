"""The queries of a collection as a judge sees them: what is done, what the query needs, and many queries at once."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import storage.collections
import storage.pools
import storage.queries
from annotation.collections.page import OpenPage, QueryProgress, list_queries
from annotation.errors import CollectionFileError, InvalidInputError, NotAllowedError
from annotation.judging.search import clean_text, open_query
from annotation.judging.view import setup_of
from annotation.judging.visibility import Sight, sight_of
from annotation.labels.counts import QueryStanding, QueryState, offered_to, state_of
from annotation.people.permissions import require, why_not_describe
from annotation.workspace import Workspace
from era.errors import FormatError
from era.io.content import SourceQuery
from era.io.queries import QueriesRead, all_problems, read_queries
from era.types import Query
from storage.records import QueryRecord, StandingMark

MAX_BYTES = 5_000_000
MAX_QUERIES = 5_000
MAX_ID_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class QueryLine:
    """One line of the query list.

    Attributes:
        progress: the query and how far its judging is.
        is_own: whether the person who looks wrote it.
        state: how far it is for this person.
    """

    progress: QueryProgress
    is_own: bool
    state: QueryState


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What a file of queries would bring, or has brought; `remarks` say in sentences how it was read."""

    new: Sequence[SourceQuery]
    n_known: int
    remarks: Sequence[str]


def list_lines(workspace: Workspace, page: OpenPage, author: str | None) -> list[QueryLine]:
    """Return the query list for one person."""
    standings = workspace.standings(page.label_set.id)
    setup = setup_of(workspace, page.collection.id)
    with workspace.reading() as session:
        pools = storage.pools.doc_ids_by_query(session, page.label_set.id)
    listed = list_queries(workspace, page, author)
    sight = sight_of(workspace, author, page.collection.id, page.label_set.id, [each.query.id for each in listed])
    lines = []
    state: QueryState
    for progress in listed:
        query, standing = progress.query, progress.standing
        marks, pool, state = standings.marks_of(query.id), pools.get(query.id, ()), "open"
        if standing.n_mine or (pool and standing.n_graded >= len(pool)):  # else something is left, whoever looks
            state = state_of(pool, offered_to(pool, marks, author, setup.n_judges), marks, author)
        progress = QueryProgress(query, as_seen_by(sight, standing, query.id, marks))
        lines.append(QueryLine(progress, author is not None and query.author == author, state))
    return lines


def progress_of(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, query_id: int
) -> tuple[QueryStanding, QueryState]:
    """Return how far one query is for one person, as its line of the query list says it."""
    standings, setup = workspace.standings(label_set_id), setup_of(workspace, collection_id)
    with workspace.reading() as session:
        pool = [each.doc_id for each in storage.pools.list_for(session, label_set_id, query_id)]
    marks = standings.marks_of(query_id)
    state = state_of(pool, offered_to(pool, marks, author, setup.n_judges), marks, author)
    sight = sight_of(workspace, author, collection_id, label_set_id, [query_id])
    return as_seen_by(sight, standings.of_query(query_id, author), query_id, marks), state


def as_seen_by(sight: Sight, standing: QueryStanding, query_id: int, marks: Iterable[StandingMark]) -> QueryStanding:
    """Return a query's progress without what would tell what others think of a document, where that stays hidden."""
    if query_id not in sight.hidden:
        return standing
    grades = sight.grades(query_id, marks).values()
    n_relevant, n_not_relevant = sum(grade > 0 for grade in grades), sum(grade == 0 for grade in grades)
    return replace(standing, n_relevant=n_relevant, n_not_relevant=n_not_relevant, n_undecided=0, n_conflicts=0)


def set_need(workspace: Workspace, author: str | None, collection_id: int, query_id: int, need: str) -> QueryRecord:
    """Keep what would meet a query, in Markdown.

    Raises:
        NotAllowedError: if it is neither the person's own query nor their collection to change.
        NotFoundError: if the collection has no such query.
        InvalidInputError: if the text is too long.
    """
    need = clean_text(need, "information need")
    query = open_query(workspace, collection_id, query_id)
    with workspace.writing() as session:
        require(why_not_describe(workspace.settings, author, storage.collections.get(session, collection_id), query))
        return storage.queries.set_need(session, query_id, need)


def look_through(
    workspace: Workspace, author: str | None, collection_id: int, file_name: str, content: bytes
) -> ImportOutcome:
    """Return what a file of queries would bring; nothing is stored.

    Raises:
        FormatError: if it cannot be read; the message names all that is wrong with it.
        CollectionFileError: if it is too large, or another query has one of its ids.
        InvalidInputError: if this person's other files are being read.
    """
    name = PurePath(file_name).name[:100] or "The file"
    if len(content) > MAX_BYTES:
        raise CollectionFileError(
            f"{name} has {len(content) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB can be read. Split the file."
        )
    with tempfile.TemporaryDirectory(prefix="era-queries-") as folder:
        path = Path(folder, "queries")
        path.write_bytes(content)
        read = workspace.reading_places.call(author, "", name, read_queries, path, name)
    found = _cleaned(read)
    with workspace.reading() as session:
        stored = storage.queries.list_all(session, collection_id)
    known = {(query.text, query.instruction) for query in stored}
    new = [each for each in found if (each.query.text, each.query.instruction) not in known]
    taken = {query.public_id for query in stored} & {each.query.query_id for each in new if each.query.query_id}
    if taken:
        raise CollectionFileError(
            f"{name}: the id {min(map(str, taken))!r} belongs to another query of this collection"
            f"{f' (and {len(taken) - 1} more ids do)' if len(taken) > 1 else ''}. Give it another id, or none."
        )
    return ImportOutcome(new, len(found) - len(new), read.remarks)


def import_queries(
    workspace: Workspace, author: str | None, collection_id: int, file_name: str, content: bytes
) -> ImportOutcome:
    """Store the queries of a file that the collection does not have yet, all of them or none.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        FormatError: as `look_through`, and so are the others.
    """
    if author is None:
        raise NotAllowedError("Sign in to import queries.")
    outcome = look_through(workspace, author, collection_id, file_name, content)
    with workspace.writing() as session:
        for each in outcome.new:
            query = each.query
            storage.queries.get_or_create(
                session, collection_id, query.text, query.instruction, author, query.query_id or None, each.need
            )
    return outcome


def _cleaned(read: QueriesRead) -> list[SourceQuery]:
    """Return queries as they are stored: within bounds, and each text with its instruction once.

    Raises:
        FormatError: naming all that is out of bounds.
    """
    problems: list[FormatError] = []
    kept: dict[tuple[str, str], SourceQuery] = {}
    for place, each in read.queries:
        query_id, written = each.query.query_id, each.query
        try:
            text, instruction = clean_text(written.text, "query"), clean_text(written.instruction, "instruction")
            need = clean_text(each.need, "information need")
        except InvalidInputError as error:
            problems.append(place.error(str(error)))
            continue
        if len(query_id) > MAX_ID_CHARACTERS:
            problems.append(place.error(f"the id is longer than {MAX_ID_CHARACTERS} characters. Shorten it."))
        elif text:
            known = kept.setdefault((text, instruction), SourceQuery(Query(query_id, text, instruction), need))
            kept[text, instruction] = replace(known, need=known.need or need)
        if len(kept) > MAX_QUERIES:
            problems.append(place.error(f"there are more than {MAX_QUERIES:,} queries. Split the file."))
            break
    if problems:
        raise all_problems(problems)
    return list(kept.values())
