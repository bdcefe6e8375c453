"""What numbers rest on: draws that pools were made by, queries kept for testing, comparisons looked at.

Never edited again: later versions of the tables are later migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; of pools that there are, no draw is known."""
    op.create_table(
        "pool_draw",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("label_set", "pool_draw"),
        _refers_to("query", "pool_draw"),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("drawn", sa.JSON(), nullable=False),
        sa.Column("not_drawn", sa.JSON(), nullable=False),
        sa.Column("certain", sa.JSON(), nullable=False),
        sa.Column("is_deep", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_draw")),
    )
    op.create_index(op.f("ix_pool_draw_label_set_id_query_id"), "pool_draw", ["label_set_id", "query_id"])
    op.create_table(
        "test_query",
        _refers_to("label_set", "test_query"),
        _refers_to("query", "test_query"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("label_set_id", "query_id", name=op.f("pk_test_query")),
    )
    op.create_table(
        "comparison_look",
        _refers_to("label_set", "comparison_look"),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("label_set_id", "digest", name=op.f("pk_comparison_look")),
    )


def downgrade() -> None:
    """Take everything back; the documents of pools stay."""
    for name in ("comparison_look", "test_query", "pool_draw"):
        op.drop_table(name)


def _refers_to(referred: str, table: str) -> sa.Column[int]:
    """Return a column of `table`, called `<referred>_id`, that refers to the table `referred`."""
    column = f"{referred}_id"
    reference = sa.ForeignKey(f"{referred}.id", name=op.f(f"fk_{table}_{column}"))
    return sa.Column(column, sa.Integer(), reference, nullable=False)
