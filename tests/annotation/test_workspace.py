"""One process, one data folder: who may open it, and how far its preparation is."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import storage.documents
import storage.label_sets
from annotation.collections.page import list_collections, open_page
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import store
from annotation.errors import NotFoundError, NotReadyError
from annotation.judging.marks import start_label_set
from annotation.judging.queries import ask, run_query
from annotation.ranking.rankers import LIGHT
from annotation.ui.notices import notices
from annotation.workspace import Readiness, Workspace, find_training_run
from era.encoders.base import EmbedderPair, Vectors
from era.encoders.spec import PairSpec
from era.errors import EmbedderUnavailableError
from era.progress import Progress, no_progress
from era.types import Query
from storage.collections import rename
from storage.errors import DatabaseDamaged, DataFolderNotWritable, StorageError, UnknownRecord
from tests.worlds.desk import PATIENCE_S, Desk, settings_at, small_world, staged_pair
from tests.worlds.words import ANIMALS, READERS, TOPICS, WordEmbedder, light_embedder

REPOSITORY = Path(__file__).parents[2]

OPEN_ELSEWHERE = """
import sys
from pathlib import Path
from annotation.settings import Settings
from annotation.workspace import Workspace
from storage.errors import StorageError

def load(spec, device):
    raise NotImplementedError

try:
    Workspace(Settings(data_dir=Path(sys.argv[1])), load).close()
except StorageError as error:
    sys.exit(str(error))
