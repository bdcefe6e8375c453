"""What the desk offers beside marking: lists, rankings, help from the model, imports, guidelines and grades."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.collection_steps import bring_in
from tests.ui.conftest import PATIENCE_S, App, StartApp, Visits, wait_until_aligned

pytestmark = pytest.mark.browser


def test_sources_stay_hidden_until_a_document_is_judged(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("where did these come from")
    expect(one.page.locator(".era-revealed")).to_have_count(0)
    expect(one.page.locator(".era-score")).to_have_count(0)
    payload = one.page.evaluate("() => document.querySelector('#era-judge').innerHTML")
    assert "place 1" not in payload
    one.press("0")
    expect(one.cards.first.locator(".era-revealed")).to_contain_text(re.compile("place|by chance"))
    expect(one.page.locator(".era-revealed")).to_have_count(1)


def test_finished_query_says_so_and_leads_on(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("a query judged to its end")
    expect(one.page.locator("#era-judge .era-toolbar")).to_contain_text(
        re.compile(r"\d+ documents left for you, about \d min")
    )
    one.press(*["0"] * one.cards.count())
    expect(one.page.locator(".era-finished")).to_contain_text("Everything here is judged")
    item = one.page.locator(".era-query-item[aria-current=true]")
    expect(item.locator(".era-mine")).to_have_text("●")
    one.page.locator(".era-finished").get_by_role("button").click()
    expect(one.box).not_to_have_value("a query judged to its end")


def test_only_documents_that_agree_in_every_field_are_judged_by_one_click(
    visit: Visits, tmp_path: Path, start_app: StartApp
) -> None:
    kettle = "Kettle,It boils a litre of water"
    rows = [
        f"aro-79,{kettle},79 euros,Aro",
        f"aro-449,{kettle},449 euros,Aro",
        f"bix-79,{kettle},79 euros,Bix",
        f"aro-79-again,{kettle},79  EUROS,aro",
        f"aro-79-once-more,{kettle.upper()},79 euros,Aro",
        *(f"spoon-{n},Spoon {n},It stirs soup number {n},{n} euros,Aro" for n in range(3)),
    ]
    shop = tmp_path / "shop.csv"
    shop.write_text("\n".join(["id,title,text,price,brand", *rows]))
    own = start_app(tmp_path / "data")
    one = visit(own)
    expect(one.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    bring_in(one, str(shop), "Shop")
    one.tab("Judge")
    one.search("something to boil water in")
    query_id = own.query_id("something to boil water in")
    expect(one.cards).to_have_count(6)  # three kettles and three spoons
    expect(one.page.locator("#era-judge .era-toolbar").first).to_contain_text("8 documents left for you")
    expect(one.status).to_contain_text("0 of 8 documents marked by you")
    same = {"aro-79", "aro-79-again", "aro-79-once-more"}
    for doc_id in ("aro-449", "bix-79"):
        expect(one.page.locator(f'.era-card[data-doc="{doc_id}"] .era-duplicates')).to_have_count(0)
    card = one.cards.filter(has=one.page.locator(".era-duplicates"))
    expect(card).to_have_count(1)
    expect(card.locator(".era-duplicates")).to_contain_text("One card for 3 documents that agree in every field")
    card.locator(".era-mark.era-yes").click()
    expect(one.status).to_contain_text("3 of 8 documents marked by you · 3 relevant")
    expect(one.page.locator("#era-judge .era-toolbar").first).to_contain_text("5 documents left for you")
    one.wait_until_saved()
    grades = "SELECT doc_id, grade FROM current_judgment WHERE query_id = ? AND grade IS NOT NULL"
    assert dict(own.rows(grades, query_id)) == dict.fromkeys(same, 1.0)
    expect(one.page.locator(".era-query-item[aria-current=true] .era-count")).to_contain_text("3 ✓")
    one.page.reload()
    expect(card).to_have_count(1)
    one.press("u")
    one.wait_until_saved()
    assert own.rows(grades, query_id) == []
    card.get_by_role("button", name="judge separately").click()
    expect(one.page.locator(".era-duplicates")).to_have_count(0)
    expect(one.cards).to_have_count(8)
    one.page.locator('.era-card[data-doc="aro-79-again"] .era-mark.era-no').click()
    one.wait_until_saved()
    assert dict(own.rows(grades, query_id)) == {"aro-79-again": 0.0}
    assert one.complaints == []


def test_ranking_filters_by_exact_words_and_finds_more_of_a_kind(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("the n largest elements of a dataset")
    one.view("Ranking")
    expect(one.cards).to_have_count(10)
    expect(one.cards.first.locator(".era-rank")).to_contain_text("1")
    phrase = one.page.get_by_label("Containing")
    phrase.fill("priority  QUEUE")
    phrase.press("Enter")
    expect(one.page.locator("#era-judge .era-busy")).to_have_count(0)
    expect(one.cards).not_to_have_count(10)
    for text in one.cards.all_inner_texts():
        assert "priority queue" in " ".join(text.lower().split())
    phrase.fill("words that occur in no document")
    phrase.press("Enter")
    expect(one.page.locator("#era-judge .era-empty")).to_contain_text("No document contains")
    phrase.fill("")
    phrase.press("Enter")
    expect(one.cards).to_have_count(10)
    title = one.cards.first.locator("h3").inner_text()
    one.cards.first.get_by_role("button", name="more like this").click()
    expect(one.page.locator("#era-judge .era-toolbar").first).to_contain_text(f"Most like “{title}”")
    expect(one.cards).to_have_count(10)
    assert title not in one.cards.locator("h3").all_inner_texts()
    one.mark(0)
    assert app.grades(app.query_id("the n largest elements of a dataset")) == {one.doc(0): 1}


def test_most_useful_document_comes_next_with_a_reason(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("teach me the most")
    docs = {one.doc(place) for place in range(one.cards.count())}
    one.press("0", "m")
    why = one.page.locator(".era-why")
    expect(why).to_contain_text(re.compile(r"Shown next because the model .* in 10"))
    expect(one.cards.nth(1)).to_have_class(re.compile("era-focused"))
    expect(one.cards.nth(1).locator(".era-why")).to_have_count(1)
    assert {one.doc(place) for place in range(one.cards.count())} == docs


def test_live_ranking_moves_only_what_is_below_and_unjudged(
    browser: Browser, visit: Visits, start_app: StartApp, tmp_path: Path
) -> None:
    app = start_app(tmp_path / "data")  # how far a ranking moves depends on all that was judged
    wait_until_aligned(browser, app)
    one = visit(app)
    expect(one.cards.first).to_be_visible()
    one.search("compress data piece by piece as it arrives")
    one.view("Ranking")
    expect(one.cards).to_have_count(10)
    before = [one.doc(place) for place in range(10)]
    one.page.get_by_label("re-rank while I judge").check()
    live = one.page.locator(".era-live")
    expect(live).to_contain_text("from your first relevant mark on")
    one.press("0", "1")
    expect(live).to_contain_text(re.compile(r"\d+ documents? changed place"))
    after = [one.doc(place) for place in range(10)]
    assert after[:3] == before[:3]  # judged ones and the one before the eyes stay
    assert sorted(one.page.locator(".era-rank").all_inner_texts())  # every card still has a place
    moved = one.page.locator(".era-moved")
    assert moved.count() == sum(a != b for a, b in zip(before, after, strict=True)) > 0


def test_queries_are_imported_after_a_look(app: App, visit: Visits, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.csv", tmp_path / "good.jsonl"
    broken.write_text("id,text\n1,one\n1,two\n")
    rows = [
        {"id": f"imp-{i}", "text": f"an imported query {i}", "instruction": "", "need": "**all** of it", "level": i}
        for i in range(3)
    ]
    good.write_text("\n".join(json.dumps(row) for row in rows))
    one = visit(app)
    expect(one.cards.first).to_be_visible()
    before = app.rows("SELECT count(*) FROM query")[0][0]
    one.page.get_by_role("button", name="Import queries").click()
    dialog = one.page.get_by_role("dialog", name="Import queries")
    dialog.get_by_label("Choose a file of queries").set_input_files(broken)
    expect(dialog.get_by_role("alert")).to_contain_text("line 3")
    dialog.get_by_label("Choose a file of queries").set_input_files(good)
    expect(dialog).to_contain_text("3 new queries; already in the collection: 0. Nothing is stored yet.")
    expect(dialog.get_by_role("listitem").last).to_have_text(
        "Of good.jsonl, these columns were not read as part of the queries: level."
    )
    assert app.rows("SELECT count(*) FROM query")[0][0] == before
    dialog.get_by_role("button", name="Import 3 queries").click()
    expect(dialog).to_contain_text("3 queries were added")
    dialog.get_by_role("button", name="Close").click()
    one.page.get_by_label("Filter queries").fill("imported query 2")
    one.page.locator(".era-query-item").click()
    expect(one.box).to_have_value("an imported query 2")
    one.page.get_by_role("button", name="What is needed").click()
    expect(one.page.locator(".era-need strong")).to_have_text("all")


def test_same_words_under_another_instruction_are_another_query(app: App, visit: Visits) -> None:
    one = visit(app)
    one.search("asked in two ways", "the first way")
    one.mark(0)
    one.page.get_by_role("button", name="Ask with another instruction").click()
    box = one.page.get_by_label("Your instruction")
    expect(box).to_be_focused()
    expect(box).to_have_value("the first way")
    box.fill("the second way")
    one.page.get_by_role("button", name="Search", exact=True).click()
    expect(one.page.locator(".era-query-text").filter(has_text="asked in two ways")).to_have_count(2)
    assert one.shown_grades() == {}
    assert len(app.rows("SELECT id FROM query WHERE text = 'asked in two ways'")) == 2


def test_guidelines_grades_and_templates_are_set_up_and_used(
    visit: Visits, tmp_path: Path, start_app: StartApp
) -> None:
    own = start_app(tmp_path / "data")
    one = visit(own)
    expect(one.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    collection = one.tab("Collection")
    collection.get_by_text("How judging works here").click()
    collection.get_by_label("How many grades").select_option("4")
    collection.get_by_label("Name of grade 3").fill("exactly this")
    collection.get_by_text("+ template").click()
    collection.get_by_label("Name of template 1").fill("Direct")
    collection.get_by_label("Instruction of template 1").fill("Find what does this directly")
    collection.locator(".era-setup textarea").fill(
        "# What counts\n\n<script>window.pwned=1</script> *only* the real thing"
    )
    collection.get_by_role("button", name="Save", exact=True).click()
    expect(collection.get_by_text("saved", exact=True)).to_be_visible()

    one.tab("Judge")
    expect(one.page.locator("select[name=instruction] optgroup[label=Templates] option")).to_have_text(
        "Direct: Find what does this directly"
    )
    one.search("four grades")
    doc_id = one.doc(0)
    one.press("3")
    guidelines = one.page.get_by_role("dialog", name="How to judge here")
    expect(guidelines).to_contain_text("<script>window.pwned=1</script>")
    expect(guidelines.locator("em")).to_have_text("only")
    assert own.n_events() == own.rows("SELECT count(*) FROM judgment_event WHERE role = 'reference'")[0][0]
    guidelines.get_by_role("button", name="I have read this").click()
    one.press("3", "2", "4")  # there is no grade 4
    one.wait_until_saved()
    expect(one.cards.first.locator('[data-key="3"]')).to_have_attribute("aria-label", re.compile("^exactly this: "))
    query_id = own.query_id("four grades")
    assert own.grades(query_id) == {doc_id: 3, one.doc(1): 2} == one.shown_grades()
    one.page.reload()
    expect(one.cards.first).to_be_visible()
    one.press("1")  # asked once only
    one.wait_until_saved()
    assert len(own.grades(query_id)) == 3
    assert one.page.evaluate("window.pwned") is None
