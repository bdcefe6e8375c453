"""The judging desk in a real Chromium: how long the query list and the desk of a query take until they are drawn."""

import shutil
from importlib.util import find_spec
from random import Random
from typing import Any

from benchmarks.load_app import RunningApp, password_of
from benchmarks.load_seed import Seeded

_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

_DRAWN = """
// Resolves with the milliseconds until isDrawn() holds after a change of the page, laid out and painted.
window.untilDrawn = (start, isDrawn) => new Promise((resolve) => {
  const desk = document.querySelector("#era-judge");
  const painted = () => requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
  const observer = new MutationObserver(() => {
    if (!isDrawn()) return;
    observer.disconnect();
    desk.getBoundingClientRect();
    painted();
  });
  observer.observe(desk, { childList: true, subtree: true, attributes: true });
});
document.addEventListener("era:queries", (event) => { window.lastList = event.detail; });
"""
_CLICK = """(queryId) => {
  const item = document.querySelector(`#era-judge [data-query="${queryId}"] button`);
  item.scrollIntoView();
  const start = performance.now();
  const drawn = window.untilDrawn(start, () =>
    document.querySelector(`#era-judge [data-query="${queryId}"] button[aria-current=true]`)
    && document.querySelectorAll("#era-judge .era-card").length > 0 && !document.querySelector("#era-judge .era-busy"));
  item.click();
  return drawn;
}"""
_ASK = """() => {
  const start = performance.now();
  const before = window.lastList;
  const drawn = window.untilDrawn(start, () => window.lastList !== before);
  document.dispatchEvent(new CustomEvent("era:ready"));
  return drawn;
}"""
_DRAW = """() => {
  const start = performance.now();
  document.dispatchEvent(new CustomEvent("era:queries", { detail: window.lastList }));
  document.querySelector("#era-judge .era-query-list").getBoundingClientRect();
  return performance.now() - start;
}"""
_EMPTY = """() => new Promise((resolve) => {
  const start = performance.now();
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
})"""

Drawn = dict[str, list[float]]


def why_not() -> str:
    """Return why no browser can be measured here; empty if one can."""
    if shutil.which("chromium") is None:
        return "no chromium on the path"
    return "" if find_spec("playwright") else "no playwright"


def measure_page(app: RunningApp, name: str, seeded: Seeded, n_times: int) -> Drawn:
    """Return milliseconds of `click` on a query, `list` asked for, `draw` of the list alone, and an empty `frame`."""
    from playwright.sync_api import Page, sync_playwright

    def measure(page: Page) -> Drawn:
        drawn: Drawn = {"click": [], "list": [], "draw": [], "frame": []}
        for query_id in Random(1).sample(seeded.query_ids, min(n_times, len(seeded.query_ids))):
            if page.locator(f'#era-judge [data-query="{query_id}"] button[aria-current=true]').count():
                continue  # open already
            for what, script, argument in (
                ("click", _CLICK, query_id),
                ("list", _ASK, None),
                ("draw", _DRAW, None),
                ("frame", _EMPTY, None),
            ):
                took: Any = page.evaluate(script, argument)
                drawn[what].append(float(took))
        return drawn

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        try:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            signed_in = page.request.post(f"{app.url}/login", form={"username": name, "password": password_of(name)})
            if not signed_in.ok:
                raise RuntimeError(f"{name} could not sign in: {signed_in.status}")
            page.add_init_script(_DRAWN)
            page.goto(f"{app.url}/?collection={seeded.collection_id}&labels={seeded.label_set_id}")
            page.wait_for_function(
                "(n) => document.querySelectorAll('#era-judge .era-query-item').length === n", arg=seeded.n_queries
            )
            return measure(page)
        finally:
            browser.close()
