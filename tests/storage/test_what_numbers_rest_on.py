"""What numbers rest on: how pools were drawn, which queries are kept for testing, what was looked at."""

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import comparisons, label_sets, queries
from storage.records import CollectionRecord, LabelSetRecord, PoolDraw, QueryRecord


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with sessions() as open_session:
        yield open_session


@pytest.fixture
def asked(session: Session, collection: CollectionRecord) -> list[QueryRecord]:
    return [queries.get_or_create(session, collection.id, text, "", "ann") for text in ("owls", "terns", "gulls")]


def test_draws_come_back_in_order_and_by_query(
    session: Session, label_set: LabelSetRecord, asked: list[QueryRecord]
) -> None:
    owls, terns, gulls = (query.id for query in asked)
    first, second = (
        PoolDraw(("light", "aligned"), ("d1",), ("d2", "d3", "d4")),
        PoolDraw(("run-1",), (), (), certain=("d1", "d7"), is_deep=True),
    )
    other = PoolDraw(("light",), ("d9",), ())
    for query_id, draw in ((owls, first), (terns, other), (owls, second)):
        label_sets.add_draw(session, label_set.id, query_id, draw)
    assert label_sets.draws(session, label_set.id, [owls, terns, gulls]) == {owls: [first, second], terns: [other]}
    assert label_sets.draws(session, label_set.id, [gulls]) == {}
    assert label_sets.draws(session, label_set.id + 1, [owls]) == {}
    assert (first.probability, second.probability, other.probability) == (0.25, 1.0, 1.0)


def test_queries_are_kept_for_testing_in_one_label_set_alone(
    session: Session, collection: CollectionRecord, label_set: LabelSetRecord, asked: list[QueryRecord]
) -> None:
    owls, terns, gulls = (query.id for query in asked)
    other = label_sets.get_or_create(session, collection.id, "other", "ann")
    assert queries.keep_for_testing(session, label_set.id, [owls, terns], "ann") == 2
    assert queries.keep_for_testing(session, label_set.id, [terns, gulls, gulls], "ben") == 1
    assert queries.kept_for_testing(session, label_set.id) == {owls, terns, gulls}
    assert queries.kept_for_testing(session, other.id) == frozenset()
    assert queries.learn_from_again(session, label_set.id, [terns, 9999]) == 1
    assert queries.learn_from_again(session, label_set.id, [terns]) == 0
    assert queries.kept_for_testing(session, label_set.id) == {owls, gulls}


def test_unknown_query_cannot_be_kept_for_testing(session: Session, label_set: LabelSetRecord) -> None:
    with pytest.raises(IntegrityError):
        queries.keep_for_testing(session, label_set.id, [9999], "ann")


def test_each_look_counts_once(session: Session, label_set: LabelSetRecord, collection: CollectionRecord) -> None:
    other = label_sets.get_or_create(session, collection.id, "other", "ann")
    assert comparisons.count_looks(session, label_set.id) == 0
    assert [comparisons.note_look(session, label_set.id, digest * 64) for digest in "aba"] == [True, True, False]
    assert comparisons.count_looks(session, label_set.id) == 2
    assert [comparisons.is_look_noted(session, label_set.id, digest * 64) for digest in "abc"] == [True, True, False]
    assert comparisons.count_looks(session, other.id) == 0
