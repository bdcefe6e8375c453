"""Taking a mark back: one's own, within a delivery and long after it, and what can still be taken back."""

from dataclasses import asdict, replace
from typing import Any

import pytest

import storage.collections
import storage.judgments
from annotation.judging.marks import Mark, Saved, judge, start_label_set
from annotation.judging.setup import FOUR_GRADES, DeskSetup
from annotation.judging.view import Said, Undoable, undoable
from storage.records import JudgmentRecord
from tests.worlds.desk import Desk

NOTHING = Said(None, False, "")


@pytest.fixture
def mark(desk: Desk) -> Mark:
    """Return a mark that is in order: cat-illness is relevant for the vet's query."""
    return Mark(desk.label_set_id, desk.query_id("cat-vet"), "cat-illness", 1.0, None, None, "page-1", 1)


def deliver(desk: Desk, *marks: Mark, author: str = "ann") -> Saved:
    return judge(desk.workspace, author, desk.collection.id, marks)


def undo(mark: Mark, sequence: int, grade: float | None = None, **change: Any) -> Mark:
    """Return what takes the mark back, to the grade that was there before it."""
    back = replace(mark, grade=grade, is_unsure=False, sequence=sequence, undoes=(mark.client_id, mark.sequence))
    return replace(back, **change)


def events(desk: Desk, mark: Mark) -> list[JudgmentRecord]:
    with desk.workspace.reading() as session:
        return list(storage.judgments.history(session, mark.label_set_id, mark.query_id))


def left_to_undo(desk: Desk, mark: Mark, author: str | None = "ann", n: int = 50) -> list[Undoable]:
    return undoable(events(desk, mark), author, n)


def test_undo_within_the_same_delivery_takes_the_mark_back(desk: Desk, mark: Mark) -> None:
    saved = deliver(desk, mark, undo(mark, 2))
    assert (saved.stored, saved.refused) == ((("page-1", 1), ("page-1", 2)), {})
    assert saved.said == {mark.query_id: {}}
    first, second = events(desk, mark)
    assert (first.undoes_id, second.undoes_id, second.grade) == (None, first.id, None)
    assert desk.qrels() == {}


def test_undo_in_a_later_delivery_brings_back_what_was_said_before(desk: Desk, mark: Mark) -> None:
    deliver(desk, replace(mark, note="Surely."))
    changed = replace(mark, grade=0.0, sequence=2)
    deliver(desk, changed)
    saved = deliver(desk, undo(changed, 3, grade=1.0, note="Surely."))
    assert saved.said == {mark.query_id: {"cat-illness": Said(1.0, False, "Surely.")}}
    first, second, third = events(desk, mark)
    assert (first.undoes_id, second.undoes_id, third.undoes_id) == (None, None, second.id)


def test_undo_from_another_page_of_the_same_person_is_taken(desk: Desk, mark: Mark) -> None:
    deliver(desk, mark)
    again = desk.again()  # days later
    saved = deliver(again, undo(mark, 1, client_id="page-2"))
    assert (saved.refused, saved.said) == ({}, {mark.query_id: {}})
    assert [event.client_id for event in events(again, mark)] == ["page-1", "page-2"]
    again.workspace.close()


def test_undo_of_somebody_elses_mark_is_refused(desk: Desk, mark: Mark) -> None:
    deliver(desk, mark)
    saved = deliver(desk, undo(mark, 1, client_id="page-of-bob"), author="bob")
    assert saved.stored == ()
    assert "no such mark of yours to undo" in saved.refused["page-of-bob", 1]
    assert len(events(desk, mark)) == 1
    assert desk.qrels() == {mark.query_id: {"cat-illness": 1.0}}


@pytest.mark.parametrize("change", [{"undoes": ("page-1", 7)}, {"undoes": ("page-7", 1)}, {"doc_id": "cat-feeding"}])
def test_undo_of_what_was_never_marked_is_refused_and_the_rest_is_stored(
    desk: Desk, mark: Mark, change: dict[str, Any]
) -> None:
    deliver(desk, mark)
    saved = deliver(desk, replace(undo(mark, 2), **change), replace(mark, doc_id="dog-illness", sequence=3))
    assert saved.stored == (("page-1", 3),)
    assert "Mark the document again instead" in saved.refused["page-1", 2]
    assert saved.said[mark.query_id].keys() == {"cat-illness", "dog-illness"}


def test_undo_under_another_query_is_refused(desk: Desk, mark: Mark) -> None:
    deliver(desk, mark)
    saved = deliver(desk, undo(mark, 2, query_id=desk.query_id("cat-owner")))
    assert "no such mark" in saved.refused["page-1", 2]


def test_undo_in_another_label_set_is_refused(desk: Desk, mark: Mark) -> None:
    deliver(desk, mark)
    second = start_label_set(desk.workspace, "ann", desk.collection.id, "second")
    saved = deliver(desk, undo(mark, 2, label_set_id=second))
    assert "no such mark" in saved.refused["page-1", 2]


def set_grades(desk: Desk, setup: DeskSetup) -> None:
    with desk.workspace.writing() as session:
        storage.collections.set_desk(session, desk.collection.id, asdict(setup))


