"""How imports end when something goes wrong: what can go on is kept, the rest is removed, and none stays running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage.collections
import storage.jobs
import storage.removal
from annotation.collections import import_source, imports, update
from annotation.collections.import_source import collect, import_now
from annotation.collections.imports import (
    ImportRequest,
    cancel_import,
    dismiss_import,
    find_job,
    list_jobs,
    resume_import,
    start_import,
)
from annotation.errors import CollectionFileError, InvalidInputError
from annotation.jobs import worker
from annotation.jobs.child import Bounds
from era.errors import Cancelled, EmbedderUnavailableError, SourceUnreachable
from era.io.content import SourceDocument
from era.io.opening import open_hub
from era.types import Document
from storage.errors import DatabaseBusy
from tests.annotation.readers_to_end import open_greedy, open_stuck
from tests.era.io.hostile_files import book, cells
from tests.worlds.desk import wait_until
from tests.worlds.importing import (
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
    monkeypatch.setattr(import_source, "BATCH", 2)
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
    asked: list[Any] = []
    sources = [FarSource(MANY, [], {}), ListedSource(MANY, [], {})]

    @contextmanager
    def source_apart(file: str, bounds: Bounds, is_over: Any, opener: Any, *about: Any) -> Iterator[ListedSource]:
        asked.append((file, opener, about))
        yield sources[len(asked) - 1]

    monkeypatch.setattr(imports, "source_apart", source_apart)
    job = import_and_wait(world.workspace, HUB)
    assert (job.state, job.error, job.can_resume) == ("failed", "the hub does not answer", True)
    assert world.light.texts_read == [document.content for document in MANY[:4]]
    with working(world.workspace):
        resume_import(world.workspace, "ann", job.id)
        done = ended(world.workspace, job.id)
    assert (done.state, done.text) == ("finished", "10 documents")
    assert world.light.texts_read == [document.content for document in MANY]  # none of them twice
    assert asked == [("mteb/pets", open_hub, ("mteb/pets", "", "", {"text": "said"}))] * 2


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
    monkeypatch.setattr(imports, "discard_staging", busy_at_first(import_source.discard_staging, n=5))
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
        patch.setattr(imports, "discard", fail)
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
    monkeypatch.setattr(imports, "discard", fail_with(ValueError("nobody has foreseen this")))
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
        staging_id = storage.jobs.get(session, job.id).staging_id
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
    monkeypatch.setattr(update, "BATCH", 2)
    said = {"reading": []}
    pair, collection_id = world.workspace.pair_for(world.collection.id), world.collection.id
    with pytest.raises(Cancelled):
        update.update(world.workspace, collection_id, source, "add", staging_id, "ann", pair, say, 1)
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


def test_file_made_to_keep_a_reader_busy_fails_its_import_and_the_next_one_is_done(
    world: World, tmp_path: Path
) -> None:
    file = book(tmp_path / "pets.xlsx", cells(1, ["id", "text"]) + cells(99_999_999_999, ["a", "b"]))
    with working(world.workspace):
        job = start_import(world.workspace, "ann", wanted(file))
        failed = ended(world.workspace, job.id)
        assert (failed.state, failed.can_resume) == ("failed", False)
        assert failed.error.startswith("pets.xlsx, row 99,999,999,999: no sheet has more than 1,048,576 rows.")
        again = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "more.jsonl"), "more"))
        assert ended(world.workspace, again.id).state == "finished"
    dismiss_import(world.workspace, "ann", job.id)
    assert left_behind(world.workspace) == []


@pytest.mark.parametrize("kind", ["new", "add"])
def test_import_of_what_is_never_read_to_its_end_can_be_cancelled(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(imports, "open_source", open_stuck)
    monkeypatch.setattr(update, "BATCH", 2)
    collection_id = None if kind == "new" else world.collection.id
    request = replace(wanted(write_documents(tmp_path / "x.jsonl")), kind=kind, collection_id=collection_id)
    before = stored(world.workspace, world.collection.id)
    with working(world.workspace):
        job = start_import(world.workspace, "ann", request)
        wait_until(lambda: find_job(world.workspace, job.id), lambda found: found.fraction > 0)  # some of it was read
        cancel_import(world.workspace, "ann", job.id)
        assert ended(world.workspace, job.id).state == "cancelled"
    assert left_behind(world.workspace) == []
    assert stored(world.workspace, world.collection.id) == before


def test_import_of_what_is_never_read_to_its_end_is_interrupted_when_the_app_closes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, working(world.workspace):
        patch.setattr(imports, "open_source", open_stuck)
        job = start_import(world.workspace, "ann", wanted(write_documents(tmp_path / "x.jsonl", MANY)))
        wait_until(lambda: find_job(world.workspace, job.id), lambda found: found.fraction > 0)
    world.restart()
    with working(world.workspace):
        assert find_job(world.workspace, job.id).state == "interrupted"
        resume_import(world.workspace, "ann", job.id)
        assert ended(world.workspace, job.id).state == "finished"
    with world.workspace.reading() as session:
        made = storage.collections.find_by_name(session, "pets")
    assert made is not None
    assert made.n_documents == len(MANY)


@pytest.mark.parametrize(
    ("opener", "bounds", "said"),
    [
        (open_greedy, Bounds(600, 600, 2**30), "takes more memory to read than 1.1 GB. Split it into several files."),
        (open_stuck, Bounds(600, 2, 2**30), "nothing more of it could be read for 2 seconds."),
    ],
    ids=["greedy", "stuck"],
)
def test_import_that_takes_more_than_it_may_fails_in_words_and_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opener: Any, bounds: Bounds, said: str
) -> None:
    monkeypatch.setattr(imports, "open_source", opener)
    monkeypatch.setattr(imports, "IMPORTING", bounds)
    job = import_and_wait(world.workspace, wanted(write_documents(tmp_path / "x.jsonl")))
    assert (job.state, job.can_resume) == ("failed", False)
    assert job.error.startswith(f"x.jsonl, inner.csv: {said}")
    dismiss_import(world.workspace, "ann", job.id)
    assert left_behind(world.workspace) == []
