"""What every request has to pass before anything else sees it, whichever route it is for.

A page of another site may make a browser send requests here: to `localhost` itself, or to a name of its own that it
lets point to this machine (DNS rebinding). So where no one signs in, the app answers only to names that are known, and
everywhere requests that write come from its own pages or from programs. Every answer says that it is what it claims to
be, and who may put it into a frame.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotation.settings import Settings, host_of

_READING = ("GET", "HEAD", "OPTIONS")
_FRAMES_OF_A_SPACE = " https://huggingface.co https://*.hf.space"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is let in.

    Attributes:
        hosts: the names that the app answers to; None for any, where people sign in.
        frames: the sites that may show the app in a frame, as a `frame-ancestors` lists them.
    """

    hosts: frozenset[str] | None
    frames: str

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """Return the rules of one app process."""
        frames = "'self'" + (_FRAMES_OF_A_SPACE if settings.space_id is not None else "")
        return cls(None if settings.has_several_people else settings.host_names, frames)


class Gate:
    """Lets requests of known hosts and of the app's own pages through, and adds what browsers have to know."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the app do it."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        reason = self._why_refused(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(MutableHeaders(scope=message))
            await send(message)

        if not reason:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await PlainTextResponse(reason, 403)(scope, receive, send_with_headers)

    def _why_refused(self, scope: Scope) -> str:
        """Return why a request is refused, for its sender; empty if it may come in."""
        headers = Headers(raw=scope["headers"])
        host = headers.get("host", "")
        name = host_of(host)
        if self._rules.hosts is not None and (name not in self._rules.hosts or len(headers.getlist("host")) != 1):
            shown = "".join(sign for sign in name if sign.isalnum() or sign in ".-_[]:")[:100]
            port = (scope.get("server") or ("", 7860))[1]
            return (
                f"ERA does not answer to the name {shown!r}. On this machine, open http://localhost:{port}/. If other "
                f"machines are meant to reach it by this name, start it with ERA_HOSTS={shown}"
            )
        if _writes(scope) and not _is_own(headers, host):
            return "This was sent by a page of another site. Nothing was changed; open ERA itself and do it there."
        return ""

    def _complete(self, headers: MutableHeaders) -> None:
        for name in [name for name in headers if name.startswith("access-control-")]:
            del headers[name]  # no page of another site reads what is answered here
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "same-origin"
        headers.append("content-security-policy", f"frame-ancestors {self._rules.frames}")


def _writes(scope: Scope) -> bool:
    """Return whether a request may change anything; events of the page are POST, and so are the tool's."""
    return scope["type"] == "websocket" or scope["method"] not in _READING or scope["path"].endswith("/logout")


def _is_own(headers: Headers, host: str) -> bool:
    """Return whether a request comes from a page of the app or from a program, which does not say where it is from."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:  # what the browser found out by itself; it knows about proxies in between, too
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()
