"""The real app in a process of its own, and Chromium to use it with; what was stored is read from SQLite directly."""

import atexit
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from era.encoders.spec import N_ALIGNMENT_TEXTS
from tests.ui.forks import ForkedApp, Forks

Parameters = Mapping[str, str | int]

QUESTIONS = re.compile(r"/era/(ask/|marks$)")
"""Where a page sends what it asks, and the marks that are made on it."""

RUNS = "training_run JOIN job ON job.training_run_id = training_run.id AND job.kind = 'train'"
"""The training runs in SQL, each with its place in the queue."""

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
"""How long a test waits for the app to start or to train before it gives up."""

TRACES = ROOT / ".pytest-traces"
_HAS_FAILED = pytest.StashKey[bool]()

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
"""The browser; without windows, that no one looks at, it needs half the time."""

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

expect.set_options(timeout=30_000)


_shared: Path | None = None  # a folder of the whole run, whichever process does the tests


@pytest.fixture(scope="session", autouse=True)
def _folder_is_shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _shared
    base = tmp_path_factory.getbasetemp()
    _shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def prepared_demo() -> Path:
    """Return a data folder with the demo collection, searchable and aligned; it is prepared once in a run."""
    assert _shared is not None
    folder = _shared / "demo"
    with FileLock(_shared / "demo.lock"):
        if not folder.is_dir():
            command = [sys.executable, "-m", "tests.ui.prepared_demo", str(_shared / "preparing")]
            environment = {
                name: value for name, value in os.environ.items() if not name.startswith(("ERA_", "GRADIO_"))
            }
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
            (_shared / "preparing").rename(folder)
    return folder


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@cache
def _forks() -> Forks:
    made = Forks()
    atexit.register(made.close)
    return made


def fork_app(
    folder: Path, port: int, output: Path, *arguments: str, **variables: str
) -> ForkedApp | subprocess.Popen[bytes]:
    """Start an app in a process that has imported everything; a new folder has the demo collection prepared."""
    if not folder.exists():
        shutil.copytree(prepared_demo(), folder)
    if not hasattr(os, "pidfd_open"):  # only Linux can watch a process that is no child
        return run_app(folder, port, output, *arguments, **variables)
    return _forks().start(arguments, _variables(folder, port) | variables, output)


def _variables(folder: Path, port: int) -> dict[str, str]:
    return {
        "ERA_DATA_DIR": str(folder),
        "ERA_ALIGNMENT_TEXTS": str(N_ALIGNMENT_TEXTS),  # so that no ranking changes under a test
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
    }


