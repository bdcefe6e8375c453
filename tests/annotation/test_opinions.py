"""What several judges say: grades, notes, not being able to tell, and settling what they disagree about."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import storage.collections
import storage.judgments
from annotation.collections.page import list_label_sets, open_page
from annotation.judging.marks import Mark, Saved, judge, start_label_set
from annotation.judging.setup import FOUR_GRADES, TWO_GRADES, DeskSetup, place_at
from annotation.judging.view import Said
from storage.records import JudgmentRecord, JudgmentRole
from tests.worlds.desk import Desk, new_desk, small_world
from tests.worlds.judging import COPY
from tests.worlds.words import DOCUMENTS


@pytest.fixture
def mark(desk: Desk) -> Mark:
    """Return a mark that is in order: cat-illness is relevant for the vet's query."""
    return Mark(desk.label_set_id, desk.query_id("cat-vet"), "cat-illness", 1.0, None, None, "page", 1)


def deliver(desk: Desk, author: str, *marks: Mark) -> Saved:
    """Judge from a page of the author's own; nothing may be refused."""
    own = [replace(mark, client_id=f"page-of-{author}") for mark in marks]
    saved = judge(desk.workspace, author, desk.collection.id, own)
    assert not saved.refused, saved.refused
    return saved


def reason_of_refusal(desk: Desk, mark: Mark) -> str:
    saved = judge(desk.workspace, "ann", desk.collection.id, [mark])
    assert saved.stored == ()
    [reason] = saved.refused.values()
    return reason


def events(desk: Desk, mark: Mark) -> list[JudgmentRecord]:
    with desk.workspace.reading() as session:
        return list(storage.judgments.history(session, mark.label_set_id, mark.query_id))


def set_grades(desk: Desk, names: tuple[str, ...]) -> None:
    with desk.workspace.writing() as session:
        storage.collections.set_desk(session, desk.collection.id, asdict(DeskSetup(grade_names=names)))


def agreed(desk: Desk, mark: Mark) -> Mapping[str, float]:
    """Return what is agreed about the mark's query."""
    return desk.workspace.standings(mark.label_set_id).qrels().get(mark.query_id, {})


def conflicts(desk: Desk) -> list[tuple[int, str]]:
    return desk.workspace.standings(desk.label_set_id).conflicts()


def test_marks_of_several_authors_stand_beside_each_other(desk: Desk, mark: Mark) -> None:
    of_ann = deliver(desk, "ann", mark)
    of_bob = deliver(desk, "bob", replace(mark, grade=0.0))
    assert of_ann.said == {mark.query_id: {"cat-illness": Said(1.0, False, "")}}
    assert of_bob.said == {mark.query_id: {"cat-illness": Said(0.0, False, "")}}
    assert (agreed(desk, mark), conflicts(desk)) == ({}, [(mark.query_id, "cat-illness")])  # one against one
    deliver(desk, "cleo", mark)
    assert (agreed(desk, mark), conflicts(desk)) == ({"cat-illness": 1.0}, [(mark.query_id, "cat-illness")])
    deliver(desk, "bob", replace(mark, sequence=2))
    assert (agreed(desk, mark), conflicts(desk)) == ({"cat-illness": 1.0}, [])
    assert [(event.author, event.grade) for event in events(desk, mark)] == [
        ("ann", 1.0), ("bob", 0.0), ("cleo", 1.0), ("bob", 1.0),
    ]  # fmt: skip


def test_mark_taken_back_leaves_those_of_others(desk: Desk, mark: Mark) -> None:
    deliver(desk, "ann", mark)
    deliver(desk, "bob", replace(mark, grade=0.0))
    assert deliver(desk, "bob", replace(mark, grade=None, sequence=2)).said == {mark.query_id: {}}
    assert agreed(desk, mark) == {"cat-illness": 1.0}


def test_mark_of_one_label_set_says_nothing_in_another(desk: Desk, mark: Mark) -> None:
    second = start_label_set(desk.workspace, "ann", desk.collection.id, "second")
    deliver(desk, "ann", mark)
    there = replace(mark, label_set_id=second, doc_id="cat-feeding", grade=0.0, sequence=2)
    assert deliver(desk, "ann", there).said == {mark.query_id: {"cat-feeding": Said(0.0, False, "")}}
    assert (agreed(desk, mark), agreed(desk, there)) == ({"cat-illness": 1.0}, {"cat-feeding": 0.0})


def test_judge_outweighs_an_imported_mark(judged_desk: Desk) -> None:
    query_id = judged_desk.query_id("cat-vet")
    assert judged_desk.qrels()[query_id] == {"cat-feeding": 0.0, "cat-illness": 1.0}
    saved = judged_desk.mark(query_id, "cat-illness", 0.0, 1)  # by ann, whose name the import bears as well
    assert saved.said == {query_id: {"cat-illness": Said(0.0, False, "")}}
    assert judged_desk.qrels()[query_id] == {"cat-feeding": 0.0, "cat-illness": 0.0}
    judged_desk.mark(query_id, "cat-illness", None, 2)
    assert judged_desk.qrels()[query_id] == {"cat-feeding": 0.0, "cat-illness": 1.0}


