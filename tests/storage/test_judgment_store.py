from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import judgments
from storage.records import Hand, JudgmentRecord, JudgmentRole, LabelSetRecord, NewJudgment, QueryRecord

Sessions = sessionmaker[Session]
MakeJudgment = Callable[..., NewJudgment]
AppendAll = Callable[..., list[JudgmentRecord]]


def test_judgment_comes_back_as_it_was_given(
    sessions: Sessions,
    query: QueryRecord,
    label_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
) -> None:
    (first,) = append_all(judgment("d0", 1.0, 1))
    (appended,) = append_all(
        judgment(
            "d1",
            2.5,
            2,
            rank_shown=3,
            retriever="before",
            role=JudgmentRole.ADJUDICATOR,
            note="Été: «tells why»",
            seconds=12.25,
            together_with="d0",
            undoes_id=first.id,
        )
    )
    assert appended == JudgmentRecord(
        id=2,
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
        sequence=2,
        role=JudgmentRole.ADJUDICATOR,
        is_unsure=False,
        note="Été: «tells why»",
        seconds=12.25,
        together_with="d0",
        undoes_id=1,
        created_at=appended.created_at,
    )
    with sessions.begin() as session:
        assert judgments.history(session, label_set.id, query.id) == [first, appended]
        assert judgments.current_for_query(session, label_set.id, query.id) == [first, appended]


def test_judgment_with_nothing_said_about_them_has_the_defaults(judgment: MakeJudgment, append_all: AppendAll) -> None:
    (appended,) = append_all(judgment("d1", 1.0, 1))
    assert appended.role is JudgmentRole.JUDGE
    assert (appended.is_unsure, appended.note) == (False, "")
    assert (appended.rank_shown, appended.retriever) == (None, None)
    assert (appended.seconds, appended.together_with, appended.undoes_id) == (None, None, None)


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
    sessions: Sessions, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    append_all(judgment("d1", 1.0, 1))
    with (
        pytest.raises(ValueError, match="delivery 1 of client 'page-1' is already stored"),
        sessions.begin() as session,
    ):
        judgments.append(session, judgment("d2", 1.0, 1))


@pytest.mark.parametrize(
    "other",
    [{"is_unsure": True}, {"note": "why"}, {"role": JudgmentRole.ADJUDICATOR}],
    ids=["is_unsure", "note", "role"],
)
def test_delivery_that_says_something_else_of_the_document_is_refused_rather_than_lost(
    sessions: Sessions, judgment: MakeJudgment, append_all: AppendAll, other: dict[str, Any]
) -> None:
    append_all(judgment("d1", None, 1))
    with pytest.raises(ValueError, match="delivery 1"), sessions.begin() as session:
        judgments.append(session, judgment("d1", None, 1, **other))


def test_same_sequence_of_another_client_is_another_delivery(judgment: MakeJudgment, append_all: AppendAll) -> None:
    first, second = append_all(judgment("d1", 1.0, 1), judgment("d1", 1.0, 1, client_id="page-2"))
    assert second.id > first.id


