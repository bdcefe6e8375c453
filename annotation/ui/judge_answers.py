"""What the judging desk asks beside its list: the query list, a document in full, help from the model, imports."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import gradio as gr

from annotation import desk_setup, live, querying, rankers, searching, second_looks, suggesting
from annotation.document_view import look_into
from annotation.errors import InvalidInputError
from annotation.opening import OpenPage, open_page
from annotation.presenting.judging import card_payload, import_panel, query_list
from annotation.presenting.markdown import markdown_tree
from annotation.presenting.wording import nonce
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, make_panel, on
from annotation.ui.people import author_of
from annotation.workspace import Workspace

Payload = dict[str, Any]
_Handler = Callable[[OpenPage, str | None, Message], Payload]


class JudgeAnswers:
    """Answers that change a part of the desk; each kind has a mailbox of its own, so that none displaces another."""

    def __init__(self, workspace: Workspace, panel: gr.HTML) -> None:
        self._workspace = workspace
        for event, kind, handler in (
            ("list", "queries", self._list),
            ("looks", "looks", self._looks),
            ("need", "need", self._need),
            ("read", "document", self._read),
            ("useful", "useful", self._useful),
            ("live", "live", self._live),
            ("import", "import", self._import),
            ("acknowledge", "acknowledged", self._acknowledge),
        ):
            mailbox = make_panel("mailbox", elem_id=f"era-mailbox-{kind}")
            on(getattr(panel, event), self._answering(kind, handler), [mailbox], trigger_mode="always_last")

    def _answering(self, kind: str, handler: _Handler) -> Callable[..., Payload]:
        def answer(request: gr.Request, event: gr.EventData) -> Payload:
            message, author = Message(event._data), author_of(self._workspace.settings, request)
            about: Payload = {"kind": kind, "nonce": nonce(), "query_id": message.optional_number("query_id")}
            about["label_set_id"] = message.optional_number("label_set_id")
            try:
                ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
                return {**about, **handler(open_page(self._workspace, *ids), author, message)}
            except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
                return {**about, "error": explain(error)}

        return answer

    def _list(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        return query_list(querying.list_lines(self._workspace, page, author))

    def _looks(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        places = page.collection.id, page.label_set.id
        return {"n": len(second_looks.marks_to_look_at(self._workspace, author, *places))}

    def _need(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query_id, need = message.number("query_id"), message.text("need")
        query = querying.set_need(self._workspace, author, page.collection.id, query_id, need)
        return {"need": query.need, "need_tree": markdown_tree(query.need)}

    def _read(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query = searching.open_query(self._workspace, page.collection.id, message.number("query_id"))
        view = look_into(self._workspace, query, message.text("doc_id"), message.text("ranker") or rankers.LIGHT)
        closest = list(view.closest) if view.closest else None
        return {"doc_id": view.doc_id, "closest": closest, "metadata": dict(view.metadata)}

    def _useful(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query = searching.open_query(self._workspace, page.collection.id, message.number("query_id"))
        card = suggesting.most_useful_card(self._workspace, author, page.label_set.id, query)
        return {"card": card_payload(card, query) if card else None}

    def _live(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query = searching.open_query(self._workspace, page.collection.id, message.number("query_id"))
        ranker = message.text("ranker") or rankers.LIGHT
        followed = live.follow(self._workspace, author, page.label_set.id, query, ranker)
        return {
            "cards": [card_payload(card, query) for card in followed.cards],
            "state": followed.state,
            "ranker": ranker,
        }

    def _import(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        try:
            content = base64.b64decode(message.text("content"), validate=True)
        except binascii.Error as error:
            raise InvalidInputError("The file did not arrive whole. Choose it again.") from error
        name, collection_id = message.text("name"), page.collection.id
        if message.flag("is_sure"):
            return import_panel(querying.import_queries(self._workspace, author, collection_id, name, content), True)
        return import_panel(querying.look_through(self._workspace, collection_id, name, content), False)

    def _acknowledge(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        desk_setup.acknowledge(self._workspace, author, page.collection.id, message.text("text_hash"))
        return {}
