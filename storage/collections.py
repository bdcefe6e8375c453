"""Store of document collections: what they are called, what they hold and what their index was built with."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.errors import NameTaken, UnknownRecord
from storage.records import CollectionRecord, CollectionState, JsonObject, JudgmentRole
from storage.schema import CollectionRow, JudgmentEventRow, LabelSetRow, QueryRow, SearchEventRow, utc_now

_READY = select(CollectionRow).where(CollectionRow.state == CollectionState.READY)


def add(
    session: Session,
    *,
    name: str,
    description: str,
    is_demo: bool,
    corpus_fingerprint: str,
    n_documents: int,
    document_embedder: str,
    embedders: JsonObject | None = None,
    state: CollectionState = CollectionState.READY,
    created_by: str = "",
) -> CollectionRecord:
    """Add a collection; its documents follow through `documents.add_many`.

    Args:
        session: an open session.
        name: unique among all collections.
        description: for people.
        is_demo: whether the program brought it along.
        corpus_fingerprint: 64 hexadecimal digits.
        n_documents: how many documents it holds.
        document_embedder: JSON identity of the embedder of its index.
        embedders: the pair that was chosen; None for the bundled one.
        state: a collection that is not ready is not shown; `publish` shows it.
        created_by: who imports it.

    Raises:
        NameTaken: if a collection has that name.
    """
    now = utc_now()
    row = CollectionRow(
        name=name,
        description=description,
        is_demo=is_demo,
        corpus_fingerprint=corpus_fingerprint,
        n_documents=n_documents,
        document_embedder=document_embedder,
        created_at=now,
        last_used_at=now,
        embedders=None if embedders is None else dict(embedders),
        state=state,
        created_by=created_by,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise NameTaken("collection", name) from error
    return _record(row)


def get(session: Session, collection_id: int) -> CollectionRecord:
    """Return the collection.

    Raises:
        UnknownRecord: if there is none.
    """
    return _record(_row(session, collection_id))


def find_by_name(session: Session, name: str) -> CollectionRecord | None:
    """Return the collection of exactly that name, or None; an archived one is found, one that is not ready is not."""
    row = session.scalars(_READY.where(CollectionRow.name == name)).one_or_none()
    return None if row is None else _record(row)


def find_demo(session: Session) -> CollectionRecord | None:
    """Return the last of the collections that the program brought along, whatever its name and state are, or None."""
    found = select(CollectionRow).where(CollectionRow.is_demo).order_by(CollectionRow.id.desc()).limit(1)
    row = session.scalars(found).one_or_none()
    return None if row is None else _record(row)


def list_all(session: Session, *, with_archived: bool = False) -> Sequence[CollectionRecord]:
    """Return every collection that is ready, the one used last first; archived ones only if they are asked for."""
    statement = _READY if with_archived else _READY.where(CollectionRow.archived_at.is_(None))
    statement = statement.order_by(CollectionRow.last_used_at.desc(), CollectionRow.id.desc())
    return [_record(row) for row in session.scalars(statement)]


def list_in_state(session: Session, state: CollectionState) -> Sequence[CollectionRecord]:
    """Return the collections in that state by id."""
    statement = select(CollectionRow).where(CollectionRow.state == state).order_by(CollectionRow.id)
    return [_record(row) for row in session.scalars(statement)]


def last_worked_in(session: Session, author: str) -> int | None:
    """Return the collection in which a person judged, searched or imported last; None if there is none (any more)."""
    judged = (
        select(CollectionRow.id, JudgmentEventRow.created_at)
        .join(LabelSetRow, LabelSetRow.collection_id == CollectionRow.id)
        .join(JudgmentEventRow, JudgmentEventRow.label_set_id == LabelSetRow.id)
        .where(JudgmentEventRow.author == author, JudgmentEventRow.role != JudgmentRole.REFERENCE)
        .order_by(JudgmentEventRow.id.desc())
    )
    searched = (
        select(CollectionRow.id, SearchEventRow.created_at)
        .join(QueryRow, QueryRow.collection_id == CollectionRow.id)
        .join(SearchEventRow, SearchEventRow.query_id == QueryRow.id)
        .where(SearchEventRow.author == author)
        .order_by(SearchEventRow.id.desc())
    )
    imported = (
        select(CollectionRow.id, CollectionRow.last_used_at)
        .where(CollectionRow.created_by == author)
        .order_by(CollectionRow.last_used_at.desc())
    )
    is_shown = CollectionRow.state == CollectionState.READY, CollectionRow.archived_at.is_(None)
    latest = [session.execute(acts.where(*is_shown).limit(1)).one_or_none() for acts in (judged, searched, imported)]
    done = [(at, collection_id) for collection_id, at in filter(None, latest)]
    return max(done)[1] if done else None


def touch(session: Session, collection_id: int) -> CollectionRecord:
    """Note that the collection is used now.

    Raises:
        UnknownRecord: if there is none.
    """
    row = _row(session, collection_id)
    row.last_used_at = utc_now()
    session.flush()
    return _record(row)


def set_index(
    session: Session, collection_id: int, *, corpus_fingerprint: str, n_documents: int, document_embedder: str
) -> CollectionRecord:
    """Note what the collection's index holds and what embedded it, after it was built or rebuilt.

    Args:
        session: an open session.
        collection_id: whose index it is.
        corpus_fingerprint: 64 hexadecimal digits, of the documents indexed.
        n_documents: how many were indexed.
        document_embedder: JSON identity of the embedder.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _row(session, collection_id)
    row.corpus_fingerprint = corpus_fingerprint
    row.n_documents = n_documents
    row.document_embedder = document_embedder
    session.flush()
    return _record(row)