def test_undo_brings_back_a_grade_of_an_earlier_scale(desk: Desk, mark: Mark) -> None:
    set_grades(desk, DeskSetup(grade_names=FOUR_GRADES))
    deliver(desk, replace(mark, grade=3.0))
    set_grades(desk, DeskSetup())
    changed = replace(mark, grade=0.0, sequence=2)
    deliver(desk, changed)
    saved = deliver(desk, undo(changed, 3, grade=3.0))
    assert (saved.refused, saved.said) == ({}, {mark.query_id: {"cat-illness": Said(3.0, False, "")}})


@pytest.mark.parametrize(
    "sent", [{"grade": 7.5}, {"grade": 0.0}, {"grade": None, "is_unsure": True}, {"note": "Other words."}], ids=str
)
def test_undo_brings_back_what_was_said_whatever_the_page_takes_it_for(
    desk: Desk, mark: Mark, sent: dict[str, Any]
) -> None:
    changed = replace(mark, grade=None, is_unsure=True, sequence=2)
    deliver(desk, replace(mark, note="Surely."), changed)
    saved = deliver(desk, replace(undo(changed, 3), **sent))
    assert saved.said == {mark.query_id: {"cat-illness": Said(1.0, False, "Surely.")}}
    again = deliver(desk, replace(undo(changed, 3), **sent))  # the same delivery once more
    assert (again.stored, len(events(desk, mark))) == ((("page-1", 3),), 3)


def test_undo_brings_back_that_somebody_could_not_tell(desk: Desk, mark: Mark) -> None:
    changed = replace(mark, sequence=2)
    deliver(desk, replace(mark, grade=None, is_unsure=True, note="Hm."), changed)
    saved = deliver(desk, undo(changed, 3))
    assert saved.said == {mark.query_id: {"cat-illness": Said(None, True, "Hm.")}}


def test_undo_looks_at_the_persons_own_marks_alone(desk: Desk, mark: Mark) -> None:
    deliver(desk, replace(mark, grade=0.0))
    deliver(desk, replace(mark, client_id="page-of-bob"), author="bob")
    changed = replace(mark, sequence=2)
    deliver(desk, replace(mark, is_adjudication=True, sequence=3), changed)
    assert deliver(desk, undo(changed, 4)).said == {mark.query_id: {"cat-illness": Said(0.0, False, "")}}


def test_undo_of_an_adjudication_leaves_the_mark_of_the_desk(desk: Desk, mark: Mark) -> None:
    settling = replace(mark, grade=0.0, is_adjudication=True, sequence=2)
    deliver(desk, mark, settling)
    deliver(desk, undo(settling, 3, is_adjudication=False))
    assert deliver(desk, mark).said == {mark.query_id: {"cat-illness": Said(1.0, False, "")}}


def test_undoable_are_ones_own_marks_with_what_was_said_before(desk: Desk, mark: Mark) -> None:
    deliver(
        desk,
        mark,
        replace(mark, doc_id="cat-feeding", sequence=2),
        replace(mark, grade=None, is_unsure=True, note="Hm.", sequence=3),
        replace(mark, grade=0.0, sequence=4),
    )
    deliver(desk, replace(mark, client_id="page-of-bob"), author="bob")
    deliver(desk, replace(mark, is_adjudication=True, sequence=5))
    assert left_to_undo(desk, mark) == [
        Undoable("page-1", 1, "cat-illness", None, NOTHING),
        Undoable("page-1", 2, "cat-feeding", None, NOTHING),
        Undoable("page-1", 3, "cat-illness", None, Said(1.0, False, "")),
        Undoable("page-1", 4, "cat-illness", None, Said(None, True, "Hm.")),
    ]
    assert left_to_undo(desk, mark, "bob") == [Undoable("page-of-bob", 1, "cat-illness", None, NOTHING)]
    assert left_to_undo(desk, mark, None) == left_to_undo(desk, mark, "cleo") == []


def test_undoable_is_neither_an_undo_nor_what_it_took_back(desk: Desk, mark: Mark) -> None:
    changed = replace(mark, grade=0.0, sequence=2)
    deliver(desk, mark, changed, undo(changed, 3, grade=1.0))
    assert [each.sequence for each in left_to_undo(desk, mark)] == [1]
    deliver(desk, undo(mark, 4))
    assert left_to_undo(desk, mark) == []
    deliver(desk, replace(mark, sequence=5))
    assert left_to_undo(desk, mark) == [Undoable("page-1", 5, "cat-illness", None, NOTHING)]


def test_undoable_are_the_last_ones_when_there_are_many(desk: Desk, mark: Mark) -> None:
    deliver(desk, *(replace(mark, grade=float(number % 2), sequence=number) for number in range(1, 61)))
    assert [each.sequence for each in left_to_undo(desk, mark)] == list(range(11, 61))
    last_two = left_to_undo(desk, mark, n=2)
    assert [(each.sequence, each.before.grade) for each in last_two] == [(59, 0.0), (60, 1.0)]
