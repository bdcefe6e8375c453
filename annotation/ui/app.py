"""Put the tabs together: one page, four tabs, and what happens when it opens."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage, likeliest_collection, open_page, use_collection
from annotation.collections.uploads import Uploads
from annotation.comparing.view import open_shared
from annotation.jobs.worker import Worker
from annotation.judging import marks
from annotation.ui.downloads import Downloads
from annotation.ui.feedback import explain
from annotation.ui.notices import notices
from annotation.ui.panel import Message, author_of, make_panel, on
from annotation.ui.payloads.header import header
from annotation.ui.payloads.wording import nonce
from annotation.ui.tabs.collection import CollectionTab
from annotation.ui.tabs.compare import CompareTab
from annotation.ui.tabs.judge import JudgeTab
from annotation.ui.tabs.train import BUSY_SECONDS, TrainTab
from annotation.workspace import Workspace

Payload = dict[str, Any]

TABS = ("Judge", "Train", "Compare", "Collection")
IDLE_SECONDS = 10.0  # between two looks when nothing is under way
_IDS = "() => window.eraPage.ids()"  # in place of the value of an input


class Page:
    """All panels of the page, and the events that concern more than one of them."""

    def __init__(
        self, workspace: Workspace, worker: Worker, uploads: Uploads, downloads: Downloads, i18n: gr.I18n
    ) -> None:
        self._workspace = workspace
        self._header = make_panel("header")
        self._ids = gr.JSON(value={}, visible="hidden")  # carries what the page's script says is open
        self._timer = gr.Timer(BUSY_SECONDS)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab(i18n("tab.judge"), id="Judge") as judge_tab:
                self._judge = JudgeTab(workspace)
            with gr.Tab(i18n("tab.train"), id="Train") as train_tab:
                self._train = TrainTab(workspace, worker, self._timer)
            with gr.Tab(i18n("tab.compare"), id="Compare") as compare_tab:
                self._compare = CompareTab(workspace)
            with gr.Tab(i18n("tab.collection"), id="Collection") as collection_tab:
                self._collection = CollectionTab(workspace, uploads, downloads)
        for tab in (judge_tab, train_tab, compare_tab, collection_tab):
            tab.select(None, js=f"() => window.eraPage.chooseTab({tab.id!r})")
        on(train_tab.select, self._show_train, [self._train.panel], [self._ids], trigger_mode="multiple", js=_IDS)
        on(
            compare_tab.select,
            self._show_compare,
            [self._compare.panel],
            [self._ids],
            js="() => window.eraPage.compared()",
            trigger_mode="multiple",  # a look back at the tab while it still measures must not be passed over
        )
        on(
            collection_tab.select,
            self._show_collection,
            [self._collection.panel],
            [self._ids],
            trigger_mode="multiple",
            js=_IDS,
        )
        on(self._timer.tick, self._tick, [self._header, self._train.panel, self._timer], [self._ids], js=_IDS)
        self.everything = [
            self._header,
            self._judge.panel,
            self._train.panel,
            self._compare.panel,
            self._collection.panel,
        ]
        for event, handler in (
            (self._collection.panel.open, self._open_collection),
            (self._collection.panel.use, self._use_label_set),
            (self._collection.panel.begin, self._begin_label_set),
            (self._collection.panel.arrange, self._arrange_desk),
            (self._collection.panel.manage, self._manage_collection),
        ):
            on(event, handler, self.everything)

    def load(self, request: gr.Request) -> list[Any]:
        """Show what the address names; the header opens the tab that it names.

        Not a generator: Gradio sends the last of its values twice, and a desk that is drawn anew takes away what was
        typed meanwhile.
        """
        message, author = self._address(request), author_of(self._workspace.settings, request)
        collection_id = message.optional_number("collection")
        if collection_id is None:
            collection_id = likeliest_collection(self._workspace, author)
        page = open_page(self._workspace, collection_id, message.optional_number("labels"))
        tab = next((name for name in TABS if name.lower() == message.text("tab").lower()), "")
        everything = self._all(page, request, message, has_collection=tab == "Collection")
        header_shown, desk, *_ = everything
        header_shown["tab"] = tab if tab in TABS[1:] else ""  # the first one is open anyway
        if header_shown["tab"]:  # the address is that of another tab; which query lies on the desk is none of its names
            desk["url"] = {name: desk["url"][name] for name in ("collection", "labels")}
        return everything

    def unload(self, request: gr.Request) -> None:
        """End what is being read for a page that was closed."""
        if request.session_hash:
            self._workspace.reading_places.leave(request.session_hash)

    def _address(self, request: gr.Request) -> Message:
        """Return what the address names; a short link stands for a comparison."""
        named = dict(request.query_params)
        shared = open_shared(self._workspace, named["v"]) if named.get("v") else None
        if shared is not None:
            named |= {"collection": shared["collection"], "labels": shared["labels"], "query": shared["query"]}
        if named.get("v"):
            named["tab"] = "Compare"
        return Message(named)

    def _all(
        self, page: OpenPage, request: gr.Request, message: Message, error: str = "", has_collection: bool = True
    ) -> list[Any]:
        """Return what all panels show, as one answer that opens a collection and a label set for the whole page.

        The collection is counted through when its tab is opened, and what is compared is asked for by its own.
        """
        author, opening = author_of(self._workspace.settings, request), nonce()
        everything = [
            self._header_of(page, author),
            self._judge.show(page, author, message),
            self._train.show(page, author),
            {},
            self._collection.show(page, author, error) if has_collection else {},
        ]
        for shown in filter(None, everything):
            shown["page"]["opening"] = opening
        return everything

    def _header_of(self, page: OpenPage, author: str | None) -> Payload:
        can_sign_out = self._workspace.settings.people is not None
        return header(page, author, self._workspace.readiness, can_sign_out, notices(self._workspace, page))

    def _page(self, ids: Any) -> OpenPage:
        message = Message(ids)
        return open_page(
            self._workspace, message.optional_number("collection_id"), message.optional_number("label_set_id")
        )

    def _tick(self, ids: Any, request: gr.Request) -> list[Any]:
        page, author = self._page(ids), author_of(self._workspace.settings, request)
        train = self._train.show(page, author)
        is_busy = train["active"] is not None or self._workspace.readiness.fraction < 1
        return [
            self._header_of(page, author),
            train,
            gr.Timer(BUSY_SECONDS if is_busy else IDLE_SECONDS),
        ]

    def _show_train(self, ids: Any, request: gr.Request) -> Payload:
        return self._train.show(self._page(ids), author_of(self._workspace.settings, request))

    def _show_compare(self, ids: Any, request: gr.Request) -> Iterator[Payload]:
        author = author_of(self._workspace.settings, request)
        yield from self._compare.show(self._page(ids), author, Message(ids))

    def _show_collection(self, ids: Any, request: gr.Request) -> Payload:
        return self._collection.show(self._page(ids), author_of(self._workspace.settings, request))

    def _open_collection(self, request: gr.Request, event: gr.EventData) -> list[Any]:
        message, error = Message(event._data), ""
        try:
            use_collection(self._workspace, message.number("collection_id"))
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        page = open_page(self._workspace, message.optional_number("collection_id"), None)
        return self._all(page, request, Message({}), error)

    def _use_label_set(self, request: gr.Request, event: gr.EventData) -> list[Any]:
        return self._all(self._page(event._data), request, Message({}))

    def _begin_label_set(self, request: gr.Request, event: gr.EventData) -> list[Any]:
        message, author, error = Message(event._data), author_of(self._workspace.settings, request), ""
        page = self._page(event._data)
        try:
            collection_id = page.as_asked().collection.id
            label_set_id = marks.start_label_set(self._workspace, author, collection_id, message.text("name"))
            page = open_page(self._workspace, page.collection.id, label_set_id)
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        return self._all(page, request, Message({}), error)

    def _manage_collection(self, request: gr.Request, event: gr.EventData) -> list[Any]:
        message, author, error = Message(event._data), author_of(self._workspace.settings, request), ""
        try:
            self._collection.manage(author, message)
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        page = self._page(event._data)
        if not error and page.remark:  # the open one is gone or archived, as was asked for
            page = replace(page, remark="")
        everything = self._all(page, request, Message({}), error)
        everything[-1]["is_managed"] = not error
        return everything

    def _arrange_desk(self, request: gr.Request, event: gr.EventData) -> list[Any]:
        message, author, error = Message(event._data), author_of(self._workspace.settings, request), ""
        try:
            self._collection.set_up(author, message)
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        everything = self._all(self._page(event._data), request, Message({}), error)
        everything[-1]["is_arranged"] = not error
        return everything


def build_ui(workspace: Workspace, worker: Worker, uploads: Uploads, downloads: Downloads, i18n: gr.I18n) -> gr.Blocks:
    """Return the app, ready to be launched with the same texts `i18n`."""
    blocks: gr.Blocks
    with gr.Blocks(title="ERA: retrieval that learns", fill_width=True, analytics_enabled=False) as blocks:
        if workspace.settings.oauth_client_id:
            gr.LoginButton(visible="hidden")  # sets up the sign-in that the header links to
        page = Page(workspace, worker, uploads, downloads, i18n)
        on(blocks.load, page.load, page.everything)
        blocks.unload(page.unload)
    return blocks
