"""The table of training runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.records import TrainingRunState
from storage.schema.base import Base, one_of, utc_now


class TrainingRunRow(Base):
    """A training run from its place in the queue to its measures; a deleted one keeps its id and its number."""

    __tablename__ = "training_run"
    __table_args__ = (
        UniqueConstraint("collection_id", "number"),
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in TrainingRunState)})", name="state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    number: Mapped[int]
    state: Mapped[TrainingRunState] = mapped_column(one_of(TrainingRunState))
    recipe: Mapped[str]
    seed: Mapped[int]
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    label_snapshot: Mapped[dict[str, dict[str, float]]] = mapped_column(JSON)
    snapshot_hash: Mapped[str] = mapped_column(String(64))
    n_queries: Mapped[int]
    n_relevant: Mapped[int]
    n_not_relevant: Mapped[int]
    stage: Mapped[str] = mapped_column(default="")
    fraction: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(default="")
    measures: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    device: Mapped[str | None]
    author: Mapped[str]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    # a column added to rows that exist needs a default there; every row written since has its own time
    queued_at: Mapped[datetime] = mapped_column(default=utc_now, server_default=text("'1970-01-01 00:00:00'"))
    name: Mapped[str] = mapped_column(default="", server_default="")
    note: Mapped[str] = mapped_column(default="", server_default="")
    is_pinned: Mapped[bool] = mapped_column(default=False, server_default=false())
    is_archived: Mapped[bool] = mapped_column(default=False, server_default=false())
    rerun_of: Mapped[int | None]
    curve: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    wants_curve: Mapped[bool] = mapped_column(default=False, server_default=false())
    deleted_at: Mapped[datetime | None]
