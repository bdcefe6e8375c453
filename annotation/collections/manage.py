"""Keeping order among collections: names, descriptions, the archive, and deleting with all that belongs to one."""

import storage.collections
import storage.jobs
import storage.removal
from annotation.collections.import_source import check_name, delete_hidden
from annotation.collections.update import require_arranger
from annotation.errors import InvalidInputError
from annotation.workspace import Workspace
from storage.records import IMPORTS, CollectionRecord, CollectionState, JobKind

MAX_DESCRIPTION_LENGTH = 2000


def rename(workspace: Workspace, author: str | None, collection_id: int, name: str) -> CollectionRecord:
    """Give a collection another name.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if the name is empty, too long, or begins with a full stop.
        NameTaken: if another collection has it.
        UnknownRecord: if there is no such collection.
    """
    require_arranger(workspace, author, collection_id, "rename this collection")
    name = check_name(name)
    with workspace.writing() as session:
        _require_ready(storage.collections.get(session, collection_id))
        return storage.collections.rename(session, collection_id, name)


def describe(workspace: Workspace, author: str | None, collection_id: int, description: str) -> CollectionRecord:
    """Say what a collection is; empty takes the description away.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if it is too long.
        UnknownRecord: if there is no such collection.
    """
    require_arranger(workspace, author, collection_id, "describe this collection")
    description = description.strip()
    if len(description) > MAX_DESCRIPTION_LENGTH:
        raise InvalidInputError(f"A description has at most {MAX_DESCRIPTION_LENGTH:,} letters. Shorten it.")
    with workspace.writing() as session:
        _require_ready(storage.collections.get(session, collection_id))
        return storage.collections.describe(session, collection_id, description)


def archive(workspace: Workspace, author: str | None, collection_id: int) -> CollectionRecord:
    """Put a collection out of sight; nothing of it is lost, and it takes no memory from the next start on.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if no other collection would be left to work with.
        UnknownRecord: if there is no such collection.
    """
    require_arranger(workspace, author, collection_id, "archive this collection")
    with workspace.writing() as session:
        _require_ready(storage.collections.get(session, collection_id))
        if not any(each.id != collection_id for each in storage.collections.list_all(session)):
            raise InvalidInputError("One collection has to stay in sight. Import another one first.")
        archived = storage.collections.archive(session, collection_id, True)
    workspace.close_opened(collection_id)
    return archived


def unarchive(workspace: Workspace, author: str | None, collection_id: int) -> CollectionRecord:
    """Bring an archived collection back.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        UnknownRecord: if there is no such collection.
    """
    require_arranger(workspace, author, collection_id, "bring this collection back")
    with workspace.writing() as session:
        _require_ready(storage.collections.get(session, collection_id))
        return storage.collections.archive(session, collection_id, False)


def delete(workspace: Workspace, author: str | None, collection_id: int, typed_name: str) -> None:
    """Delete a collection with its documents, queries, judgments, training runs, snapshots and index, for good.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if the name was not typed as it is, no other collection would be left in sight, or a
            training run or an import uses it at the moment.
        UnknownRecord: if there is no such collection.
    """
    require_arranger(workspace, author, collection_id, "delete this collection")
    with workspace.exchanging(collection_id), workspace.writing() as session:
        collection = storage.collections.get(session, collection_id)
        _require_ready(collection)
        if typed_name.strip() != collection.name:
            raise InvalidInputError(f"Type the name {collection.name!r} exactly as it is to delete the collection.")
        if not any(each.id != collection_id for each in storage.collections.list_all(session)):
            raise InvalidInputError("At least one collection has to stay. Import another one first.")
        if storage.jobs.has_under_way(session, {JobKind.TRAIN}, collection_id):
            raise InvalidInputError("A training run of this collection is queued or running. Cancel it first.")
        if storage.jobs.has_under_way(session, IMPORTS, collection_id):
            raise InvalidInputError("An import changes this collection at the moment. Cancel it first.")
        storage.removal.hide(session, collection_id)
    delete_hidden(workspace, collection_id)
    workspace.forget_unused_pairs()


def _require_ready(collection: CollectionRecord) -> None:
    if collection.state is not CollectionState.READY:
        raise InvalidInputError("This collection does not exist any more. Reload the page and choose another.")
