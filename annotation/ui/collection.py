"""The Collection tab: what is open, and its label sets."""

import json
from typing import Any

import gradio as gr

from annotation.desk import setup_of
from annotation.desk_setup import DeskSetup, Template, set_up
from annotation.opening import OpenPage, list_collections, list_label_sets, list_queries, open_page
from annotation.people import coverage, people_of
from annotation.presenting.collections import collection_panel, coverage_panel
from annotation.presenting.wording import nonce
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, make_panel, on
from annotation.workspace import Workspace

Payload = dict[str, Any]


class CollectionTab:
    """The collection screen; its events change what all tabs show, so `app` answers them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.panel = make_panel("collection", "desk_setup")
        on(self.panel.measure, self._measure, [make_panel("mailbox", elem_id="era-mailbox-coverage")])

    def show(self, page: OpenPage, author: str | None, error: str = "") -> Payload:
        """Return the screen as things stand now."""
        return collection_panel(
            page,
            author,
            list_collections(self._workspace),
            len(list_queries(self._workspace, page)),
            list_label_sets(self._workspace, page.collection.id),
            self._index_facts(page),
            setup_of(self._workspace, page.collection.id),
            people_of(self._workspace, page.label_set.id),
            error or page.remark,
        )

    def set_up(self, author: str | None, message: Message) -> None:
        """Keep how judging is to be set up.

        Raises:
            AnnotationError: if that cannot be kept as it is.
        """
        templates = [Message(each) for each in message.list("templates")]
        names = [each for each in message.list("grade_names") if isinstance(each, str)]
        setup = DeskSetup(
            grade_names=tuple(" ".join(name.split()) for name in names),
            guidelines=message.text("guidelines"),
            templates=tuple(
                Template(each.text("name").strip(), each.text("instruction").strip()) for each in templates
            ),
            n_judges=message.number("n_judges"),
            depth=message.number("depth"),
            is_blind=message.flag("is_blind"),
        )
        set_up(self._workspace, author, message.number("collection_id"), setup)

    def _measure(self, event: gr.EventData) -> Payload:
        message = Message(event._data)
        page = open_page(
            self._workspace, message.optional_number("collection_id"), message.optional_number("label_set_id")
        )
        try:
            return coverage_panel(coverage(self._workspace, page.collection.id, page.label_set.id))
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            return {"kind": "coverage", "nonce": nonce(), "text": explain(error)}

    def _index_facts(self, page: OpenPage) -> dict[str, str]:
        library = self._workspace.opened(page.collection.id)
        if library is None:
            light = json.loads(page.collection.document_embedder or "{}").get("name", "being prepared")
            return {"Document embedder": light}
        strong, light_identity = library.pair.strong.identity, library.pair.light.identity
        return {
            "Query embedder": f"{strong.name}, {strong.dimension} dimensions",
            "Document embedder": f"{light_identity.name}, {light_identity.dimension} dimensions",
            "Index": f"{library.index.size_bytes / 2**20:.1f} MiB",
            "Fingerprint": library.index.fingerprint[:16],
        }
