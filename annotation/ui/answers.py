"""Answers that change a part of a screen: each comes through a mailbox of its own, so that none displaces another."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage, open_page
from annotation.ui.author import author_of
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, make_panel, on
from annotation.ui.payloads.wording import nonce
from annotation.workspace import Workspace

Payload = dict[str, Any]
Handler = Callable[[OpenPage, str | None, Message], Payload]

_ECHOED = ("ask", "query_id", "label_set_id", "training_run_id")  # tells the page which question is answered


def answer_events(workspace: Workspace, panel: gr.HTML, name: str, answers: Sequence[tuple[str, str, Handler]]) -> None:
    """Let handlers answer events of a panel.

    Args:
        workspace: of this process.
        panel: that triggers the events.
        name: of the panel.
        answers: event, what the page hears the answer as, and what makes it; a handler may raise anything.
    """
    for event, kind, handler in answers:
        mailbox = make_panel("mailbox", elem_id=f"era-mailbox-{name}-{event}")
        on(getattr(panel, event), _answering(workspace, kind, handler), [mailbox], trigger_mode="multiple")


def _answering(workspace: Workspace, kind: str, handler: Handler) -> Callable[..., Payload]:
    def answer(request: gr.Request, event: gr.EventData) -> Payload:
        message = Message(event._data, request.session_hash or "", kind)
        author = author_of(workspace.settings, request)
        about: Payload = {"kind": kind, "nonce": nonce()}
        about |= {name: message.optional_number(name) for name in _ECHOED}
        try:
            ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
            page = open_page(workspace, *ids).as_asked()
            return {**about, **handler(page, author, message)}
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            return {**about, "error": explain(error)}

    return answer
