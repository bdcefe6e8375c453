"""Store of snapshots: comparisons kept as they were, with every ranking in them."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import delete as delete_rows
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from storage.batches import LOOKUP_BATCH, batches
from storage.collection_records import JsonObject
from storage.errors import UnknownRecord
from storage.records import NewSnapshot, SnapshotRanking, SnapshotRecord
from storage.schema import SnapshotRankingRow, SnapshotRow

_ADD_BATCH = 500


def create(session: Session, new: NewSnapshot, rankings: Iterable[SnapshotRanking]) -> SnapshotRecord:
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


def list_for(session: Session, collection_id: int) -> Sequence[SnapshotRecord]:
    """Return the collection's snapshots, newest first."""
    statement = select(SnapshotRow).where(SnapshotRow.collection_id == collection_id).order_by(SnapshotRow.id.desc())
    return [_record(row) for row in session.scalars(statement)]


def find(session: Session, slug: str) -> SnapshotRecord | None:
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


def describe(session: Session, snapshot_id: int, *, name: str | None = None, note: str | None = None) -> SnapshotRecord:
    """Change the name or the note of a snapshot, whichever is not None, and return it.

    Raises:
        UnknownRecord: if there is none.
    """
    row = _row(session, snapshot_id)
    row.name = row.name if name is None else name
    row.note = row.note if note is None else note
    session.flush()
    return _record(row)


def delete(session: Session, snapshot_id: int) -> None:
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
