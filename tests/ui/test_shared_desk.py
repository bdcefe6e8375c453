"""Two people at one collection: own marks, hidden opinions, agreement, and a conflict settled."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.ui.collection_steps import region, unfold
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


def forge_settling(one: Visit) -> None:
    """Let the page say of every mark from now on that it settles a conflict."""

    def forge(route: Route) -> None:
        sent = route.request.post_data or ""
        route.continue_(post_data=sent.replace('"is_adjudication":false', '"is_adjudication":true'))

    one.page.route("**/era/marks", forge)


def settled_marks(app: App, query_id: int) -> list[tuple[str, str, float]]:
    return app.rows(
        "SELECT doc_id, author, grade FROM current_judgment WHERE query_id = ? AND role = 'adjudicator'", query_id
    )


def taken_out(one: Visit, folder: Path, button: str) -> str:
    """Return the text of the file that a button of the collection gives."""
    with one.page.expect_download() as download:
        region(one, "Python standard library").get_by_role("button", name=button).click()
    download.value.save_as(folder / button)
    return (folder / button).read_text(encoding="utf-8")


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
    expect(people.get_by_role("button", name="Settle disagreements")).to_have_count(0)  # ann manages the demo

    forge_settling(ben)
    ben.tab("Judge")
    ben.page.locator(f"#era-judge .era-card[data-doc='{disputed}'] .era-mark.era-yes").click()
    expect(ben.alert).to_contain_text("Only ann can settle what judges disagree about.")
    assert settled_marks(shared_desk, query_id) == []

    ann.page.reload()
    ann.tab("Collection").get_by_role("button", name="Settle disagreements").click()
    expect(ann.cards).to_have_count(1)
    assert ann.doc(0) == disputed
    expect(ann.cards.first).to_contain_text("People disagree")
    expect(ann.page.locator(".era-opinion")).to_have_text(
        [re.compile("ann: relevant"), re.compile("ben: not relevant")]
    )
    ann.press("0")
    ann.wait_until_saved()
    assert settled_marks(shared_desk, query_id) == [(disputed, "ann", 0.0)]
    assert shared_desk.grades(query_id, "ann")[disputed] == 1  # what Ann thought herself stays
    item = ann.page.locator(".era-query-item").filter(has_text=TEXT)
    expect(item).not_to_contain_text("≠")
    expect(item).to_contain_text("2 ✓")


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


def test_who_may_still_judge_a_query_sees_nothing_of_the_others(
    shared_desk: App, visit: Visits, tmp_path: Path
) -> None:
    text, secret = "only ann has judged this so far", "words between ann and herself"
    ann = visit(shared_desk, person="ann")
    expect(ann.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    ann.search(text)
    ann.press("n")
    ann.page.keyboard.type(secret)
    ann.press("Enter", "1", "0")
    ann.wait_until_saved()
    query_id = shared_desk.query_id(text)
    expect(ann.page.locator(".era-query-item[aria-current=true]")).to_contain_text("1 ✓")

    ben = visit(shared_desk, {"query": query_id}, person="ben")
    for has_taken_back in (False, True):
        ben.tab("Judge")
        item = ben.page.locator(".era-query-item[aria-current=true]")
        expect(item).to_contain_text(text)
        if has_taken_back:
            ben.mark(0)
            ben.press("u")
            expect(ben.status).to_contain_text("taken back")
            assert shared_desk.grades(query_id, "ben") == {}
        expect(item).to_contain_text("0 ✓ 0 ✕")
        ben.page.goto(shared_desk.url({"labels": 1, "query": query_id, "tab": "Compare"}))
        compare = ben.page.locator("#era-compare .era-page")
        expect(compare.locator("ol.era-ranking li").first).to_be_visible(timeout=PATIENCE_S * 1000)
        note = "You have begun to judge" if has_taken_back else "Others have judged this query"
        expect(compare.locator(".era-compared ~ .era-hidden-note")).to_contain_text(note)
        expect(compare.locator(".era-sign [role=img]")).to_have_count(0)
        row = compare.locator(f".era-sortable tr[data-query='{query_id}']")
        expect(row).to_contain_text("hidden until you have finished it")
        expect(compare.locator(".era-every .era-hidden-note")).to_contain_text(
            re.compile("without showing (its|their) own numbers")
        )
        assert secret not in ben.page.content()
        ben.tab("Collection")
        card = region(ben, "Python standard library")
        unfold(card, "Take out")
        card.get_by_label("Format of the judgments").select_option("jsonl")
        card.get_by_label("Whose judgments").select_option("everybody")
        card.get_by_label("with notes").check()
        folder = tmp_path / str(has_taken_back)
        folder.mkdir()
        judgments = taken_out(ben, folder, "Take out the judgments")
        assert text not in judgments
        assert secret not in judgments
        expect(card.get_by_text(re.compile(r"^Left out: \d+ quer"))).to_be_visible()
        triplets = taken_out(ben, folder, "Take out the triplets")
        assert triplets
        assert text not in triplets
