"""Training runs in the browser: what they come to, which ranking goes in use, in line, opened, named, deleted."""

import json
import random
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.collection_steps import bring_in
from tests.ui.conftest import PATIENCE_S, RUNS, App, StartApp, Visits

pytestmark = pytest.mark.browser

LONG = PATIENCE_S * 1000
DONE = re.compile("finished|in use")  # which of these depends on what else was judged and found best


def row(panel: Locator, number: int) -> Locator:
    """Return the row of a training run."""
    page = panel.page
    return panel.locator("tr.era-run").filter(has=page.get_by_role("cell", name=str(number), exact=True))


def train_once(app: App, panel: Locator) -> int:
    """Press Train, wait until the run is finished, and return its number."""
    before = app.rows("SELECT coalesce(max(number), 0) FROM training_run")[0][0]
    panel.get_by_role("button", name="Train", exact=True).click()
    expect(row(panel, before + 1).locator(".era-state")).to_have_text(DONE, timeout=LONG)
    return int(before) + 1


def parts_catalogue(folder: Path) -> Path:
    """Return a judged collection of spare parts: the light model finds every code, aligned vectors alone do not."""
    drawn, nouns = random.Random(3), ("pump", "valve", "gasket", "rotor", "switch")
    codes = [f"{drawn.choice('BKQXZ')}{drawn.choice('JTVW')}-{drawn.randint(1000, 9999)}" for _ in range(60)]
    documents = [
        {"id": f"d{i}", "title": f"{nouns[i % 5]} {code}", "text": f"Spare part {code} of the {nouns[i % 5]}, box {i}."}
        for i, code in enumerate(codes)
    ]
    asked = (10, 14, 15, 21, 22)  # whose codes aligned vectors take for others
    queries = [{"id": f"q{i}", "text": codes[i], "instruction": "Find music of the Middle Ages"} for i in asked]
    packed = folder / "parts.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("corpus.jsonl", "\n".join(map(json.dumps, documents)))
        archive.writestr("queries.jsonl", "\n".join(map(json.dumps, queries)))
        archive.writestr("qrels.tsv", "\n".join(f"q{i}\td{i}\t1" for i in asked))
    return packed


def any_finished(app: App, panel: Locator) -> int:
    """Return the number of a finished run, trained now if there is none yet."""
    finished = app.rows(f"SELECT max(number) FROM {RUNS} WHERE state = 'finished' AND deleted_at IS NULL")[0][0]
    return finished or train_once(app, panel)


def newest_that_chose(app: App) -> int | None:
    """Return the number of the newest run that compared rankings; what is better than what is told by its figures."""
    statement = (
        f"SELECT max(number) FROM {RUNS} WHERE training_run.collection_id = 1 AND label_set_id = 1"
        " AND state = 'finished' AND deleted_at IS NULL AND json_extract(measures, '$.choice') IS NOT NULL"
    )
    number: int | None = app.rows(statement)[0][0]
    return number


def put_in_use(panel: Locator, key: str) -> None:
    """Choose a ranking from the list and wait until it is in use."""
    panel.get_by_label("Ranking in use").select_option(key)
    expect(panel.get_by_label("Ranking in use")).to_have_value(key)


def open_row(panel: Locator, number: int) -> Locator:
    """Open a training run and return its details."""
    row(panel, number).get_by_role("button", name=str(number), exact=True).click()
    details = panel.locator(".era-run-details")
    expect(details.locator(".era-facts")).to_be_visible()
    return details


