"""Which marks deserve a second look."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from annotation.judging.review import (
    DRAWN_LIST,
    DrawnMarks,
    LookAgain,
    Reason,
    differing_duplicates,
    differing_from_reference,
    disagreeing_with_ranking,
    kept_when_drawn,
    look_again,
    mix_in_drawn,
)
from storage.records import JudgmentRecord, JudgmentRole, StandingMark

JUDGE, ADJUDICATOR, REFERENCE = JudgmentRole.JUDGE, JudgmentRole.ADJUDICATOR, JudgmentRole.REFERENCE

HUNDRED = [f"r{rank}" for rank in range(1, 101)]
"""A ranking in which every document is named after its rank."""


def marks_of(
    grades: Mapping[str, float | None], query_id: int = 1, role: JudgmentRole = JUDGE, author: str = "ann"
) -> list[StandingMark]:
    return [StandingMark(query_id, doc_id, author, role, grade) for doc_id, grade in grades.items()]


def ranked_low(doc_id: str, grade: float, strength: float, query_id: int = 1) -> LookAgain:
    return LookAgain(query_id, doc_id, grade, "ranked-low", None, None, None, strength)


def ranked_high(doc_id: str, rank: int, strength: float, query_id: int = 1) -> LookAgain:
    return LookAgain(query_id, doc_id, 0.0, "ranked-high", rank, None, None, strength)


def test_ranked_low_is_a_relevant_document_below_the_first_hundred() -> None:
    ranking = [*HUNDRED, "r101"]
    marks = marks_of({"r100": 1.0, "r101": 1.0, "lost": 2.0, "best": 4.0, "bad": 0.0, "unsure": None})
    assert disagreeing_with_ranking(marks, {1: ranking}, 1000) == [
        ranked_low("r101", 1.0, 0.625),
        ranked_low("lost", 2.0, 0.75),
        ranked_low("best", 4.0, 1.0),
    ]


def test_ranked_low_is_measured_by_the_highest_grade_of_all_queries() -> None:
    marks = marks_of({"lost": 1.0}) + marks_of({"r1": 2.0}, query_id=2)
    assert disagreeing_with_ranking(marks, {1: HUNDRED, 2: HUNDRED}, 1000) == [ranked_low("lost", 1.0, 0.75)]


@pytest.mark.parametrize(
    ("rankings", "n_documents"),
    [({}, 1000), ({1: []}, 1000), ({1: ["a", "b"]}, 2)],
    ids=["query not ranked", "nothing ranked", "every document ranked"],
)
def test_ranked_low_needs_a_ranking_that_left_documents_out(
    rankings: Mapping[int, list[str]], n_documents: int
) -> None:
    assert disagreeing_with_ranking(marks_of({"lost": 1.0}), rankings, n_documents) == []


@pytest.mark.parametrize(
    ("grades", "expected"),
    [
        ({"r1": 0.0, "r5": 1.0}, [ranked_high("r1", 1, 1.0)]),
        ({"r3": 0.0, "r2": 0.0, "r5": 1.0}, [ranked_high("r2", 2, 0.5)]),
        ({"r3": 0.0, "r4": 3.0}, [ranked_high("r3", 3, 1 / 3)]),
        ({"r4": 0.0, "r5": 1.0}, []),
        ({"r1": 1.0, "r2": 0.0}, []),
        ({"r1": None, "r2": 0.0, "r5": 1.0}, [ranked_high("r2", 2, 0.5)]),
        ({"r2": 0.0, "r1": None}, []),
        ({"r1": 0.0, "r2": 0.0}, []),
    ],
    ids=["first", "best of two", "third", "fourth", "below a relevant one", "unsure", "none relevant", "all 0"],
)
def test_ranked_high_is_the_best_document_above_all_relevant_ones(
    grades: Mapping[str, float | None], expected: list[LookAgain]
) -> None:
    assert disagreeing_with_ranking(marks_of(grades), {1: HUNDRED}, 1000) == expected


def test_ranked_high_and_ranked_low_can_come_from_one_query() -> None:
    marks = marks_of({"r1": 0.0, "lost": 1.0}) + marks_of({"r1": 1.0, "r2": 0.0}, query_id=2)
    assert disagreeing_with_ranking(marks, {1: HUNDRED, 2: HUNDRED}, 1000) == [
        ranked_high("r1", 1, 1.0),
        ranked_low("lost", 1.0, 1.0),
    ]


def test_disagreeing_with_ranking_takes_what_the_author_settled_and_no_reference() -> None:
    marks = [
        *marks_of({"r1": 1.0, "lost": 1.0}, role=ADJUDICATOR),
        *marks_of({"r1": 0.0, "r2": 1.0}),
        *marks_of({"gone": 3.0, "lost": 0.0}, role=REFERENCE),
    ]
    assert disagreeing_with_ranking(marks, {1: HUNDRED}, 1000) == [ranked_low("lost", 1.0, 1.0)]


@pytest.mark.parametrize(
    ("low", "high", "strength"),
    [(1.0, 3.0, 2 / 3), (1.0, 2.0, 1 / 3), (0.0, 1.0, 0.9), (0.0, 2.0, 0.9), (0.0, 3.0, 1.0), (1.0, 9.0, 8 / 9)],
)
def test_differing_duplicates_names_the_higher_grade_at_the_lower(low: float, high: float, strength: float) -> None:
    expected = [LookAgain(1, "b", low, "duplicates-differ", None, "a", high, strength)]
    assert differing_duplicates(marks_of({"a": high, "b": low}), [["a", "b"]]) == expected
    assert differing_duplicates(marks_of({"b": low, "a": high}), [["b", "a"]]) == expected


def test_differing_duplicates_gives_one_for_each_group_and_query() -> None:
    marks = marks_of({"a": 1.0, "b": 1.0, "c": 2.0, "x": 3.0, "y": 0.0}) + marks_of({"a": 0.0, "c": 3.0}, query_id=2)
    assert differing_duplicates(marks, iter([("c", "b", "a"), ("x", "y")])) == [
        LookAgain(1, "b", 1.0, "duplicates-differ", None, "c", 2.0, 1 / 3),
        LookAgain(2, "a", 0.0, "duplicates-differ", None, "c", 3.0, 1.0),
        LookAgain(1, "y", 0.0, "duplicates-differ", None, "x", 3.0, 1.0),
    ]


def test_differing_duplicates_are_silent_without_two_grades_that_differ() -> None:
    marks = [
        *marks_of({"a": 1.0, "b": 1.0, "c": None}),
        *marks_of({"a": 0.0}, query_id=2),
        *marks_of({"b": 3.0}, query_id=3),
        *marks_of({"c": 3.0}, role=REFERENCE),
    ]
    assert differing_duplicates(marks, [["a", "b", "c"], ["unknown", "a"]]) == []


def test_differing_from_reference_is_about_relevance_only() -> None:
    marks = marks_of({"a": 0.0, "b": 1.0, "c": 3.0, "d": 0.0, "e": 1.0, "f": None}) + marks_of({"a": 1.0}, query_id=2)
    references = [
        *marks_of({"a": 2.0, "b": 0.0, "c": 1.0, "d": 0.0, "f": 3.0}, role=REFERENCE, author="file"),
        *marks_of({"a": 3.0, "c": 0.0}, role=REFERENCE, author="other file"),
        *marks_of({"e": 0.0, "d": 1.0}, author="bob"),
        *marks_of({"b": None}, query_id=2, role=REFERENCE, author="file"),
    ]
    assert differing_from_reference(marks, references) == [
        LookAgain(1, "a", 0.0, "reference-differs", None, None, 2.0, 0.6),
        LookAgain(1, "b", 1.0, "reference-differs", None, None, 0.0, 0.6),
        LookAgain(1, "c", 3.0, "reference-differs", None, None, 0.0, 0.6),
    ]


def test_differing_from_reference_does_not_take_the_authors_own_import_for_a_mark() -> None:
    own = marks_of({"a": 1.0}, role=REFERENCE)
    assert differing_from_reference(own, marks_of({"a": 0.0}, role=REFERENCE, author="file")) == []
    assert [each.grade for each in differing_from_reference(marks_of({"a": 0.0}) + own, own)] == [0.0]


def candidate(doc_id: str, strength: float, reason: Reason = "ranked-low", query_id: int = 1) -> LookAgain:
    return LookAgain(query_id, doc_id, 1.0, reason, None, None, None, strength)


def test_look_again_keeps_the_strongest_reason_and_sorts_stably() -> None:
    first = [candidate("a", 0.5), candidate("b", 0.75), candidate("c", 0.6)]
    second = [
        candidate("a", 0.8, "duplicates-differ"),
        candidate("b", 0.6, "reference-differs"),
        candidate("c", 0.6, "reference-differs"),
        candidate("c", 0.6, "reference-differs", query_id=2),
        candidate("z", 1.0, "ranked-high"),
    ]
    assert look_again(first, iter(second)) == [
        candidate("z", 1.0, "ranked-high"),
        candidate("a", 0.8, "duplicates-differ"),
        candidate("b", 0.75),
        candidate("c", 0.6),
        candidate("c", 0.6, "reference-differs", query_id=2),
    ]


def test_look_again_is_empty_without_candidates() -> None:
    assert look_again() == look_again([], []) == []


MANY = marks_of({f"d{number:02}": 1.0 for number in range(20)}, query_id=2)


def test_as_many_marks_are_drawn_as_something_speaks_against() -> None:
    doubted = [candidate("a", 0.5), candidate("b", 0.9)]
    mixed = mix_in_drawn(doubted, [*MANY, *marks_of({"a": 1.0, "b": 1.0, "unsure": None})], doubted)
    assert sorted(each.reason for each in mixed) == ["drawn", "drawn", "ranked-low", "ranked-low"]
    drawn = [each for each in mixed if each.reason == "drawn"]
    assert {(each.query_id, each.grade) for each in drawn} == {(2, 1.0)}
    assert mix_in_drawn(doubted[::-1], [*MANY[::-1], *marks_of({"a": 1.0})], doubted) == mixed


def test_what_anything_speaks_against_is_not_drawn() -> None:
    doubted = [candidate("a", 0.5), candidate("b", 0.5)]
    copy = LookAgain(1, "c", 0.0, "duplicates-differ", None, "d", 1.0, 0.4)
    marks = marks_of({"a": 1.0, "b": 1.0, "c": 0.0, "d": 1.0, "e": 1.0})
    mixed = mix_in_drawn(doubted, marks, [*doubted, copy])
    assert {each.doc_id: each.reason for each in mixed} == {"a": "ranked-low", "b": "ranked-low", "e": "drawn"}


def test_nothing_is_drawn_where_nothing_is_doubted() -> None:
    assert mix_in_drawn([], MANY, []) == []


def test_the_draw_gives_each_mark_the_same_chance_and_the_order_tells_nothing() -> None:
    """Another candidate is another draw; of 1,000 draws of 1 in 20, each mark gets 50 (standard deviation 7)."""
    draws = [mix_in_drawn([candidate(f"a{i}", 0.5)], MANY, []) for i in range(1000)]
    n_drawn = Counter(each.doc_id for mixed in draws for each in mixed if each.reason == "drawn")
    assert len(n_drawn) == 20
    assert max(abs(n - 50) for n in n_drawn.values()) < 4 * 7
    n_first = sum(mixed[0].reason == "drawn" for mixed in draws)
    assert abs(n_first - 500) < 4 * 16


def said(
    number: int,
    grade: float | None,
    doc_id: str = "a",
    undoes: int | None = None,
    author: str = "ann",
    made_on: str = DRAWN_LIST,
) -> JudgmentRecord:
    return JudgmentRecord(
        id=number,
        label_set_id=1,
        query_id=1,
        instruction_id=1,
        doc_id=doc_id,
        content_hash="",
        author=author,
        grade=grade,
        rank_shown=None,
        retriever=made_on,
        client_id="page",
        sequence=number,
        role=JUDGE,
        is_unsure=False,
        note="",
        seconds=None,
        together_with=None,
        undoes_id=undoes,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_drawn_mark_is_kept_by_the_same_grade() -> None:
    events = [said(1, 1.0, made_on="pool"), said(2, 0.0, "b", made_on="light"), said(3, 1.0), said(4, 1.0, "b")]
    assert kept_when_drawn(events) == {"ann": DrawnMarks(n=2, n_kept=1)}


def test_the_first_answer_to_a_drawn_mark_counts() -> None:
    """It was changed once more when the person knew that nothing spoke against it, and when it was drawn again."""
    events = [said(1, 1.0, made_on="pool"), said(2, 1.0), said(3, 0.0), said(4, 0.0)]
    assert kept_when_drawn(events) == {"ann": DrawnMarks(n=1, n_kept=1)}


def test_an_answer_that_was_taken_back_is_none() -> None:
    events = [said(1, 1.0, made_on="pool"), said(2, 0.0), said(3, 1.0, undoes=2), said(4, 1.0)]
    assert kept_when_drawn(events) == {"ann": DrawnMarks(n=1, n_kept=1)}
    assert kept_when_drawn(events[:3]) == {}


def test_drawn_marks_are_counted_for_each_person() -> None:
    by_ben = [said(11, 2.0, author="ben", made_on="pool"), said(12, None, author="ben")]
    assert kept_when_drawn([said(1, 1.0, made_on="pool"), *by_ben, said(20, 1.0)]) == {
        "ann": DrawnMarks(n=1, n_kept=1),
        "ben": DrawnMarks(n=1, n_kept=0),
    }
