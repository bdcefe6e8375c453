"""What comes in past the gate: known hosts, the app's own pages, programs; and what every answer tells browsers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from annotation.settings import Settings
from annotation.ui.server.gate import Gate, Rules
from tests.asynchronous import finish

OWN = {"origin": "http://localhost:7860"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("let in", headers={"Access-Control-Allow-Origin": "*", "Access-Control-Max-Age": "600"})


def client(settings: Settings) -> TestClient:
    routes = [Route(path, answer, methods=METHODS) for path in ("/", "/gradio_api/queue/join", "/logout")]
    return TestClient(
        Gate(Starlette(routes=routes), Rules.of(settings)), "http://localhost:7860", follow_redirects=False
    )


@pytest.fixture
def alone() -> TestClient:
    chosen = Settings(hosts="Era.Example, box:80,fe80::1")
    return client(chosen.model_copy(update={"server_name": "192.0.2.7"}))


def is_in(client: TestClient, method: str, path: str, headers: Mapping[str, str]) -> bool:
    found = client.request(method, path, headers=dict(headers))
    assert found.status_code in (200, 403)
    assert "let in" not in found.text or found.status_code == 200
    return found.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:7860", "LOCALHOST:1", "localhost.:7860", "127.0.0.1", "127.0.0.1:7860", "[::1]",
        "[::1]:7860", "era.example", "era.example:443", "box", "192.0.2.7:7860", "[fe80::1]:7860",
    ],
)  # fmt: skip
def test_known_hosts_are_answered(alone: TestClient, host: str) -> None:
    assert is_in(alone, "GET", "/", {"host": host})
    assert is_in(alone, "POST", "/gradio_api/queue/join", {"host": host})


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", "", "127.0.0.2",
        "evil.example:localhost", "localhost@evil.example", "0.0.0.0:7860", "[::]:7860", "[::2]:7860", "192.0.2.8",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", METHODS)
def test_other_hosts_are_not(alone: TestClient, host: str, method: str) -> None:
    found = alone.request(method, "/", headers={"host": host})
    assert found.status_code == 403
    if method != "HEAD":
        assert "ERA_HOSTS" in found.text
        assert "http://localhost:" in found.text


def test_a_refused_name_is_told_without_what_is_no_name(alone: TestClient) -> None:
    text = alone.get("/", headers={"host": "<script>alert(1)</script>.example"}).text
    assert "<" not in text
    assert text.endswith("start it with ERA_HOSTS=scriptalert1script.example")


@pytest.mark.parametrize("settings", [Settings(people=Path("people.txt")), Settings(space_id="ann/era")])
def test_where_people_sign_in_the_name_of_the_host_does_not_matter(settings: Settings) -> None:
    assert is_in(client(settings), "GET", "/", {"host": "anything.example"})
    assert is_in(client(settings), "POST", "/", {"host": "anything.example", "origin": "https://anything.example"})
    assert not is_in(client(settings), "POST", "/", {"host": "anything.example", "origin": "https://other.example"})


@pytest.mark.parametrize(
    ("headers", "may_write"),
    [
        ({}, True),  # a program
        (OWN, True),
        ({"origin": "http://LOCALHOST:7860"}, True),
        ({"origin": "http://localhost:9999"}, False),
        ({"origin": "http://localhost"}, False),
        ({"origin": "http://127.0.0.1:7860"}, False),
        ({"origin": "http://localhost:7860.evil.example"}, False),
        ({"origin": "http://localhost:7860@evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", **OWN}, False),
        ({"sec-fetch-site": "same-origin", "origin": "https://before.the.proxy"}, True),
    ],
)  # fmt: skip
def test_only_own_pages_and_programs_write(alone: TestClient, headers: dict[str, str], may_write: bool) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert is_in(alone, method, "/gradio_api/queue/join", headers) is may_write
    assert is_in(alone, "GET", "/logout", headers) is may_write
    assert is_in(alone, "GET", "/", headers)  # a link on another site leads here


@pytest.mark.parametrize("path", ["/", "/nothing", "/gradio_api/queue/join"])
@pytest.mark.parametrize("headers", [{}, {"host": "evil.example"}, {"origin": "http://evil.example"}])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_every_answer_tells_browsers_what_they_may_do(
    alone: TestClient, path: str, headers: dict[str, str], method: str
) -> None:
    found = alone.request(method, path, headers=headers).headers
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "same-origin"
    assert found["content-security-policy"] == "frame-ancestors 'self'"
    assert [name for name in found if name.startswith("access-control-")] == []


def test_a_space_may_be_framed_where_spaces_are_shown() -> None:
    found = client(Settings(space_id="ann/era")).get("/").headers
    assert found["content-security-policy"] == "frame-ancestors 'self' https://huggingface.co https://*.hf.space"


@pytest.mark.parametrize(
    ("headers", "is_closed"),
    [
        ([(b"host", b"localhost:7860"), (b"origin", b"http://localhost:7860")], False),
        ([(b"host", b"localhost:7860"), (b"origin", b"http://evil.example")], True),
        ([(b"host", b"evil.example")], True),
        ([(b"host", b"localhost"), (b"host", b"evil.example")], True),
        ([], True),
    ],
)
def test_sockets_pass_the_same_gate(headers: list[tuple[bytes, bytes]], is_closed: bool) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "headers": headers, "server": ("127.0.0.1", 7860)}
    finish(Gate(app, Rules.of(Settings()))(scope, receive, send))
    assert sent == ["websocket.close" if is_closed else "websocket.accept"]
