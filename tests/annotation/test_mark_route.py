"""Marks over the network: JSON in and out, within bounds, in the name of the server's session, each stored once."""

import json
from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from starlette.routing import Route
from starlette.testclient import TestClient

import storage.judgments
from annotation.people.password_file import set_password
from annotation.ui.server import marks
from annotation.ui.server.marks import MAX_BYTES, MAX_WAITING, PATH, MarkRoute
from tests.worlds.desk import Desk

Send = Callable[..., Any]


@pytest.fixture
def route(desk: Desk) -> MarkRoute:
    return MarkRoute(desk.workspace)


@pytest.fixture
def client(route: MarkRoute) -> TestClient:
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.HTML("")
    kwargs = {"routes": [Route(PATH, route.answer, methods=["POST"])]}
    return TestClient(App.create_app(blocks, app_kwargs=kwargs), "http://localhost:7860")


def delivery(desk: Desk, *grades: float, **about: Any) -> dict[str, Any]:
    """Return marks of one document, as a page of ann sends them one after the other."""
    mark = {
        "label_set_id": desk.label_set_id,
        "query_id": desk.query_id("cat-vet"),
        "doc_id": "cat-illness",
        "client_id": "page-1",
        "ranker": "pool",
    }
    listed = [{**mark, "grade": grade, "sequence": n} for n, grade in enumerate(grades, start=1)]
    return {"batch": "b1", "person": "ann", "collection_id": desk.collection.id, "marks": listed, **about}


def stored(desk: Desk) -> list[tuple[str, float | None, int]]:
    with desk.workspace.reading() as session:
        events = storage.judgments.history(session, desk.label_set_id, desk.query_id("cat-vet"))
    return [(event.author, event.grade, event.sequence) for event in events if event.client_id == "page-1"]


def sign_in_as(desk: Desk, client: TestClient, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let people sign in, and this client as one of them."""
    people = desk.workspace.folder / "people.txt"
    set_password(people, name, "word")
    monkeypatch.setattr(desk.workspace, "settings", desk.workspace.settings.model_copy(update={"people": people}))
    app: Any = client.app
    app.tokens["token"] = name
    client.cookies.set(f"access-token-{app.cookie_id}", "token")


def test_marks_are_stored_in_order_and_answered(desk: Desk, client: TestClient) -> None:
    answer = client.post(PATH, json=delivery(desk, 1.0, 0.0))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    told = answer.json()
    assert (told["batch"], told["stored"]) == ("b1", ["page-1:1", "page-1:2"])
    assert told["said"] == {str(desk.query_id("cat-vet")): {"cat-illness": {"grade": 0.0, "unsure": False, "note": ""}}}
    assert stored(desk) == [("ann", 1.0, 1), ("ann", 0.0, 2)]


def test_a_delivery_that_comes_twice_is_stored_once(desk: Desk, client: TestClient) -> None:
    first, second = (client.post(PATH, json=delivery(desk, 1.0)).json() for _ in range(2))
    assert first["stored"] == second["stored"] == ["page-1:1"]
    assert stored(desk) == [("ann", 1.0, 1)]


def test_marks_bear_the_name_of_the_session(desk: Desk, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in_as(desk, client, monkeypatch, "ben")
    assert client.post(PATH, json=delivery(desk, 1.0, person="ben")).json()["stored"] == ["page-1:1"]
    told = client.post(PATH, json=delivery(desk, 0.0)).json()
    assert told["error"] == "These marks were made by ann, but ben is signed in now."
    assert stored(desk) == [("ben", 1.0, 1)]


def test_who_has_not_signed_in_stores_nothing(desk: Desk, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in_as(desk, client, monkeypatch, "ann")
    client.cookies.clear()
    assert "signed in now" in client.post(PATH, json=delivery(desk, 1.0)).json()["error"]
    assert "error" in client.post(PATH, json=delivery(desk, 1.0, person=None)).json()
    assert stored(desk) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b"NaN", b'"text"', b'{"person": "ann"}', b"[" * 100_000, b'{"marks": 3}'],
    ids=lambda body: str(body[:20]),
)
def test_what_is_no_delivery_is_answered_in_words(client: TestClient, body: bytes) -> None:
    answer = client.post(PATH, content=body)
    assert answer.status_code == 200
    assert answer.json()["error"]
    assert "unexpected" not in answer.json()["error"]


def test_too_much_at_once_is_refused(desk: Desk, client: TestClient, route: MarkRoute) -> None:
    assert client.post(PATH, content=b" " * (MAX_BYTES + 1)).status_code == 413
    route._n_waiting = MAX_WAITING
    assert client.post(PATH, json=delivery(desk, 1.0)).status_code == 503
    assert stored(desk) == []
    route._n_waiting = 0
    assert client.post(PATH, json=delivery(desk, 1.0)).json()["stored"] == ["page-1:1"]
    assert route._n_waiting == 0


def test_the_largest_delivery_of_a_page_is_taken(desk: Desk, client: TestClient) -> None:
    sent = delivery(desk, *[1.0] * 200)
    for mark in sent["marks"]:
        mark["note"] = "\u00e4" * 2000
    answer = client.post(PATH, content=json.dumps(sent))
    assert len(answer.json()["stored"]) == 200


def test_marks_are_only_sent(client: TestClient) -> None:
    assert client.get(PATH).status_code == 405


def test_what_is_stored_is_told_where_the_rest_cannot_be_read(
    desk: Desk, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("unreadable")

    monkeypatch.setattr(desk.workspace, "standings_in", fail)
    told = client.post(PATH, json=delivery(desk, 1.0)).json()
    assert (told["stored"], told["said"], "error" in told) == (["page-1:1"], {}, False)
    assert marks.PATH == "/era/marks"  # which outbox.js names as well