def test_run_that_gains_nothing_leaves_the_light_model_in_use_and_says_so(
    tmp_path: Path, visit: Visits, start_app: StartApp
) -> None:
    app = start_app(tmp_path / "data")
    one = visit(app)
    bring_in(one, str(parts_catalogue(tmp_path)), "spare parts")
    train = one.tab("Train")
    expect(train.locator(".era-lead")).to_contain_text("5 queries judged, 5 with something relevant")
    train.get_by_role("button", name="Train", exact=True).click()
    expect(row(train, 1).locator(".era-state")).to_have_text("finished", timeout=LONG)

    [(run_id, measured)] = app.rows("SELECT id, measures FROM training_run")
    measures = json.loads(measured)
    names = ("light", measures["aligned"], measures["after"])
    light, aligned, after = (f"{measures['means'][name]['nDCG@10']:.2f}" for name in names)
    assert (light, after) == ("1.00", "1.00")
    total = measures["from_light"]
    said = train.locator(".era-outcome")
    expect(said.get_by_role("heading")).to_have_text("No difference yet.")
    expect(said.locator(".era-verdict")).to_have_text(
        f"On 5 queries, each ranked without its own marks: nDCG@10 {light} → {after}"
    )
    expect(said.locator(".era-strip")).to_have_text(re.compile(rf"^{total['n_same']} same"))
    said.get_by_text("Details").click()
    expect(said).to_contain_text(f"No difference on queries it had not seen: nDCG@10 {light} → {after}")
    expect(said).to_contain_text(
        f"0 better, {total['n_same']} same, {total['n_worse']} worse than the light model alone"
    )
    assert total["n_same"] + total["n_worse"] == 5
    expect(said).to_contain_text(f"{light} → {aligned} (no difference); your marks, {aligned} → {after} (")
    assert said.inner_text().count(" better, ") == 1  # one set of counts
    expect(said.locator("thead abbr")).to_have_text(["nDCG@10", "R@10", "RR", "Judged@10"])
    in_use = train.locator(".era-in-use")
    assert measures["choice"]["ranking"] == "light"
    expect(in_use).to_contain_text(f"In use: light model alone. {measures['choice']['reason']}")
    expect(in_use).to_contain_text("On your 5 queries it ranks ")
    expect(said.locator("tr.era-main")).to_contain_text("Light model alone in use")
    stored = "SELECT in_use FROM label_set WHERE collection_id = (SELECT collection_id FROM training_run)"
    assert app.rows(stored) == [("light",)]

    put_in_use(train, f"run-{run_id}+words")
    expect(in_use).to_contain_text("In use: after your marks (run 1). On your 5 queries it ranks with")
    expect(in_use).to_contain_text("the best was “light model alone” with 1.00.")
    expect(row(train, 1).locator(".era-state")).to_have_text("in use")
    assert app.rows(stored) == [(f"run-{run_id}+words",)]
    one.tab("Judge")
    one.view("Ranking")
    expect(one.page.get_by_label("Ranked by")).to_have_value(f"run-{run_id}+words")
    expect(one.page.get_by_role("button", name=re.compile("better", re.IGNORECASE))).to_have_count(0)
    assert one.complaints == []


def test_queries_are_kept_for_testing_and_let_go(app: App, visit: Visits) -> None:
    one = visit(app)
    train = one.tab("Train")
    labelled = int(re.findall(r"(\d+) with something relevant", train.locator(".era-lead").inner_text())[0])
    kept = "SELECT count(*) FROM test_query WHERE label_set_id = 1"
    train.get_by_role("button", name="Keep some for testing").click()
    let_go = train.get_by_role("button", name="Let them be learned from")
    expect(let_go).to_be_visible()
    [(n_kept,)] = app.rows(kept)
    assert labelled / 5 < n_kept < labelled / 3
    expect(train.locator(".era-testing")).to_contain_text(
        f"{labelled - n_kept} to learn from, {n_kept} kept for testing"
    )
    let_go.click()
    expect(train.get_by_role("button", name="Keep some for testing")).to_be_visible()
    assert app.rows(kept) == [(0,)]
    assert one.complaints == []


def test_several_runs_wait_in_line_and_one_leaves_it(app: App, visit: Visits) -> None:
    one = visit(app)
    train = one.tab("Train")
    first = app.rows("SELECT coalesce(max(number), 0) FROM training_run")[0][0] + 1
    for number in range(first, first + 3):
        train.get_by_role("button", name="Train", exact=True).click()
        expect(row(train, number)).to_be_visible()
    last = row(train, first + 2)
    last.get_by_role("button", name=f"Take run {first + 2} out of the line").click()
    expect(last.locator(".era-state")).to_have_text("cancelled")
    watching = visit(app).tab("Train")  # a second browser sees the same rows
    for panel in (train, watching):
        for number in (first, first + 1):
            expect(row(panel, number).locator(".era-state")).to_have_text(DONE, timeout=LONG)
    last.get_by_role("button", name=f"Resume run {first + 2}").click()
    expect(last.locator(".era-state")).to_have_text(DONE, timeout=LONG)
    assert one.complaints == []


