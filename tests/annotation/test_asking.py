"""Questions of pages over the network: answered in parts, in the session's name, and ended with the page."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from annotation.errors import NotFoundError
from annotation.people.password_file import set_password
from annotation.ui.answers import Heard
from annotation.ui.message import Message
from annotation.ui.server.asking import MAX_WAITING, PATH, AskRoute
from tests.asynchronous import finish
from tests.worlds.desk import Desk

PAGE = "a" * 32


class Told:
    """Two questions, and what was seen of them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str, str]] = []
        self.n_parts = 0
        self.goes_on = threading.Event()
        self.is_closed = threading.Event()

    def greet(self, author: str | None, message: Message) -> Heard:
        self.asked.append((author, message.name("text"), message.page))
        return {"greeting": {"text": "grüß dich"}}

    def count(self, author: str | None, message: Message) -> Iterator[Heard]:
        try:
            for n in range(1000):
                self.n_parts += 1
                yield {"count": {"n": n}}
                self.goes_on.wait(60)
        finally:
            self.is_closed.set()

    def fail(self, author: str | None, message: Message) -> Iterator[Heard]:
        yield {"count": {"n": 1}}
        raise NotFoundError("It is not there any more.")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def route(desk: Desk, told: Told) -> AskRoute:
    return AskRoute(desk.workspace, {"greet": told.greet, "count": told.count, "fail": told.fail})


@pytest.fixture
def client(route: AskRoute) -> TestClient:
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.HTML("")
    kwargs = {"routes": [Route(PATH, route.answer, methods=["POST"])]}
    return TestClient(App.create_app(blocks, app_kwargs=kwargs), "http://localhost:7860")


def lines(answer: Any) -> list[Any]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_question_is_answered_in_the_name_of_the_session(client: TestClient, told: Told) -> None:
    answer = client.post("/era/ask/greet", json={"text": "hello", "author": "eve", "page": PAGE})
    assert lines(answer) == [{"greeting": {"text": "grüß dich"}}]
    client.post("/era/ask/greet", json={"text": ["x"], "page": "../1"})
    assert [(text, page) for _, text, page in told.asked] == [("hello", PAGE), ("", "")]
    assert "eve" not in {author for author, _, _ in told.asked}


def test_an_answer_comes_in_parts_and_what_goes_wrong_is_its_last(client: TestClient) -> None:
    first, last = lines(client.post("/era/ask/fail", json={}))
    assert first == {"count": {"n": 1}}
    assert last == {"trouble": {"error": "It is not there any more."}}


def test_what_cannot_be_asked_is_said_in_words(
    desk: Desk, client: TestClient, route: AskRoute, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/era/ask/greet").status_code == 405
    unknown = client.post("/era/ask/sing", json={})
    assert (unknown.status_code, unknown.json()["trouble"]["error"][-9:]) == (404, "eload it.")
    route._n_waiting = MAX_WAITING
    assert client.post("/era/ask/greet", json={}).status_code == 503
    route._n_waiting = 0
    people = desk.workspace.folder / "people.txt"
    set_password(people, "ann", "word")
    monkeypatch.setattr(desk.workspace, "settings", desk.workspace.settings.model_copy(update={"people": people}))
    refused = client.post("/era/ask/greet", json={})
    assert (refused.status_code, "signed out" in refused.json()["trouble"]["error"]) == (401, True)
    app: Any = client.app
    app.tokens["token"] = "ann"
    client.cookies.set(f"access-token-{app.cookie_id}", "token")
    assert client.post("/era/ask/greet", json={}).status_code == 200
    assert route._n_waiting == 0


@pytest.mark.parametrize("page", [PAGE, ""])
def test_what_is_asked_by_a_page_that_leaves_is_not_computed_to_the_end(
    desk: Desk, route: AskRoute, told: Told, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    left: list[str] = []
    monkeypatch.setattr(desk.workspace.reading_places, "leave", left.append)
    sent: list[bytes] = []

    async def ask() -> None:
        is_gone = asyncio.Event()
        body = [{"type": "http.request", "body": json.dumps({"page": page}).encode(), "more_body": False}]

        async def receive() -> dict[str, Any]:
            if body:
                return body.pop()
            await is_gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if b"count" in sent[-1]:
                is_gone.set()

        scope = {
            "type": "http", "method": "POST", "path": "/era/ask/count", "headers": [], "query_string": b"",
            "path_params": {"name": "count"}, "asgi": {"spec_version": "2.3"},
        }  # fmt: skip
        answer = await route.answer(Request(scope, receive, send))
        await answer(scope, receive, send)

    finish(ask())
    told.goes_on.set()
    assert told.is_closed.wait(60)
    assert told.n_parts <= 2  # the one that was sent, and one that was being made
    assert left == ([page] if page else [])
    assert route._n_waiting == 0


def test_an_answer_to_the_end_ends_nothing_else_of_its_page(
    desk: Desk, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []
    monkeypatch.setattr(desk.workspace.reading_places, "leave", left.append)
    for _ in range(50):
        assert len(lines(client.post("/era/ask/fail", json={"page": PAGE}))) == 2
    assert left == []
