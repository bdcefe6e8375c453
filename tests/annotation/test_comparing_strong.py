"""Reading every document with the strong model: a job in the background that goes on where it was stopped."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import storage.jobs
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import store
from annotation.comparing.strong import StrongState, read_all, read_none, reading, strong_state
from annotation.errors import NotReadyError
from annotation.jobs import progress
from annotation.jobs.worker import Worker
from annotation.ranking.rankers import STRONG, list_rankers
from annotation.retrieval.strong_index import StrongReading, in_words
from annotation.training import start
from annotation.workspace import Workspace
from era.corpus import Corpus
from era.encoders.base import EmbedderPair, Vectors
from era.progress import Progress, no_progress
from era.types import Document
from storage.records import CollectionRecord, JobKind, JobRecord, JobState
from tests.worlds.desk import PATIENCE_S, Desk, settings_at, small_world, wait_until
from tests.worlds.words import DOCUMENTS, WordEmbedder, light_embedder, strong_embedder

MANY = [Document(f"d{number:03}", "", f"cat {'dog ' * (number % 5)}") for number in range(300)]


class GatedEmbedder(WordEmbedder):
    """Waits before a batch of documents until `gate` is open, once it has read `patience`; raises `error` if any."""

    def __init__(self) -> None:
        inner = strong_embedder()
        super().__init__(inner.identity.name, [*inner._place_of])
        self.gate, self.is_reached = threading.Event(), threading.Event()
        self.patience = 0
        self.error: Exception | None = None

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        if len(self.texts_read) >= self.patience:
            self.is_reached.set()
            if not self.gate.wait(PATIENCE_S):
                raise TimeoutError("the gate was never opened")
        if self.error is not None:
            raise self.error
        return super().encode_documents(texts, progress)


def reading_of(folder: Path, strong: WordEmbedder, documents: Sequence[Document] = DOCUMENTS) -> StrongReading:
    return StrongReading(Corpus(documents), EmbedderPair(strong, light_embedder()), folder)


def finished(reading: StrongReading) -> StrongReading:
    reading.read(no_progress)
    return reading


class Reading:
    """An app without screens over many documents, whose strong embedder is on a gate, and a worker that reads."""

    def __init__(self, data_dir: Path, collection: CollectionRecord | None = None) -> None:
        self.strong = GatedEmbedder()
        self.workspace = Workspace(settings_at(data_dir), lambda spec, device: EmbedderPair(self.strong, light))
        light = light_embedder()
        content = small_world(documents=MANY)
        self.collection = collection or store(self.workspace, content, author="ann", labels="", is_demo=False)
        self.strong.gate.set()
        prepare(self.workspace)
        self.strong.gate.clear()
        self.strong.texts_read.clear()
        self.worker = Worker(self.workspace, [reading(self.workspace)])
        self.worker.start()

    @property
    def state(self) -> StrongState:
        return strong_state(self.workspace, self.collection.id)

    def begin(self, n: int) -> None:
        """Let the strong model read, until it has read so many documents at least and is about to read more."""
        self.strong.patience = n
        self.strong.is_reached.clear()
        read_all(self.workspace, "ann", self.collection.id)
        self.worker.poke()
        assert self.strong.is_reached.wait(PATIENCE_S)

    def until(self, state: str) -> StrongState:
        return wait_until(lambda: self.state, lambda seen: seen.state == state)

    def close(self) -> None:
        closing = threading.Thread(target=self.worker.close)
        closing.start()
        wait_until(self.worker._closing.is_set, bool)
        self.strong.gate.set()
        closing.join(PATIENCE_S)
        self.workspace.close()


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every report look at the database."""
    monkeypatch.setattr(progress, "_PAUSE_S", 0.0)


@pytest.fixture
def app(data_dir: Path) -> Iterator[Reading]:
    started = Reading(data_dir)
    yield started
    started.close()


def test_reading_makes_an_index_of_every_document(tmp_path: Path) -> None:
    many = [Document(f"d{number:03}", "", f"cat {'dog ' * (number % 5)}") for number in range(600)]
    strong = strong_embedder()
    reading = reading_of(tmp_path, strong, many)
    assert not reading.is_ready
    with pytest.raises(NotReadyError):
        reading.index()
    assert finished(reading).is_ready
    expected = strong_embedder().encode_documents([document.text for document in many])
    np.testing.assert_array_equal(reading.index().vectors([document.doc_id for document in many]), expected)
    assert reading.index().embedder == strong.identity
    assert len(strong.texts_read) == 600
    assert [file.name for file in tmp_path.iterdir()] == ["strong-index"]
    again = reading_of(tmp_path, strong, many)
    assert again.is_ready
    assert again.index().fingerprint == reading.index().fingerprint


def test_reading_tells_how_far_it_is(app: Reading) -> None:
    reading = app.workspace.open(app.collection.id).strong_reading
    reading.seconds_per_text, reading.n_read_before = 30.0, 0
    assert app.state == StrongState(
        "absent", 0.0, "To rank alone, the strong model has to read all 300 documents once; that takes about 2 hours."
    )
    app.begin(0)
    text = "The strong model reads the documents: 0 of 300; that takes about 2 hours. You may leave this page."
    assert app.state == StrongState("building", 0.0, text)
    read_all(app.workspace, "ann", app.collection.id)  # once is enough
    app.strong.gate.set()
    assert app.until("ready") == StrongState("ready", 1.0, "The strong model has read all 300 documents.")
    assert len(app.strong.texts_read) == 300
    read_all(app.workspace, "ann", app.collection.id)
    assert app.state.state == "ready"  # nothing is read again


