"""What several judges say together, against hand-made cases and a slow second implementation."""

from itertools import combinations
from statistics import median_low

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.labels.current import (
    QueryStanding,
    agreed_grade,
    agreed_qrels,
    conflicts,
    is_conflict,
    standing_by_query,
)
from storage.records import JudgmentRole, StandingMark

JUDGE, ADJUDICATOR, REFERENCE = JudgmentRole.JUDGE, JudgmentRole.ADJUDICATOR, JudgmentRole.REFERENCE


def marks_by(role: JudgmentRole, *grades: float | None) -> list[StandingMark]:
    return [StandingMark(1, "d", f"{role}-{place}", role, grade) for place, grade in enumerate(grades)]


@pytest.mark.parametrize(
    ("grades", "expected"),
    [
        ((2.0,), 2.0),
        ((None,), None),
        ((), None),
        ((1.0, 3.0), 1.0),
        ((3.0, 0.0, 2.0), 2.0),
        ((0.0, 3.0, 0.0), 0.0),
        ((1.0, 2.0, 3.0, 3.0), 2.0),
        ((3.0, 1.0, 0.0, 2.0), 1.0),
        ((0.0, 3.0), None),
        ((0.0, 0.0, 1.0, 3.0), None),
        ((0.0, 0.0), 0.0),
        ((0.0, 2.0, None), None),
        ((None, None, 1.0), 1.0),
    ],
)
def test_agreed_grade_of_judges_is_the_lower_median_but_none_for_a_tie(
    grades: tuple[float | None, ...], expected: float | None
) -> None:
    assert agreed_grade(marks_by(JUDGE, *grades)) == expected


def test_agreed_grade_is_what_the_last_adjudicator_says() -> None:
    judged = marks_by(JUDGE, 0.0, 0.0, 0.0)
    assert agreed_grade(marks_by(ADJUDICATOR, 1.0, 3.0) + judged) == 3.0
    assert agreed_grade(judged + marks_by(ADJUDICATOR, 3.0, 1.0)) == 1.0
    assert agreed_grade(marks_by(JUDGE, 2.0) + marks_by(ADJUDICATOR, 0.0)) == 0.0


def test_agreed_grade_passes_over_an_adjudicator_who_could_not_tell() -> None:
    assert agreed_grade(marks_by(JUDGE, 2.0) + marks_by(ADJUDICATOR, None)) == 2.0
    assert agreed_grade(marks_by(JUDGE, 2.0) + marks_by(ADJUDICATOR, 1.0, None)) == 1.0


def test_agreed_grade_takes_references_only_without_a_grade_of_a_judge() -> None:
    references = marks_by(REFERENCE, 3.0, 3.0, 3.0)
    assert agreed_grade(references + marks_by(JUDGE, 1.0)) == 1.0
    assert agreed_grade(references + marks_by(JUDGE, None)) == 3.0
    assert agreed_grade(references + marks_by(JUDGE, 0.0, 1.0)) is None


def test_agreed_grade_of_references_is_the_lower_median_also_for_a_tie() -> None:
    assert agreed_grade(marks_by(REFERENCE, 2.0, 0.0)) == 0.0
    assert agreed_grade(marks_by(REFERENCE, 0.0, 3.0, 1.0)) == 1.0


@pytest.mark.parametrize(
    ("grades", "expected"),
    [
        ((0.0, 1.0), True),
        ((0.0, 0.5), True),
        ((1.0, 3.0), True),
        ((2.0, 3.0, 1.0), True),
        ((1.0, 2.0), False),
        ((2.0, 3.5), False),
        ((0.0, 0.0), False),
        ((3.0,), False),
        ((0.0, None), False),
        ((), False),
    ],
)
def test_is_conflict_is_about_relevance_or_two_grades(grades: tuple[float | None, ...], expected: bool) -> None:
    assert is_conflict(marks_by(JUDGE, *grades)) is expected


def test_is_conflict_leaves_references_out() -> None:
    assert not is_conflict(marks_by(REFERENCE, 0.0, 3.0))
    assert not is_conflict(marks_by(REFERENCE, 0.0) + marks_by(JUDGE, 3.0, 3.0))


def test_is_conflict_ends_with_an_adjudicator_who_can_tell() -> None:
    assert not is_conflict(marks_by(JUDGE, 0.0, 3.0) + marks_by(ADJUDICATOR, 0.0))
    assert is_conflict(marks_by(JUDGE, 0.0, 3.0) + marks_by(ADJUDICATOR, None))


