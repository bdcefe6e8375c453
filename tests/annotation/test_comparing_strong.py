"""Reading every document with the strong model: in the background, all or nothing, and only once."""

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from annotation.errors import NotReadyError
from annotation.ranking.rankers import STRONG, list_rankers
from annotation.retrieval.strong_index import StrongReading, StrongState, in_words
from era.corpus import Corpus
from era.encoders.base import EmbedderPair, Vectors
from era.progress import Progress, no_progress
from era.types import Document
from tests.worlds.desk import PATIENCE_S, Desk, wait_until
from tests.worlds.words import DOCUMENTS, WordEmbedder, light_embedder, strong_embedder


class GatedEmbedder(WordEmbedder):
    """Waits before every batch of documents until `gate` is open, and raises `error` if there is one."""

    def __init__(self) -> None:
        inner = strong_embedder()
        super().__init__(inner.identity.name, [*inner._place_of])
        self.gate, self.is_reached = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        self.is_reached.set()
        if not self.gate.wait(PATIENCE_S):
            raise TimeoutError("the gate was never opened")
        if self.error is not None:
            raise self.error
        return super().encode_documents(texts, progress)


@pytest.fixture
def strong() -> GatedEmbedder:
    return GatedEmbedder()


def reading_of(folder: Path, strong: WordEmbedder, documents: Sequence[Document] = DOCUMENTS) -> StrongReading:
    return StrongReading(Corpus(documents), EmbedderPair(strong, light_embedder()), folder)


def finish(reading: StrongReading) -> StrongState:
    reading.start()
    return wait_until(lambda: reading.state, lambda state: state.state != "building")


def test_reading_makes_an_index_of_every_document(tmp_path: Path) -> None:
    many = [Document(f"d{number:03}", "", f"cat {'dog ' * (number % 5)}") for number in range(600)]
    strong = strong_embedder()
    reading = reading_of(tmp_path, strong, many)
    assert (reading.is_ready, reading.state.state) == (False, "absent")
    with pytest.raises(NotReadyError):
        reading.index()
    assert finish(reading) == StrongState("ready", 1.0, "The strong model has read all 600 documents.")
    expected = strong_embedder().encode_documents([document.text for document in many])
    np.testing.assert_array_equal(reading.index().vectors([document.doc_id for document in many]), expected)
    assert reading.index().embedder == strong.identity
    assert len(strong.texts_read) == 600
    assert [file.name for file in tmp_path.iterdir()] == ["strong-index"]
    again = reading_of(tmp_path, strong, many)
    assert again.is_ready
    assert again.index().fingerprint == reading.index().fingerprint
    again.start()
    assert len(strong.texts_read) == 600  # nothing was read again


def test_reading_tells_how_far_it_is(tmp_path: Path, strong: GatedEmbedder) -> None:
    reading = reading_of(tmp_path, strong)
    reading.seconds_per_text = 30.0
    assert reading.state == StrongState(
        "absent", 0.0, "To rank alone, the strong model has to read all 16 documents once; that takes about 8 minutes."
    )
    reading.start()
    assert strong.is_reached.wait(PATIENCE_S)
    state = reading.state
    assert (state.state, state.fraction) == ("building", 0.0)
    assert state.text == (
        "The strong model reads the documents: 0 of 16; that takes about 8 minutes. You may leave this page."
    )
    reading.start()  # once is enough
    strong.gate.set()
    assert finish(reading).state == "ready"
    assert len(strong.texts_read) == 16


def test_closing_stops_the_reading_and_leaves_nothing(tmp_path: Path, strong: GatedEmbedder) -> None:
    reading = reading_of(tmp_path, strong)
    reading.start()
    assert strong.is_reached.wait(PATIENCE_S)
    threading.Timer(0.05, strong.gate.set).start()
    reading.close()
    assert reading.state.state == "absent"
    assert list(tmp_path.iterdir()) == []
    assert finish(reading).state == "absent"  # for good: the data folder may be another process's by then


def test_a_stopped_reading_leaves_nothing_and_can_be_started_again(tmp_path: Path, strong: GatedEmbedder) -> None:
    reading = reading_of(tmp_path, strong)
    reading.start()
    assert strong.is_reached.wait(PATIENCE_S)
    reading.stop()
    assert reading.state == StrongState("building", 0.0, "The strong model stops reading the documents.")
    strong.gate.set()
    assert wait_until(lambda: reading.state, lambda state: state.state != "building").state == "absent"
    assert list(tmp_path.iterdir()) == []
    assert finish(reading).state == "ready"


def test_a_failed_reading_says_so_and_leaves_nothing(tmp_path: Path, strong: GatedEmbedder) -> None:
    strong.gate.set()
    strong.error = RuntimeError("out of memory")
    reading = reading_of(tmp_path, strong)
    state = finish(reading)
    assert state.state == "absent"
    assert state.text.startswith("Reading stopped (RuntimeError: out of memory). To rank alone, ")
    assert list(tmp_path.iterdir()) == []
    strong.error = None
    assert finish(reading).state == "ready"


def test_what_a_killed_process_left_behind_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".strong-index.1").mkdir()
    (tmp_path / ".strong-index.1" / "vectors.f32").write_bytes(b"half")
    assert finish(reading_of(tmp_path, strong_embedder())).state == "ready"
    assert [file.name for file in tmp_path.iterdir()] == ["strong-index"]


def test_a_reading_of_other_documents_or_by_another_embedder_does_not_count(tmp_path: Path) -> None:
    finish(reading_of(tmp_path, strong_embedder()))
    assert not reading_of(tmp_path, strong_embedder(), DOCUMENTS[:3]).is_ready
    other = WordEmbedder("another", ["cat"])
    reading = reading_of(tmp_path, other)
    assert not reading.is_ready
    assert finish(reading).state == "ready"
    assert reading.index().embedder == other.identity
    assert not reading_of(tmp_path, strong_embedder()).is_ready


def test_a_damaged_reading_has_to_be_done_again(tmp_path: Path) -> None:
    finish(reading_of(tmp_path, strong_embedder()))
    (tmp_path / "strong-index" / "index.faiss").write_bytes(b"")
    reading = reading_of(tmp_path, strong_embedder())
    with pytest.raises(NotReadyError, match=r"had read is damaged and is not used\. The strong model has not read"):
        reading.index()
    assert reading.state.state == "absent"
    assert reading.state.text.startswith("What the strong model had read is damaged and is not used. To rank alone")
    assert finish(reading).state == "ready"
    (tmp_path / "strong-index" / "about.json").write_text(json.dumps({}))
    assert not reading_of(tmp_path, strong_embedder()).is_ready


def test_the_alignment_tells_how_long_a_reading_takes(judged_desk: Desk) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    opened.aligned()
    assert opened.strong_reading.seconds_per_text is not None  # as measured when the folder was made
    assert "less than a minute" in opened.strong_reading.state.text
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
    finish(judged_desk.workspace.open(judged_desk.collection.id).strong_reading)
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
