"""The page: one answer opens a collection for all panels, and nothing is done to another than the one asked for."""

from typing import Any

import pytest

import storage.label_sets
import storage.queries
import storage.training_runs
from annotation.collections.page import use_collection
from annotation.collections.store_whole import store
from annotation.ui.app import Screens
from annotation.ui.message import Message
from annotation.ui.server.asking import parts_of
from storage.records import CollectionRecord
from tests.worlds.desk import Desk, downloads_of, small_world, training_worker, uploads_of
from tests.worlds.words import QRELS

GONE = {"collection_id": 99, "label_set_id": 99}


@pytest.fixture
def other(judged_desk: Desk) -> CollectionRecord:
    """A second collection, used last."""
    made = store(judged_desk.workspace, small_world("others", QRELS), author="ann", labels="Theirs", is_demo=False)
    use_collection(judged_desk.workspace, made.id)
    return made


@pytest.fixture
def screens(judged_desk: Desk, other: CollectionRecord) -> Screens:
    workspace = judged_desk.workspace
    return Screens(workspace, training_worker(workspace), uploads_of(workspace), downloads_of(workspace))


def heard_of(screens: Screens, question: str, /, **data: Any) -> dict[str, dict[str, Any]]:
    """Return the last part of what ann is answered."""
    *_, last = parts_of(screens.answers[question], "ann", Message(data))
    return last


def abouts(heard: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the panels say they are about."""
    return [heard[name]["page"] for name in ("header", "judge", "train", "compare", "collection") if name in heard]


def test_every_panel_is_opened_by_one_answer(judged_desk: Desk, screens: Screens, other: CollectionRecord) -> None:
    first = abouts(heard_of(screens, "page.load", collection=str(judged_desk.collection.id), tab="collection"))
    second = abouts(heard_of(screens, "collection.open", collection_id=other.id))
    for shown, collection in ((first, judged_desk.collection), (second, other)):
        assert len(shown) == 4
        assert {each["collection_id"] for each in shown} == {collection.id}
        assert len({(each["label_set_id"], each["opening"], each["remark"]) for each in shown}) == 1
    assert first[0]["opening"] != second[0]["opening"]


def test_a_look_opens_nothing_and_is_about_what_was_asked_for(
    judged_desk: Desk, screens: Screens, other: CollectionRecord
) -> None:
    ids = {"collection_id": judged_desk.collection.id, "label_set_id": judged_desk.label_set_id}
    for name in ("page.look", "train.show", "collection.show"):
        shown = abouts(heard_of(screens, name, **ids))
        assert shown
        for about in shown:
            assert (about["collection_id"], about["label_set_id"], about["remark"]) == (*ids.values(), "")
            assert "opening" not in about
    for about in abouts(heard_of(screens, "page.look", **GONE)):  # by which the page knows that its collection is gone
        assert (about["collection_id"], "opening" in about) == (other.id, False)
        assert "does not exist" in about["remark"]


def test_the_desk_leaves_the_query_of_the_address_to_the_tab_that_it_opens(judged_desk: Desk, screens: Screens) -> None:
    ids = {"collection": judged_desk.collection.id, "labels": judged_desk.label_set_id}
    address = {name: str(value) for name, value in ids.items()}
    assert heard_of(screens, "page.load", **address, tab="compare")["judge"]["url"] == ids
    desk = heard_of(screens, "page.load", **address)["judge"]
    assert desk["url"]["query"] == desk["query"]["id"]


def test_nothing_is_done_to_another_collection_when_the_one_asked_for_is_gone(
    judged_desk: Desk, screens: Screens
) -> None:
    def stored() -> tuple[list[int], ...]:
        with judged_desk.workspace.reading() as session:
            return tuple(
                [
                    *(query.id for query in storage.queries.list_all(session, collection_id)),
                    *(each.id for each in storage.label_sets.list_names(session, collection_id)),
                    *(run.id for run in storage.training_runs.list_for(session, collection_id)),
                ]
                for collection_id in (1, 2)
            )

    before = stored()
    for name, panel, asked in (
        ("judge.search", "judge", {"text": "a river", "instruction": "", "view": "pool", "ranker": ""}),
        ("compare.try", "compare", {"text": "a river", "instruction": ""}),
        ("train.start", "train", {"recipe": "era", "seed": 0}),
        ("collection.begin", "collection", {"name": "mine"}),
    ):
        assert "not there any more" in heard_of(screens, name, **GONE, **asked)[panel]["error"]
    assert stored() == before
