"""Queries: asked (search by text under an instruction), listed with how far each is, named in files, and imported.

What was shown is remembered with who asked. Which of a query's documents are judged is in `annotation.judging.pool`.
"""

import hashlib
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePath

from sqlalchemy.orm import Session

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.collections.page import OpenPage, QueryProgress, find_page, queries_in
from annotation.errors import CollectionFileError, InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.setup import Place, Sight, clean_text, desk_setup, place_of, sight_among
from annotation.labels.current import QueryStanding, QueryState, is_finished, offered_to, state_of
from annotation.people.permissions import require, why_not_describe
from annotation.ranking.rankers import LIGHT, RankingKey, retriever
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.errors import FormatError
from era.io.content import SourceQuery
from era.io.queries import QueriesRead, all_problems, read_queries
from era.retriever import Retriever
from era.types import Document, Query
from storage.errors import DatabaseBusy, DatabaseDamaged, DataFolderNotWritable, UnknownRecord
from storage.records import JudgmentRecord, PoolDocument, PoolDraw, QueryRecord, StandingMark

logger = logging.getLogger(__name__)

DEPTH = 10
MAX_BYTES = 5_000_000
MAX_QUERIES = 5_000
MAX_ID_CHARACTERS = 200
NOT_STORED = 0
CANNOT_WRITE_NOW = (DatabaseBusy, DatabaseDamaged, DataFolderNotWritable)
"""What passes: the database is locked by somebody else, or the disk is full."""

NOT_STORED_REMARK = (
    "This query could not be stored just now, because the disk is full or the database busy; searching works all the "
    "same. To mark its documents, press Search again in a while."
)
_PREFIX = "text-"  # of the names of queries that have no id of their own


@dataclass(frozen=True, slots=True)
class OpenQuery:
    """A query as one person finds it in a label set, as one reading session saw it.

    Attributes:
        place: where, and for whom.
        query: which one; its id is `NOT_STORED` as long as it is a draft, to be stored with what is shown for it, or
            as long as it cannot or may not be stored (then it has no author).
        pool: the documents to judge; empty before the query was opened for the first time.
        draws: how they were drawn.
        standing: every mark that stands.
        marks: those that this person may read, in full.
        history: every event of this person's.
    """

    place: Place
    query: QueryRecord
    pool: Sequence[PoolDocument] = ()
    draws: Sequence[PoolDraw] = ()
    standing: Sequence[StandingMark] = ()
    marks: Sequence[JudgmentRecord] = ()
    history: Sequence[JudgmentRecord] = ()

    @property
    def offered(self) -> list[str]:
        """Return the documents of the pool that this person is to judge."""
        pool = [each.doc_id for each in self.pool]
        return offered_to(pool, self.standing, self.place.author, self.place.setup.n_judges)

    @property
    def has_finished(self) -> bool:
        """Return whether the person has judged everything that is there to judge."""
        return is_finished([each.doc_id for each in self.pool], self.offered, self.standing, self.place.author)


def look_for(
    workspace: Workspace,
    author: str | None,
    collection_id: int | None,
    label_set_id: int | None,
    text: str,
    instruction: str,
) -> OpenQuery:
    """Return the query of this text under this instruction, a draft if it is new; one reading session, no writing.

    Raises:
        InvalidInputError: if the text is empty or anything is too long.
        NotFoundError: if collection or label set are not there any more.
    """
    text, instruction = clean_text(text, "query"), clean_text(instruction, "instruction")
    if not text:
        raise InvalidInputError("Write what you are looking for, then press Search.")
    with workspace.reading() as session:
        place = place_of(session, author, find_page(session, collection_id, label_set_id))
        wanted = place.page.as_asked().collection.id
        known = storage.queries.find(session, wanted, text, instruction)
        if known is not None:
            return _read(workspace, session, place, known)
    draft = QueryRecord(NOT_STORED, wanted, None, text, 0, instruction, "", author or "", datetime.now(UTC))
    return OpenQuery(place, draft)


def open_in(
    workspace: Workspace, author: str | None, collection_id: int | None, label_set_id: int | None, query_id: int
) -> OpenQuery:
    """Return a stored query at a place; one reading session.

    Raises:
        NotFoundError: if the collection has none of that id.
    """
    with workspace.reading() as session:
        place = place_of(session, author, find_page(session, collection_id, label_set_id))
        return _read(workspace, session, place, _stored_query(session, place.page.collection.id, query_id))


