"""Header and content belong together: whatever comes late or is opened elsewhere, all tabs show one collection."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.ui.collection_steps import RIVERS, bring_in, own_app, region, unfold
from tests.ui.conftest import PATIENCE_S, App, Visit, Visits

pytestmark = pytest.mark.browser

DEMO = "Python standard library"
ASKED = "a lake without an outlet"


@pytest.fixture(scope="module")
def two(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an app with the demo collection and a small one, which was used last, also after each test."""
    folder = tmp_path_factory.mktemp("era-two")
    table = folder / "rivers.csv"
    table.write_text(RIVERS)
    with own_app(browser, folder) as running:
        one = Visit(browser.new_page(), running)
        one.page.goto(running.url({"collection": 1}))
        expect(one.page.locator("#era-header .era-header")).to_be_visible()
        expect(one.page.locator(".era-preparing")).to_have_count(0, timeout=PATIENCE_S * 1000)
        bring_in(one, str(table), "Rivers")
        one.tab("Judge")
        one.search(ASKED)
        one.page.close()
        yield running


class Hold:
    """Keeps some questions to the server from being sent until they are released, and counts those that come later."""

    def __init__(self, page: Page, is_held: Callable[[str], bool]) -> None:
        self._page = page
        self._is_held = is_held
        self._is_released = False
        self._held: list[Route] = []
        self._n_later = 0
        page.route("**/era/ask/*", self._keep)

    def _keep(self, route: Route) -> None:
        is_held = self._is_held(f"{route.request.url} {route.request.post_data}")
        if is_held and not self._is_released:
            self._held.append(route)
            return
        self._n_later += is_held
        route.continue_()

    def wait(self) -> None:
        """Wait until there is a question to hold."""
        self._wait_until(lambda: bool(self._held))

    def wait_for_later(self) -> None:
        """Wait until the same was asked again after the release."""
        self._wait_until(lambda: self._n_later > 0)

    def _wait_until(self, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_there():
            assert time.monotonic() < deadline
            self._page.wait_for_timeout(50)

    def release(self) -> None:
        """Send what was held, in its order, and let all later questions pass."""
        self._is_released = True
        for route in self._held:
            route.continue_()


def is_look(sent: str) -> bool:
    """Return whether a question is the clock's."""
    return "/era/ask/page.look" in sent


def record(page: Page) -> None:
    """Keep every text that the header and the compared query show from now on."""
    page.evaluate(
        """() => {
            window.seen = new Set();
            const look = () => document.querySelectorAll("#era-header .era-header, #era-compare .era-compared")
                .forEach((node) => window.seen.add(node.textContent));
            look();
            new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )


def seen(page: Page) -> list[str]:
    found: list[str] = page.evaluate("[...window.seen]")
    return found


def open_rivers(one: Visit) -> None:
    one.tab("Collection")
    region(one, "Rivers").get_by_role("button", name="Open Rivers").click()
    expect(one.page.locator("#era-header")).to_contain_text("Rivers")


def test_tab_chosen_before_the_page_has_its_answer_shows_what_the_address_names(two: App, browser: Browser) -> None:
    page = browser.new_page()
    held = Hold(page, lambda sent: True)
    page.goto(two.url({"collection": 1, "labels": 1}))
    for name in ("Compare", "Train", "Compare"):
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#era-header .era-header")).to_have_count(0)
    held.wait()
    held.release()
    expect(page.locator("#era-header .era-header")).to_contain_text(DEMO)
    expect(page.locator("#era-compare .era-ranking")).to_have_count(2)
    query_id = page.locator("#era-compare").get_by_label("Query", exact=True).input_value()
    assert two.rows("SELECT collection_id FROM query WHERE id = ?", query_id) == [(1,)]
    expect(page.locator("#era-train .era-lead")).to_contain_text("106 queries")
    page.close()


def test_comparison_goes_when_another_collection_is_opened(two: App, visit: Visits) -> None:
    one = visit(two, {"collection": 1, "tab": "compare", "sides": "bm25~light", "query": 3})
    compared = one.page.locator("#era-compare .era-compared")
    expect(compared).to_have_count(1)
    expect(one.page.locator("#era-compare .era-busy")).to_have_count(0, timeout=PATIENCE_S * 1000)
    held = Hold(one.page, lambda sent: '"is_query_only"' in sent)
    one.page.get_by_role("button", name="Next query").click()
    held.wait()
    open_rivers(one)
    expect(compared).to_have_count(0)  # nothing of the demo is left, not even in a tab that is not open
    record(one.page)
    one.tab("Compare")
    held.release()
    expect(compared).to_contain_text(ASKED)
    expect(one.page.locator("#era-compare").get_by_role("alert")).to_have_count(0)
    one.page.get_by_label("Before", exact=True).select_option("bm25")
    expect(one.page).to_have_url(re.compile("sides=bm25(~|%7E)"))
    assert all(text.startswith(("Rivers", ASKED)) for text in seen(one.page)), seen(one.page)
    assert one.complaints == []


def test_look_that_is_answered_late_names_no_collection_that_was_left(two: App, visit: Visits) -> None:
    one = visit(two, {"collection": 1})
    expect(one.cards.first).to_be_visible()
    expect(one.tab("Train").locator(".era-lead")).to_contain_text("106 queries")
    held = Hold(one.page, is_look)
    held.wait()  # the timer asks for the demo, and gets no answer yet
    open_rivers(one)
    record(one.page)
    held.release()
    held.wait_for_later()  # it asks again, so it has been answered
    assert all(text.startswith("Rivers") for text in seen(one.page)), seen(one.page)
    expect(one.page.locator("#era-train .era-lead")).to_contain_text("0 queries")
    assert one.complaints == []


def test_page_whose_collection_is_put_away_elsewhere_says_so_and_shows_no_other(two: App, visit: Visits) -> None:
    here, there = visit(two, {"collection": 2, "labels": ""}), visit(two, {"collection": 1, "tab": "collection"})
    header = here.page.locator("#era-header")
    expect(header).to_contain_text("Rivers")
    record(here.page)
    card = region(there, "Rivers")
    unfold(card, "Rename, archive or delete")
    card.get_by_role("button", name="Archive", exact=True).click()
    back = there.page.locator("#era-collection").locator("summary", has_text="Archived collections (1)")
    expect(back).to_be_visible()
    try:
        train = here.tab("Train")
        expect(header.get_by_role("alert")).to_contain_text("not there any more")
        expect(header).to_contain_text("Rivers")
        expect(train.locator(".era-lead")).to_contain_text("0 queries")
        assert all(text.startswith("Rivers") for text in seen(here.page)), seen(here.page)
    finally:
        back.click()
        card.get_by_role("button", name="Take out of the archive").click()
        expect(back).to_have_count(0)
    expect(there.page.locator("#era-header")).to_contain_text(DEMO)
