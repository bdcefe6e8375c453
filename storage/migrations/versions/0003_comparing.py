"""Comparing: the ranking in use, named and resumable training runs, shared views, preferences, snapshots.

Never edited again: later versions of the tables are later migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; a training run counts as queued when it was created."""
    op.add_column("label_set", sa.Column("in_use", sa.Text(), nullable=False, server_default=""))
    for column in (
        sa.Column(
            "queued_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("'1970-01-01 00:00:00'")
        ),
        sa.Column("name", sa.Text(), nullable=False, server_default=""),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        sa.Column("is_pinned", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("is_archived", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("rerun_of", sa.Integer(), nullable=True),
        sa.Column("curve", sa.JSON(), nullable=True),
        sa.Column("wants_curve", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("training_run", column)
    op.execute("UPDATE training_run SET queued_at = created_at")
    _create_shared_view()
    _create_preference_event()
    _create_snapshot()


def downgrade() -> None:
    """Take everything back; what is left of deleted training runs goes, since it would be shown again."""
    for table in ("snapshot_ranking", "snapshot", "preference_event", "shared_view"):
        op.drop_table(table)
    op.execute("DELETE FROM training_run WHERE deleted_at IS NOT NULL")
    for name in (
        "deleted_at",
        "wants_curve",
        "curve",
        "rerun_of",
        "is_archived",
        "is_pinned",
        "note",
        "name",
        "queued_at",
    ):
        op.drop_column("training_run", name)
    op.drop_column("label_set", "in_use")


def _created_at() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), nullable=False)


def _refers_to(referred: str, table: str) -> sa.Column[int]:
    """Return a mandatory column `<referred>_id` of `table` that refers to the table `referred`."""
    name = op.f(f"fk_{table}_{referred}_id")
    return sa.Column(f"{referred}_id", sa.Integer(), sa.ForeignKey(f"{referred}.id", name=name), nullable=False)


def _create_shared_view() -> None:
    op.create_table(
        "shared_view",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_shared_view")),
    )


def _create_preference_event() -> None:
    op.create_table(
        "preference_event",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        _refers_to("label_set", "preference_event"),
        _refers_to("query", "preference_event"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("first", sa.Text(), nullable=False),
        sa.Column("second", sa.Text(), nullable=False),
        sa.Column("preferred", sa.String(16), nullable=False),
        sa.Column("shown_left", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preference_event")),
        sa.CheckConstraint(
            "preferred IN ('first', 'second', 'tie', 'neither')", name=op.f("ck_preference_event_preferred")
        ),
        sa.CheckConstraint("shown_left IN ('first', 'second')", name=op.f("ck_preference_event_shown_left")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_preference_event_label_set_id_first_second_query_id_author"),
        "preference_event",
        ["label_set_id", "first", "second", "query_id", "author"],
    )


def _create_snapshot() -> None:
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("slug", sa.Text(), nullable=False),
        _refers_to("collection", "snapshot"),
        _refers_to("label_set", "snapshot"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("measured", sa.JSON(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint("slug", name=op.f("uq_snapshot_slug")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "snapshot_ranking",
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("snapshot", "snapshot_ranking"),
        sa.Column("side", sa.Integer(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("ranking", sa.JSON(), nullable=False),
        sa.Column("is_held_out", sa.Boolean(), nullable=False),
        sa.Column("is_flattered", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot_ranking")),
        sa.UniqueConstraint(
            "snapshot_id", "side", "query_id", name=op.f("uq_snapshot_ranking_snapshot_id_side_query_id")
        ),
    )
