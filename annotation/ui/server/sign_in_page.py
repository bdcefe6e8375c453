"""Signing in by name and password: what the server asks us, and the page that people see first."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from annotation.errors import TooManyTriesError
from annotation.people.sign_in import SignIn
from annotation.settings import Settings
from annotation.ui.message import sender_of
from annotation.ui.panel import style
from annotation.ui.words import script

_ASSETS = Path(__file__).parents[1] / "assets"
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


class SignInPage:
    """Shows a page to sign in, where that is needed, in place of the app's own page."""

    def __init__(self, app: ASGIApp, settings: Settings, page: str) -> None:
        self._app = app
        self._settings = settings
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the page, or let the app answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        _address.set((scope.get("client") or ("",))[0])
        is_page = scope["path"].removeprefix(scope.get("root_path", "")) in ("", "/")
        if is_page and scope["method"] in ("GET", "HEAD") and sender_of(self._settings, Request(scope)) is None:
            answer = HTMLResponse(self._page, headers={"Cache-Control": "no-store"})
            return await answer(scope, receive, send)
        await self._app(scope, receive, send)


def sign_in_page(i18n: gr.I18n) -> str:
    """Return the page to sign in; it says everything in the reader's language."""
    scripts = "\n".join((_ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in ("words", "dom", "sign_in"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ERA</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style()}</style>{script(i18n)}</head>"
        f'<body><main class="era-panel era-sign-in" id="era-sign-in"></main><script>{scripts}</script></body></html>'
    )