"""


def load_staged(spec: PairSpec, device: str) -> EmbedderPair:
    return EmbedderPair(*staged_pair())


def test_workspace_refuses_a_second_one_on_the_same_folder(data_dir: Path) -> None:
    first = Workspace(settings_at(data_dir), load_staged)
    with pytest.raises(StorageError, match="ERA_DATA_DIR") as error:
        Workspace(settings_at(data_dir), load_staged)
    assert str(data_dir) in str(error.value)
    assert not list_collections(first)  # the first one still works
    first.close()
    Workspace(settings_at(data_dir), load_staged).close()


def test_workspace_refuses_a_second_process_on_the_same_folder(bare_workspace: Workspace) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", OPEN_ELSEWHERE, str(bare_workspace.folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert finished.returncode == 1
    assert f"Another ERA is using the data folder {bare_workspace.folder}" in finished.stderr
    assert "ERA_DATA_DIR" in finished.stderr


@pytest.mark.parametrize("place", ["itself", "a folder in it"])
def test_workspace_says_so_when_a_file_stands_where_the_folder_should_be(tmp_path: Path, place: str) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(DataFolderNotWritable, match="choose another data folder"):
        Workspace(settings_at(file if place == "itself" else file / "data"), load_staged)
    assert file.read_text() == "precious"


def test_workspace_refuses_a_database_that_is_none_and_leaves_it(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "era.sqlite3").write_text("a diary, not a database" * 100)
    with pytest.raises(DatabaseDamaged, match=r"era\.sqlite3"):
        Workspace(settings_at(data_dir), load_staged)
    assert (data_dir / "era.sqlite3").read_text().startswith("a diary")


@pytest.mark.parametrize("folder", ["collections", "adapters"])
def test_workspace_refuses_a_database_that_has_lost_all_content(data_dir: Path, folder: str) -> None:
    database = data_dir / "era.sqlite3"
    data_dir.mkdir()
    database.touch()
    Workspace(settings_at(data_dir), load_staged).close()  # an empty file in an empty folder is a beginning
    database.unlink()
    database.touch()
    (data_dir / folder).mkdir(exist_ok=True)
    for _ in range(2):  # the folder is let go again
        with pytest.raises(DatabaseDamaged, match=r"has no content \(0 bytes\)"):
            Workspace(settings_at(data_dir), load_staged)
    assert database.stat().st_size == 0


def test_damage_found_while_the_app_runs_stops_all_writing_and_is_told(judged_desk: Desk) -> None:
    workspace = judged_desk.workspace
    with workspace.writing() as session:
        session.execute(text("UPDATE training_run SET config = '{'"))
        session.execute(text("UPDATE pool_document SET sources = '{'"))
        session.execute(text("UPDATE document SET metadata = '{' WHERE doc_id = 'dog-feeding'"))
    page = open_page(workspace, judged_desk.collection.id, judged_desk.label_set_id)
    assert notices(workspace, page) == []
    with pytest.raises(DatabaseDamaged), workspace.reading() as session:
        storage.documents.get_many(session, judged_desk.collection.id, ["dog-feeding"])
    assert workspace.damage is not None
    with pytest.raises(DatabaseDamaged, match=r"storage\.rescue"):
        judged_desk.mark(judged_desk.query_id("cat-vet"), "cat-feeding", 1.0, 9)
    [told] = notices(workspace, open_page(workspace, judged_desk.collection.id, judged_desk.label_set_id))
    assert "is damaged" in told
    assert "marks wait in your browser" in told
    assert "python -m storage.rescue" in told
    query = ask(workspace, "ann", judged_desk.collection.id, "a question asked since", "")
    assert run_query(workspace, "ann", query, LIGHT).ranking  # searching only reads


def test_workspace_loads_no_embedder_before_it_is_prepared(data_dir: Path) -> None:
    asked: list[str] = []

    def load(spec: PairSpec, device: str) -> EmbedderPair:
        asked.append(device)
        return load_staged(spec, device)

    workspace = Workspace(settings_at(data_dir), load)
    store(workspace, small_world(), author="ann", labels="", is_demo=False)
    assert asked == []
    assert workspace.readiness.state == "preparing"
    prepare(workspace)
    assert asked == ["cpu"]
    workspace.close()


def test_library_is_not_ready_before_the_embedders_are_loaded(bare_workspace: Workspace) -> None:
    collection = store(bare_workspace, small_world(), author="ann", labels="", is_demo=False)
    with pytest.raises(NotReadyError, match="Try again"):
        bare_workspace.open(collection.id)
    assert bare_workspace.opened(collection.id) is None


def test_prepare_ends_ready_with_every_collection_open(bare_workspace: Workspace) -> None:
    first, second = (
        store(bare_workspace, small_world(name), author="ann", labels="", is_demo=False) for name in ("one", "two")
    )
    prepare(bare_workspace)
    assert bare_workspace.readiness == Readiness("ready", "", 1.0)
    assert str(bare_workspace.device_name).startswith("CPU")
    one, two = bare_workspace.opened(first.id), bare_workspace.opened(second.id)
    assert one is not None
    assert two is not None
    assert (one.is_aligned, two.is_aligned) == (False, True)  # only the collection used last
    assert bare_workspace.open(second.id) is two


def test_library_opens_a_collection_that_came_after_the_preparation(desk: Desk) -> None:
    later = store(desk.workspace, small_world("later"), author="ann", labels="", is_demo=False)
    assert desk.workspace.opened(later.id) is None
    assert len(desk.workspace.open(later.id).corpus) == 16


def test_library_opens_a_collection_once_when_several_ask_at_once(desk: Desk) -> None:
    later = store(desk.workspace, small_world("later"), author="ann", labels="", is_demo=False)
    desk.light.texts_read.clear()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(desk.workspace.open(later.id))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len({id(opened) for opened in found}) == 1
    assert len(desk.light.texts_read) == 16


def test_library_says_so_when_there_is_no_such_collection(desk: Desk) -> None:
    with pytest.raises(UnknownRecord, match="no collection with the id 99"):
        desk.workspace.open(99)


@pytest.mark.parametrize(
    "error",
    [
        EmbedderUnavailableError("model.safetensors is missing. Run: pip install"),
        OSError("the disk is gone"),
        RuntimeError("CUDA error: out of memory"),
        ImportError("cannot load a library"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_prepare_ends_failed_with_the_message_when_the_embedders_do_not_load(data_dir: Path, error: Exception) -> None:
    def load(spec: PairSpec, device: str) -> EmbedderPair:
        raise error

    workspace = Workspace(settings_at(data_dir), load)
    collection = store(workspace, small_world(), author="ann", labels="", is_demo=False)
    prepare(workspace)
    assert workspace.readiness.state == "failed"
    if isinstance(error, EmbedderUnavailableError):
        assert workspace.readiness.message == str(error)
    with pytest.raises(NotReadyError) as refusal:
        workspace.open(collection.id)
    assert str(refusal.value) == workspace.readiness.message != ""
    workspace.close()


def test_prepare_ends_failed_when_the_device_is_not_there(data_dir: Path) -> None:
    settings = settings_at(data_dir).model_copy(update={"device": "abacus"})
    workspace = Workspace(settings, load_staged)
    prepare(workspace)
    assert workspace.readiness.state == "failed"
    assert "ERA_DEVICE" in workspace.readiness.message
    workspace.close()


class UnreadingEmbedder(WordEmbedder):
    """Fails on documents, as a full disk or a full GPU would."""

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        raise OSError("no space left")


def test_prepare_ends_ready_to_search_when_only_the_alignment_fails(data_dir: Path) -> None:
    strong = UnreadingEmbedder("strong", [*ANIMALS, *TOPICS, *READERS])
    workspace = Workspace(settings_at(data_dir), lambda spec, device: EmbedderPair(strong, light_embedder()))
    collection = store(workspace, small_world(), author="ann", labels="", is_demo=False)
    prepare(workspace)
    assert workspace.open(collection.id).light().search(Query("", "cat cat feeding"), 1)[0].doc_id == "cat-feeding"
    assert workspace.readiness.state == "ready"
    workspace.close()


def rename_and_fail(workspace: Workspace, collection_id: int) -> None:
    with workspace.writing() as session:
        rename(session, collection_id, "renamed")
        raise KeyError


def test_prepare_counts_the_words_that_the_aligned_ranking_needs(desk: Desk) -> None:
    again = desk.again()
    assert again.workspace.open(again.collection.id)._words.index is not None
    again.workspace.close()


def test_writing_leaves_everything_as_it_was_when_something_is_raised(bare_workspace: Workspace) -> None:
    collection = store(bare_workspace, small_world(), author="ann", labels="", is_demo=False)
    with pytest.raises(KeyError):
        rename_and_fail(bare_workspace, collection.id)
    assert [each.name for each in list_collections(bare_workspace)] == ["animals"]


class FullDisk(sqlite3.OperationalError):
    sqlite_errorcode = sqlite3.SQLITE_FULL


@pytest.mark.parametrize("name", ["reading", "writing"])
def test_session_says_in_plain_words_that_the_disk_is_full(bare_workspace: Workspace, name: str) -> None:
    with pytest.raises(DataFolderNotWritable, match="free space") as error, getattr(bare_workspace, name)():
        raise OperationalError("INSERT", {}, FullDisk("database or disk is full"))
    assert error.value.folder == bare_workspace.folder


@pytest.mark.parametrize("name", ["reading", "writing"])
def test_session_passes_on_what_nobody_can_mend(bare_workspace: Workspace, name: str) -> None:
    with pytest.raises(OperationalError, match="syntax error"), getattr(bare_workspace, name)() as session:
        session.execute(text("SELEKT"))


def test_standings_are_those_of_now_and_of_their_label_set(desk: Desk) -> None:
    first, query_id = desk.label_set_id, desk.query_id("cat-vet")
    standings = desk.workspace.standings(first)
    assert standings.qrels() == {}
    desk.mark(query_id, "cat-illness", 1.0, 1)
    assert desk.workspace.standings(first) is standings  # kept, so that a look costs little
    assert standings.qrels() == {query_id: {"cat-illness": 1.0}}
    second = start_label_set(desk.workspace, "ann", desk.collection.id, "second")
    assert desk.workspace.standings(second).qrels() == {}
    desk.mark(query_id, "cat-illness", 0.0, 2)  # into the newest label set
    assert desk.workspace.standings(second).qrels() == {query_id: {"cat-illness": 0.0}}
    assert desk.workspace.standings(first).qrels() == {query_id: {"cat-illness": 1.0}}


def test_find_training_run_says_so_when_it_left_no_adapter(bare_workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="left no adapter"):
        find_training_run(bare_workspace, 7)
