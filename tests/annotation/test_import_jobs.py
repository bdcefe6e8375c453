"""Imports in the background: seen when they are complete, gone when they are not, resumed where they were."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage.collections
import storage.jobs
import storage.queries
from annotation.collections import import_source, imports
from annotation.collections.imports import (
    ImportJob,
    ImportRequest,
    cancel_import,
    dismiss_import,
    find_job,
    list_jobs,
    resume_import,
    start_import,
)
from annotation.collections.page import list_collections, list_label_sets
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.settings import Settings
from era.encoders.spec import BUNDLED, EmbedderSpec, PairSpec
from era.errors import EmbedderUnavailableError
from era.io.opening import Choices
from era.types import Document
from storage.errors import NameTaken
from storage.records import IMPORTS
from storage.schema import JobRow
from tests.worlds.desk import PATIENCE_S, Desk, wait_until
from tests.worlds.importing import (
    PETS,
    CountedEmbedder,
    World,
    ended,
    import_and_wait,
    left_behind,
    stored,
    wanted,
    working,
    write_documents,
    write_folder,
)
from tests.worlds.words import DOCUMENTS

MANY = [Document(f"m{n}", "", f"cat {n}") for n in range(10)]
OTHER = PairSpec(EmbedderSpec("bundled-strong"), EmbedderSpec("sentence-transformers", "other"))


@pytest.fixture
def world(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(import_source, "BATCH", 2)
    made = World(data_dir)
    yield made
    made.workspace.close()


def test_new_collection_comes_with_documents_queries_and_judgments(world: World, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "upload" / "animals of mine")
    job = import_and_wait(world.workspace, wanted(folder, description=" Two \n"))
    assert (job.state, job.error, job.text) == ("finished", "", "3 documents, 2 queries, 3 judgments")
    assert world.names == ["pets", "animals"]
    collection = list_collections(world.workspace)[0]
    assert (collection.id, collection.description, collection.created_by) == (job.collection_id, "Two", "ann")
    assert [(d.doc_id, d.title, d.text) for d in stored(world.workspace, collection.id)] == [
        (d.doc_id, d.title, d.text) for d in PETS
    ]
    [label_set] = list_label_sets(world.workspace, collection.id)
    assert (label_set.label_set.name, label_set.counts.n_judged) == ("Imported labels", 3)
    with world.workspace.reading() as session:
        queries = storage.queries.list_all(session, collection.id)
    assert [(q.public_id, q.text, q.instruction) for q in queries] == [("q1", "cat", "find pets"), ("q2", "dog", "")]
    qrels = world.workspace.standings(label_set.label_set.id).qrels()
    assert qrels == {queries[0].id: {"p1": 1.0, "p2": 0.0}, queries[1].id: {"p2": 2.0}}


def test_imported_collection_is_searched_without_embedding_it_again(world: World, tmp_path: Path) -> None:
    job = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "pets.jsonl")))
    assert job.collection_id is not None
    index = world.workspace.open(job.collection_id).index
    assert world.light.texts_read == [document.content for document in PETS]
    expected = CountedEmbedder().encode_documents([document.content for document in PETS])
    assert index.vectors(["p1", "p2", "p3"]).tolist() == expected.tolist()
    world.restart()
    assert world.workspace.open(job.collection_id).index.fingerprint == index.fingerprint
    assert world.light.texts_read == []


def test_upload_is_moved_away_and_nothing_waits_after_the_import(world: World, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "pets.jsonl")
    assert import_and_wait(world.workspace, wanted(file)).state == "finished"
    assert not file.exists()
    assert left_behind(world.workspace) == []


def test_nobody_sees_a_collection_before_it_is_complete(world: World, tmp_path: Path) -> None:
    gate, is_reached = threading.Event(), threading.Event()

    def wait(n_read: int) -> None:
        is_reached.set()
        assert gate.wait(PATIENCE_S)

    world.light.before = wait
    with working(world.workspace):
        job = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "pets.jsonl")))
        assert is_reached.wait(PATIENCE_S)
        assert world.names == ["animals"]
        assert find_job(world.workspace, job.id).state == "running"
        with pytest.raises(InvalidInputError, match="being imported already"):
            start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "again.jsonl")))
        gate.set()
        assert ended(world.workspace, job.id).state == "finished"
    assert world.names == ["pets", "animals"]


def test_cancelled_import_leaves_nothing(world: World, tmp_path: Path) -> None:
    def cancel(n_read: int) -> None:
        if n_read == 4:
            cancel_import(world.workspace, "ann", 1)

    world.light.before = cancel
    job = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "many.jsonl", MANY)))
    assert (job.state, job.can_resume) == ("cancelled", False)
    assert world.names == ["animals"]
    assert left_behind(world.workspace) == []
    world.light.before = lambda n_read: None
    assert import_and_wait(world.workspace, wanted(write_documents(tmp_path / "again.jsonl"))).state == "finished"


def test_nothing_is_stored_any_more_when_a_cancelled_import_is_discarded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: list[str] = []
    really_discard = imports.discard

    def discard(*about: Any) -> None:
        at_work.extend(thread.name for thread in threading.enumerate())
        really_discard(*about)

    def cancel(n_read: int) -> None:
        if n_read == 2:
            cancel_import(world.workspace, "ann", 1)

    monkeypatch.setattr(imports, "discard", discard)
    world.light.before = cancel
    many = [Document(f"m{n}", "", f"cat {n}") for n in range(2000)]  # the reader is never done before
    job = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "many.jsonl", many)))
    assert job.state == "cancelled"
    assert "importing" in at_work
    assert "reading-ahead" not in at_work
    assert left_behind(world.workspace) == []


def test_import_cancelled_before_its_turn_leaves_nothing(world: World, tmp_path: Path) -> None:
    job = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "pets.jsonl")))
    assert cancel_import(world.workspace, "ann", job.id).state == "cancelled"
    assert left_behind(world.workspace) == []


def test_file_that_cannot_be_read_is_named_by_its_line_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "pets.jsonl", MANY)
    file.write_text(file.read_text() + "{not json\n")
    job = import_and_wait(world.workspace, wanted(file))
    assert (job.state, job.can_resume) == ("failed", False)
    assert "pets.jsonl" in job.error
    assert "line 11" in job.error
    assert world.names == ["animals"]
    assert left_behind(world.workspace) == []


def test_what_a_person_chose_of_columns_header_and_encoding_is_imported(world: World, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("id,text,more\n1,schön,a\n2,na".encode() + b"\xef,b\n")
    mapping = {"id": ["column 1"], "text": ["column 2", "column 3"]}
    job = import_and_wait(world.workspace, wanted(tmp_path / "x.csv", mapping=mapping, choices=Choices("no", "utf-8")))
    assert job.state == "finished"
    found = stored(world.workspace, job.collection_id or 0)
    assert [(each.doc_id, each.text) for each in found] == [
        ("id", "text\nmore"),
        ("1", "schön\na"),
        ("2", "na\ufffd\nb"),
    ]


def test_an_import_that_an_earlier_version_queued_is_done(world: World, tmp_path: Path) -> None:
    """Then a role had one column, and nothing else could be chosen."""
    file = tmp_path / "x.csv"
    file.write_text("key,said\na,cat\nb,dog\n")
    request = wanted(file, mapping={"id": "key", "text": "said"})
    job = start_import(world.workspace, "ann", request)
    with world.workspace.writing() as session:
        row = session.get_one(JobRow, job.id)
        row.request = {key: value for key, value in row.request.items() if key != "choices"}
    with working(world.workspace):
        assert ended(world.workspace, job.id).state == "finished"
    [new] = [each for each in list_collections(world.workspace) if each.name == "pets"]
    assert [(each.doc_id, each.text) for each in stored(world.workspace, new.id)] == [("a", "cat"), ("b", "dog")]


def test_import_without_any_text_is_refused_in_plain_words(world: World, tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.write_text('{"id": "1", "text": " "}\n')
    job = import_and_wait(world.workspace, wanted(file))
    assert job.state == "failed"
    assert left_behind(world.workspace) == []


def test_failed_embedder_leaves_what_was_read_and_the_import_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    def fail(n_read: int) -> None:
        if n_read == 6:
            raise EmbedderUnavailableError("The server does not answer.")

    world.light.before = fail
    job = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "many.jsonl", MANY)))
    assert (job.state, job.error, job.can_resume) == ("failed", "The server does not answer.", True)
    assert world.names == ["animals"]
    world.light = CountedEmbedder()
    world.workspace.pairs.keep_only([])
    with working(world.workspace):
        resume_import(world.workspace, "ann", job.id)
        assert ended(world.workspace, job.id).state == "finished"
    assert world.light.texts_read == [document.content for document in MANY[6:]]
    assert world.names == ["pets", "animals"]
    assert left_behind(world.workspace) == []


def test_import_stopped_by_closing_the_app_is_interrupted_and_resumed(world: World, tmp_path: Path) -> None:
    with working(world.workspace) as worker:
        world.light.before = lambda n_read: worker._closing.set() if n_read == 4 else None
        job = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "many.jsonl", MANY)))
        worker._threads[0].join(PATIENCE_S)
    world.restart()
    with working(world.workspace):
        found = find_job(world.workspace, job.id)
        assert (found.state, found.can_resume) == ("interrupted", True)
        assert world.names == ["animals"]
        resume_import(world.workspace, "ann", job.id)
        done = ended(world.workspace, job.id)
    assert (done.state, done.text) == ("finished", "10 documents")
    assert world.light.texts_read == [document.content for document in MANY[4:]]  # 4 and 5 were not kept any more
    assert done.collection_id is not None
    fresh = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "fresh.jsonl", MANY), "fresh"))
    assert fresh.collection_id is not None
    opened = world.workspace.open(fresh.collection_id)
    assert world.workspace.open(done.collection_id).index.fingerprint == opened.index.fingerprint


def test_dismissed_import_leaves_nothing(world: World, tmp_path: Path) -> None:
    def fail(n_read: int) -> None:
        raise EmbedderUnavailableError("The server does not answer.")

    world.light.before = fail
    job = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "pets.jsonl")))
    assert left_behind(world.workspace) != []
    dismiss_import(world.workspace, "ann", job.id)
    assert list_jobs(world.workspace) == []
    assert left_behind(world.workspace) == []


def test_what_ended_leaves_the_list_at_the_next_start_and_leftovers_are_swept(world: World, tmp_path: Path) -> None:
    done = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "pets.jsonl")))
    assert [job.id for job in list_jobs(world.workspace)] == [done.id]
    (world.workspace.folder / "imports" / ".arriving-1").mkdir()
    world.restart()
    with working(world.workspace):
        assert list_jobs(world.workspace) == []
        assert left_behind(world.workspace) == []
    assert world.names == ["pets", "animals"]


def test_remarks_say_what_was_left_out(world: World, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    (folder / "corpus.jsonl").write_text((folder / "corpus.jsonl").read_text() + '{"id": "e", "text": ""}\n')
    (folder / "qrels.tsv").write_text("q1\tp1\t1\nq1\te\t1\n")
    job = import_and_wait(world.workspace, wanted(folder))
    assert job.state == "finished"
    assert "Left out: 1 judgment of documents that are not in the collection." in job.remarks
    assert len(job.remarks) >= 2


def test_other_embedders_read_the_documents_again_and_the_old_index_is_used_until_then(
    world: World, tmp_path: Path
) -> None:
    collection_id = world.collection.id
    before = world.workspace.open(collection_id).index
    seen: list[str] = []
    world.other.before = lambda n: seen.append(world.workspace.open(collection_id).index.fingerprint)
    request = ImportRequest(kind="embedders", embedders=OTHER.to_json(), collection_id=collection_id)
    job = import_and_wait(world.workspace, request)
    assert (job.state, job.name, job.collection_id) == ("finished", "animals", collection_id)
    assert set(seen) == {before.fingerprint}
    after = world.workspace.open(collection_id).index
    assert after.embedder.name == "other"
    contents = [document.content for document in DOCUMENTS]
    assert sorted(text for text in world.other.texts_read if text in contents) == sorted(contents)
    with world.workspace.reading() as session:
        assert storage.collections.get(session, collection_id).embedders == OTHER.to_json()
    assert left_behind(world.workspace) == []
    world.other.texts_read.clear()
    world.restart()
    assert world.workspace.open(collection_id).index.fingerprint == after.fingerprint
    assert not {document.content for document in DOCUMENTS} & set(world.other.texts_read)


def test_new_collection_gets_the_embedders_that_were_chosen(world: World, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "pets.jsonl")
    job = import_and_wait(world.workspace, wanted(file, embedders=OTHER.to_json()))
    assert job.collection_id is not None
    assert world.workspace.open(job.collection_id).index.embedder.name == "other"
    assert world.workspace.spec_of(job.collection_id) == OTHER


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "  "}, "needs a name"),
        ({"name": "x" * 81}, "needs a name"),
        ({"name": ".hidden"}, "needs a name"),
        ({"path": ""}, "Choose a file"),
        ({"hub": "mteb/scifact"}, "Choose a file"),
        ({"path": "", "hub": "../../etc"}, "named like"),
        ({"path": "/nowhere/at/all.csv"}, "not there any more"),
        ({"kind": "add"}, "Choose the collection"),
        ({"kind": "embedders", "collection_id": 1}, "Choose the embedders"),
        ({"kind": "destroy"}, "no import of the kind"),
    ],
)
def test_request_that_cannot_be_meant_is_refused_and_leaves_nothing(
    world: World, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    request = replace(wanted(write_documents(tmp_path / "pets.jsonl")), **changes)
    with pytest.raises(InvalidInputError, match=complaint):
        start_import(world.workspace, "ann", request)
    assert list_jobs(world.workspace) == []
    assert left_behind(world.workspace) == []


def test_taken_name_and_unusable_embedders_are_refused_before_anything_is_moved(world: World, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "pets.jsonl")
    with pytest.raises(EmbedderUnavailableError, match="kind"):
        start_import(world.workspace, "ann", wanted(file, embedders={**BUNDLED.to_json(), "light": {"kind": "magic"}}))
    assert file.exists()
    with pytest.raises(NameTaken, match="'animals'"):
        start_import(world.workspace, "ann", wanted(file, "animals"))
    assert left_behind(world.workspace) == []


def test_only_who_signed_in_imports_and_only_who_started_an_import_stops_it(desk: Desk, tmp_path: Path) -> None:
    people = tmp_path / "people"
    people.write_text("ann:a\nben:b\n")
    shared = Settings(data_dir=desk.workspace.folder, device="cpu", people=people, space_id=None)
    desk.workspace.settings = shared
    request = wanted(write_documents(tmp_path / "pets.jsonl"))
    with pytest.raises(NotAllowedError, match="Sign in"):
        start_import(desk.workspace, None, request)
    job = start_import(desk.workspace, "ann", request)
    for step in (cancel_import, resume_import, dismiss_import):
        for author in (None, "ben"):
            with pytest.raises(NotAllowedError):
                step(desk.workspace, author, job.id)
    replacing = ImportRequest(kind="replace", path=request.path, collection_id=job.id)
    with pytest.raises(NotAllowedError, match="Only ann can change the documents of this collection"):
        start_import(desk.workspace, "ben", replace(replacing, collection_id=desk.collection.id))
    with pytest.raises(
        NotAllowedError, match="Only ann can change the documents of this collection"
    ):  # for an added one may replace one
        start_import(desk.workspace, "ben", replace(replacing, kind="add", collection_id=desk.collection.id))
    assert find_job(desk.workspace, job.id).state == "queued"
    wait_until(lambda: cancel_import(desk.workspace, "ann", job.id).state, lambda state: state == "cancelled")


def test_one_person_of_several_takes_three_places_and_leaves_the_others(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_as(author: str, name: str) -> ImportJob:
        return start_import(world.workspace, author, wanted(write_documents(tmp_path / f"{name}.jsonl"), name))

    interrupted = start_as("eve", "interrupted")
    with world.workspace.writing() as session:
        storage.jobs.claim_next(session, IMPORTS)
        storage.jobs.mark_interrupted_all_running(session, IMPORTS)
    shared = world.workspace.settings.model_copy(update={"space_id": "ann/era"})
    monkeypatch.setattr(world.workspace, "settings", shared)
    for number in range(3):
        start_as("eve", f"pets {number}")
    refused = "3 of your imports are waiting already, which is one person's share"
    with pytest.raises(InvalidInputError, match=refused):
        start_as("eve", "pets 3")
    with pytest.raises(InvalidInputError, match=refused):
        resume_import(world.workspace, "eve", interrupted.id)
    assert start_as("ben", "pets 4").state == "queued"
