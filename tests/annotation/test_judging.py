"""A mark: checked, appended, what its author says after it, and what counts where several people judge."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage.collections
import storage.documents
import storage.engine
import storage.judgments
import storage.queries
from annotation.collections.page import open_page
from annotation.collections.store_whole import store
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.marks import Mark, Saved, judge
from annotation.judging.queries import query_hash
from annotation.judging.view import Said
from annotation.ui.message import Message
from annotation.ui.server.marks import mark_of
from era.corpus import content_hash
from era.types import Document
from storage.errors import DatabaseBusy
from storage.records import CollectionRecord, JudgmentRecord, JudgmentRole, NewDocument
from tests.worlds.desk import Desk, new_desk, small_world
from tests.worlds.words import DOCUMENTS

FIRST = ("page-1", 1)


@pytest.fixture
def mark(desk: Desk) -> Mark:
    """Return a mark that is in order: cat-illness is relevant for the vet's query."""
    return Mark(desk.label_set_id, desk.query_id("cat-vet"), "cat-illness", 1.0, 3, "light", "page-1", 1)


@pytest.fixture
def other(desk: Desk) -> CollectionRecord:
    return store(desk.workspace, small_world("other"), author="ann", labels="", is_demo=False)


def deliver(desk: Desk, *marks: Mark, author: str | None = "ann") -> Saved:
    return judge(desk.workspace, author, desk.collection.id, marks)


def events(desk: Desk, mark: Mark) -> list[JudgmentRecord]:
    with desk.workspace.reading() as session:
        return list(storage.judgments.history(session, mark.label_set_id, mark.query_id))


def refusal(desk: Desk, mark: Mark, collection_id: int | None = None) -> str:
    """Return why a mark is refused; nothing may be stored of it."""
    before = events(desk, mark)
    saved = judge(desk.workspace, "ann", collection_id or desk.collection.id, [mark])
    assert (saved.stored, saved.said, saved.settled) == ((), {}, {})
    assert events(desk, mark) == before
    [(delivery, reason)] = saved.refused.items()
    assert delivery == (mark.client_id, mark.sequence)
    return reason


def test_judge_stores_everything_about_a_mark(desk: Desk, mark: Mark) -> None:
    saved = deliver(desk, replace(mark, note=" Says\x00so. ", seconds=4.5))
    assert (saved.stored, saved.refused, saved.settled) == ((FIRST,), {}, {})
    assert saved.said == {mark.query_id: {"cat-illness": Said(1.0, False, "Says so.")}}
    assert (saved.finished, saved.revealed) == ({mark.query_id: False}, {mark.query_id: {}})
    [event] = events(desk, mark)
    document = next(document for document in DOCUMENTS if document.doc_id == "cat-illness")
    assert (event.author, event.grade, event.rank_shown, event.retriever) == ("ann", 1.0, 3, "light")
    assert (event.client_id, event.sequence, event.role, event.is_unsure) == ("page-1", 1, JudgmentRole.JUDGE, False)
    assert (event.note, event.seconds, event.together_with, event.undoes_id) == ("Says so.", 4.5, None, None)
    assert (event.content_hash, event.instruction_id) == (
        content_hash(document),
        desk.query(mark.query_id).instruction_id,
    )


def test_judge_takes_marks_together_only_on_documents_that_agree_in_every_field(tmp_path: Path, mark: Mark) -> None:
    copies = [Document(doc_id, "Kettle", "It boils.") for doc_id in ("cheap", "dear", "cheap-too")]
    euros = {"cheap": {"price": "79"}, "dear": {"price": "449"}, "cheap-too": {"price": "79"}}
    made = new_desk(tmp_path / "shop", replace(small_world(documents=[*DOCUMENTS, *copies]), metadata=euros))
    lead = replace(mark, label_set_id=made.label_set_id, query_id=made.query_id("cat-vet"), doc_id="cheap")
    others = [
        replace(lead, doc_id=doc_id, sequence=sequence, together_with=together_with)
        for sequence, (doc_id, together_with) in enumerate(
            [("cheap-too", "cheap"), ("dear", "cheap"), ("dear", "unicorn"), ("dog-illness", "cheap")], start=2
        )
    ]
    saved = deliver(made, lead, *others)
    stored = {event.doc_id: event.together_with for event in events(made, lead)}
    made.workspace.close()
    assert stored == {"cheap": None, "cheap-too": "cheap"}
    assert saved.refused.keys() == {("page-1", 3), ("page-1", 4), ("page-1", 5)}
    assert all("mark each by itself" in reason for reason in saved.refused.values())


