"""A workspace over the small world of words: an animal and a topic a document, queries of owners and vets.

Owners want feeding, vets want illness; no document says "owner" or "vet", so only marks can teach it.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import storage.collections
import storage.jobs
import storage.queries
import storage.training_runs
from annotation.collections.page import OpenPage, open_page
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import CollectionContent, store
from annotation.collections.uploads import DOWNLOADS, UploadLimits, Uploads
from annotation.jobs.worker import Worker
from annotation.judging.marks import Mark, Saved, judge
from annotation.settings import Settings
from annotation.training.jobs import training
from annotation.training.start import start
from annotation.ui.downloads import Downloads
from annotation.workspace import Workspace
from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair, Vectors
from era.types import Document, Query
from storage.records import CollectionRecord, JobKind, JobState, QueryRecord, TrainingRunRecord
from tests.worlds.words import (
    ANIMALS,
    DOCUMENTS,
    QUERIES,
    READERS,
    TOPICS,
    WordEmbedder,
    light_embedder,
    strong_embedder,
)

SeenT = TypeVar("SeenT")

PATIENCE_S = 60.0
"""How long a test waits for another thread before it gives up."""


class StagedEmbedder(WordEmbedder):
    """Waits in `encode_queries` while `gate` is shut, having set `is_reached`, and raises `error` if there is one."""

    def __init__(self, inner: WordEmbedder, words: Sequence[str]) -> None:
        super().__init__(inner.identity.name, words)
        self.gate, self.is_reached = threading.Event(), threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        self.is_reached.set()
        if not self.gate.wait(PATIENCE_S):
            raise TimeoutError("the gate was never opened")
        if self.error is not None:
            raise self.error
        return super().encode_queries(queries)


@dataclass(frozen=True)
class Desk:
    """A workspace with one collection in it, and the two embedders it was opened with."""

    workspace: Workspace
    strong: StagedEmbedder
    light: WordEmbedder
    collection: CollectionRecord

    @property
    def page(self) -> OpenPage:
        """Return the collection with its newest label set."""
        return open_page(self.workspace, self.collection.id, None)

    @property
    def label_set_id(self) -> int:
        """Return the newest label set."""
        return self.page.label_set.id

    def query_id(self, public_id: str) -> int:
        """Return the stored id of an imported query."""
        with self.workspace.reading() as session:
            listed = storage.queries.list_all(session, self.collection.id)
        return next(query.id for query in listed if query.public_id == public_id)

    def query(self, query_id: int) -> QueryRecord:
        """Return a stored query."""
        with self.workspace.reading() as session:
            return storage.queries.get(session, query_id)

    def ask(self, text: str, instruction: str = "") -> int:
        """Store a query without asking any embedder, and return its id."""
        with self.workspace.writing() as session:
            return storage.queries.get_or_create(session, self.collection.id, text, instruction, "ann").id

    def mark(
        self,
        query_id: int,
        doc_id: str,
        grade: float | None,
        sequence: int,
        client_id: str = "page-1",
        author: str = "ann",
    ) -> Saved:
        """Judge one document at the desk; fails where the mark is refused."""
        mark = Mark(self.label_set_id, query_id, doc_id, grade, None, None, client_id, sequence)
        saved = judge(self.workspace, author, self.collection.id, [mark])
        assert not saved.refused, saved.refused
        return saved

    def qrels(self) -> dict[int, Mapping[str, float]]:
        """Return what is agreed in the newest label set: query id -> document id -> grade."""
        return self.workspace.standings(self.label_set_id).qrels()

    def start(self, recipe: str = "era", seed: int = 0) -> TrainingRunRecord:
        """Queue a training run as ann does."""
        return start(self.workspace, "ann", self.collection.id, self.label_set_id, recipe, seed)

    def run(self, run_id: int) -> TrainingRunRecord:
        """Return a training run as it stands."""
        with self.workspace.reading() as session:
            return storage.training_runs.get(session, run_id)

    def wait_for(self, run_id: int) -> TrainingRunRecord:
        """Return a training run once it has ended."""
        return wait_until(
            lambda: self.run(run_id),
            lambda run: run.state not in (JobState.QUEUED, JobState.RUNNING),
        )

    def train(self, recipe: str = "era", seed: int = 0) -> TrainingRunRecord:
        """Start a training run, let a worker of its own do it, and return it once it has ended."""
        run, worker = self.start(recipe, seed), training_worker(self.workspace)
        worker.start()
        try:
            return self.wait_for(run.id)
        finally:
            worker.close()

    def finish_by_hand(
        self,
        adapter: QueryAdapter,
        held_out: Mapping[int, Vectors] | None = None,
        measures: Mapping[str, Any] | None = None,
    ) -> TrainingRunRecord:
        """Return a finished training run whose adapter, held-out vectors by query id, and measures are made up.

        The provenance of the adapter is added to what a training run writes down.
        """
        index = self.workspace.open(self.collection.id).index
        held_out = held_out or {}
        about = {
            "index_fingerprint": index.fingerprint,
            "strong_embedder": asdict(self.strong.identity),
            "light_embedder": asdict(self.light.identity),
            "query_ids": [str(query_id) for query_id in held_out],
        }
        rows = np.array(list(held_out.values()), np.float32).reshape(-1, index.embedder.dimension)
        run = self.start()
        saved = replace(adapter, provenance=about | dict(adapter.provenance))
        saved.save(self.workspace.adapter_folder(run.id), {"held_out": rows})
        with self.workspace.writing() as session:
            storage.jobs.claim_next(session, {JobKind.TRAIN})
            storage.training_runs.set_outcome(session, run.id, measures=measures or {}, device="none")
            storage.jobs.finish(session, run.job_id)
            return storage.training_runs.get(session, run.id)

    def again(self) -> "Desk":
        """Close the workspace, open its folder a second time with fresh embedders, and prepare it."""
        self.workspace.close()
        return open_desk(self.workspace.settings, self.collection)


def training_worker(workspace: Workspace) -> Worker:
    """Return a worker that trains, and computes learning curves."""
    return Worker(workspace, [training(workspace)])


def wait_until(look: Callable[[], SeenT], is_there: Callable[[SeenT], bool]) -> SeenT:
    """Return what `look` sees once `is_there` agrees."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_there(seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {seen!r}")
        time.sleep(0.01)
    return seen