def run_app(folder: Path, port: int, output: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start `python app.py` with these arguments and variables; in a new folder it does all but embed the demo."""
    if not folder.exists():
        shutil.copytree(prepared_demo() / "vectors", folder / "vectors")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ERA_", "GRADIO_"))}
    environment |= _variables(folder, port)
    with output.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "app.py", *arguments],
            cwd=ROOT,
            env=environment | variables,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


@dataclass(frozen=True)
class App:
    """A running app and where it keeps things."""

    process: ForkedApp | subprocess.Popen[bytes]
    folder: Path
    port: int
    output: Path

    @classmethod
    def start(cls, folder: Path, output: Path, people: Path | None = None) -> "App":
        """Start the app and return once its page can be opened."""
        port = free_port()
        variables = {"ERA_NAME": "ann", "ERA_PEOPLE": "" if people is None else str(people)}
        app = cls(fork_app(folder, port, output, **variables), folder, port, output)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and app.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                    return app
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        app.kill()
        raise AssertionError(f"the app did not start:\n{output.read_text()}")

    def url(self, parameters: Parameters) -> str:
        """Return the address of the page."""
        return f"http://127.0.0.1:{self.port}/?{urlencode(parameters)}"

    def rows(self, statement: str, *values: str | int) -> list[tuple[Any, ...]]:
        """Return what the database holds."""
        connection = sqlite3.connect(f"file:{self.folder / 'era.sqlite3'}?mode=ro", uri=True)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def query_id(self, text: str) -> int:
        """Return the newest stored query of this text."""
        found: int = self.rows("SELECT max(id) FROM query WHERE text = ?", text)[0][0]
        return found

    def grades(self, query_id: int, author: str = "ann") -> dict[str, float]:
        """Return the author's grades that stand in the first label set."""
        return dict(
            self.rows(
                "SELECT doc_id, grade FROM current_judgment WHERE query_id = ? AND label_set_id = 1 AND author = ? "
                "AND role = 'judge' AND grade IS NOT NULL",
                query_id,
                author,
            )
        )

    def said(self, text: str) -> list[tuple[str, float | None]]:
        """Return (document id, grade) of all that was said of a query, in the order it was said."""
        return self.rows("SELECT doc_id, grade FROM judgment_event WHERE query_id = ? ORDER BY id", self.query_id(text))

    def n_searches(self, query_id: int) -> int:
        """Return how many rankings of a query were asked for."""
        count: int = self.rows("SELECT count(*) FROM search_event WHERE query_id = ?", query_id)[0][0]
        return count

    def n_events(self) -> int:
        """Return how many acts of judging are stored."""
        count: int = self.rows("SELECT count(*) FROM judgment_event")[0][0]
        return count

    def kill(self) -> None:
        """End the process at once, without a chance to tidy up."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Held:
    """What a page asked the server and is kept back, as on a slow line."""

    page: Page
    kept: list[Route]
    rule: Callable[[Route], None]

    def let_go(self) -> None:
        """Let the server have all of it now."""
        for route in self.kept:
            route.continue_()
        self.page.unroute(QUESTIONS, self.rule)


@dataclass(frozen=True)
class Visit:
    """A page in a browser context of its own."""

    page: Page
    app: App
    complaints: list[str] = field(default_factory=list)

    @property
    def cards(self) -> Locator:
        """Return the documents found."""
        return self.page.locator("#era-judge .era-card")

    @property
    def status(self) -> Locator:
        """Return the line that says what was saved."""
        return self.page.locator("#era-judge .era-status")

    @property
    def box(self) -> Locator:
        """Return the query box."""
        return self.page.locator("#era-judge textarea[name=query]")

    @property
    def alert(self) -> Locator:
        """Return what the Judge tab complains about."""
        return self.page.locator("#era-judge [role=alert]")

    def hold(self, **named: Any) -> Held:
        """Keep back what the page asks with these values, so that its answer comes late."""
        kept: list[Route] = []

        def rule(route: Route) -> None:
            sent = route.request.post_data_json or {}
            if named.items() <= sent.items():
                kept.append(route)
            else:
                route.fallback()

        self.page.route(QUESTIONS, rule)
        return Held(self.page, kept, rule)

    def drawn_for(self) -> set[int]:
        """Return the queries that the shown documents were drawn for."""
        return {int(each) for each in self.cards.evaluate_all("all => all.map((card) => card.dataset.query)")}

    def tab(self, name: str) -> Locator:
        """Open a tab and return its panel."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        panel = self.page.locator(f"#era-{name.lower()} .era-page")
        expect(self.page.locator("#era-judge .era-desk") if name == "Judge" else panel).to_be_visible()
        return panel

    def search(self, text: str, instruction: str | None = None) -> None:
        """Search as a person does and wait for the documents to judge."""
        self.box.fill(text)
        if instruction is not None:
            self.page.get_by_label("Instruction", exact=True).select_option("other")
            self.page.get_by_label("Your instruction").fill(instruction)
        self.page.get_by_role("button", name="Search", exact=True).click()
        item = self.page.locator(".era-query-item[aria-current=true] .era-query-text")
        expect(item).to_have_text(text)
        expect(self.box).to_have_value(text)
        expect(self.cards.first).to_be_visible()
        expect(self.page.locator("#era-judge .era-busy")).to_have_count(0)

    def view(self, name: str) -> None:
        """Show the documents to judge ("To judge") or a ranking ("Ranking")."""
        button = self.page.locator("#era-judge .era-views").get_by_role("button", name=name, exact=True)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(self.page.locator("#era-judge .era-busy")).to_have_count(0)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as fast as the browser takes them."""
        for key in keys:
            self.page.keyboard.press(key)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so that the page does not show, such as what the server has stored."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, "it never came to that"
            self.page.wait_for_timeout(50)

    def wait_until_saved(self) -> None:
        """Wait until nothing is left to deliver."""
        expect(self.status).to_contain_text("saved ✓")

    def shown_grades(self) -> dict[str, float]:
        """Return the marks that the page shows by their buttons."""
        shown: dict[str, float] = self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("#era-judge .era-card")].map((card) => [
                card.dataset.doc, card.querySelector(".era-mark[aria-pressed=true]")?.dataset.key,
            ]).filter(([, key]) => key !== undefined && key !== "s").map(([doc, key]) => [doc, Number(key)]))"""
        )
        return shown

    def doc(self, place: int) -> str:
        """Return the document id of a result."""
        return self.cards.nth(place).get_attribute("data-doc") or ""

    def mark(self, place: int, name: str = "relevant") -> None:
        """Mark a result by its button and wait until the page says that it is saved."""
        card = self.cards.nth(place)
        title = card.locator("h3").inner_text()
        card.locator(".era-mark.era-yes" if name == "relevant" else ".era-mark.era-no").click()
        expect(card.locator(".era-saved")).to_have_text("saved")
        expect(self.status).to_contain_text(f"saved ✓  {title} {name}")


