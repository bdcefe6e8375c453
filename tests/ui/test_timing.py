"""Slow answers, open dialogs and other tabs: a key never marks what nobody sees, and nothing is taken away."""

import re
import sqlite3

import pytest
from playwright.sync_api import Route, expect

from tests.ui.conftest import QUESTIONS, App, Visit, Visits

pytestmark = pytest.mark.browser


def test_late_answer_does_not_replace_what_was_opened_since(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("the query that is really wanted")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "slowly answered" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    one.page.route(QUESTIONS, hold)
    one.box.fill("slowly answered")
    one.page.get_by_role("button", name="Search", exact=True).click()
    one.page.wait_for_timeout(500)
    assert len(held) == 1
    item = one.page.locator(".era-query-item").filter(has_text="the query that is really wanted")
    item.click()
    expect(one.box).to_have_value("the query that is really wanted")
    held[0].continue_()
    one.page.wait_for_timeout(2500)
    expect(one.box).to_have_value("the query that is really wanted")
    assert app.rows("SELECT count(*) FROM query WHERE text = 'slowly answered'") == [(1,)]  # asked all the same


def _watch_documents(one: Visit) -> None:
    """Note from now on for which queries documents are drawn."""
    one.page.evaluate(
        """() => {
            window.drawnFor = new Set();
            const look = () => document.querySelectorAll("#era-judge .era-card")
                .forEach((card) => window.drawnFor.add(Number(card.dataset.query)));
            const desk = document.querySelector("#era-judge");
            new MutationObserver(look).observe(desk, { childList: true, subtree: true });
        }"""
    )


@pytest.mark.parametrize("then", ["another of the list", "another search", "a new query"])
def test_query_that_is_left_before_its_answer_comes_is_never_shown_or_marked(
    app: App, visit: Visits, then: str
) -> None:
    here, left, searched = f"open before {then}", f"left for {then}", f"wanted instead: {then}"
    one = visit(app)
    one.search(left)
    late = app.query_id(left)
    one.search(here)
    one.view("Ranking")  # each of which is remembered as soon as the server has it
    n_ranked = app.n_searches(late)
    held = one.hold(query_id=late)
    one.page.locator(".era-query-item").filter(has_text=left).click()
    expect(one.cards).to_have_count(0)  # at once
    expect(one.box).to_have_value(left)
    one.press("1", "0")
    _watch_documents(one)
    if then == "another of the list":
        one.page.locator(".era-query-item").filter(has_text=here).click()
    elif then == "another search":
        one.box.fill(searched)
        one.page.get_by_role("button", name="Search", exact=True).click()
    else:
        one.page.get_by_role("button", name="+ new query").click()
    wanted = here if then == "another of the list" else searched
    if then != "a new query":
        expect(one.cards.first).to_be_visible()
    assert len(held.kept) == 1
    held.let_go()
    one.wait_until(lambda: app.n_searches(late) > n_ranked)
    if then == "a new query":
        expect(one.cards).to_have_count(0)
        one.search(searched)
    expect(one.box).to_have_value(wanted)
    one.mark(0)
    assert one.drawn_for() == {app.query_id(wanted)}
    assert set(one.page.evaluate("[...window.drawnFor]")) == {app.query_id(wanted)}
    assert (app.said(left), len(app.said(wanted))) == ([], 1)
    assert one.complaints == []


def test_search_takes_the_documents_before_it_away_at_once(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("searched before the slow one")
    held = one.hold(text="searched slowly")
    one.box.fill("searched slowly")
    one.page.get_by_role("button", name="Search", exact=True).click()
    expect(one.cards).to_have_count(0)
    one.press("Escape", "1", "0")
    held.let_go()
    expect(one.cards.first).to_be_visible()
    one.press("0")
    one.wait_until_saved()
    assert app.said("searched before the slow one") == []
    assert app.said("searched slowly") == [(one.doc(0), 0.0)]


def test_documents_that_are_about_to_give_way_take_no_marks(app: App, visit: Visits) -> None:
    text = "the same query in another list"
    one = visit(app)
    one.search(text)
    held = one.hold(view="ranking")
    one.page.locator("#era-judge .era-views").get_by_role("button", name="Ranking", exact=True).click()
    expect(one.cards.first.locator(".era-mark").first).to_be_disabled()
    one.press("1", "0", "s")
    held.let_go()
    expect(one.cards.first.locator(".era-rank")).to_have_text("1")
    one.mark(0)
    assert app.said(text) == [(one.doc(0), 1.0)]


def test_question_without_an_answer_can_be_asked_again(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a query that is answered")
    lost = one.hold(text="a query whose answer is lost")
    one.box.fill("a query whose answer is lost")
    one.page.get_by_role("button", name="Search", exact=True).click()
    again = one.page.locator("#era-judge .era-toolbar").get_by_role("button", name="Ask again")
    expect(again).to_be_visible()
    assert len(lost.kept) == 1
    one.page.route(QUESTIONS, lambda route: route.continue_())  # the first question stays where it is
    again.click()
    expect(one.cards.first).to_be_visible()
    assert one.drawn_for() == {app.query_id("a query whose answer is lost")}


def test_two_tabs_of_one_browser_mark_each_what_it_shows(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("open in the first tab")
    other = Visit(one.page.context.new_page(), app)
    other.page.goto(app.url({"labels": 1}))
    expect(other.cards.first).to_be_visible()
    other.search("open in the second tab")
    first, second = ([each.doc(place) for place in range(3)] for each in (one, other))
    holder = sqlite3.connect(app.folder / "era.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    one.page.bring_to_front()
    one.press("1", "0")
    third = Visit(one.page.context.new_page(), app)  # takes over what waits, and shows another query
    third.page.goto(app.url({"labels": 1, "query": app.query_id("open in the second tab")}))
    expect(third.cards.first).to_be_visible()
    other.page.bring_to_front()
    other.press("0", "1")
    one.page.bring_to_front()
    one.press("1")
    one.page.get_by_role("button", name="+ new query").click()
    holder.execute("ROLLBACK")
    holder.close()
    third.page.close()
    for each in (one, other):
        each.wait_until_saved()
    assert sorted(app.said("open in the first tab")) == sorted(zip(first, [1.0, 0.0, 1.0], strict=True))
    assert sorted(app.said("open in the second tab")) == sorted(zip(second, [0.0, 1.0], strict=False))
    assert one.complaints == []


def test_step_back_in_the_browser_shows_and_marks_the_same_query(app: App, visit: Visits) -> None:
    one = visit(app)
    for text in ("before the step", "after the step"):
        one.search(text)
    before, after = app.query_id("before the step"), app.query_id("after the step")
    one.page.goto(app.url({"labels": 1, "query": before}))
    expect(one.box).to_have_value("before the step")
    one.page.goto(app.url({"labels": 1, "query": after}))
    expect(one.box).to_have_value("after the step")
    expect(one.cards.first).to_be_visible()
    one.mark(0)
    for step, shown, query_id in (("go_back", "before the step", before), ("go_forward", "after the step", after)):
        getattr(one.page, step)()
        expect(one.box).to_have_value(shown)
        expect(one.cards.first).to_be_visible()
        assert one.drawn_for() == {query_id}
        one.mark(1, "not relevant")
        assert app.said(shown)[-1] == (one.doc(1), 0.0)
    assert [len(app.said(text)) for text in ("before the step", "after the step")] == [1, 2]


def test_page_that_the_browser_kept_asks_again_for_what_it_shows(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("kept by the browser")
    doc_id = one.doc(0)
    other = visit(app, {"query": app.query_id("kept by the browser")})
    expect(other.cards.first).to_be_visible()
    other.mark(0)
    one.page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(one.cards.first.locator(".era-saved")).to_have_text("saved")
    assert one.shown_grades() == {doc_id: 1}
    assert one.drawn_for() == {app.query_id("kept by the browser")}


def test_keys_behind_the_open_document_are_asleep(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("reading with the keys asleep")
    one.press("o", "1", "Enter", "m")
    one.wait_until_saved()
    expect(one.page.locator(".era-reader")).to_be_visible()
    expect(one.box).to_have_value("reading with the keys asleep")
    expect(one.page.locator(".era-why")).to_have_count(0)
    one.press("Escape", "Enter")
    expect(one.box).not_to_have_value("reading with the keys asleep")
    expect(one.page.locator(".era-reader")).not_to_be_visible()


def test_note_being_written_survives_the_end_of_the_query(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a note while the last mark is saved")
    n = one.cards.count()
    one.press(*["0"] * (n - 1))
    one.wait_until_saved()
    holder = sqlite3.connect(app.folder / "era.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    one.press("0", "n")
    one.page.keyboard.type("because s")
    holder.execute("ROLLBACK")
    holder.close()
    expect(one.page.locator(".era-finished")).to_be_visible()
    one.page.keyboard.type("ucc")
    expect(one.page.locator(".era-note-form textarea")).to_have_value("because succ")
    one.press("Enter")
    one.wait_until_saved()
    expect(one.page.locator(".era-own-note")).to_contain_text("because succ")
    grades = app.grades(app.query_id("a note while the last mark is saved"))
    assert list(grades.values()) == [0] * len(grades)


def test_key_held_down_marks_one_document(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a heavy finger")
    for _ in range(5):
        one.page.keyboard.down("1")  # from the second on the browser calls it a repetition
    one.page.keyboard.up("1")
    one.wait_until_saved()
    assert len(app.grades(app.query_id("a heavy finger"))) == 1


def test_second_tab_takes_nothing_out_of_the_box_of_the_first(app: App, visit: Visits) -> None:
    text = "two tabs of one browser"
    one = visit(app)
    one.search(text)
    docs = [one.doc(place) for place in range(4)]
    other = Visit(one.page.context.new_page(), app)
    other.page.goto(app.url({"labels": 1}))
    expect(other.cards.first).to_be_visible()
    holder = sqlite3.connect(app.folder / "era.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    one.page.bring_to_front()
    one.press("1", "0")
    other.page.reload()  # takes over what waits
    expect(other.cards.first).to_be_visible()
    one.page.bring_to_front()
    one.press("1", "0")
    kept = one.page.evaluate(
        "() => Object.entries(localStorage).filter(([key]) => key.startsWith('era-outbox-')).length"
    )
    assert kept >= 1
    holder.execute("ROLLBACK")
    holder.close()
    one.wait_until_saved()
    expect(one.page.locator(".era-warn").first).not_to_be_visible()
    expected = {docs[0]: 1, docs[1]: 0, docs[2]: 1, docs[3]: 0}
    assert app.grades(app.query_id(text)) == expected
    n_events = app.rows("SELECT count(*) FROM judgment_event WHERE query_id = ?", app.query_id(text))
    assert n_events == [(4,)]
    one.page.wait_for_function("() => !Object.keys(localStorage).some((key) => key.startsWith('era-outbox-'))")


def test_compare_hides_others_marks_of_a_query_at_work(app: App, visit: Visits) -> None:
    # What Ann said herself is never hidden, so other tests may have marked nothing here; many are found by any ranking.
    [query_id, _], *_ = app.rows(
        "SELECT query_id, count(*) FROM current_judgment WHERE label_set_id = 1 AND role = 'reference' AND grade > 0 "
        "AND query_id NOT IN (SELECT query_id FROM judgment_event WHERE role != 'reference') "
        "GROUP BY query_id ORDER BY count(*) DESC, query_id"
    )
    one = visit(app, {"query": query_id, "sides": "light~aligned"})
    expect(one.cards.first).to_be_visible()
    compare = one.tab("Compare")
    signs = compare.locator(".era-ranking .era-sign").filter(has_text=re.compile("[✓✕]"))
    expect(compare.locator(".era-overall")).to_be_visible()
    expect(signs.first).to_be_visible()  # nothing begun: the imported marks are there
    one.tab("Judge")
    one.press("s")
    one.wait_until_saved()
    one.tab("Compare")
    expect(signs).to_have_count(0)
    one.tab("Judge")
    one.press("u")
    expect(one.status).to_contain_text("mark taken back")
