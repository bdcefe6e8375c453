"""Own collections: embedders per collection, the archive, imports under way, documents that were removed.

Never edited again: later versions of the tables are later migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_LATEST_PER_AUTHOR = """
CREATE VIEW current_judgment AS
SELECT event.id, event.label_set_id, event.query_id, event.instruction_id, event.doc_id, event.content_hash,
       event.author, event.grade, event.rank_shown, event.retriever, event.client_id, event.sequence,
       event.role, event.is_unsure, event.note, event.seconds, event.together_with, event.undoes_id,
       event.created_at
FROM judgment_event AS event
WHERE (event.grade IS NOT NULL OR event.is_unsure OR event.note <> '')
  AND NOT EXISTS (
    SELECT 1 FROM judgment_event AS later
    WHERE later.label_set_id = event.label_set_id
      AND later.query_id = event.query_id
      AND later.doc_id = event.doc_id
      AND later.author = event.author
      AND later.role = event.role
      AND later.id > event.id
  )
"""

_OF_DOCUMENTS_THERE = (
    _LATEST_PER_AUTHOR
    + """  AND NOT EXISTS (
    SELECT 1 FROM removed_document AS removed
    JOIN label_set ON label_set.collection_id = removed.collection_id
    WHERE label_set.id = event.label_set_id
      AND removed.doc_id = event.doc_id
  )
"""
)


def upgrade() -> None:
    """Add what is new; every collection there is has the bundled embedders and is complete."""
    for column in (
        sa.Column("embedders", sa.JSON(), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.String(16), nullable=False, server_default="ready"),
        sa.Column("created_by", sa.Text(), nullable=False, server_default=""),
    ):
        op.add_column("collection", column)
    op.create_table(
        "removed_document",
        _refers_to("collection", "removed_document", is_mandatory=True),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "doc_id", name=op.f("pk_removed_document")),
    )
    _create_import_job()
    op.execute("DROP VIEW current_judgment")
    op.execute(_OF_DOCUMENTS_THERE)


def downgrade() -> None:
    """Take everything back; judgments of removed documents stand again, and what is not complete goes."""
    op.execute("DROP VIEW current_judgment")
    op.drop_table("import_job")
    op.drop_table("removed_document")
    op.execute("DELETE FROM document WHERE collection_id IN (SELECT id FROM collection WHERE state <> 'ready')")
    # what else refers to a collection refers to complete ones; deleted ones keep nothing but their row
    op.execute(
        "DELETE FROM collection WHERE state <> 'ready' AND id NOT IN (SELECT collection_id FROM label_set)"
        " AND id NOT IN (SELECT collection_id FROM query)"
    )
    for name in ("created_by", "state", "archived_at", "embedders"):
        op.drop_column("collection", name)
    op.execute(_LATEST_PER_AUTHOR)


def _refers_to(referred: str, table: str, is_mandatory: bool, column: str = "") -> sa.Column[int]:
    """Return a column of `table` that refers to the table `referred`, called `<referred>_id` if nothing is said."""
    column = column or f"{referred}_id"
    reference = sa.ForeignKey(f"{referred}.id", name=op.f(f"fk_{table}_{column}"))
    return sa.Column(column, sa.Integer(), reference, nullable=not is_mandatory)


def _create_import_job() -> None:
    op.create_table(
        "import_job",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        _refers_to("collection", "import_job", is_mandatory=False),
        _refers_to("collection", "import_job", is_mandatory=False, column="staging_id"),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("remarks", sa.JSON(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_job")),
        sa.CheckConstraint("kind IN ('new', 'add', 'replace', 'embedders')", name=op.f("ck_import_job_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'finished', 'failed', 'cancelled', 'interrupted')",
            name=op.f("ck_import_job_state"),
        ),
        sqlite_autoincrement=True,
    )
