"""Which collection, label set and query a page shows: what was asked for if it exists, else the likeliest."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

import storage.collections
import storage.label_sets
import storage.queries
from annotation.errors import NotFoundError
from annotation.labels.current import UNTOUCHED, LabelCounts, QueryStanding, Standings
from annotation.workspace import Workspace
from storage.records import CollectionRecord, LabelSetRecord, QueryRecord


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A collection with one of its label sets; `remark` says so if something else was asked for."""

    collection: CollectionRecord
    label_set: LabelSetRecord
    remark: str

    def as_asked(self) -> "OpenPage":
        """Return it, so that nothing happens to another collection or label set than the one that was asked for.

        Raises:
            NotFoundError: if that is not there any more.
        """
        if self.remark:
            raise NotFoundError("This collection or label set is not there any more. Reload the page.")
        return self


def open_page(workspace: Workspace, collection_id: int | None, label_set_id: int | None) -> OpenPage:
    """Return the collection and label set asked for, or the collection used last with its newest label set."""
    with workspace.reading() as session:
        return find_page(session, collection_id, label_set_id)


def find_page(session: Session, collection_id: int | None, label_set_id: int | None) -> OpenPage:
    """Return what `open_page` does, of the snapshot that a session sees."""
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
    with workspace.reading() as session:
        return queries_in(session, workspace.standings_in(session, page.label_set.id), page, author)


def queries_in(session: Session, standings: Standings, page: OpenPage, author: str | None) -> list[QueryProgress]:
    """Return `list_queries` of the snapshot that a session sees."""
    progress = standings.progress(author)
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


@dataclass(frozen=True, slots=True)
class LabelSetSummary:
    """A label set and how much of it is judged."""

    label_set: LabelSetRecord
    counts: LabelCounts


def list_label_sets(workspace: Workspace, collection_id: int) -> list[LabelSetSummary]:
    """Return the label sets of a collection, the oldest first."""
    with workspace.reading() as session:
        label_sets = storage.label_sets.list_names(session, collection_id)
    return [LabelSetSummary(each, workspace.standings(each.id).counts()) for each in label_sets]


def likeliest_collection(workspace: Workspace, author: str | None) -> int | None:
    """Return the collection that a person wants to see where none is named; None for the one used last.

    Where there are several people, that is where this one worked last: what others open changes nothing.
    """
    if author is None or not workspace.settings.has_several_people:
        return None
    with workspace.reading() as session:
        return storage.collections.last_worked_in(session, author)


def use_collection(workspace: Workspace, collection_id: int) -> None:
    """Remember that the one person at this machine opened a collection; it comes first next time."""
    with workspace.reading() as session:
        storage.collections.get(session, collection_id)
    if not workspace.settings.has_several_people:
        with workspace.writing() as session:
            storage.collections.touch(session, collection_id)
