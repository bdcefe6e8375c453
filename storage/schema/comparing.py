"""The tables of comparing: links to a view, looks, preferences between two rankings, snapshots of a comparison."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.records import Preferred, ShownLeft
from storage.schema.base import Base, one_of, utc_now


class SharedViewRow(Base):
    """What a link shows; the slug is the end of its address."""

    __tablename__ = "shared_view"

    slug: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ComparisonLookRow(Base):
    """A comparison over the queries of a label set that somebody has looked at; the digest names sides and measure."""

    __tablename__ = "comparison_look"

    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class PreferenceEventRow(Base):
    """One answer to which of two rankings is better; rows are added and never changed, ids are never used twice."""

    __tablename__ = "preference_event"
    __table_args__ = (
        CheckConstraint(f"preferred IN ({', '.join(repr(p.value) for p in Preferred)})", name="preferred"),
        CheckConstraint(f"shown_left IN ({', '.join(repr(s.value) for s in ShownLeft)})", name="shown_left"),
        Index(None, "label_set_id", "first", "second", "query_id", "author"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"))
    author: Mapped[str]
    first: Mapped[str]
    second: Mapped[str]
    preferred: Mapped[Preferred] = mapped_column(one_of(Preferred))
    shown_left: Mapped[ShownLeft] = mapped_column(one_of(ShownLeft))
    seconds: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class SnapshotRow(Base):
    """A comparison kept as it was; ids are never used twice."""

    __tablename__ = "snapshot"
    __table_args__ = (UniqueConstraint("slug"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    slug: Mapped[str]
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    name: Mapped[str]
    note: Mapped[str]
    author: Mapped[str]
    about: Mapped[dict[str, Any]] = mapped_column(JSON)
    measured: Mapped[list[Any]] = mapped_column(JSON, deferred=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class SnapshotRankingRow(Base):
    """One side's ranking of one query in a snapshot; `query_id` refers to nothing, so a snapshot stands by itself."""

    __tablename__ = "snapshot_ranking"
    __table_args__ = (UniqueConstraint("snapshot_id", "side", "query_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshot.id"))
    side: Mapped[int]
    query_id: Mapped[int]
    ranking: Mapped[list[Any]] = mapped_column(JSON)
    is_held_out: Mapped[bool]
    is_flattered: Mapped[bool]
