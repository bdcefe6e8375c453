"""The page: one answer opens a collection for all panels, and nothing is done to another than the one asked for."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

import storage.label_sets
import storage.queries
import storage.training_runs
from annotation.collections.page import use_collection
from annotation.collections.store_whole import store
from annotation.ui.app import Page
from annotation.ui.words import translations
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
def page(judged_desk: Desk, other: CollectionRecord) -> Iterator[Page]:
    with gr.Blocks():
        workspace = judged_desk.workspace
        uploads, downloads = uploads_of(workspace), downloads_of(workspace)
        yield Page(workspace, training_worker(workspace), uploads, downloads, translations())


def request(**address: Any) -> Any:
    return SimpleNamespace(username="ann", query_params={name: str(value) for name, value in address.items()})


def event(**data: Any) -> Any:
    return SimpleNamespace(_data=data)


def abouts(shown: list[Any]) -> list[dict[str, Any]]:
    """Return what the panels say they are about, those that show nothing left out."""
    return [each["page"] for each in shown if isinstance(each, dict) and each]


def test_every_panel_is_opened_by_one_answer(judged_desk: Desk, page: Page, other: CollectionRecord) -> None:
    first = abouts(page.load(request(collection=judged_desk.collection.id, tab="collection")))
    second = abouts(page._open_collection(request(), event(collection_id=other.id)))
    for shown, collection in ((first, judged_desk.collection), (second, other)):
        assert len(shown) == 4
        assert {each["collection_id"] for each in shown} == {collection.id}
        assert len({(each["label_set_id"], each["opening"], each["remark"]) for each in shown}) == 1
    assert first[0]["opening"] != second[0]["opening"]


def test_a_look_opens_nothing_and_is_about_what_was_asked_for(
    judged_desk: Desk, page: Page, other: CollectionRecord
) -> None:
    ids = {"collection_id": judged_desk.collection.id, "label_set_id": judged_desk.label_set_id}
    for shown in (
        page._tick(ids, request()),
        [page._show_train(ids, request())],
        [page._show_collection(ids, request())],
    ):
        for about in abouts(shown):
            assert (about["collection_id"], about["label_set_id"], about["remark"]) == (*ids.values(), "")
            assert "opening" not in about
    for about in abouts(page._tick(GONE, request())):  # by which the page knows that its collection is gone
        assert (about["collection_id"], "opening" in about) == (other.id, False)
        assert "does not exist" in about["remark"]


def test_the_desk_leaves_the_query_of_the_address_to_the_tab_that_it_opens(judged_desk: Desk, page: Page) -> None:
    address = {"collection": judged_desk.collection.id, "labels": judged_desk.label_set_id}
    _, desk, *_ = page.load(request(**address, tab="compare"))
    assert desk["url"] == address
    _, desk, *_ = page.load(request(**address))
    assert desk["url"]["query"] == desk["query"]["id"]


def test_nothing_is_done_to_another_collection_when_the_one_asked_for_is_gone(judged_desk: Desk, page: Page) -> None:
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
    asked = page._judge._search(request(), event(**GONE, text="a river", instruction="", view="pool", ranker=""))
    *_, tried = page._compare._try(request(), event(**GONE, text="a river", instruction=""))
    trained = page._train._doing(page._train._start)(request(), event(**GONE, recipe="era", seed=0))
    *_, begun = page._begin_label_set(request(), event(**GONE, name="mine"))
    for shown in (asked, tried, trained, begun):
        assert "not there any more" in shown["error"]
    assert stored() == before
