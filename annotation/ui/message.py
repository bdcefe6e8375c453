"""What a page sends, read value by value and never trusted, and who is at the other end.

Who that is comes from the server's session, never from what a page sends.
"""

import sys
from collections.abc import Mapping
from typing import Any

import gradio as gr
from starlette.requests import Request

from annotation.errors import InvalidInputError
from annotation.settings import Settings

_NAME_OF_A_PAGE = 32  # hexadecimal digits


class Message:
    """What a page sent with a question; nothing in it is trusted.

    Attributes:
        kind: what the page hears the answer as; empty where that does not matter.
    """

    def __init__(self, data: Any, kind: str = "") -> None:
        self.kind = kind
        self._data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}

    def for_part(self, kind: str) -> "Message":
        """Return the same, to be answered with what the page hears as `kind`."""
        return Message(self._data, kind)

    @property
    def page(self) -> str:
        """Return the name that the page has given itself, which other pages cannot guess; empty if it has none."""
        name = self.name("page")
        return name if len(name) == _NAME_OF_A_PAGE and not set(name) - set("0123456789abcdef") else ""

    def text(self, name: str) -> str:
        """Return a text.

        Raises:
            InvalidInputError: if it is something else.
        """
        value = self._data.get(name, "")
        if not _is_text(value):
            raise InvalidInputError(f"Expected {name} to be a text. Reload the page and try again.")
        return str(value)

    def name(self, name: str) -> str:
        """Return a text, empty if it is missing or something else."""
        value = self._data.get(name)
        return str(value) if _is_text(value) else ""

    def number(self, name: str) -> int:
        """Return a whole number.

        Raises:
            InvalidInputError: if it is missing or something else.
        """
        value = self.optional_number(name)
        if value is None:
            raise InvalidInputError(f"Expected {name} to be a whole number. Reload the page and try again.")
        return value

    def optional_number(self, name: str) -> int | None:
        """Return a whole number, also from digits in a text; None if it is missing or something else."""
        value = self._data.get(name)
        if isinstance(value, str) and len(value) <= 15 and value.isascii() and value.isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**53:
            return None
        return value

    def decimal(self, name: str) -> float | None:
        """Return a number or None.

        Raises:
            InvalidInputError: if it is something else.
        """
        value = self._data.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or (is_number and abs(value) <= sys.float_info.max):  # NaN is not
            return value
        raise InvalidInputError(f"Expected {name} to be a number. Reload the page and try again.")

    def flag(self, name: str) -> bool:
        """Return whether something is switched on; what is missing is off."""
        return self._data.get(name) is True

    def list(self, name: str) -> list[Any]:
        """Return a list, empty if it is missing.

        Raises:
            InvalidInputError: if it is something else.
        """
        value = self._data.get(name)
        if value is None or isinstance(value, list):
            return value or []
        raise InvalidInputError(f"Expected {name} to be a list. Reload the page and try again.")

    def values(self, name: str) -> Mapping[str, Any] | None:
        """Return named values; None if they are missing or something else."""
        value = self._data.get(name)
        return value if isinstance(value, Mapping) else None


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


def _is_text(value: Any) -> bool:
    """Return whether something is a text that can be stored: JSON may hold halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)
