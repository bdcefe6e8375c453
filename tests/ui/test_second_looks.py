"""Looking again: what speaks against a mark shows after the answer, and what was settled is taken back."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import PATIENCE_S, App, StartApp, Visits

pytestmark = pytest.mark.browser


def _copy_mark(app: App, query_id: int, doc_id: str, **changes: str | float) -> None:
    """Append a mark of the page once more with these changes, as another page would."""
    with closing(sqlite3.connect(app.folder / "era.sqlite3", timeout=10)) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(judgment_event)") if row[1] != "id"]
        last = "query_id = ? AND doc_id = ? ORDER BY id DESC LIMIT 1"
        found = connection.execute(f"SELECT {', '.join(names)} FROM judgment_event WHERE {last}", (query_id, doc_id))
        row = {**dict(zip(names, found.fetchone(), strict=True)), "client_id": f"copy of {doc_id}", **changes}
        places = ", ".join("?" * len(names))
        connection.execute(f"INSERT INTO judgment_event ({', '.join(names)}) VALUES ({places})", list(row.values()))


def test_marks_of_another_text_are_kept_by_the_same_grade(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("judged before the text was another")
    query_id, docs = app.query_id("judged before the text was another"), [one.doc(0), one.doc(1)]
    one.press("1", "0")
    one.wait_until_saved()
    for doc_id in docs:
        _copy_mark(app, query_id, doc_id, content_hash="0" * 64)
    one.page.goto(app.url({"labels": 1, "view": "again"}))
    changed = one.page.locator(".era-why").filter(has_text="has changed since you judged it")
    expect(changed).to_have_count(2)
    assert [one.doc(0), one.doc(1)] == docs
    one.press("1", "0")
    one.wait_until_saved()
    expect(changed).to_have_count(0)
    assert app.grades(query_id) == {docs[0]: 1.0, docs[1]: 0.0}
    hashes = "SELECT count(*) FROM current_judgment WHERE query_id = ? AND content_hash = ?"
    assert app.rows(hashes, query_id, "0" * 64) == [(0,)]


def test_doubted_and_drawn_marks_look_alike_until_they_were_answered(
    visit: Visits, start_app: StartApp, tmp_path: Path
) -> None:
    app = start_app(tmp_path / "data")  # no other mark is doubted there
    one = visit(app)
    expect(one.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    one.search("doubted or drawn at random")
    query_id, doc_id = app.query_id("doubted or drawn at random"), one.doc(0)
    one.press(*["0"] * one.cards.count())
    one.wait_until_saved()
    _copy_mark(app, query_id, doc_id, author="a file", role="reference", grade=1.0)
    one.page.goto(app.url({"labels": 1, "view": "again"}))
    expect(one.cards).to_have_count(2)
    expect(one.page.get_by_role("button", name="Look again: 2")).to_be_visible()
    expect(one.page.locator(".era-toolbar")).to_contain_text("1 of them was drawn at random")
    reasons = one.page.locator(".era-why")
    expect(reasons).to_have_count(0)
    shown = [one.doc(0), one.doc(1)]
    one.page.reload()
    expect(one.cards).to_have_count(2)
    assert [one.doc(0), one.doc(1)] == shown
    revealed = one.page.locator(".era-revealed")
    one.press("0")
    one.wait_until_saved()
    expect(one.cards.first.locator(".era-revealed")).to_be_visible()
    expect(revealed).to_have_count(1)  # though the other card is of the same query
    expect(reasons).to_have_count(1)
    one.press("0")
    one.wait_until_saved()
    says = {shown[place]: one.cards.nth(place).locator(".era-why").inner_text() for place in (0, 1)}
    [drawn] = set(shown) - {doc_id}
    assert says[doc_id] == "The imported mark says: relevant."
    assert says[drawn] == "Drawn at random: nothing speaks against this mark."
    made_on = "SELECT retriever FROM current_judgment WHERE query_id = ? AND doc_id = ? AND role = 'judge'"
    assert [app.rows(made_on, query_id, each) for each in (doc_id, drawn)] == [[("again",)], [("again-drawn",)]]
    one.press("u")
    expect(reasons).to_have_count(1)


def test_what_was_settled_is_taken_back_and_corrected_later(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("settled and settled again")
    query_id, doc_id = app.query_id("settled and settled again"), one.doc(0)
    one.press(*["0"] * one.cards.count())
    one.wait_until_saved()
    _copy_mark(app, query_id, doc_id, author="ben", grade=1.0)
    decided = "SELECT grade FROM current_judgment WHERE query_id = ? AND role = 'adjudicator' AND grade IS NOT NULL"
    one.page.goto(app.url({"labels": 1, "view": "conflicts"}))
    expect(one.cards).to_have_count(1)
    one.press("1")
    one.wait_until_saved()
    assert app.rows(decided, query_id) == [(1.0,)]
    one.press("u")
    one.wait_until_saved()
    assert app.rows(decided, query_id) == []
    one.press("1")
    one.wait_until_saved()
    one.page.reload()
    expect(one.cards.first.locator(".era-why")).to_contain_text("Settled by you")
    one.press("0")
    one.wait_until_saved()
    assert app.rows(decided, query_id) == [(0.0,)]
    assert app.grades(query_id)[doc_id] == 0
