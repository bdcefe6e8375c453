"""What the Collection tab answers: previews, plans and files, each only to who may have it."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

import storage.jobs
from annotation.collections import imports
from annotation.collections.embedders import presets, read_choice
from annotation.collections.page import open_page
from annotation.collections.store_whole import store
from annotation.collections.uploads import Uploads
from annotation.errors import AnnotationError, InvalidInputError, NotAllowedError, NotFoundError
from annotation.jobs import child_places
from annotation.settings import Settings
from annotation.ui.app import Screens
from annotation.ui.downloads import Downloads
from annotation.ui.message import Message
from annotation.ui.tabs.collection import CollectionTab
from era.encoders.spec import BUNDLED
from era.errors import EmbedderUnavailableError
from era.io import opening
from storage.errors import StorageError
from storage.records import IMPORTS
from tests.annotation.readers_to_end import preview_without_end
from tests.worlds.desk import Desk, as_json, downloads_of, small_world, training_worker, uploads_of, wait_until
from tests.worlds.words import QRELS

ANIMALS_CSV = (
    "key,animal,said\ncat-feeding,cat,feeding\nowl-feeding,owl,feeding at night\ncat-illness,cat,old illness\n"
)
PAGE, OTHER_PAGE = "a" * 32, "b" * 32  # as pages name themselves
BUNDLED_JSON: dict[str, Any] = {"strong": {"kind": "bundled-strong"}, "light": {"kind": "bundled-light"}}
OWN_ADDRESS = {
    "strong": {"kind": "openai", "name": "m", "base_url": "http://evil.example/v1"},
    "light": {"kind": "bundled-light"},
}


@pytest.fixture
def uploads(judged_desk: Desk) -> Uploads:
    return uploads_of(judged_desk.workspace)


@pytest.fixture
def downloads(judged_desk: Desk, uploads: Uploads) -> Downloads:
    return downloads_of(judged_desk.workspace)


@pytest.fixture
def tab(judged_desk: Desk, uploads: Uploads, downloads: Downloads) -> CollectionTab:
    return CollectionTab(judged_desk.workspace, uploads, downloads)


def send(uploads: Uploads, text: str, name: str = "animals.csv") -> list[dict[str, str]]:
    """Return what a page tells of a file that ann has just sent."""
    path = uploads.received_folder / hashlib.sha256(text.encode()).hexdigest() / name
    with uploads.receiving("ann", len(text)) as arrived:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        arrived([path])
    return [{"path": str(path), "name": name}]


def preview(desk: Desk, tab: CollectionTab, author: str | None = "ann", **data: Any) -> dict[str, Any]:
    return as_json(tab._answers._preview(desk.page, author, Message(data)))


def test_preview_shows_documents_as_they_will_be_and_again_with_other_columns(
    judged_desk: Desk, tab: CollectionTab, uploads: Uploads
) -> None:
    first = preview(judged_desk, tab, files=send(uploads, ANIMALS_CSV), format="", mapping={})
    seen = first["preview"]
    assert (seen["format"], seen["columns"], seen["can_choose_format"]) == ("table", ["key", "animal", "said"], True)
    chosen = {"id": ["key"], "title": ["animal"], "text": ["said"]}
    seen = preview(judged_desk, tab, token=first["token"], format="table", mapping=chosen)["preview"]
    assert seen["mapping"] == chosen
    assert [(each["id"], each["title"], each["text"]) for each in seen["documents"]] == [
        ("cat-feeding", "cat", "feeding"),
        ("owl-feeding", "owl", "feeding at night"),
        ("cat-illness", "cat", "old illness"),
    ]
    unnumbered = preview(judged_desk, tab, token=first["token"], format="table", mapping={"id": "", "text": "said"})
    [document, *_] = unnumbered["preview"]["documents"]
    assert (document["title"], document["text"]) == ("", "feeding")
    assert document["metadata"] == [["key", "cat-feeding"], ["animal", "cat"]]


def test_a_person_chooses_several_columns_the_header_and_an_encoding(
    judged_desk: Desk, tab: CollectionTab, uploads: Uploads
) -> None:
    seen = preview(judged_desk, tab, files=send(uploads, "B1,red cup,Acme\nB2,blue pot,Bolt\n"))
    assert (seen["preview"]["header"], len(seen["preview"]["documents"])) == ("no", 2)
    mapping = {"id": ["B1"], "text": ["red cup", "Acme"]}
    again = preview(judged_desk, tab, token=seen["token"], header="yes", mapping=mapping)["preview"]
    assert (again["header"], again["mapping"]) == ("yes", mapping)
    assert [(each["id"], each["text"]) for each in again["documents"]] == [("B2", "blue pot\nBolt")]
    assert "error" in preview(judged_desk, tab, token=seen["token"], header="perhaps")
    assert "error" in preview(judged_desk, tab, token=seen["token"], encoding="rot13")

    [file] = send(uploads, "id,text\n1,one\n", "damaged.csv")
    Path(file["path"]).write_bytes("id,text\n1,schön\n2,na".encode() + b"\xef\n")
    damaged = preview(judged_desk, tab, files=[file])
    assert "damaged.csv, line 3: the byte 0xEF in column 5 is not UTF-8" in damaged["error"]
    assert damaged["needs_encoding"]
    read = preview(judged_desk, tab, token=damaged["token"], encoding="utf-8")["preview"]
    assert [each["text"] for each in read["documents"]] == ["schön", "na\ufffd"]


def test_file_that_cannot_be_read_is_kept_and_the_error_names_the_place(
    judged_desk: Desk, tab: CollectionTab, uploads: Uploads
) -> None:
    broken = preview(judged_desk, tab, files=send(uploads, 'a,b\n1,"x\n', "broken.csv"), format="", mapping={})
    assert "broken.csv, line 2" in broken["error"]
    again = preview(judged_desk, tab, token=broken["token"], format="nonsense", mapping={})
    assert "The format 'nonsense' is not known" in again["error"]
    assert "not there any more" in preview(judged_desk, tab, "ben", token=broken["token"], format="")["error"]


def test_what_an_endpoint_costs_is_counted_before_anything_is_imported(
    judged_desk: Desk, tab: CollectionTab, uploads: Uploads
) -> None:
    token = preview(judged_desk, tab, files=send(uploads, ANIMALS_CSV), format="", mapping={})["token"]
    paid = {"kind": "openai", "name": "big", "document_prompt": "1234", "price_per_million_tokens": 1e6}
    mapping = {"id": "key", "title": "animal", "text": "said"}
    request = {"token": token, "format": "table", "mapping": mapping, "embedders": {**BUNDLED_JSON, "light": paid}}
    costs = as_json(tab._answers._count_costs(judged_desk.page, "ann", Message(request)))["costs"]
    # "1234cat feeding" has 15 bytes, "1234owl feeding at night" 24 and "1234cat old illness" 19: 4, 6 and 5 tokens
    assert costs["text"] == "3 documents. The endpoint is sent about 15 tokens: about $15.00."
    assert imports.list_jobs(judged_desk.workspace) == []


def test_visitor_brings_nothing_in(judged_desk: Desk, tab: CollectionTab, uploads: Uploads) -> None:
    page, files = judged_desk.page, send(uploads, ANIMALS_CSV)
    refused: list[tuple[Any, dict[str, Any]]] = [
        (tab._answers._preview, {"files": files, "format": ""}),
        (tab._answers._preview, {"hub": "mteb/scifact", "config": ""}),
        (tab._answers._import, {"kind": "new", "hub": "mteb/scifact", "embedders": BUNDLED_JSON}),
        (tab._answers._count_costs, {"hub": "mteb/scifact", "embedders": BUNDLED_JSON}),
        (tab._answers._take_away, {"doc_ids": ["cat-feeding"]}),
        (tab._answers._plan_embedders, {"embedders": BUNDLED_JSON}),
        (tab._answers._change_embedders, {"embedders": BUNDLED_JSON}),
        (tab._out._bring_in, {"what": "judgments", "files": files}),
    ]
    for handler, data in refused:
        with pytest.raises(NotAllowedError, match="Sign in"):
            handler(page, None, Message(data))
    assert Path(files[0]["path"]).exists()


@pytest.mark.parametrize(
    "name", ["/etc", "../era", "annotation/demo/../demo", "https://example.com/x", "~/data", "a b/c"]
)
def test_page_names_no_place_on_the_machine_as_a_data_set(judged_desk: Desk, tab: CollectionTab, name: str) -> None:
    for handler, data in (
        (tab._answers._preview, {"hub": name, "config": ""}),
        (tab._answers._import, {"kind": "new", "hub": name, "name": "x", "embedders": BUNDLED_JSON}),
        (tab._answers._count_costs, {"hub": name, "embedders": BUNDLED_JSON}),
    ):
        with pytest.raises(InvalidInputError, match="not a name on the Hugging Face Hub"):
            handler(judged_desk.page, "ann", Message(data))


def test_columns_chosen_for_a_data_set_are_used_by_its_preview_its_costs_and_its_import(
    judged_desk: Desk, tab: CollectionTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def answer(file: str, bounds: Any, is_over: Any, function: Any, *about: Any) -> None:
        asked.append((function, *about))
        raise InvalidInputError("That is enough.")

    for name in ("call_apart", "source_apart"):
        monkeypatch.setattr(child_places, name, answer)
    about = {"hub": "mteb/pets", "config": "en", "mapping": {"id": "", "text": "said"}, "embedders": BUNDLED_JSON}
    for handler in (tab._answers._preview, tab._answers._count_costs):
        with pytest.raises(InvalidInputError, match="enough"):
            handler(judged_desk.page, "ann", Message(about))
    chosen = "mteb/pets", "en", "", {"text": ["said"]}
    assert asked == [(opening.preview_hub, *chosen, 5), (opening.open_hub, *chosen)]
    tab._answers._import(judged_desk.page, "ann", Message({**about, "kind": "new", "name": "pets"}))
    with judged_desk.workspace.reading() as session:
        [job] = storage.jobs.list_all(session, IMPORTS)
    assert (job.request["hub"], job.request["mapping"]) == ("mteb/pets", {"text": ["said"]})


def test_where_several_people_use_an_app_its_key_and_its_folders_are_not_theirs(tmp_path: Path) -> None:
    alone = Settings(data_dir=tmp_path, people=None, space_id=None)
    local = {"strong": {"kind": "sentence-transformers", "name": str(tmp_path)}, "light": {"kind": "bundled-light"}}
    relative = {"strong": {"kind": "bundled-strong"}, "light": {"kind": "sentence-transformers", "name": "../era"}}
    for values in (OWN_ADDRESS, local):
        assert read_choice(alone, "ann", values).to_json() == values
    for several in (
        Settings(data_dir=tmp_path, space_id="x/y"),
        Settings(data_dir=tmp_path, people=tmp_path / "people"),
    ):
        for values in (OWN_ADDRESS, local, relative):
            with pytest.raises(InvalidInputError):
                read_choice(several, "ann", values)
        assert [preset.key for preset in presets(several)] == ["bundled", "static", "small"]
        for preset in presets(alone):
            if preset in presets(several):
                assert read_choice(several, "ann", preset.spec.to_json()) == preset.spec
            else:
                with pytest.raises(InvalidInputError, match="only the small presets"):
                    read_choice(several, "ann", preset.spec.to_json())
        with pytest.raises(NotAllowedError):
            read_choice(several, None, BUNDLED_JSON)
    with pytest.raises(EmbedderUnavailableError, match="kind"):
        read_choice(alone, "ann", {"strong": {"kind": "pickle"}, "light": {"kind": "bundled-light"}})


def test_plan_counts_what_files_would_change(judged_desk: Desk, tab: CollectionTab, uploads: Uploads) -> None:
    mapping = {"id": "key", "title": "animal", "text": "said"}
    token = preview(judged_desk, tab, files=send(uploads, ANIMALS_CSV), format="table", mapping=mapping)["token"]
    for kind, facts in (
        ("add", [["New", "1"], ["Changed", "1"], ["The same", "1"]]),
        ("replace", [["New", "1"], ["Changed", "1"], ["Removed", "14"], ["The same", "1"]]),
    ):
        message = Message({"kind": kind, "token": token, "format": "table", "mapping": mapping})
        plan = as_json(tab._answers._plan_documents(judged_desk.page, "ann", message))["plan"]
        assert [fact[:2] for fact in plan["facts"]] == facts
        assert plan["is_change"]
        assert plan["sentences"][0].startswith("1 judged document changes.")  # somebody judged cat-illness
        # of 12 judged documents of six animals, those of the cat are in the file
        assert any("10 judged documents are removed." in sentence for sentence in plan["sentences"]) == (
            kind == "replace"
        )
    with pytest.raises(NotFoundError):
        tab._answers._plan_documents(judged_desk.page, "ben", Message({"kind": "add", "token": token, "format": ""}))
    with pytest.raises(InvalidInputError, match="Choose whether"):
        tab._answers._plan_documents(judged_desk.page, "ann", Message({"kind": "new", "token": token, "format": ""}))


def test_import_is_queued_takes_the_files_over_and_can_be_called_off(
    judged_desk: Desk, tab: CollectionTab, uploads: Uploads
) -> None:
    token = preview(judged_desk, tab, files=send(uploads, ANIMALS_CSV), format="", mapping={})["token"]
    about = {"kind": "new", "token": token, "format": "table", "mapping": {"id": "key", "text": "said"}}
    taken = Message({**about, "name": "animals", "description": "", "embedders": BUNDLED_JSON})
    with pytest.raises(StorageError, match="animals"):
        tab._answers._import(judged_desk.page, "ann", taken)  # the files are kept for another name
    message = Message({**about, "name": " owls ", "description": "", "embedders": BUNDLED_JSON})
    started = as_json(tab._answers._import(judged_desk.page, "ann", message))
    [job] = started["jobs"]
    assert (started["import_kind"], job["title"], job["state"]) == ("new", "Import of owls", "queued")
    with pytest.raises(NotFoundError):
        uploads.path("ann", token)
    assert [each["name"] for each in tab.show(judged_desk.page, "ann")["collections"]] == ["animals"]
    act = Message({"job_id": job["id"], "act": "cancel"})
    [job] = tab._answers._act(judged_desk.page, "ann", act)["jobs"]
    assert job["state"] == "cancelled"
    gone = tab._answers._act(judged_desk.page, "ann", Message({"job_id": job["id"], "act": "dismiss"}))
    assert gone["jobs"] == []
    with pytest.raises(InvalidInputError, match="Choose what to do with the import"):
        tab._answers._act(judged_desk.page, "ann", Message({"job_id": job["id"], "act": "explode"}))


def test_plan_of_the_embedders_in_use_changes_nothing_and_another_query_side_keeps_the_index(
    judged_desk: Desk, tab: CollectionTab
) -> None:
    page = judged_desk.page
    same = as_json(tab._answers._plan_embedders(page, "ann", Message({"embedders": BUNDLED.to_json()})))["plan"]
    assert (same["is_change"], same["facts"]) == (False, [])
    other = {"strong": {"kind": "sentence-transformers", "name": "some/model"}, "light": {"kind": "bundled-light"}}
    plan = as_json(tab._answers._plan_embedders(page, "ann", Message({"embedders": other})))["plan"]
    fingerprint = judged_desk.workspace.open(page.collection.id).index.fingerprint[:16]
    assert plan["is_change"]
    assert [fact[1] for fact in plan["facts"]] == [fingerprint, f"{fingerprint}, unchanged"]
    other["light"] = {"kind": "sentence-transformers", "name": "some/other"}
    plan = as_json(tab._answers._plan_embedders(page, "ann", Message({"embedders": other})))["plan"]
    assert [fact[1] for fact in plan["facts"]] == [fingerprint, "another, of the new index"]
    with pytest.raises(InvalidInputError, match="Choose the embedders"):
        tab._answers._plan_embedders(page, "ann", Message({"embedders": "bundled"}))


def test_judgments_go_out_by_an_address_and_come_in_again(
    judged_desk: Desk, tab: CollectionTab, uploads: Uploads
) -> None:
    ask = {"what": "judgments", "format": "jsonl", "who": "agreed", "with_notes": True}
    taken = as_json(tab._out._take_out(judged_desk.page, "ann", Message(ask)))
    path = Path(taken["url"].removeprefix("gradio_api/file="))
    assert path.is_relative_to(uploads.received_folder)
    lines = path.read_text().splitlines()
    assert len(lines) == sum(len(judged) for judged in QRELS.values()) == 24
    other = store(judged_desk.workspace, small_world("others"), author="ann", labels="", is_demo=False)
    page = open_page(judged_desk.workspace, other.id, None)
    back = {"what": "judgments", "files": send(uploads, path.read_text(), taken["name"])}
    assert tab._out._bring_in(page, "ann", Message(back))["said"].startswith("24 marks are new")
    assert len(judged_desk.workspace.standings(page.label_set.id).qrels()) == 12


@pytest.mark.parametrize(
    "data",
    [
        {"what": "everything"},
        {"what": "judgments", "format": "pickle", "who": "agreed"},
        {"what": "run", "ranker": "../../etc", "depth": 10},
        {"what": "adapter", "training_run_id": 999},
        {"what": "model", "training_run_id": 999},
    ],
)
def test_what_is_not_there_is_not_taken_out(judged_desk: Desk, tab: CollectionTab, data: dict[str, Any]) -> None:
    with pytest.raises((AnnotationError, StorageError)):
        tab._out._take_out(judged_desk.page, "ann", Message(data))


def test_only_the_person_who_runs_the_app_sends_to_the_hub(judged_desk: Desk, tab: CollectionTab) -> None:
    assert tab.show(judged_desk.page, "ann")["may_push"]
    judged_desk.workspace.settings = judged_desk.workspace.settings.model_copy(update={"space_id": "someone/space"})
    panel = tab.show(judged_desk.page, "ann")
    assert (panel["may_push"], panel["may_use_endpoints"], panel["may_give_paths"]) == (False, False, False)
    data = {"training_run_id": 1, "repo_id": "ann/model", "is_private": True, "is_dry_run": False}
    with pytest.raises(NotAllowedError):
        tab._out._push(judged_desk.page, "ann", Message(data))


def test_collection_is_renamed_archived_brought_back_and_deleted_by_its_name(
    judged_desk: Desk, tab: CollectionTab
) -> None:
    other = store(judged_desk.workspace, small_world("others"), author="ann", labels="", is_demo=False)

    def names() -> list[tuple[str, bool]]:
        shown = as_json(tab.show(judged_desk.page, "ann"))["collections"]
        return sorted((each["name"], each["is_archived"]) for each in shown)

    def manage(act: str, **data: Any) -> None:
        tab.manage("ann", Message({"managed_id": other.id, "act": act, **data}))

    manage("describe", name="cattle", description="Of the farm")
    assert names() == [("animals", False), ("cattle", False)]
    manage("archive")
    assert names() == [("animals", False), ("cattle", True)]
    manage("unarchive")
    with pytest.raises(InvalidInputError, match="Type the name 'cattle' exactly"):
        manage("delete", name="others")
    with pytest.raises(InvalidInputError, match="Choose what to do"):
        manage("sell")
    manage("delete", name="cattle")
    assert names() == [("animals", False)]
    with pytest.raises(NotAllowedError):
        tab.manage(None, Message({"managed_id": judged_desk.collection.id, "act": "describe", "name": "x"}))


def test_page_goes_to_another_collection_when_the_open_one_is_archived(
    judged_desk: Desk, uploads: Uploads, downloads: Downloads
) -> None:
    store(judged_desk.workspace, small_world("others"), author="ann", labels="", is_demo=False)
    worker = training_worker(judged_desk.workspace)
    screens = Screens(judged_desk.workspace, worker, uploads, downloads)
    sent = {"collection_id": judged_desk.collection.id, "managed_id": judged_desk.collection.id, "act": "archive"}
    heard = screens.manage_collection("ann", Message(sent))
    panel = heard["collection"]
    assert (panel["error"], panel["is_managed"]) == ("", True)
    assert {each["name"]: (each["is_open"], each["is_archived"]) for each in panel["collections"]} == {
        "animals": (False, True),
        "others": (True, False),
    }
    assert heard["header"]["collection"] == "others"


def test_page_that_gives_up_ends_what_is_read_for_it(
    judged_desk: Desk, tab: CollectionTab, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = preview(judged_desk, tab, files=send(uploads, ANIMALS_CSV), format="", mapping={})["token"]
    monkeypatch.setattr(opening, "preview", preview_without_end)
    answers: list[dict[str, Any]] = []

    def look() -> None:
        message = Message({"token": token, "format": "", "mapping": {}, "page": PAGE}, "new-preview")
        answers.append(tab._answers._preview(judged_desk.page, "ann", message))

    looking = threading.Thread(target=look)
    looking.start()
    places = judged_desk.workspace.reading_places
    wait_until(lambda: len(places._places), bool)
    given_up = {"given_up": "new-preview", "page": PAGE}
    tab._answers._forget(judged_desk.page, "ben", Message(given_up, "forgotten"))  # somebody else
    tab._answers._forget(judged_desk.page, "ann", Message({**given_up, "page": OTHER_PAGE}, "forgotten"))  # another tab
    tab._answers._forget(judged_desk.page, "ann", Message({**given_up, "given_up": "import-costs"}, "forgotten"))
    assert not places._places[0].is_over.is_set()
    tab._answers._forget(judged_desk.page, "ann", Message(given_up, "forgotten"))
    looking.join()
    assert answers == [{"token": token, "error": "Reading was ended before it was done."}]
    assert places._places == []
