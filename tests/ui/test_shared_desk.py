"""Two people at one collection: own marks, hidden opinions, agreement, and a conflict settled."""

import re

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import PATIENCE_S, App, Visit, Visits

pytestmark = pytest.mark.browser

TEXT = "two people judge the same documents"


def _judge_all(one: Visit, query_id: int, relevant: set[str]) -> list[str]:
    """Judge everything on the desk by key and return the documents."""
    expect(one.cards.first).to_be_visible()
    docs = [one.doc(place) for place in range(one.cards.count())]
    one.press(*("1" if doc_id in relevant else "0" for doc_id in docs))
    one.wait_until_saved()
    expect(one.page.locator(".era-finished")).to_be_visible()
    return docs


def test_two_people_judge_agree_differ_and_settle(shared_desk: App, visit: Visits) -> None:
    ann, ben = visit(shared_desk, person="ann"), visit(shared_desk, person="ben")
    expect(ann.page.locator("#era-header")).to_contain_text("ann")
    expect(ben.page.locator("#era-header")).to_contain_text("ben")
    expect(ann.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    collection = ann.tab("Collection")
    collection.get_by_text("How judging works here").click()
    collection.get_by_label("People to judge each document").fill("2")
    collection.get_by_role("button", name="Save", exact=True).click()
    expect(collection.get_by_text("saved", exact=True)).to_be_visible()
    ann.tab("Judge")
    ann.search(TEXT)
    query_id = shared_desk.query_id(TEXT)

    docs = [ann.doc(place) for place in range(ann.cards.count())]
    chosen, disputed = set(docs[:3]), docs[2]
    ann.press("n")
    ann.page.keyboard.type("between us")
    ann.press("Enter")
    _judge_all(ann, query_id, chosen)
    assert shared_desk.grades(query_id, "ann") == {d: float(d in chosen) for d in docs}

    ben.page.goto(shared_desk.url({"labels": 1, "query": query_id}))
    expect(ben.cards).to_have_count(len(docs))
    assert ben.shown_grades() == {}
    assert [ben.doc(place) for place in range(len(docs))] != docs  # an order of one's own
    ben.press("0", "k", "c")
    ben.wait_until_saved()
    expect(ben.page.locator(".era-opinion")).to_have_count(0)
    assert "between us" not in ben.page.content()  # hidden until Ben is done
    _judge_all(ben, query_id, chosen - {disputed})
    expect(ben.page.locator(".era-opinion").filter(has_text="ann: ")).to_have_count(len(docs))
    expect(ben.page.locator(".era-opinion").filter(has_text="between us")).to_have_count(1)

    expect(ben.page.locator(".era-query-item[aria-current=true]")).to_contain_text("1 ≠")
    people = ben.tab("Collection")
    expect(people.get_by_text(re.compile("Agreement: "))).to_be_visible()
    expect(people.locator(".era-people tbody tr")).to_have_count(2)
    people.get_by_role("button", name="Settle disagreements").click()
    expect(ben.cards).to_have_count(1)
    assert ben.doc(0) == disputed
    expect(ben.cards.first).to_contain_text("People disagree")
    expect(ben.page.locator(".era-opinion")).to_have_text(
        [re.compile("ann: relevant"), re.compile("ben: not relevant")]
    )
    ben.press("1")
    ben.wait_until_saved()
    assert shared_desk.rows(
        "SELECT doc_id, author, grade FROM current_judgment WHERE query_id = ? AND role = 'adjudicator'", query_id
    ) == [(disputed, "ben", 1.0)]
    assert shared_desk.grades(query_id, "ben")[disputed] == 0  # what Ben thought himself stays
    item = ben.page.locator(".era-query-item").filter(has_text=TEXT)
    expect(item).not_to_contain_text("≠")
    expect(item).to_contain_text("3 ✓")


def test_documents_judged_by_enough_people_are_not_offered(shared_desk: App, visit: Visits) -> None:
    ann = visit(shared_desk, person="ann")
    expect(ann.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    collection = ann.tab("Collection")
    collection.get_by_text("How judging works here").click()
    collection.get_by_label("People to judge each document").fill("1")
    collection.get_by_role("button", name="Save", exact=True).click()
    expect(collection.get_by_text("saved", exact=True)).to_be_visible()
    ann.tab("Judge")
    ann.search("one person a document is enough")
    n, judged = ann.cards.count(), {ann.doc(0), ann.doc(1)}
    ann.press("1", "0")
    ann.wait_until_saved()
    ben = visit(shared_desk, {"query": shared_desk.query_id("one person a document is enough")}, person="ben")
    expect(ben.cards).to_have_count(n - 2)
    assert judged.isdisjoint(ben.doc(place) for place in range(n - 2))
    expect(ben.page.locator("#era-judge")).to_contain_text("2 more have been judged by others")


def test_nobody_gets_in_without_signing_in(shared_desk: App, visit: Visits) -> None:
    one = visit(shared_desk, person="ann")
    context = one.page.context
    context.clear_cookies()
    one.page.goto(shared_desk.url({}))
    expect(one.page.get_by_text("Sign in, so that your marks carry your name.")).to_be_visible()
    answer = context.request.post(
        shared_desk.url({}).partition("?")[0] + "login", form={"username": "ann", "password": "ben"}
    )
    assert answer.status == 400
