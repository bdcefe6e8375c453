"""A note being written is a draft: nothing takes it away but saving or discarding it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.ui.conftest import App, Visit, Visits

pytestmark = pytest.mark.browser

N_DRAFTS = "() => Object.keys(localStorage).filter((key) => key.startsWith('era-draft-')).length"


def _write(one: Visit, words: str) -> Locator:
    """Open the note of the document with the keys and write, without saving; return its field."""
    one.press("n")
    one.page.keyboard.type(words)
    field = one.page.locator(".era-note-form textarea")
    expect(field).to_have_value(words)
    return field


def _draft(one: Visit, place: int = 0) -> Locator:
    return one.cards.nth(place).locator(".era-draft")


def _notes(app: App, text: str) -> list[tuple[str, float | None, str]]:
    """Return (document id, grade, note) of what stands for a query."""
    return app.rows(
        "SELECT doc_id, grade, note FROM current_judgment WHERE query_id = ? AND author = 'ann'", app.query_id(text)
    )


def test_escape_closes_the_note_and_keeps_the_draft(app: App, visit: Visits) -> None:
    text = "a note left by escape"
    one = visit(app)
    one.search(text)
    doc_id = one.doc(0)
    one.press("1", "k")
    one.wait_until_saved()
    _write(one, "only if it is dry")
    for name in ("Save", "Discard"):
        expect(one.page.locator(".era-note-form").get_by_role("button", name=name, exact=True)).to_be_visible()
    one.press("Escape")
    expect(one.page.locator(".era-note-form")).to_have_count(0)
    expect(_draft(one)).to_contain_text("draft only if it is dry")
    expect(one.cards.first).to_be_focused()
    assert one.shown_grades() == {doc_id: 1}
    assert _notes(app, text) == [(doc_id, 1.0, "")]  # nothing is saved, nothing is lost
    one.press("n")
    field = one.page.locator(".era-note-form textarea")
    expect(field).to_have_value("only if it is dry")
    field.press("End")
    one.page.keyboard.type(" and warm")
    one.press("Enter")
    one.wait_until_saved()
    expect(_draft(one)).to_have_count(0)
    expect(one.page.locator(".era-own-note")).to_contain_text("only if it is dry and warm")
    assert _notes(app, text) == [(doc_id, 1.0, "only if it is dry and warm")]
    one.page.wait_for_function(f"() => ({N_DRAFTS})() === 0")


def test_draft_beside_a_saved_note_is_discarded_or_saved_by_a_button(app: App, visit: Visits) -> None:
    text = "a note written twice"
    one = visit(app)
    one.search(text)
    doc_id = one.doc(0)
    _write(one, "the first")
    one.press("Enter")
    one.wait_until_saved()
    for words in ("the second", "the third"):
        one.press("n")
        one.page.locator(".era-note-form textarea").fill(words)
        one.press("Escape")
        own = one.cards.first.locator(".era-own-note")
        expect(own).to_have_text([re.compile("^the first"), re.compile(f"^draft {words}")])
        name = "Discard" if words == "the second" else "Save"
        _draft(one).get_by_role("button", name=name, exact=True).click()
        expect(_draft(one)).to_have_count(0)
        expect(own).to_contain_text("the first" if name == "Discard" else "the third")
    one.wait_until_saved()
    assert _notes(app, text) == [(doc_id, None, "the third")]
    assert [note for (note,) in app.rows("SELECT note FROM judgment_event WHERE doc_id = ? AND query_id = ?", doc_id,
                                         app.query_id(text))] == ["the first", "the third"]  # fmt: skip
    one.page.wait_for_function(f"() => ({N_DRAFTS})() === 0")


def _click_elsewhere(one: Visit) -> None:
    one.cards.nth(2).locator(".era-rank").click()


def _mark_by_key(one: Visit) -> None:
    _click_elsewhere(one)
    one.press("k", "k", "1")
    expect(one.cards.first.locator(".era-mark.era-yes")).to_have_attribute("aria-pressed", "true")


def _reload(one: Visit) -> None:
    one.page.reload()


def _open_another_query(one: Visit) -> None:
    one.search("opened while a note is written")
    expect(one.page.locator(".era-draft, .era-note-form")).to_have_count(0)
    one.page.locator(".era-query-item").filter(has_text="a note that is left").first.click()
    expect(one.box).to_have_value(re.compile("^a note that is left"))


def _look_at_the_ranking(one: Visit) -> None:
    one.view("Ranking")
    one.view("To judge")


def _open_the_reader(one: Visit) -> None:
    one.press("Escape", "o")
    expect(one.page.locator(".era-reader")).to_be_visible()
    one.press("Escape")


@pytest.mark.parametrize(
    "leave",
    [_click_elsewhere, _mark_by_key, _reload, _open_another_query, _look_at_the_ranking, _open_the_reader],
    ids=lambda leave: leave.__name__.strip("_"),
)
def test_draft_is_still_there_after_leaving_it(app: App, visit: Visits, leave: Callable[[Visit], None]) -> None:
    text = f"a note that is left: {leave.__name__}"
    one = visit(app)
    one.search(text)
    doc_id = one.doc(0)
    _write(one, "not finished y")
    leave(one)
    expect(one.cards.first).to_be_visible()
    card = one.page.locator(f'.era-card[data-doc="{doc_id}"]')
    if card.locator(".era-note-form").count() == 0:
        expect(card.locator(".era-draft")).to_contain_text("not finished y")
        card.locator(".era-draft").get_by_role("button", name="edit").click()
    field = card.locator(".era-note-form textarea")
    expect(field).to_have_value("not finished y")
    field.press("End")
    one.page.keyboard.type("et")
    one.press("Enter")
    one.wait_until_saved()
    assert [(doc, note) for doc, _, note in _notes(app, text)] == [(doc_id, "not finished yet")]
    assert one.complaints == []


def test_draft_belongs_to_its_query_and_its_label_set(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("whose draft this is")
    _write(one, "of this query alone")
    one.press("Escape")
    one.page.get_by_role("button", name="Ask with another instruction").click()
    one.page.get_by_label("Your instruction").fill("another way")
    one.page.get_by_role("button", name="Search", exact=True).click()
    expect(one.page.locator(".era-query-text").filter(has_text="whose draft this is")).to_have_count(2)
    expect(one.cards.first).to_be_visible()
    expect(one.page.locator(".era-draft")).to_have_count(0)
    second = one.tab("Collection")
    second.get_by_label("Name of the new label set").fill("for no drafts")
    second.get_by_role("button", name="Start an empty label set").click()
    expect(one.page.locator("#era-header")).to_contain_text("for no drafts")
    (there,) = app.rows("SELECT id FROM label_set WHERE name = 'for no drafts'")[0]
    (query_id,) = app.rows("SELECT min(id) FROM query WHERE text = 'whose draft this is'")[0]
    for label_set_id, n_drafts in ((there, 0), (1, 1)):
        one.page.goto(app.url({"labels": label_set_id, "query": query_id}))
        expect(one.box).to_have_value("whose draft this is")
        expect(one.cards.first).to_be_visible()
        expect(one.page.locator(".era-draft")).to_have_count(n_drafts)


def test_note_that_is_refused_stays_a_draft(app: App, visit: Visits) -> None:
    text = "a note that is too long"
    one = visit(app)
    one.search(text)
    one.press("n")
    field = one.page.locator(".era-note-form textarea")
    field.evaluate("(box) => box.removeAttribute('maxlength')")
    field.fill("word " * 500)
    one.press("Enter")
    expect(one.alert).to_contain_text("was not marked. Shorten the note")
    expect(_draft(one)).to_contain_text("word word")
    assert _notes(app, text) == []
    _draft(one).get_by_role("button", name="edit").click()
    field.fill("a short word")
    one.press("Enter")
    one.wait_until_saved()
    assert [note for _, _, note in _notes(app, text)] == ["a short word"]


def test_described_need_stays_a_draft_until_it_is_saved(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("needs to be described")
    one.page.get_by_role("button", name="Describe what is needed").click()
    field = one.page.get_by_label("Information need")
    field.fill("all of it")
    one.page.reload()
    one.page.get_by_role("button", name="Describe what is needed (draft)").click()
    expect(field).to_have_value("all of it")
    one.page.locator(".era-need").get_by_role("button", name="Save").click()
    expect(one.page.locator(".era-need .era-markdown")).to_have_text("all of it")
    expect(one.page.get_by_role("button", name="What is needed")).to_have_text("What is needed")
    one.page.wait_for_function(f"() => ({N_DRAFTS})() === 0")
