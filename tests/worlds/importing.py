"""Files to import into the small world, and a worker that imports them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import storage.collections
import storage.documents
from annotation.collections.imports import ImportJob, ImportRequest, find_job, importing, start_import
from annotation.collections.page import list_collections
from annotation.collections.preparation import prepare
from annotation.jobs.worker import Worker
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.encoders.spec import PairSpec
from era.io.content import SourceDocument, SourceQuery
from era.progress import Progress, no_progress
from era.types import Document, Query
from storage.records import CollectionState, DocumentRecord
from tests.worlds.desk import new_desk, settings_at, small_world, wait_until
from tests.worlds.words import ANIMALS, TOPICS, WordEmbedder, strong_embedder

PETS = [Document("p1", "Cats", "cat feeding"), Document("p2", "", "dog illness"), Document("p3", "", "wren feeding")]
PET_QUERIES = [Query("q1", "cat", "find pets"), Query("q2", "dog")]
PET_QRELS = {"q1": {"p1": 1.0, "p2": 0.0}, "q2": {"p2": 2.0}}


@dataclass
class ListedSource:
    """A source that is in memory; `stop_after` documents it cannot be read any more."""

    listed: list[Document] = field(default_factory=lambda: list(PETS))
    asked: list[Query] = field(default_factory=lambda: list(PET_QUERIES))
    judged: dict[str, dict[str, float]] = field(default_factory=lambda: {q: dict(g) for q, g in PET_QRELS.items()})
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    name: str = "pets"
    format: str = "collection"
    remarks: list[str] = field(default_factory=list)
    n_bytes: int = 0
    n_bytes_read: int = 0
    file_at: str = ""
    stop_after: int | None = None
    n_documents: int | None = None

    def documents(self) -> Iterator[SourceDocument]:
        for place, document in enumerate(self.listed):
            if place == self.stop_after:
                raise OSError("the disk is gone")
            yield SourceDocument(document, self.metadata.get(document.doc_id, {}))

    def queries(self) -> list[SourceQuery]:
        return [SourceQuery(query) for query in self.asked]

    def qrels(self) -> dict[str, dict[str, float]]:
        return self.judged


class CountedEmbedder(WordEmbedder):
    """Calls `before` with the number of texts read so far before it reads each batch of documents."""

    def __init__(self, name: str = "light", before: Callable[[int], None] = lambda n: None) -> None:
        super().__init__(name, [*ANIMALS, *TOPICS])
        self.before = before

    def encode_documents(self, texts: Iterable[str], progress: Progress = no_progress) -> Any:
        self.before(len(self.texts_read))
        return super().encode_documents(list(texts), progress)


class World:
    """A desk with one collection whose light embedders can be watched, stopped and broken."""

    def __init__(self, data_dir: Path) -> None:
        first = new_desk(data_dir, small_world())
        first.workspace.close()
        self.light, self.other = CountedEmbedder(), CountedEmbedder("other")
        self.collection = first.collection
        self.workspace = Workspace(settings_at(data_dir), self.load)
        prepare(self.workspace)
        self.light.texts_read.clear()  # the queries, embedded ahead

    def load(self, spec: PairSpec, device: str) -> EmbedderPair:
        return EmbedderPair(strong_embedder(), self.other if spec.light.name == "other" else self.light)

    def restart(self) -> None:
        """Close the data folder and open it as the next process would."""
        self.workspace.close()
        self.light = CountedEmbedder()
        self.workspace = Workspace(self.workspace.settings, self.load)
        prepare(self.workspace)
        self.light.texts_read.clear()  # the queries, embedded ahead

    @property
    def names(self) -> list[str]:
        return [each.name for each in list_collections(self.workspace)]


def wanted(path: Path, name: str = "pets", **more: Any) -> ImportRequest:
    return ImportRequest(kind="new", name=name, path=str(path), **more)


def write_documents(
    file: Path,
    documents: Iterable[Document] = tuple(PETS),
) -> Path:
    """Write documents as JSON Lines, as somebody would upload them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": each.doc_id, "title": each.title, "text": each.text} for each in documents]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def write_folder(folder: Path) -> Path:
    """Write the pets with their queries and judgments."""
    write_documents(folder / "corpus.jsonl")
    rows = [{"id": q.query_id, "text": q.text, "instruction": q.instruction} for q in PET_QUERIES]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines = [f"{query_id}\t{doc_id}\t{grade:g}" for query_id, of in PET_QRELS.items() for doc_id, grade in of.items()]
    (folder / "qrels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@contextmanager
def working(workspace: Workspace) -> Iterator[Worker]:
    """Let a worker import until the block ends."""
    worker = Worker(workspace, [importing(workspace)])
    worker.start()
    try:
        yield worker
    finally:
        worker.close()


def ended(workspace: Workspace, job_id: int) -> ImportJob:
    """Return an import once it has ended."""
    return wait_until(lambda: find_job(workspace, job_id), lambda job: job.state not in ("queued", "running"))


def import_and_wait(workspace: Workspace, request: ImportRequest, author: str = "ann") -> ImportJob:
    """Return an import once a worker of its own has done it and opened what came of it."""
    with working(workspace) as worker:
        job = start_import(workspace, author, request)
        worker.poke()
        done = ended(workspace, job.id)
        if done.state == "finished" and done.collection_id is not None:
            collection_id = done.collection_id
            wait_until(lambda: workspace.opened(collection_id), lambda opened: opened is not None)
    return done


def stored(workspace: Workspace, collection_id: int) -> list[DocumentRecord]:
    """Return the documents of a collection in their order."""
    with workspace.reading() as session:
        return list(storage.documents.iter_all(session, collection_id))


def left_behind(workspace: Workspace) -> list[str]:
    """Return whatever unfinished imports have left: rows that nobody sees, and files."""
    with workspace.reading() as session:
        hidden = storage.collections.list_in_state(session, CollectionState.IMPORTING)
        known = storage.collections.list_all(session, with_archived=True)
    collections, imports = workspace.folder / "collections", workspace.folder / "imports"
    folders = {path.name for path in collections.glob("*")} - {str(each.id) for each in known}
    return [*(each.name for each in hidden), *folders, *(path.name for path in imports.glob("*"))]
