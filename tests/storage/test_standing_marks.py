"""What stands: the latest event per label set, query, document, author and role, unless it says nothing."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session, sessionmaker

from storage import judgments, label_sets, queries
from storage.errors import UnknownRecord
from storage.records import (
    JudgmentRecord,
    JudgmentRole,
    LabelSetRecord,
    NewJudgment,
    QueryRecord,
    StandingMark,
)

Sessions = sessionmaker[Session]
MakeJudgment = Callable[..., NewJudgment]
AppendAll = Callable[..., list[JudgmentRecord]]
Standing = Callable[[], list[tuple[str, str, str, float | None]]]

JUDGE, ADJUDICATOR, REFERENCE = JudgmentRole.JUDGE, JudgmentRole.ADJUDICATOR, JudgmentRole.REFERENCE


@pytest.fixture
def standing(sessions: Sessions, label_set: LabelSetRecord) -> Standing:
    """Return a function that tells what stands in the label set: (document, author, role, grade) in order."""

    def read() -> list[tuple[str, str, str, float | None]]:
        with sessions.begin() as session:
            marks = judgments.standing(session, label_set.id)
        return [(mark.doc_id, mark.author, mark.role.value, mark.grade) for mark in marks]

    return read


def test_what_stands_follows_grading_regrading_and_clearing(
    sessions: Sessions,
    query: QueryRecord,
    label_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
    standing: Standing,
) -> None:
    assert standing() == []
    append_all(judgment("d1", 1.0, 1), judgment("d2", 0.0, 2))
    assert standing() == [("d1", "ann", "judge", 1.0), ("d2", "ann", "judge", 0.0)]
    append_all(judgment("d1", 3.0, 3))
    assert standing() == [("d2", "ann", "judge", 0.0), ("d1", "ann", "judge", 3.0)]
    append_all(judgment("d1", None, 4))
    assert standing() == [("d2", "ann", "judge", 0.0)]
    append_all(judgment("d2", None, 5))
    assert standing() == []
    append_all(judgment("d1", 0.5, 6))
    assert standing() == [("d1", "ann", "judge", 0.5)]
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


def test_marks_of_two_authors_on_one_document_both_stand(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    anns, bobs = append_all(judgment("d1", 2.0, 1), judgment("d1", 0.0, 2, author="bob"))
    with sessions.begin() as session:
        assert judgments.current_for_query(session, label_set.id, query.id) == [anns, bobs]
        assert judgments.standing(session, label_set.id) == [
            StandingMark(query.id, "d1", "ann", JUDGE, 2.0),
            StandingMark(query.id, "d1", "bob", JUDGE, 0.0),
        ]


def test_author_who_regrades_or_clears_leaves_the_other_author_alone(
    judgment: MakeJudgment, append_all: AppendAll, standing: Standing
) -> None:
    append_all(judgment("d1", 2.0, 1), judgment("d1", 0.0, 2, author="bob"), judgment("d1", 1.0, 3))
    assert standing() == [("d1", "bob", "judge", 0.0), ("d1", "ann", "judge", 1.0)]
    append_all(judgment("d1", None, 4))
    assert standing() == [("d1", "bob", "judge", 0.0)]


def test_adjudicator_stands_beside_the_judge_who_is_the_same_person(
    judgment: MakeJudgment, append_all: AppendAll, standing: Standing
) -> None:
    append_all(
        judgment("d1", 2.0, 1),
        judgment("d1", 0.0, 2, role=ADJUDICATOR),
        judgment("d1", 1.0, 3, role=REFERENCE),
    )
    assert standing() == [
        ("d1", "ann", "judge", 2.0),
        ("d1", "ann", "adjudicator", 0.0),
        ("d1", "ann", "reference", 1.0),
    ]
    append_all(judgment("d1", None, 4, role=ADJUDICATOR), judgment("d1", 3.0, 5))
    assert standing() == [("d1", "ann", "reference", 1.0), ("d1", "ann", "judge", 3.0)]


def test_undo_brings_the_mark_before_it_back_for_its_author_alone(
    sessions: Sessions,
    query: QueryRecord,
    label_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
    standing: Standing,
) -> None:
    first, bobs, slip = append_all(judgment("d1", 2.0, 1), judgment("d1", 3.0, 2, author="bob"), judgment("d1", 0.0, 3))
    (undo,) = append_all(judgment("d1", 2.0, 4, undoes_id=slip.id))
    assert standing() == [("d1", "bob", "judge", 3.0), ("d1", "ann", "judge", 2.0)]
    with sessions.begin() as session:
        assert judgments.current_for_query(session, label_set.id, query.id) == [bobs, undo]
        assert judgments.history(session, label_set.id, query.id) == [first, bobs, slip, undo]
    assert undo.undoes_id == slip.id


def test_undo_of_a_first_mark_leaves_nothing_standing(
    sessions: Sessions,
    query: QueryRecord,
    label_set: LabelSetRecord,
    judgment: MakeJudgment,
    append_all: AppendAll,
    standing: Standing,
) -> None:
    (first,) = append_all(judgment("d1", 2.0, 1, note="yes"))
    (undo,) = append_all(judgment("d1", None, 2, undoes_id=first.id))
    assert standing() == []
    with sessions.begin() as session:
        assert judgments.current_for_query(session, label_set.id, query.id) == []
        assert judgments.history(session, label_set.id, query.id) == [first, undo]


def test_unsure_and_note_only_events_stand_and_are_read_back(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    unsure, noted, graded = append_all(
        judgment("d1", None, 1, is_unsure=True),
        judgment("d2", None, 2, note="the scan is cut off"),
        judgment("d3", 0.0, 3),
    )
    with sessions.begin() as session:
        current = judgments.current_for_query(session, label_set.id, query.id)
    assert current == [unsure, noted, graded]
    assert [(event.grade, event.is_unsure, event.note) for event in current] == [
        (None, True, ""),
        (None, False, "the scan is cut off"),
        (0.0, False, ""),
    ]


def test_standing_marks_hold_who_cannot_tell_and_leave_bare_notes_out(
    judgment: MakeJudgment, append_all: AppendAll, standing: Standing
) -> None:
    append_all(
        judgment("d1", None, 1, is_unsure=True),
        judgment("d2", None, 2, note="the scan is cut off"),
        judgment("d3", None, 3, is_unsure=True, note="half of it"),
        judgment("d4", 1.0, 4, note="clearly"),
    )
    assert standing() == [
        ("d1", "ann", "judge", None),
        ("d3", "ann", "judge", None),
        ("d4", "ann", "judge", 1.0),
    ]


def test_later_event_replaces_all_that_the_author_said_before(
    judgment: MakeJudgment, append_all: AppendAll, standing: Standing
) -> None:
    append_all(judgment("d1", 2.0, 1), judgment("d1", None, 2, is_unsure=True))
    assert standing() == [("d1", "ann", "judge", None)]
    append_all(judgment("d1", None, 3, note="ask Bob"))
    assert standing() == []  # the note stands alone; the grade under it does not come back
    append_all(judgment("d1", 1.0, 4))
    assert standing() == [("d1", "ann", "judge", 1.0)]


def test_standing_marks_of_chosen_queries_are_those_alone(
    sessions: Sessions, query: QueryRecord, label_set: LabelSetRecord, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    with sessions.begin() as session:
        jays, auks = (
            queries.get_or_create(session, query.collection_id, text, "", "ann").id for text in ("jays", "auks")
        )
    append_all(
        judgment("d1", 1.0, 1, query_id=auks),
        judgment("d1", 2.0, 2),
        judgment("d1", 3.0, 3, query_id=jays),
        judgment("d2", 4.0, 4),
    )
    with sessions.begin() as session:
        chosen = judgments.standing(session, label_set.id, {query.id, auks, 10_000})
        assert judgments.standing(session, label_set.id, set()) == []
    assert [(mark.query_id, mark.grade) for mark in chosen] == [(auks, 1.0), (query.id, 2.0), (query.id, 4.0)]


@pytest.fixture
def judged_backwards(
    sessions: Sessions, query: QueryRecord, judgment: MakeJudgment, append_all: AppendAll
) -> list[int]:
    """Return 600 queries, more than a statement takes, in the order they were judged in: the newest first."""
    with sessions.begin() as session:
        ids = [queries.get_or_create(session, query.collection_id, f"q{n}", "", "ann").id for n in reversed(range(600))]
    ids.reverse()
    append_all(*(judgment("d1", 1.0, n, query_id=query_id) for n, query_id in enumerate(ids)))
    return ids


def test_standing_marks_of_more_queries_than_a_statement_takes_are_all_there_once(
    sessions: Sessions, label_set: LabelSetRecord, judged_backwards: list[int]
) -> None:
    with sessions.begin() as session:
        marks = judgments.standing(session, label_set.id, judged_backwards)
    assert sorted(mark.query_id for mark in marks) == sorted(judged_backwards)


def test_standing_marks_of_more_queries_than_a_statement_takes_are_in_the_order_they_were_said(
    sessions: Sessions, label_set: LabelSetRecord, judged_backwards: list[int]
) -> None:
    with sessions.begin() as session:
        marks = judgments.standing(session, label_set.id, judged_backwards)
    assert [mark.query_id for mark in marks] == judged_backwards


def test_label_sets_are_apart(
    sessions: Sessions, label_set: LabelSetRecord, judgment: MakeJudgment, append_all: AppendAll
) -> None:
    with sessions.begin() as session:
        other = label_sets.get_or_create(session, label_set.collection_id, "other", "bob")
        empty = label_sets.get_or_create(session, label_set.collection_id, "third", "bob")
    append_all(
        judgment("d1", 1.0, 1),
        judgment("d2", 0.0, 2),
        judgment("d3", 1.0, 3),
        judgment("d3", None, 4),
        judgment("d1", 0.0, 5, label_set_id=other.id),
        judgment("d1", 3.0, 6, author="bob"),
        judgment("d2", None, 7, author="bob", is_unsure=True),
        judgment("d4", None, 8, note="no text"),
    )
    with sessions.begin() as session:
        assert [mark.grade for mark in judgments.standing(session, label_set.id)] == [1.0, 0.0, 3.0, None]
        assert [mark.grade for mark in judgments.standing(session, other.id)] == [0.0]
        assert judgments.standing(session, empty.id) == []
        assert label_sets.list_names(session, label_set.collection_id) == [label_set, other, empty]


def test_label_set_is_one_per_name(sessions: Sessions, label_set: LabelSetRecord) -> None:
    with sessions.begin() as session:
        assert label_sets.get_or_create(session, label_set.collection_id, "main", "bob") == label_set
        assert label_sets.get(session, label_set.id) == label_set
        with pytest.raises(UnknownRecord, match="no label set with the id 4"):
            label_sets.get(session, 4)
