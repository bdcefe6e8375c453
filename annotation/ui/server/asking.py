"""The one route for what a page asks: JSON in, lines of JSON out (NDJSON), one for each part of an answer.

Nothing waits in a queue of Gradio's. What a page asks is computed by threads, so many at once; where the page goes away
before it has its answer, what is left of it is not computed, and what is read for that page ends.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Event
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from annotation.ui.answers import UNASKED, Answers, Handler, Heard
from annotation.ui.feedback import explain
from annotation.ui.message import Message, sender_of
from annotation.workspace import Workspace

PATH = "/era/ask/{name}"
MAX_BYTES = 64_000_000  # of a question: the largest brings a file of queries along
MAX_AT_ONCE, MAX_WAITING = 16, 256

_SIGNED_OUT = "You are signed out. Reload the page and sign in; marks that are not stored yet wait in this browser."
_OVER = None  # ends the parts of an answer


class AskRoute:
    """Answers what pages ask."""

    def __init__(self, workspace: Workspace, answers: Answers) -> None:
        self._workspace = workspace
        self._answers = answers
        self._threads = ThreadPoolExecutor(MAX_AT_ONCE, "asking")
        self._n_waiting = 0

    async def answer(self, request: Request) -> Response:
        """Answer one question; what goes wrong is told in words, as what the page hears as `trouble`."""
        handler = self._answers.get(request.path_params["name"])
        if handler is None:
            return _refuse(404, "This page is of another version of the app. Reload it.")
        author = sender_of(self._workspace.settings, request)
        if author is None and self._workspace.settings.people is not None:
            return _refuse(401, _SIGNED_OUT)
        if self._n_waiting >= MAX_WAITING:
            return _refuse(503, "Too much is being asked just now. Try again in a moment; nothing is lost.")
        try:
            content = await body_of(request, MAX_BYTES)
        except ClientDisconnect:
            return Response(status_code=400)
        if content is None:
            return _refuse(413, "This is more than can be sent at once.")
        lines = self._lines(request, handler, author, Message(from_json(content)))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter of proxies that keep lines back
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)

    async def _lines(
        self, request: Request, handler: Handler, author: str | None, message: Message
    ) -> AsyncIterator[bytes]:
        loop, is_left = asyncio.get_running_loop(), Event()
        is_unasked = request.path_params["name"] in UNASKED
        parts: asyncio.Queue[bytes | None] = asyncio.Queue()

        def work() -> None:
            with nullcontext() if is_unasked else self._workspace.serving():
                for heard in parts_of(handler, author, message):
                    if is_left.is_set():
                        break
                    loop.call_soon_threadsafe(parts.put_nowait, as_json(heard) + b"\n")
            loop.call_soon_threadsafe(parts.put_nowait, _OVER)

        self._n_waiting += 1
        is_answered = False
        working = loop.run_in_executor(self._threads, work)
        leaving = asyncio.create_task(_until_it_leaves(request))
        try:
            while True:
                part = asyncio.create_task(parts.get())
                await asyncio.wait((part, leaving), return_when=asyncio.FIRST_COMPLETED)
                if not part.done():  # no one is there any more
                    part.cancel()
                    break
                if part.result() is _OVER:
                    is_answered = True
                    break
                yield part.result() or b""
        finally:
            self._n_waiting -= 1
            leaving.cancel()
            if not is_answered:
                is_left.set()
                working.cancel()
                if message.page:
                    self._workspace.reading_places.leave(message.page)


def parts_of(handler: Handler, author: str | None, message: Message) -> Iterator[Heard]:
    """Yield the parts of an answer; whatever the handler raises is the last one, in words for people."""
    try:
        heard = handler(author, message)
        if isinstance(heard, dict):
            yield heard
        else:
            yield from heard
    except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
        yield {"trouble": {"error": explain(error)}}


async def body_of(request: Request, max_bytes: int) -> bytes | None:
    """Return the body of a request; None if there is too much of it.

    Raises:
        ClientDisconnect: if the sender goes away before the end.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > max_bytes:
            return None
    return bytes(content)


def from_json(content: bytes) -> Any:
    """Return what was sent; None if that is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def as_json(heard: Any) -> bytes:
    """Return an answer as it is sent."""
    return json.dumps(heard, ensure_ascii=True).encode()


async def _until_it_leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refuse(status: int, reason: str) -> Response:
    return JSONResponse({"trouble": {"error": reason}}, status)
