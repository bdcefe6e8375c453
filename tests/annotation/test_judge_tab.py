"""What the judging screen answers: the desk it opens with, and what it says of a delivery of marks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.orm import Session

import storage.judgments
import storage.label_sets
from annotation.collections.page import list_queries
from annotation.errors import InvalidInputError, NotReadyError
from annotation.judging.marks import Mark
from annotation.ui.message import Message
from annotation.ui.server.marks import deliver as deliver_marks
from annotation.ui.server.marks import mark_of
from annotation.ui.tabs.judge import JudgeTab
from storage.errors import DatabaseBusy
from storage.records import PoolDocument
from tests.worlds.desk import Desk
from tests.worlds.judging import with_setup

MARK: dict[str, Any] = {
    "label_set_id": 2,
    "query_id": 3,
    "doc_id": "d1",
    "grade": 1,
    "ranker": "light",
    "client_id": "page-1",
    "sequence": 4,
}


@pytest.fixture
def judge_tab(judged_desk: Desk) -> JudgeTab:
    return JudgeTab(judged_desk.workspace)


def doc_ids(payload: dict[str, Any]) -> list[str]:
    return [card["doc_id"] for card in payload["cards"]]


def test_judge_tab_opens_with_the_pool_of_the_first_imported_query(judged_desk: Desk, judge_tab: JudgeTab) -> None:
    judged_desk.ask("written here")
    payload = judge_tab.show(judged_desk.page, "ann", Message({}))
    assert (payload["view"], payload["ranker"], payload["error"]) == ("pool", "aligned+words+reread", "")
    assert (payload["query"]["text"], payload["query"]["instruction"]) == ("cat", "owner")
    assert len(set(doc_ids(payload))) == len(doc_ids(payload)) == 12
    assert {card["rank"] for card in payload["cards"]} == {None}  # the order tells nothing


def test_judge_tab_opens_with_the_newest_run(judged_desk: Desk, judge_tab: JudgeTab) -> None:
    run = judged_desk.train()
    payload = judge_tab.show(judged_desk.page, "ann", Message({}))
    assert (payload["ranker"], payload["error"]) == (f"run-{run.id}", "")


def test_judge_tab_opens_with_what_the_address_names(judged_desk: Desk, judge_tab: JudgeTab) -> None:
    query_id = judged_desk.query_id("dog-vet")
    payload = judge_tab.show(judged_desk.page, "ann", Message({"query": str(query_id), "by": "light"}))
    assert (payload["view"], payload["ranker"], payload["query"]["id"]) == ("ranking", "light", query_id)
    assert [card["rank"] for card in payload["cards"]] == list(range(1, 11))
    assert set(doc_ids(payload)[:2]) == {"dog-feeding", "dog-illness"}


@pytest.mark.parametrize(("view", "author"), [("again", "ann"), ("conflicts", "ann"), ("conflicts", "cleo")])
def test_judge_tab_opens_with_a_list_over_all_queries(
    judged_desk: Desk, judge_tab: JudgeTab, view: str, author: str
) -> None:
    query_id = judged_desk.query_id("dog-vet")
    with judged_desk.workspace.writing() as session:
        pool = [PoolDocument("dog-illness", {"light": 1})]
        storage.label_sets.add_to_pool(session, judged_desk.label_set_id, query_id, pool)
    judged_desk.mark(query_id, "dog-illness", 0.0, 1)  # the imported mark says otherwise
    judged_desk.mark(query_id, "dog-illness", 1.0, 1, "page-of-bob", "bob")
    payload = judge_tab.show(judged_desk.page, author, Message({"view": view}))
    assert (payload["view"], payload["error"], payload["query"]["id"]) == (view, "", None)
    assert [(card["query_id"], card["doc_id"]) for card in payload["cards"]] == [(query_id, "dog-illness")]
    assert payload["url"]["view"] == view


def test_judge_tab_opens_for_a_visitor_who_may_not_write(judged_desk: Desk, judge_tab: JudgeTab) -> None:
    payload = judge_tab.show(judged_desk.page, None, Message({}))
    assert (payload["can_write"], payload["person"], payload["settings"]["must_acknowledge"]) == (False, None, False)
    assert len(payload["cards"]) == 12


@pytest.mark.parametrize(("view", "n_cards"), [("pool", 12), ("ranking", 10)])
def test_judge_tab_opens_when_the_newest_adapter_is_damaged(
    judged_desk: Desk, judge_tab: JudgeTab, view: str, n_cards: int
) -> None:
    run = judged_desk.train()
    (judged_desk.workspace.adapter_folder(run.id) / "adapter.safetensors").write_bytes(b"")
    payload = judge_tab.show(judged_desk.page, "ann", Message({"view": view}))
    assert (payload["view"], len(payload["cards"]), payload["query"]["text"]) == (view, n_cards, "cat")
    assert payload["error"] == ""  # the aligned ranking takes its place, and the header says why


@pytest.mark.parametrize(("query", "by"), [("999", "run-999"), ("999", "light"), ("1", "run-999")])
def test_judge_tab_opens_with_an_error_when_the_address_names_what_is_not_there(
    judged_desk: Desk, judge_tab: JudgeTab, query: str, by: str
) -> None:
    payload = judge_tab.show(judged_desk.page, "ann", Message({"query": query, "by": by}))
    assert "does not exist" in payload["error"] or "left no adapter" in payload["error"]
    assert payload["query"]["text"] == "cat"


def test_mark_of_takes_a_mark_as_the_page_sends_it() -> None:
    assert mark_of(Message(MARK)) == Mark(2, 3, "d1", 1, None, "light", "page-1", 4)
    more = {
        "grade": None, "rank": 5, "unsure": True, "note": " Hm. ", "seconds": 2.5, "together_with": "d0",
        "undoes": ["page-0", 9], "is_adjudication": True, "content_hash": "c", "query_hash": "q",
    }  # fmt: skip
    assert mark_of(Message({**MARK, **more})) == Mark(
        2, 3, "d1", None, 5, "light", "page-1", 4, True, " Hm. ", 2.5, "d0", ("page-0", 9), True, "c", "q"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"label_set_id": None},
        {"query_id": "x"},
        {"sequence": 1.5},
        {"doc_id": 5},
        {"grade": "1"},
        {"seconds": "2"},
        {"note": None},
        {"client_id": 7},
        {"together_with": ["d0"]},
        {"undoes": "page-0"},
        {"undoes": ["page-0"]},
        {"undoes": ["page-0", "9"]},
        {"undoes": ["page-0", True]},
        {"undoes": [9, "page-0"]},
        {"undoes": ["page-0", 9, 9]},
    ],
    ids=str,
)
def test_mark_of_refuses_what_is_of_another_kind(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        mark_of(Message({**MARK, **change}))


def deliver(desk: Desk, *changes: dict[str, Any], **message: Any) -> dict[str, Any]:
    """Return what is answered to marks of the query dog-vet, sent by ann's page."""
    places = {"label_set_id": desk.label_set_id, "query_id": desk.query_id("dog-vet"), "doc_id": "dog-illness"}
    marks = [{**MARK, **places, **change} for change in changes]
    sent = {"batch": "b1", "person": "ann", "collection_id": desk.collection.id, "marks": marks, **message}
    return deliver_marks(desk.workspace, "ann", Message(sent))


