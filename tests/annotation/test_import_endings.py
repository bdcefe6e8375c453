"""How imports end when something goes wrong: what can go on is kept, the rest is removed, and none stays running."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage.import_jobs
import storage.removal
from annotation.errors import CollectionFileError, InvalidInputError
from annotation.importing import collecting, updating, worker
from annotation.importing.collecting import collect
from annotation.importing.jobs import (
    ImportRequest,
    cancel_import,
    dismiss_import,
    find_job,
    list_jobs,
    resume_import,
    start_import,
)
from annotation.importing.now import import_now
from era.errors import Cancelled, EmbedderUnavailableError, SourceUnreachable
from era.formats.content import SourceDocument
from era.types import Document
from storage.errors import DatabaseBusy
from tests.annotation.importing_world import (
    CountedEmbedder,
    ListedSource,
    World,
    ended,
    import_and_wait,
    left_behind,
    stored,
    wanted,
    working,
    write_documents,
)

MANY = [Document(f"m{n}", "", f"cat {n}") for n in range(10)]
HUB = ImportRequest(kind="new", name="pets", hub="mteb/pets", mapping={"text": "said"})


class Panic(BaseException):
    """What a library written in Rust raises when it panics is no `Exception`."""


class FarSource(ListedSource):
    """A source that stops answering."""

    def documents(self) -> Iterator[SourceDocument]:
        for place, document in enumerate(super().documents()):
            if place == 4:
                raise SourceUnreachable("the hub does not answer")
            yield document


@pytest.fixture
def world(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(collecting, "BATCH", 2)
    monkeypatch.setattr(worker, "_PAUSE_S", 0.01)
    made = World(data_dir)
    yield made
    made.workspace.close()


def busy_at_first(action: Callable[..., None], n: int = 1) -> Callable[..., None]:
    """Return the action as it is while the database is busy, the first `n` times."""
    tries: list[int] = []

    def busy(*about: Any) -> None:
        tries.append(1)
        if len(tries) <= n:
            raise DatabaseBusy(Path("era.db"), "locked")
        action(*about)

    return busy


def fail_with(error: BaseException) -> Callable[..., Any]:
    def fail(*about: Any, **more: Any) -> None:
        raise error

    return fail


def stopped(world: World, tmp_path: Path) -> int:
    """Return an import that failed on its way and can go on."""
    world.light.before = fail_with(EmbedderUnavailableError("The server does not answer."))
    return import_and_wait(world.workspace, wanted(write_documents(tmp_path / "stopped.jsonl"))).id


def test_import_of_a_hub_that_stops_answering_is_kept_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, Mapping[str, str]]] = []
    sources = [FarSource(MANY, [], {}), ListedSource(MANY, [], {})]

    def open_hub(name: str, config: str, mapping: Mapping[str, str]) -> ListedSource:
        asked.append((name, config, mapping))
        return sources[len(asked) - 1]

    monkeypatch.setattr(worker, "open_hub", open_hub)
    job = import_and_wait(world.workspace, HUB)
    assert (job.state, job.error, job.can_resume) == ("failed", "the hub does not answer", True)
    assert world.light.texts_read == [document.content for document in MANY[:4]]
    with working(world.workspace):
        resume_import(world.workspace, "ann", job.id)
        done = ended(world.workspace, job.id)
    assert (done.state, done.text) == ("finished", "10 documents")
    assert world.light.texts_read == [document.content for document in MANY]  # none of them twice
    assert asked == [("mteb/pets", "", {"text": "said"})] * 2


def test_import_now_keeps_what_it_has_when_the_source_stops_answering(world: World) -> None:
    with pytest.raises(SourceUnreachable):
        import_now(world.workspace, FarSource(MANY, [], {}), "ann")
    assert left_behind(world.workspace) == ["pets"]
    collection = import_now(world.workspace, ListedSource(MANY, [], {}), "ann")
    assert [each.doc_id for each in stored(world.workspace, collection.id)] == [each.doc_id for each in MANY]
    assert left_behind(world.workspace) == []


@pytest.mark.parametrize("step", ["discard", "delete_documents"])
def test_import_that_could_not_be_removed_is_removed_at_the_next_try(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    job_id = stopped(world, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(storage.removal, step, fail_with(DatabaseBusy(Path("era.db"), "locked")))
        with pytest.raises(DatabaseBusy):
            dismiss_import(world.workspace, "ann", job_id)
    assert [job.id for job in list_jobs(world.workspace)] == [job_id]
    dismiss_import(world.workspace, "ann", job_id)
    assert list_jobs(world.workspace) == []
    assert left_behind(world.workspace) == []


@pytest.mark.parametrize("kind", ["add", "replace"])
def test_what_waited_for_an_update_is_removed_though_the_database_was_busy(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(worker, "discard_staging", busy_at_first(collecting.discard_staging, n=5))
    request = replace(wanted(write_documents(tmp_path / "pets.jsonl")), kind=kind, collection_id=world.collection.id)
    assert import_and_wait(world.workspace, request).state == "finished"
    assert left_behind(world.workspace) == []


def test_cancelled_import_that_cannot_be_removed_has_failed_and_the_next_one_is_done(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def fail(*about: Any) -> None:
        tries.append(1)
        raise ValueError("nobody has foreseen this")

    def cancel(n_read: int) -> None:
        if n_read == 4:
            cancel_import(world.workspace, "ann", 1)

    world.light.before = cancel
    with monkeypatch.context() as patch, working(world.workspace):
        patch.setattr(worker, "discard", fail)
        job = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "many.jsonl", MANY)))
        failed = ended(world.workspace, job.id)
        assert failed.state == "failed"
        assert "could not be removed" in failed.error
        assert len(tries) == 3
        world.light.before = lambda n_read: None
        again = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "more.jsonl"), "more"))
        assert ended(world.workspace, again.id).state == "finished"
    dismiss_import(world.workspace, "ann", job.id)
    assert left_behind(world.workspace) == []


def test_unreadable_file_that_cannot_be_removed_still_says_what_is_wrong_with_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "discard", fail_with(ValueError("nobody has foreseen this")))
    file = write_documents(tmp_path / "pets.jsonl", MANY)
    file.write_text(file.read_text() + "{not json\n")
    job = import_and_wait(world.workspace, wanted(file))
    assert job.state == "failed"
    assert "line 11" in job.error


def test_panic_of_a_library_fails_its_import_and_the_next_one_is_done(world: World, tmp_path: Path) -> None:
    world.light.before = fail_with(Panic("index out of bounds"))
    with working(world.workspace):
        job = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "pets.jsonl")))
        failed = ended(world.workspace, job.id)
        assert (failed.state, failed.can_resume) == ("failed", True)
        assert "(Panic)" in failed.error
        world.light.before = lambda n_read: None
        again = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "more.jsonl"), "more"))
        assert ended(world.workspace, again.id).state == "finished"


def test_name_of_an_import_that_has_stopped_is_free_once_that_is_removed(world: World, tmp_path: Path) -> None:
    job_id = stopped(world, tmp_path)
    assert find_job(world.workspace, job_id).state == "failed"
    file = write_documents(tmp_path / "again.jsonl")
    with pytest.raises(InvalidInputError, match=r"'pets' has stopped\..* Collection tab, go on with it or remove it"):
        start_import(world.workspace, "ann", wanted(file))
    with pytest.raises(CollectionFileError, match=r"'pets' was begun in the app .*go on with it or remove it"):
        import_now(world.workspace, ListedSource(), "ann")
    dismiss_import(world.workspace, "ann", job_id)
    assert start_import(world.workspace, "ann", wanted(write_documents(file))).state == "queued"


def staging_of_a_job(world: World) -> int:
    """Return the collection that a queued import is to fill."""
    job = start_import(world.workspace, "ann", HUB)
    with world.workspace.reading() as session:
        staging_id = storage.import_jobs.get(session, job.id).staging_id
    assert staging_id is not None
    return staging_id


def test_progress_goes_by_the_number_of_documents_where_their_size_is_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, list[float]] = {"embedding": [], "reading": []}

    def say(stage: str, fraction: float, detail: str = "") -> None:
        if stage not in said:
            raise Cancelled("This is enough.")
        said[stage].append(fraction)

    source, staging_id = ListedSource(MANY, [], {}, n_documents=20), staging_of_a_job(world)
    with pytest.raises(Cancelled):
        collect(world.workspace, source, staging_id, "ann", CountedEmbedder(), say)
    # after 2, 4, 6 and 8 of 20 documents; reading and embedding takes 0.95 of the whole
    assert sorted(set(said["embedding"])) == pytest.approx([0, 0.095, 0.19, 0.285, 0.38])
    monkeypatch.setattr(updating, "BATCH", 2)
    said = {"reading": []}
    pair, collection_id = world.workspace.pair_for(world.collection.id), world.collection.id
    with pytest.raises(Cancelled):
        updating.update(world.workspace, collection_id, source, "add", staging_id, "ann", pair, say, 1)
    assert said["reading"] == pytest.approx([0.03, 0.06, 0.09, 0.12, 0.15])  # of the 0.3 that reading takes here


def test_documents_are_closed_when_an_import_is_cancelled(world: World) -> None:
    closed: list[bool] = []

    class Watched(ListedSource):
        def documents(self) -> Iterator[SourceDocument]:
            try:
                yield from super().documents()
            finally:
                closed.append(True)

    def cancel(stage: str, fraction: float, detail: str = "") -> None:
        if detail.startswith("2 "):
            raise Cancelled("Cancelled by a person.")

    many = [Document(f"m{n}", "", f"cat {n}") for n in range(2000)]  # the reader is never done before
    source, staging_id = Watched(many, [], {}), staging_of_a_job(world)
    with pytest.raises(Cancelled) as caught:
        collect(world.workspace, source, staging_id, "ann", CountedEmbedder(), cancel)
    assert caught.tb is not None  # it holds on to all that was under way
    assert closed == [True]
