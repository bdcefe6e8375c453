"""Put the screens together: one page, four tabs, and what happens when it opens."""

import secrets
from dataclasses import replace
from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage, likeliest_collection, open_page, use_collection
from annotation.collections.uploads import Uploads
from annotation.comparing.view import open_shared
from annotation.jobs.worker import Worker
from annotation.judging import marks
from annotation.settings import Settings
from annotation.ui.answers import Answers, Heard, ids_of
from annotation.ui.downloads import Downloads
from annotation.ui.feedback import explain
from annotation.ui.message import Message
from annotation.ui.notices import notices
from annotation.ui.payloads.header import header
from annotation.ui.tabs.collection import CollectionTab
from annotation.ui.tabs.compare import CompareTab
from annotation.ui.tabs.judge import JudgeTab
from annotation.ui.tabs.train import BUSY_SECONDS, TrainTab
from annotation.ui.web import TABS
from annotation.workspace import Workspace

Payload = dict[str, Any]

IDLE_SECONDS = 10.0  # between two looks when nothing is under way


class Screens:
    """What the page can ask: all tabs, and what concerns more than one of them."""

    def __init__(self, workspace: Workspace, worker: Worker, uploads: Uploads, downloads: Downloads) -> None:
        self._workspace = workspace
        self._judge = JudgeTab(workspace)
        self._train = TrainTab(workspace, worker)
        self._compare = CompareTab(workspace)
        self._collection = CollectionTab(workspace, uploads, downloads)
        self.answers: Answers = {
            "page.load": self.load,
            "page.look": self.look,
            "collection.open": self.open_collection,
            "collection.use": self.use_label_set,
            "collection.begin": self.begin_label_set,
            "collection.arrange": self.arrange_desk,
            "collection.manage": self.manage_collection,
            **self._judge.answers,
            **self._train.answers,
            **self._compare.answers,
            **self._collection.answers,
        }

    def load(self, author: str | None, message: Message) -> Heard:
        """Return what the address names; the header opens the tab that it names."""
        message = self._address(message)
        collection_id = message.optional_number("collection")
        if collection_id is None:
            collection_id = likeliest_collection(self._workspace, author)
        page = open_page(self._workspace, collection_id, message.optional_number("labels"))
        tab = next((name for name in TABS if name.lower() == message.name("tab").lower()), "")
        heard = self._all(page, author, message, has_collection=tab == "Collection")
        heard["header"]["tab"] = tab if tab in TABS[1:] else ""  # the first one is open anyway
        if heard["header"]["tab"]:  # the address is that of another tab; which query lies on the desk is not its matter
            desk = heard["judge"]
            desk["url"] = {name: desk["url"][name] for name in ("collection", "labels")}
        return {**heard, "look": {"seconds": BUSY_SECONDS}}

    def _address(self, message: Message) -> Message:
        """Return what the address names; a short link stands for a comparison."""
        slug = message.name("v")
        shared = open_shared(self._workspace, slug) if slug else None
        if not slug:
            return message
        named: Payload = {name: message.name(name) for name in ("collection", "labels", "query")}
        if shared is not None:
            named = {"collection": shared["collection"], "labels": shared["labels"], "query": shared["query"]}
        return Message({**named, "v": slug, "tab": "Compare"})

    def _all(
        self, page: OpenPage, author: str | None, message: Message, error: str = "", has_collection: bool = True
    ) -> Heard:
        """Return what all panels show, as one answer that opens a collection and a label set for the whole page.

        The collection is counted through when its tab is opened, and what is compared is asked for by its own.
        """
        heard = {
            "header": self._header_of(page, author),
            "judge": self._judge.show(page, author, message),
            "train": self._train.show(page, author),
        }
        if has_collection:
            heard["collection"] = self._collection.show(page, author, error)
        opening = secrets.token_hex(4)
        for shown in heard.values():
            shown["page"]["opening"] = opening
        return heard

    def _header_of(self, page: OpenPage, author: str | None) -> Payload:
        can_sign_out = self._workspace.settings.people is not None
        return header(page, author, self._workspace.readiness, can_sign_out, notices(self._workspace, page))

    def look(self, author: str | None, message: Message) -> Heard:
        """Return what changes without the page's doing: how far preparation and training are."""
        page = open_page(self._workspace, *ids_of(message))
        train = self._train.show(page, author)
        is_busy = train["active"] is not None or self._workspace.readiness.fraction < 1
        seconds = BUSY_SECONDS if is_busy else IDLE_SECONDS
        return {"header": self._header_of(page, author), "train": train, "look": {"seconds": seconds}}

    def open_collection(self, author: str | None, message: Message) -> Heard:
        """Open another collection."""
        collection_id, error = message.optional_number("collection_id"), ""
        try:
            use_collection(self._workspace, message.number("collection_id"))
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        return self._all(open_page(self._workspace, collection_id, None), author, Message({}), error)

    def use_label_set(self, author: str | None, message: Message) -> Heard:
        """Open another label set."""
        return self._all(open_page(self._workspace, *ids_of(message)), author, Message({}))

    def begin_label_set(self, author: str | None, message: Message) -> Heard:
        """Start a label set and open it."""
        error, page = "", open_page(self._workspace, *ids_of(message))
        try:
            collection_id = page.as_asked().collection.id
            label_set_id = marks.start_label_set(self._workspace, author, collection_id, message.text("name"))
            page = open_page(self._workspace, page.collection.id, label_set_id)
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        return self._all(page, author, Message({}), error)

    def manage_collection(self, author: str | None, message: Message) -> Heard:
        """Rename, archive or delete a collection."""
        error = ""
        try:
            self._collection.manage(author, message)
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        page = open_page(self._workspace, *ids_of(message))
        if not error and page.remark:  # the open one is gone or archived, as was asked for
            page = replace(page, remark="")
        heard = self._all(page, author, Message({}), error)
        heard["collection"]["is_managed"] = not error
        return heard

    def arrange_desk(self, author: str | None, message: Message) -> Heard:
        """Keep how judging is set up."""
        error = ""
        try:
            self._collection.set_up(author, message)
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        heard = self._all(open_page(self._workspace, *ids_of(message)), author, Message({}), error)
        heard["collection"]["is_arranged"] = not error
        return heard


def build_ui(settings: Settings) -> gr.Blocks:
    """Return what Gradio hosts: sign-in by an account, sending files, and, where it is asked for, search for programs.

    What people see is the page of `annotation.ui.web`, whose scripts ask what `Screens` answers.
    """
    blocks: gr.Blocks
    with gr.Blocks(title="ERA: retrieval that learns", analytics_enabled=False) as blocks:
        if settings.oauth_client_id:
            gr.LoginButton(visible="hidden")  # sets up the sign-in that the header links to
    return blocks
