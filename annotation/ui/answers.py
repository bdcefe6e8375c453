"""What a page can ask, by name, and what answers it: a function of a tab for each name (`judge.search`, `train.start`).

An answer is what the page hears: the name of a panel, which then draws itself anew, or of a part of one, and a value.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from annotation.collections.page import OpenPage, open_page
from annotation.ui.feedback import explain
from annotation.ui.message import Message
from annotation.workspace import Workspace

Payload = dict[str, Any]
Heard = dict[str, Payload]
"""What the page hears, by the name that it hears it as."""

Handler = Callable[[str | None, Message], Heard | Iterator[Heard]]
"""Answers a person's question, in several parts if it is a generator; it may raise anything."""

Answers = Mapping[str, Handler]

PartHandler = Callable[[OpenPage, str | None, Message], Payload]
"""Answers a question about what a page shows."""

UNASKED = frozenset({"page.look"})
"""What the page's clock asks, so that no person waits for it."""

_ECHOED = ("ask", "query_id", "label_set_id", "training_run_id")  # tells the page which question is answered


def part(workspace: Workspace, kind: str, handler: PartHandler) -> Handler:
    """Return a handler whose answer is heard as `kind`; an error is part of the answer, in words.

    Nothing happens to another collection or label set than the one that the page shows.
    """

    def answer(author: str | None, message: Message) -> Heard:
        about: Payload = {name: message.optional_number(name) for name in _ECHOED}
        try:
            page = open_page(workspace, *ids_of(message)).as_asked()
            return {kind: {**about, **handler(page, author, message.for_part(kind))}}
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            return {kind: {**about, "error": explain(error)}}

    return answer


def ids_of(message: Message) -> tuple[int | None, int | None]:
    """Return which collection and label set a question is about."""
    return message.optional_number("collection_id"), message.optional_number("label_set_id")
