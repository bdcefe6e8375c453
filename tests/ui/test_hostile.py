"""Texts, addresses, queries and events that nobody should send but somebody will, also from pages of other sites."""

import copy
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import CHROMIUM, FLAGS, App, Visit, Visits

pytestmark = pytest.mark.browser

MARKUP = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


def _is_harmless(one: Visit) -> bool:
    harmless: bool = one.page.evaluate(
        "() => window.pwned === undefined && !document.querySelector('img[src=x]')"
        " && ![...document.scripts].some((script) => script.textContent === 'window.pwned=1')"
    )
    return harmless


def test_markup_in_a_query_stays_text(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search(MARKUP)
    expect(one.page.locator(".era-query-text").filter(has_text=MARKUP)).to_have_count(1)
    expect(one.box).to_have_value(MARKUP)
    one.mark(0)
    assert _is_harmless(one)
    query_id = app.query_id(MARKUP)
    two = visit(app, {"tab": "Compare", "query": query_id})
    expect(two.page.locator("#era-compare .era-compared")).to_contain_text(MARKUP)
    expect(two.page.locator("#era-compare .era-overall")).to_be_visible()
    assert _is_harmless(two)
    box = two.page.get_by_label("Try another query")
    box.fill(MARKUP + " again")
    box.press("Enter")
    expect(two.page.locator("#era-compare .era-compared")).to_contain_text(MARKUP + " again")
    assert _is_harmless(two)


@pytest.mark.parametrize("tab", ["Judge", "Compare"])
def test_markup_in_the_address_stays_text(app: App, visit: Visits, tab: str) -> None:
    names = ("query", "by", "collection", "labels", "before", "after")
    one = visit(app, {**dict.fromkeys(names, MARKUP), "tab": tab})
    # Markup is no ranking that exists: the page says so in words.
    expect(one.page.locator(f"#era-{tab.lower()} [role=alert]")).to_be_visible()
    assert _is_harmless(one)
    one.tab("Judge")
    expect(one.box).to_be_visible()
    assert _is_harmless(one)


@pytest.mark.parametrize(
    "parameters",
    [{"query": 99999}, {"collection": 99999, "labels": 3}, {"labels": 99999}, {"by": "run-99"}],
    ids=lambda parameters: "-".join(parameters),
)
def test_unknown_id_in_the_address_is_explained(app: App, visit: Visits, parameters: dict[str, str | int]) -> None:
    one = visit(app, parameters)
    expect(one.alert).to_be_visible()
    expect(one.alert).not_to_have_text("")
    one.search("the page still works after a wrong address")
    expect(one.alert).to_have_count(0)


@pytest.mark.parametrize("text", ["", "   ", "word " * 10_000], ids=["empty", "blank", "long"])
def test_unusable_query_is_explained_in_place(app: App, visit: Visits, text: str) -> None:
    one = visit(app)
    expect(one.cards.first).to_be_visible()
    before = app.rows("SELECT count(*) FROM query")
    one.box.fill(text)
    one.page.get_by_role("button", name="Search", exact=True).click()
    expect(one.alert).to_be_visible()
    expect(one.box).to_have_value(text)
    assert app.rows("SELECT count(*) FROM query") == before
    one.search("a usable query after an unusable one")
    expect(one.alert).to_have_count(0)


# --- pages of other sites

MARKS = "/era/marks"
FETCH = """async ([url, options]) => {
    try { const answer = await fetch(url, options); return [answer.status, await answer.text()]; }
    catch (error) { return [-1, String(error)]; }
}"""


def ask(url: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """Return status and text that a program is answered."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def delivery_of_a_mark(one: Visit) -> Any:
    """Mark the first document and return what the page sent for it."""
    with one.page.expect_request("**" + MARKS) as sent:
        one.mark(0)
    return json.loads(sent.value.post_data or "")


def by(client: str, delivery: Any) -> Any:
    """Return the same delivery as another page would send it."""
    delivery = copy.deepcopy(delivery)
    for mark in delivery["marks"]:
        mark["client_id"] = client
    return delivery


def deliver(app: App, delivery: Any) -> Any:
    """Deliver marks as a program does, and return what is answered."""
    status, text = ask(app.url({}).partition("?")[0].rstrip("/") + MARKS, delivery)
    assert status == 200, text
    return json.loads(text)


def clients(app: App) -> set[str]:
    return {client for (client,) in app.rows("SELECT client_id FROM judgment_event")}


@pytest.fixture
def rebound(browser: Browser) -> Iterator[Page]:
    """Return a page of a browser that is told that evil.example is this machine."""
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    chromium = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
    yield chromium.new_page()
    chromium.close()


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Return the address of an empty page on another port of this machine."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_page_under_a_name_that_leads_here_reads_and_marks_nothing(app: App, visit: Visits, rebound: Page) -> None:
    one = visit(app)
    one.search("marks of a hostile page")
    delivery = delivery_of_a_mark(one)
    answer = rebound.goto(f"http://evil.example:{app.port}/")
    assert answer is not None
    assert answer.status == 403
    assert "ERA does not answer to the name 'evil.example'" in rebound.inner_text("body")
    assert "start it with ERA_HOSTS=evil.example" in rebound.inner_text("body")
    options = {
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(by("evil", delivery)),
    }
    reading = ("/config", "/gradio_api/info")
    for path in (MARKS, "/era/ask/page.load", "/gradio_api/queue/join", "/gradio_api/run/predict", *reading):
        status, text = rebound.evaluate(FETCH, [path, {} if path in reading else options])
        assert status == 403, path
        assert "evil.example" in text
    assert deliver(app, by("program", delivery))["stored"]  # the delivery itself is a good one
    assert "program" in clients(app)
    assert "evil" not in clients(app)


def test_page_of_another_port_writes_and_reads_nothing(
    app: App, visit: Visits, browser: Browser, elsewhere: str
) -> None:
    one = visit(app)
    one.search("marks of a page next door")
    delivery = delivery_of_a_mark(one)
    page = browser.new_page()
    page.goto(elsewhere)
    address = f"http://127.0.0.1:{app.port}/gradio_api/"
    for kind in ("application/json", "text/plain"):
        for mode in ("cors", "no-cors"):
            options = {"method": "POST", "mode": mode, "headers": {"Content-Type": kind}, "credentials": "include"}
            for path in (MARKS, "/era/ask/judge.search", "/gradio_api/queue/join"):
                url = address.removesuffix("/gradio_api/") + path
                status, _ = page.evaluate(FETCH, [url, {**options, "body": json.dumps(by("next", delivery))}])
                assert status in (-1, 0), (url, kind, mode)  # refused to the page, or nothing that it could read
    sent = """async (url) => {
        const form = new FormData();
        form.append("files", new File(["of a page next door"], "hostile.txt"));
        await fetch(url, { method: "POST", mode: "no-cors", body: form }).catch(() => null);
    }"""
    page.evaluate(sent, address + "upload")
    assert page.evaluate(FETCH, [address + "info", {}])[0] == -1
    page.close()
    deliver(app, by("program-next-door", delivery))
    assert "program-next-door" in clients(app)
    assert "next" not in clients(app)
    assert list((app.folder / "received").rglob("hostile.txt")) == []


@pytest.mark.parametrize(
    "path",
    ["", "config", "gradio_api/info", "theme.css", "gradio_api/queue/status", "gradio_api/file=/etc/passwd", "no"],
)
def test_every_answer_says_who_may_frame_it_and_that_it_is_what_it_says(app: App, path: str) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{app.port}/{path}", headers={"Origin": "http://evil.example"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as refused:
        headers = refused.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Access-Control-Allow-Origin"] is None


PYTHON = (
    "NoneType",
    "object has no attribute",
    "Traceback",
    "Error(",
    "not iterable",
    "not subscriptable",
    "codec can",
)


@pytest.mark.parametrize(
    "sent", [0, [], "text", {"path": "\x00"}, {"path": "/etc/passwd"}, {"collection_id": "\ud800"}]
)
def test_malformed_questions_are_not_answered_in_the_words_of_python(app: App, sent: Any) -> None:
    told = ""
    for name in ("judge.search", "page.load", "page.look", "judge.open", "judge.list", "no.such"):
        told += ask(f"http://127.0.0.1:{app.port}/era/ask/{name}", sent)[1]
    assert '"header"' in told
    assert '"trouble"' in told  # of what can be asked nowhere
    assert [words for words in PYTHON if words in told] == []


def test_question_that_is_no_json_or_too_large_is_answered_in_words(app: App) -> None:
    for content, expected in ((b"{", 200), (b"[" * 100_000, 200), (b" " * 64_000_001, 413)):
        request = urllib.request.Request(f"http://127.0.0.1:{app.port}/era/ask/judge.search", content)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, told = answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            status, told = refused.code, refused.read().decode()
        assert status == expected
        assert '"error"' in told
