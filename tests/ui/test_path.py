"""From the first look to the comparison, as a person does it."""

import re

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import PATIENCE_S, App, Visits

pytestmark = pytest.mark.browser


def test_path_leads_from_search_to_comparison(app: App, visit: Visits) -> None:
    one = visit(app)
    page = one.page
    expect(page.get_by_role("tab", name="Judge", exact=True)).to_have_attribute("aria-selected", "true")
    expect(one.cards.first).to_be_visible()
    expect(one.box).not_to_have_value("")

    text = "a quiet first path through the whole app"
    one.search(text, "Find what helps a beginner")
    docs = [one.doc(place) for place in range(2)]
    one.mark(0)
    page.keyboard.press("j")
    expect(one.cards.nth(1)).to_have_class(re.compile("era-focused"))
    page.keyboard.press("0")
    expect(one.status).to_contain_text(f"saved ✓  {docs[1]} not relevant")
    stored = app.rows(
        "SELECT event.doc_id, event.grade, event.author, instruction.text FROM judgment_event AS event "
        "JOIN instruction ON instruction.id = event.instruction_id WHERE event.query_id = ? ORDER BY event.id",
        app.query_id(text),
    )
    assert stored == [
        (docs[0], 1.0, "ann", "Find what helps a beginner"),
        (docs[1], 0.0, "ann", "Find what helps a beginner"),
    ]

    page.reload()
    expect(one.cards.first).to_be_visible()
    expect(one.box).to_have_value(text)
    assert one.shown_grades() == {docs[0]: 1, docs[1]: 0}

    train = one.tab("Train")
    expect(train.locator(".era-lead")).to_contain_text(
        re.compile(r"You have \d+ quer(y|ies) judged, \d+ with something relevant")
    )
    train.get_by_role("button", name="Train", exact=True).click()
    expect(train.locator(".era-progress progress")).to_be_visible()
    difference = train.get_by_role("button", name="See the difference")
    expect(difference).to_be_visible(timeout=PATIENCE_S * 1000)
    expect(train.locator(".era-outcome tbody tr").filter(has_text="in use")).to_have_count(1)

    difference.click()
    compare = page.locator("#era-compare .era-page")
    expect(compare.locator(".era-ranking")).to_have_count(2)
    for side in range(2):
        expect(compare.locator(".era-ranking").nth(side).locator("li")).to_have_count(10)
    expect(compare.locator(".era-measures").first).to_contain_text("nDCG@10")
    expect(compare.locator(".era-overall")).to_contain_text("95 % interval")
    interval = re.compile(r"[+−]?\d\.\d\d to [+−]?\d\.\d\d")
    expect(compare.locator(".era-overall td").filter(has_text=interval).first).to_be_visible()
    before = compare.locator(".era-compared").inner_text()
    compare.get_by_role("button", name="Next query").click()
    expect(compare.locator(".era-compared")).not_to_have_text(before)
    expect(compare.locator(".era-ranking").first.locator("li")).to_have_count(10)
    assert one.complaints == []


def test_console_stays_silent_on_every_tab(app: App, visit: Visits) -> None:
    one = visit(app)
    expect(one.cards.first).to_be_visible()
    for name in ("Train", "Compare", "Collection", "Judge"):
        one.tab(name)
    assert one.complaints == []


@pytest.mark.parametrize("name", ["Judge", "Train", "Compare", "Collection"])
def test_narrow_page_has_no_sideways_scroll(app: App, visit: Visits, name: str) -> None:
    one = visit(app, width=390)
    expect(one.cards.first).to_be_visible()
    panel = one.tab(name)
    if name == "Compare":
        expect(panel.locator(".era-ranking")).to_have_count(2)
        expect(panel.locator(".era-overall")).to_be_visible()
    width, inner = one.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= inner
