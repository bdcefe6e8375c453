"""Who is at the other end: taken from the server's session, never from what a page sends."""

import gradio as gr
from starlette.requests import Request

from annotation.settings import Settings


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
