"""How far one request walks through the code: `python -m benchmarks.walks`, or `--name query --files` for the list.

Each walk is traced in the real workflows over a small made-up collection with the bundled embedders: in which files of
`annotation` and `storage` at least one function runs (those of the library `era` are counted apart), and what the
database is asked.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from sqlalchemy import event

from annotation.collections.imports import ImportRequest, importing, list_jobs, start_import
from annotation.collections.page import open_page
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import CollectionContent, store
from annotation.jobs.worker import Worker
from annotation.settings import Settings
from annotation.training.jobs import training
from annotation.training.start import history, start
from annotation.ui.message import Message
from annotation.ui.server.marks import deliver
from annotation.ui.tabs.compare import CompareTab
from annotation.ui.tabs.judge import JudgeTab
from annotation.workspace import Workspace
from era.encoders.loading import load_pair
from era.types import Document, Query

ROOT = Path(__file__).parents[1]
TOPICS = ("cats and kittens", "dogs and puppies", "cars and roads", "sorting lists", "reading files", "open windows")
N_DOCUMENTS = 60
PATIENCE_S = 300.0


@dataclass
class Walk:
    """What one request passed through."""

    files: set[str] = field(default_factory=set)
    n_transactions: int = 0
    n_selects: int = 0
    n_writes: int = 0


class Tracer:
    """Notes the product files in which a function begins, in every thread, and the statements of one database."""

    def __init__(self, workspace: Workspace) -> None:
        self._walk: Walk | None = None
        engine = workspace._engine
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "before_cursor_execute", self._execute)

    @contextmanager
    def walking(self) -> Iterator[Walk]:
        """Trace what happens inside; threads that were started before are not followed."""
        self._walk = Walk()
        threading.setprofile(self._call)
        sys.setprofile(self._call)
        try:
            yield self._walk
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # which is how it is switched off
            self._walk = None

    def _call(self, frame: FrameType, kind: str, _: Any) -> None:
        if kind != "call" or self._walk is None or _is_waiting() or frame.f_code.co_name == "<module>":
            return
        name = frame.f_code.co_filename
        if name.startswith(f"{ROOT}/"):
            relative = name.removeprefix(f"{ROOT}/")
            if relative.startswith(("annotation/", "era/", "storage/")) and "/versions/" not in relative:
                self._walk.files.add(relative)

    def _begin(self, _: Any) -> None:
        if self._walk is not None and not _is_waiting():
            self._walk.n_transactions += 1

    def _execute(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._walk is not None and not _is_waiting():
            self._walk.n_selects += statement.lstrip().upper().startswith(("SELECT", "WITH"))
            self._walk.n_writes += statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))


def made_up() -> CollectionContent:
    """Return a collection of which every topic is judged."""
    documents = [Document(f"d{n}", TOPICS[n % len(TOPICS)], f"All about {TOPICS[n % 6]}, {n}.") for n in range(60)]
    queries = [Query(f"q{n}", f"{TOPICS[n % 6]} {n}", "") for n in range(12)]
    qrels = {
        query.query_id: {d.doc_id: float(d.title == TOPICS[n % 6]) for d in documents[n : n + 20]}
        for n, query in enumerate(queries)
    }
    return CollectionContent("Walks", "", documents, queries, qrels)


_waiting = threading.local()


def _is_waiting() -> bool:
    return getattr(_waiting, "is_so", False)


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: if that takes minutes.
    """
    deadline = time.monotonic() + PATIENCE_S
    _waiting.is_so = True  # looking whether it is done belongs to no walk
    try:
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError("it never came to that")
            time.sleep(0.05)
    finally:
        _waiting.is_so = False