def ask(workspace: Workspace, author: str | None, collection_id: int, text: str, instruction: str) -> QueryRecord:
    """Return the query of this text under this instruction, stored if it is new and may be; as `look_for`."""
    return remember(workspace, look_for(workspace, author, collection_id, None, text, instruction).query)


def look_at(workspace: Workspace, place: Place, query: QueryRecord) -> OpenQuery:
    """Return a query at a place that was read before."""
    with workspace.reading() as session:
        return _read(workspace, session, place, query)


def _read(workspace: Workspace, session: Session, place: Place, query: QueryRecord) -> OpenQuery:
    label_set_id, author = place.page.label_set.id, place.author
    pool = storage.label_sets.pool_of(session, label_set_id, query.id)
    draws = storage.label_sets.draws(session, label_set_id, [query.id]).get(query.id, [])
    standing = workspace.standings_in(session, label_set_id).marks_of(query.id)
    found = OpenQuery(place, query, pool, draws, standing)
    whose = None if found.has_finished or not pool else author or ""  # what no one else may see yet need not be read
    marks = storage.judgments.current_for_query(session, label_set_id, query.id, whose)
    return replace(found, marks=marks, history=storage.judgments.history(session, label_set_id, query.id, author or ""))


@contextmanager
def storing_drafts(workspace: Workspace, query: QueryRecord) -> Iterator[None]:
    """Store a draft also if what is inside fails: it is in the list then, to be opened once that works."""
    try:
        yield
    except Exception:
        if query.id == NOT_STORED:
            remember(workspace, query)
        raise


def remember(
    workspace: Workspace, query: QueryRecord, write: Callable[[Session, int], object] | None = None
) -> QueryRecord:
    """Store a draft, and what belongs to the query of an id, in one transaction; return the query as it is stored.

    Nothing is stored for a visitor's query, which has no author, nor while the disk is full or the database locked:
    searching only reads. What was a draft is returned without an author then.
    """
    if query.id == NOT_STORED and not query.author:
        return query
    try:
        with workspace.writing() as session:
            stored = query
            if query.id == NOT_STORED:
                asked = query.text, query.instruction, query.author
                stored = storage.queries.get_or_create(session, query.collection_id, *asked)
            if write is not None:
                write(session, stored.id)
        return stored
    except CANNOT_WRITE_NOW as error:
        logger.warning("A query, or what was shown for it, is not stored: %s", error)
        return replace(query, author="") if query.id == NOT_STORED else query


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


@dataclass(frozen=True, slots=True)
class Found:
    """A ranking of document ids with scores, best first, how long the search took, and the query as it is stored."""

    query: QueryRecord
    ranking: list[tuple[str, float]]
    took_ms: float


def run_query(
    workspace: Workspace,
    author: str | None,
    query: QueryRecord,
    ranker: RankingKey,
    phrase: str = "",
    depth: int = DEPTH,
) -> Found:
    """Search for a query and remember what was shown, a draft of a query too.

    Args:
        workspace: of this process.
        author: who asks; None stores nothing.
        query: what is asked.
        ranker: key of the ranking to use.
        phrase: words that a document has to contain, in this order; empty for none.
        depth: how many documents to return.

    Raises:
        NotReadyError: if the embedders are still being loaded.
        NotFoundError: if there is no such ranker.
    """
    opened = workspace.open(query.collection_id)
    chosen, _ = retriever(workspace, opened, ranker)
    started = time.perf_counter()
    asked = Query(str(query.id), query.text, query.instruction)
    if phrase.strip():
        ranking = _rank_containing(opened, chosen, asked, phrase, depth)
    else:
        ranking = [(doc.doc_id, doc.score) for doc in chosen.search(asked, depth)]
    took_ms = (time.perf_counter() - started) * 1000

    def record(session: Session, query_id: int) -> None:
        storage.queries.record_search(
            session,
            query_id=query_id,
            author=author or "",
            retriever=ranker,
            depth=depth,
            took_ms=took_ms,
            ranking=ranking,
        )

    return Found(query if author is None else remember(workspace, query, record), ranking, took_ms)


def shown_last(workspace: Workspace, query: QueryRecord) -> tuple[str, list[tuple[str, float]]]:
    """Return the ranker and the ranking that were shown last for a query; empty before the first."""
    with workspace.reading() as session:
        latest = storage.queries.latest_search(session, query.id)
    return (latest.retriever, list(latest.ranking)) if latest else (LIGHT, [])


