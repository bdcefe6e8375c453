"""The values of training runs; import them from `storage.records`, where all values are found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.collection_records import JsonObject

LabelSnapshot = Mapping[str, Mapping[str, float]]
"""query id as text -> document id -> grade: the labels a training run learns from."""


class TrainingRunState(StrEnum):
    """Where a training run is; the last four are final, but for a resumed run, which is queued again."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class NewTrainingRun:
    """A training run to be queued; `label_snapshot` fixes what it learns from, `snapshot_hash` names it.

    `rerun_of` is the id of the training run that this one repeats.
    """

    collection_id: int
    label_set_id: int
    recipe: str
    seed: int
    config: JsonObject
    label_snapshot: LabelSnapshot
    snapshot_hash: str
    n_queries: int
    n_relevant: int
    n_not_relevant: int
    author: str
    rerun_of: int | None = None


@dataclass(frozen=True, slots=True)
class FinishedTraining:
    """What a training run that was done elsewhere brings along, as in `TrainingRunRecord`."""

    measures: JsonObject | None
    device: str
    message: str
    name: str
    note: str
    curve: JsonObject | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class TrainingRunRecord:
    """A training run as its row stands; `number` counts from 1 within the collection, `fraction` is in [0, 1].

    The label snapshot may be large and never changes, so it is read on its own (`training_runs.label_snapshot`).
    `curve` is the learning curve, None until it was asked for and computed.
    """

    id: int
    collection_id: int
    label_set_id: int
    number: int
    state: TrainingRunState
    recipe: str
    seed: int
    config: JsonObject
    snapshot_hash: str
    n_queries: int
    n_relevant: int
    n_not_relevant: int
    stage: str
    fraction: float
    message: str
    measures: JsonObject | None
    device: str | None
    author: str
    is_cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    name: str
    note: str
    is_pinned: bool
    is_archived: bool
    rerun_of: int | None
    curve: JsonObject | None
    wants_curve: bool
