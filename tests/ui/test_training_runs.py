"""Training runs in the browser: in line, opened, named, put to use, deleted."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.conftest import PATIENCE_S, App, StartApp, Visits

pytestmark = pytest.mark.browser

LONG = PATIENCE_S * 1000


def row(panel: Locator, number: int) -> Locator:
    """Return the row of a training run."""
    page = panel.page
    return panel.locator("tr.era-run").filter(has=page.get_by_role("cell", name=str(number), exact=True))


def train_once(app: App, panel: Locator) -> int:
    """Press Train, wait until the run is in use, and return its number."""
    before = app.rows("SELECT coalesce(max(number), 0) FROM training_run")[0][0]
    panel.get_by_role("button", name="Train", exact=True).click()
    expect(row(panel, before + 1).locator(".era-state")).to_have_text("in use", timeout=LONG)
    return int(before) + 1


def any_finished(app: App, panel: Locator) -> int:
    """Return the number of a finished run, trained now if there is none yet."""
    finished = app.rows("SELECT max(number) FROM training_run WHERE state = 'finished' AND deleted_at IS NULL")[0][0]
    return finished or train_once(app, panel)


def open_row(panel: Locator, number: int) -> Locator:
    """Open a training run and return its details."""
    row(panel, number).get_by_role("button", name=str(number), exact=True).click()
    details = panel.locator(".era-run-details")
    expect(details.locator(".era-facts")).to_be_visible()
    return details


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
            expect(row(panel, number).locator(".era-state")).to_have_text(re.compile("finished|in use"), timeout=LONG)
        expect(row(panel, first + 1).locator(".era-state")).to_have_text("in use")
    last.get_by_role("button", name=f"Resume run {first + 2}").click()
    expect(last.locator(".era-state")).to_have_text("in use", timeout=LONG)
    assert one.complaints == []


def test_only_what_is_put_in_use_is_announced(app: App, visit: Visits) -> None:
    one = visit(app)
    train = one.tab("Train")
    number = any_finished(app, train)
    aligned = train.get_by_role("button", name="use the aligned ranking, no labels")
    if aligned.is_visible():
        aligned.click()
    expect(train).to_contain_text("In use: the aligned ranking")
    one.page.evaluate(
        "window.heard = []; document.addEventListener('era:better', (event) => window.heard.push(event.detail))"
    )
    row(train, number).get_by_role("button", name=f"Use run {number}").click()
    expect(row(train, number).locator(".era-state")).to_have_text("in use")
    [(run_id,)] = app.rows("SELECT id FROM training_run WHERE number = ?", number)
    announced = [{"key": f"run-{run_id}", "run": str(number)}]
    assert one.page.evaluate("window.heard") == announced
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
    expect(row(train, number + 1).locator(".era-state")).to_have_text("in use", timeout=LONG)
    expect(name).to_have_value("the one to keep")
    details.get_by_role("button", name="Save").click()
    expect(row(train, number)).to_contain_text("the one to keep")
    row(train, number).get_by_role("button", name=f"Use run {number}").click()
    expect(row(train, number).locator(".era-state")).to_have_text("in use")
    train.get_by_role("button", name="use the aligned ranking, no labels").click()
    expect(train).to_contain_text("In use: the aligned ranking")
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
    expect(row(train, 1).locator(".era-state")).to_have_text("in use", timeout=2 * LONG)
    assert again.rows("SELECT number, state FROM training_run") == [(1, "finished")]


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