def test_four_grades_are_taken_once_the_desk_is_set_up_for_them(desk: Desk, mark: Mark) -> None:
    assert reason_of_refusal(desk, replace(mark, grade=3.0)).startswith("A grade is 0 or 1 here, not 3.")
    set_grades(desk, FOUR_GRADES)
    saved = deliver(desk, "ann", *(replace(mark, grade=float(g), sequence=g + 1) for g in range(4)))
    assert saved.said == {mark.query_id: {"cat-illness": Said(3.0, False, "")}}
    assert [event.grade for event in events(desk, mark)] == [0.0, 1.0, 2.0, 3.0]
    for grade in (4.0, 1.5):
        reason = reason_of_refusal(desk, replace(mark, grade=grade, sequence=9))
        assert reason.startswith(f"A grade is 0 or 1 or 2 or 3 here, not {grade:g}.")


@pytest.mark.parametrize(
    ("grades", "expected", "is_conflict"),
    [
        ((3.0, 1.0), 1.0, True),  # the lower middle; two grades apart
        ((2.0, 1.0), 1.0, False),
        ((3.0, 2.0, 1.0), 2.0, True),
        ((3.0, 3.0, 2.0), 3.0, False),
        ((3.0, 0.0), None, True),  # as many for as against
        ((1.0, 0.0, 0.0), 0.0, True),
    ],
)
def test_four_grades_agree_on_the_middle_one(
    desk: Desk, mark: Mark, grades: tuple[float, ...], expected: float | None, is_conflict: bool
) -> None:
    set_grades(desk, FOUR_GRADES)
    for author, grade in zip(("ann", "bob", "cleo"), grades, strict=False):
        deliver(desk, author, replace(mark, grade=grade))
    assert agreed(desk, mark).get("cat-illness") == expected
    assert bool(conflicts(desk)) == is_conflict


def test_grade_of_a_scale_that_was_changed_stands_and_is_not_taken_any_more(desk: Desk, mark: Mark) -> None:
    set_grades(desk, FOUR_GRADES)
    deliver(desk, "ann", replace(mark, grade=3.0))
    set_grades(desk, TWO_GRADES)
    assert agreed(desk, mark) == {"cat-illness": 3.0}
    assert "not 3." in reason_of_refusal(desk, replace(mark, doc_id="cat-feeding", grade=3.0, sequence=2))


def test_unsure_mark_is_said_and_counts_nowhere(desk: Desk, mark: Mark) -> None:
    deliver(desk, "ann", mark)
    saved = deliver(desk, "ann", replace(mark, grade=None, is_unsure=True, sequence=2))
    assert saved.said == {mark.query_id: {"cat-illness": Said(None, True, "")}}
    assert (agreed(desk, mark), conflicts(desk)) == ({}, [])
    standing = desk.workspace.standings(desk.label_set_id).of_query(mark.query_id, "ann")
    assert (standing.n_graded, standing.n_mine, standing.n_people) == (0, 1, 1)
    deliver(desk, "ann", replace(mark, sequence=3))
    assert agreed(desk, mark) == {"cat-illness": 1.0}


def test_mark_that_is_both_a_grade_and_unsure_is_refused(desk: Desk, mark: Mark) -> None:
    assert "without a valid grade" in reason_of_refusal(desk, replace(mark, is_unsure=True))
    assert events(desk, mark) == []


def test_note_alone_is_said_and_counts_nowhere(desk: Desk, mark: Mark) -> None:
    saved = deliver(desk, "ann", replace(mark, grade=None, note="Who wrote this?"))
    assert saved.said == {mark.query_id: {"cat-illness": Said(None, False, "Who wrote this?")}}
    standing = desk.workspace.standings(desk.label_set_id).of_query(mark.query_id, "ann")
    assert (agreed(desk, mark), standing.n_graded, standing.n_mine) == ({}, 0, 0)


def test_mark_replaces_the_note_of_the_one_before(desk: Desk, mark: Mark) -> None:
    deliver(desk, "ann", replace(mark, note="Sure."))
    saved = deliver(desk, "ann", replace(mark, grade=0.0, note="Not so sure.", sequence=2))
    assert saved.said == {mark.query_id: {"cat-illness": Said(0.0, False, "Not so sure.")}}
    assert deliver(desk, "ann", replace(mark, sequence=3)).said == {
        mark.query_id: {"cat-illness": Said(1.0, False, "")}
    }


def test_note_has_a_longest_length(desk: Desk, mark: Mark) -> None:
    assert "Shorten the note to at most 2,000 characters." in reason_of_refusal(desk, replace(mark, note="x" * 2001))
    deliver(desk, "ann", replace(mark, note="x" * 2000))
    assert [len(event.note) for event in events(desk, mark)] == [2000]


@pytest.mark.parametrize("change", [{"note": "Who wrote this?"}, {"is_unsure": True}], ids=["note", "unsure"])
def test_label_set_counts_no_query_without_a_grade(desk: Desk, mark: Mark, change: dict[str, Any]) -> None:
    deliver(desk, "ann", replace(mark, grade=None, **change))
    [summary] = list_label_sets(desk.workspace, desk.collection.id)
    assert (summary.counts.n_judged, summary.counts.n_queries) == (0, 0)


