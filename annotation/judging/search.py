"""Run an instruction query and remember what was shown."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import storage.documents
import storage.queries
import storage.searches
import storage.training_runs
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.typed_text import clean_text as clean_text
from annotation.ranking.rankers import retriever
from annotation.retrieval.open_collection import OpenCollection
from annotation.retrieval.ranking import LIGHT
from annotation.workspace import Workspace
from era.retriever import Retriever
from era.types import Document, Query
from storage.errors import DatabaseBusy, DatabaseDamaged, DataFolderNotWritable, UnknownRecord
from storage.records import QueryRecord

logger = logging.getLogger(__name__)

DEPTH = 10
NOT_STORED = 0
CANNOT_WRITE_NOW = (DatabaseBusy, DatabaseDamaged, DataFolderNotWritable)
"""What passes: the database is locked by somebody else, or the disk is full."""

NOT_STORED_REMARK = (
    "This query could not be stored just now, because the disk is full or the database busy; searching works all the "
    "same. To mark its documents, press Search again in a while."
)


@dataclass(frozen=True, slots=True)
class Result:
    """One document of a shown ranking; `rank` counts from 1, `score` is as in `era.types.ScoredDoc`."""

    rank: int
    doc_id: str
    title: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Found:
    """A ranking of document ids with scores, best first, and how long the search took."""

    ranking: list[tuple[str, float]]
    took_ms: float


def ask(
    workspace: Workspace, author: str | None, collection_id: int, text: str, instruction: str, need: str = ""
) -> QueryRecord:
    """Return the query of this text under this instruction, stored if it is new.

    A visitor who may not write gets a query that is not stored, and so does everybody while the disk is full or the
    database locked: searching only reads. Its id is `NOT_STORED`.

    Raises:
        InvalidInputError: if the text is empty or anything is too long.
    """
    text, instruction = clean_text(text, "query"), clean_text(instruction, "instruction")
    need = clean_text(need, "information need")
    if not text:
        raise InvalidInputError("Write what you are looking for, then press Search.")
    with workspace.reading() as session:
        known = storage.queries.find(session, collection_id, text, instruction)
    if known is not None:
        return known
    if author is not None:
        try:
            with workspace.writing() as session:
                return storage.queries.get_or_create(session, collection_id, text, instruction, author, need=need)
        except CANNOT_WRITE_NOW as error:
            logger.warning("A query is searched for without being stored: %s", error)
    return QueryRecord(NOT_STORED, collection_id, None, text, 0, instruction, need, "", datetime.now(UTC))


def run_query(
    workspace: Workspace, author: str | None, query: QueryRecord, ranker: str, phrase: str = "", depth: int = DEPTH
) -> Found:
    """Search for a query and remember what was shown.

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
    if author is not None and query.id != NOT_STORED:
        try:
            with workspace.writing() as session:
                storage.searches.record(
                    session,
                    query_id=query.id,
                    author=author,
                    retriever=ranker,
                    depth=depth,
                    took_ms=took_ms,
                    ranking=ranking,
                )
        except CANNOT_WRITE_NOW as error:
            logger.warning("A search is not remembered: %s", error)
    return Found(ranking, took_ms)


def shown_last(workspace: Workspace, query: QueryRecord) -> tuple[str, list[tuple[str, float]]]:
    """Return the ranker and the ranking that were shown last for a query; empty before the first."""
    with workspace.reading() as session:
        latest = storage.searches.latest_for_query(session, query.id)
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
    try:
        with workspace.reading() as session:
            query = storage.queries.get(session, query_id)
    except UnknownRecord:
        query = None
    if query is None or query.collection_id != collection_id:
        raise NotFoundError(
            "This query does not exist in this collection. Choose one from the list, or write a new one."
        )
    return query


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