def label_set() -> list[StandingMark]:
    """Return marks on two queries, not in the order of the queries."""
    return [
        StandingMark(2, "z", "ann", JUDGE, 0.0),
        StandingMark(1, "b", "ann", JUDGE, 3.0),
        StandingMark(1, "a", "bob", JUDGE, 0.0),
        StandingMark(2, "z", "bob", JUDGE, 1.0),
        StandingMark(1, "a", "ann", JUDGE, 2.0),
        StandingMark(1, "b", "bob", JUDGE, 1.0),
        StandingMark(1, "c", "file", REFERENCE, 0.0),
        StandingMark(1, "e", "ann", JUDGE, None),
        StandingMark(2, "z", "cat", ADJUDICATOR, 2.0),
        StandingMark(3, "a", "ann", JUDGE, None),
    ]


def test_agreed_qrels_leave_out_what_is_undecided() -> None:
    assert agreed_qrels(iter(label_set())) == {1: {"b": 1.0, "c": 0.0}, 2: {"z": 2.0}}


def test_conflicts_come_by_query_and_then_by_first_mark() -> None:
    assert conflicts(iter(label_set())) == [(1, "b"), (1, "a")]
    unsettled = [mark for mark in label_set() if mark.role != ADJUDICATOR]
    assert conflicts(unsettled) == [(1, "b"), (1, "a"), (2, "z")]


LABEL_SETS = st.lists(
    st.builds(
        StandingMark,
        query_id=st.integers(1, 2),
        doc_id=st.sampled_from(["a", "b"]),
        author=st.sampled_from(["ann", "bob", "cat", "dan"]),
        role=st.sampled_from([JUDGE, JUDGE, JUDGE, REFERENCE, ADJUDICATOR]),
        grade=st.sampled_from([None, 0.0, 0.0, 1.0, 2.0, 3.0]),
    ),
    max_size=30,
    unique_by=lambda mark: (mark.query_id, mark.doc_id, mark.author, mark.role),
)


def slow_grade(marks: list[StandingMark]) -> float | None:
    graded = {role: [m.grade for m in marks if m.role == role and m.grade is not None] for role in JudgmentRole}
    if graded[ADJUDICATOR]:
        return graded[ADJUDICATOR][-1]
    votes = [1 if grade > 0 else -1 for grade in graded[JUDGE]]
    if votes:
        return None if sum(votes) == 0 else median_low(graded[JUDGE])
    return median_low(graded[REFERENCE]) if graded[REFERENCE] else None


def slow_conflict(marks: list[StandingMark]) -> bool:
    if any(mark.role == ADJUDICATOR and mark.grade is not None for mark in marks):
        return False
    judged = [mark.grade for mark in marks if mark.role == JUDGE and mark.grade is not None]
    return any((one > 0) != (other > 0) or abs(one - other) >= 2 for one, other in combinations(judged, 2))


@given(LABEL_SETS)
def test_a_whole_label_set_is_what_its_documents_are_one_by_one(marks: list[StandingMark]) -> None:
    qrels, standing, found = agreed_qrels(marks), standing_by_query(marks, "ann"), conflicts(marks)
    assert standing.keys() == {mark.query_id for mark in marks}
    assert [query_id for query_id, _ in found] == sorted(query_id for query_id, _ in found)
    for query_id in (1, 2):
        of_query = {doc: [m for m in marks if (m.query_id, m.doc_id) == (query_id, doc)] for doc in ("a", "b")}
        grades = {doc: grade for doc, of_doc in of_query.items() if (grade := slow_grade(of_doc)) is not None}
        in_conflict = {doc for doc, of_doc in of_query.items() if slow_conflict(of_doc)}
        assert qrels.get(query_id, {}) == grades
        assert {doc for each, doc in found if each == query_id} == in_conflict
        judges = [m for of_doc in of_query.values() for m in of_doc if m.role == JUDGE]
        if query_id in standing:
            assert standing[query_id] == QueryStanding(
                n_relevant=sum(grade > 0 for grade in grades.values()),
                n_not_relevant=sum(grade == 0 for grade in grades.values()),
                n_undecided=sum(any(m.grade is not None for m in of_query[d]) for d in of_query if d not in grades),
                n_imported=sum(
                    {m.role for m in each if m.grade is not None} == {REFERENCE} for each in of_query.values()
                ),
                n_conflicts=len(in_conflict),
                n_mine=sum(m.author == "ann" for m in judges),
                n_people=len({m.author for m in judges}),
            )
