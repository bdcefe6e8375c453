"""One table of jobs for imports, training, learning curves and all later work in the background.

Never edited again: later versions of the tables are later migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_RUN = (
    "id, collection_id, label_set_id, number, recipe, seed, config, label_snapshot, snapshot_hash, n_queries,"
    " n_relevant, n_not_relevant, measures, device, author, created_at, name, note, is_pinned, is_archived, rerun_of,"
    " curve, deleted_at"
)
_IMPORT = (
    "id, kind, author, name, request, collection_id, staging_id, state, stage, fraction, message, error, remarks,"
    " cancel_requested, created_at, queued_at, finished_at"
)
_OF_RUN = (
    "author, collection_id, state, stage, fraction, cancel_requested, created_at, queued_at, started_at, finished_at,"
    " heartbeat_at"
)
_STATES = "state IN ('queued', 'running', 'finished', 'failed', 'cancelled', 'interrupted')"


def upgrade() -> None:
    """Bring all queues together: imports keep their ids, and each training run gets a job in the state that it has."""
    op.rename_table("training_run", "training_run_before")
    op.create_table("training_run", *_columns_of_a_run())
    op.execute(f"INSERT INTO training_run ({_RUN}) SELECT {_RUN} FROM training_run_before")
    _create_job()
    taken_up = "CASE WHEN stage <> '' THEN queued_at END"  # one that never had its turn has no stage
    op.execute(f"INSERT INTO job ({_IMPORT}, started_at) SELECT {_IMPORT}, {taken_up} FROM import_job")
    _keep_counting("import_job", "job")
    op.execute(
        f"INSERT INTO job (kind, name, request, remarks, training_run_id, message, error, {_OF_RUN})"
        " SELECT 'train', '', '{}', '[]', id, CASE WHEN state = 'failed' THEN '' ELSE message END,"
        f" CASE WHEN state = 'failed' THEN message ELSE '' END, {_OF_RUN} FROM training_run_before ORDER BY id"
    )
    now = "CURRENT_TIMESTAMP"
    op.execute(
        "INSERT INTO job (kind, name, request, remarks, training_run_id, author, collection_id, state, stage, fraction,"
        " message, error, cancel_requested, created_at, queued_at)"
        f" SELECT 'curve', '', '{{}}', '[]', id, author, collection_id, 'queued', '', 0.0, '', '', {sa.false()}, {now},"
        f" {now} FROM training_run_before WHERE wants_curve AND deleted_at IS NULL ORDER BY id"
    )
    op.drop_table("training_run_before")
    op.drop_table("import_job")


def downgrade() -> None:
    """Give training and imports their own queues again; what an earlier version does not know of is not queued."""
    _create_import_job()
    imports = "kind IN ('new', 'add', 'replace', 'embedders')"
    op.execute(f"INSERT INTO import_job ({_IMPORT}) SELECT {_IMPORT} FROM job WHERE {imports}")
    _keep_counting("job", "import_job")
    op.rename_table("training_run", "training_run_after")
    op.create_table("training_run", *_columns_of_a_run(with_queue=True))
    run = ", ".join(f"run.{name}" for name in _RUN.split(", "))
    queue = "state, stage, fraction, cancel_requested, queued_at, started_at, finished_at, heartbeat_at"
    of_job = ", ".join(f"job.{name}" for name in queue.split(", "))
    curve = (
        "EXISTS (SELECT 1 FROM job curve WHERE curve.kind = 'curve' AND curve.training_run_id = run.id"
        " AND curve.state IN ('queued', 'running'))"
    )
    op.execute(
        f"INSERT INTO training_run ({_RUN}, {queue}, message, wants_curve) SELECT {run}, {of_job},"
        f" CASE WHEN job.error <> '' THEN job.error ELSE job.message END, {curve}"
        " FROM training_run_after run JOIN job ON job.training_run_id = run.id AND job.kind = 'train'"
    )
    op.drop_table("job")
    op.drop_table("training_run_after")


def _keep_counting(before: str, after: str) -> None:
    """Let ids of a table begin after the highest one that another table ever gave."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DELETE FROM sqlite_sequence WHERE name = '{after}'")
        op.execute(f"INSERT INTO sqlite_sequence SELECT '{after}', seq FROM sqlite_sequence WHERE name = '{before}'")


def _columns_of_a_run(with_queue: bool = False) -> list[sa.schema.SchemaItem]:
    """Return columns and constraints of training runs, beside a queue of all jobs or with a queue of their own."""
    queue: list[sa.schema.SchemaItem] = [
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    ]
    times: list[sa.schema.SchemaItem] = [
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "queued_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("'1970-01-01 00:00:00'")
        ),
    ]
    wants: sa.schema.SchemaItem = sa.Column("wants_curve", sa.Boolean(), nullable=False, server_default=sa.false())
    state: sa.schema.SchemaItem = sa.CheckConstraint(_STATES, name=op.f("ck_training_run_state"))
    return [
        sa.Column("id", sa.Integer(), nullable=False),
        _refers_to("collection", "training_run", is_mandatory=True),
        _refers_to("label_set", "training_run", is_mandatory=True),
        sa.Column("number", sa.Integer(), nullable=False),
        *(queue[:1] if with_queue else []),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("label_snapshot", sa.JSON(), nullable=False),
        sa.Column("snapshot_hash", sa.String(64), nullable=False),
        sa.Column("n_queries", sa.Integer(), nullable=False),
        sa.Column("n_relevant", sa.Integer(), nullable=False),
        sa.Column("n_not_relevant", sa.Integer(), nullable=False),
        *(queue[1:] if with_queue else []),
        sa.Column("measures", sa.JSON(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        *([sa.Column("cancel_requested", sa.Boolean(), nullable=False)] if with_queue else []),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *(times if with_queue else []),
        sa.Column("name", sa.Text(), nullable=False, server_default=""),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        sa.Column("is_pinned", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("is_archived", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("rerun_of", sa.Integer(), nullable=True),
        sa.Column("curve", sa.JSON(), nullable=True),
        *([wants] if with_queue else []),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
        sa.UniqueConstraint("collection_id", "number", name=op.f("uq_training_run_collection_id_number")),
        *([state] if with_queue else []),
    ]


def _refers_to(referred: str, table: str, is_mandatory: bool = False, column: str = "") -> sa.Column[int]:
    """Return a column of `table` that refers to the table `referred`, called `<referred>_id` if nothing is said."""
    column = column or f"{referred}_id"
    reference = sa.ForeignKey(f"{referred}.id", name=op.f(f"fk_{table}_{column}"))
    return sa.Column(column, sa.Integer(), reference, nullable=not is_mandatory)


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        _refers_to("collection", "job"),
        _refers_to("collection", "job", column="staging_id"),
        _refers_to("training_run", "job"),
        *_columns_of_a_queue(),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.CheckConstraint(_STATES, name=op.f("ck_job_state")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_job_training_run_id"), "job", ["training_run_id"])


def _create_import_job() -> None:
    op.create_table(
        "import_job",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        _refers_to("collection", "import_job"),
        _refers_to("collection", "import_job", column="staging_id"),
        *_columns_of_a_queue(),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_job")),
        sa.CheckConstraint("kind IN ('new', 'add', 'replace', 'embedders')", name=op.f("ck_import_job_kind")),
        sa.CheckConstraint(_STATES, name=op.f("ck_import_job_state")),
        sqlite_autoincrement=True,
    )


def _columns_of_a_queue() -> list[sa.Column[object]]:
    return [
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("remarks", sa.JSON(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
    ]
