"""Marks, keys and undo; what the page shows is what SQLite holds."""

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import App, Visits

pytestmark = pytest.mark.browser


def test_rapid_keys_are_all_stored(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("twenty keys in a row")
    before, docs = app.n_events(), [one.doc(place) for place in range(10)]
    # "1" and "0" mark and go on to the next unmarked document, "c" clears and stays: 14 of these change a mark.
    for key in "1 0 1 c j 1 k c 0 1 k 1 0 1 k c 1 0 1 0".split():
        one.page.keyboard.press(key)
    expect(one.status).to_contain_text("saved ✓")
    assert app.n_events() - before == 14
    expected = dict(zip(docs, [1, 0, 1, None, 0, 1, 0, 1, 0, 0], strict=True))
    expected.pop(docs[3])
    assert app.grades(app.query_id("twenty keys in a row")) == expected
    assert one.shown_grades() == expected


def test_undo_appends_and_restores(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a mark to undo")
    doc_id, before = one.doc(0), app.n_events()
    one.mark(0)
    one.page.keyboard.press("0")  # the focus stayed on the document clicked
    expect(one.status).to_contain_text(f"saved ✓  {doc_id} not relevant")
    one.page.keyboard.press("k")
    one.page.keyboard.press("u")
    expect(one.status).to_contain_text(f"saved ✓  {doc_id} relevant")
    assert app.n_events() - before == 3
    assert app.grades(app.query_id("a mark to undo")) == {doc_id: 1} == one.shown_grades()
    one.page.keyboard.press("u")
    expect(one.status).to_contain_text(f"saved ✓  {doc_id} mark taken back")
    assert app.n_events() - before == 4
    assert app.grades(app.query_id("a mark to undo")) == {} == one.shown_grades()


def test_two_browsers_see_all_marks(app: App, visit: Visits) -> None:
    first = visit(app)
    first.search("two people at one query")
    query_id = app.query_id("two people at one query")
    second = visit(app, {"query": query_id})
    expect(second.cards).to_have_count(10)
    docs = {name: first.doc(place) for place, name in enumerate(("first", "second"))}
    second_place = next(place for place in range(10) if second.doc(place) == docs["second"])
    first.cards.nth(0).locator(".era-yes").click()
    second.cards.nth(second_place).locator(".era-no").click()
    for one in (first, second):
        expect(one.status).to_contain_text("saved ✓")
    expected = {docs["first"]: 1, docs["second"]: 0}
    assert app.grades(query_id) == expected
    for one in (first, second):
        one.page.reload()
        expect(one.cards).to_have_count(10)
        assert one.shown_grades() == expected


def test_shortcuts_sleep_while_typing(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("typing is not judging")
    before = app.n_events()
    one.box.fill("")
    one.box.press_sequentially("10cu")
    expect(one.box).to_have_value("10cu")
    assert one.shown_grades() == {}
    one.page.keyboard.press("Escape")
    one.page.keyboard.press("1")  # awake again: this mark comes after whatever the typing might have sent
    expect(one.status).to_contain_text("saved ✓")
    assert app.n_events() - before == 1


def test_label_set_starts_empty_and_can_be_left(app: App, visit: Visits) -> None:
    one = visit(app)
    header = one.page.locator("#era-header")
    expect(one.cards).to_have_count(10)
    old = app.rows("SELECT name FROM label_set WHERE id = 1")[0][0]
    expect(header).to_contain_text(old)
    train = one.tab("Train")
    lead = train.locator(".era-lead").inner_text()

    collection = one.tab("Collection")
    collection.get_by_label("Name of the new label set").fill("quite empty")
    collection.get_by_role("button", name="Start an empty label set").click()
    expect(header).to_contain_text("quite empty")
    one.tab("Judge")
    expect(one.cards).to_have_count(10)
    expect(one.status).to_contain_text("0 judged · 0 relevant")
    assert one.shown_grades() == {}
    one.tab("Train")
    expect(train.locator(".era-lead")).to_contain_text("0 queries")
    expect(train.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    expect(train.locator(".era-advice")).to_be_visible()

    one.tab("Collection")
    collection.get_by_label(f"Use the label set {old}").click()
    expect(header).to_contain_text(old)
    one.tab("Train")
    expect(train.locator(".era-lead")).to_have_text(lead)
    expect(train.get_by_role("button", name="Train", exact=True)).to_be_enabled()