def test_delivery_answers_a_delivery_with_what_it_changed(judged_desk: Desk) -> None:
    reply = deliver(judged_desk, {}, {"doc_id": "unicorn", "sequence": 5})
    key = str(judged_desk.query_id("dog-vet"))
    assert (reply["batch"], reply["stored"]) == ("b1", ["page-1:4"])
    assert reply["refused"].keys() == {"page-1:5"}
    assert reply["said"] == {key: {"dog-illness": {"grade": 1.0, "unsure": False, "note": ""}}}
    assert reply["finished"] == {key: False}
    assert reply["progress"] == {
        key: {
            "n_relevant": 1, "n_not_relevant": 1, "n_imported": 1, "n_conflicts": 0, "n_mine": 1, "state": "begun",
        }
    }  # fmt: skip
    with judged_desk.workspace.reading() as session:
        assert reply["as_of"] == storage.judgments.newest_event_id(session)
    assert "error" not in reply


def ask(desk: Desk, judge_tab: JudgeTab, **what: str) -> dict[str, Any]:
    """Return what ann is answered who types a query."""
    sent = {"collection_id": desk.collection.id, "label_set_id": desk.label_set_id, "view": "ranking", **what}
    return judge_tab.search("ann", Message(sent))["judge"]


def test_judge_tab_sends_settings_once_and_again_when_they_have_changed(judged_desk: Desk, judge_tab: JudgeTab) -> None:
    opened = judge_tab.show(judged_desk.page, "ann", Message({}))
    assert opened["settings"]["version"] == opened["version"]
    asked = ask(judged_desk, judge_tab, text="moth", settings=opened["version"])
    assert ("settings" in asked, asked["version"]) == (False, opened["version"])
    with_setup(judged_desk, guidelines="Read *this*.")
    asked = ask(judged_desk, judge_tab, text="moth", settings=opened["version"])
    assert asked["settings"]["must_acknowledge"]
    assert asked["settings"]["version"] == asked["version"] != opened["version"]
    assert "settings" not in ask(judged_desk, judge_tab, text="moth", settings=asked["version"])


