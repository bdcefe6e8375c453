"""What stands in a whole label set, and marks that come in with times of their own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from storage import judgments, label_sets
from storage.records import CollectionRecord, JudgmentRole, LabelSetRecord, NewJudgment
from tests.worlds.databases import Sessions

Make = Callable[..., NewJudgment]
THEN = datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)


def test_all_that_stands_is_returned_in_the_order_it_was_said(
    sessions: Sessions, label_set: LabelSetRecord, judgment: Make
) -> None:
    with sessions.begin() as session:
        for each in (
            judgment("d1", 1.0, 1),
            judgment("d2", None, 2, note="too short"),
            judgment("d3", None, 3, is_unsure=True),
            judgment("d1", 0.0, 4),
            judgment("d4", 1.0, 5),
            judgment("d4", None, 6),
            judgment("d1", 2.0, 7, author="ben", role=JudgmentRole.ADJUDICATOR),
        ):
            judgments.append(session, each)
    with sessions.begin() as session:
        found = judgments.all_current(session, label_set.id)
    assert [(mark.doc_id, mark.author, mark.grade) for mark in found] == [
        ("d2", "ann", None),
        ("d3", "ann", None),
        ("d1", "ann", 0.0),
        ("d1", "ben", 2.0),
    ]
    assert [mark.note for mark in found] == ["too short", "", "", ""]


def test_other_label_sets_are_left_out(
    sessions: Sessions, collection: CollectionRecord, label_set: LabelSetRecord, judgment: Make
) -> None:
    with sessions.begin() as session:
        other = label_sets.get_or_create(session, collection.id, "other", "ann")
        judgments.append(session, judgment("d1", 1.0, 1, label_set_id=other.id))
        assert judgments.all_current(session, label_set.id) == []


def test_marks_keep_the_time_they_were_made_at_and_others_get_the_present(
    sessions: Sessions, label_set: LabelSetRecord, judgment: Make
) -> None:
    before = datetime.now(UTC)
    with sessions.begin() as session:
        marks = [(judgment("d1", 1.0, 1), THEN), (judgment("d2", 0.5, 2), None)]
        assert judgments.append_dated(session, marks) == 2
        first, second = judgments.all_current(session, label_set.id)
    assert (first.created_at, first.grade) == (THEN, 1.0)
    assert before - timedelta(seconds=1) <= second.created_at <= datetime.now(UTC)


def test_many_marks_are_stored_and_the_last_of_a_document_stands(
    sessions: Sessions, label_set: LabelSetRecord, judgment: Make
) -> None:
    marks = [(judgment(f"d{number % 600}", float(number >= 600), number + 1), THEN) for number in range(1200)]
    with sessions.begin() as session:
        assert judgments.append_dated(session, marks) == 1200
        found = judgments.all_current(session, label_set.id)
    assert len(found) == 600
    assert {mark.grade for mark in found} == {1.0}


def test_a_delivery_that_is_stored_already_is_refused(sessions: Sessions, judgment: Make) -> None:
    with sessions.begin() as session:
        judgments.append(session, judgment("d1", 1.0, 1))
    with sessions() as session, pytest.raises(IntegrityError):
        judgments.append_dated(session, [(judgment("d1", 1.0, 1), THEN)])
