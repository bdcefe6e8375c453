"""How the rows of training runs are read and changed; what a change means is up to the stores that call this.

A deleted training run is a row that nothing here finds: it stays so that its id and its number are never used again.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from storage.errors import UnknownRecord
from storage.records import TrainingRunRecord, TrainingRunState
from storage.schema import TrainingRunRow

_COLUMNS = (  # in the order of the record's fields
    TrainingRunRow.id,
    TrainingRunRow.collection_id,
    TrainingRunRow.label_set_id,
    TrainingRunRow.number,
    TrainingRunRow.state,
    TrainingRunRow.recipe,
    TrainingRunRow.seed,
    TrainingRunRow.config,
    TrainingRunRow.snapshot_hash,
    TrainingRunRow.n_queries,
    TrainingRunRow.n_relevant,
    TrainingRunRow.n_not_relevant,
    TrainingRunRow.stage,
    TrainingRunRow.fraction,
    TrainingRunRow.message,
    TrainingRunRow.measures,
    TrainingRunRow.device,
    TrainingRunRow.author,
    TrainingRunRow.cancel_requested,
    TrainingRunRow.created_at,
    TrainingRunRow.started_at,
    TrainingRunRow.finished_at,
    TrainingRunRow.heartbeat_at,
    TrainingRunRow.name,
    TrainingRunRow.note,
    TrainingRunRow.is_pinned,
    TrainingRunRow.is_archived,
    TrainingRunRow.rerun_of,
    TrainingRunRow.curve,
    TrainingRunRow.wants_curve,
)

TRAINING_RUNS = select(*_COLUMNS).where(TrainingRunRow.deleted_at.is_(None))
"""Every training run that was not deleted; `record_of` makes a record of what it selects."""


def get(session: Session, run_id: int) -> TrainingRunRecord:
    """Return the training run as it stands.

    Raises:
        UnknownRecord: if there is none, or it was deleted.
    """
    row = session.execute(TRAINING_RUNS.where(TrainingRunRow.id == run_id)).one_or_none()
    if row is None:
        raise UnknownRecord("training run", run_id)
    return record_of(row)


def change(
    session: Session, run_id: int, allowed: Collection[TrainingRunState], **values: Any
) -> TrainingRunRecord | None:
    """Set columns of the training run if its state is an allowed one; return it, or None if nothing was set."""
    statement = (
        update(TrainingRunRow)
        .where(
            TrainingRunRow.id == run_id, TrainingRunRow.deleted_at.is_(None), TrainingRunRow.state.in_(list(allowed))
        )
        .values(**values)
        .returning(*_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else record_of(row)


def record_of(row: Row[*tuple[Any, ...]]) -> TrainingRunRecord:
    """Return the record of a row that `TRAINING_RUNS` selected."""
    return TrainingRunRecord(*row)
