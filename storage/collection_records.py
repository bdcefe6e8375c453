"""The values of collections; import them from `storage.records`, where all values are found."""

from collections.abc import Mapping
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
