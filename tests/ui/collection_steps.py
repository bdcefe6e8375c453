"""What tests of the Collection tab do and look for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, expect

from tests.ui.conftest import PATIENCE_S, App, Visit

LONG_MS = PATIENCE_S * 1000
RIVERS = (
    "key,name,about\n"
    "nile,Nile,The longest river of Africa flows north into the sea\n"
    "rhine,Rhine,Barges carry goods between mountains and harbours\n"
    "volga,Volga,It ends in a lake that has no outlet\n"
)
MORE_RIVERS = RIVERS.replace("Barges carry", "Ships carry") + "danube,Danube,It touches ten countries\n"


@contextmanager
def own_app(browser: Browser, folder: Path) -> Iterator[App]:
    """Run an app whose collections a test may change, once its documents can be searched."""
    running = App.start(folder / "data", folder / "output.txt")
    try:
        page = browser.new_page()
        page.goto(running.url({"tab": "Judge"}))
        expect(page.locator("#era-judge .era-card").first).to_be_visible(timeout=LONG_MS)
        page.close()
        yield running
    finally:
        running.kill()


def region(one: Visit, name: str) -> Locator:
    """Return the card of a collection."""
    return one.page.locator("#era-collection").get_by_role("region", name=name, exact=True)


def unfold(card: Locator, words: str) -> None:
    card.locator("summary", has_text=words).first.click()


def job(one: Visit, title: str) -> Locator:
    return one.page.locator("#era-collection .era-job").filter(has_text=title)


def bring_in(one: Visit, path: str, name: str) -> Locator:
    """Import a table as a new collection, open it, and return its card."""
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    one.page.locator("input[name=new]").set_input_files(path)
    expect(panel.locator(".era-previewed code").first).to_be_visible()
    panel.get_by_label("Name of the new collection").fill(name)
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(job(one, f"Import of {name}").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    job(one, f"Import of {name}").get_by_role("button", name="Open the imported").click()
    expect(one.page.locator("#era-header")).to_contain_text(name)
    return region(one, name)


def hold_uploads(one: Visit) -> None:
    """Let no file arrive at the server from now on, as on a line that is very slow."""
    one.page.route("**/gradio_api/upload*", lambda route: None)


def drop(one: Visit, place: Locator, path: Path) -> None:
    """Drag a file or a folder of this machine onto the page and drop it."""
    place.evaluate("(node) => node.scrollIntoView({ block: 'center' })")  # at the bottom something may lie over it
    box = place.bounding_box()
    assert box is not None
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    browser = one.page.context.new_cdp_session(one.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        about = {"type": kind, "x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
        browser.send("Input.dispatchDragEvent", about)
    browser.detach()


def fact(card: Locator, name: str) -> Locator:
    return card.locator("dt", has_text=re.compile(f"^{name}$")).locator("xpath=following-sibling::dd[1]")
