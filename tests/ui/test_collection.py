"""One's own documents in a real browser: brought in, changed, read by other embedders, put away, taken out again."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.ui.conftest import PATIENCE_S, App, Visit, Visits

pytestmark = pytest.mark.browser

LONG_MS = PATIENCE_S * 1000
OURS = {"include": [["#era-header"], ["#era-collection"]]}
RIVERS = (
    "key,name,about\n"
    "nile,Nile,The longest river of Africa flows north into the sea\n"
    "rhine,Rhine,Barges carry goods between mountains and harbours\n"
    "volga,Volga,It ends in a lake that has no outlet\n"
)
MORE_RIVERS = RIVERS.replace("Barges carry", "Ships carry") + "danube,Danube,It touches ten countries\n"


@pytest.fixture(scope="module")
def own(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an app whose collections these tests may change, once its documents can be searched."""
    folder = tmp_path_factory.mktemp("era-own")
    running = App.start(folder / "data", folder / "output.txt")
    try:
        page = browser.new_page()
        page.goto(running.url({"tab": "Judge"}))
        expect(page.locator("#era-judge .era-card").first).to_be_visible(timeout=LONG_MS)
        page.close()
        yield running
    finally:
        running.kill()


@pytest.fixture
def sent(tmp_path: Path) -> Any:
    """Return what writes a file to be sent."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


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
    panel.locator("input[name=new]").set_input_files(path)
    expect(panel.locator(".era-previewed code").first).to_be_visible()
    panel.get_by_label("Name of the new collection").fill(name)
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(job(one, f"Import of {name}").locator(".era-state")).to_have_text("done", timeout=LONG_MS)
    job(one, f"Import of {name}").get_by_role("button", name="Open the imported").click()
    expect(one.page.locator("#era-header")).to_contain_text(name)
    return region(one, name)


def fact(card: Locator, name: str) -> Locator:
    return card.locator("dt", has_text=re.compile(f"^{name}$")).locator("xpath=following-sibling::dd[1]")


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
    panel.locator("input[name=new]").set_input_files(sent("broken.csv", 'key,about\na,one\nb,"two\n'))
    expect(panel.get_by_role("alert")).to_contain_text("broken.csv, line 3")
    panel.locator("input[name=new]").set_input_files(sent("rivers.csv", RIVERS))
    documents = panel.locator(".era-previewed li")
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


def test_documents_change_after_a_plan_and_other_embedders_keep_the_index(own: App, visit: Visits, sent: Any) -> None:
    one = visit(own, {"collection": 1})
    card = bring_in(one, sent("waters.csv", RIVERS), "Waters")
    unfold(card, "Documents: add")
    card.locator("input[name=documents]").set_input_files(sent("more.csv", MORE_RIVERS))
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
    panel.locator("input[name=new]").set_input_files(sent("large.csv", "\n".join(["key,about", *lines])))
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


def test_judgments_and_rankings_go_out_and_judgments_come_in_again(own: App, visit: Visits, tmp_path: Path) -> None:
    one = visit(own, {"collection": 1})
    one.tab("Collection")
    card = region(one, "Python standard library")
    unfold(card, "Take out")
    for file_format in ("qrels", "csv", "jsonl"):
        card.get_by_label("Format of the judgments").select_option(file_format)
        card.get_by_label("Whose judgments").select_option("agreed" if file_format == "qrels" else "everybody")
        with one.page.expect_download() as download:
            card.get_by_role("button", name="Take out the judgments").click()
        download.value.save_as(tmp_path / file_format / download.value.suggested_filename)
    with one.page.expect_download() as download:
        card.get_by_label("Documents for each query").fill("3")
        card.get_by_label("Which ranking").select_option("light")
        card.get_by_role("button", name="Take out the ranking").click()
    run = Path(download.value.path()).read_text().splitlines()
    (n_queries,) = own.rows("SELECT count(*) FROM query WHERE collection_id = 1")[0]
    assert len(run) == 3 * n_queries
    assert run[0].split()[1:4:2] == ["Q0", "1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "jsonl", "qrels"]
    (n_marks,) = own.rows("SELECT count(*) FROM current_judgment WHERE label_set_id = 1")[0]
    unfold(card, "Bring in")
    [path] = (tmp_path / "csv").iterdir()
    card.locator("input[name=judgments]").set_input_files(path)
    expect(card.get_by_text(f"0 marks are new, {n_marks} were here already.")).to_be_visible()
    panel = one.page.locator("#era-collection")
    grades = "SELECT query_id, doc_id, grade FROM current_judgment WHERE label_set_id = ? ORDER BY 1, 2"
    for file_format in ("qrels", "jsonl"):
        panel.get_by_label("Name of the new label set").fill(f"From {file_format}")
        panel.get_by_role("button", name="Start an empty label set").click()
        expect(one.page.locator("#era-header")).to_contain_text(f"From {file_format}")
        expect(card.get_by_text("marks are new")).to_have_count(0)
        [path] = (tmp_path / file_format).iterdir()
        card.locator("input[name=judgments]").set_input_files(path)
        expect(card.get_by_text(f"{n_marks} marks are new.")).to_be_visible()
        (label_set_id,) = own.rows("SELECT id FROM label_set WHERE name = ?", f"From {file_format}")[0]
        assert own.rows(grades, label_set_id) == own.rows(grades, 1)
    assert one.complaints == []


def test_adapter_goes_out_and_comes_in_again(app: App, visit: Visits, tmp_path: Path) -> None:
    one = visit(app)
    train = one.tab("Train")
    train.get_by_role("button", name="Train", exact=True).click()
    expect(train.locator(".era-outcome h2")).to_be_visible(timeout=LONG_MS)
    one.tab("Collection")
    card = region(one, "Python standard library")
    unfold(card, "Take out")
    with one.page.expect_download() as download:
        card.get_by_role("button", name="Take out the adapter").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        assert {Path(name).name for name in archive.namelist()} >= {"adapter.safetensors", "adapter.json"}
    card.get_by_role("button", name="Take out the model").click()
    expect(card.get_by_role("alert")).to_contain_text("era-single")  # the usual recipe is no single model
    before = app.rows("SELECT count(*) FROM training_run WHERE state = 'finished'")[0][0]
    unfold(card, "Bring in")
    card.locator("input[name=adapter]").set_input_files(path)
    expect(card.get_by_text("The adapter is here as training run")).to_be_visible()
    assert app.rows("SELECT count(*) FROM training_run WHERE state = 'finished'")[0][0] == before + 1
    assert one.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_nothing_sticks_out(own: App, visit: Visits, sent: Any, width: int, scheme: str) -> None:
    one = visit(own, {"collection": 1}, width=width, color_scheme=scheme)
    panel = one.tab("Collection")
    panel.get_by_role("button", name="New collection", exact=True).click()
    panel.locator("input[name=new]").set_input_files(sent("rivers.csv", RIVERS))
    expect(panel.locator(".era-previewed code").first).to_be_visible()
    panel.get_by_label("Embedders", exact=True).first.select_option("own")
    panel.get_by_label("Query side: kind").first.select_option("openai")
    card = region(one, "Python standard library")
    for words in ("Documents: add", "Embedders", "Take out", "Bring in", "Rename, archive"):
        unfold(card, words)
    card.locator("input[name=documents]").set_input_files(sent("rivers.csv", RIVERS))
    expect(card.locator(".era-plan")).to_be_visible()
    assert violations(one.page) == []
    assert sticking_out(one.page) == []
    assert one.complaints == []


def test_collection_is_brought_in_by_keys_alone(own: App, visit: Visits, sent: Any) -> None:
    one = visit(own, {"collection": 1})
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


def test_who_is_not_signed_in_sends_no_files(shared_desk: App, browser: Browser) -> None:
    context = browser.new_context()
    files: Any = {"files": {"name": "rivers.csv", "mimeType": "text/csv", "buffer": RIVERS.encode()}}
    address = f"http://127.0.0.1:{shared_desk.port}/gradio_api/upload"
    assert context.request.post(address, multipart=files).status == 401
    context.request.post(f"http://127.0.0.1:{shared_desk.port}/login", form={"username": "ann", "password": "ann"})
    assert context.request.post(address, multipart=files).status == 200
    context.close()
