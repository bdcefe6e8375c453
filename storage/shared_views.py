"""Store of what links show: a slug, and the view that the link leads to."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.batches import find_or_insert
from storage.records import JsonObject
from storage.schema import SharedViewRow


def keep(session: Session, slug: str, content: JsonObject) -> None:
    """Keep what the slug leads to; where it leads somewhere already, nothing changes."""
    wanted = select(SharedViewRow).where(SharedViewRow.slug == slug)
    find_or_insert(session, wanted, SharedViewRow(slug=slug, content=dict(content)))


def find(session: Session, slug: str) -> JsonObject | None:
    """Return what the slug leads to, or None."""
    return session.scalars(select(SharedViewRow.content).where(SharedViewRow.slug == slug)).one_or_none()
