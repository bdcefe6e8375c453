"""Slow answers, open dialogs and other tabs: a key never marks what nobody sees, and nothing is taken away."""

import json
import re
import sqlite3
import urllib.request

import pytest
from playwright.sync_api import Route, expect

from tests.ui.conftest import App, Visit, Visits

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

    one.page.route("**/queue/join*", hold)
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


def test_desk_is_never_drawn_by_a_generator_whose_last_value_comes_twice(app: App) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{app.port}/config") as answer:
        config = json.load(answer)
    desk = next(each["id"] for each in config["components"] if each["props"].get("elem_id") == "era-judge")
    drawing = [each for each in config["dependencies"] if desk in each["outputs"]]
    assert len(drawing) >= 5
    assert not any(each["types"]["generator"] for each in drawing)


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
    query_id = app.rows("SELECT id FROM query WHERE public_id = 'wrap-to-lines'")[0][0]
    one = visit(app, {"query": query_id})
    expect(one.cards.first).to_be_visible()
    compare = one.tab("Compare")
    signs = compare.locator(".era-ranking .era-sign").filter(has_text=re.compile("[✓✕]"))
    expect(compare.locator(".era-overall")).to_be_visible()
    n_before = signs.count()
    assert n_before > 0  # nothing begun: the imported marks are there
    one.tab("Judge")
    one.press("s")
    one.wait_until_saved()
    one.tab("Compare")
    expect(signs).to_have_count(0)
    one.tab("Judge")
    one.press("u")
    expect(one.status).to_contain_text("mark taken back")
