"""Take a judgment: check it, append it, and say what stands now."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.searching import clean_text
from annotation.workspace import Workspace
from era.corpus import without_half_characters
from storage.errors import UnknownRecord
from storage.records import NewJudgment

RELEVANT, NOT_RELEVANT = 1.0, 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What a page sends when a person judges a document.

    Attributes:
        label_set_id: where the judgment belongs.
        query_id: judged under which query.
        doc_id: which document.
        grade: 1 relevant, 0 not relevant, None takes an earlier judgment back.
        rank_shown: where the document stood, from 1; None if it was not ranked.
        ranker: what ranked it.
        client_id: names the page; with `sequence` it makes a repeated delivery harmless.
        sequence: counts the page's marks.
    """

    label_set_id: int
    query_id: int
    doc_id: str
    grade: float | None
    rank_shown: int | None
    ranker: str | None
    client_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What the database holds after a mark.

    Attributes:
        query_id: the judged query.
        client_id: the page that asked.
        sequences: document id -> the page's latest stored sequence number for it.
        grades: document id -> grade, of everything that stands for the query.
    """

    query_id: int
    client_id: str
    sequences: Mapping[str, int]
    grades: Mapping[str, float]


def judge(workspace: Workspace, author: str | None, collection_id: int, mark: Mark) -> Saved:
    """Append a judgment; when this returns it is on disk.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        InvalidInputError: if the grade is none of the scale, or the delivery is malformed.
        NotFoundError: if collection, label set, query or document do not belong together.
    """
    if author is None:
        raise NotAllowedError("Sign in to save marks; searching and comparing work without.")
    if mark.grade is not None and not (math.isfinite(mark.grade) and mark.grade in (RELEVANT, NOT_RELEVANT)):
        raise InvalidInputError(f"A grade is 1 (relevant), 0 (not relevant) or nothing, not {mark.grade!r}.")
    if isinstance(mark.grade, bool) or (mark.rank_shown is not None and mark.rank_shown < 1):
        raise InvalidInputError("This mark came without a valid grade or rank. Search again and mark again.")
    if not mark.client_id or len(mark.client_id) > 64 or not 0 < mark.sequence < 2**31:
        raise InvalidInputError("This mark came without a valid number. Reload the page and mark again.")
    with workspace.writing() as session:
        try:
            query = storage.queries.get(session, mark.query_id)
            label_set = storage.label_sets.get(session, mark.label_set_id)
        except UnknownRecord as error:
            raise NotFoundError(str(error)) from error
        if query.collection_id != collection_id or label_set.collection_id != collection_id:
            raise NotFoundError("This query belongs to another collection. Reload the page and mark again.")
        doc_id = without_half_characters(mark.doc_id)
        document = storage.documents.get_many(session, collection_id, [doc_id]).get(doc_id)
        if document is None:
            raise NotFoundError("This document is no longer in the collection. Search again.")
        try:
            storage.judgments.append(
                session,
                NewJudgment(
                    label_set_id=label_set.id,
                    query_id=query.id,
                    instruction_id=query.instruction_id,
                    doc_id=document.doc_id,
                    content_hash=document.content_hash,
                    author=author,
                    grade=mark.grade,
                    client_id=mark.client_id,
                    sequence=mark.sequence,
                    rank_shown=mark.rank_shown,
                    retriever=mark.ranker,
                ),
            )
        except ValueError as error:
            raise InvalidInputError("This mark's number was used before. Reload the page and mark again.") from error
        history = storage.judgments.history(session, label_set.id, query.id)
    latest = {event.doc_id: event for event in history}
    return Saved(
        query_id=query.id,
        client_id=mark.client_id,
        sequences={event.doc_id: event.sequence for event in history if event.client_id == mark.client_id},
        grades={doc_id: event.grade for doc_id, event in latest.items() if event.grade is not None},
    )


def start_label_set(workspace: Workspace, author: str | None, collection_id: int, name: str) -> int:
    """Start an empty label set and return its id; an existing one of that name is opened instead.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        InvalidInputError: if the name is empty or too long.
    """
    if author is None:
        raise NotAllowedError("Sign in to start a label set.")
    name = " ".join(clean_text(name, "name").split())
    if not 0 < len(name) <= 60:
        raise InvalidInputError("Give the label set a name of at most 60 characters.")
    with workspace.writing() as session:
        return storage.label_sets.get_or_create(session, collection_id, name, author).id
