"""The values of jobs, the work in the background, and of training runs; import them from `storage.records`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.collection_records import JsonObject

LabelSnapshot = Mapping[str, Mapping[str, float]]
"""query id as text -> document id -> grade: the labels a training run learns from."""


class JobKind(StrEnum):
    """What a job does: import a collection, change one, train, compute a learning curve, read all documents."""

    NEW = "new"
    ADD = "add"
    REPLACE = "replace"
    EMBEDDERS = "embedders"
    TRAIN = "train"
    CURVE = "curve"
    STRONG_INDEX = "strong_index"


IMPORTS = (JobKind.NEW, JobKind.ADD, JobKind.REPLACE, JobKind.EMBEDDERS)
"""What makes a collection, or changes its documents or its index."""


class JobState(StrEnum):
    """Where a job is; all but the first two are final, unless it is resumed, which queues it again."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_under_way(self) -> bool:
        """Return whether the job waits or runs."""
        return self in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be queued, as in `JobRecord`."""

    kind: JobKind
    author: str
    name: str = ""
    request: JsonObject | None = None
    collection_id: int | None = None
    training_run_id: int | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Work in the background as its row stands.

    Attributes:
        id: never given twice.
        kind: what it does.
        author: who asked for it.
        name: of the collection that an import makes or changes.
        request: all else that it needs.
        collection_id: which collection it is about or, once an import is complete, which it made.
        staging_id: the collection that is not seen yet, in which the documents of an import wait.
        training_run_id: of training and of learning curves.
        state: where it is.
        stage: what it is doing.
        fraction: how much is done, in [0, 1].
        message: how far it is or what came of it, for people.
        error: why it failed, for people.
        remarks: what people should know of what was read.
        is_cancel_requested: whether it was asked to stop.
        created_at: when it was asked for.
        started_at: when it was last taken up.
        finished_at: when it ended.
        heartbeat_at: when its worker last said how far it is.
    """

    id: int
    kind: JobKind
    author: str
    name: str
    request: JsonObject
    collection_id: int | None
    staging_id: int | None
    training_run_id: int | None
    state: JobState
    stage: str
    fraction: float
    message: str
    error: str
    remarks: Sequence[str]
    is_cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None


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
    """A training run beside its job; `number` counts from 1 within the collection, `fraction` is in [0, 1].

    `message` says how far it is, what came of it or why it failed. The label snapshot may be large and never changes,
    so it is read on its own (`training_runs.label_snapshot`).
    `curve` is the learning curve, None until it was asked for and computed; `wants_curve` is whether one is under way.
    """

    id: int
    collection_id: int
    label_set_id: int
    number: int
    state: JobState
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
    job_id: int
