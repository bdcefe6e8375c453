"""Marks when saving fails: the page says so, keeps them, and recovers by itself."""

import re
import resource
import sqlite3
import sys

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import App, Visit, Visits

pytestmark = pytest.mark.browser

TROUBLE = "#era-judge .era-status .era-warn"


def _is_stored_once(app: App, text: str, expected: dict[str, float]) -> bool:
    query_id = app.query_id(text)
    n_events = app.rows("SELECT count(*) FROM judgment_event WHERE query_id = ? AND author = 'ann'", query_id)
    return app.grades(query_id) == expected and n_events == [(len(expected),)]


def _ask(app: App, visit: Visits, text: str) -> tuple[Visit, list[str]]:
    one = visit(app)
    one.search(text)
    return one, [one.doc(place) for place in range(3)]


@pytest.mark.parametrize("seconds", [3, 8])
def test_locked_database_is_said_and_waited_for(app: App, visit: Visits, seconds: int) -> None:
    text = f"somebody holds the database for {seconds} seconds"
    one, docs = _ask(app, visit, text)
    holder = sqlite3.connect(app.folder / "era.sqlite3", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        one.press("1", "0", "1")
        expect(one.page.locator(TROUBLE)).to_contain_text(re.compile("Still saving|not saved yet"))
        assert one.shown_grades() == {docs[0]: 1, docs[1]: 0, docs[2]: 1}  # what was marked shows all the same
        one.page.wait_for_timeout(1000 * seconds - 1500)
        if seconds > 5:  # longer than a writer waits
            expect(one.page.locator(TROUBLE)).to_contain_text(re.compile("not saved yet, trying again.*busy"))
    finally:
        holder.execute("COMMIT")
        holder.close()
    one.wait_until_saved()
    expect(one.page.locator(TROUBLE)).to_have_count(0)
    assert _is_stored_once(app, text, {docs[0]: 1, docs[1]: 0, docs[2]: 1})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can limit the files of a running process")
def test_full_disk_is_said_and_nothing_is_lost(app: App, visit: Visits) -> None:
    text = "the disk is full"
    one, docs = _ask(app, visit, text)
    before = resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE)
    try:
        resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (0, before[1]))  # no file can grow
        one.press("1", "0")
        expect(one.page.locator(TROUBLE)).to_contain_text(
            re.compile("2 marks are not saved yet, trying again.*free space")
        )
        expect(one.cards.first.locator(".era-saved")).to_have_text("not saved yet")
        one.press("1")  # judging goes on
        expect(one.page.locator(TROUBLE)).to_contain_text("3 marks are not saved yet")
        assert app.grades(app.query_id(text)) == {}
    finally:
        resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, before)
    one.wait_until_saved()
    assert _is_stored_once(app, text, {docs[0]: 1, docs[1]: 0, docs[2]: 1})


def test_offline_marks_are_kept_and_delivered(app: App, visit: Visits) -> None:
    text = "ten seconds without a connection"
    one, docs = _ask(app, visit, text)
    one.page.context.set_offline(True)
    one.press("1", "0")
    expect(one.page.locator(TROUBLE)).to_contain_text("No connection. 2 marks are kept in this browser")
    one.page.wait_for_timeout(10_000)
    one.press("1")
    assert one.shown_grades() == {docs[0]: 1, docs[1]: 0, docs[2]: 1}
    assert app.grades(app.query_id(text)) == {}
    one.page.context.set_offline(False)
    expect(one.page.locator(TROUBLE)).to_have_count(0)
    expect(one.cards.first).to_be_visible()
    expect(one.cards.first.locator(".era-saved")).to_have_text("saved")
    one.page.wait_for_timeout(1000)
    assert _is_stored_once(app, text, {docs[0]: 1, docs[1]: 0, docs[2]: 1})
    assert one.shown_grades() == {docs[0]: 1, docs[1]: 0, docs[2]: 1}


def test_reload_before_the_delivery_loses_nothing(app: App, visit: Visits) -> None:
    text = "closed before it was saved"
    one, docs = _ask(app, visit, text)
    holder = sqlite3.connect(app.folder / "era.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    one.press("1", "0")
    one.page.close()
    holder.execute("ROLLBACK")
    holder.close()
    again = Visit(one.page.context.new_page(), app)
    again.page.goto(app.url({"labels": 1, "query": app.query_id(text)}))
    expect(again.cards.first.locator(".era-saved")).to_have_text("saved")
    expect(again.cards.nth(1).locator(".era-saved")).to_have_text("saved")
    again.page.wait_for_timeout(500)
    assert _is_stored_once(app, text, {docs[0]: 1, docs[1]: 0})


def test_refused_mark_is_rolled_back_visibly(app: App, visit: Visits) -> None:
    one, _ = _ask(app, visit, "a mark that cannot be kept")
    one.press("n")
    one.page.locator(".era-note-form textarea").evaluate("(box) => { box.removeAttribute('maxlength'); }")
    one.page.locator(".era-note-form textarea").fill("x" * 3000)
    one.press("Enter")
    expect(one.alert).to_contain_text("was not marked. Shorten the note")
    assert one.shown_grades() == {}
    assert app.grades(app.query_id("a mark that cannot be kept")) == {}
    one.press("1")
    one.wait_until_saved()
