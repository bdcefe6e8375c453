"""What is known of every collection, for the page that lists them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import storage.collections
import storage.queries
from annotation.collections.embedders import embedders_of
from annotation.collections.page import list_label_sets
from annotation.errors import AnnotationError
from annotation.people.permissions import why_not_arrange
from annotation.workspace import Workspace
from era.encoders.spec import PairSpec
from era.errors import EraError
from storage.records import CollectionRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What is known of an index that is open.

    Attributes:
        strong_name: of the embedder of the queries.
        strong_dimension: how many numbers its vectors have.
        light_name: of the embedder of the documents.
        light_dimension: how many numbers its vectors have.
        n_bytes: memory that the vectors take.
        fingerprint: 64 hexadecimal digits, of the vectors.
        n_texts: documents that the strong embedder has read for the alignment so far; 0 before it begins.
        n_texts_wanted: how many it goes on to, in the background; `n_texts` if that is all.
    """

    strong_name: str
    strong_dimension: int
    light_name: str
    light_dimension: int
    n_bytes: int
    fingerprint: str
    n_texts: int
    n_texts_wanted: int


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """A collection with what it holds.

    Attributes:
        collection: as it is stored.
        n_queries: how many queries it has.
        n_judged: judged documents (`annotation.labels.current`), added up over its label sets.
        embedders: that are used for it.
        index: None until it was opened once in this process.
        why_fixed: why the person who looks may not change it; empty if they may.
    """

    collection: CollectionRecord
    n_queries: int
    n_judged: int
    embedders: PairSpec
    index: IndexFacts | None
    why_fixed: str


def all_collections(workspace: Workspace, author: str | None) -> Sequence[CollectionFacts]:
    """Return all collections as `author` may treat them, the one used last first, archived ones too."""
    with workspace.reading() as session:
        counted = [
            (record, len(storage.queries.list_all(session, record.id)))
            for record in storage.collections.list_all(session, with_archived=True)
        ]
    return [
        CollectionFacts(
            record,
            n_queries,
            sum(each.counts.n_judged for each in list_label_sets(workspace, record.id)),
            embedders_of(workspace, record.id),
            _index(workspace, record.id),
            why_not_arrange(workspace.settings, author, record, "change this collection"),
        )
        for record, n_queries in counted
    ]


def open_if_possible(workspace: Workspace, collection_id: int) -> str:
    """Open a collection, so that its index is known, and return the fingerprint; empty if its models cannot be had."""
    try:
        return workspace.open(collection_id).index.fingerprint
    except (AnnotationError, EraError) as error:
        logger.warning("The collection %d could not be opened: %s", collection_id, error)
        return ""


def _index(workspace: Workspace, collection_id: int) -> IndexFacts | None:
    opened = workspace.opened(collection_id)
    if opened is None:
        return None
    strong, light = opened.pair.strong.identity, opened.pair.light.identity
    n_wanted = min(workspace.n_alignment_texts(collection_id), len(opened.corpus))
    return IndexFacts(
        strong.name,
        strong.dimension,
        light.name,
        light.dimension,
        opened.index.size_bytes,
        opened.index.fingerprint,
        opened.n_texts,
        max(opened.n_texts, n_wanted),
    )
