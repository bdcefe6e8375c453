"""What goes out of the Collection tab comes in again, in a real browser."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.collection_steps import LONG_MS, RIVERS, bring_in, hold_uploads, own_app, region, unfold
from tests.ui.conftest import App, Visits

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def own(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an app whose collections these tests may change."""
    with own_app(browser, tmp_path_factory.mktemp("era-own")) as running:
        yield running


def test_judgments_and_rankings_go_out_and_come_in_again(own: App, visit: Visits, tmp_path: Path) -> None:
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
    ranking = tmp_path / download.value.suggested_filename
    download.value.save_as(ranking)
    run = ranking.read_text().splitlines()
    (n_queries,) = own.rows("SELECT count(*) FROM query WHERE collection_id = 1")[0]
    assert len(run) == 3 * n_queries
    assert run[0].split()[1:4:2] == ["Q0", "1"]
    assert {path.name for path in tmp_path.iterdir()} == {"csv", "jsonl", "qrels", ranking.name}
    (n_marks,) = own.rows("SELECT count(*) FROM current_judgment WHERE label_set_id = 1")[0]
    unfold(card, "Bring in")
    [path] = (tmp_path / "csv").iterdir()
    one.page.locator("input[name=judgments]").set_input_files(path)
    expect(card.get_by_text(f"0 marks are new, {n_marks} were here already.")).to_be_visible()
    panel = one.page.locator("#era-collection")
    grades = "SELECT query_id, doc_id, grade FROM current_judgment WHERE label_set_id = ? ORDER BY 1, 2"
    for file_format in ("qrels", "jsonl"):
        panel.get_by_label("Name of the new label set").fill(f"From {file_format}")
        panel.get_by_role("button", name="Start an empty label set").click()
        expect(one.page.locator("#era-header")).to_contain_text(f"From {file_format}")
        expect(card.get_by_text("marks are new")).to_have_count(0)
        [path] = (tmp_path / file_format).iterdir()
        one.page.locator("input[name=judgments]").set_input_files(path)
        expect(card.get_by_text(f"{n_marks} marks are new.")).to_be_visible()
        (label_set_id,) = own.rows("SELECT id FROM label_set WHERE name = ?", f"From {file_format}")[0]
        assert own.rows(grades, label_set_id) == own.rows(grades, 1)
    compare = one.tab("Compare")
    expect(compare.locator("ol.era-ranking").first).to_be_visible(timeout=LONG_MS)  # what is kept was asked for now
    one.tab("Collection")
    one.page.locator("input[name=run]").set_input_files(ranking)
    expect(card.get_by_text(f"ranks {n_queries} queries and can be chosen in Compare now.")).to_be_visible()
    one.tab("Compare")
    expect(
        compare.get_by_label("After", exact=True).locator("option", has_text=f"{ranking.stem} (brought in)")
    ).to_have_count(1)
    unfold(compare, "Kept comparisons (1)")
    compare.get_by_role("button", name=f"Open {ranking.stem}").click()
    rankings = compare.locator("ol.era-ranking")
    expect(rankings.nth(1)).to_have_attribute("aria-label", f"{ranking.stem} (brought in)", timeout=LONG_MS)
    expect(rankings.nth(1).locator(".era-rank")).to_have_count(3)
    assert one.complaints == []


def test_what_is_being_sent_stops_when_another_label_set_or_collection_is_opened(
    own: App, visit: Visits, tmp_path: Path
) -> None:
    one = visit(own, {"collection": 1})
    panel = one.tab("Collection")
    card = region(one, "Python standard library")
    unfold(card, "Take out")
    with one.page.expect_download() as download:
        card.get_by_role("button", name="Take out the judgments").click()
    marks = tmp_path / download.value.suggested_filename
    download.value.save_as(marks)
    header = one.page.locator("#era-header")
    for name in ("Sent into", "Opened then"):
        panel.get_by_label("Name of the new label set").fill(name)
        panel.get_by_role("button", name="Start an empty label set").click()
        expect(header).to_contain_text(name)
    card.get_by_role("button", name="Use the label set Sent into").click()
    expect(header).to_contain_text("Sent into")
    n_events, n_documents = own.n_events(), own.rows("SELECT count(*) FROM document WHERE collection_id = 1")
    unfold(card, "Bring in")
    hold_uploads(one)
    one.page.locator("input[name=judgments]").set_input_files(marks)
    expect(card.get_by_text("Sending the files")).to_be_visible()
    with one.page.expect_event("requestfailed", lambda request: "/upload" in request.url):
        card.get_by_role("button", name="Use the label set Opened then").click()
    expect(header).to_contain_text("Opened then")
    expect(card.get_by_role("button", name="Choose judgments")).to_be_visible()
    expect(card.get_by_role("alert")).to_have_count(0)
    assert own.n_events() == n_events

    one.page.unroute_all()
    rivers = tmp_path / "rivers.csv"
    rivers.write_text(RIVERS)
    other = bring_in(one, str(rivers), "Streams")
    hold_uploads(one)
    unfold(other, "Documents: add")
    one.page.locator("input[name=documents]").set_input_files(rivers)
    expect(other.get_by_text("Sending the files")).to_be_visible()
    with one.page.expect_event("requestfailed", lambda request: "/upload" in request.url):
        panel.get_by_role("button", name="Open Python standard library").click()
    expect(card.get_by_role("button", name="Choose files")).to_be_visible()
    expect(card.locator(".era-plan")).to_have_count(0)
    assert own.rows("SELECT count(*) FROM document WHERE collection_id = 1") == n_documents
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
    before = app.rows("SELECT count(*) FROM job WHERE kind = 'train' AND state = 'finished'")[0][0]
    unfold(card, "Bring in")
    one.page.locator("input[name=adapter]").set_input_files(path)
    expect(card.get_by_text("The adapter is here as training run")).to_be_visible()
    assert app.rows("SELECT count(*) FROM job WHERE kind = 'train' AND state = 'finished'")[0][0] == before + 1
    assert one.complaints == []
