"""Store of label sets: the named sets that judgments belong to."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.errors import UnknownRecord
from storage.insertion import find_or_insert
from storage.records import LabelSetRecord
from storage.schema import LabelSetRow


def get_or_create(session: Session, collection_id: int, name: str, created_by: str) -> LabelSetRecord:
    """Return the collection's label set of that name, adding it if need be.

    Safe where several writers ask for the same name at once; `created_by` stays that of whoever was first.

    Raises:
        IntegrityError: if there is no such collection.
    """
    wanted = select(LabelSetRow).where(LabelSetRow.collection_id == collection_id, LabelSetRow.name == name)
    row, _ = find_or_insert(session, wanted, LabelSetRow(collection_id=collection_id, name=name, created_by=created_by))
    return _record(row)


def get(session: Session, label_set_id: int) -> LabelSetRecord:
    """Return the label set.

    Raises:
        UnknownRecord: if there is none.
    """
    return _record(_row(session, label_set_id))


def set_in_use(session: Session, label_set_id: int, key: str) -> LabelSetRecord:
    """Note which ranking is in use from now on; "" is what the newest training run found best.

    Raises:
        UnknownRecord: if there is no such label set.
    """
    row = _row(session, label_set_id)
    row.in_use = key
    session.flush()
    return _record(row)


def list_names(session: Session, collection_id: int) -> Sequence[LabelSetRecord]:
    """Return the collection's label sets by id."""
    statement = select(LabelSetRow).where(LabelSetRow.collection_id == collection_id).order_by(LabelSetRow.id)
    return [_record(row) for row in session.scalars(statement)]


def _row(session: Session, label_set_id: int) -> LabelSetRow:
    row = session.get(LabelSetRow, label_set_id)
    if row is None:
        raise UnknownRecord("label set", label_set_id)
    return row


def _record(row: LabelSetRow) -> LabelSetRecord:
    return LabelSetRecord(
        id=row.id,
        collection_id=row.collection_id,
        name=row.name,
        created_by=row.created_by,
        created_at=row.created_at,
        in_use=row.in_use,
    )
