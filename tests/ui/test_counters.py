"""Counters: each is right as soon as a mark is saved, and those on several tabs say the same."""

import re
import sqlite3

import pytest
from playwright.sync_api import Locator, expect

from tests.ui.collection_steps import fact, region
from tests.ui.conftest import App, Visit, Visits

pytestmark = pytest.mark.browser


def _heading(one: Visit) -> Locator:
    return one.page.locator("#era-judge .era-queries .era-drawer")


def _n_done(one: Visit) -> tuple[int, int]:
    """Return how many queries are done, and of how many, as the heading of the list says."""
    expect(_heading(one)).to_contain_text(re.compile(r"\d+ of \d+ done"))
    found = re.search(r"(\d+) of (\d+) done", _heading(one).inner_text())
    assert found is not None
    return int(found[1]), int(found[2])


def _labels(one: Visit) -> str:
    """Return what the Train tab says there is to learn from."""
    lead = one.tab("Train").locator(".era-lead")
    expect(lead).to_contain_text("You have")
    found = re.search(r"You have (.*)\.", lead.inner_text())
    assert found is not None
    return found[1]


def _imported(app: App) -> tuple[int, str]:
    """Return a query that nobody here has marked, and a document that an imported mark calls relevant."""
    found: tuple[int, str] = app.rows(
        "SELECT query_id, doc_id FROM current_judgment AS imported WHERE role = 'reference' AND label_set_id = 1 "
        "AND grade > 0 AND NOT EXISTS (SELECT 1 FROM judgment_event AS own WHERE own.query_id = imported.query_id "
        "AND own.role != 'reference') ORDER BY query_id LIMIT 1"
    )[0]
    return found


def test_done_queries_are_counted_with_the_mark_that_ends_them(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("counted when it is done")
    item = one.page.locator(".era-query-item[aria-current=true]")
    n_done, n_queries = _n_done(one)
    n = one.cards.count()
    one.press("1", *["0"] * (n - 2))
    one.wait_until_saved()
    expect(item.locator(".era-mine")).to_have_text("◐")
    expect(item).to_contain_text(f"1 ✓ {n - 2} ✕")
    assert _n_done(one) == (n_done, n_queries)
    one.press("s")  # looked at without being able to tell: nothing is left
    expect(one.page.locator(".era-finished")).to_be_visible()
    expect(_heading(one)).to_contain_text(f"{n_done + 1} of {n_queries} done")
    expect(item.locator(".era-mine")).to_have_text("●")
    expect(item).to_contain_text(f"1 ✓ {n - 2} ✕")  # not being able to tell is no grade
    expect(one.status).to_contain_text(f"{n} of {n} documents marked by you · 1 relevant")
    expect(one.page.locator("#era-judge .era-toolbar").first).to_contain_text("nothing left for you")
    one.page.get_by_label("Show", exact=True).select_option("done")
    expect(one.page.locator(".era-query-item")).to_have_count(n_done + 1)
    one.page.get_by_label("Show", exact=True).select_option("all")
    one.page.locator(".era-query-item[aria-current=true]").focus()
    one.press("u")
    expect(_heading(one)).to_contain_text(f"{n_done} of {n_queries} done")
    expect(item.locator(".era-mine")).to_have_text("◐")
    one.page.reload()
    expect(_heading(one)).to_contain_text(f"{n_done} of {n_queries} done")


def test_list_that_comes_late_turns_no_counter_back(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("done before the list came")
    query_id, (n_done, n_queries) = app.query_id("done before the list came"), _n_done(one)
    one.press(*["0"] * one.cards.count())
    expect(_heading(one)).to_contain_text(f"{n_done + 1} of {n_queries} done")
    none = {"n_mine": 0, "n_not_relevant": 0, "n_imported": 0, "n_relevant": 0, "n_conflicts": 0}
    line = {"id": query_id, "text": "late", "instruction": "", "is_mine": True, "state": "open", **none}
    say = "(detail) => document.dispatchEvent(new CustomEvent('era:queries', { detail }))"
    one.page.evaluate(say, {"label_set_id": 1, "as_of": 1, "list": [line]})
    expect(_heading(one)).to_contain_text("1 of 1 done")


def test_imported_marks_and_what_is_left_for_you_are_told_apart(app: App, visit: Visits) -> None:
    query_id, _ = _imported(app)
    (n_imported,) = app.rows("SELECT count(DISTINCT query_id) FROM judgment_event WHERE role = 'reference'")[0]
    one = visit(app, {"query": query_id})
    expect(one.cards.first).to_be_visible()
    expect(_heading(one)).to_contain_text(f"· {n_imported} with imported marks")  # once the list is there
    n, (n_done, n_queries) = one.cards.count(), _n_done(one)
    assert n_done < n_imported <= n_queries
    expect(one.page.locator("#era-judge .era-toolbar").first).to_contain_text(f"{n} documents left for you")
    expect(one.status).to_contain_text(f"0 of {n} documents marked by you")
    item = one.page.locator(".era-query-item[aria-current=true]")
    expect(item.locator(".era-mine")).to_have_count(0)
    expect(item.get_by_title(re.compile("by (an )?imported mark"))).to_have_count(1)


def test_train_and_collection_count_the_same_documents(app: App, visit: Visits) -> None:
    query_id, doc_id = _imported(app)
    one = visit(app, {"query": query_id, "view": "ranking", "by": "bm25"})
    expect(one.cards.first).to_be_visible()
    before = _labels(one)
    one.tab("Judge")
    phrase = one.page.get_by_label("Containing")
    (title,) = app.rows("SELECT title FROM document WHERE collection_id = 1 AND doc_id = ?", doc_id)[0]
    phrase.fill(title)
    phrase.press("Enter")
    card = one.page.locator(f'.era-card[data-doc="{doc_id}"]')
    expect(card).to_have_count(1)
    card.locator(".era-mark.era-yes").click()  # what the imported mark says too: the document counts once
    expect(card.locator(".era-saved")).to_have_text("saved")
    one.wait_until_saved()
    after = _labels(one)
    assert after == before
    collection = one.tab("Collection")
    open_set = collection.locator(".era-label-sets li").filter(has=one.page.locator(".era-state"))
    expect(open_set).to_contain_text(after)
    n_relevant, n_not_relevant = (
        int(each.replace(",", "")) for each in re.findall(r"([\d,]+) (?:documents? )?(?:not )?relevant", after)[-2:]
    )
    judged = int(fact(region(one, "Python standard library"), "Judged documents").inner_text().replace(",", ""))
    n_elsewhere = app.rows(
        "SELECT count(*) FROM (SELECT DISTINCT query_id, doc_id, label_set_id FROM current_judgment "
        "WHERE label_set_id != 1 AND grade IS NOT NULL)"
    )  # other tests' label sets, where nobody disagrees
    assert n_elsewhere == [(judged - n_relevant - n_not_relevant,)]


@pytest.mark.parametrize("name", ["Train", "Collection"])
def test_mark_under_way_counts_on_the_tab_opened_meanwhile(app: App, visit: Visits, name: str) -> None:
    one = visit(app)
    one.search(f"on its way to {name}")
    place = {"Train": ".era-lead", "Collection": ".era-label-sets"}[name]
    before = one.tab(name).locator(place).text_content() or ""
    one.tab("Judge")
    holder = sqlite3.connect(app.folder / "era.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    one.press("1")
    panel = one.tab(name)
    expect(panel.locator(place)).to_have_text(before)
    holder.execute("ROLLBACK")
    holder.close()
    expect(panel.locator(place)).not_to_have_text(before)