def test_judge_refuses_a_mark_that_was_made_for_another_query(desk: Desk, mark: Mark) -> None:
    owner = desk.query(desk.query_id("cat-owner"))  # the same words under another instruction
    assert "another query" in refusal(desk, replace(mark, query_hash=query_hash(owner)))
    assert "another query" in refusal(desk, replace(mark, query_hash="cat"))
    known = query_hash(desk.query(mark.query_id))
    assert deliver(desk, replace(mark, query_hash=known)).stored == (FIRST,)


@pytest.mark.parametrize(("sent", "is_kept"), [("ab" * 32, True), ("", False), ("AB" * 32, False), ("ab" * 33, False)])
def test_judge_stores_which_text_the_page_showed(desk: Desk, mark: Mark, sent: str, is_kept: bool) -> None:
    document = next(document for document in DOCUMENTS if document.doc_id == "cat-illness")
    deliver(desk, replace(mark, content_hash=sent))
    assert [event.content_hash for event in events(desk, mark)] == [sent if is_kept else content_hash(document)]


@pytest.mark.parametrize(("sent", "read"), [({"content_hash": "ab"}, "ab"), ({}, ""), ({"content_hash": 3}, "")])
def test_mark_of_an_earlier_page_comes_without_the_text_that_it_showed(sent: dict[str, Any], read: str) -> None:
    message = Message({"label_set_id": 2, "query_id": 3, "doc_id": "d1", "grade": 1, "sequence": 4, **sent})
    assert mark_of(message).content_hash == read


def test_judge_goes_back_to_the_text_of_the_earlier_mark(desk: Desk, mark: Mark) -> None:
    deliver(
        desk,
        replace(mark, content_hash="a" * 64),
        replace(mark, grade=0.0, content_hash="b" * 64, sequence=2),
        replace(mark, content_hash="c" * 64, sequence=3, undoes=("page-1", 2)),
    )
    assert [(event.grade, event.content_hash[0]) for event in events(desk, mark)] == [
        (1.0, "a"),
        (0.0, "b"),
        (1.0, "a"),
    ]


def test_judge_takes_a_document_that_was_not_ranked(desk: Desk, mark: Mark) -> None:
    deliver(desk, replace(mark, rank_shown=None, ranker=None))
    assert [(event.rank_shown, event.retriever) for event in events(desk, mark)] == [(None, None)]


def test_judge_takes_the_time_as_an_hour_at_most(desk: Desk, mark: Mark) -> None:
    deliver(desk, replace(mark, seconds=100_000.0), replace(mark, seconds=0.0, sequence=2))
    assert [event.seconds for event in events(desk, mark)] == [3600.0, 0.0]


def test_judge_appends_and_says_what_the_author_says_now(desk: Desk) -> None:
    query_id = desk.query_id("cat-vet")
    desk.mark(query_id, "cat-illness", 1.0, 1)
    desk.mark(query_id, "cat-feeding", 1.0, 2)
    desk.mark(query_id, "cat-feeding", 0.0, 3)
    desk.mark(query_id, "dog-illness", 0.0, 1, client_id="page-2")
    saved = desk.mark(query_id, "cat-illness", None, 4)
    assert saved.said == {query_id: {"cat-feeding": Said(0.0, False, ""), "dog-illness": Said(0.0, False, "")}}
    with desk.workspace.reading() as session:
        assert len(storage.judgments.history(session, desk.label_set_id, query_id)) == 5
    assert desk.qrels() == {query_id: {"cat-feeding": 0.0, "dog-illness": 0.0}}


def test_judge_stores_a_repeated_delivery_once(desk: Desk, mark: Mark) -> None:
    first = deliver(desk, mark)
    assert deliver(desk, mark) == first
    assert deliver(desk, mark, mark).stored == (FIRST, FIRST)
    assert len(events(desk, mark)) == 1
    deliver(desk, replace(mark, grade=0.0, sequence=2))
    late = deliver(desk, mark)
    assert late.stored == (FIRST,)
    assert late.said == {mark.query_id: {"cat-illness": Said(0.0, False, "")}}


@pytest.mark.parametrize(
    "change",
    [{"grade": 0.0}, {"grade": None}, {"doc_id": "cat-feeding"}, {"note": "why"}],
    ids=str,
)
def test_judge_refuses_another_mark_under_the_same_number(desk: Desk, mark: Mark, change: dict[str, Any]) -> None:
    deliver(desk, mark)
    assert "used before" in refusal(desk, replace(mark, **change))
    assert [(event.doc_id, event.grade) for event in events(desk, mark)] == [("cat-illness", 1.0)]


def test_judge_never_calls_a_mark_stored_that_stands_under_another_name(desk: Desk, mark: Mark) -> None:
    deliver(desk, mark)
    assert FIRST in deliver(desk, mark, author="bob").refused


