"""Answers of screens: what was asked of a collection that is gone happens to no other."""

from typing import Any

from annotation.collections.manage import archive
from annotation.collections.page import OpenPage
from annotation.collections.store_whole import store
from annotation.ui.answers import part
from annotation.ui.message import Message
from tests.worlds.desk import Desk, small_world


def test_nothing_is_done_to_another_collection_than_the_one_that_was_shown(judged_desk: Desk) -> None:
    workspace, done = judged_desk.workspace, []
    other = store(workspace, small_world("others"), author="ann", labels="Labels", is_demo=False)

    def handler(page: OpenPage, author: str | None, message: Message) -> dict[str, Any]:
        done.append((page.collection.id, author, message.kind))
        return {"said": "done"}

    def ask(collection_id: int, label_set_id: int) -> dict[str, Any]:
        message = Message({"collection_id": collection_id, "label_set_id": label_set_id, "ask": 7})
        heard = part(workspace, "told", handler)("ann", message)
        assert isinstance(heard, dict)
        assert heard.keys() == {"told"}
        return heard["told"]

    shown = judged_desk.collection.id, judged_desk.label_set_id
    assert (ask(*shown)["said"], ask(*shown)["ask"]) == ("done", 7)
    assert "not there any more" in ask(shown[0], 999)["error"]
    archive(workspace, "ann", shown[0])
    assert "not there any more" in ask(*shown)["error"]
    assert done == [(shown[0], "ann", "told")] * 2
    assert other.id != shown[0]
