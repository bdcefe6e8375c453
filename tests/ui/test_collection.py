"""One's own documents in a real browser: brought in, changed, read by other embedders, put away."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.era.embedding_server import EmbeddingServer
from tests.ui.collection_steps import (
    LONG_MS,
    MORE_RIVERS,
    RIVERS,
    bring_in,
    drop,
    fact,
    hold_uploads,
    job,
    own_app,
    region,
    unfold,
)
from tests.ui.conftest import PATIENCE_S, App, Visit, Visits

pytestmark = pytest.mark.browser

OURS = {"include": [["#era-header"], ["#era-collection"]]}


@pytest.fixture(scope="module")
def own(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an app whose collections these tests may change."""
    with own_app(browser, tmp_path_factory.mktemp("era-own")) as running:
        yield running


@pytest.fixture
def sent(tmp_path: Path) -> Any:
    """Return what writes a file to be sent."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong, with the place."""
    found: Any = Axe().run(page, context=OURS).response
    return [f"{each['id']}: {node['html'][:160]}" for each in found["violations"] for node in each["nodes"]]


def sticking_out(page: Page) -> list[str]:
    """Return what reaches beyond the right edge of the page."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("#era-collection *")].filter((node) => !node.closest(".era-scroll")
            && node.getBoundingClientRect().width && node.getBoundingClientRect().right > window.innerWidth)
            .map((node) => node.outerHTML.slice(0, 120))"""
    )
    return found


