"""Marks, keys and undo; what the page shows is what SQLite holds."""

import re

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import App, Visit, Visits

pytestmark = pytest.mark.browser


def test_fifty_marks_at_full_speed_are_all_stored(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("fifty marks in a row")
    expect(one.page.locator(".era-duplicates")).to_have_count(0)
    before, docs = app.n_events(), [one.doc(place) for place in range(one.cards.count())]
    n = len(docs)
    assert 8 <= n <= 20
    # Every key marks and goes on to the next unmarked document; once all are marked the last one keeps the keys.
    keys = ["1" if place % 3 else "0" for place in range(n)]
    keys += ["0" if (place % 2 == 0) == (keys[-1] == "1") else "1" for place in range(50 - n)]
    one.press(*keys)
    one.wait_until_saved()
    assert app.n_events() - before == 50
    expected = {doc_id: float(key) for doc_id, key in zip(docs, keys[:n], strict=True)} | {docs[-1]: float(keys[-1])}
    assert app.grades(app.query_id("fifty marks in a row")) == expected == one.shown_grades()
    sequences = app.rows(
        "SELECT sequence FROM judgment_event WHERE query_id = ? ORDER BY id", app.query_id("fifty marks in a row")
    )
    assert [row[0] for row in sequences] == list(range(1, 51))  # in the order they were made, none twice


def test_keys_move_skip_clear_and_go_to_the_next_query(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("keys for everything")
    docs = [one.doc(place) for place in range(4)]
    one.press("1", "s", "j", "0", "k", "k", "k", "k", "c")
    one.wait_until_saved()
    query_id = app.query_id("keys for everything")
    assert app.grades(query_id) == {docs[3]: 0}
    unsure = app.rows(
        "SELECT doc_id FROM current_judgment WHERE query_id = ? AND is_unsure AND author = 'ann'", query_id
    )
    assert unsure == [(docs[1],)]
    expect(one.cards.nth(1).locator(".era-unsure")).to_have_attribute("aria-pressed", "true")
    one.press("?")
    expect(one.page.locator(".era-keys")).to_contain_text("next query")
    one.press("/")
    expect(one.box).to_be_focused()
    one.press("Escape", "Enter")
    expect(one.box).not_to_have_value("keys for everything")


def test_undo_works_within_the_page_and_after_a_reload(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a mark to undo")
    query_id, before = app.query_id("a mark to undo"), app.n_events()
    docs = [one.doc(place) for place in range(2)]
    one.press("1", "0", "k", "k", "0")  # the first is relevant, then not
    one.wait_until_saved()
    assert app.grades(query_id) == {docs[0]: 0, docs[1]: 0}
    one.press("u")
    expect(one.status).to_contain_text("relevant")
    one.wait_until_saved()
    assert app.grades(query_id) == {docs[0]: 1, docs[1]: 0} == one.shown_grades()
    one.page.reload()
    expect(one.cards.first).to_be_visible()
    for expected in ({docs[0]: 1}, {}):
        one.press("u")
        one.wait_until_saved()
        expect(one.status).to_contain_text("mark taken back")
        assert app.grades(query_id) == expected == one.shown_grades()
        one.page.reload()
        expect(one.cards.first).to_be_visible()
    expect(one.page.get_by_role("button", name="undo u")).to_have_count(0)
    assert app.n_events() - before == 6  # undo adds, nothing is deleted


def test_note_is_kept_with_the_mark(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a note on a document")
    one.press("1", "k", "n")
    one.page.keyboard.type("only for 10 u")  # keys sleep while somebody writes
    one.press("Enter")
    one.wait_until_saved()
    query_id = app.query_id("a note on a document")
    stored = app.rows("SELECT grade, note FROM current_judgment WHERE query_id = ? AND author = 'ann'", query_id)
    assert stored == [(1.0, "only for 10 u")]
    one.page.reload()
    expect(one.page.locator(".era-own-note")).to_contain_text("only for 10 u")


def test_two_browsers_of_one_person_see_all_marks(app: App, visit: Visits) -> None:
    first = visit(app)
    first.search("one person at two browsers")
    query_id = app.query_id("one person at two browsers")
    second = visit(app, {"query": query_id})
    expect(second.cards.first).to_be_visible()
    docs = [first.doc(place) for place in range(2)]
    assert docs == [second.doc(place) for place in range(2)]  # each person's order is the same at every visit
    first.cards.nth(0).locator(".era-mark.era-yes").click()
    second.cards.nth(1).locator(".era-mark.era-no").click()
    for one in (first, second):
        one.wait_until_saved()
    expected = {docs[0]: 1, docs[1]: 0}
    assert app.grades(query_id) == expected
    for one in (first, second):
        one.page.reload()
        expect(one.cards.first).to_be_visible()
        assert one.shown_grades() == expected


def test_shortcuts_sleep_while_typing(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("typing is not judging")
    before = app.n_events()
    one.box.fill("")
    one.box.press_sequentially("10cusnm?")
    expect(one.box).to_have_value("10cusnm?")
    assert one.shown_grades() == {}
    one.press("Escape", "1")  # awake again: this mark comes after whatever the typing might have sent
    one.wait_until_saved()
    assert app.n_events() - before == 1


def test_document_opens_in_full_and_is_judged_there(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("data arrives in pieces; compress each piece")
    expect(one.cards.nth(1)).to_be_visible()
    docs = [one.doc(place) for place in range(2)]
    one.press("o")
    reader = one.page.locator(".era-reader")
    expect(reader).to_be_visible()
    expect(reader.locator(".era-facts")).to_contain_text(docs[0])
    one.press("1")
    expect(reader.locator(".era-facts")).to_contain_text(docs[1])  # on to the next one
    one.press("k", "Escape")
    expect(reader).not_to_be_visible()
    one.wait_until_saved()
    assert app.grades(app.query_id("data arrives in pieces; compress each piece")) == {docs[0]: 1}
    expect(one.cards.nth(0)).to_be_focused()


def test_label_set_starts_empty_and_can_be_left(app: App, visit: Visits) -> None:
    one = visit(app)
    header = one.page.locator("#era-header")
    expect(one.cards.first).to_be_visible()
    old = app.rows("SELECT name FROM label_set WHERE id = 1")[0][0]
    expect(header).to_contain_text(old)
    train = one.tab("Train")
    lead = train.locator(".era-lead").inner_text()

    collection = one.tab("Collection")
    collection.get_by_label("Name of the new label set").fill("quite empty")
    collection.get_by_role("button", name="Start an empty label set").click()
    expect(header).to_contain_text("quite empty")
    one.tab("Judge")
    expect(one.cards.first).to_be_visible()
    expect(one.status).to_contain_text(re.compile(r"0 of \d+ documents marked by you · 0 relevant"))
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


def test_new_query_takes_the_old_documents_away_and_marks_none_of_them(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("the query before a new one")
    old = one.cards.first.element_handle()
    one.mark(0)
    one.page.get_by_role("button", name="+ new query").click()
    expect(one.cards).to_have_count(0)
    expect(one.box).to_be_focused()
    expect(one.box).to_have_value("")
    expect(one.page.locator(".era-query-item[aria-current=true]")).to_have_count(0)
    expect(one.page).not_to_have_url(re.compile("query="))
    old.evaluate("(card) => card.querySelector('.era-mark.era-no').click()")  # a click that was on its way
    one.press("Escape", "0", "1", "s", "u", "n", "c", "m")
    one.search("the query after a new one")
    assert one.drawn_for() == {app.query_id("the query after a new one")}
    one.mark(1, "not relevant")
    assert len(app.said("the query before a new one")) == 1
    assert app.said("the query after a new one") == [(one.doc(1), 0.0)]
    assert one.complaints == []


def test_page_says_whose_documents_are_shown_while_another_query_is_written(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("about to be rewritten")
    lead = one.page.locator("#era-judge .era-toolbar").first
    expect(lead).to_contain_text("left for you")
    one.box.fill("rewritten but not sent")
    expect(lead).to_contain_text("These documents still belong to “about to be rewritten”")
    one.mark(0)
    assert app.said("about to be rewritten") == [(one.doc(0), 1.0)]
    one.box.fill(" about to be  rewritten ")
    expect(lead).to_contain_text("left for you")


def _announce(one: Visit, key: str) -> None:
    """Say that a better ranking is there, as the Train tab does."""
    ranker = "{ key, base: key, has_words: false, reread: null, run: '', is_usual: true }"
    detail = f"{{ key, ranker: {ranker}, was: '', better_than: {{ includes: () => true }} }}"
    one.page.evaluate(f"(key) => document.dispatchEvent(new CustomEvent('era:in-use', {{ detail: {detail} }}))", key)


def test_better_ranking_takes_nothing_away_from_a_desk_left_for_a_moment(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a desk left for a moment")
    one.press("n")
    one.page.keyboard.type("half a note")
    one.tab("Train")
    _announce(one, "light")
    one.tab("Judge")
    note = one.page.locator(".era-note-form textarea")
    expect(note).to_have_value("half a note")
    note.press("Escape")

    one.view("Ranking")
    phrase = one.page.get_by_label("Containing")
    phrase.fill("the")
    phrase.press("Enter")
    expect(one.page.locator("#era-judge .era-busy")).to_have_count(0)
    expect(phrase).to_have_value("the")
    one.tab("Train")
    _announce(one, "aligned+words")
    one.tab("Judge")
    expect(phrase).to_have_value("the")
    expect(one.page.get_by_role("button", name=re.compile("better", re.IGNORECASE))).to_be_visible()  # to be taken

    one.cards.first.get_by_role("button", name="more like this").click()
    expect(one.page.locator("#era-judge .era-toolbar").first).to_contain_text("Most like")
    n = one.cards.count()
    one.tab("Train")
    _announce(one, "bm25")
    one.tab("Judge")
    expect(one.page.locator("#era-judge .era-toolbar").first).to_contain_text("Most like")
    expect(one.cards).to_have_count(n)
    expect(one.alert).to_have_count(0)
    assert one.complaints == []


def test_next_query_is_one_with_something_left(app: App, visit: Visits) -> None:
    here, without, after = [row[0] for row in app.rows("SELECT id FROM query ORDER BY id LIMIT 3")]
    one = visit(app, {"query": here})
    expect(one.cards.first).to_be_visible()
    expect(one.page.locator(".era-query-item").nth(2)).to_be_visible()
    plain = {"instruction": "", "is_mine": False, "state": "open"}
    none = {"n_mine": 0, "n_not_relevant": 0, "n_imported": 0, "n_relevant": 0, "n_conflicts": 0}
    lines = [{"id": each, "text": f"query {each}", **plain, **none} for each in (here, without, after)]
    lines[1]["state"] = "done"
    say = "(detail) => document.dispatchEvent(new CustomEvent('era:queries', { detail }))"
    one.page.evaluate(say, {"label_set_id": 1, "list": lines})
    one.page.get_by_label("Show", exact=True).select_option("open")
    expect(one.page.locator(".era-query-item")).to_have_count(2)
    one.page.get_by_label("Show", exact=True).select_option("all")
    expect(one.page.locator(".era-query-item")).to_have_count(3)
    one.cards.first.focus()
    one.press("Enter")
    expect(one.page).to_have_url(re.compile(rf"query={after}(&|$)"))


def test_live_ranking_never_replaces_a_card_that_can_be_read(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("compress data as it arrives, piece by piece")
    one.view("Ranking")
    one.page.get_by_label("re-rank while I judge").check()
    live = one.page.locator(".era-live")
    expect(live).to_contain_text("from your first relevant mark on")
    last = one.cards.last
    unfold = last.locator(".era-more")
    if is_folded := unfold.is_visible():
        unfold.click()
    one.page.evaluate("window.scrollTo(0, 0)")
    n = one.cards.count()
    in_view = "all => all.filter((one) => one.getBoundingClientRect().top < window.innerHeight).length"
    before, n_read = [one.doc(place) for place in range(n)], one.cards.evaluate_all(in_view)
    assert 1 < n_read < n
    one.cards.first.locator(".era-mark.era-yes").click()
    expect(live).to_contain_text(re.compile(r"\d+ documents? changed place"))
    after = [one.doc(place) for place in range(n)]
    assert after[:n_read] == before[:n_read]
    assert len(set(after)) == n
    if is_folded:
        assert after[-1] == before[-1]
        expect(last).to_have_class(re.compile("era-open"))
    assert one.complaints == []


def test_the_strong_model_reads_the_top_once_and_orders_it_anew(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("keep settings of a program between two runs in a file that people can edit")
    one.view("Ranking")
    switch = one.page.locator("#era-judge label", has=one.page.locator("input[name=reread]"))
    expect(switch).to_contain_text("documents to read, about")
    before = [one.doc(place) for place in range(one.cards.count())]
    switch.locator("input").check()
    expect(one.page).to_have_url(re.compile(r"by=[^&]*%2Breread"))
    expect(switch).not_to_contain_text("documents")
    after = [one.doc(place) for place in range(one.cards.count())]
    assert after != before
    one.page.reload()
    expect(one.cards).to_have_count(len(after))
    expect(switch.locator("input")).to_be_checked()
    assert [one.doc(place) for place in range(one.cards.count())] == after  # what was read is kept
    switch.locator("input").uncheck()
    expect(one.page).not_to_have_url(re.compile("reread"))
    expect(switch).not_to_contain_text("documents")
    assert [one.doc(place) for place in range(one.cards.count())] == before
    assert one.complaints == []