class Visits(Protocol):
    """Opens the page of an app in a new browser context."""

    def __call__(
        self,
        app: App,
        parameters: Parameters | None = None,
        width: int = 1280,
        person: str = "",
        is_first: bool = False,
        **options: Any,
    ) -> Visit:
        """Open the page with these URL parameters and wait until it is drawn.

        `person` signs in with that password; `is_first` is for somebody who has never been here, and is welcomed.
        """


class StartApp(Protocol):
    """Starts another app."""

    def __call__(self, folder: Path, people: Path | None = None) -> App:
        """Start it on a data folder and return once its page can be opened."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the path")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test failed, for what tidies up after it."""
    report = yield
    if report.when == "call":
        item.stash[_HAS_FAILED] = report.failed
    return report


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visits]:
    """Return what opens pages; what a failed test did in each browser context is kept as a trace of Playwright."""
    contexts = []

    def open_page(
        app: App,
        parameters: Parameters | None = None,
        width: int = 1280,
        person: str = "",
        is_first: bool = False,
        **options: Any,
    ) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": 900}, **{"locale": "en-US", **options})
        contexts.append(context)
        if not is_first:
            context.add_init_script("try { localStorage.setItem('era-has-been-here', '1') } catch { /* no storage */ }")
        context.tracing.start(snapshots=True)
        one = Visit(context.new_page(), app)
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        one.page.on(
            "console",
            lambda message: one.complaints.append(message.text) if message.type == "error" else None,
        )
        if person:
            context.request.post(app.url({}).partition("?")[0] + "login", form={"username": person, "password": person})
        one.page.goto(app.url({"labels": 1, **(parameters or {})}))
        expect(one.page.locator("#era-header .era-header")).to_be_visible()
        return one

    yield open_page
    name = re.sub(r"\W+", "-", request.node.nodeid.removeprefix("tests/ui/")).strip("-")
    for number, context in enumerate(contexts, start=1):
        if request.node.stash.get(_HAS_FAILED, False):
            context.tracing.stop(path=TRACES / f"{name}-{number}.zip")
        context.close()


@pytest.fixture
def start_app(tmp_path: Path) -> Iterator[StartApp]:
    """Return what starts another app on a data folder; all are ended with the test."""
    apps: list[App] = []

    def start(folder: Path, people: Path | None = None) -> App:
        apps.append(App.start(folder, tmp_path / f"output-{len(apps)}.txt", people))
        return apps[-1]

    yield start
    for app in apps:
        app.kill()


@pytest.fixture(scope="session")
def app(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return the app that most tests share, once the demo collection is searchable and aligned."""
    folder = tmp_path_factory.mktemp("era")
    running = App.start(folder / "data", folder / "output.txt")
    try:
        wait_until_aligned(browser, running)
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="session")
def shared_desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an app where Ann and Ben have to sign in; each one's password is the name."""
    folder = tmp_path_factory.mktemp("era-people")
    people = folder / "people.txt"
    people.write_text("ann:ann\nben:ben\n")
    running = App.start(folder / "data", folder / "output.txt", people)
    try:
        yield running
    finally:
        running.kill()


def wait_until_aligned(browser: Browser, app: App) -> None:
    """Wait until the demo collection is searchable and aligned."""
    page = browser.new_page()
    page.goto(app.url({}))
    expect(page.locator("#era-header .era-header")).to_be_visible()
    expect(page.locator(".era-preparing")).to_have_count(0, timeout=PATIENCE_S * 1000)
    page.close()