def test_files_are_looked_at_imported_and_searched(own: App, visit: Visits, sent: Any) -> None:
    one = visit(own, {"collection": 1})
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    one.page.locator("input[name=new]").set_input_files(sent("broken.csv", 'key,about\na,one\nb,"two\n'))
    expect(panel.get_by_role("alert")).to_contain_text("broken.csv, line 3")
    one.page.locator("input[name=new]").set_input_files(sent("rivers.csv", RIVERS))
    documents = panel.locator(".era-previewed li")
    expect(documents).to_have_count(3)
    one.page.locator("input[name=new]").set_input_files(sent("one.csv", "key,about\na,one\n"))
    expect(documents).to_have_count(1)
    one.page.locator("input[name=new]").set_input_files(sent("rivers.csv", RIVERS))
    expect(documents).to_have_count(3)
    panel.get_by_label("Column for the title").select_option("about")
    expect(documents.first.locator("strong")).to_have_text("The longest river of Africa flows north into the sea")
    panel.get_by_label("Column for the title").select_option("name")
    panel.get_by_label("Column for the text").select_option("about")
    panel.get_by_label("Column for the id").select_option("key")
    expect(documents.first).to_contain_text("nile")
    expect(documents.first.locator("strong")).to_have_text("Nile")
    panel.get_by_label("Name of the new collection").fill("Python standard library")
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(panel.get_by_role("alert")).to_contain_text("Python standard library")  # the name is taken
    panel.get_by_label("Name of the new collection").fill("Rivers")
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(job(one, "Import of Rivers").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    job(one, "Import of Rivers").get_by_role("button", name="Open the imported").click()
    expect(one.page.locator("#era-header")).to_contain_text("Rivers")
    expect(fact(region(one, "Rivers"), "Documents")).to_have_text("3")
    one.tab("Judge")
    one.search("a lake without an outlet")
    one.view("Ranking")
    expect(one.cards.first).to_have_attribute("data-doc", "volga")
    stored = own.rows("SELECT doc_id, title, text FROM document WHERE collection_id = 2 ORDER BY position")
    assert stored[0] == ("nile", "Nile", "The longest river of Africa flows north into the sea")
    assert [row[0] for row in stored] == ["nile", "rhine", "volga"]
    assert one.complaints == []


def test_columns_header_and_encoding_are_chosen_in_the_preview(own: App, visit: Visits, sent: Any) -> None:
    one = visit(own, {"collection": 1})
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    remarks = panel.get_by_role("region", name="New collection").locator(".era-remarks")
    path = sent("cups.csv", "")
    Path(path).write_bytes("B1,red cup,für Tee,5\nB2,blue pot,Caf".encode() + b"\xe9,7\n")
    one.page.locator("input[name=new]").set_input_files(path)
    expect(panel.get_by_role("alert")).to_contain_text("cups.csv, line 2: the byte 0xE9 in column 16 is not UTF-8")
    panel.get_by_label("Encoding").select_option("utf-8")
    documents = panel.locator(".era-previewed li")
    expect(documents).to_have_count(2)
    expect(remarks).to_contain_text("cups.csv was read as utf-8")
    panel.get_by_label("Column for the text").select_option("column 2")
    panel.get_by_label("Column 2 for the text").select_option("column 3")
    expect(documents.nth(1).locator("p").first).to_have_text("blue pot\nCaf\ufffd")
    expect(panel.get_by_label("Column 3 for the text")).to_be_visible()
    expect(remarks).to_contain_text("the models read column 2 + column 3 as the text")
    assert violations(one.page) == []
    assert sticking_out(one.page) == []
    panel.get_by_label("First line").select_option("yes")
    expect(documents).to_have_count(1)
    expect(panel.get_by_label("Column for the text").locator("option")).to_contain_text(["choose", "B1", "red cup"])
    panel.get_by_label("First line").select_option("no")
    expect(documents).to_have_count(2)
    panel.get_by_label("Column for the text").select_option("column 2")
    panel.get_by_label("Column 2 for the text").select_option("column 3")
    expect(documents.nth(1).locator("p").first).to_have_text("blue pot\nCaf\ufffd")
    panel.get_by_label("Name of the new collection").fill("Cups")
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(job(one, "Import of Cups").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    stored = own.rows(
        "SELECT doc_id, text FROM document JOIN collection ON collection.id = collection_id WHERE name = 'Cups' "
        "ORDER BY position"
    )
    assert stored == [("B1", "red cup\nfür Tee"), ("B2", "blue pot\nCaf\ufffd")]
    assert one.complaints == []


def test_documents_change_after_a_plan_and_other_embedders_keep_the_index(own: App, visit: Visits, sent: Any) -> None:
    one = visit(own, {"collection": 1})
    card = bring_in(one, sent("waters.csv", RIVERS), "Waters")
    unfold(card, "Documents: add")
    one.page.locator("input[name=documents]").set_input_files(sent("more.csv", MORE_RIVERS))
    plan = card.locator(".era-plan")
    for name, n in (("New", "1"), ("Changed", "1"), ("The same", "2")):
        expect(fact(plan, name)).to_have_text(n)
    plan.get_by_role("button", name="Add and change").click()
    expect(job(one, "More documents for Waters").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    expect(fact(card, "Documents")).to_have_text("4")
    card.get_by_label("Ids of documents to take away").fill("volga\nmissouri")
    card.get_by_role("button", name="Take away").click()
    card.get_by_role("button", name="Yes, take 2 documents away").click()
    expect(card.get_by_text("1 document was taken away.")).to_be_visible()
    expect(fact(card, "Documents")).to_have_text("3")

    unfold(card, "Embedders")
    fingerprint = fact(card, "Fingerprint").inner_text()
    card.get_by_label("Embedders", exact=True).select_option("own")
    card.get_by_label("Query side: kind").select_option("bundled-light")
    card.get_by_role("button", name="What would change?").click()
    expect(fact(plan, "Fingerprint afterwards")).to_have_text(f"{fingerprint}, unchanged")
    plan.get_by_role("button", name="Use these embedders").click()
    expect(card.get_by_text(f"The index is the same, fingerprint {fingerprint}.")).to_be_visible()
    expect(fact(card, "Query embedder")).to_have_text("WordLlama 256, 256 dimensions")
    expect(fact(card, "Fingerprint")).to_have_text(fingerprint)

    card.get_by_label("Document side: kind").select_option("bundled-strong")
    card.get_by_role("button", name="What would change?").click()
    expect(fact(plan, "Fingerprint afterwards")).to_have_text("another, of the new index")
    plan.get_by_role("button", name="Build the new index").click()
    expect(job(one, "New index for Waters").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    expect(fact(card, "Document embedder")).to_have_text("all-MiniLM-L6-v2, 384 dimensions")
    expect(fact(card, "Fingerprint")).not_to_have_text(fingerprint)
    assert one.complaints == []


def test_import_goes_on_without_the_page_and_leaves_nothing_when_it_is_cancelled(
    own: App, visit: Visits, sent: Any
) -> None:
    one = visit(own, {"collection": 1})
    before = own.rows("SELECT count(*) FROM document")
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    lines = [f"{i},Document {i} about one of many things" for i in range(80_000)]
    one.page.locator("input[name=new]").set_input_files(sent("large.csv", "\n".join(["key,about", *lines])))
    panel.get_by_label("Name of the new collection").fill("Large")
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(job(one, "Import of Large").locator("progress")).to_be_visible()
    one.page.reload()
    expect(job(one, "Import of Large").locator("progress")).to_be_visible()
    job(one, "Import of Large").get_by_role("button", name="Cancel").click()
    expect(job(one, "Import of Large").locator(".era-state")).to_have_text("cancelled", timeout=LONG_MS)
    assert own.rows("SELECT count(*) FROM document") == before
    assert own.rows("SELECT count(*) FROM collection WHERE name = 'Large'") == [(0,)]
    job(one, "Import of Large").get_by_role("button", name="Remove").click()
    expect(job(one, "Import of Large")).to_have_count(0)


def test_collection_is_archived_brought_back_and_deleted(own: App, visit: Visits, sent: Any) -> None:
    one = visit(own, {"collection": 1})
    card = bring_in(one, sent("brooks.csv", RIVERS), "Brooks")
    unfold(card, "Rename, archive or delete")
    card.get_by_label("Name of Brooks").fill("Becks")
    card.get_by_label("Description of Brooks").fill("<b>small</b> rivers")
    card.get_by_role("button", name="Save name and description").click()
    card = region(one, "Becks")
    expect(card.get_by_text("<b>small</b> rivers").first).to_be_visible()
    expect(one.page.locator("#era-header")).to_contain_text("Becks")
    card.get_by_role("button", name="Archive", exact=True).click()
    expect(one.page.locator("#era-header")).not_to_contain_text("Becks")
    panel = one.page.locator("#era-collection")
    unfold(panel, "Archived collections (1)")
    card.get_by_role("button", name="Take out of the archive").click()
    expect(panel.locator("summary", has_text="Archived collections")).to_have_count(0)
    delete = card.get_by_role("button", name="Delete for good")
    expect(delete).to_be_disabled()
    card.get_by_label("Type Becks to delete it").fill("Beck")
    expect(delete).to_be_disabled()
    card.get_by_label("Type Becks to delete it").fill("Becks")
    delete.click()
    expect(card).to_have_count(0)
    assert own.rows("SELECT count(*) FROM collection WHERE name = 'Becks'") == [(0,)]
    assert one.complaints == []


def test_nothing_is_sent_to_an_endpoint_before_its_costs_are_agreed_to(own: App, visit: Visits, sent: Any) -> None:
    server = EmbeddingServer()
    try:
        one = visit(own, {"collection": 1})
        panel = one.tab("Collection")
        panel.get_by_role("button", name="New collection", exact=True).click()
        one.page.locator("input[name=new]").set_input_files(sent("rivers.csv", RIVERS))
        expect(panel.locator(".era-previewed code").first).to_be_visible()
        panel.get_by_label("Name of the new collection").fill("Paid rivers")
        panel.get_by_label("Embedders", exact=True).first.select_option("own")
        panel.get_by_label("Document side: kind").first.select_option("openai")
        panel.get_by_label("Document side: name of the model").first.fill("letters")
        panel.get_by_label("Document side: Address").first.fill(server.base_url)
        panel.get_by_role("button", name="What does it cost?").click()
        expect(panel.get_by_text("to see what that costs")).to_be_visible()
        panel.get_by_label("Document side: Dollars per million tokens").first.fill("1000000")
        agree = panel.get_by_role("button", name="Import, and send the texts")
        expect(agree).to_have_count(0)  # what is agreed to is what was counted
        panel.get_by_role("button", name="What does it cost?").click()
        expect(
            panel.get_by_text(re.compile(r"3 documents\. The endpoint is sent about \d+ tokens: about"))
        ).to_be_visible()
        assert server.requests == []
        agree.click()
        expect(job(one, "Import of Paid rivers").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
        assert any("Barges carry goods" in text for text in server.texts)
        assert one.complaints == []
    finally:
        server.close()


def test_dropped_folder_is_taken_with_all_that_is_in_it(own: App, visit: Visits, tmp_path: Path) -> None:
    notes = tmp_path / "Fruit notes"
    (notes / "deep" / "er").mkdir(parents=True)
    names = [f"note-{i}.txt" for i in range(210)] + ["deep/er/plums.txt"]  # a browser tells a hundred at once
    for name in names:
        (notes / name).write_text(f"About {name}")
    (tmp_path / "Nothing").mkdir()
    one = visit(own, {"collection": 1})
    panel = one.tab("Collection")
    card = region(one, "Python standard library")
    unfold(card, "Bring in")
    drop(one, card.locator(".era-drop").nth(1), notes)
    expect(card.get_by_role("alert")).to_contain_text("not a folder")
    panel.get_by_role("button", name="New collection", exact=True).click()
    drop(one, panel.locator(".era-drop").first, tmp_path / "Nothing")
    expect(panel.get_by_role("alert").first).to_contain_text("no file in the folder")
    drop(one, panel.locator(".era-drop").first, notes)
    expect(panel.get_by_label("Name of the new collection")).to_have_value("Fruit notes")
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(job(one, "Import of Fruit notes").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    query = "SELECT doc_id FROM document JOIN collection c ON c.id = collection_id WHERE c.name = 'Fruit notes'"
    assert sorted(row[0] for row in own.rows(query)) == sorted(f"{name}#1" for name in names)
    assert one.complaints == []


def test_what_was_looked_at_is_forgotten_when_another_name_or_source_is_given(
    own: App, visit: Visits, sent: Any
) -> None:
    one = visit(own, {"collection": 1})
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    panel.get_by_role("button", name="Hugging Face Hub").click()
    hub, name = panel.get_by_label("Name on the Hub").first, panel.get_by_label("Name of the new collection")
    one.page.route("**/era/ask/*", lambda route: None)  # tests reach no Hub: its answer is made up
    for label in ("Name on the Hub", "Configuration"):
        hub.fill("some/name")
        panel.get_by_role("button", name="Look at it").click()
        expect(panel.get_by_text("Reading the first documents")).to_be_visible()
        one.page.evaluate(
            """() => {
                const none = { columns: [], mapping: {}, facts: [], documents: [], queries: [], remarks: [] };
                const preview = { ...none, format: "", name: "Some name" };
                for (let ask = 1; ask < 99; ask += 1) {
                    document.dispatchEvent(new CustomEvent("era:new-preview", { detail: { ask, preview } }));
                }
            }"""
        )
        expect(name).to_have_value("Some name")
        typed = panel.get_by_label(label).first
        typed.focus()
        one.press("Home", "x", "y")
        expect(name).to_have_count(0)
        expect(panel.get_by_role("button", name="Import", exact=True)).to_have_count(0)
        expect(typed).to_be_focused()
        expect(typed).to_have_value("xysome/name" if label == "Name on the Hub" else "xy")
    one.page.unroute_all()
    panel.get_by_role("button", name="Files", exact=True).click()
    hold_uploads(one)
    one.page.locator("input[name=new]").set_input_files(sent("rivers.csv", RIVERS))
    expect(panel.get_by_text("Sending the files")).to_be_visible()
    with one.page.expect_event("requestfailed", lambda request: "/upload" in request.url):
        panel.get_by_role("button", name="Hugging Face Hub").click()
    panel.get_by_role("button", name="Files", exact=True).click()
    expect(panel.get_by_role("button", name="Choose files").first).to_be_visible()
    assert one.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_nothing_sticks_out(own: App, visit: Visits, sent: Any, width: int, scheme: str) -> None:
    one = visit(own, {"collection": 1}, width=width, color_scheme=scheme)
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    one.page.locator("input[name=new]").set_input_files(sent("rivers.csv", RIVERS))
    expect(panel.locator(".era-previewed code").first).to_be_visible()
    panel.get_by_label("Embedders", exact=True).first.select_option("own")
    panel.get_by_label("Query side: kind").first.select_option("openai")
    card = region(one, "Python standard library")
    for words in ("Documents: add", "Embedders", "Take out", "Bring in", "Rename, archive"):
        unfold(card, words)
    one.page.locator("input[name=documents]").set_input_files(sent("rivers.csv", RIVERS))
    expect(card.locator(".era-plan")).to_be_visible()
    assert violations(one.page) == []
    assert sticking_out(one.page) == []
    assert one.complaints == []


def test_collection_is_brought_in_by_keys_alone(own: App, visit: Visits, sent: Any) -> None:
    one = visit(own, {"collection": 1})
    one.page.on("filechooser", lambda chooser: None)  # from here on; begun with the key, it could come too late
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).focus()
    one.press("Enter")
    expect(panel.get_by_role("button", name="Choose files")).to_be_focused()
    with one.page.expect_file_chooser() as chooser:
        one.press("Enter")
    chooser.value.set_files(sent("rivers.csv", RIVERS))
    expect(panel.locator(".era-previewed code").first).to_be_visible()
    name = panel.get_by_label("Name of the new collection")
    for _ in range(20):
        if name.evaluate("(node) => node === document.activeElement"):
            break
        one.press("Tab")
    expect(name).to_be_focused()
    one.press("Control+a")
    one.page.keyboard.type("By keys")
    one.press("Enter")
    expect(job(one, "Import of By keys").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    assert one.complaints == []


def is_reader(app: App, process: Path) -> bool:
    """Return whether a process is one of an app that reads files."""
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == app.process.pid and "annotation.jobs" in (process / "cmdline").read_text()
    except OSError:  # it has ended meanwhile
        return False


def wait_for_readers(app: App, n: int) -> None:
    """Wait until so many processes of an app read files."""
    deadline = time.monotonic() + PATIENCE_S
    while (n_readers := sum(is_reader(app, each) for each in Path("/proc").glob("[0-9]*"))) != n:
        assert time.monotonic() < deadline, f"{n_readers} files are being read"
        time.sleep(0.05)


def look_at(one: Visit, path: str) -> Locator:
    """Choose a file for a new collection and return the panel."""
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    one.page.locator("input[name=new]").set_input_files(path)
    return panel


def test_file_that_is_read_without_end_keeps_nobody_waiting_and_is_given_up_with_its_page(
    own: App, visit: Visits, sent: Any
) -> None:
    header = "id,query," + ",".join(f"c{n}" for n in range(90_000))
    hostile = sent("queries.csv", header + "\n" + "".join(f"{n},words\n" for n in range(5000)))  # minutes of work
    one, other = visit(own), visit(own)
    panel = look_at(one, hostile)
    expect(panel.get_by_text("Reading the first documents")).to_be_visible()
    wait_for_readers(own, 1)
    expect(look_at(other, sent("rivers.csv", RIVERS)).locator(".era-previewed code").first).to_be_visible()
    wait_for_readers(own, 1)
    panel.get_by_role("button", name="Close the new collection").click()
    wait_for_readers(own, 0)
    look_at(one, hostile)
    wait_for_readers(own, 1)
    one.page.close()
    wait_for_readers(own, 0)


def test_who_is_not_signed_in_sends_no_files(shared_desk: App, browser: Browser) -> None:
    context = browser.new_context()
    files: Any = {"files": {"name": "rivers.csv", "mimeType": "text/csv", "buffer": RIVERS.encode()}}
    address = f"http://127.0.0.1:{shared_desk.port}/gradio_api/upload"
    assert context.request.post(address, multipart=files).status == 401
    context.request.post(f"http://127.0.0.1:{shared_desk.port}/login", form={"username": "ann", "password": "ann"})
    assert context.request.post(address, multipart=files).status == 200
    context.close()
