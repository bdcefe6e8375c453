"""A panel: one element that a script of ours draws from a JSON value, and the events that it sends back.

The template is constant and the script builds its elements from text nodes, so no text can become markup. Who is at the
other end is taken from the server's session, never from what a page sends. Answers that change a part of a screen come
through a mailbox of their own each, so that none displaces another.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request

from annotation.collections.page import OpenPage, open_page
from annotation.errors import InvalidInputError
from annotation.settings import Settings
from annotation.ui.feedback import explain
from annotation.ui.payloads.wording import nonce
from annotation.workspace import Workspace

Payload = dict[str, Any]

_ASSETS = Path(__file__).parent / "assets"


def make_panel(*names: str, elem_id: str = "") -> gr.HTML:
    """Return an empty panel drawn by `assets/<name>.js`, several scripts one after the other."""
    scripts = [(_ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in ("words", "dom", *names)]
    return gr.HTML(
        value={},
        html_template='<div class="era-panel"></div>',
        js_on_load="\n".join(scripts),
        apply_default_css=False,
        elem_id=elem_id or f"era-{names[0]}",
        elem_classes=["era-mailbox"] if names[0] == "mailbox" else [],
    )


def style() -> str:
    """Return the style sheet of all panels."""
    return (_ASSETS / "style.css").read_text(encoding="utf-8")


def page_script() -> str:
    """Return the element for the page's head with what the whole page knows."""
    return f"<script>\n{(_ASSETS / 'page.js').read_text(encoding='utf-8')}</script>"


def on(
    event: Callable[..., Any],
    handler: Callable[..., Any],
    outputs: list[Any],
    inputs: list[Any] | None = None,
    concurrency_limit: int = 8,
    trigger_mode: str = "once",
    js: str | None = None,
) -> None:
    """Bind an event to a handler, hidden from the public interface and without Gradio's own waiting veil.

    Whatever the handler raises, the page is told in words for people.
    """
    event(
        _explained(handler),
        inputs=inputs,
        outputs=outputs,
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=concurrency_limit,
        trigger_mode=trigger_mode,
        js=js,
    )


def _explained(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the handler, with any error that leaves it turned into one whose words are for people."""

    @wraps(handler)
    def answer(*values: Any) -> Any:
        try:
            return handler(*values)
        except Exception as error:
            raise gr.Error(explain(error), print_exception=False) from error

    @wraps(handler)
    def answers(*values: Any) -> Iterator[Any]:
        try:
            yield from handler(*values)
        except Exception as error:
            raise gr.Error(explain(error), print_exception=False) from error

    return answers if inspect.isgeneratorfunction(handler) else answer


class Message:
    """What a page sent with an event; nothing in it is trusted.

    Attributes:
        page: which page sent it, as the server itself knows; empty where that does not matter.
        kind: what the page hears the answer as; likewise.
    """

    def __init__(self, data: Any, page: str = "", kind: str = "") -> None:
        self.page = page
        self.kind = kind
        self._data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}

    def text(self, name: str) -> str:
        """Return a text.

        Raises:
            InvalidInputError: if it is something else.
        """
        value = self._data.get(name, "")
        if not _is_text(value):
            raise InvalidInputError(f"Expected {name} to be a text. Reload the page and try again.")
        return str(value)

    def name(self, name: str) -> str:
        """Return a text, empty if it is missing or something else."""
        value = self._data.get(name)
        return str(value) if _is_text(value) else ""

    def number(self, name: str) -> int:
        """Return a whole number.

        Raises:
            InvalidInputError: if it is missing or something else.
        """
        value = self.optional_number(name)
        if value is None:
            raise InvalidInputError(f"Expected {name} to be a whole number. Reload the page and try again.")
        return value

    def optional_number(self, name: str) -> int | None:
        """Return a whole number, also from digits in a text; None if it is missing or something else."""
        value = self._data.get(name)
        if isinstance(value, str) and len(value) <= 15 and value.isascii() and value.isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**53:
            return None
        return value

    def decimal(self, name: str) -> float | None:
        """Return a number or None.

        Raises:
            InvalidInputError: if it is something else.
        """
        value = self._data.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or (is_number and abs(value) <= sys.float_info.max):  # NaN is not
            return value
        raise InvalidInputError(f"Expected {name} to be a number. Reload the page and try again.")

    def flag(self, name: str) -> bool:
        """Return whether something is switched on; what is missing is off."""
        return self._data.get(name) is True

    def list(self, name: str) -> list[Any]:
        """Return a list, empty if it is missing.

        Raises:
            InvalidInputError: if it is something else.
        """
        value = self._data.get(name)
        if value is None or isinstance(value, list):
            return value or []
        raise InvalidInputError(f"Expected {name} to be a list. Reload the page and try again.")

    def values(self, name: str) -> Mapping[str, Any] | None:
        """Return named values; None if they are missing or something else."""
        value = self._data.get(name)
        return value if isinstance(value, Mapping) else None


def author_of(settings: Settings, request: gr.Request) -> str | None:
    """Return the name under which marks are stored; None on a Space for someone who has not signed in."""
    if request.username:
        return str(request.username)
    if settings.space_id is None:
        return settings.local_name
    try:
        session = getattr(request.request, "session", None) or {}
    except AssertionError:  # how the server says that sign-in is not set up
        return None
    name = session.get("oauth_info", {}).get("userinfo", {}).get("preferred_username")
    return str(name) if name else None


def sender_of(settings: Settings, request: Request) -> str | None:
    """Return whose request this is, as `author_of` does for an event; None for someone who has to sign in first."""
    if settings.people is None:
        return author_of(settings, gr.Request(request))
    cookies = (f"access-token-{request.app.cookie_id}", f"access-token-unsecure-{request.app.cookie_id}")
    token = next((request.cookies[name] for name in cookies if name in request.cookies), None)
    name = request.app.tokens.get(token)
    return None if name is None else str(name)


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


def _is_text(value: Any) -> bool:
    """Return whether something is a text that can be stored: JSON may hold halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)
