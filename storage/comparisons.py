"""Store of comparisons: snapshots, looks, what links show, and blind preferences, an append-only log.

A pair of preferences is named by its two ranking keys in the order that the caller chose; the other order is another.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, fields

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from storage.engine import LOOKUP_BATCH, batches, find_or_insert
from storage.errors import UnknownRecord
from storage.records import JsonObject, NewPreference, NewSnapshot, PreferenceRecord, SnapshotRanking, SnapshotRecord
from storage.schema import ComparisonLookRow, PreferenceEventRow, SharedViewRow, SnapshotRankingRow, SnapshotRow

_ADD_BATCH = 500


def create_snapshot(session: Session, new: NewSnapshot, rankings: Iterable[SnapshotRanking]) -> SnapshotRecord:
    """Keep a comparison; `rankings` may be a generator, of which no more than one batch is held at a time.

    Raises:
        IntegrityError: if the slug is taken, a query is ranked twice by a side, or collection or label set are unknown.
    """
    row = SnapshotRow(
        slug=new.slug,
        collection_id=new.collection_id,
        label_set_id=new.label_set_id,
        name=new.name,
        note=new.note,
        author=new.author,
        about=dict(new.about),
        measured=[dict(each) for each in new.measured],
    )
    session.add(row)
    session.flush()
    for batch in batches(rankings, _ADD_BATCH):
        rows = [
            {
                "snapshot_id": row.id,
                "side": ranked.side,
                "query_id": ranked.query_id,
                "ranking": [[doc_id, float(score)] for doc_id, score in ranked.ranking],
                "is_held_out": ranked.is_held_out,
                "is_flattered": ranked.is_flattered,
            }
            for ranked in batch
        ]
        session.execute(insert(SnapshotRankingRow), rows)
    return _record(row)


def list_snapshots(session: Session, collection_id: int) -> Sequence[SnapshotRecord]:
    """Return the collection's snapshots, newest first."""
    statement = select(SnapshotRow).where(SnapshotRow.collection_id == collection_id).order_by(SnapshotRow.id.desc())
    return [_record(row) for row in session.scalars(statement)]


def find_snapshot(session: Session, slug: str) -> SnapshotRecord | None:
    """Return the snapshot of that slug, or None."""
    row = session.scalars(select(SnapshotRow).where(SnapshotRow.slug == slug)).one_or_none()
    return None if row is None else _record(row)


def measured(session: Session, snapshot_id: int) -> Sequence[JsonObject]:
    """Return what came out query by query; empty if there is no such snapshot."""
    return session.scalars(select(SnapshotRow.measured).where(SnapshotRow.id == snapshot_id)).one_or_none() or ()


def rankings(
    session: Session, snapshot_id: int, side: int, query_ids: Collection[int] | None = None
) -> dict[int, SnapshotRanking]:
    """Return what one side of the snapshot ranks, by query id and in that order.

    `query_ids` chooses the queries, None all of them; queries that the side does not rank are left out.
    """
    ranked = SnapshotRankingRow
    statement = select(ranked.query_id, ranked.ranking, ranked.is_held_out, ranked.is_flattered).where(
        ranked.snapshot_id == snapshot_id, ranked.side == side
    )
    if query_ids is None:
        statements = [statement]
    else:
        wanted = dict.fromkeys(query_ids)
        statements = [statement.where(ranked.query_id.in_(batch)) for batch in batches(wanted, LOOKUP_BATCH)]
    found = {
        query_id: SnapshotRanking(side, query_id, tuple((doc_id, score) for doc_id, score in ranking), *learned)
        for chosen in statements
        for query_id, ranking, *learned in session.execute(chosen)
    }
    return dict(sorted(found.items()))


def delete_snapshot(session: Session, snapshot_id: int) -> None:
    """Delete a snapshot with its rankings.

    Raises:
        UnknownRecord: if there is none.
    """
    row = _row(session, snapshot_id)
    session.execute(delete_rows(SnapshotRankingRow).where(SnapshotRankingRow.snapshot_id == snapshot_id))
    session.delete(row)
    session.flush()


def _row(session: Session, snapshot_id: int) -> SnapshotRow:
    row = session.get(SnapshotRow, snapshot_id)
    if row is None:
        raise UnknownRecord("snapshot", snapshot_id)
    return row


def _record(row: SnapshotRow) -> SnapshotRecord:
    return SnapshotRecord(
        id=row.id,
        slug=row.slug,
        collection_id=row.collection_id,
        label_set_id=row.label_set_id,
        name=row.name,
        note=row.note,
        author=row.author,
        about=row.about,
        created_at=row.created_at,
    )


def note_look(session: Session, label_set_id: int, digest: str) -> bool:
    """Note a comparison, named by a digest of 64 hexadecimal digits, and return whether it was new.

    Raises:
        IntegrityError: if there is no such label set.
    """
    if is_look_noted(session, label_set_id, digest):
        return False
    session.execute(insert(ComparisonLookRow).values(label_set_id=label_set_id, digest=digest))
    return True


def is_look_noted(session: Session, label_set_id: int, digest: str) -> bool:
    """Return whether somebody has looked at a comparison."""
    return session.get(ComparisonLookRow, (label_set_id, digest)) is not None


def count_looks(session: Session, label_set_id: int) -> int:
    """Return how many different comparisons over a label set were looked at."""
    statement = select(func.count()).where(ComparisonLookRow.label_set_id == label_set_id)
    return session.scalars(statement).one()


def keep_view(session: Session, slug: str, content: JsonObject) -> None:
    """Keep what the slug leads to; where it leads somewhere already, nothing changes."""
    wanted = select(SharedViewRow).where(SharedViewRow.slug == slug)
    find_or_insert(session, wanted, SharedViewRow(slug=slug, content=dict(content)))


def find_view(session: Session, slug: str) -> JsonObject | None:
    """Return what the slug leads to, or None."""
    return session.scalars(select(SharedViewRow.content).where(SharedViewRow.slug == slug)).one_or_none()


_NEW_FIELDS = tuple(field.name for field in fields(NewPreference))
_RECORD_FIELDS = tuple(field.name for field in fields(PreferenceRecord))
_EVENTS = select(*(PreferenceEventRow.__table__.c[name] for name in _RECORD_FIELDS))


def append_preference(session: Session, new: NewPreference) -> PreferenceRecord:
    """Store one preference.

    Raises:
        IntegrityError: if there is no such label set or query.
    """
    row = PreferenceEventRow(**dict(zip(_NEW_FIELDS, astuple(new), strict=True)))
    session.add(row)
    session.flush()
    return PreferenceRecord(*(getattr(row, name) for name in _RECORD_FIELDS))


def standing_preferences(
    session: Session, label_set_id: int, first: str, second: str, author: str | None = None
) -> Sequence[PreferenceRecord]:
    """Return the latest answer of each author, or of one, to each query for the pair, oldest first."""
    event = PreferenceEventRow
    latest = (
        select(func.max(event.id))
        .where(event.label_set_id == label_set_id, event.first == first, event.second == second)
        .group_by(event.query_id, event.author)
    )
    if author is not None:
        latest = latest.where(event.author == author)
    rows = session.execute(_EVENTS.where(event.id.in_(latest)).order_by(event.id))
    return [PreferenceRecord(*row) for row in rows]
