"""Files that come in: only from people who may write, counted for each of them, and nowhere but where the app asks.

The server's own routes let anybody send files, here and there, and keep them for ever.
"""

import json
from pathlib import Path

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotation.collections.uploads import Uploads
from annotation.errors import AnnotationError, InvalidInputError
from annotation.settings import Settings
from annotation.ui.message import sender_of

_UPLOAD = "/gradio_api/upload"
_UNUSED = ("/gradio_api/deep_link",)  # writes a file for every request
_READ_ANYWAY = 64 * 2**20  # bytes of what is refused


class _Body:
    """What a request brings along."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def next_part(self) -> Message:
        """Return what comes next.

        Raises:
            MultiPartException: if the sender goes away, as the parser of forms expects of what it has to tidy up after.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._is_over:
            self._is_over = True
            raise MultiPartException("The files did not arrive whole.")
        self._is_over = self._is_over or not message.get("more_body", False)
        return message

    async def skip(self) -> None:
        """Read on to the end, or at least for long: a browser that cannot send on does not hear the answer."""
        n_read = 0
        while not self._is_over and n_read < _READ_ANYWAY:
            message = await self._receive()
            n_read += len(message.get("body", b""))
            self._is_over = not message.get("more_body", False)


class Receiving:
    """Lets files in by one route, within what the person who sends them may send."""

    def __init__(self, app: ASGIApp, settings: Settings, uploads: Uploads) -> None:
        self._app = app
        self._settings = settings
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that sends files, or let the app answer others."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path, headers, body = scope["path"].rstrip("/"), Headers(scope=scope), _Body(receive)
        is_form = headers.get("content-type", "").strip().lower().startswith("multipart/")
        if path.endswith(_UNUSED):
            await _refuse(404, "There is nothing here.", scope, body, send)
        elif scope["method"] == "POST" and path.endswith(_UPLOAD):
            await self._take(scope, body, send)
        elif is_form and not path.endswith("/login"):
            await _refuse(403, f"Files are sent to {_UPLOAD}. Nothing was changed.", scope, body, send)
        else:
            await self._app(scope, receive, send)

    async def _take(self, scope: Scope, body: _Body, send: Send) -> None:
        author, length = sender_of(self._settings, Request(scope)), Headers(scope=scope).get("content-length", "")
        if author is None:
            return await _refuse(401, "Sign in to bring in files.", scope, body, send)
        if not length.isdecimal():
            return await _refuse(411, "Say how many bytes will follow (Content-Length).", scope, body, send)
        answer: list[Message] = []

        async def hold(message: Message) -> None:
            answer.append(message)

        try:
            with self._uploads.receiving(author, int(length)) as received:
                await self._app(scope, body.next_part, hold)
                if answer[0]["status"] == 413:
                    raise InvalidInputError(self._too_large())
                if answer[0]["status"] == 200:
                    received([Path(each) for each in json.loads(b"".join(each.get("body", b"") for each in answer))])
        except AnnotationError as error:
            return await _refuse(413, str(error), scope, body, send)
        for message in answer:
            await send(message)

    def _too_large(self) -> str:
        return (
            f"A file may have {self._uploads.limits.file_bytes / 10**9:.3g} GB. Split it, or start the app with the "
            "path of your documents: python app.py PATH."
        )


async def _refuse(status: int, reason: str, scope: Scope, body: _Body, send: Send) -> None:
    await body.skip()
    await PlainTextResponse(reason, status)(scope, body.next_part, send)
