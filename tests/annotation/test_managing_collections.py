"""Names, the archive, and deleting: always something left to work with, and nothing left of what was deleted."""

from pathlib import Path

import pytest

import storage.collections
import storage.documents
import storage.judgments
from annotation.collections.import_source import finish_deletions
from annotation.collections.imports import ImportRequest, start_import
from annotation.collections.manage import archive, delete, describe, rename, unarchive
from annotation.collections.page import list_collections, open_page
from annotation.collections.store_whole import ensure_demos, store
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.settings import Settings
from annotation.workspace import Workspace
from storage.errors import NameTaken, UnknownRecord
from storage.records import CollectionRecord, CollectionState
from tests.worlds.desk import Desk, small_world
from tests.worlds.importing import write_documents
from tests.worlds.words import QRELS


@pytest.fixture
def other(desk: Desk) -> CollectionRecord:
    """A second, judged collection."""
    return store(desk.workspace, small_world("fish", QRELS), author="ann", labels="Labels", is_demo=False)


def names(workspace: Workspace) -> list[str]:
    return [each.name for each in list_collections(workspace)]


def test_collection_gets_another_name_and_a_description(desk: Desk, other: CollectionRecord) -> None:
    assert rename(desk.workspace, "ann", other.id, "  Trout \n and salmon ").name == "Trout and salmon"
    assert describe(desk.workspace, "ann", other.id, " Where they swim\n").description == "Where they swim"
    with pytest.raises(NameTaken, match="'animals'"):
        rename(desk.workspace, "ann", other.id, "animals")
    with pytest.raises(InvalidInputError, match="1 to 80 letters"):
        rename(desk.workspace, "ann", other.id, " ")
    with pytest.raises(InvalidInputError, match="at most 2,000"):
        describe(desk.workspace, "ann", other.id, "x" * 2001)
    with pytest.raises(UnknownRecord):
        rename(desk.workspace, "ann", 99, "anything")
    assert sorted(names(desk.workspace)) == ["Trout and salmon", "animals"]


def test_archived_collection_is_out_of_sight_until_it_is_brought_back(desk: Desk, other: CollectionRecord) -> None:
    archive(desk.workspace, "ann", other.id)
    assert names(desk.workspace) == ["animals"]
    assert open_page(desk.workspace, other.id, None).collection.name == "animals"
    with pytest.raises(InvalidInputError, match="One collection has to stay in sight"):
        archive(desk.workspace, "ann", desk.collection.id)
    again = desk.again()
    assert again.workspace.opened(other.id) is None  # it takes no memory
    unarchive(again.workspace, "ann", other.id)
    assert sorted(names(again.workspace)) == ["animals", "fish"]
    assert len(again.workspace.open(other.id).corpus) == 16
    again.workspace.close()


def test_deleted_collection_is_gone_with_all_that_belongs_to_it(judged_desk: Desk) -> None:
    workspace, deleted = judged_desk.workspace, judged_desk.collection
    run = judged_desk.train()
    kept = store(workspace, small_world("fish", QRELS), author="ann", labels="Labels", is_demo=False)
    label_set_id = open_page(workspace, kept.id, None).label_set.id
    before = workspace.standings(label_set_id).qrels()
    assert workspace.adapter_folder(run.id).is_dir()
    delete(workspace, "ann", deleted.id, " animals ")
    assert names(workspace) == ["fish"]
    assert workspace.opened(deleted.id) is None
    assert not workspace.adapter_folder(run.id).exists()
    assert not workspace.collection_folder(deleted.id).exists()
    assert "Showing fish instead" in open_page(workspace, deleted.id, None).remark
    with workspace.reading() as session:
        assert storage.documents.count(session, deleted.id) == 0
        assert storage.documents.count(session, kept.id) == 16
        assert storage.collections.get(session, deleted.id).state is CollectionState.DELETED
    assert workspace.standings(label_set_id).qrels() == before
    with pytest.raises(InvalidInputError, match="does not exist any more"):
        rename(workspace, "ann", deleted.id, "back")
    assert store(workspace, small_world("animals"), author="ann", labels="L", is_demo=False).id > kept.id


