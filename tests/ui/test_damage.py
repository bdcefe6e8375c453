"""Damage on disk: a page with words instead of a dead port, and a way back that loses nothing that can be read."""

import random
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from storage.backups import list_backups
from tests.ui.conftest import PATIENCE_S, ROOT, App, free_port, run_app

pytestmark = pytest.mark.browser


def overwrite(database: Path) -> None:
    """Write forty other bytes into a page of the database, as a failing disk may."""
    content = bytearray(database.read_bytes())
    place = content.index(b"CREATE TABLE") + 4  # where it is always read
    content[place : place + 40] = random.Random(0).randbytes(40)
    database.write_bytes(bytes(content))


def wait_for_answer(port: int) -> int:
    """Return the status of the first answer."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError("nothing answers")


def wait_for_backup(database: Path) -> None:
    """Wait for the copy that the app makes of its database once a day."""
    deadline = time.monotonic() + PATIENCE_S
    while not list_backups(database):
        assert time.monotonic() < deadline, "no copy was made"
        time.sleep(0.2)


def test_damaged_database_gives_a_page_with_words_and_can_be_mended(browser: Browser, tmp_path: Path) -> None:
    folder, database = tmp_path / "data", tmp_path / "data" / "era.sqlite3"
    app = App.start(folder, tmp_path / "first.log")
    n_queries = app.rows("SELECT count(*) FROM query")[0][0]
    wait_for_backup(database)
    app.kill()
    with closing(sqlite3.connect(database)) as connection:  # puts what lies in the write-ahead log into the file
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(database)
    damaged = database.read_bytes()

    port = free_port()
    process = run_app(folder, port, tmp_path / "second.log")
    page = browser.new_page()
    try:
        assert wait_for_answer(port) == 503
        page.goto(f"http://127.0.0.1:{port}/?tab=Compare")
        expect(page.get_by_role("heading", name="What is safe")).to_be_visible()
        expect(page.get_by_text("Nothing in it was changed or deleted.")).to_be_visible()
        expect(page.get_by_text("The newest backup of the database is")).to_be_visible()
        expect(page.get_by_text("python -m storage.rescue")).to_be_visible()
        assert database.read_bytes() == damaged
    finally:
        page.close()
        process.kill()
        process.wait()

    mended = [sys.executable, "-m", "storage.rescue", str(database)]
    subprocess.run(mended, cwd=ROOT, check=True, capture_output=True)
    app = App.start(folder, tmp_path / "third.log")
    try:
        assert app.rows("SELECT count(*) FROM query")[0][0] == n_queries
    finally:
        app.kill()