def test_delivery_is_found_by_client_and_sequence(
    sessions: Sessions, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    _, second, of_another_page = append_all(
        judgment("d1", 1.0, 1),
        judgment("d2", None, 2, is_unsure=True, note="blurred"),
        judgment("d3", 0.0, 2, client_id="page-2"),
    )
    with sessions.begin() as session:
        assert judgments.find_delivery(session, "page-1", 2) == second
        assert judgments.find_delivery(session, "page-2", 2) == of_another_page
        assert judgments.find_delivery(session, "page-1", 3) is None
        assert judgments.find_delivery(session, "page-3", 1) is None


def test_import_appends_in_order_and_can_be_repeated(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    marks = [
        judgment(f"d{n % 900}", float(n % 2), n, client_id="import-1", role=JudgmentRole.REFERENCE)
        for n in range(1_201)
    ]
    with sessions.begin() as session:
        assert judgments.append_many(session, marks[:700]) == 700
    with sessions.begin() as session:
        assert judgments.append_many(session, iter([*marks, marks[-1]])) == 501
    with sessions.begin() as session:
        events = judgments.history(session, label_set.id, query.id)
        standing = judgments.standing(session, label_set.id)
    grades = {mark.doc_id: mark.grade for mark in standing}
    assert [event.sequence for event in events] == list(range(1_201))
    assert {event.role for event in events} == {JudgmentRole.REFERENCE}
    assert len(standing) == len(grades) == 900
    assert (grades["d0"], grades["d899"]) == (0.0, 1.0)


def test_import_keeps_everything_that_was_said(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    given = [
        judgment("d1", None, 1, is_unsure=True, note="blurred", seconds=0.0, role=JudgmentRole.ADJUDICATOR),
        judgment("d2", 3.0, 2, together_with="d1", undoes_id=1, rank_shown=4, retriever="after"),
    ]
    with sessions.begin() as session:
        judgments.append_many(session, given)
    with sessions.begin() as session:
        first, second = judgments.history(session, label_set.id, query.id)
    assert (first.is_unsure, first.note, first.seconds, first.role) == (
        True,
        "blurred",
        0.0,
        JudgmentRole.ADJUDICATOR,
    )
    assert (second.together_with, second.undoes_id, second.rank_shown, second.retriever) == ("d1", 1, 4, "after")
    assert (second.is_unsure, second.note, second.seconds, second.role) == (False, "", None, JudgmentRole.JUDGE)


def test_import_with_one_delivery_for_two_marks_is_refused_as_a_whole(
    sessions: Sessions, label_set: LabelSetRecord, judgment: MakeJudgment
) -> None:
    with pytest.raises(ValueError, match="delivery 2"), sessions.begin() as session:
        judgments.append_many(session, [judgment("d1", 1.0, 1), judgment("d2", 1.0, 2), judgment("d3", 1.0, 2)])
    with sessions.begin() as session:
        assert judgments.standing(session, label_set.id) == []


@pytest.mark.parametrize("grade", [-0.1, 10.5, float("nan"), float("inf")])
def test_impossible_grade_is_refused(judgment: MakeJudgment, grade: float) -> None:
    with pytest.raises(ValueError, match="grade from 0 to 10"):
        judgment("d1", grade, 1)


@pytest.mark.parametrize("grade", [0.0, 1.0])
def test_grade_of_somebody_who_cannot_tell_is_refused(judgment: MakeJudgment, grade: float) -> None:
    with pytest.raises(ValueError, match=f"either a grade or is_unsure, got both .grade {grade!r}"):
        judgment("d1", grade, 1, is_unsure=True)


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
def test_impossible_time_is_refused(judgment: MakeJudgment, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds from 0 upwards"):
        judgment("d1", 1.0, 1, seconds=seconds)


def test_impossible_rank_is_refused(judgment: MakeJudgment) -> None:
    with pytest.raises(ValueError, match=r"rank from 1 upwards.*got 0"):
        replace(judgment("d1", 1.0, 1), rank_shown=0)


def test_database_itself_refuses_an_impossible_grade(
    sessions: Sessions, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    append_all(judgment("d1", 1.0, 1))
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


def test_hands_are_everybody_who_ever_judged_or_settled(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    append_all(
        judgment("d1", 1.0, 1),
        judgment("d1", None, 2),  # taken back
        judgment("d2", 1.0, 3, role=JudgmentRole.REFERENCE, author="imported"),
        judgment("d2", 1.0, 1, author="bob", client_id="import-7"),
        judgment("d2", 0.0, 4, author="bob", role=JudgmentRole.ADJUDICATOR),
    )
    expected = {
        Hand(query.id, "ann", JudgmentRole.JUDGE, False),
        Hand(query.id, "bob", JudgmentRole.JUDGE, True),
        Hand(query.id, "bob", JudgmentRole.ADJUDICATOR, False),
    }
    with sessions.begin() as session:
        assert judgments.hands(session, label_set.id) == expected
        assert judgments.hands(session, label_set.id, {query.id, query.id + 1}) == expected
        assert judgments.hands(session, label_set.id, {query.id + 1}) == judgments.hands(session, 99) == set()
