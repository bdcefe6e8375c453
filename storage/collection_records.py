"""The values of collections and of importing; import them from `storage.records`, where all values are found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

JsonObject = Mapping[str, Any]
"""What a JSON column holds: text keys, and values that JSON can write (no NaN, no infinity)."""


class CollectionState(StrEnum):
    """Whether a collection is there for people: only one that is `ready` is ever listed or found by its name.

    One that was deleted leaves its row, so that its id, which addresses and open pages hold, is not given again.
    """

    READY = "ready"
    IMPORTING = "importing"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A document collection; `document_embedder` is the JSON identity of what embedded its index.

    `desk` holds how judging is set up, None until somebody sets it up; `embedders` names the pair that was chosen,
    None for the bundled one; `created_by` is who imported it, "" where that was not noted.
    """

    id: int
    name: str
    description: str
    is_demo: bool
    corpus_fingerprint: str
    n_documents: int
    document_embedder: str
    desk: JsonObject | None
    created_at: datetime
    last_used_at: datetime
    embedders: JsonObject | None = None
    archived_at: datetime | None = None
    state: CollectionState = CollectionState.READY
    created_by: str = ""


class ImportKind(StrEnum):
    """What an import makes: a collection, more or other documents for one, or an index by another embedder."""

    NEW = "new"
    ADD = "add"
    REPLACE = "replace"
    EMBEDDERS = "embedders"


class ImportState(StrEnum):
    """Where an import is; all but the first two are final, unless it is resumed, which queues it again."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class NewImportJob:
    """An import to be queued; `request` holds all else that it needs, `name` is of the collection."""

    kind: ImportKind
    name: str
    request: JsonObject
    author: str
    collection_id: int | None = None


@dataclass(frozen=True, slots=True)
class ImportJobRecord:
    """An import as its row stands.

    Attributes:
        id: never given twice.
        kind: what it makes.
        name: of the collection.
        request: all else that it needs.
        author: who asked for it.
        collection_id: which collection it changes or, once it is complete, which it made.
        staging_id: the collection that nobody sees, in which its documents wait.
        state: where it is.
        stage: what it is doing.
        fraction: how much is done, in [0, 1].
        message: how far it is, for people.
        error: why it failed, for people.
        remarks: what people should know of what was read.
        is_cancel_requested: whether somebody asked it to stop.
        created_at: when it was asked for.
        finished_at: when it ended.
    """

    id: int
    kind: ImportKind
    name: str
    request: JsonObject
    author: str
    collection_id: int | None
    staging_id: int | None
    state: ImportState
    stage: str
    fraction: float
    message: str
    error: str
    remarks: Sequence[str]
    is_cancel_requested: bool
    created_at: datetime
    finished_at: datetime | None