def staged_pair() -> tuple[StagedEmbedder, WordEmbedder]:
    """Return the strong embedder of the small world on a stage, and the light one as it is."""
    return StagedEmbedder(strong_embedder(), [*ANIMALS, *TOPICS, *READERS]), light_embedder()


def small_world(
    name: str = "animals",
    qrels: Mapping[str, Mapping[str, float]] | None = None,
    documents: Iterable[Document] = DOCUMENTS,
) -> CollectionContent:
    """Return the small world as a collection, with judgments if any are given."""
    judged = {query_id: dict(grades) for query_id, grades in (qrels or {}).items()}
    return CollectionContent(name, "Made up", list(documents), list(QUERIES), judged)


def settings_at(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, device="cpu", name="ann", space_id=None)


def open_desk(settings: Settings, collection: CollectionRecord) -> Desk:
    """Open a folder that holds the collection, with fresh embedders, and prepare it in this thread."""
    strong, light = staged_pair()
    workspace = Workspace(settings, lambda spec, device: EmbedderPair(strong, light))
    prepare(workspace)
    return Desk(workspace, strong, light, collection)


def new_desk(data_dir: Path, content: CollectionContent) -> Desk:
    """Store a collection in a new data folder, and prepare it."""
    strong, light = staged_pair()
    workspace = Workspace(settings_at(data_dir), lambda spec, device: EmbedderPair(strong, light))
    collection = store(workspace, content, author="ann", labels="Ann's labels", is_demo=False)
    prepare(workspace)
    return Desk(workspace, strong, light, collection)


def copied_desk(original: Desk, data_dir: Path) -> Desk:
    """Open a copy of a closed data folder."""
    shutil.copytree(original.workspace.folder, data_dir)
    return open_desk(settings_at(data_dir), original.collection)


def swapped_topics() -> QueryAdapter:
    """Return the adapter that reads "feeding" as "illness" and the other way round, and is else the light model."""
    weight = np.eye(len(ANIMALS) + len(TOPICS) + 1, dtype=np.float32)
    weight[[len(ANIMALS), len(ANIMALS) + 1]] = weight[[len(ANIMALS) + 1, len(ANIMALS)]]
    return QueryAdapter(("light",), weight, np.zeros(len(weight), np.float32))


def uploads_of(workspace: Workspace) -> Uploads:
    """Return where the app keeps what people send."""
    settings = workspace.settings
    return Uploads(workspace.folder / "uploads", settings.received_folder, UploadLimits.of(settings))


def downloads_of(workspace: Workspace) -> Downloads:
    """Return where the app lays out what people take along."""
    return Downloads(workspace.settings.received_folder / DOWNLOADS)


def as_json(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload as the page gets it."""
    received: dict[str, Any] = json.loads(json.dumps(payload, allow_nan=False))
    assert received == payload
    return received
