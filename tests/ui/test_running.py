"""Reloads, kills, and starts that cannot succeed."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import PATIENCE_S, RUNS, App, StartApp, Visits, free_port, run_app

pytestmark = pytest.mark.browser


def test_training_survives_a_reload(app: App, visit: Visits) -> None:
    one = visit(app)
    expect(one.cards.first).to_be_visible()
    train = one.tab("Train")
    train.get_by_role("button", name="Train", exact=True).click()
    expect(train.locator(".era-progress")).to_be_visible()
    run_id, number = app.rows("SELECT id, number FROM training_run ORDER BY id DESC")[0]
    one.page.reload()
    state = train.locator("tbody tr").filter(has=one.page.get_by_role("cell", name=str(number), exact=True))
    expect(train.locator(".era-progress").or_(state).first).to_be_visible()
    expect(state.locator(".era-state")).to_have_text(re.compile("finished|in use"), timeout=PATIENCE_S * 1000)
    assert app.rows(f"SELECT state, recipe FROM {RUNS} WHERE training_run.id = ?", run_id) == [("finished", "era")]


def test_kill_loses_no_saved_mark_and_ends_the_training(tmp_path: Path, visit: Visits, start_app: StartApp) -> None:
    app = start_app(tmp_path / "data")
    one = visit(app)
    expect(one.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    train = one.tab("Train")
    train.get_by_role("button", name="Train", exact=True).click()
    expect(train.locator(".era-progress")).to_contain_text("/4")  # no longer queued
    one.tab("Judge")
    one.search("a mark right before the end")
    doc_id = one.doc(0)
    one.mark(0)
    app.kill()
    assert app.rows(f"SELECT state, recipe FROM {RUNS}") == [("running", "era")]
    one.page.context.close()

    again = start_app(tmp_path / "data")
    query_id = again.query_id("a mark right before the end")
    assert again.grades(query_id) == {doc_id: 1}
    two = visit(again, {"query": query_id})
    expect(two.cards.first).to_be_visible(timeout=PATIENCE_S * 1000)
    assert two.shown_grades() == {doc_id: 1}
    expect(two.tab("Train").locator("tbody tr .era-state")).to_have_text("interrupted")


def _refused(folder: Path, port: int, output: Path) -> str:
    """Return what an app says that ends by itself with exit code 1."""
    process = run_app(folder, port, output)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline:
            assert "Open http" not in output.read_text(), "the app started after all"
            time.sleep(0.2)
        assert process.poll() == 1
    finally:
        process.kill()
        process.wait()
    text = output.read_text()
    assert "Traceback" not in text
    return text


def test_port_in_use_names_the_setting(app: App, tmp_path: Path) -> None:
    assert "GRADIO_SERVER_PORT" in _refused(tmp_path / "data", app.port, tmp_path / "output.txt")


def test_data_folder_in_use_names_the_setting(app: App, tmp_path: Path) -> None:
    text = _refused(app.folder, free_port(), tmp_path / "output.txt")
    assert "ERA_DATA_DIR" in text
    assert str(app.folder) in text


def test_data_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    text = _refused(tmp_path / "data", free_port(), tmp_path / "output.txt")
    assert str(tmp_path / "data") in text
    assert (tmp_path / "data").read_text() == "not a folder"
