"""The plain route for marks: JSON in, JSON out, past Gradio's queue, in which a mark would wait behind everything else.

What comes in is checked as an event's is, and the author is taken from the server's session. Any page has one delivery
under way at a time, so its marks are stored in order, however many people judge.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.marks import Delivery, Mark, judge
from annotation.ui.feedback import explain
from annotation.ui.message import Message, sender_of
from annotation.ui.payloads.judging import saved_panel
from annotation.ui.server.asking import as_json, body_of, from_json
from annotation.workspace import Workspace

PATH = "/era/marks"
MAX_BYTES = 4_000_000  # a page sends at most 200 marks at once, each with a note of at most 2,000 characters
MAX_AT_ONCE, MAX_WAITING = 16, 256


class MarkRoute:
    """Answers deliveries of marks, by threads of its own."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._threads = ThreadPoolExecutor(MAX_AT_ONCE, "marks")
        self._n_waiting = 0

    async def answer(self, request: Request) -> Response:
        """Answer one delivery; what is wrong with it is told in the answer, and the page keeps what was not stored."""
        try:
            content = await body_of(request, MAX_BYTES)
        except ClientDisconnect:
            return Response(status_code=400)
        if content is None:
            return JSONResponse({"error": "More marks than can be sent at once."}, 413)
        if self._n_waiting >= MAX_WAITING:
            return JSONResponse({"error": "Too many marks are being stored just now."}, 503)
        author = sender_of(self._workspace.settings, request)
        self._n_waiting += 1
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, author, content)
        finally:
            self._n_waiting -= 1
        return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})

    def _answer(self, author: str | None, content: bytes) -> bytes:
        with self._workspace.serving():
            return as_json(deliver(self._workspace, author, Message(from_json(content))))


def deliver(workspace: Workspace, author: str | None, message: Message) -> dict[str, Any]:
    """Store the marks of a delivery and return what it changed, or in words why nothing was stored."""
    reply: dict[str, Any] = {"batch": message.name("batch")}
    try:
        if message.text("person") != author:
            raise NotAllowedError(
                f"These marks were made by {message.text('person')}, but {author or 'no one'} is signed in now."
            )
        marks, unreadable = read_marks(message)
        saved = judge(workspace, author, message.number("collection_id"), marks)
    except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
        return {**reply, "error": explain(error)}
    return {**reply, **saved_panel(replace(saved, refused={**saved.refused, **unreadable}))}


def read_marks(message: Message) -> tuple[list[Mark], dict[Delivery, str]]:
    """Return the marks of a delivery, and what is wrong with those that cannot be read."""
    marks: list[Mark] = []
    unreadable: dict[Delivery, str] = {}
    for each in map(Message, message.list("marks")):
        try:
            marks.append(mark_of(each))
        except InvalidInputError as error:
            delivery = each.name("client_id"), each.optional_number("sequence") or 0
            unreadable[delivery] = str(error)
    return marks, unreadable


def mark_of(message: Message) -> Mark:
    """Return the mark that a page sent.

    Raises:
        InvalidInputError: if something of it is missing or of another kind.
    """
    undoes = message.list("undoes")
    if undoes and not (len(undoes) == 2 and isinstance(undoes[0], str) and type(undoes[1]) is int):
        raise InvalidInputError("This undo came without the mark it is for. Reload the page and try again.")
    return Mark(
        label_set_id=message.number("label_set_id"),
        query_id=message.number("query_id"),
        doc_id=message.text("doc_id"),
        grade=message.decimal("grade"),
        rank_shown=message.optional_number("rank"),
        ranker=message.text("ranker"),
        client_id=message.text("client_id"),
        sequence=message.number("sequence"),
        is_unsure=message.flag("unsure"),
        note=message.text("note"),
        seconds=message.decimal("seconds"),
        together_with=message.text("together_with") or None,
        undoes=(undoes[0], undoes[1]) if undoes else None,
        is_adjudication=message.flag("is_adjudication"),
        content_hash=message.name("content_hash"),  # marks that an earlier page left in its outbox have no hashes
        query_hash=message.name("query_hash"),
    )