def find_documents(workspace: Workspace, collection_id: int, doc_ids: Iterable[str]) -> dict[str, Document]:
    """Return the documents that are still there, by id in the order asked for; embedders need not be loaded."""
    opened = workspace.opened(collection_id)
    if opened is not None:
        return {doc_id: opened.corpus[doc_id] for doc_id in doc_ids if doc_id in opened.corpus}
    with workspace.reading() as session:
        found = storage.documents.get_many(session, collection_id, doc_ids)
    return {doc_id: Document(row.doc_id, row.title, row.text) for doc_id, row in found.items()}


def open_query(workspace: Workspace, collection_id: int, query_id: int) -> QueryRecord:
    """Return a stored query of this collection.

    Raises:
        NotFoundError: if it has none of that id.
    """
    with workspace.reading() as session:
        return _stored_query(session, collection_id, query_id)


def _stored_query(session: Session, collection_id: int, query_id: int) -> QueryRecord:
    try:
        query = storage.queries.get(session, query_id)
    except UnknownRecord:
        query = None
    if query is None or query.collection_id != collection_id:
        raise NotFoundError(
            "This query does not exist in this collection. Choose one from the list, or write a new one."
        )
    return query


def list_lines(workspace: Workspace, page: OpenPage, author: str | None) -> list[QueryLine]:
    """Return the query list for one person."""
    return list_as_of(workspace, page, author)[0]


def list_as_of(workspace: Workspace, page: OpenPage, author: str | None) -> tuple[list[QueryLine], int]:
    """Return the query list for one person, and the id of the newest event that it counts for certain."""
    setup = desk_setup(page.collection.desk)
    with workspace.reading() as session:
        standings = workspace.standings_in(session, page.label_set.id)
        as_of = standings.as_of
        pools = storage.label_sets.pooled_ids(session, page.label_set.id)
        listed = queries_in(session, standings, page, author)
    sight = sight_among(workspace.settings, author, setup, standings, pools, [each.query.id for each in listed])
    lines = []
    for progress in listed:
        query, standing = progress.query, progress.standing
        marks, pool = standings.marks_of(query.id), pools.get(query.id, ())
        state: QueryState = "open"
        if standing.n_mine or (pool and standing.n_graded >= len(pool)):  # else something is left for every person
            state = state_of(pool, offered_to(pool, marks, author, setup.n_judges), marks, author)
        progress = QueryProgress(query, as_seen_by(sight, standing, query.id, marks))
        lines.append(QueryLine(progress, author is not None and query.author == author, state))
    return lines, as_of


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
        NotAllowedError: if no one is signed in where that is needed.
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


def query_hash(query: QueryRecord) -> str:
    """Return the SHA-256 of a query's text and instruction, as 64 hexadecimal digits.

    Its number alone does not tell: another database may have given it to another query.
    """
    return hashlib.sha256(
        f"{len(query.text)}:{query.text}{query.instruction}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def query_names(queries: Sequence[QueryRecord]) -> dict[int, str]:
    """Return the name of each query by id: its id in the imported file, else one made of text and instruction.

    Args:
        queries: all queries of a collection; a public id that several of them have names none of them.
    """
    n_uses = Counter(query.public_id for query in queries if query.public_id)
    return {
        query.id: query.public_id
        if query.public_id and n_uses[query.public_id] == 1
        else name_of_text(query.text, query.instruction)
        for query in queries
    }


def name_of_text(text: str, instruction: str) -> str:
    """Return what a query without an id of its own is called; the same everywhere for the same words."""
    written = f"{len(text)} {text}{instruction}".encode("utf-8", "surrogatepass")
    return f"{_PREFIX}{hashlib.sha256(written).hexdigest()[:16]}"


def _rank_containing(
    opened: OpenCollection, chosen: Retriever, query: Query, phrase: str, depth: int
) -> list[tuple[str, float]]:
    """Return the best of the documents that contain a phrase; case, line breaks and runs of blanks do not count."""
    wanted = " ".join(phrase.casefold().split())
    [ranking] = chosen.rank([query], chosen.query_vectors([query]), len(opened.corpus))
    containing = (
        (doc.doc_id, doc.score)
        for doc in ranking
        if wanted in " ".join(opened.corpus[doc.doc_id].content.casefold().split())
    )
    return list(islice(containing, depth))
