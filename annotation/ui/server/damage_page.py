"""The one page that is served where the database cannot be used: what happened, what is safe, what to do."""

import socket
from html import escape

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from annotation.settings import Settings
from annotation.ui.server.gate import Gate, Rules
from annotation.ui.web import style
from storage.errors import DatabaseDamaged

FIRST_PORT, N_PORTS = 7860, 100  # as Gradio looks for a free one


def damage_page(damage: DatabaseDamaged) -> str:
    """Return the page; whatever the damage says is text, never markup."""
    steps = "".join(f"<li>{escape(step)}</li>" for step in damage.todo)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ERA: the database is damaged</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{style()}</style></head><body><main class="era-panel era-damage" id="era-damage">'
        f"<h1>The database is damaged, so nothing can be judged or searched now</h1><p>{escape(damage.happened)}</p>"
        f"<h2>What is safe</h2><p>{escape(damage.safe)}</p><h2>What to do</h2><ol>{steps}</ol></main></body></html>"
    )


def damage_app(damage: DatabaseDamaged, settings: Settings) -> Gate:
    """Return what answers every request with the page, to whom the app itself would answer."""
    page = damage_page(damage)

    async def answer(request: Request) -> HTMLResponse:
        return HTMLResponse(page, status_code=503, headers={"Cache-Control": "no-store"})

    return Gate(Starlette(routes=[Route("/{path:path}", answer)]), Rules.of(settings))


def serve_damage(damage: DatabaseDamaged, settings: Settings) -> None:
    """Serve the page until the app is stopped.

    Raises:
        OSError: if there is no free port.
    """
    listener = _listen(settings)
    with listener:
        uvicorn.Server(uvicorn.Config(damage_app(damage, settings), log_level="warning")).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    ports = [settings.port] if settings.port is not None else range(FIRST_PORT, FIRST_PORT + N_PORTS)
    host = settings.server_name or "127.0.0.1"
    for port in ports:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            listener.close()
            continue
        return listener
    raise OSError(f"No port from {ports[0]} to {ports[-1]} is free. Set GRADIO_SERVER_PORT to a free port.")
