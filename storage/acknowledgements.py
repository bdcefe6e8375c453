"""Store of who has read which version of a collection's guidelines; a version is named by the hash of its text."""

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from storage.insertion import find_or_insert
from storage.schema import AcknowledgementRow


def add(session: Session, collection_id: int, author: str, text_hash: str) -> None:
    """Note that the author has read this version; a second time changes nothing.

    Raises:
        IntegrityError: if there is no such collection.
    """
    row = AcknowledgementRow(collection_id=collection_id, author=author, text_hash=text_hash)
    find_or_insert(session, _wanted(collection_id, author, text_hash), row)


def has(session: Session, collection_id: int, author: str, text_hash: str) -> bool:
    """Return whether the author has read this version."""
    return session.scalars(_wanted(collection_id, author, text_hash)).one_or_none() is not None


def _wanted(collection_id: int, author: str, text_hash: str) -> Select[AcknowledgementRow]:
    return select(AcknowledgementRow).where(
        AcknowledgementRow.collection_id == collection_id,
        AcknowledgementRow.author == author,
        AcknowledgementRow.text_hash == text_hash,
    )
