"""A mark: checked, appended, and what stands after it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

import storage.judgments
import storage.queries
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.importing import store
from annotation.judging import Mark, judge, start_label_set
from annotation.opening import list_label_sets, open_page
from era.corpus import content_hash
from storage.records import CollectionRecord, JudgmentRecord
from tests.annotation.conftest import DOCUMENTS, Desk, small_world


@pytest.fixture
def mark(desk: Desk) -> Mark:
    """Return a mark that is in order: cat-illness is relevant for the vet's query."""
    return Mark(desk.label_set_id, desk.query_id("cat-vet"), "cat-illness", 1.0, 3, "light", "page-1", 1)


@pytest.fixture
def other(desk: Desk) -> CollectionRecord:
    return store(desk.workspace, small_world("other"), author="ann", labels="", is_demo=False)


def events(desk: Desk, mark: Mark) -> list[JudgmentRecord]:
    with desk.workspace.reading() as session:
        return list(storage.judgments.history(session, mark.label_set_id, mark.query_id))


def test_judge_stores_everything_about_a_mark(desk: Desk, mark: Mark) -> None:
    saved = judge(desk.workspace, "ann", desk.collection.id, mark)
    assert (saved.query_id, saved.client_id) == (mark.query_id, "page-1")
    assert saved.sequences == {"cat-illness": 1}
    assert saved.grades == {"cat-illness": 1.0}
    [event] = events(desk, mark)
    with desk.workspace.reading() as session:
        query = storage.queries.get(session, mark.query_id)
    document = next(document for document in DOCUMENTS if document.doc_id == "cat-illness")
    assert (event.author, event.grade, event.rank_shown, event.retriever) == ("ann", 1.0, 3, "light")
    assert (event.content_hash, event.instruction_id) == (content_hash(document), query.instruction_id)


def test_judge_takes_a_document_that_was_not_ranked(desk: Desk, mark: Mark) -> None:
    judge(desk.workspace, "ann", desk.collection.id, replace(mark, rank_shown=None, ranker=None))
    assert [(event.rank_shown, event.retriever) for event in events(desk, mark)] == [(None, None)]


def test_judge_appends_and_says_what_stands(desk: Desk) -> None:
    query_id = desk.query_id("cat-vet")
    desk.mark(query_id, "cat-illness", 1.0, 1)
    desk.mark(query_id, "cat-feeding", 1.0, 2)
    desk.mark(query_id, "cat-feeding", 0.0, 3)
    desk.mark(query_id, "dog-illness", 0.0, 1, client_id="page-2")
    saved = desk.mark(query_id, "cat-illness", None, 4)
    assert saved.grades == {"cat-feeding": 0.0, "dog-illness": 0.0}
    assert saved.sequences == {"cat-illness": 4, "cat-feeding": 3}
    with desk.workspace.reading() as session:
        assert len(storage.judgments.history(session, desk.label_set_id, query_id)) == 5
        assert storage.judgments.qrels(session, desk.label_set_id) == {query_id: saved.grades}


def test_judge_stores_a_repeated_delivery_once(desk: Desk, mark: Mark) -> None:
    first = judge(desk.workspace, "ann", desk.collection.id, mark)
    assert judge(desk.workspace, "ann", desk.collection.id, mark) == first
    assert len(events(desk, mark)) == 1
    judge(desk.workspace, "ann", desk.collection.id, replace(mark, grade=0.0, sequence=2))
    late = judge(desk.workspace, "ann", desk.collection.id, mark)
    assert late.grades == {"cat-illness": 0.0}
    assert late.sequences == {"cat-illness": 2}


@pytest.mark.parametrize("change", [{"grade": 0.0}, {"grade": None}, {"doc_id": "cat-feeding"}])
def test_judge_refuses_another_mark_under_the_same_number(
    desk: Desk, mark: Mark, change: dict[str, str | float | None]
) -> None:
    judge(desk.workspace, "ann", desk.collection.id, mark)
    with pytest.raises(InvalidInputError, match="used before"):
        judge(desk.workspace, "ann", desk.collection.id, replace(mark, **change))  # type: ignore[arg-type]
    assert [(event.doc_id, event.grade) for event in events(desk, mark)] == [("cat-illness", 1.0)]


@pytest.mark.parametrize("grade", [2.0, -1.0, 0.5, 1.0000001, float("nan"), float("inf"), float("-inf")])
def test_judge_refuses_a_grade_that_is_not_on_the_scale(desk: Desk, mark: Mark, grade: float) -> None:
    with pytest.raises(InvalidInputError, match="A grade is 1"):
        judge(desk.workspace, "ann", desk.collection.id, replace(mark, grade=grade))
    assert events(desk, mark) == []


@pytest.mark.parametrize(
    ("client_id", "sequence"), [("", 1), ("x" * 65, 1), ("page-1", 0), ("page-1", -1), ("p", 2**31)]
)
def test_judge_refuses_a_delivery_without_a_valid_number(desk: Desk, mark: Mark, client_id: str, sequence: int) -> None:
    with pytest.raises(InvalidInputError, match="Reload the page"):
        judge(desk.workspace, "ann", desk.collection.id, replace(mark, client_id=client_id, sequence=sequence))
    assert events(desk, mark) == []


