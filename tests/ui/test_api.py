"""The public endpoint and the MCP tool of the running app: off unless asked for, reading only, behind the sign-in."""

import base64
import json
import re
import sqlite3
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError, AuthenticationError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import CallToolResult, TextContent

from tests.asynchronous import finish
from tests.ui.conftest import PATIENCE_S, ROOT, App, fork_app, free_port

DOCUMENTS = (
    {"id": "d1", "title": "Trout", "text": "How to feed a trout in a pond."},
    {"id": "d2", "title": "Wren", "text": "What a wren eats in winter."},
    {"id": "d3", "title": "Moth", "text": "A moth flies into the light at night."},
)


def start(folder: Path, **variables: str) -> App:
    """Start the app over a collection of three documents and return once it can search."""
    animals = folder / "animals"
    animals.mkdir(parents=True)
    (animals / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in DOCUMENTS))
    port, output = free_port(), folder / "output.txt"
    process = fork_app(folder / "data", port, output, str(animals), **variables)
    app = App(process, folder / "data", port, output)
    deadline = time.monotonic() + PATIENCE_S
    while "Ready to search" not in output.read_text() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.3)
    if "Ready to search" not in output.read_text():
        app.kill()
        raise AssertionError(f"the app did not start:\n{output.read_text()}")
    return app


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an app that programs may search."""
    app = start(tmp_path_factory.mktemp("public"), ERA_API="1")
    yield app
    app.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return one where Ann has to sign in; her password is `café:1`."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "people.txt").write_text("ann:café:1\n", encoding="utf-8")
    app = start(folder, ERA_API="1", ERA_PEOPLE=str(folder / "people.txt"))
    yield app
    app.kill()


def address(app: App) -> str:
    return f"http://127.0.0.1:{app.port}"


def named_endpoints(app: App) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address(app)}/gradio_api/info", timeout=30) as answer:
        info = json.load(answer)
    assert info["unnamed_endpoints"] == {}
    endpoints: dict[str, Any] = info["named_endpoints"]
    return endpoints


def stored(app: App) -> list[str]:
    connection = sqlite3.connect(f"file:{app.folder / 'era.sqlite3'}?mode=ro", uri=True)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def call_tool(app: App, arguments: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[list[str], CallToolResult]:
    """Return the names of the tools, and what `search` answers."""

    async def talk() -> tuple[list[str], CallToolResult]:
        async with (
            streamablehttp_client(f"{address(app)}/gradio_api/mcp/", headers=dict(headers)) as (receive, send, _),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            return tools, await session.call_tool("search", dict(arguments))

    return finish(talk())


def text_of(result: CallToolResult) -> str:
    return " ".join(each.text for each in result.content if isinstance(each, TextContent))


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_there_is_no_public_endpoint_by_default(app: App) -> None:
    assert named_endpoints(app) == {}
    request = urllib.request.Request(f"{address(app)}/gradio_api/mcp/", headers={"Accept": "text/event-stream"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 404


def test_the_switch_adds_search_and_nothing_else(public: App) -> None:
    endpoints = named_endpoints(public)
    assert list(endpoints) == ["/search"]
    names = [parameter["parameter_name"] for parameter in endpoints["/search"]["parameters"]]
    assert names == ["query", "instruction", "collection", "ranker", "k"]


def test_a_program_finds_documents_and_stores_nothing(public: App) -> None:
    client = Client(address(public), verbose=False)
    before = stored(public)
    found = client.predict(query="moth", collection="animals", ranker="bm25", k=3, api_name="/search")
    assert [(each["rank"], each["doc_id"], each["title"], each["text"]) for each in found] == [
        (1, "d3", "Moth", "A moth flies into the light at night.")
    ]
    nearest = client.predict(query="feeding fish", instruction="for owners", collection="animals", api_name="/search")
    assert sorted(each["doc_id"] for each in nearest) == ["d1", "d2", "d3"]
    assert [each["score"] for each in nearest] == sorted((each["score"] for each in nearest), reverse=True)
    assert stored(public) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"query": "  "}, "Write what you are looking for"),
        ({"query": "moth", "k": 0}, "from 1 to 100, got 0"),
        ({"query": "moth", "k": True}, "from 1 to 100, got True"),
        ({"query": ["moth"]}, "query should be a text"),
        ({"query": "moth", "collection": "plants"}, "no collection named 'plants'. There are: animals"),
        ({"query": "moth", "collection": "animals", "ranker": "run-1"}, "There are: bm25, light, aligned"),
    ],
)
def test_what_cannot_be_answered_is_said_plainly(public: App, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(AppError) as refused:
        Client(address(public), verbose=False).predict(**arguments, api_name="/search")
    assert expected in str(refused.value)


def test_question_that_names_an_address_as_a_file_fetches_nothing(public: App) -> None:
    file = {"path": "http://example.com/large.bin", "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [file, "", "", "", 10]}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address(public)}/gradio_api/run/search", body, headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert "This event carries a file, which nothing here asks for." in refused.value.read().decode()


@pytest.mark.parametrize("file", ["README.md", "docs/api.md"])
def test_the_documented_examples_run(file: str, public: App, capsys: pytest.CaptureFixture[str]) -> None:
    written = (ROOT / file).read_text(encoding="utf-8")
    [example] = [each for each in re.findall(r"```python\n(.*?)```", written, re.DOTALL) if "gradio_client" in each]
    exec(re.sub(r"http://(localhost|127.0.0.1):7860", address(public), example), {})  # noqa: S102 - what the page tells
    if file == "README.md":
        return
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["1", "2", "3"]


def test_an_assistant_finds_the_same_by_its_tool(public: App) -> None:
    tools, result = call_tool(public, {"query": "moth", "collection": "animals", "ranker": "bm25"}, {})
    assert tools == ["search"]
    assert not result.isError
    assert "d3" in text_of(result)
    assert "A moth flies into the light at night." in text_of(result)


def test_a_program_signs_in_where_people_do(shared: App) -> None:
    with pytest.raises(AuthenticationError):
        Client(address(shared), verbose=False)
    client = Client(address(shared), auth=("ann", "café:1"), verbose=False)
    found = client.predict(query="moth", collection="animals", ranker="bm25", api_name="/search")
    assert [each["doc_id"] for each in found] == ["d3"]


@pytest.mark.parametrize(
    "headers",
    [{}, basic("ann", "wrong"), basic("ben", ""), {"Authorization": "Basic ???"}, {"Authorization": "Bearer x"}],
)
def test_the_tool_finds_nothing_for_strangers(shared: App, headers: dict[str, str]) -> None:
    _, result = call_tool(shared, {"query": "moth", "collection": "animals"}, headers)
    assert result.isError
    assert "Sign in first" in text_of(result)
    assert "moth flies" not in text_of(result)


def test_the_tool_knows_who_sends_name_and_password(shared: App) -> None:
    arguments = {"query": "moth", "collection": "animals", "ranker": "bm25"}
    _, result = call_tool(shared, arguments, basic("ann", "café:1"))
    assert not result.isError
    assert "d3" in text_of(result)
