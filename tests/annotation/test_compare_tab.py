"""What the Compare tab tells to whom: no mark of others before one's own are made, nothing of another collection."""

import base64
import io
import zipfile
from typing import Any

import pytest

import storage.label_sets
from annotation.collections.page import open_page
from annotation.collections.store_whole import store
from annotation.comparing.snapshot import take
from annotation.comparing.view import read_view
from annotation.errors import NotAllowedError, NotFoundError
from annotation.ui.answers import ids_of
from annotation.ui.message import Message
from annotation.ui.tabs.compare import CompareTab
from tests.worlds.desk import Desk, small_world, swapped_topics
from tests.worlds.judging import begin, say
from tests.worlds.words import GRADED_TEXT

HIDDEN = "hidden until you have finished it"


@pytest.fixture
def tab(judged_desk: Desk) -> CompareTab:
    return CompareTab(judged_desk.workspace)


def opened(desk: Desk, tab: CompareTab, author: str | None) -> dict[str, Any]:
    """Return the whole screen as a person gets it."""
    *_, payload = tab.show(desk.page, author, Message({"sides": "light~bm25"}))
    assert payload["error"] == ""
    return payload


def exported(desk: Desk, tab: CompareTab, author: str | None, file_format: str) -> str:
    message = Message({"sides": ["light", "bm25"], "format": file_format})
    content: str = tab._answers._export(desk.page, author, message)["content"]
    return content


def shown(desk: Desk, tab: CompareTab, **asked: Any) -> list[dict[str, Any]]:
    """Return every payload that the page gets when the tab is opened at an address."""
    return list(tab.show(desk.page, "ann", Message(asked)))


def test_compare_tab_opens_on_the_most_improved_query_unless_the_address_names_one(
    judged_desk: Desk, tab: CompareTab
) -> None:
    fallen = judged_desk.ask(GRADED_TEXT + " cat")
    judged_desk.mark(fallen, "cat-feeding", 1.0, 1)  # by the run down from place 1 to 9
    risen = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(risen, "dog-illness", 1.0, 2)  # up from place 10 to 2
    key = f"run-{judged_desk.finish_by_hand(swapped_topics()).id}"
    first, last = shown(judged_desk, tab, sides=f"light~{key}")
    assert (first["query_id"], first["one"], first["overall"]) == (None, None, "pending")
    assert (last["query_id"], last["one"]["text"], last["url"]["query"]) == (
        risen,
        GRADED_TEXT,
        risen,
    )
    assert (last["overall"]["extremes"]["improved"]["id"], last["error"]) == (risen, "")
    named = shown(judged_desk, tab, sides=f"light~{key}", query=str(fallen))
    assert [payload["query_id"] for payload in named] == [fallen, fallen]
    assert all(payload["one"] for payload in named)


def test_compare_tab_opens_on_a_query_that_may_be_seen(judged_desk: Desk, tab: CompareTab) -> None:
    risen = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(risen, "dog-illness", 1.0, 1)
    key = f"run-{judged_desk.finish_by_hand(swapped_topics()).id}"
    begin(judged_desk, "ben", risen)
    *_, payload = tab.show(judged_desk.page, "ben", Message({"sides": f"light~{key}"}))
    assert payload["query_id"] not in (None, risen)
    assert payload["overall"]["extremes"]["improved"] is None


def test_compare_tab_opens_on_any_query_where_nothing_can_be_measured(desk: Desk) -> None:
    tab = CompareTab(desk.workspace)
    *_, payload = tab.show(desk.page, "ann", Message({"sides": "light~bm25"}))
    assert (payload["error"], payload["overall"]) == ("", None)
    assert payload["query_id"] == payload["queries"][0]["id"]
    assert payload["one"]


def test_compare_tab_hides_what_others_said_until_the_own_judging_is_done(judged_desk: Desk, tab: CompareTab) -> None:
    query_id = judged_desk.query_id("cat-vet")
    begin(judged_desk, "ben", query_id)
    for author, is_hidden, n_relevant in (("ben", True, 0), ("cem", True, 1), (None, False, 1)):
        payload = opened(judged_desk, tab, author)
        [line] = [each for each in payload["queries"] if each["id"] == query_id]
        [row] = [each for each in payload["overall"]["queries"] if each["id"] == query_id]
        assert (line["relevant"], row["relevant"]) == (n_relevant, None if is_hidden else 1)  # imported ones alone
        assert (row["hidden"] == HIDDEN, row["values"] is None) == (is_hidden, is_hidden)
        assert len(payload["overall"]["queries"]) == payload["overall"]["parts"][0]["n"] == 12
    say(judged_desk, "ben", query_id, "moth-feeding", 0.0)
    for author in ("ben", "cem"):
        assert {each["hidden"] for each in opened(judged_desk, tab, author)["overall"]["queries"]} == {""}