def test_judge_stores_a_batch_in_its_order(desk: Desk, mark: Mark) -> None:
    owner = desk.query_id("cat-owner")
    saved = deliver(
        desk,
        mark,
        replace(mark, query_id=owner, grade=0.0, sequence=2),
        replace(mark, grade=0.0, sequence=3),
        replace(mark, doc_id="cat-feeding", sequence=4),
    )
    assert saved.stored == (FIRST, ("page-1", 2), ("page-1", 3), ("page-1", 4))
    assert saved.said == {
        mark.query_id: {"cat-illness": Said(0.0, False, ""), "cat-feeding": Said(1.0, False, "")},
        owner: {"cat-illness": Said(0.0, False, "")},
    }
    assert [event.sequence for event in events(desk, mark)] == [1, 3, 4]


def test_judge_stores_the_others_when_one_of_a_batch_is_refused(desk: Desk, mark: Mark) -> None:
    saved = deliver(
        desk,
        mark,
        replace(mark, query_id=desk.query_id("cat-owner"), grade=7.0, sequence=2),
        replace(mark, sequence=1, grade=None),
        replace(mark, doc_id="unicorn", sequence=3),
        replace(mark, doc_id="cat-feeding", grade=0.0, sequence=4),
    )
    assert saved.stored == (FIRST, ("page-1", 4))
    assert saved.refused.keys() == {("page-1", 2), FIRST, ("page-1", 3)}
    assert "not 7" in saved.refused["page-1", 2]
    assert "used before" in saved.refused[FIRST]
    assert "no longer in the collection" in saved.refused["page-1", 3]
    assert saved.said == {
        mark.query_id: {"cat-illness": Said(1.0, False, ""), "cat-feeding": Said(0.0, False, "")}
    }  # nothing of the owner's query, which has only the refused mark
    assert [(event.doc_id, event.grade) for event in events(desk, mark)] == [("cat-illness", 1.0), ("cat-feeding", 0.0)]


def test_judge_takes_an_empty_batch(desk: Desk) -> None:
    assert deliver(desk) == Saved((), {}, {}, {})


def test_judge_takes_five_hundred_marks_at_once_and_no_more(desk: Desk, mark: Mark) -> None:
    marks = [replace(mark, grade=float(number % 2), sequence=number) for number in range(1, 502)]
    with pytest.raises(InvalidInputError, match="At most 500 marks"):
        deliver(desk, *marks)
    assert events(desk, mark) == []
    assert len(deliver(desk, *marks[:500]).stored) == len(events(desk, mark)) == 500


def test_judge_stores_nothing_of_a_batch_when_the_database_gives_up(
    desk: Desk, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, n_appended = storage.judgments.append, 0

    def append_once(*arguments: Any) -> Any:
        nonlocal n_appended
        n_appended += 1
        if n_appended == 2:
            raise OSError("the disk is gone")
        return append(*arguments)

    monkeypatch.setattr(storage.judgments, "append", append_once)
    with pytest.raises(OSError, match="disk is gone"):
        deliver(desk, mark, replace(mark, doc_id="cat-feeding", sequence=2))
    assert events(desk, mark) == []


def test_judge_says_that_the_database_is_busy_when_another_writer_holds_it(
    desk: Desk, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.engine, "BUSY_TIMEOUT_MS", 20)
    again = desk.again()
    holder = sqlite3.connect(again.workspace.folder / "era.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy, match="try again"):
        deliver(again, mark)
    holder.execute("ROLLBACK")
    holder.close()
    assert deliver(again, mark).stored == (FIRST,)
    again.workspace.close()


@pytest.mark.parametrize(
    ("grade", "shown"), [(2.0, "2"), (3.0, "3"), (0.5, "0.5"), (1.001, "1.001"), (10.0, "10"), (11.0, "11")]
)
def test_judge_refuses_a_grade_that_is_not_on_the_scale(desk: Desk, mark: Mark, grade: float, shown: str) -> None:
    assert refusal(desk, replace(mark, grade=grade)).startswith(f"A grade is 0 or 1 here, not {shown}.")


@pytest.mark.parametrize("number", [-1.0, -0.1, float("nan"), float("inf"), float("-inf"), True])
@pytest.mark.parametrize("name", ["grade", "seconds"])
def test_judge_refuses_what_is_no_grade_or_no_time(desk: Desk, mark: Mark, name: str, number: float) -> None:
    assert "without a valid grade" in refusal(desk, replace(mark, **{name: number}))  # type: ignore[arg-type]


def test_judge_refuses_a_grade_larger_than_any_decimal_and_stores_the_others(desk: Desk, mark: Mark) -> None:
    saved = deliver(desk, mark, replace(mark, doc_id="cat-feeding", grade=10**400, sequence=2))
    assert saved.stored == (FIRST,)


@pytest.mark.parametrize(
    ("client_id", "sequence"), [("", 1), ("x" * 65, 1), ("page-1", 0), ("page-1", -1), ("p", 2**31)]
)
def test_judge_refuses_a_delivery_without_a_valid_number(desk: Desk, mark: Mark, client_id: str, sequence: int) -> None:
    reason = refusal(desk, replace(mark, client_id=client_id, sequence=sequence))
    assert "without a valid number" in reason


@pytest.mark.parametrize(("client_id", "sequence"), [("x" * 64, 1), ("p", 2**31 - 1)])
def test_judge_takes_the_longest_number_that_is_allowed(desk: Desk, mark: Mark, client_id: str, sequence: int) -> None:
    saved = deliver(desk, replace(mark, client_id=client_id, sequence=sequence))
    assert saved.stored == ((client_id, sequence),)


@pytest.mark.parametrize("rank", [0, -3])
def test_judge_does_not_blame_the_number_when_the_rank_is_impossible(desk: Desk, mark: Mark, rank: int) -> None:
    assert "without a valid grade or rank" in refusal(desk, replace(mark, rank_shown=rank))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query_id": 999}, "no query with the id 999"),
        ({"label_set_id": 999}, "no label set with the id 999"),
        ({"doc_id": "unicorn"}, "no longer in the collection"),
        ({"doc_id": ""}, "no longer in the collection"),
        ({"doc_id": "cat\ud83d"}, "no longer in the collection"),
    ],
    ids=["query", "label set", "document", "no document", "half a character"],
)
def test_judge_refuses_what_does_not_exist(desk: Desk, mark: Mark, change: dict[str, Any], reason: str) -> None:
    assert reason in refusal(desk, replace(mark, **change))
    assert deliver(desk, mark).stored == (FIRST,)


