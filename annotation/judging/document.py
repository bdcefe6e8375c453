"""One document in full: what is known of it, and the sentence that is closest to the query."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import storage.documents
from annotation.errors import NotFoundError, NotReadyError
from annotation.judging.sentences import closest_sentence
from annotation.ranking import rankers
from annotation.workspace import Workspace
from era.errors import EraError
from era.types import Query
from storage.records import QueryRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DocumentView:
    """What a document view adds to the text that is on the card already.

    Attributes:
        doc_id: which document.
        closest: start and end of the sentence closest to the query, in UTF-16 units as browsers count; None if unknown.
        metadata: name -> value, as they came with the document.
    """

    doc_id: str
    closest: tuple[int, int] | None
    metadata: Mapping[str, str]


def look_into(workspace: Workspace, query: QueryRecord, doc_id: str, ranker: str) -> DocumentView:
    """Return what is known of a document beside its text.

    Args:
        workspace: of this process.
        query: that the document is judged for.
        doc_id: which document.
        ranker: key of the ranking whose query vector tells what is close.

    Raises:
        NotFoundError: if there is no such document.
    """
    with workspace.reading() as session:
        row = storage.documents.get_many(session, query.collection_id, [doc_id]).get(doc_id)
    if row is None:
        raise NotFoundError("This document is no longer in the collection. Search again.")
    closest = None
    try:
        opened = workspace.open(query.collection_id)
        chosen, _ = rankers.retriever(workspace, opened, ranker)
        [vector] = chosen.query_vectors([Query(str(query.id), query.text, query.instruction)])
        found = closest_sentence(row.text, vector, opened.pair.light)
        closest = None if found is None else (_utf16_units(row.text[: found[0]]), _utf16_units(row.text[: found[1]]))
    except (NotReadyError, EraError) as error:
        logger.warning("No sentence is pointed out: %s", error)
    return DocumentView(doc_id, closest, {name: str(value) for name, value in (row.metadata or {}).items()})


def _utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
