"""The tables of what is searched: collections, documents, instructions and queries."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.records import CollectionState
from storage.schema.base import Base, one_of, utc_now


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
    embedders: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    archived_at: Mapped[datetime | None]
    state: Mapped[CollectionState] = mapped_column(
        one_of(CollectionState),
        default=CollectionState.READY,
        server_default=CollectionState.READY.value,
    )
    created_by: Mapped[str] = mapped_column(default="", server_default="")


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


class RemovedDocumentRow(Base):
    """A document that was removed; judgments of it stay in the log and do not stand while this row is there."""

    __tablename__ = "removed_document"

    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id"), primary_key=True)
    doc_id: Mapped[str] = mapped_column(primary_key=True)
    removed_at: Mapped[datetime] = mapped_column(default=utc_now)