@pytest.mark.parametrize("rank", [0, -3])
def test_judge_does_not_blame_the_number_when_the_rank_is_impossible(desk: Desk, mark: Mark, rank: int) -> None:
    with pytest.raises(InvalidInputError) as error:
        judge(desk.workspace, "ann", desk.collection.id, replace(mark, rank_shown=rank))
    assert "used before" not in str(error.value)
    assert events(desk, mark) == []


@pytest.mark.parametrize("change", [{"query_id": 999}, {"label_set_id": 999}, {"doc_id": "unicorn"}, {"doc_id": ""}])
def test_judge_refuses_what_does_not_exist(desk: Desk, mark: Mark, change: dict[str, int | str]) -> None:
    with pytest.raises(NotFoundError):
        judge(desk.workspace, "ann", desk.collection.id, replace(mark, **change))  # type: ignore[arg-type]
    assert events(desk, mark) == []


def test_judge_refuses_a_document_id_with_half_a_character(desk: Desk, mark: Mark) -> None:
    with pytest.raises(NotFoundError):
        judge(desk.workspace, "ann", desk.collection.id, replace(mark, doc_id="cat\ud83d"))


def test_judge_refuses_what_belongs_to_another_collection(desk: Desk, mark: Mark, other: CollectionRecord) -> None:
    there = open_page(desk.workspace, other.id, None)
    with desk.workspace.reading() as session:
        foreign_query = storage.queries.list_with_progress(session, other.id, 0)[0].query.id
    for collection_id, wrong in (
        (other.id, mark),
        (desk.collection.id, replace(mark, query_id=foreign_query)),
        (desk.collection.id, replace(mark, label_set_id=there.label_set.id)),
        (999, mark),
    ):
        with pytest.raises(NotFoundError, match="another collection"):
            judge(desk.workspace, "ann", collection_id, wrong)
    assert events(desk, mark) == []


def test_judge_refuses_a_document_of_another_collection(desk: Desk, mark: Mark) -> None:
    with desk.workspace.writing() as session:
        birds = storage.collections.add(
            session, name="birds", description="", is_demo=False, corpus_fingerprint="", n_documents=0,
            document_embedder="",
        )  # fmt: skip
        storage.documents.add_many(session, birds.id, [storage.records.NewDocument("owl", "", "owl", "a" * 64)])
    with pytest.raises(NotFoundError, match="no longer in the collection"):
        judge(desk.workspace, "ann", desk.collection.id, replace(mark, doc_id="owl"))


def test_judge_refuses_when_nobody_is_signed_in(desk: Desk, mark: Mark) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        judge(desk.workspace, None, desk.collection.id, mark)
    assert events(desk, mark) == []


@pytest.fixture
def reopened(desk: Desk, mark: Mark) -> Iterator[Desk]:
    judge(desk.workspace, "ann", desk.collection.id, mark)
    again = desk.again()
    yield again
    again.workspace.close()


def test_marks_survive_closing_and_reopening(reopened: Desk, mark: Mark) -> None:
    assert [(event.doc_id, event.grade, event.author) for event in events(reopened, mark)] == [
        ("cat-illness", 1.0, "ann")
    ]
    assert judge(reopened.workspace, "ann", reopened.collection.id, mark).grades == {"cat-illness": 1.0}
    assert len(events(reopened, mark)) == 1  # the repeated delivery is recognised


def test_start_label_set_starts_an_empty_one_or_opens_the_one_of_that_name(judged_desk: Desk) -> None:
    new = start_label_set(judged_desk.workspace, "bob", judged_desk.collection.id, "  Bob's\n labels ")
    assert start_label_set(judged_desk.workspace, "ann", judged_desk.collection.id, "Bob's labels") == new
    old, made = list_label_sets(judged_desk.workspace, judged_desk.collection.id)
    assert (made.label_set.id, made.label_set.name, made.label_set.created_by) == (new, "Bob's labels", "bob")
    assert (old.counts.n_judgments, made.counts.n_judgments) == (24, 0)
    assert start_label_set(judged_desk.workspace, "bob", judged_desk.collection.id, "Ann's labels") == old.label_set.id


@pytest.mark.parametrize("name", ["", "  \n", "x" * 61])
def test_start_label_set_refuses_a_name_that_cannot_be_shown(desk: Desk, name: str) -> None:
    with pytest.raises(InvalidInputError, match="at most 60 characters"):
        start_label_set(desk.workspace, "ann", desk.collection.id, name)
    assert len(list_label_sets(desk.workspace, desk.collection.id)) == 1


@pytest.mark.parametrize("name", ["half \ud83d a pair", "a\x00b"])
def test_start_label_set_cleans_or_refuses_control_characters(desk: Desk, name: str) -> None:
    try:
        start_label_set(desk.workspace, "ann", desk.collection.id, name)
    except InvalidInputError:
        return
    assert list_label_sets(desk.workspace, desk.collection.id)[1].label_set.name.isprintable()


def test_start_label_set_refuses_when_nobody_is_signed_in(desk: Desk) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        start_label_set(desk.workspace, None, desk.collection.id, "mine")