@pytest.mark.parametrize("typed", ["", "fis", "Fish", "animals"])
def test_deleting_takes_the_name_as_it_is(desk: Desk, other: CollectionRecord, typed: str) -> None:
    with pytest.raises(InvalidInputError, match="Type the name 'fish' exactly"):
        delete(desk.workspace, "ann", other.id, typed)
    assert len(names(desk.workspace)) == 2


def test_last_collection_in_sight_cannot_be_deleted(desk: Desk, other: CollectionRecord) -> None:
    archive(desk.workspace, "ann", other.id)
    with pytest.raises(InvalidInputError, match="At least one collection has to stay"):
        delete(desk.workspace, "ann", desk.collection.id, "animals")
    delete(desk.workspace, "ann", other.id, "fish")
    assert names(desk.workspace) == ["animals"]


def test_collection_in_use_by_training_or_an_import_is_not_deleted(judged_desk: Desk, tmp_path: Path) -> None:
    workspace, collection = judged_desk.workspace, judged_desk.collection
    other = store(workspace, small_world("fish"), author="ann", labels="Labels", is_demo=False)
    judged_desk.start()
    with pytest.raises(InvalidInputError, match="training run of this collection is queued"):
        delete(workspace, "ann", collection.id, "animals")
    file = write_documents(tmp_path / "more.jsonl")
    start_import(workspace, "ann", ImportRequest(kind="add", path=str(file), collection_id=other.id))
    with pytest.raises(InvalidInputError, match="import changes this collection"):
        delete(workspace, "ann", other.id, "fish")
    assert sorted(names(workspace)) == ["animals", "fish"]


def test_only_its_owner_deletes_a_collection_where_several_sign_in(
    desk: Desk, other: CollectionRecord, tmp_path: Path
) -> None:
    people = tmp_path / "people"
    people.write_text("ann:a\nben:b\n")
    desk.workspace.settings = Settings(data_dir=desk.workspace.folder, device="cpu", people=people, space_id=None)
    with pytest.raises(NotAllowedError, match="Only ann can delete this collection"):
        delete(desk.workspace, "ben", other.id, "fish")
    for step in (archive, unarchive):
        with pytest.raises(NotAllowedError, match="Sign in"):
            step(desk.workspace, None, other.id)
    for change in (rename, describe):
        with pytest.raises(NotAllowedError, match="Sign in"):
            change(desk.workspace, None, other.id, "x")
    delete(desk.workspace, "ann", other.id, "fish")
    assert names(desk.workspace) == ["animals"]


def test_deletion_that_was_cut_short_is_finished_at_the_next_start(
    desk: Desk, other: CollectionRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from annotation.collections import import_source

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_source, "drop_documents", stop)
    with pytest.raises(KeyboardInterrupt):
        delete(desk.workspace, "ann", other.id, "fish")
    monkeypatch.undo()
    assert names(desk.workspace) == ["animals"]
    finish_deletions(desk.workspace)
    with desk.workspace.reading() as session:
        assert storage.documents.count(session, other.id) == 0
        assert storage.collections.get(session, other.id).n_documents == 0


def test_renamed_and_deleted_demos_do_not_come_back(desk: Desk) -> None:
    ensure_demos(desk.workspace)
    emoji, python = [each for each in list_collections(desk.workspace) if each.is_demo]
    rename(desk.workspace, "ann", emoji.id, "renamed")
    ensure_demos(desk.workspace)
    assert names(desk.workspace) == ["renamed", python.name, "animals"]
    for each, name in ((emoji, "renamed"), (python, python.name)):
        delete(desk.workspace, "ann", each.id, name)
        ensure_demos(desk.workspace)
    assert names(desk.workspace) == ["animals"]