def test_judge_refuses_what_belongs_to_another_collection(desk: Desk, mark: Mark, other: CollectionRecord) -> None:
    there = open_page(desk.workspace, other.id, None)
    with desk.workspace.reading() as session:
        foreign_query = storage.queries.list_all(session, other.id)[0].id
    for collection_id, wrong in (
        (other.id, mark),
        (desk.collection.id, replace(mark, query_id=foreign_query)),
        (desk.collection.id, replace(mark, label_set_id=there.label_set.id)),
        (999, mark),
    ):
        assert "another collection" in refusal(desk, wrong, collection_id)


def test_judge_is_not_led_astray_by_what_the_batch_named_before(
    desk: Desk, mark: Mark, other: CollectionRecord
) -> None:
    there = open_page(desk.workspace, other.id, None).label_set.id
    saved = deliver(desk, mark, replace(mark, label_set_id=there, sequence=2), replace(mark, query_id=999, sequence=3))
    assert saved.stored == (FIRST,)
    assert saved.refused.keys() == {("page-1", 2), ("page-1", 3)}
    with desk.workspace.reading() as session:
        assert storage.judgments.standing(session, there) == []


def test_judge_refuses_a_document_of_another_collection(desk: Desk, mark: Mark) -> None:
    with desk.workspace.writing() as session:
        birds = storage.collections.add(
            session, name="birds", description="", is_demo=False, corpus_fingerprint="", n_documents=0,
            document_embedder="",
        )  # fmt: skip
        storage.documents.add_many(session, birds.id, [NewDocument("owl", "", "owl", "a" * 64)])
    assert "no longer in the collection" in refusal(desk, replace(mark, doc_id="owl"))


def test_judge_refuses_when_nobody_is_signed_in(desk: Desk, mark: Mark) -> None:
    with pytest.raises(NotAllowedError, match="Sign in"):
        deliver(desk, mark, author=None)
    assert events(desk, mark) == []


@pytest.fixture
def reopened(desk: Desk, mark: Mark) -> Iterator[Desk]:
    deliver(desk, mark)
    again = desk.again()
    yield again
    again.workspace.close()


def test_marks_survive_closing_and_reopening(reopened: Desk, mark: Mark) -> None:
    assert [(event.doc_id, event.grade, event.author) for event in events(reopened, mark)] == [
        ("cat-illness", 1.0, "ann")
    ]
    assert reopened.qrels() == {mark.query_id: {"cat-illness": 1.0}}
    assert deliver(reopened, mark).said == {mark.query_id: {"cat-illness": Said(1.0, False, "")}}
    assert len(events(reopened, mark)) == 1  # the repeated delivery is recognised
