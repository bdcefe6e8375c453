"""Let the strong model read every document of a collection, so that it can be compared alone; or stop it."""

import storage.collections
from annotation.errors import NotAllowedError
from annotation.people.permissions import require, why_not_manage
from annotation.retrieval.strong_index import StrongState
from annotation.workspace import Workspace


def read_all(workspace: Workspace, author: str | None, collection_id: int) -> None:
    """Read every document in the background, unless that was done or is under way.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to let the strong model read every document.")
    workspace.open(collection_id).strong_reading.start(author)


def read_none(workspace: Workspace, author: str | None, collection_id: int) -> None:
    """Stop reading; what was read so far is dropped.

    Raises:
        NotAllowedError: if it is neither the person's own reading nor theirs to manage.
        NotReadyError: if the embedders are still being loaded.
    """
    reading = workspace.open(collection_id).strong_reading
    require(_why_not_stop(workspace, author, collection_id, reading.started_by))
    reading.stop()


def may_stop(workspace: Workspace, author: str | None, collection_id: int) -> bool:
    """Return whether a person may stop the reading that is under way."""
    opened = workspace.opened(collection_id)
    return opened is not None and not _why_not_stop(workspace, author, collection_id, opened.strong_reading.started_by)


def strong_state(workspace: Workspace, collection_id: int) -> StrongState:
    """Return whether the strong model alone can be compared; while the collection is being opened, that it cannot."""
    opened = workspace.opened(collection_id)
    if opened is None:
        return StrongState("absent", 0.0, "The documents are still being prepared.")
    return opened.strong_reading.state


def _why_not_stop(workspace: Workspace, author: str | None, collection_id: int, started_by: str) -> str:
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
    return why_not_manage(workspace.settings, author, collection, "stop the strong model", started_by)
