"""Who is at the other end: taken from the server's session, never from what a page sends."""

import gradio as gr

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
