from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import label_sets, queries
from storage.records import LabelSetRecord, PoolDocument, QueryRecord
from storage.schema import RemovedDocumentRow

Sessions = sessionmaker[Session]

FIRST = [PoolDocument("z", {"bm25": 1, "after": 3}), PoolDocument("é1", {"by hand": None})]


def test_pool_comes_back_in_the_order_in_which_it_grew(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord
) -> None:
    with sessions.begin() as session:
        assert label_sets.pool_of(session, label_set.id, query.id) == []
        assert label_sets.add_to_pool(session, label_set.id, query.id, iter(FIRST)) == 2
    with sessions.begin() as session:
        assert label_sets.add_to_pool(session, label_set.id, query.id, [PoolDocument("a", {})]) == 1
    with sessions.begin() as session:
        assert label_sets.pool_of(session, label_set.id, query.id) == [*FIRST, PoolDocument("a", {})]


def test_document_already_in_the_pool_keeps_its_place_and_its_sources(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord
) -> None:
    with sessions.begin() as session:
        label_sets.add_to_pool(session, label_set.id, query.id, FIRST)
    with sessions.begin() as session:
        again = [PoolDocument("new", {"after": 1}), PoolDocument("z", {"after": 9}), PoolDocument("é1", {})]
        assert label_sets.add_to_pool(session, label_set.id, query.id, again) == 1
    with sessions.begin() as session:
        assert label_sets.add_to_pool(session, label_set.id, query.id, again) == 0
        assert label_sets.add_to_pool(session, label_set.id, query.id, []) == 0
        assert label_sets.pool_of(session, label_set.id, query.id) == [*FIRST, PoolDocument("new", {"after": 1})]


def test_document_given_twice_at_once_is_added_once(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord
) -> None:
    twice = [PoolDocument("d1", {"bm25": 1}), PoolDocument("d2", {}), PoolDocument("d1", {"bm25": 1})]
    with sessions.begin() as session:
        assert label_sets.add_to_pool(session, label_set.id, query.id, twice) == 2
        assert label_sets.pool_of(session, label_set.id, query.id) == twice[:2]


def test_pools_of_label_sets_and_queries_are_apart(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord
) -> None:
    with sessions.begin() as session:
        jays = queries.get_or_create(session, query.collection_id, "jays", "", "ann")
        auks = queries.get_or_create(session, query.collection_id, "auks", "", "ann")
        other = label_sets.get_or_create(session, query.collection_id, "other", "ann")
    d1, d2 = PoolDocument("d1", {"bm25": 1}), PoolDocument("d2", {"bm25": 2})
    with sessions.begin() as session:
        label_sets.add_to_pool(session, label_set.id, jays.id, [d2])
        label_sets.add_to_pool(session, label_set.id, query.id, [d1])
        label_sets.add_to_pool(session, label_set.id, jays.id, [d1])
        label_sets.add_to_pool(session, other.id, query.id, [PoolDocument("d1", {"after": 7})])
    with sessions.begin() as session:
        assert label_sets.pooled_ids(session, label_set.id) == {query.id: ["d1"], jays.id: ["d2", "d1"]}
        assert label_sets.pooled_ids(session, label_set.id, [jays.id, auks.id]) == {jays.id: ["d2", "d1"]}
        assert label_sets.pooled_ids(session, label_set.id, []) == {}
        assert label_sets.pooled_ids(session, other.id) == {query.id: ["d1"]}
        assert label_sets.pooled_ids(session, other.id + 1) == {}
        assert label_sets.pool_of(session, label_set.id, jays.id) == [d2, d1]
        assert label_sets.pool_of(session, label_set.id, auks.id) == []
        assert label_sets.pool_of(session, other.id, jays.id) == []


@pytest.mark.parametrize("unknown", ["label set", "query"])
def test_pool_of_something_unknown_is_refused(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, unknown: str
) -> None:
    label_set_id, query_id = (99, query.id) if unknown == "label set" else (label_set.id, 99)
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), sessions.begin() as session:
        label_sets.add_to_pool(session, label_set_id, query_id, FIRST)


def test_pool_grows_once_by_many_threads(
    sessions: Sessions,
    query: QueryRecord,
    label_set: LabelSetRecord,
    at_once: Callable[[int, Callable[[int], Any]], list[Any]],
) -> None:
    def add(number: int) -> int:
        with sessions.begin() as session:
            return label_sets.add_to_pool(
                session, label_set.id, query.id, [PoolDocument("shared", {}), PoolDocument(f"{number}", {})]
            )

    assert sorted(at_once(8, add)) == [1, 1, 1, 1, 1, 1, 1, 2]
    with sessions.begin() as session:
        ids = [document.doc_id for document in label_sets.pool_of(session, label_set.id, query.id)]
    assert sorted(ids) == [*"01234567", "shared"]


def test_document_that_was_removed_is_out_of_the_pool_until_it_comes_back(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord
) -> None:
    with sessions.begin() as session:
        label_sets.add_to_pool(session, label_set.id, query.id, FIRST)
        session.add(RemovedDocumentRow(collection_id=label_set.collection_id, doc_id="z"))
    with sessions.begin() as session:
        assert label_sets.pool_of(session, label_set.id, query.id) == FIRST[1:]
        assert label_sets.pooled_ids(session, label_set.id) == {query.id: ["é1"]}
        assert label_sets.add_to_pool(session, label_set.id, query.id, FIRST) == 0
        session.execute(delete(RemovedDocumentRow))
    with sessions.begin() as session:
        assert label_sets.pool_of(session, label_set.id, query.id) == FIRST
