from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import comparisons, label_sets
from storage.errors import UnknownRecord
from storage.records import CollectionRecord, LabelSetRecord, NewSnapshot, SnapshotRanking, SnapshotRecord
from storage.schema import SnapshotRankingRow

Sessions = sessionmaker[Session]

BEFORE = SnapshotRanking(0, 11, (("d2", 0.1 + 0.2), ("é1", -0.5)), is_held_out=False)
AFTER = SnapshotRanking(1, 11, (("é1", 0.75),), is_held_out=True)
FLATTERED = SnapshotRanking(1, 12, (("é1", 0.75),), is_held_out=False, is_flattered=True)
EMPTY = SnapshotRanking(0, 4, (), is_held_out=False)


@pytest.fixture
def new_snapshot(collection: CollectionRecord, label_set: LabelSetRecord) -> NewSnapshot:
    return NewSnapshot(
        slug="abc2345",
        collection_id=collection.id,
        label_set_id=label_set.id,
        name="Before the fair",
        note="",
        author="ann",
        about={"sides": ["aligned", "run-7"], "depth": 100, "threshold": None},
    )


def create(sessions: Sessions, new: NewSnapshot, *rankings: SnapshotRanking) -> SnapshotRecord:
    with sessions.begin() as session:
        return comparisons.create_snapshot(session, new, iter(rankings))


