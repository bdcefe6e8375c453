"""The strong model reads on while people judge: step by step, kept on disk, and only where nothing waits for it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import storage.collections
import storage.jobs
import storage.training_runs
from annotation.collections.preparation import ReadingOn, prepare
from annotation.collections.store_whole import store
from annotation.comparing.rank import rank_queries
from annotation.jobs.worker import Lane, Worker
from annotation.ranking.rankers import ALIGNED
from annotation.retrieval.open_collection import OpenCollection
from annotation.settings import Settings
from annotation.workspace import Workspace
from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair, Vectors
from era.encoders.spec import BUNDLED, EmbedderSpec, PairSpec
from era.method.alignment import align_by_decoding, read_alignment_texts
from era.progress import Progress, no_progress
from era.types import Document, Query
from storage.records import CollectionRecord
from tests.annotation.test_presenting import collection_payload
from tests.worlds.desk import PATIENCE_S, Desk, settings_at, small_world, wait_until
from tests.worlds.words import ANIMALS, DOCUMENTS, QRELS, READERS, TOPICS, WordEmbedder, light_embedder, strong_embedder

MORE = [f"{ANIMALS[n % 8]} {' '.join(TOPICS[: n % 3])} {'dog ' * (n % 7)}" for n in range(2484)]
MANY = [*DOCUMENTS, *(Document(f"d{n:04}", "", text) for n, text in enumerate(MORE))]
"""2,500 documents, which are three steps."""

ENDPOINT = PairSpec(EmbedderSpec("openai", "big"), BUNDLED.light)


class SlowEmbedder(WordEmbedder):
    """Waits in `encode_documents` once it has read `patience` documents, until `gate` is open."""

    def __init__(self, patience: int = 10_000) -> None:
        super().__init__("strong", [*ANIMALS, *TOPICS, *READERS])
        self.patience = patience
        self.n_documents = 0
        self.gate, self.is_reached = threading.Event(), threading.Event()

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        if self.n_documents >= self.patience:
            self.is_reached.set()
            if not self.gate.wait(PATIENCE_S):
                raise TimeoutError("the gate was never opened")
        self.n_documents += len(texts)
        return super().encode_documents(texts, progress)


class Reading:
    """An app without screens over one collection of 2,500 documents."""

    def __init__(self, settings: Settings, strong: SlowEmbedder, collection: CollectionRecord | None = None) -> None:
        self.strong = strong
        self.workspace = Workspace(settings, lambda spec, device: EmbedderPair(strong, light_embedder()))
        content = small_world(qrels=QRELS, documents=MANY)
        self.collection = collection or store(self.workspace, content, author="ann", labels="Ann's", is_demo=False)
        self.reading = ReadingOn(self.workspace)
        self.worker = Worker(self.workspace, [Lane("aligning", idle=self.reading.work)])
        prepare(self.workspace)

    @property
    def opened(self) -> OpenCollection:
        """Return the collection as it is opened now."""
        return self.workspace.open(self.collection.id)

    @property
    def desk(self) -> Desk:
        """Return it as a desk."""
        return Desk(self.workspace, self.strong, light_embedder(), self.collection)  # type: ignore[arg-type]

    def read_until(self, n: int) -> None:
        """Wait until the collection is aligned by so many texts."""
        wait_until(lambda: self.opened.n_texts, lambda n_texts: n_texts >= n)

    def kept(self) -> int:
        """Return how many texts are kept on disk."""
        [file] = self.workspace.collection_folder(self.collection.id).glob("alignment-*")
        return len(load_file(file)["strong"])

    def fact(self) -> str:
        """Return what the Collection page says of the alignment."""
        [collection] = collection_payload(self.desk)["collections"]
        listed: dict[str, str] = {name: text for name, text, _ in collection["facts"]}
        return listed.get("Alignment", "")

    def close(self) -> None:
        """End the app."""
        self.strong.gate.set()
        self.worker.close()
        self.workspace.close()


Open = Callable[..., Reading]


@pytest.fixture
def open_app(data_dir: Path) -> Iterator[Open]:
    opened: list[Reading] = []

    def start(patience: int = 10_000, **settings: Any) -> Reading:
        changed = settings_at(data_dir).model_copy(update=settings)
        collection = opened[-1].collection if opened else None
        opened.append(Reading(changed, SlowEmbedder(patience), collection))
        return opened[-1]

    yield start
    opened[-1].close()


def test_search_is_ready_after_the_first_texts_and_gets_better_adapters_step_by_step(open_app: Open) -> None:
    app = open_app(patience=2000)
    first = app.opened
    assert (first.n_texts, first.is_aligned, app.strong.n_documents) == (1000, True, 1000)
    before = first.aligned().adapter
    app.worker.start()
    assert app.strong.is_reached.wait(PATIENCE_S)
    app.read_until(2000)
    second = app.opened
    assert (second.n_texts, app.kept()) == (2000, 2000)
    app.strong.gate.set()
    app.read_until(2500)
    assert (app.kept(), app.strong.n_documents) == (2500, 2500)
    assert len(set(app.opened.alignment_texts().doc_ids)) == 2500
    pair = EmbedderPair(strong_embedder(), light_embedder())
    expected = align_by_decoding(read_alignment_texts(first.corpus, first.index, pair))
    np.testing.assert_allclose(app.opened.aligned().adapter.weight, expected.weight, atol=1e-5)
    assert first.aligned().adapter is before  # whoever holds a library goes on with its adapter
    assert first.alignment_texts().doc_ids == app.opened.alignment_texts().doc_ids[:1000]
    assert [each.aligned().adapter.provenance["n_texts"] for each in (first, second)] == [1000, 2000]


def test_a_restart_goes_on_with_what_was_kept_and_reads_nothing_twice(open_app: Open) -> None:
    app = open_app(patience=2000)
    app.worker.start()
    app.read_until(2000)
    assert app.strong.is_reached.wait(PATIENCE_S)  # in the midst of the last step
    app.close()
    assert app.kept() == 2000
    again = open_app()
    assert (again.opened.n_texts, again.strong.n_documents) == (2000, 0)
    again.worker.start()
    again.read_until(2500)
    assert again.strong.n_documents == 500


def test_files_of_earlier_versions_are_extended_and_not_read_again(open_app: Open) -> None:
    app = open_app(alignment_texts=1000)
    app.worker.start()
    app.close()
    assert (app.strong.n_documents, app.kept()) == (1000, 1000)
    again = open_app()
    again.worker.start()
    again.read_until(2500)
    assert again.strong.n_documents == 1500


def test_what_is_read_before_the_limit_is_all(open_app: Open) -> None:
    app = open_app(alignment_texts=1600)
    app.worker.start()
    app.read_until(1600)
    assert app.fact() == "1,600 documents read by the strong model"
    app.worker.close()
    assert app.strong.n_documents == 1600


def test_the_collection_page_says_how_much_was_read_and_that_it_goes_on(open_app: Open) -> None:
    app = open_app()
    assert app.fact() == "1,000 documents read by the strong model so far; it reads on in the background, up to 2,500"
    app.worker.start()
    app.read_until(2500)
    assert app.fact() == "2,500 documents read by the strong model"


def test_a_collection_that_was_closed_is_read_no_further(open_app: Open) -> None:
    app = open_app(patience=1000)
    app.worker.start()
    assert app.strong.is_reached.wait(PATIENCE_S)
    app.workspace.close_opened(app.collection.id)
    app.strong.gate.set()
    app.worker.close()
    assert app.strong.n_documents < 2000
    assert app.kept() == 1000
    assert app.workspace.opened(app.collection.id) is None


def test_other_embedders_are_not_aligned_by_what_the_ones_before_have_read(open_app: Open) -> None:
    app = open_app(patience=1000)
    app.worker.start()
    assert app.strong.is_reached.wait(PATIENCE_S)
    other = replace(BUNDLED, strong=EmbedderSpec("sentence-transformers", "other/strong"))
    app.workspace.use_pair(app.collection.id, other)
    assert app.opened.n_texts == 0
    app.strong.gate.set()
    app.worker.close()
    assert app.opened.n_texts == 0  # it is not aligned yet, and nothing reads for it
    assert app.kept() == 1000


def test_a_collection_that_nobody_has_aligned_is_not_read(open_app: Open) -> None:
    app = open_app(alignment_texts=2000)
    later = store(app.workspace, small_world("later", documents=MANY), author="ann", labels="", is_demo=False)
    assert app.workspace.open(later.id).n_texts == 0
    step = app.reading._next_step()
    assert step is not None
    assert step.collection_id == app.collection.id  # though the other one was used last
    app.workspace.open(later.id).aligned()
    step = app.reading._next_step()
    assert step is not None
    assert step.collection_id == later.id


@pytest.mark.parametrize("limit", [None, 1500])
def test_an_endpoint_is_sent_no_more_than_was_agreed_to(open_app: Open, limit: int | None) -> None:
    app = open_app(alignment_texts=limit)
    with app.workspace.writing() as session:
        storage.collections.set_embedders(session, app.collection.id, ENDPOINT.to_json())
    assert app.reading._next_step() is None


def test_training_and_queries_go_first(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app()
    looked: list[bool] = []
    has_to_wait = app.reading._has_to_wait

    def look(opened: OpenCollection) -> bool:
        looked.append(has_to_wait(opened))
        return looked[-1]

    monkeypatch.setattr(app.reading, "_has_to_wait", look)
    run = app.desk.start()  # no training worker takes it
    app.worker.start()
    wait_until(lambda: len(looked), lambda n: n >= 2)
    assert (set(looked), app.strong.n_documents) == ({True}, 1000)
    with app.opened.pair._asking():
        with app.workspace.writing() as session:
            storage.jobs.cancel_request(session, run.job_id)
        n = len(looked)
        wait_until(lambda: len(looked), lambda n_now: n_now >= n + 2)
        assert (set(looked), app.strong.n_documents) == ({True}, 1000)
    app.read_until(2500)


def test_answers_to_people_go_first_and_a_moment_after_them(open_app: Open) -> None:
    app = open_app()
    assert not app.reading._has_to_wait(app.opened)
    with app.workspace.serving():
        with app.workspace.serving():
            assert app.reading._has_to_wait(app.opened)
        app.workspace._served_at = 0.0  # long ago, but another person waits
        assert app.reading._has_to_wait(app.opened)
    assert app.reading._has_to_wait(app.opened)
    app.workspace._served_at -= 2.0  # seconds
    assert not app.reading._has_to_wait(app.opened)


def test_nothing_is_aligned_anew_under_a_comparison(open_app: Open) -> None:
    app = open_app()
    opened = app.opened
    after = opened.aligned_by(read_alignment_texts(opened.corpus, opened.index, opened.pair))
    with app.workspace.holding_alignments(), app.workspace.holding_alignments():
        assert not app.workspace.replace_opened(app.collection.id, opened, after)
        assert app.opened is opened
    assert app.workspace.replace_opened(app.collection.id, opened, after)
    assert app.opened is after
    assert not app.workspace.replace_opened(app.collection.id, opened, after)  # it is not the opened one any more


def test_rankings_kept_for_comparisons_follow_the_adapter(open_app: Open) -> None:
    app = open_app()
    before = app.opened
    other = QueryAdapter(("light",), -np.eye(11, dtype=np.float32), np.zeros(11, np.float32), {"n_texts": 2500})
    after = before.aligned_by(before.alignment_texts())
    after._aligned = other
    query = app.desk.query(app.desk.query_id("cat-vet"))

    for opened in (before, after, before):
        found = rank_queries(app.workspace, opened, ALIGNED, [query])[query.id].ranking
        expected = opened.aligned().search(Query("", query.text, query.instruction), len(found))
        assert [doc.doc_id for doc in found] == [doc.doc_id for doc in expected]
    assert after.words() is before.words()


def test_a_training_run_takes_the_texts_there_are_when_it_starts_and_stays_as_it_is(open_app: Open) -> None:
    app = open_app()
    run = app.desk.train()
    folder = app.workspace.adapter_folder(run.id)
    query = Query("", "cat", "vet")
    trained, _ = app.opened.trained(folder)
    ranking = trained.search(query, 20)
    app.worker.start()
    app.read_until(2500)
    again, _ = app.opened.trained(folder)
    assert again.adapter is trained.adapter
    assert again.search(query, 20) == ranking
    second = app.desk.train()
    newer, _ = app.opened.trained(app.workspace.adapter_folder(second.id))
    assert (trained.adapter.provenance["n_texts"], newer.adapter.provenance["n_texts"]) == (1000, 2500)


def test_reading_is_tried_again_after_a_failure(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app()
    monkeypatch.setattr("annotation.collections.preparation._PAUSE_S", 0.01)
    failed: list[str] = []
    encode = app.strong.encode_documents

    def fail_once(texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        if not failed:
            failed.append(texts[0])
            raise ConnectionError("the server went away")
        return encode(texts, progress)

    monkeypatch.setattr(app.strong, "encode_documents", fail_once)
    app.worker.start()
    app.read_until(2500)
    assert failed
