"""The page that people see, and signing in by name and password: what the server asks us for that."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from annotation.errors import TooManyTriesError
from annotation.people.sign_in import SignIn
from annotation.settings import Settings
from annotation.ui.message import sender_of
from annotation.ui.web import Web

_address: ContextVar[str] = ContextVar("address", default="")  # where the request under way comes from


class PasswordCheck:
    """Asks whether a password is right, in threads of its own, so that nothing else waits for it."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        self._threads = ThreadPoolExecutor(2, "passwords")

    async def is_right(self, name: str, password: str) -> bool:
        """Return whether somebody may come in, as the server's own sign-in asks.

        Raises:
            HTTPException: if there were too many wrong passwords.
        """
        check, address = self._sign_in.is_right, _address.get()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, check, name, password, address)
        except TooManyTriesError as error:
            raise HTTPException(429, str(error), {"Retry-After": str(error.wait_s)}) from error


class Pages:
    """Shows the page of the app, or one to sign in where that is needed first."""

    def __init__(self, app: ASGIApp, settings: Settings, web: Web) -> None:
        self._app = app
        self._settings = settings
        self._page, self._sign_in_page = web.page(), web.sign_in_page()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the page, or let the app answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        _address.set((scope.get("client") or ("",))[0])
        is_page = scope["path"].removeprefix(scope.get("root_path", "")) in ("", "/")
        if not is_page or scope["method"] not in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        request = Request(scope)
        is_known = self._settings.people is None or sender_of(self._settings, request) is not None
        if (
            is_known and request.query_params.get("view") == "api"
        ):  # Gradio's own page, which tells programs what they can call
            return await self._app(scope, receive, send)
        page = self._page if is_known else self._sign_in_page
        await HTMLResponse(page, headers={"Cache-Control": "no-store"})(scope, receive, send)
