"""The tables as this version of the program reads and writes them.

The rows defined here never leave storage. What creates the tables are the migrations; a test holds the two
together. Every statement is one that PostgreSQL understands as well.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from storage.records import MAX_GRADE, JudgmentRole, TrainingRunState

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, also where the database keeps no time zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC.

        Raises:
            ValueError: if the time has no time zone, since its meaning would be a guess.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a datetime with a time zone, got {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored time as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What all rows share: the naming of constraints, and times that are UTC."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: UtcDateTime(), str: Text()}  # noqa: RUF012 (read by SQLAlchemy, never changed)


class CollectionRow(Base):
    """A document collection."""

    __tablename__ = "collection"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    is_demo: Mapped[bool]
    corpus_fingerprint: Mapped[str] = mapped_column(String(64))
    n_documents: Mapped[int]
    document_embedder: Mapped[str]
    desk: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]


class DocumentRow(Base):
    """A document at its place in a collection."""

    __tablename__ = "document"
    __table_args__ = (UniqueConstraint("collection_id", "doc_id"), UniqueConstraint("collection_id", "position"))

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    position: Mapped[int]
    doc_id: Mapped[str]
    title: Mapped[str]
    text: Mapped[str]
    content_hash: Mapped[str] = mapped_column(String(64))
    metadata_json: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSON(none_as_null=True))


class InstructionRow(Base):
    """An instruction version; never edited."""

    __tablename__ = "instruction"
    __table_args__ = (UniqueConstraint("collection_id", "text"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class QueryRow(Base):
    """Text and instruction, which together are the query."""

    __tablename__ = "query"
    __table_args__ = (UniqueConstraint("collection_id", "text", "instruction_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    public_id: Mapped[str | None]
    text: Mapped[str]
    instruction_id: Mapped[int] = mapped_column(ForeignKey("instruction.id"))
    need: Mapped[str] = mapped_column(default="", server_default="")
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class LabelSetRow(Base):
    """A named set of judgments over one collection."""

    __tablename__ = "label_set"
    __table_args__ = (UniqueConstraint("collection_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    name: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


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
        Enum(JudgmentRole, native_enum=False, length=16, values_callable=lambda roles: [r.value for r in roles]),
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


class TrainingRunRow(Base):
    """A training run from its place in the queue to its measures."""

    __tablename__ = "training_run"
    __table_args__ = (
        UniqueConstraint("collection_id", "number"),
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in TrainingRunState)})", name="state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"))
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    number: Mapped[int]
    state: Mapped[TrainingRunState] = mapped_column(
        Enum(TrainingRunState, native_enum=False, length=16, values_callable=lambda states: [s.value for s in states])
    )
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