def test_only_what_is_put_in_use_is_announced(app: App, visit: Visits) -> None:
    one = visit(app)
    train = one.tab("Train")
    number = newest_that_chose(app) or train_once(app, train)
    put_in_use(train, "light")
    expect(train.locator(".era-in-use")).to_contain_text("In use: light model alone.")
    one.page.evaluate(
        "window.heard = []; document.addEventListener('era:in-use', (event) => window.heard.push(event.detail))"
    )
    row(train, number).get_by_role("button", name=f"Use run {number}").click()
    expect(row(train, number).locator(".era-state")).to_have_text("in use")
    [(run_id, measured)] = app.rows(
        "SELECT id, measures FROM training_run WHERE number = ? AND collection_id = 1", number
    )
    told = json.loads(measured).get("after", "after").replace("after", f"run-{run_id}")
    everything = one.page.evaluate("window.heard")
    assert len(everything) == 1, everything
    [heard] = everything
    assert (heard["key"], heard["was"]) == (told, "light")
    assert heard["ranker"]["run"].startswith(str(number))
    assert "light" in heard["better_than"]
    announced = [heard]
    last = app.rows("SELECT max(number) FROM training_run")[0][0] + 1
    train.get_by_role("button", name="Train", exact=True).click()
    train.locator(".era-progress").get_by_role("button", name="Cancel", exact=True).first.click()
    expect(row(train, last).locator(".era-state")).to_have_text("cancelled", timeout=LONG)
    expect(train.locator(".era-outcome")).to_be_visible()  # no run is under way, the earlier gain is shown again
    assert one.page.evaluate("window.heard") == announced
    assert one.complaints == []


def test_details_tell_what_a_run_is_made_of(app: App, visit: Visits) -> None:
    one = visit(app)
    train = one.tab("Train")
    details = open_row(train, any_finished(app, train))
    expect(details.locator(".era-facts")).to_contain_text("Fingerprint of the labels")
    expect(details.get_by_role("img", name=re.compile("on each part that was held out"))).to_be_visible()
    details.locator("summary", has_text="What it learned from").click()
    details.locator(".era-taught summary").first.click()
    expect(details.locator(".era-taught li li").first).to_contain_text("relevant")
    details.locator("summary", has_text="What was marked otherwise").click()
    details.get_by_role("button", name="Compare labels").click()
    expect(details).to_contain_text(re.compile("the marks are the same|added,"))
    assert one.complaints == []


def test_what_is_typed_survives_the_progress_of_another_run(app: App, visit: Visits) -> None:
    one = visit(app)
    train = one.tab("Train")
    number = train_once(app, train)
    details = open_row(train, number)
    train.get_by_role("button", name="Train", exact=True).click()
    name = details.get_by_label(f"Name of run {number}")
    name.press_sequentially("the one to keep", delay=60)
    expect(name).to_be_focused()
    expect(row(train, number + 1).locator(".era-state")).to_have_text(DONE, timeout=LONG)
    expect(name).to_have_value("the one to keep")
    details.get_by_role("button", name="Save").click()
    expect(row(train, number)).to_contain_text("the one to keep")
    row(train, number).get_by_role("button", name=f"Use run {number}").click()
    expect(row(train, number).locator(".era-state")).to_have_text("in use")
    put_in_use(train, "aligned")
    expect(train.locator(".era-in-use")).to_contain_text("In use: aligned, no labels, vectors alone.")
    assert app.rows("SELECT in_use FROM label_set WHERE id = 1") == [("aligned",)]
    details.get_by_role("button", name="Delete …").click()
    dialog = one.page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Delete run {number} “the one to keep”?")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(row(train, number)).to_have_count(0)
    assert one.complaints == []


def test_killed_run_is_resumed_in_the_browser(tmp_path: Path, visit: Visits, start_app: StartApp) -> None:
    app = start_app(tmp_path / "data")
    train = visit(app).tab("Train")
    train.get_by_role("button", name="Train", exact=True).click()
    expect(train.locator(".era-progress")).to_contain_text("/4", timeout=LONG)
    app.kill()
    again = start_app(tmp_path / "data")
    two = visit(again)
    train = two.tab("Train")
    expect(row(train, 1).locator(".era-state")).to_have_text("interrupted")
    train.get_by_role("button", name="Resume run 1").click()
    expect(row(train, 1).locator(".era-state")).to_have_text(DONE, timeout=2 * LONG)
    assert again.rows(f"SELECT number, state FROM {RUNS}") == [(1, "finished")]


def scroll_widths(page: Page) -> tuple[int, int]:
    """Return how wide the page is, and the window."""
    width, inner = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return width, inner


def test_opened_run_fits_a_phone(app: App, visit: Visits) -> None:
    one = visit(app, width=390)
    train = one.tab("Train")
    details = open_row(train, any_finished(app, train))
    details.locator("summary", has_text="Would more labels help?").click()
    width, inner = scroll_widths(one.page)
    assert width <= inner
    box = details.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
