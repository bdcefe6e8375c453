"""Signing in by name and password: the page for it, and what it says to those who guess."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from annotation.collections.uploads import DOWNLOADS, UploadLimits, Uploads
from annotation.people.password_file import read_people, set_password
from annotation.people.sign_in import SignIn
from annotation.settings import Settings
from annotation.ui.answers import Heard
from annotation.ui.app import build_ui
from annotation.ui.downloads import Downloads
from annotation.ui.message import Message
from annotation.ui.server.serving import serve
from annotation.workspace import Workspace
from era.encoders.loading import load_pair
from tests.ui.conftest import free_port

pytestmark = pytest.mark.browser


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return where a small app is served, to Ann and Ben; what it shows is the name."""
    people = tmp_path / "people.txt"
    set_password(people, "ann", "café:1")
    set_password(people, "ben", "second")
    monkeypatch.setenv("GRADIO_SERVER_PORT", str(free_port()))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # put back at the end
    settings = Settings(data_dir=tmp_path / "data", people=people)
    settings.prepare_server()
    workspace = Workspace(settings, load_pair)  # nothing is loaded

    def whoami(author: str | None, _: Message) -> Heard:
        about = {"collection_id": 1, "label_set_id": 1, "opening": "first", "remark": ""}
        open_now = {"page": about, "collection": "Cups", "label_set": "Labels", "tab": ""}
        return {"header": {**open_now, "person": author, "can_sign_out": True, "preparing": None, "notices": []}}

    blocks = build_ui(settings)
    uploads = Uploads(tmp_path / "uploads", settings.received_folder, UploadLimits.of(settings))
    sign_in = SignIn(read_people(people), clock=lambda: 1000.0)  # no wait is ever over
    serve(blocks, {"page.load": whoami}, workspace, uploads, Downloads(uploads.received_folder / DOWNLOADS), sign_in)
    yield f"http://127.0.0.1:{settings.port}/"
    blocks.close(verbose=False)
    workspace.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(locale="en-US")
    yield made
    made.close()


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Password").press("Enter")


def post(context: BrowserContext, address: str, name: str, password: str) -> Any:
    return context.request.post(f"{address}login", form={"username": name, "password": password})


def test_the_right_password_opens_the_page_that_was_asked_for(address: str, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{address}?query=3")
    expect(page).to_have_title("Sign in to ERA")
    expect(page.get_by_text("Sign in, so that your marks carry your name.")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    sign_in(page, "ann", "second")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong. Try again.")
    sign_in(page, " ann ", "café:1")
    expect(page.locator("#era-header")).to_contain_text("ann")
    assert page.url == f"{address}?query=3"


def test_guesses_are_slowed_down_in_words_and_others_still_come_in(address: str, context: BrowserContext) -> None:
    assert post(context, address, "ben", "second").status == 200  # Ben has been here before
    context.clear_cookies()
    page = context.new_page()
    page.goto(address)
    for guess in range(5):
        with page.expect_response("**/login") as answered:
            sign_in(page, "ann", f"guess {guess}")
        assert answered.value.status == 400
        expect(page.get_by_role("alert")).to_have_text("Name or password is wrong. Try again.")
    answers = [post(context, address, "ann", password) for password in ("guess 6", "guess 7", "café:1")]
    assert [(answer.status, answer.headers["retry-after"]) for answer in answers] == [(429, "1")] * 3
    assert answers[0].json() == {"detail": "Too many wrong passwords. Wait 1 second, then try again."}
    sign_in(page, "ann", "café:1")
    expect(page.get_by_role("alert")).to_have_text("Too many wrong passwords. Wait a second, then try again.")
    sign_in(page, "ben", "second")
    expect(page.locator("#era-header")).to_contain_text("ben")


def test_the_page_is_in_the_readers_language(address: str, browser: Browser) -> None:
    context = browser.new_context(locale="de-DE", color_scheme="dark", viewport={"width": 390, "height": 700})
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    context.close()
