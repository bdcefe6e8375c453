"""The tables of work in the background: the queue of all jobs, and what training runs are."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from storage.records import JobKind, JobState
from storage.schema.base import Base, one_of, utc_now


class JobRow(Base):
    """A job from its place in the queue to its end; ids are never used twice, since folders carry them.

    Its kind is checked where it is read, so that a further kind needs no further migration.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in JobState)})", name="state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[JobKind] = mapped_column(one_of(JobKind))
    author: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    request: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    collection_id: Mapped[int | None] = mapped_column(ForeignKey("collection.id"))
    staging_id: Mapped[int | None] = mapped_column(ForeignKey("collection.id"))
    training_run_id: Mapped[int | None] = mapped_column(ForeignKey("training_run.id"), index=True)
    state: Mapped[JobState] = mapped_column(one_of(JobState))
    stage: Mapped[str] = mapped_column(default="")
    fraction: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(default="")
    error: Mapped[str] = mapped_column(default="")
    remarks: Mapped[list[str]] = mapped_column(JSON, default=list)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    queued_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]


class TrainingRunRow(Base):
    """What a training run is; where it is in the queue stands in its job. A deleted one keeps its id and its number."""

    __tablename__ = "training_run"
    __table_args__ = (UniqueConstraint("collection_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    number: Mapped[int]
    recipe: Mapped[str]
    seed: Mapped[int]
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    label_snapshot: Mapped[dict[str, dict[str, float]]] = mapped_column(JSON)
    snapshot_hash: Mapped[str] = mapped_column(String(64))
    n_queries: Mapped[int]
    n_relevant: Mapped[int]
    n_not_relevant: Mapped[int]
    measures: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    device: Mapped[str | None]
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    name: Mapped[str] = mapped_column(default="", server_default="")
    note: Mapped[str] = mapped_column(default="", server_default="")
    is_pinned: Mapped[bool] = mapped_column(default=False, server_default=false())
    is_archived: Mapped[bool] = mapped_column(default=False, server_default=false())
    rerun_of: Mapped[int | None]
    curve: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    deleted_at: Mapped[datetime | None]