def test_a_stopped_reading_goes_on_where_it_was(app: Reading) -> None:
    app.begin(128)
    read_none(app.workspace, "ann", app.collection.id)
    assert app.state == StrongState("building", 0.0, "The strong model stops reading the documents.")
    app.strong.gate.set()
    app.until("absent")
    assert len(app.strong.texts_read) == 192  # the last of them as it was told to stop, which are not kept
    read_all(app.workspace, "ann", app.collection.id)
    app.worker.poke()
    app.until("ready")
    assert app.strong.texts_read[192:] == [each.content for each in MANY[128:]]


def test_a_reading_goes_on_by_itself_after_the_app_was_stopped(data_dir: Path) -> None:
    app = Reading(data_dir)
    app.begin(128)
    app.close()
    again = Reading(data_dir, app.collection)
    again.strong.gate.set()
    again.until("ready")
    index = again.workspace.open(app.collection.id).strong_reading.index()
    again.close()
    assert again.strong.texts_read == [each.content for each in MANY[128:]]
    expected = strong_embedder().encode_documents([each.content for each in MANY])
    np.testing.assert_array_equal(index.vectors([each.doc_id for each in MANY]), expected)


def test_reading_gives_way_to_training(app: Reading) -> None:
    app.begin(0)
    desk = Desk(app.workspace, app.strong, light_embedder(), app.collection)  # type: ignore[arg-type]
    desk.mark(desk.ask("cat"), MANY[0].doc_id, 1.0, 1)
    run = desk.start()  # which no worker of this test does
    app.strong.gate.set()
    wait_until(lambda: latest(app).stage, lambda stage: stage == "waiting")
    assert len(app.strong.texts_read) < 300
    start.cancel(app.workspace, "ann", run.id)
    app.until("ready")


def latest(app: Reading) -> JobRecord:
    with app.workspace.reading() as session:
        job = storage.jobs.latest(session, JobKind.STRONG_INDEX, app.collection.id)
    assert job is not None
    return job


def test_a_failed_reading_says_so_and_can_be_started_again(app: Reading) -> None:
    app.strong.error = RuntimeError("out of memory")
    app.begin(0)
    app.strong.gate.set()
    assert app.until("absent").text.startswith("Reading stopped. Something unexpected went wrong (RuntimeError); ")
    app.strong.error = None
    read_all(app.workspace, "ann", app.collection.id)
    app.worker.poke()
    app.until("ready")


def test_reading_ends_when_the_documents_change(app: Reading) -> None:
    app.begin(0)
    app.workspace.close_opened(app.collection.id)
    app.strong.gate.set()
    wait_until(lambda: latest(app).state, lambda state: state is JobState.FAILED)
    assert "were changed meanwhile" in latest(app).error


def test_what_an_earlier_version_left_behind_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".strong-index.1").mkdir()
    (tmp_path / ".strong-index.1" / "vectors.f32").write_bytes(b"half")
    assert finished(reading_of(tmp_path, strong_embedder())).is_ready
    assert [file.name for file in tmp_path.iterdir()] == ["strong-index"]


def test_a_reading_of_other_documents_or_by_another_embedder_does_not_count(tmp_path: Path) -> None:
    finished(reading_of(tmp_path, strong_embedder()))
    assert not reading_of(tmp_path, strong_embedder(), DOCUMENTS[:3]).is_ready
    other = WordEmbedder("another", ["cat"])
    reading = reading_of(tmp_path, other)
    assert not reading.is_ready
    assert finished(reading).is_ready
    assert reading.index().embedder == other.identity
    assert not reading_of(tmp_path, strong_embedder()).is_ready


def test_a_damaged_reading_has_to_be_done_again(tmp_path: Path) -> None:
    finished(reading_of(tmp_path, strong_embedder()))
    (tmp_path / "strong-index" / "index.faiss").write_bytes(b"")
    reading = reading_of(tmp_path, strong_embedder())
    with pytest.raises(NotReadyError, match=r"had read is damaged and is not used\. The strong model has not read"):
        reading.index()
    assert not reading.is_ready
    assert reading.failure == "What the strong model had read is damaged and is not used."
    assert finished(reading).is_ready
    (tmp_path / "strong-index" / "about.json").write_text(json.dumps({}))
    assert not reading_of(tmp_path, strong_embedder()).is_ready


def test_the_alignment_tells_how_long_a_reading_takes(judged_desk: Desk) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    opened.aligned()
    assert opened.strong_reading.seconds_per_text is not None  # as measured when the folder was made
    assert "less than a minute" in strong_state(judged_desk.workspace, judged_desk.collection.id).text
    for file in opened.folder.glob("alignment-*"):
        file.unlink()
    again = judged_desk.again()
    try:
        assert again.workspace.open(judged_desk.collection.id).strong_reading.seconds_per_text is not None
    finally:
        again.workspace.close()


def test_the_strong_model_is_offered_once_it_has_read_everything(judged_desk: Desk) -> None:
    def offered() -> list[str]:
        found = list_rankers(judged_desk.workspace, judged_desk.collection.id, is_comparing=True)
        return [ranker.key for ranker in found]

    assert STRONG not in offered()
    finished(judged_desk.workspace.open(judged_desk.collection.id).strong_reading)
    assert {STRONG, f"{STRONG}+words"} <= set(offered())
    shutil.rmtree(judged_desk.workspace.collection_folder(judged_desk.collection.id) / "strong-index")
    assert STRONG in offered()  # it is in memory


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (59, "less than a minute"), (60, "about 1 minute"), (100, "about 2 minutes"), (89 * 60, "about 89 minutes"),
        (90 * 60, "about 2 hours"), (5 * 3600, "about 5 hours"),
    ],
)  # fmt: skip
def test_in_words_says_it_as_people_do(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
