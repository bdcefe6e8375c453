"""The desk for everybody: axe finds nothing, the keyboard reaches everything, and it speaks two languages."""

import json
import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.ui.conftest import ROOT, App, Visit, Visits

pytestmark = pytest.mark.browser

WORDS = ROOT / "annotation" / "ui" / "assets" / "words"
OURS = {"include": [["#era-header"], ["#era-judge"]]}


def violations(one: Visit) -> list[str]:
    """Return what axe finds wrong in our own part of the page, with the place."""
    found: Any = Axe().run(one.page, context=OURS).response
    return [f"{each['id']}: {node['html'][:160]}" for each in found["violations"] for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_on_the_desk(app: App, visit: Visits, width: int, scheme: str) -> None:
    one = visit(app, width=width, color_scheme=scheme)
    expect(one.cards.first).to_be_visible()
    one.press("1", "0", "s", "?", "n")  # every kind of mark, the list of keys, a note being written
    expect(one.page.locator(".era-note-form")).to_be_visible()
    one.wait_until_saved()
    assert violations(one) == []
    one.press("Escape")
    one.view("Ranking")
    assert violations(one) == []
    one.press("o")
    expect(one.page.locator(".era-reader")).to_be_visible()
    assert violations(one) == []
    one.press("Escape", "c")  # leave the shared desk as it was
    undo = one.page.get_by_role("button", name="undo u")
    while undo.count():
        one.press("u")
        one.wait_until_saved()


def test_tab_key_reaches_query_cards_marks_and_list_in_order(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("by the tab key alone")
    one.box.focus()
    order = []
    for _ in range(40):
        one.press("Tab")
        order.append(
            one.page.evaluate(
                """() => { const node = document.activeElement;
                return node.closest(".era-query-list") ? "list" : node.closest(".era-marks") ? "mark"
                    : node.classList.contains("era-card") ? "card" : node.name || node.className.split(" ").pop(); }"""
            )
        )
    places = [order.index(name) for name in ("instruction", "card", "mark")]
    assert places == sorted(places)
    assert order.count("card") == 1  # the other cards are reached by j and k
    card = one.page.locator(".era-card[tabindex='0']")
    card.focus()
    one.press("j")
    expect(one.cards.nth(1)).to_be_focused()
    expect(one.cards.nth(1)).to_have_attribute("aria-label", re.compile(r"^Card 2 of \d+: "))


def test_desk_speaks_german_to_german_readers(app: App, visit: Visits) -> None:
    one = visit(app, locale="de-DE")
    expect(one.cards.first).to_be_visible()
    german = json.loads((WORDS / "de.json").read_text(encoding="utf-8"))
    expect(one.page.get_by_role("tab", name=german["tab.judge"], exact=True)).to_be_visible()
    expect(one.page.locator(".era-views")).to_contain_text(german["views.ranking"])
    one.press("1")
    expect(one.status).to_contain_text(german["status.saved"])
    assert "{" not in one.page.locator("#era-judge").inner_text().replace("{}", "")
    one.press("u")
    expect(one.status).to_contain_text(german["marks.taken_back"])
    english = visit(app, locale="fr-FR")  # no French yet
    expect(english.page.locator(".era-views")).to_contain_text("To judge")


def test_reload_opens_the_same_list_of_the_same_query(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("the same view after a reload")
    one.view("Ranking")
    expect(one.cards).to_have_count(10)
    docs = [one.doc(place) for place in range(10)]
    one.page.reload()
    expect(one.cards).to_have_count(10)
    expect(one.box).to_have_value("the same view after a reload")
    assert [one.doc(place) for place in range(10)] == docs
    expect(one.page.locator(".era-view[aria-pressed=true]")).to_have_text("Ranking")