def test_query_that_is_typed_before_it_can_be_searched_for_is_stored(
    judged_desk: Desk, judge_tab: JudgeTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yet(*_: Any) -> None:
        raise NotReadyError("The embedders are being loaded.")

    monkeypatch.setattr(judged_desk.workspace, "open", not_yet)
    asked = ask(judged_desk, judge_tab, text="typed early")
    assert (asked["error"], asked["query"]["id"]) == ("The embedders are being loaded.", None)
    assert "typed early" in [line.query.text for line in list_queries(judged_desk.workspace, judged_desk.page)]


def test_judge_tab_shows_what_was_found_while_nothing_can_be_stored(
    judged_desk: Desk, judge_tab: JudgeTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refuse() -> Iterator[Session]:
        raise DatabaseBusy(judged_desk.workspace.folder, "locked")
        yield

    monkeypatch.setattr(judged_desk.workspace, "writing", refuse)
    shown = ask(judged_desk, judge_tab, text="moth")
    assert (len(shown["cards"]), shown["can_write"], shown["person"]) == (10, False, "ann")
    assert "To mark its documents, press Search again" in shown["error"]
    shown = ask(judged_desk, judge_tab, text="cat", instruction="vet")
    assert (len(shown["cards"]), shown["can_write"], shown["error"]) == (10, True, "")


def test_delivery_takes_no_marks_that_somebody_else_made(judged_desk: Desk) -> None:
    reply = deliver(judged_desk, {}, person="bob")
    assert (reply["batch"], "stored" in reply) == ("b1", False)  # so the page keeps them all
    assert reply["error"] == "These marks were made by bob, but ann is signed in now."
    with judged_desk.workspace.reading() as session:
        assert storage.judgments.find_delivery(session, "page-1", 4) is None


def test_delivery_asks_for_the_marks_again_when_the_database_is_busy(
    judged_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_busy(*arguments: Any) -> None:
        raise DatabaseBusy(judged_desk.workspace.folder, "locked")

    monkeypatch.setattr(storage.judgments, "append", be_busy)
    reply = deliver(judged_desk, {})
    assert (reply["batch"], "stored" in reply) == ("b1", False)  # so the page keeps them all
    assert "try again" in reply["error"]
    monkeypatch.undo()
    assert deliver(judged_desk, {})["stored"] == ["page-1:4"]


def test_delivery_stores_the_others_when_one_mark_cannot_be_read(judged_desk: Desk) -> None:
    reply = deliver(judged_desk, {}, {"doc_id": 5, "sequence": 5}, {"doc_id": "dog-feeding", "sequence": 6})
    assert reply["stored"] == ["page-1:4", "page-1:6"]
    assert list(reply["refused"]) == ["page-1:5"]
    assert "doc_id" in reply["refused"]["page-1:5"]
