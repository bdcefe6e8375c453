"""The tables of importing: what is under way, and which documents were removed."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from storage.records import ImportKind, ImportState
from storage.schema.base import Base, one_of, utc_now


class ImportJobRow(Base):
    """An import from its place in the queue to its end; ids are never used twice, since folders carry them."""

    __tablename__ = "import_job"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(repr(k.value) for k in ImportKind)})", name="kind"),
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in ImportState)})", name="state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[ImportKind] = mapped_column(one_of(ImportKind))
    name: Mapped[str]
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    author: Mapped[str]
    collection_id: Mapped[int | None] = mapped_column(ForeignKey("collection.id"))
    staging_id: Mapped[int | None] = mapped_column(ForeignKey("collection.id"))
    state: Mapped[ImportState] = mapped_column(one_of(ImportState))
    stage: Mapped[str] = mapped_column(default="")
    fraction: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(default="")
    error: Mapped[str] = mapped_column(default="")
    remarks: Mapped[list[str]] = mapped_column(JSON, default=list)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    queued_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]


class RemovedDocumentRow(Base):
    """A document that was removed; judgments of it stay in the log and do not stand while this row is there."""

    __tablename__ = "removed_document"

    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"), primary_key=True)
    doc_id: Mapped[str] = mapped_column(primary_key=True)
    removed_at: Mapped[datetime] = mapped_column(default=utc_now)
