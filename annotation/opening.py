"""Which collection, label set and query a page shows: what was asked for if it exists, else the likeliest."""

from collections.abc import Sequence
from dataclasses import dataclass

import storage.collections
import storage.label_sets
import storage.queries
from annotation.consensus import QueryStanding
from annotation.standings import UNTOUCHED
from annotation.workspace import Workspace
from storage.records import CollectionRecord, LabelSetRecord, LabelSetSummary, QueryRecord


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A collection with one of its label sets; `remark` says so if something else was asked for."""

    collection: CollectionRecord
    label_set: LabelSetRecord
    remark: str


def open_page(workspace: Workspace, collection_id: int | None, label_set_id: int | None) -> OpenPage:
    """Return the collection and label set asked for, or the collection used last with its newest label set."""
    with workspace.reading() as session:
        collections = storage.collections.list_all(session)
        wanted = [c for c in collections if c.id == collection_id]
        collection = (wanted or list(collections))[0]
        label_sets = storage.label_sets.list_names(session, collection.id)
        wanted_sets = [s for s in label_sets if s.id == label_set_id]
        label_set = wanted_sets[0] if wanted_sets else max(label_sets, key=lambda each: each.id)
    remark = ""
    if collection_id is not None and not wanted:
        remark = f"The collection of this address does not exist (any more). Showing {collection.name} instead."
    elif label_set_id is not None and not wanted_sets:
        remark = f"The label set of this address does not exist here. Showing {label_set.name} instead."
    return OpenPage(collection, label_set, remark)


@dataclass(frozen=True, slots=True)
class QueryProgress:
    """A query and how far its judging is."""

    query: QueryRecord
    standing: QueryStanding


def list_queries(workspace: Workspace, page: OpenPage, author: str | None = None) -> list[QueryProgress]:
    """Return the collection's queries: those written here from new to old, then the imported ones in their order.

    `author` is whose own part of the judging is counted.
    """
    progress = workspace.standings(page.label_set.id).progress(author)
    with workspace.reading() as session:
        queries = storage.queries.list_all(session, page.collection.id)
    listed = [QueryProgress(query, progress.get(query.id, UNTOUCHED)) for query in queries]
    written = [each for each in listed if each.query.public_id is None]
    return [*reversed(written), *(each for each in listed if each.query.public_id is not None)]


def list_instructions(workspace: Workspace, collection_id: int) -> list[str]:
    """Return the instructions used in this collection, the commonest first, and none at the end."""
    with workspace.reading() as session:
        texts = [i.text for i in storage.queries.list_instructions(session, collection_id)]
    return [*(text for text in texts if text), ""]


def list_collections(workspace: Workspace) -> Sequence[CollectionRecord]:
    """Return all collections, the one used last first."""
    with workspace.reading() as session:
        return storage.collections.list_all(session)


def list_label_sets(workspace: Workspace, collection_id: int) -> Sequence[LabelSetSummary]:
    """Return the label sets of a collection with their counts."""
    with workspace.reading() as session:
        return storage.label_sets.list_for(session, collection_id)


def use_collection(workspace: Workspace, collection_id: int) -> None:
    """Remember that this collection was opened; it comes first next time."""
    with workspace.writing() as session:
        storage.collections.touch(session, collection_id)