def n_rankings(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return session.scalars(select(func.count()).select_from(SnapshotRankingRow)).one()


def test_snapshot_comes_back_as_it_was_given(sessions: Sessions, new_snapshot: NewSnapshot) -> None:
    created = create(sessions, new_snapshot, BEFORE, AFTER, EMPTY, FLATTERED)
    assert created == SnapshotRecord(
        id=1,
        slug="abc2345",
        collection_id=new_snapshot.collection_id,
        label_set_id=new_snapshot.label_set_id,
        name="Before the fair",
        note="",
        author="ann",
        about={"sides": ["aligned", "run-7"], "depth": 100, "threshold": None},
        created_at=created.created_at,
    )
    with sessions.begin() as session:
        assert comparisons.find_snapshot(session, "abc2345") == created
        assert comparisons.find_snapshot(session, "abc") is None
        assert comparisons.rankings(session, created.id, 0) == {4: EMPTY, 11: BEFORE}
        assert comparisons.rankings(session, created.id, 1) == {11: AFTER, 12: FLATTERED}
        assert comparisons.rankings(session, created.id, 2) == {}
        assert comparisons.rankings(session, created.id + 1, 0) == {}


def test_rankings_come_for_the_queries_asked_for(sessions: Sessions, new_snapshot: NewSnapshot) -> None:
    created = create(sessions, new_snapshot, BEFORE, AFTER, EMPTY)
    with sessions.begin() as session:
        assert comparisons.rankings(session, created.id, 0, [11, 11, 99]) == {11: BEFORE}
        assert comparisons.rankings(session, created.id, 1, {4, 11}) == {11: AFTER}
        assert comparisons.rankings(session, created.id, 0, []) == {}


def test_more_rankings_than_a_statement_takes_come_back_in_the_order_of_queries(
    engine: Engine, sessions: Sessions, new_snapshot: NewSnapshot
) -> None:
    n_queries = 2_000

    def many() -> Iterator[SnapshotRanking]:
        return (SnapshotRanking(0, n_queries - n, ((f"d{n}", float(n)),), n % 2 == 0) for n in range(n_queries))

    with sessions.begin() as session:
        created = comparisons.create_snapshot(session, new_snapshot, many())
    expected = {ranked.query_id: ranked for ranked in many()}
    n_parameters: list[int] = []

    @event.listens_for(engine, "before_cursor_execute")
    def count(_: object, cursor: object, statement: str, parameters: tuple[object, ...], *more: object) -> None:
        n_parameters.append(len(parameters))

    with sessions.begin() as session:
        everything = comparisons.rankings(session, created.id, 0)
        chosen = comparisons.rankings(session, created.id, 0, range(n_queries, 0, -1))
    assert everything == chosen == expected
    assert list(everything) == list(chosen) == list(range(1, n_queries + 1))
    assert n_queries < sum(n_parameters)
    assert max(n_parameters) < 999


def test_snapshots_of_a_collection_are_listed_newest_first(
    sessions: Sessions, new_snapshot: NewSnapshot, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        fish = add_collection(session, "fish")
        main = label_sets.get_or_create(session, fish.id, "main", "ann")
    first = create(sessions, new_snapshot, BEFORE)
    elsewhere = create(sessions, replace(new_snapshot, slug="b", collection_id=fish.id, label_set_id=main.id), AFTER)
    third = create(sessions, replace(new_snapshot, slug="a"))
    with sessions.begin() as session:
        assert comparisons.list_snapshots(session, new_snapshot.collection_id) == [third, first]
        assert comparisons.list_snapshots(session, fish.id) == [elsewhere]
        assert comparisons.list_snapshots(session, fish.id + 1) == []
        assert comparisons.rankings(session, elsewhere.id, 0) == {}


def test_what_came_out_of_each_query_is_read_on_its_own(
    engine: Engine, sessions: Sessions, new_snapshot: NewSnapshot
) -> None:
    measured = [{"query": 11, "values": {"RR": [0.1 + 0.2, 1.0]}}, {"query": 4, "values": {}}]
    created = create(sessions, replace(new_snapshot, measured=measured), BEFORE)
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def collect(_: object, cursor: object, statement: str, *more: object) -> None:
        statements.append(statement)

    with sessions.begin() as session:
        assert comparisons.list_snapshots(session, new_snapshot.collection_id) == [created]
        assert comparisons.find_snapshot(session, new_snapshot.slug) == created
    assert len(statements) >= 2
    assert not any("measured" in statement for statement in statements)
    with sessions.begin() as session:
        assert comparisons.measured(session, created.id) == measured
        assert comparisons.measured(session, created.id + 1) == ()


def test_deleted_snapshot_goes_with_its_rankings_alone(sessions: Sessions, new_snapshot: NewSnapshot) -> None:
    kept = create(sessions, replace(new_snapshot, slug="kept"), BEFORE)
    deleted = create(sessions, new_snapshot, BEFORE, AFTER)
    with sessions.begin() as session:
        comparisons.delete_snapshot(session, deleted.id)
    with sessions.begin() as session:
        assert comparisons.list_snapshots(session, new_snapshot.collection_id) == [kept]
        assert comparisons.rankings(session, kept.id, 0) == {11: BEFORE}
    assert n_rankings(sessions) == 1
    assert create(sessions, new_snapshot).id == 3  # an id is not given again, and the slug is free


def test_unknown_snapshot_is_named(sessions: Sessions, new_snapshot: NewSnapshot) -> None:
    create(sessions, new_snapshot, BEFORE)
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no snapshot with the id 2"):
        comparisons.delete_snapshot(session, 2)
    assert n_rankings(sessions) == 1


def test_slug_is_given_once(sessions: Sessions, new_snapshot: NewSnapshot) -> None:
    create(sessions, new_snapshot)
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: snapshot\.slug"):
        create(sessions, new_snapshot, BEFORE)
    assert n_rankings(sessions) == 0


def test_query_ranked_twice_by_a_side_leaves_no_half_snapshot(sessions: Sessions, new_snapshot: NewSnapshot) -> None:
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed: snapshot_ranking"):
        create(sessions, new_snapshot, BEFORE, replace(BEFORE, is_held_out=True))
    with sessions.begin() as session:
        assert comparisons.find_snapshot(session, new_snapshot.slug) is None


def test_snapshot_of_something_unknown_is_refused(sessions: Sessions, new_snapshot: NewSnapshot) -> None:
    for unknown in (replace(new_snapshot, collection_id=99), replace(new_snapshot, label_set_id=99)):
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            create(sessions, unknown)
