from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import label_sets
from storage.records import CollectionRecord
from storage.schema import AcknowledgementRow

Sessions = sessionmaker[Session]

OLD, NEW = "1" * 64, "2" * 64


def n_stored(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return session.scalars(select(func.count()).select_from(AcknowledgementRow)).one()


def test_acknowledgement_is_of_one_author_one_version_and_one_collection(
    sessions: Sessions, collection: CollectionRecord, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        fish = add_collection(session, "fish")
        assert not label_sets.has_acknowledged(session, collection.id, "ann", OLD)
        label_sets.acknowledge(session, collection.id, "ann", OLD)
    with sessions.begin() as session:
        assert label_sets.has_acknowledged(session, collection.id, "ann", OLD)
        assert not label_sets.has_acknowledged(session, collection.id, "bob", OLD)
        assert not label_sets.has_acknowledged(session, collection.id, "ann", NEW)
        assert not label_sets.has_acknowledged(session, fish.id, "ann", OLD)


def test_acknowledgement_of_a_new_version_keeps_that_of_the_old_one(
    sessions: Sessions, collection: CollectionRecord
) -> None:
    with sessions.begin() as session:
        label_sets.acknowledge(session, collection.id, "ann", OLD)
        label_sets.acknowledge(session, collection.id, "ann", NEW)
    with sessions.begin() as session:
        assert label_sets.has_acknowledged(session, collection.id, "ann", OLD)
        assert label_sets.has_acknowledged(session, collection.id, "ann", NEW)


def test_acknowledgement_given_again_changes_nothing(sessions: Sessions, collection: CollectionRecord) -> None:
    for _ in range(2):
        with sessions.begin() as session:
            label_sets.acknowledge(session, collection.id, "ann", OLD)
    assert n_stored(sessions) == 1


def test_acknowledgement_is_stored_once_by_many_threads(
    sessions: Sessions, collection: CollectionRecord, at_once: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    def acknowledge(number: int) -> None:
        with sessions.begin() as session:
            label_sets.acknowledge(session, collection.id, "ann", OLD)

    at_once(8, acknowledge)
    assert n_stored(sessions) == 1


def test_acknowledgement_in_an_unknown_collection_is_refused(sessions: Sessions) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), sessions.begin() as session:
        label_sets.acknowledge(session, 99, "ann", OLD)
