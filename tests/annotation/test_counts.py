"""How much is judged, counted by hand: documents and not marks, what is imported, and what is left for whom."""

import pytest

from annotation.collections.catalogue import all_collections
from annotation.collections.page import list_label_sets
from annotation.labels.current import (
    LabelCounts,
    PersonCounts,
    QueryStanding,
    QueryState,
    count_labels,
    count_people,
    offered_to,
    standing_by_query,
    state_of,
)
from annotation.training.start import labels_to_learn_from, outlook
from storage.records import JudgmentRole, StandingMark
from tests.worlds.desk import Desk
from tests.worlds.judging import bring_reference, say, write_query

JUDGE, ADJUDICATOR, REFERENCE = JudgmentRole.JUDGE, JudgmentRole.ADJUDICATOR, JudgmentRole.REFERENCE


def label_set() -> list[StandingMark]:
    """Return marks on three queries, not in the order of the queries."""
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


def test_standing_by_query_counts_documents_and_people() -> None:
    ann, bob, nobody = (standing_by_query(iter(label_set()), author) for author in ("ann", "bob", None))
    assert ann == {
        1: QueryStanding(
            n_relevant=1, n_not_relevant=1, n_undecided=1, n_imported=1, n_conflicts=2, n_mine=3, n_people=2
        ),
        2: QueryStanding(n_relevant=1, n_mine=1, n_people=2),
        3: QueryStanding(n_mine=1, n_people=1),
    }
    assert ann[1].n_graded == 3
    assert [bob[query_id].n_mine for query_id in (1, 2, 3)] == [2, 1, 0]
    assert [nobody[query_id].n_mine for query_id in (1, 2, 3)] == [0, 0, 0]


def test_standing_by_query_counts_neither_adjudicated_nor_imported_marks_as_mine() -> None:
    marks = [StandingMark(1, "a", "ann", ADJUDICATOR, 1.0), StandingMark(1, "b", "ann", REFERENCE, 0.0)]
    assert standing_by_query(marks, "ann") == {1: QueryStanding(n_relevant=1, n_not_relevant=1, n_imported=1)}


def test_imported_grade_counts_as_imported_until_somebody_here_grades() -> None:
    imported = StandingMark(1, "a", "file", REFERENCE, 1.0)
    unsure, graded = StandingMark(1, "a", "ann", JUDGE, None), StandingMark(1, "a", "ann", JUDGE, 0.0)
    assert standing_by_query([imported, unsure], "ann")[1] == QueryStanding(
        n_relevant=1, n_imported=1, n_mine=1, n_people=1
    )
    assert standing_by_query([imported, graded], "ann")[1] == QueryStanding(n_not_relevant=1, n_mine=1, n_people=1)


def test_count_people_counts_what_each_marked_at_the_desk() -> None:
    assert count_people(iter(label_set())) == {
        "ann": PersonCounts(n_graded=3, n_relevant=2, n_unsure=2, n_queries=3),
        "bob": PersonCounts(n_graded=3, n_relevant=2, n_unsure=0, n_queries=2),
    }
    assert (PersonCounts(4, 1).share_relevant, PersonCounts().share_relevant) == (0.25, None)


def test_count_labels_counts_queries_with_something_relevant_apart() -> None:
    labels = {"1": {"a": 1.0, "b": 0.0, "c": 3.0}, "2": {"a": 0.0}, "3": {}}
    assert count_labels(labels) == LabelCounts(n_queries=2, n_labelled=1, n_relevant=2, n_not_relevant=2, n_undecided=0)
    assert count_labels(labels).n_judged == 4


@pytest.mark.parametrize(
    ("marks", "n_judges", "left", "state"),
    [
        ([], 1, "abc", "open"),
        ([("file", "a", 1.0, REFERENCE), ("file", "b", 0.0, REFERENCE)], 1, "abc", "open"),
        ([("ann", "a", 1.0, JUDGE)], 1, "bc", "begun"),
        ([("ann", "x", 1.0, JUDGE)], 1, "abc", "begun"),  # outside the pool
        ([("ann", "a", 1.0, JUDGE), ("ann", "b", None, JUDGE), ("ann", "c", 0.0, JUDGE)], 1, "", "done"),
        ([("ann", "a", 1.0, JUDGE), ("bob", "b", 1.0, JUDGE), ("bob", "c", None, JUDGE)], 1, "c", "begun"),
        ([("bob", "a", 1.0, JUDGE), ("bob", "b", 1.0, JUDGE), ("bob", "c", 0.0, JUDGE)], 1, "", "done"),
        ([("bob", "a", 1.0, JUDGE), ("bob", "b", 1.0, JUDGE), ("bob", "c", 0.0, JUDGE)], 2, "abc", "open"),
        ([("ann", "a", 1.0, ADJUDICATOR)], 1, "abc", "open"),
    ],
)  # fmt: skip
def test_what_is_left_for_a_person_is_offered_and_not_marked_by_them(
    marks: list[tuple[str, str, float | None, JudgmentRole]], n_judges: int, left: str, state: QueryState
) -> None:
    standing = [StandingMark(1, doc_id, author, role, grade) for author, doc_id, grade, role in marks]
    offered = offered_to("abc", standing, "ann", n_judges)
    mine = {mark.doc_id for mark in standing if mark.author == "ann" and mark.role is JUDGE}
    assert "".join(doc_id for doc_id in offered if doc_id not in mine) == left
    assert state_of("abc", offered, standing, "ann") == state
    assert state_of("", [], standing, "ann") == ("begun" if mine else "open")


def test_all_screens_count_the_same_documents(judged_desk: Desk) -> None:
    desk, cat = judged_desk, write_query(judged_desk, "cat")
    own, other = desk.query_id("cat-owner"), desk.query_id("dog-owner")  # two imported grades each, 24 in all
    say(desk, "ann", own, "cat-feeding", 1.0)  # says the same
    say(desk, "ben", own, "cat-feeding", 1.0)  # and once more
    say(desk, "ann", own, "cat-illness", 1.0)  # instead of not relevant
    say(desk, "ann", other, "dog-feeding", None, is_unsure=True)  # the imported grade stays
    say(desk, "ann", cat.id, "cat-feeding", 1.0)
    say(desk, "ben", cat.id, "cat-feeding", 0.0)  # one against one
    say(desk, "ann", cat.id, "cat-illness", 1.0)
    say(desk, "ann", cat.id, "cat-illness", None)  # taken back
    bring_reference(desk, cat.id, "dog-feeding", 0.0)
    expected = LabelCounts(n_queries=13, n_labelled=12, n_relevant=13, n_not_relevant=12, n_undecided=1)
    board = desk.workspace.standings(desk.label_set_id)
    assert board.counts() == expected
    assert outlook(desk.workspace, desk.collection.id, desk.label_set_id).counts == expected
    assert [each.counts for each in list_label_sets(desk.workspace, desk.collection.id)] == [expected]
    [facts] = all_collections(desk.workspace, "ann")
    assert facts.n_judged == expected.n_judged == 25
    learned = count_labels(labels_to_learn_from(desk.workspace, desk.label_set_id))
    assert (learned.n_labelled, learned.n_judged) == (12, 25)
    run = desk.start()
    assert (run.n_queries, run.n_relevant, run.n_not_relevant) == (12, 13, 12)
