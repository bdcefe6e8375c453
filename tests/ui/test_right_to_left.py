"""Texts that run from right to left, beside a page in English: each in its own direction, wherever it is shown."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.ui.collection_steps import bring_in, own_app
from tests.ui.conftest import Visits

pytestmark = pytest.mark.browser

BOOKS = (
    "id,title,text\n"
    "a,استعارة الكتب,كيف أستعير كتابا من المكتبة العامة؟\n"
    "b,תיקון אופניים,תיקון אופניים בבית: מדריך.\n"
    "c,Bicycles,How to mend a bicycle at home.\n"
)
ARABIC = "استعارة كتاب (2) من المكتبة."


def expect_from(side: str, found: Locator) -> None:
    """Wait until a text is shown that runs from that side and begins there."""
    direction = "rtl" if side == "right" else "ltr"
    expect(found).to_have_css("direction", direction)
    page = found.page

    def begins_there() -> bool:
        began: str = found.evaluate(
            """(node) => {
                const range = document.createRange();
                range.selectNodeContents(node);
                const parts = [...range.getClientRects()], box = node.getBoundingClientRect();
                const before = Math.min(...parts.map((part) => part.left)) - box.left;
                return box.right - Math.max(...parts.map((part) => part.right)) < before ? "right" : "left";
            }"""
        )
        return began == side

    deadline = time.monotonic() + 30
    while not begins_there():  # it may just be drawn anew
        assert time.monotonic() < deadline, f"it does not begin on the {side}"
        page.wait_for_timeout(50)


def test_documents_queries_and_what_people_type_run_in_their_own_direction(
    browser: Browser, visit: Visits, tmp_path: Path
) -> None:
    file = tmp_path / "books.csv"
    file.write_text(BOOKS, encoding="utf-8")
    with own_app(browser, tmp_path) as app:
        one = visit(app)
        panel = one.tab("Collection")
        panel.get_by_role("button", name="New collection", exact=True).click()
        one.page.locator("input[name=new]").set_input_files(str(file))
        expect_from("right", panel.locator(".era-previewed p").first)
        expect_from("left", panel.locator(".era-previewed p").last)
        panel.get_by_role("button", name="Close the new collection").click()
        bring_in(one, str(file), "كتب")
        one.tab("Judge")
        one.search(ARABIC)
        expect(one.box).to_have_css("direction", "rtl")
        expect_from("right", one.page.locator(".era-query-item[aria-current] .era-query-text"))
        for doc_id, side in (("a", "right"), ("b", "right"), ("c", "left")):
            card = one.page.locator(f"#era-judge .era-card[data-doc={doc_id}]")
            expect_from(side, card.locator(".era-title-button"))
            expect_from(side, card.locator(".era-text"))
        card = one.page.locator("#era-judge .era-card[data-doc=a]")
        card.get_by_role("button", name="note", exact=True).click()
        note = card.locator("textarea")
        note.fill("جيد.")
        expect(note).to_have_css("direction", "rtl")
        note.fill("good.")
        expect(note).to_have_css("direction", "ltr")
        card.locator(".era-mark.era-yes").click()
        expect(card.locator(".era-saved")).to_have_text("saved")
        card.get_by_role("button", name="more like this").click()
        lead = one.page.locator("#era-judge .era-toolbar .era-quiet").first
        expect(lead).to_contain_text("\u2068استعارة الكتب\u2069")  # kept apart from the English around it
        expect(lead).to_have_css("direction", "ltr")
        panel = one.tab("Compare")
        expect_from("right", panel.locator(".era-compared").first)
        expect_from("right", panel.locator(".era-ranking .era-title").filter(has_text="استعارة").first)
        expect_from("left", panel.locator(".era-ranking .era-title").filter(has_text="Bicycles").first)
        box = panel.get_by_label("Try another query")
        box.fill(ARABIC)
        expect(box).to_have_css("direction", "rtl")