@pytest.fixture
def disputed(desk: Desk, mark: Mark) -> Mark:
    """Return the mark with which a third person calls relevant what ann and bob disagree about."""
    deliver(desk, "ann", mark)
    deliver(desk, "bob", replace(mark, grade=0.0))
    return replace(mark, is_adjudication=True)


def test_adjudication_settles_a_conflict_for_everybody(desk: Desk, disputed: Mark) -> None:
    assert conflicts(desk) == [(disputed.query_id, "cat-illness")]
    saved = deliver(desk, "cleo", replace(disputed, note="The text says so."))
    assert saved.settled == {disputed.query_id: {"cat-illness": Said(1.0, False, "The text says so.")}}
    assert saved.said == {disputed.query_id: {}}  # it is no opinion of cleo's own
    assert (agreed(desk, disputed), conflicts(desk)) == ({"cat-illness": 1.0}, [])
    assert [event.role for event in events(desk, disputed)] == [
        JudgmentRole.JUDGE, JudgmentRole.JUDGE, JudgmentRole.ADJUDICATOR,
    ]  # fmt: skip


def test_adjudication_by_a_judge_leaves_what_the_judge_said(desk: Desk, disputed: Mark) -> None:
    saved = deliver(desk, "ann", replace(disputed, grade=0.0, sequence=2))
    assert saved.said == {disputed.query_id: {"cat-illness": Said(1.0, False, "")}}
    assert saved.settled == {disputed.query_id: {"cat-illness": Said(0.0, False, "")}}
    assert agreed(desk, disputed) == {"cat-illness": 0.0}


def test_adjudication_that_came_last_counts(desk: Desk, disputed: Mark) -> None:
    deliver(desk, "cleo", disputed)
    saved = deliver(desk, "dan", replace(disputed, grade=0.0))
    assert saved.settled == {disputed.query_id: {"cat-illness": Said(0.0, False, "")}}
    assert agreed(desk, disputed) == {"cat-illness": 0.0}
    deliver(desk, "dan", replace(disputed, grade=None, sequence=2))
    assert agreed(desk, disputed) == {"cat-illness": 1.0}  # cleo's counts again
    deliver(desk, "cleo", replace(disputed, grade=None, sequence=2))
    assert (agreed(desk, disputed), conflicts(desk)) == ({}, [(disputed.query_id, "cat-illness")])


def test_adjudicator_who_cannot_tell_settles_nothing(desk: Desk, disputed: Mark) -> None:
    saved = deliver(desk, "cleo", replace(disputed, grade=None, is_unsure=True))
    assert saved.settled == {disputed.query_id: {"cat-illness": Said(None, True, "")}}
    assert (agreed(desk, disputed), conflicts(desk)) == ({}, [(disputed.query_id, "cat-illness")])


def test_identical_document_is_a_mark_of_its_own(tmp_path: Path, mark: Mark) -> None:
    made = new_desk(tmp_path / "copies", small_world(documents=[*DOCUMENTS, COPY]))
    mark = replace(mark, label_set_id=made.label_set_id, query_id=made.query_id("cat-vet"), doc_id="cat-feeding")
    saved = deliver(made, "ann", mark, replace(mark, doc_id=COPY.doc_id, together_with="cat-feeding", sequence=2))
    assert saved.said[mark.query_id].keys() == {"cat-feeding", COPY.doc_id}
    assert [event.together_with for event in events(made, mark)] == [None, "cat-feeding"]
    deliver(made, "ann", replace(mark, grade=0.0, sequence=3))
    grades = agreed(made, mark)
    made.workspace.close()
    assert grades == {COPY.doc_id: 1.0, "cat-feeding": 0.0}


def test_pace_is_the_median_of_the_authors_last_fifty_times(desk: Desk, mark: Mark) -> None:
    def look_for(author: str, *seconds: float | None) -> None:
        n_before = len(events(desk, mark))
        deliver(desk, author, *(replace(mark, seconds=s, sequence=n_before + i + 1) for i, s in enumerate(seconds)))

    def pace(author: str | None, label_set_id: int) -> float | None:
        return place_at(desk.workspace, author, open_page(desk.workspace, desk.collection.id, label_set_id)).pace

    look_for("bob", *[900.0] * 60)
    look_for("ann", 8.0, 2.0, None, 4.0, 100.0)
    assert pace("ann", desk.label_set_id) is None  # four times tell too little
    look_for("ann", 6.0)
    assert pace("ann", desk.label_set_id) == 6.0  # of 2, 4, 6, 8, 100
    look_for("ann", *map(float, range(11, 61)))
    assert pace("ann", desk.label_set_id) == 35.5  # of 11, ..., 60
    assert pace("bob", desk.label_set_id) == 900.0
    assert pace(None, desk.label_set_id) is None
    second = start_label_set(desk.workspace, "ann", desk.collection.id, "second")
    assert pace("ann", second) is None
