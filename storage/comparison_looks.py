"""Store of looks: which comparisons over a label set people have looked at, each once."""

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from storage.schema import ComparisonLookRow


def note(session: Session, label_set_id: int, digest: str) -> bool:
    """Note a comparison, named by a digest of 64 hexadecimal digits, and return whether it was new.

    Raises:
        IntegrityError: if there is no such label set.
    """
    if is_noted(session, label_set_id, digest):
        return False
    session.execute(insert(ComparisonLookRow).values(label_set_id=label_set_id, digest=digest))
    return True


def is_noted(session: Session, label_set_id: int, digest: str) -> bool:
    """Return whether somebody has looked at a comparison."""
    return session.get(ComparisonLookRow, (label_set_id, digest)) is not None


def count(session: Session, label_set_id: int) -> int:
    """Return how many different comparisons over a label set were looked at."""
    statement = select(func.count()).where(ComparisonLookRow.label_set_id == label_set_id)
    return session.scalars(statement).one()
