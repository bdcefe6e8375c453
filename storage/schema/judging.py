"""The tables of what people do at the desk: label sets, judgments, pools, test queries, guidelines read, searches."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.records import MAX_GRADE, JudgmentRole
from storage.schema.base import Base, UtcDateTime, one_of, utc_now


class LabelSetRow(Base):
    """A named set of judgments over one collection."""

    __tablename__ = "label_set"
    __table_args__ = (UniqueConstraint("collection_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    name: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    in_use: Mapped[str] = mapped_column(default="", server_default="")


class JudgmentEventRow(Base):
    """One act of judging; rows are added and never changed, and ids are never used twice."""

    __tablename__ = "judgment_event"
    __table_args__ = (
        UniqueConstraint("client_id", "sequence"),
        CheckConstraint(f"grade IS NULL OR (grade >= 0 AND grade <= {MAX_GRADE:g})", name="grade"),
        Index(None, "label_set_id", "query_id", "doc_id", "author", "role", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"))
    instruction_id: Mapped[int] = mapped_column(ForeignKey("instruction.id"))
    doc_id: Mapped[str]
    content_hash: Mapped[str] = mapped_column(String(64))
    author: Mapped[str]
    grade: Mapped[float | None]
    rank_shown: Mapped[int | None]
    retriever: Mapped[str | None]
    client_id: Mapped[str]
    sequence: Mapped[int]
    role: Mapped[JudgmentRole] = mapped_column(
        one_of(JudgmentRole),
        server_default=JudgmentRole.JUDGE.value,
    )
    is_unsure: Mapped[bool] = mapped_column(server_default=false())
    note: Mapped[str] = mapped_column(server_default="")
    seconds: Mapped[float | None]
    together_with: Mapped[str | None]
    undoes_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class PoolDocumentRow(Base):
    """A document that is to be judged for a query, and which rankings brought it up."""

    __tablename__ = "pool_document"
    __table_args__ = (UniqueConstraint("label_set_id", "query_id", "doc_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"))
    doc_id: Mapped[str]
    sources: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class PoolDrawRow(Base):
    """How documents came into a pool: for certain, drawn at random, or not."""

    __tablename__ = "pool_draw"
    __table_args__ = (Index(None, "label_set_id", "query_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"))
    sources: Mapped[list[str]] = mapped_column(JSON)
    drawn: Mapped[list[str]] = mapped_column(JSON)
    not_drawn: Mapped[list[str]] = mapped_column(JSON)
    certain: Mapped[list[str]] = mapped_column(JSON)
    is_deep: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class TestQueryRow(Base):
    """A query of a label set that no training run learns from."""

    __tablename__ = "test_query"

    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"), primary_key=True)
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"), primary_key=True)
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class AcknowledgementRow(Base):
    """Somebody has read this version of a collection's guidelines."""

    __tablename__ = "acknowledgement"
    __table_args__ = (UniqueConstraint("collection_id", "author", "text_hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    author: Mapped[str]
    text_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class SearchEventRow(Base):
    """A ranking that was shown to a person."""

    __tablename__ = "search_event"
    __table_args__ = (Index(None, "query_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    query_id: Mapped[int] = mapped_column(ForeignKey("query.id"))
    author: Mapped[str]
    retriever: Mapped[str]
    depth: Mapped[int]
    took_ms: Mapped[float]
    ranking: Mapped[list[Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


current_judgment = Table(
    "current_judgment",
    MetaData(),  # its own, since a view among the tables would be created and compared as a table
    Column("id", Integer, primary_key=True),
    Column("label_set_id", Integer),
    Column("query_id", Integer),
    Column("instruction_id", Integer),
    Column("doc_id", Text),
    Column("content_hash", String(64)),
    Column("author", Text),
    Column("grade", Double),
    Column("rank_shown", Integer),
    Column("retriever", Text),
    Column("client_id", Text),
    Column("sequence", Integer),
    Column("role", JudgmentEventRow.__table__.c.role.type),
    Column("is_unsure", Boolean),
    Column("note", Text),
    Column("seconds", Double),
    Column("together_with", Text),
    Column("undoes_id", Integer),
    Column("created_at", UtcDateTime()),
)
"""The view of what stands: per label set, query, document, author and role the latest event, unless it says nothing."""
