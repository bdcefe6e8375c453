"""Texts, addresses and queries that nobody should send but somebody will."""

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import App, Visit, Visits

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
