"""Comparing as a person does it: side by side, why, all queries, blind, kept, shared, and on a phone."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.ui.conftest import PATIENCE_S, RUNS, App, Visit, Visits

pytestmark = pytest.mark.browser


def _wait(one: Visit, n_sides: int) -> Locator:
    """Return the panel once its rankings and its overall measures are there."""
    panel = one.page.locator("#era-compare")
    expect(panel.locator(".era-ranking")).to_have_count(n_sides)
    expect(panel.locator(".era-busy")).to_have_count(0, timeout=PATIENCE_S * 1000)
    return panel


def _compare(app: App, visit: Visits, width: int = 1280, **parameters: str | int) -> tuple[Visit, Locator]:
    """Open an address that names a comparison."""
    named = {"labels": 1, "tab": "compare", "sides": "light~aligned", **parameters}
    one = visit(app, named, width=width)
    return one, _wait(one, str(named["sides"]).count("~") + 1)


def _trained(app: App, visit: Visits) -> str:
    """Return the usual ranking of a training run of the default recipe, trained now if there is none."""
    found = f"SELECT max(training_run.id) FROM {RUNS} WHERE state = 'finished' AND recipe = 'era' AND label_set_id = 1"
    if app.rows(found)[0][0] is None:
        train = visit(app).tab("Train")
        train.get_by_role("button", name="Train", exact=True).click()
        expect(train.get_by_role("button", name="See the difference")).to_be_visible(timeout=PATIENCE_S * 1000)
    return f"run-{app.rows(found)[0][0]}+words"


def test_document_is_traced_over_three_sides_and_marked_there(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="light~aligned", query=7)
    panel.get_by_role("button", name="add a third").click()
    panel.get_by_label("Third", exact=True).select_option("light+words")
    _wait(one, 3)
    expect(panel.get_by_label("Third", exact=True)).to_have_value("light+words")
    top = panel.locator(".era-ranking").first.locator("li").first
    doc_id = top.get_attribute("data-doc") or ""
    top.hover()
    on_sides = panel.locator(f'.era-ranking li[data-doc="{doc_id}"]').count()
    expect(panel.locator(".era-ranking li.era-traced")).to_have_count(on_sides)
    assert on_sides > 1

    before = app.grades(7)
    top.get_by_role("button").first.focus()
    one.press("Enter")
    expect(panel.locator(".era-opened h3")).to_have_text(top.locator(".era-title").inner_text())
    one.press("1")
    expect(panel.locator(".era-opened .era-saved")).to_have_text("saved")
    assert app.grades(7) == before | {doc_id: 1.0}
    _wait(one, 3)
    expect(top.locator(".era-sign")).to_contain_text("✓")
    expect(top.locator(".era-title")).to_be_focused()  # the keys still act on it
    one.press("c")
    expect(panel.locator(".era-opened .era-mark[aria-pressed=true]")).to_have_count(0)
    _wait(one, 3)
    one.wait_until(lambda: app.grades(7) == {doc: grade for doc, grade in before.items() if doc != doc_id})
    assert one.complaints == []


def test_mark_keeps_the_place_on_the_side_it_was_made_on(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="bm25~light", query=11)
    first, second = panel.locator(".era-ranking").all()
    places = second.locator("li").evaluate_all("rows => rows.map((row) => row.dataset.doc)")
    there = first.locator("li").evaluate_all("rows => rows.map((row) => row.dataset.doc)")
    moved = [doc for i, doc in enumerate(places) if doc in there and there.index(doc) != i]
    doc_id = moved[0]
    n_before = app.n_events()
    second.locator(f'li[data-doc="{doc_id}"] .era-title').focus()
    one.press("1", "s", "c")  # faster than they are saved: the answer to the first says nothing of the last
    expect(second.locator(f'li[data-doc="{doc_id}"] .era-sign')).to_have_text("")
    _wait(one, 2)
    stored = app.rows(
        "SELECT retriever, rank_shown, doc_id FROM judgment_event ORDER BY id DESC LIMIT ?", app.n_events() - n_before
    )
    assert set(stored) == {("light", places.index(doc_id) + 1, doc_id)}
    assert one.complaints == []


def test_half_typed_query_stays_until_it_is_compared(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="bm25~light", query=1)
    box = panel.get_by_label("Try another query")
    box.fill("copy a list and everything in it")
    text = panel.locator(".era-compared").inner_text()
    panel.get_by_role("button", name="Next query").click()
    expect(panel.locator(".era-compared")).not_to_have_text(text)
    _wait(one, 2)
    expect(box).to_have_value("copy a list and everything in it")
    box.press("Enter")
    expect(panel.locator(".era-compared")).to_contain_text("copy a list and everything in it")
    expect(box).to_have_value("")


def test_why_names_the_queries_that_taught_the_run(app: App, visit: Visits) -> None:
    run = _trained(app, visit)
    one, panel = _compare(app, visit, sides=f"aligned~{run}", query=9)
    text = panel.locator(".era-compared").inner_text()
    panel.locator(".era-ranking").last.locator(".era-title").first.focus()
    one.press("w")
    answer = panel.locator(".era-why-answer")
    expect(answer).to_be_visible()
    shares = answer.locator(".era-shares li")
    expect(shares.first).to_contain_text(re.compile(r"[+−]0\.\d{3}"))
    assert text.partition(" —")[0] not in answer.inner_text()  # held out: its own marks taught it nothing here
    taught = shares.get_by_role("button").first
    name = taught.inner_text()
    taught.click()
    expect(panel.locator(".era-compared")).to_contain_text(name)


def test_why_adds_up_to_the_change_that_the_arrow_shows(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides=f"light~{_trained(app, visit)}", query=9)
    right = panel.locator(".era-ranking").last
    moved = right.locator("li").filter(has=one.page.locator(".era-move", has_text=re.compile(r"^[▲△↑▼▽↓] \d+$"))).first
    title = moved.locator(".era-title")
    arrow, places = moved.locator(".era-move").inner_text().split()
    title.focus()
    one.press("w")
    answer = panel.locator(".era-why-answer")
    way = "Up" if arrow in "▲△↑" else "Down"
    noun = "place" if places == "1" else "places"
    expect(answer).to_contain_text(
        f"{way} {places} {noun} against “light model alone”; the largest share of the change: "
    )
    amounts = answer.locator(".era-shares li:not(.era-share-total) .era-number").all_inner_texts()
    *_, total = answer.locator(".era-share-total .era-number").all_inner_texts()
    thousandths = [_thousandths(text) for text in amounts]
    assert len(thousandths) > 1
    assert sum(thousandths) == _thousandths(total)
    before, after = panel.locator(".era-places tbody td:last-child").all_inner_texts()
    if before != "–":  # where the first side shows it, too
        assert _thousandths(after) - _thousandths(before) == _thousandths(total)
    shown = re.search(r"([\d.]+) \(.*\) → ([\d.]+) \(", answer.locator("h4").inner_text())
    assert shown is not None
    assert _thousandths(shown[2]) - _thousandths(shown[1]) == _thousandths(total)

    panel.get_by_label("Before", exact=True).select_option("bm25")
    _wait(one, 2)
    right.locator(".era-title").first.focus()
    one.press("w")
    expect(answer).to_contain_text("cannot be split: “BM25, matching words alone” counts words only")
    expect(answer.locator(".era-shares")).to_have_count(0)
    assert one.complaints == []


def _thousandths(text: str) -> int:
    return round(1000 * float(text.replace("−", "-")))


def test_see_the_difference_opens_on_the_most_improved_query(app: App, visit: Visits) -> None:
    _trained(app, visit)
    one = visit(app, {"query": 5})
    expect(one.cards.first).to_be_visible()
    one.tab("Train").get_by_role("button", name="See the difference").click()
    panel = _wait(one, 2)
    rows = panel.locator(".era-sortable tbody tr:not(:has(td[colspan]))")  # from the largest gain to the largest loss
    look = panel.get_by_role("navigation", name="Where to look first")
    for name, row in (("Most improved", rows.first), ("One that got worse", rows.last)):
        text, before, after = (row.locator("td").nth(column).inner_text() for column in (0, 2, 3))
        expect(look).to_contain_text(f"{name}: “{text}” {before} → {after}")
    assert float(rows.first.locator("td").nth(3).inner_text()) > float(rows.first.locator("td").nth(2).inner_text())
    best, worst = (row.get_attribute("data-query") for row in (rows.first, rows.last))
    text = rows.first.locator("td").first.inner_text()
    expect(panel.locator(".era-compared")).to_contain_text(text)
    expect(panel.get_by_label("Query", exact=True)).to_have_value(best or "")
    expect(one.page).to_have_url(re.compile(rf"query={best}(&|$)"))
    expect(look.get_by_role("button", name="Most improved")).to_have_attribute("aria-current", "true")
    look.get_by_role("button", name="One that got worse").click()
    expect(panel.get_by_label("Query", exact=True)).to_have_value(worst or "")
    _wait(one, 2)

    again = visit(app, {"tab": "compare", "sides": str(f"light~{_trained(app, visit)}")})  # no query in the address
    expect(_wait(again, 2).get_by_label("Query", exact=True)).to_have_value(best or "")
    assert one.complaints == again.complaints == []


def test_colour_sign_and_words_say_whether_a_move_helps(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="bm25~light", query=13)
    left, right = panel.locator(".era-ranking").all()

    def unjudged(side: Locator, arrow: str) -> str:
        found: str = side.evaluate(
            """(list, arrow) => [...list.querySelectorAll("li")].find((row) =>
                !row.querySelector(".era-sign").textContent
                && row.querySelector(".era-move").textContent.startsWith(arrow)).dataset.doc""",
            arrow,
        )
        return found

    before = app.grades(13)
    cases = (
        (right, "↑", [("0", "△", "hurts"), ("1", "▲", "helps"), ("s", "↑", "neutral"), ("c", "↑", "neutral")]),
        (left, "↓", [("1", "▽", "hurts"), ("0", "▼", "helps"), ("c", "↓", "neutral")]),
    )
    for side, arrow, steps in cases:
        row = side.locator(f'li[data-doc="{unjudged(side, arrow)}"]')
        move = row.locator(".era-move")
        row.locator(".era-title").focus()
        for key, sign, effect in steps:
            one.press(key)
            expect(move).to_have_text(re.compile(f"^{sign} "))
            expect(move).to_have_class(re.compile(f"era-{effect}"))
            words = {"helps": "that helps", "hurts": "that hurts", "neutral": "it is not judged"}[effect]
            expect(move).to_have_attribute("aria-label", re.compile(f"{words}$"))
        expect(row.locator(".era-sign")).to_have_text("")  # taken back in the database, too
        assert app.grades(13) == before
    _wait(one, 2)

    both = [each for each in _docs(right) if each in _docs(left) and _docs(left).index(each) > _docs(right).index(each)]
    line = panel.locator(f'.era-lines path[data-doc="{both[0]}"]')
    right.locator(f'li[data-doc="{both[0]}"] .era-title').focus()
    for key, effect in (("0", "hurts"), ("1", "helps"), ("c", "neutral")):
        one.press(key)
        expect(line).to_have_class(re.compile(f"era-{effect}"))
    expect(right.locator(f'li[data-doc="{both[0]}"] .era-sign')).to_have_text("")
    _wait(one, 2)
    assert one.complaints == []


def _docs(side: Locator) -> list[str]:
    found: list[str] = side.locator("li").evaluate_all("rows => rows.map((row) => row.dataset.doc)")
    return found


def _rises(shown: list[float]) -> bool:
    """Return whether what was sorted before it was rounded rises."""
    return all(later > earlier - 0.015 for earlier, later in pairwise(shown))


def test_every_query_sorts_and_opens_and_the_last_step_wins(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="bm25~light", query=1)
    table = panel.locator(".era-sortable")

    def changes() -> list[float]:
        shown = "rows => rows.filter((row) => row.cells.length > 4).map((row) => row.cells[4].textContent)"
        cells = table.locator("tbody tr").evaluate_all(shown)
        return [0.0 if cell == "=" else float(cell.replace("−", "-")) for cell in cells]

    expect(table.locator("th[aria-sort=descending]")).to_contain_text("change")
    falling = changes()
    assert _rises(falling[::-1])
    assert falling[0] > falling[-1]
    table.get_by_role("button", name="change", exact=True).click()
    expect(table.locator("th[aria-sort=ascending]")).to_contain_text("change")
    assert _rises(changes())
    assert sorted(changes()) == sorted(falling)
    panel.get_by_label("Queries with these words").fill("THE")
    expect(table.locator("tbody tr")).not_to_have_count(len(falling))
    texts = table.locator("tbody tr td:first-child").all_inner_texts()
    assert texts
    assert all("the" in text.lower() for text in texts)
    table.locator("tbody tr").nth(1).get_by_role("button").click()
    expect(panel.locator(".era-compared")).to_contain_text(texts[1])
    _wait(one, 2)

    order = panel.get_by_label("Query", exact=True).locator("option").evaluate_all("all => all.map((one) => one.value)")
    here = order.index(panel.get_by_label("Query", exact=True).input_value())
    step, key = (1, "]") if here + 3 < len(order) else (-1, "[")
    one.page.evaluate("document.activeElement.blur()")
    one.press(key, key, key)
    expect(one.page).to_have_url(re.compile(rf"query={order[here + 3 * step]}(&|$)"))
    _wait(one, 2)
    expect(panel.get_by_label("Query", exact=True)).to_have_value(order[here + 3 * step])


def test_short_link_opens_the_same_comparison_elsewhere(app: App, visit: Visits) -> None:
    _, panel = _compare(app, visit, sides="bm25~aligned~light", query=4, measures="AP, P@5")
    text = panel.locator(".era-compared").inner_text()
    panel.get_by_role("button", name="Copy link").click()
    link = panel.get_by_label("Link to this comparison").input_value()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?v=[a-z0-9]{7,}", link)
    other = visit(app, {"v": link.partition("?v=")[2]})
    opened = _wait(other, 3)
    expect(opened.locator(".era-compared")).to_have_text(text)
    assert [opened.get_by_label(name, exact=True).input_value() for name in ("Before", "After", "Third")] == [
        "bm25",
        "aligned",
        "light",
    ]
    expect(opened.locator(".era-part .era-table").first.locator("tbody th")).to_have_text(["AP", "P@5"])
    lost = visit(app, {"v": "2222222"})
    expect(lost.page.locator("#era-compare").get_by_role("alert")).to_contain_text("This link leads to no comparison")


def test_step_right_after_a_mark_measures_all_queries_again(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="bm25~light", query=2)
    held: list[Route] = []
    asked: list[str] = []

    def hold_first(route: Route) -> None:
        sent = route.request.post_data or ""
        if '"sides"' in sent and '"threshold"' in sent:
            asked.append(sent)
            if len(asked) == 1:
                held.append(route)
                return
        route.continue_()

    one.page.route("**/era/ask/*", hold_first)
    top = panel.locator(".era-ranking").first.locator("li .era-title").first
    top.focus()
    one.press("1")
    expect(panel.locator(".era-ranking li .era-sign").first).to_contain_text("✓")
    one.page.wait_for_timeout(1500)
    assert len(held) == 1  # the mark is stored, and what all queries measure is asked for
    with one.page.expect_request("**/era/ask/*"):
        one.press("]")
    _wait(one, 2)
    held[0].continue_()
    one.page.unroute_all()
    assert ['"is_query_only":true' in each.replace(" ", "") for each in asked] == [False] * len(asked)
    assert len(asked) > 1
    assert one.complaints == []


def test_rows_that_are_about_to_go_take_no_marks(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="bm25~light", query=3)
    before = app.n_events()
    held = one.hold(query_id=4)
    text = panel.locator(".era-compared").inner_text()
    top = panel.locator(".era-ranking").first.locator("li .era-title").first
    top.click()
    one.press("]")  # the rows are still those of the query before
    expect(panel.locator(".era-ranking").first).to_be_visible()
    expect(panel.locator(".era-compared")).to_contain_text(text)
    top.click()
    expect(panel.locator(".era-opened .era-mark").first).to_be_disabled()
    one.press("1", "0")
    assert len(held.kept) >= 1
    held.let_go()
    expect(panel.locator(".era-compared")).not_to_contain_text(text)
    _wait(one, 2)
    doc_id = panel.locator(".era-ranking").first.locator("li").first.get_attribute("data-doc")
    top.click()
    one.press("1")
    expect(panel.locator(".era-opened .era-saved")).to_have_text("saved")
    marks = app.rows(
        "SELECT query_id, doc_id, grade FROM judgment_event ORDER BY id DESC LIMIT ?", app.n_events() - before
    )
    assert marks == [(4, doc_id, 1.0)]


def test_preference_lost_on_the_way_is_sent_again(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="aligned~bm25")
    lost: list[str] = []

    def lose_first(route: Route) -> None:
        sent = route.request.post_data or ""
        if '"choice"' in sent and not lost:
            lost.append(sent)  # never answered
        else:
            route.continue_()

    one.page.route("**/era/ask/*", lose_first)
    before = app.rows("SELECT count(*) FROM preference_event")[0][0]
    panel.get_by_role("button", name="Judge blind").click()
    expect(panel.locator(".era-unnamed li").first).to_be_visible()
    text = panel.locator(".era-compared").inner_text()
    one.press("a")
    expect(panel.locator(".era-preferring")).to_contain_text("Saving")
    expect(panel.locator(".era-compared")).not_to_have_text(text, timeout=PATIENCE_S * 1000)
    assert len(lost) == 1
    assert app.rows("SELECT count(*) FROM preference_event")[0][0] == before + 1


def test_blind_round_is_stored_without_naming_a_side(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides="bm25~light")
    panel.get_by_role("button", name="Judge blind").click()
    for key in ("a", "b", "t", "x"):
        expect(panel.locator(".era-unnamed li").first).to_be_visible()
        shown = panel.locator(".era-blind").inner_text()
        assert "BM25" not in shown
        assert "light model" not in shown
        text = panel.locator(".era-compared").inner_text()
        one.press(key)
        expect(panel.locator(".era-compared")).not_to_have_text(text)
    expect(panel.locator(".era-blind")).to_contain_text("4 done")
    stored = app.rows("SELECT preferred, shown_left FROM preference_event ORDER BY id")[-4:]
    assert [preferred for preferred, _ in stored][2:] == ["tie", "neither"]
    assert [preferred == left for preferred, left in stored[:2]] == [True, False]
    panel.get_by_role("button", name="Results").click()
    results = panel.get_by_role("region", name="Results")
    expect(results).to_contain_text("Of 4 queries, ")
    with one.page.expect_download() as download:
        results.get_by_role("button", name="Download as CSV").click()
    assert len(Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()) == 5
    one.press("a")
    expect(results).to_contain_text("Of 5 queries, ")  # what is open is counted again
    one.press("Escape")
    _wait(one, 2)
    expect(panel.get_by_role("button", name="Judge blind")).to_be_focused()


def test_kept_comparison_opens_again_and_its_report_without_the_app(app: App, visit: Visits, tmp_path: Path) -> None:
    one, panel = _compare(app, visit, query=3)
    measured = panel.locator(".era-part .era-main td").first.inner_text()
    panel.get_by_role("button", name="Keep this comparison").click()
    dialog = one.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Monday <b>first</b>")
    dialog.get_by_role("button", name="Keep", exact=True).click()
    expect(panel.locator(".era-kept li")).to_have_count(1)
    expect(panel.locator(".era-kept strong")).to_have_text("Monday <b>first</b>")
    with one.page.expect_download() as download:
        panel.get_by_role("button", name="Report of Monday").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    report = one.page.context.new_page()
    report.goto(file.as_uri())
    expect(report.locator("body")).to_contain_text("Monday <b>first</b>")
    expect(report.locator("body")).to_contain_text(measured)
    expect(report.locator("svg").first).to_be_visible()
    report.close()

    _wait(one, 2)
    panel.get_by_role("button", name="Open Monday").click()
    expect(panel.locator(".era-intro")).to_contain_text("As measured on")
    _wait(one, 2)
    expect(panel.locator(".era-part .era-main td").first).to_have_text(measured)
    panel.get_by_role("button", name="Delete Monday").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(panel.locator(".era-kept li")).to_have_count(0)
    assert app.rows("SELECT count(*) FROM snapshot") == [(0,)]


def test_what_would_settle_a_comparison_lies_on_the_judging_desk(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, sides=f"bm25~{_trained(app, visit)}")
    button = panel.get_by_role("button", name="that would settle it")
    n = int(re.findall(r"\d+", button.inner_text())[0])
    button.click()
    expect(one.page.get_by_role("tab", name="Judge", exact=True)).to_have_attribute("aria-selected", "true")
    expect(one.cards).to_have_count(n)
    expect(one.cards.first.locator(".era-for")).to_be_visible()
    judged = app.rows(
        "SELECT query.text, doc_id FROM current_judgment JOIN query ON query.id = query_id WHERE grade IS NOT NULL"
    )
    for place in range(n):
        asked = one.cards.nth(place).locator(".era-for").inner_text()
        assert not [text for text, doc_id in judged if text in asked and doc_id == one.doc(place)]


def test_phone_shows_columns_to_swipe_and_never_scrolls_sideways(app: App, visit: Visits) -> None:
    one, panel = _compare(app, visit, width=390, sides="light~aligned~bm25", query=2)
    panel.locator(".era-ranking .era-title").first.click()
    expect(panel.locator(".era-opened")).to_be_visible()
    panel.get_by_text("How it is measured").click()
    panel.get_by_role("button", name="Copy link").click()
    expect(panel.get_by_label("Link to this comparison")).to_be_visible()
    inner = "[document.documentElement.scrollWidth, window.innerWidth]"
    width, available = one.page.evaluate(inner)
    assert width <= available
    columns = panel.locator(".era-sides")
    held, shown = columns.evaluate("(node) => [node.scrollWidth, node.clientWidth]")
    assert held > 2 * shown
    panel.get_by_role("group", name="Lists to swipe").get_by_role("button").last.click()
    expect(panel.locator(".era-ranking").last).to_be_in_viewport(ratio=0.1)
    panel.get_by_role("button", name="Judge blind").click()
    expect(panel.locator(".era-unnamed")).to_have_count(2)
    width, available = one.page.evaluate(inner)
    assert width <= available
    tops = panel.locator(".era-unnamed").evaluate_all(
        "lists => lists.map((one) => one.getBoundingClientRect().toJSON())"
    )
    assert tops[0]["left"] == tops[1]["left"]  # one below the other, each as wide as the screen
    assert tops[0]["bottom"] < tops[1]["top"]
    question = panel.get_by_role("heading", name="Which list would have served you better?").bounding_box()
    assert question
    assert question["width"] > 300


def test_query_that_is_still_being_judged_has_a_row_without_numbers(app: App, visit: Visits) -> None:
    desk = visit(app, {"query": 11})
    desk.press("1")
    desk.wait_until_saved()
    one, panel = _compare(app, visit, sides="bm25~light", query=11)
    row = panel.locator('.era-sortable tr[data-query="11"]')
    expect(row).to_contain_text("hidden until you have finished it")
    expect(row.locator("td")).to_have_count(2)
    expect(panel.locator('.era-scatter [data-query="11"]')).to_have_count(0)
    assert panel.locator(".era-scatter [data-query]").count() > 1
    for name in ("change", "relevant", "judged", "before"):
        for _ in range(2):
            panel.locator(".era-sortable").get_by_role("button", name=name, exact=True).click()
            expect(panel.locator(".era-sortable tbody tr").last).to_contain_text("hidden until you have finished it")
    desk.press("k", "c")
    desk.wait_until_saved()
    assert app.grades(11) == {}
    assert one.complaints == []