class Walks:
    """The five walks, each over a workspace that is ready."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self._workspace = workspace
        self._folder = folder
        self._author = workspace.settings.local_name
        self._page = open_page(workspace, None, None)
        self._judge, self._compare = JudgeTab(workspace), CompareTab(workspace)
        opened = self._judge.show(self._page, self._author, Message({}))  # from then on the page sends what it was told
        self._told = {"ranker": opened["ranker"], "settings": opened["version"]}

    def _ids(self) -> dict[str, Any]:
        return {"collection_id": self._page.collection.id, "label_set_id": self._page.label_set.id}

    def query(self) -> None:
        """Type a query and let it be searched."""
        about = {**self._ids(), "text": "small cats", "instruction": "", "view": "ranking", **self._told}
        desk = self._judge.search(self._author, Message(about))["judge"]
        assert desk["cards"], desk["error"]
        self.desk = desk

    def mark(self) -> None:
        """Mark the first document of that query."""
        self.deliver(0)

    def deliver(self, place: int) -> None:
        """Mark a document of the query that was asked last."""
        card = self.desk["cards"][place]
        mark = {
            "label_set_id": self._page.label_set.id,
            "query_id": card["query_id"],
            "doc_id": card["doc_id"],
            "content_hash": card["content_hash"],
            "grade": 1,
            "ranker": self.desk["ranker"],
            "client_id": "walk",
            "sequence": place + 1,
        }
        about = {**self._ids(), "person": self._author, "batch": "1", "marks": [mark]}
        reply = deliver(self._workspace, self._author, Message(about))
        assert reply["stored"], reply

    def training(self) -> None:
        """Start a training run and wait until it is finished."""
        worker = Worker(self._workspace, [training(self._workspace)])
        worker.start()
        try:
            start(self._workspace, self._author, self._page.collection.id, self._page.label_set.id, "era", 0)
            worker.poke()
            wait_for(lambda: history(self._workspace, self._page.collection.id)[0].state in ("finished", "failed"))
            assert history(self._workspace, self._page.collection.id)[0].state == "finished"
        finally:
            worker.close()

    def importing(self) -> None:
        """Import a CSV file and wait until it can be searched."""
        file = self._folder / "walk.csv"
        file.write_text("id,title,text\n" + "".join(f"c{n},Title {n},Text {n}\n" for n in range(20)))
        worker = Worker(self._workspace, [importing(self._workspace)])
        worker.start()
        try:
            start_import(self._workspace, self._author, ImportRequest(kind="new", name="walk", path=str(file)))
            worker.poke()
            wait_for(lambda: list_jobs(self._workspace)[0].state in ("finished", "failed"))
            assert list_jobs(self._workspace)[0].state == "finished"
        finally:
            worker.close()

    def comparison(self) -> None:
        """Open the usual comparison: one query, then all of them."""
        *_, last = self._compare.show(self._page, self._author, Message({}))
        assert last["overall"], last["error"]


def main() -> None:
    """Trace the walks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="one walk alone: query, mark, training, importing or comparison")
    parser.add_argument("--files", action="store_true", help="name the files, too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    figures = {}
    with TemporaryDirectory() as folder:
        workspace = Workspace(Settings(data_dir=Path(folder) / "data"), load_pair)
        store(workspace, made_up(), author="somebody", labels="Labels", is_demo=False)
        prepare(workspace)
        walks, tracer = Walks(workspace, Path(folder)), Tracer(workspace)
        walks.query()  # once without looking: what is made once for a process is not part of a walk
        walks.deliver(1)
        for name in ("query", "mark", "training", "importing", "comparison"):
            with tracer.walking() as walk:
                getattr(walks, name)()
            figures[name] = walk
        workspace.close()
    rows = {name: walk for name, walk in figures.items() if arguments.name in (None, name)}
    print("| walk | files | and of era | transactions | SELECTs | writes |\n|---|---|---|---|---|---|")
    for name, walk in rows.items():
        n_of_era = sum(file.startswith("era/") for file in walk.files)
        counts = (len(walk.files) - n_of_era, n_of_era, walk.n_transactions, walk.n_selects, walk.n_writes)
        print(f"| {name} | " + " | ".join(map(str, counts)) + " |")
        if arguments.files:
            print("\n".join(f"  {file}" for file in sorted(walk.files)))
    if arguments.json:
        about = {n: [len(w.files), w.n_transactions, w.n_selects, w.n_writes] for n, w in rows.items()}
        arguments.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
