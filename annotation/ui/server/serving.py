"""How the server is set up around the app: who and what it lets in, and what it removes while it runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import gradio as gr
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.routing import Route

from annotation.collections.uploads import Uploads
from annotation.people.sign_in import SignIn
from annotation.ui.answers import Answers
from annotation.ui.downloads import Downloads
from annotation.ui.server.asking import PATH as ASKS
from annotation.ui.server.asking import AskRoute
from annotation.ui.server.gate import Gate, Rules
from annotation.ui.server.marks import PATH as MARKS
from annotation.ui.server.marks import MarkRoute
from annotation.ui.server.pages import Pages, PasswordCheck
from annotation.ui.server.receiving import Receiving
from annotation.ui.web import PATH as WEB
from annotation.ui.web import Web
from annotation.workspace import Workspace

logger = logging.getLogger(__name__)

_SWEEP_EVERY_S = 600.0


def serve(
    blocks: gr.Blocks,
    answers: Answers,
    workspace: Workspace,
    uploads: Uploads,
    downloads: Downloads,
    sign_in: SignIn | None,
) -> None:
    """Let browsers and programs in, by threads of its own.

    Args:
        blocks: the app.
        answers: what its page can ask.
        workspace: of this process; its settings have prepared the server.
        uploads: what was received.
        downloads: what is laid out to be taken along.
        sign_in: of the people who may come in; None lets everybody.

    Raises:
        OSError: if there is no free port.
    """
    settings = workspace.settings
    web = Web()
    middleware = [
        Middleware(Receiving, settings=settings, uploads=uploads),
        Middleware(Pages, settings=settings, web=web),
    ]

    @asynccontextmanager
    async def while_running(app: App) -> AsyncIterator[None]:
        if app.middleware_stack is not None:  # outside of all others, which answer some requests by themselves
            app.middleware_stack = Gate(app.middleware_stack, Rules.of(settings))
        sweeping = asyncio.create_task(_repeat(uploads.sweep, downloads.sweep))
        try:
            yield
        finally:
            sweeping.cancel()

    _carry_no_files(blocks)
    blocks.queue(default_concurrency_limit=4, max_size=256)
    blocks.launch(
        server_port=settings.port,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,  # errors of our own have words for people; those of the server are written for programmers
        run_history=False,
        footer_links=["api"] if settings.api else [],
        mcp_server=settings.api,
        max_file_size=uploads.limits.file_bytes,
        ssr_mode=False,
        num_workers=0,  # they would answer by themselves, past all this
        app_kwargs={
            "middleware": middleware,
            "lifespan": while_running,
            "routes": [
                Route(MARKS, MarkRoute(workspace).answer, methods=["POST"]),
                Route(ASKS, AskRoute(workspace, answers).answer, methods=["POST"]),
                Route(WEB, web.answer, methods=["GET"]),
            ],
        },
        auth=None if sign_in is None else PasswordCheck(sign_in).is_right,  # type: ignore[arg-type]  # it may wait
    )


def _carry_no_files(blocks: gr.Blocks) -> None:
    """Let no event make the server fetch an address or copy a file, as it does for what looks like one of its files."""

    async def refuse(path: str | Path | None) -> str | None:
        raise gr.Error("This event carries a file, which nothing here asks for.", print_exception=False)

    for block in blocks.blocks.values():
        block.async_move_resource_to_block_cache = refuse  # type: ignore[method-assign, assignment]


async def _repeat(*actions: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY_S)
        for action in actions:
            try:
                await asyncio.to_thread(action)
            except OSError:
                logger.exception("Files that are not needed any more could not be removed")
