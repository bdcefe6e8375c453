"""The first schema: collections, documents, queries, judgments, searches and training runs.

Written out by hand and never edited again: later versions of the tables are later migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CURRENT_JUDGMENT = """
CREATE VIEW current_judgment AS
SELECT event.id, event.label_set_id, event.query_id, event.instruction_id, event.doc_id, event.content_hash,
       event.author, event.grade, event.rank_shown, event.retriever, event.client_id, event.sequence,
       event.created_at
FROM judgment_event AS event
WHERE event.grade IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM judgment_event AS later
    WHERE later.label_set_id = event.label_set_id
      AND later.query_id = event.query_id
      AND later.doc_id = event.doc_id
      AND later.id > event.id
  )
"""


def upgrade() -> None:
    """Create the tables, the database indexes and the view."""
    _create_collection_and_document()
    _create_instruction_and_query()
    _create_label_set_and_judgment_event()
    _create_search_event()
    _create_training_run()
    op.execute(CURRENT_JUDGMENT)


def downgrade() -> None:
    """Drop everything, what refers before what is referred to."""
    op.execute("DROP VIEW current_judgment")
    for table in (
        "training_run",
        "search_event",
        "judgment_event",
        "label_set",
        "query",
        "instruction",
        "document",
        "collection",
    ):
        op.drop_table(table)


def _created_at() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), nullable=False)


def _refers_to(referred: str, table: str) -> sa.Column[int]:
    """Return a mandatory column `<referred>_id` of `table` that refers to the table `referred`."""
    name = op.f(f"fk_{table}_{referred}_id")
    return sa.Column(f"{referred}_id", sa.Integer(), sa.ForeignKey(f"{referred}.id", name=name), nullable=False)


def _create_collection_and_document() -> None:
    op.create_table(
        "collection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("is_demo", sa.Boolean(), nullable=False),
        sa.Column("corpus_fingerprint", sa.String(64), nullable=False),
        sa.Column("n_documents", sa.Integer(), nullable=False),
        sa.Column("document_embedder", sa.Text(), nullable=False),
        _created_at(),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection")),
        sa.UniqueConstraint("name", name=op.f("uq_collection_name")),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("collection", "document"),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("collection_id", "doc_id", name=op.f("uq_document_collection_id_doc_id")),
        sa.UniqueConstraint("collection_id", "position", name=op.f("uq_document_collection_id_position")),
    )


def _create_instruction_and_query() -> None:
    op.create_table(
        "instruction",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("collection", "instruction"),
        sa.Column("text", sa.Text(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instruction")),
        sa.UniqueConstraint("collection_id", "text", name=op.f("uq_instruction_collection_id_text")),
    )
    op.create_table(
        "query",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("collection", "query"),
        sa.Column("public_id", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        _refers_to("instruction", "query"),
        sa.Column("author", sa.Text(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_query")),
        sa.UniqueConstraint(
            "collection_id", "text", "instruction_id", name=op.f("uq_query_collection_id_text_instruction_id")
        ),
    )


def _create_label_set_and_judgment_event() -> None:
    op.create_table(
        "label_set",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("collection", "label_set"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_set")),
        sa.UniqueConstraint("collection_id", "name", name=op.f("uq_label_set_collection_id_name")),
    )
    op.create_table(
        "judgment_event",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        _refers_to("label_set", "judgment_event"),
        _refers_to("query", "judgment_event"),
        _refers_to("instruction", "judgment_event"),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("grade", sa.Double(), nullable=True),
        sa.Column("rank_shown", sa.Integer(), nullable=True),
        sa.Column("retriever", sa.Text(), nullable=True),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgment_event")),
        sa.UniqueConstraint("client_id", "sequence", name=op.f("uq_judgment_event_client_id_sequence")),
        sa.CheckConstraint("grade IS NULL OR (grade >= 0 AND grade <= 10)", name=op.f("ck_judgment_event_grade")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_judgment_event_label_set_id_query_id_doc_id_id"),
        "judgment_event",
        ["label_set_id", "query_id", "doc_id", "id"],
    )


def _create_search_event() -> None:
    op.create_table(
        "search_event",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("query", "search_event"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("retriever", sa.Text(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("took_ms", sa.Double(), nullable=False),
        sa.Column("ranking", sa.JSON(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_event")),
    )
    op.create_index(op.f("ix_search_event_query_id_id"), "search_event", ["query_id", "id"])


def _create_training_run() -> None:
    op.create_table(
        "training_run",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("collection", "training_run"),
        _refers_to("label_set", "training_run"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("label_snapshot", sa.JSON(), nullable=False),
        sa.Column("snapshot_hash", sa.String(64), nullable=False),
        sa.Column("n_queries", sa.Integer(), nullable=False),
        sa.Column("n_relevant", sa.Integer(), nullable=False),
        sa.Column("n_not_relevant", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("measures", sa.JSON(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        _created_at(),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
        sa.UniqueConstraint("collection_id", "number", name=op.f("uq_training_run_collection_id_number")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'finished', 'failed', 'cancelled', 'interrupted')",
            name=op.f("ck_training_run_state"),
        ),
    )