def test_compare_tab_opens_on_what_is_in_use_against_the_light_model(judged_desk: Desk, tab: CompareTab) -> None:
    def sides(key: str) -> list[str]:
        with judged_desk.workspace.writing() as session:
            storage.label_sets.set_in_use(session, judged_desk.label_set_id, key)
        *_, payload = tab.show(judged_desk.page, "ann", Message({}))
        return list(payload["sides"])

    assert sides("light+words") == ["light", "light+words"]
    assert sides("light") == ["light", "bm25"]
    run = judged_desk.finish_by_hand(swapped_topics())
    assert sides("light") == ["light", f"run-{run.id}+words"]  # it lost, which is what there is to look at


def test_compare_tab_measures_an_unfinished_query_that_nobody_else_judged(judged_desk: Desk, tab: CompareTab) -> None:
    query_id = judged_desk.ask(GRADED_TEXT)
    begin(judged_desk, "ben", query_id)
    say(judged_desk, "ben", query_id, "seal-feeding", 1.0)
    [row] = [each for each in opened(judged_desk, tab, "ben")["overall"]["queries"] if each["id"] == query_id]
    assert (row["hidden"], row["relevant"]) == ("", 1)
    assert row["values"][0] > 0


def test_files_hide_what_others_said_until_the_own_judging_is_done(judged_desk: Desk, tab: CompareTab) -> None:
    begin(judged_desk, "ben", judged_desk.query_id("cat-vet"))
    for file_format in ("csv", "html"):
        assert exported(judged_desk, tab, "ben", file_format).count(HIDDEN) == 1
        assert HIDDEN not in exported(judged_desk, tab, None, file_format)  # where nobody can sign in
    for author, is_there in (("ben", False), ("cem", False), (None, True)):
        packed = io.BytesIO(base64.b64decode(exported(judged_desk, tab, author, "trec")))
        with zipfile.ZipFile(packed) as archive:
            assert ("cat-vet 0 cat-illness 1" in archive.read("qrels.txt").decode()) == is_there


def test_kept_comparison_of_another_collection_is_neither_opened_nor_taken_along(
    judged_desk: Desk, tab: CompareTab
) -> None:
    view = read_view(judged_desk.workspace, judged_desk.page, "light~bm25")
    slug = take(judged_desk.workspace, "ann", view, "secret").slug
    other = store(judged_desk.workspace, small_world("other"), author="ann", labels="", is_demo=False)
    for file_format in ("csv", "html", "trec"):
        message = Message({"slug": slug, "format": file_format})
        assert tab._answers._export(judged_desk.page, "ann", message)["content"]
        with pytest.raises(NotFoundError, match="belongs to another collection"):
            tab._answers._export(open_page(judged_desk.workspace, other.id, None), "ann", message)
    here, there = (
        chosen(tab, {"collection_id": each, "snapshot": slug}) for each in (judged_desk.collection.id, other.id)
    )
    assert (here["error"], here["sides"]) == ("", [f"snap-{slug}-0", f"snap-{slug}-1"])
    assert "belongs to another collection" in there["error"]
    assert not [side for side in there["sides"] if side.startswith("snap-")]


def chosen(tab: CompareTab, data: dict[str, Any]) -> dict[str, Any]:
    """Return what the page gets in the end when it chooses something."""
    page = open_page(tab._workspace, *ids_of(Message(data)))
    *_, payload = tab.choose(page, "ann", Message(data))
    return payload


def test_short_link_is_for_who_is_signed_in(judged_desk: Desk, tab: CompareTab) -> None:
    message = Message({"sides": ["light", "bm25"]})
    with pytest.raises(NotAllowedError, match="Sign in to make a short link"):
        tab._answers._link(judged_desk.page, None, message)
    assert len(tab._answers._link(judged_desk.page, "ann", message)["slug"]) == 7
