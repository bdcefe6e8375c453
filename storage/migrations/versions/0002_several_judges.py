"""Several judges: a mark stands per author, in a role, with a note; pools to judge, settings of the desk, metadata.

Never edited again: later versions of the tables are later migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OLD_INDEX, _OLD_COLUMNS = (
    "ix_judgment_event_label_set_id_query_id_doc_id_id",
    ["label_set_id", "query_id", "doc_id", "id"],
)
_NEW_INDEX, _NEW_COLUMNS = (
    "ix_judgment_event_label_set_id_query_id_doc_id_author_role_id",
    ["label_set_id", "query_id", "doc_id", "author", "role", "id"],
)

_LATEST_BEFORE = """
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


def upgrade() -> None:
    """Add what is new; marks that came with an import become reference marks."""
    op.execute("DROP VIEW current_judgment")
    for column in (
        sa.Column("role", sa.String(16), nullable=False, server_default="judge"),
        sa.Column("is_unsure", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("together_with", sa.Text(), nullable=True),
        sa.Column("undoes_id", sa.Integer(), nullable=True),
    ):
        op.add_column("judgment_event", column)
    op.execute("UPDATE judgment_event SET role = 'reference' WHERE client_id LIKE 'import-%'")
    op.drop_index(op.f(_OLD_INDEX), "judgment_event")
    op.create_index(op.f(_NEW_INDEX), "judgment_event", _NEW_COLUMNS)
    op.execute(_LATEST_PER_AUTHOR)
    op.add_column("query", sa.Column("need", sa.Text(), nullable=False, server_default=""))
    op.add_column("document", sa.Column("metadata", sa.JSON(), nullable=True))
    op.add_column("collection", sa.Column("desk", sa.JSON(), nullable=True))
    _create_pool_document()
    _create_acknowledgement()


def downgrade() -> None:
    """Take everything back; of several authors' marks on a document the latest counts again."""
    op.execute("DROP VIEW current_judgment")
    op.drop_table("acknowledgement")
    op.drop_table("pool_document")
    op.drop_column("collection", "desk")
    op.drop_column("document", "metadata")
    op.drop_column("query", "need")
    op.drop_index(op.f(_NEW_INDEX), "judgment_event")
    for name in ("undoes_id", "together_with", "seconds", "note", "is_unsure", "role"):
        op.drop_column("judgment_event", name)
    op.create_index(op.f(_OLD_INDEX), "judgment_event", _OLD_COLUMNS)
    op.execute(_LATEST_BEFORE)


def _refers_to(referred: str, table: str) -> sa.Column[int]:
    """Return a mandatory column `<referred>_id` of `table` that refers to the table `referred`."""
    name = op.f(f"fk_{table}_{referred}_id")
    return sa.Column(f"{referred}_id", sa.Integer(), sa.ForeignKey(f"{referred}.id", name=name), nullable=False)


def _create_pool_document() -> None:
    op.create_table(
        "pool_document",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("label_set", "pool_document"),
        _refers_to("query", "pool_document"),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_document")),
        sa.UniqueConstraint(
            "label_set_id", "query_id", "doc_id", name=op.f("uq_pool_document_label_set_id_query_id_doc_id")
        ),
    )


def _create_acknowledgement() -> None:
    op.create_table(
        "acknowledgement",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("collection", "acknowledgement"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acknowledgement")),
        sa.UniqueConstraint(
            "collection_id", "author", "text_hash", name=op.f("uq_acknowledgement_collection_id_author_text_hash")
        ),
    )