def set_desk(session: Session, collection_id: int, desk: JsonObject) -> CollectionRecord:
    """Keep how judging is set up in the collection.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _row(session, collection_id)
    row.desk = dict(desk)
    session.flush()
    return _record(row)


def set_embedders(session: Session, collection_id: int, embedders: JsonObject | None) -> CollectionRecord:
    """Note which pair of embedders was chosen; None for the bundled one.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _row(session, collection_id)
    row.embedders = None if embedders is None else dict(embedders)
    session.flush()
    return _record(row)


def describe(session: Session, collection_id: int, description: str) -> CollectionRecord:
    """Keep what the collection is, for people.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _row(session, collection_id)
    row.description = description
    session.flush()
    return _record(row)


def archive(session: Session, collection_id: int, is_archived: bool) -> CollectionRecord:
    """Put the collection out of sight, or back; nothing of it is lost.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _row(session, collection_id)
    row.archived_at = utc_now() if is_archived else None
    session.flush()
    return _record(row)


def publish(session: Session, collection_id: int) -> CollectionRecord:
    """Show a collection that was being imported; it counts as used now.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    row = _row(session, collection_id)
    row.state = CollectionState.READY
    row.last_used_at = utc_now()
    session.flush()
    return _record(row)


def rename(session: Session, collection_id: int, name: str) -> CollectionRecord:
    """Give the collection another name.

    Raises:
        UnknownRecord: if there is no such collection.
        NameTaken: if another collection has that name.
    """
    row = _row(session, collection_id)
    try:
        with session.begin_nested():
            row.name = name
    except IntegrityError as error:
        raise NameTaken("collection", name) from error
    return _record(row)


def _row(session: Session, collection_id: int) -> CollectionRow:
    row = session.get(CollectionRow, collection_id)
    if row is None:
        raise UnknownRecord("collection", collection_id)
    return row


def _record(row: CollectionRow) -> CollectionRecord:
    return CollectionRecord(
        id=row.id,
        name=row.name,
        description=row.description,
        is_demo=row.is_demo,
        corpus_fingerprint=row.corpus_fingerprint,
        n_documents=row.n_documents,
        document_embedder=row.document_embedder,
        desk=row.desk,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        embedders=row.embedders,
        archived_at=row.archived_at,
        state=row.state,
        created_by=row.created_by,
    )
