"""The frame of the page: its name, three steps with their state, tabs by the keyboard, language and colours."""

import re
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.ui.conftest import App, Visits

pytestmark = pytest.mark.browser


def test_the_page_is_there_before_any_script_runs(app: App) -> None:
    with urllib.request.urlopen(app.url({}), timeout=60) as answer:
        page, kept = answer.read().decode(), answer.headers["Cache-Control"]
    assert kept == "no-store"
    assert re.findall(r'data-tab="(\w+)"', page) == ["Judge", "Train", "Compare", "Collection"]
    [script, *_] = re.findall(r'src="(era/web/[^"]+)"', page)
    with urllib.request.urlopen(app.url({}).partition("?")[0] + script, timeout=60) as answer:
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"].startswith("text/javascript")


def test_steps_say_how_far_everything_is(app: App, visit: Visits) -> None:
    one = visit(app)
    expect(one.page.get_by_text("retrieval that learns what you mean")).to_be_visible()
    expect(one.page.locator("#era-step-judge")).to_have_text(re.compile(r"^1\d\d queries$"))
    expect(one.page.locator("#era-step-train")).not_to_be_empty()
    expect(one.page.locator("#era-step-compare")).not_to_be_empty()
    assert one.complaints == []


def test_tabs_are_opened_by_the_keyboard_and_the_address_follows(app: App, visit: Visits) -> None:
    one = visit(app)
    tabs = {name: one.page.get_by_role("tab", name=name, exact=True) for name in ("Judge", "Train", "Collection")}
    tabs["Judge"].focus()
    one.press("ArrowRight")
    expect(tabs["Train"]).to_be_focused()
    expect(tabs["Train"]).to_have_attribute("aria-selected", "true")
    expect(one.page.get_by_role("tabpanel", name="Train")).to_be_visible()
    expect(one.page.get_by_role("tabpanel", name="Judge")).to_be_hidden()
    expect(one.page).to_have_url(re.compile("tab=Train"))
    one.press("End")
    expect(tabs["Collection"]).to_be_focused()
    one.press("ArrowRight")
    expect(tabs["Judge"]).to_be_focused()
    one.press("ArrowLeft")
    expect(tabs["Collection"]).to_be_focused()
    one.page.reload()
    expect(tabs["Collection"]).to_have_attribute("aria-selected", "true")
    assert one.complaints == []


def test_language_and_colours_are_chosen_and_stay(app: App, visit: Visits) -> None:
    one = visit(app)
    html = one.page.locator("html")
    one.page.get_by_role("button", name="Dark colours").click()
    expect(html).to_have_class("dark")
    one.page.get_by_label("Language").select_option("de")
    expect(one.page.get_by_role("tab", name="Bewerten", exact=True)).to_be_visible()
    expect(html).to_have_attribute("lang", "de")
    expect(html).to_have_class("dark")
    one.page.get_by_role("button", name="Helle Farben").click()
    expect(html).not_to_have_class("dark")
    one.page.get_by_label("Sprache").select_option("en")
    expect(one.page.get_by_role("tab", name="Judge", exact=True)).to_be_visible()
    assert one.complaints == []


def test_app_that_does_not_answer_is_said_until_it_does(app: App, visit: Visits) -> None:
    one = visit(app)
    one.page.route(re.compile(r"/era/ask/(train\.show|page\.look)$"), lambda route: route.abort())
    one.page.get_by_role("tab", name="Train", exact=True).click()
    told = one.page.locator("#era-header").get_by_role("alert")
    expect(told).to_contain_text("The app does not answer")
    one.page.unroute_all()
    one.tab("Judge")
    one.tab("Train")
    expect(told).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 390])
def test_first_visit_has_three_doors(app: App, visit: Visits, width: int) -> None:
    one = visit(app, is_first=True, width=width)
    doors = one.page.locator("#era-welcome .era-door")
    expect(doors).to_have_count(3)
    expect(one.cards.first).to_be_visible()
    assert Axe().run(one.page, "#era-page").response["violations"] == []
    doors.filter(has_text="Bring your own documents").click()
    expect(doors.first).to_be_hidden()
    expect(one.page.locator("#era-collection").get_by_role("heading", name="New collection")).to_be_visible()
    one.page.reload()
    expect(one.cards.first).to_be_attached()
    expect(doors.first).to_be_hidden()
    assert one.complaints == []


def test_first_visit_leads_to_a_result(app: App, visit: Visits) -> None:
    one = visit(app, is_first=True)
    one.page.get_by_role("button", name="Look at a result").click()
    expect(one.page.locator("#era-compare .era-ranking")).to_have_count(2)
