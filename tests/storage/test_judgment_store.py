from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import judgments, label_sets
from storage.errors import UnknownRecord
from storage.records import JudgmentCounts, JudgmentRecord, LabelSetRecord, LabelSetSummary, NewJudgment, QueryRecord

Sessions = sessionmaker[Session]
MakeJudgment = Callable[..., NewJudgment]


def append_all(sessions: Sessions, *marks: NewJudgment) -> list[JudgmentRecord]:
    with sessions.begin() as session:
        return [judgments.append(session, mark).judgment for mark in marks]


def test_judgment_comes_back_as_it_was_given(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    (appended,) = append_all(sessions, judgment("d1", 2.5, 1, rank_shown=3, retriever="before"))
    assert appended == JudgmentRecord(
        id=1,
        label_set_id=label_set.id,
        query_id=query.id,
        instruction_id=query.instruction_id,
        doc_id="d1",
        content_hash="b" * 64,
        author="ann",
        grade=2.5,
        rank_shown=3,
        retriever="before",
        client_id="page-1",
        sequence=1,
        created_at=appended.created_at,
    )
    with sessions.begin() as session:
        assert judgments.history(session, label_set.id, query.id) == [appended]
        assert judgments.current_for_query(session, label_set.id, query.id) == {"d1": appended}


def test_repeated_delivery_writes_nothing_and_returns_the_first_event(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    with sessions.begin() as session:
        first = judgments.append(session, judgment("d1", 1.0, 1))
    with sessions.begin() as session:
        second = judgments.append(session, judgment("d1", 1.0, 1, rank_shown=9))
        assert judgments.history(session, label_set.id, query.id) == [first.judgment]
    assert (first.is_new, second.is_new) == (True, False)
    assert second.judgment == first.judgment


def test_delivery_with_another_mark_in_it_is_refused_rather_than_lost(
    sessions: Sessions, judgment: MakeJudgment
) -> None:
    append_all(sessions, judgment("d1", 1.0, 1))
    with (
        pytest.raises(ValueError, match="delivery 1 of client 'page-1' is already stored"),
        sessions.begin() as session,
    ):
        judgments.append(session, judgment("d2", 1.0, 1))


def test_same_sequence_of_another_client_is_another_delivery(sessions: Sessions, judgment: MakeJudgment) -> None:
    first, second = append_all(sessions, judgment("d1", 1.0, 1), judgment("d1", 1.0, 1, client_id="page-2"))
    assert second.id > first.id


def test_what_stands_follows_grading_regrading_and_clearing(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    def standing() -> dict[int, dict[str, float]]:
        with sessions.begin() as session:
            return {query_id: dict(grades) for query_id, grades in judgments.qrels(session, label_set.id).items()}

    assert standing() == {}
    append_all(sessions, judgment("d1", 1.0, 1), judgment("d2", 0.0, 2))
    assert standing() == {query.id: {"d1": 1.0, "d2": 0.0}}
    append_all(sessions, judgment("d1", 3.0, 3, author="bob"))
    assert standing() == {query.id: {"d1": 3.0, "d2": 0.0}}
    append_all(sessions, judgment("d1", None, 4))
    assert standing() == {query.id: {"d2": 0.0}}
    append_all(sessions, judgment("d2", None, 5))
    assert standing() == {}
    append_all(sessions, judgment("d1", 0.5, 6))
    assert standing() == {query.id: {"d1": 0.5}}
    with sessions.begin() as session:
        events = judgments.history(session, label_set.id, query.id)
        assert [(event.doc_id, event.grade) for event in events] == [
            ("d1", 1.0),
            ("d2", 0.0),
            ("d1", 3.0),
            ("d1", None),
            ("d2", None),
            ("d1", 0.5),
        ]


def test_label_sets_are_apart_and_counted(
    sessions: Sessions, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    with sessions.begin() as session:
        other = label_sets.get_or_create(session, label_set.collection_id, "other", "bob")
        empty = label_sets.get_or_create(session, label_set.collection_id, "third", "bob")
    append_all(
        sessions,
        judgment("d1", 1.0, 1),
        judgment("d2", 0.0, 2),
        judgment("d3", 1.0, 3),
        judgment("d3", None, 4),
        judgment("d1", 0.0, 5, label_set_id=other.id),
    )
    with sessions.begin() as session:
        assert judgments.counts(session, label_set.id) == JudgmentCounts(1, 2, 1, 1)
        assert judgments.counts(session, empty.id) == JudgmentCounts(0, 0, 0, 0)
        assert label_sets.list_for(session, label_set.collection_id) == [
            LabelSetSummary(label_set, JudgmentCounts(1, 2, 1, 1)),
            LabelSetSummary(other, JudgmentCounts(1, 1, 0, 1)),
            LabelSetSummary(empty, JudgmentCounts(0, 0, 0, 0)),
        ]


def test_label_set_is_one_per_name(sessions: Sessions, label_set: LabelSetRecord) -> None:
    with sessions.begin() as session:
        assert label_sets.get_or_create(session, label_set.collection_id, "main", "bob") == label_set
        assert label_sets.get(session, label_set.id) == label_set
        with pytest.raises(UnknownRecord, match="no label set with the id 4"):
            label_sets.get(session, 4)


def test_undo_finds_the_last_event_of_its_author_and_the_grade_before_it(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    marks = append_all(
        sessions,
        judgment("d1", 1.0, 1),
        judgment("d2", 1.0, 2),
        judgment("d1", 0.0, 3),
        judgment("d2", 2.0, 4, author="bob"),
    )
    with sessions.begin() as session:
        last = judgments.last_event(session, label_set.id, query.id, "ann")
        assert last == marks[2]
        assert judgments.previous_grade(session, label_set.id, query.id, "d1", before_event_id=marks[2].id) == 1.0
        assert judgments.previous_grade(session, label_set.id, query.id, "d1", before_event_id=marks[0].id) is None
        assert judgments.last_event(session, label_set.id, query.id, "eve") is None


def test_grade_before_an_event_that_followed_a_clearing_is_none(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    marks = append_all(sessions, judgment("d1", 1.0, 1), judgment("d1", None, 2), judgment("d1", 2.0, 3))
    with sessions.begin() as session:
        assert judgments.previous_grade(session, label_set.id, query.id, "d1", before_event_id=marks[2].id) is None


def test_import_appends_in_order_and_can_be_repeated(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    marks = [judgment(f"d{n % 900}", float(n % 2), n, client_id="import") for n in range(1_201)]
    with sessions.begin() as session:
        assert judgments.append_many(session, marks[:700]) == 700
    with sessions.begin() as session:
        assert judgments.append_many(session, iter([*marks, marks[-1]])) == 501
    with sessions.begin() as session:
        events = judgments.history(session, label_set.id, query.id)
        grades = judgments.qrels(session, label_set.id)[query.id]
    assert [event.sequence for event in events] == list(range(1_201))
    assert len(grades) == 900
    assert (grades["d0"], grades["d899"]) == (0.0, 1.0)


def test_import_with_one_delivery_for_two_marks_is_refused_as_a_whole(
    sessions: Sessions, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    with pytest.raises(ValueError, match="delivery 2"), sessions.begin() as session:
        judgments.append_many(session, [judgment("d1", 1.0, 1), judgment("d2", 1.0, 2), judgment("d3", 1.0, 2)])
    with sessions.begin() as session:
        assert judgments.counts(session, label_set.id).n_judgments == 0


@pytest.mark.parametrize("grade", [-0.1, 10.5, float("nan"), float("inf")])
def test_impossible_grade_is_refused(judgment: MakeJudgment, grade: float) -> None:
    with pytest.raises(ValueError, match="grade from 0 to 10"):
        judgment("d1", grade, 1)


def test_impossible_rank_is_refused(judgment: MakeJudgment) -> None:
    with pytest.raises(ValueError, match=r"rank from 1 upwards.*got 0"):
        replace(judgment("d1", 1.0, 1), rank_shown=0)


def test_database_itself_refuses_an_impossible_grade(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    append_all(sessions, judgment("d1", 1.0, 1))
    copy = text(
        "INSERT INTO judgment_event (label_set_id, query_id, instruction_id, doc_id, content_hash, author, grade,"
        " client_id, sequence, created_at) SELECT label_set_id, query_id, instruction_id, doc_id, content_hash,"
        " author, 11, client_id, 2, created_at FROM judgment_event"
    )
    with pytest.raises(IntegrityError, match="CHECK constraint failed: ck_judgment_event_grade"), sessions.begin() as s:
        s.execute(copy)


def test_judgment_of_an_unknown_query_is_refused(sessions: Sessions, judgment: MakeJudgment) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), sessions.begin() as session:
        judgments.append(session, judgment("d1", 1.0, 1, query_id=99))
