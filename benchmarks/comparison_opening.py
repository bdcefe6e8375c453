"""How fast a comparison opens: `python -m benchmarks.comparison_opening`, 500 queries over 100,000 documents.

The documents are made of the demo's, the judgments of which demo documents they are made of. What a person waits for is
counted: the rankings of both sides, the measures, intervals and tests, and the JSON that the page gets. The searches
alone, their query vectors given, stand beside each figure.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from annotation.collections.page import list_queries, open_page
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import CollectionContent, store, store_demo
from annotation.comparing.measure import compare_all
from annotation.comparing.rank import compare_query
from annotation.comparing.strong import StrongState
from annotation.comparing.view import ComparisonView
from annotation.demo.python_docs import python_docs
from annotation.ranking.rankers import ALIGNED, LIGHT, list_rankers, retriever
from annotation.settings import Settings
from annotation.ui.payloads.comparing import compare_panel
from annotation.workspace import Workspace
from benchmarks.environment import describe_environment
from benchmarks.figures import Figure, Target, to_json, to_markdown
from benchmarks.fresh_processes import call_in_fresh_process
from era.encoders.loading import load_pair
from era.types import Document, Query

_PARTS = 3  # demo documents that a made-up one consists of
_N_RELEVANT = 10
_DEPTH = 100
_N_OPENINGS = 5
_AGAIN = Target("ours", "<=", 2.0)


def main() -> None:
    """Measure, print the table, write the file that was asked for."""
    parser = argparse.ArgumentParser(description="How fast a comparison opens.")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--json", type=Path, help="where to write every number")
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder, module = Path(scratch) / "data", "benchmarks.comparison_opening"
        figures = call_in_fresh_process(module, "open_first", folder, arguments.documents, arguments.queries)
        figures += call_in_fresh_process(module, "open_again", folder)
    environment = describe_environment()
    conditions = {
        "documents": f"{arguments.documents:,}",
        "judged queries": arguments.queries,
        "sides": "light, aligned",
    }
    print(to_markdown(figures, environment, conditions, "Opening a comparison"))
    if arguments.json:
        content = to_json(figures, environment, conditions)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def open_first(folder: Path, n_documents: int, n_queries: int) -> list[Figure]:
    """Store the collection and open the comparison for the first time."""
    workspace = Workspace(Settings(data_dir=folder), load_pair)
    try:
        prepare(workspace)
        store_demo(workspace, python_docs())
        content = make_collection(workspace, n_documents, n_queries)
        collection = store(workspace, content, author="benchmark", labels="Made up", is_demo=False)
        workspace.open(collection.id).aligned()
        seconds = _seconds(lambda: _open(workspace))
        return [_figure("for the first time, queries embedded too", seconds, _searches(workspace))]
    finally:
        workspace.close()


def open_again(folder: Path) -> list[Figure]:
    """Open the comparison after a restart, and then again."""
    workspace = Workspace(Settings(data_dir=folder), load_pair)
    try:
        prepare(workspace)
        collection_id = _collection_id(workspace)
        workspace.open(collection_id).aligned()
        restarted = _seconds(lambda: _open(workspace))
        again = min(_seconds(lambda: _open(workspace)) for _ in range(_N_OPENINGS))
        searches = _searches(workspace)
    finally:
        workspace.close()
    return [
        replace(_figure("after a restart", restarted, searches), target=_AGAIN),
        replace(_figure("again, the best of 5", again, searches), target=_AGAIN),
    ]


def make_collection(workspace: Workspace, n_documents: int, n_queries: int) -> CollectionContent:
    """Return made-up documents of three demo documents each; a query is the title of one and wants those made of it."""
    random, demo = Random(0), workspace.open(_collection_id(workspace, is_demo=True)).corpus
    known = [demo[doc_id] for doc_id in demo.doc_ids]
    wanted = random.sample(range(len(known)), n_queries)
    made_of: dict[int, list[str]] = {row: [] for row in wanted}
    documents = []
    for number in range(n_documents):
        rows = random.sample(range(len(known)), _PARTS)
        if number < n_queries * _N_RELEVANT:  # so that every query has its relevant documents
            rows[0] = wanted[number // _N_RELEVANT]
            made_of[rows[0]].append(f"d{number}")
        text = " ".join(known[row].text[:200] for row in rows)
        documents.append(Document(f"d{number}", f"{known[rows[0]].title} {number}", text))
    queries = [Query(f"q{row}", f"{known[row].title}: {known[row].text[:80]}") for row in wanted]
    qrels = {f"q{row}": dict.fromkeys(doc_ids, 1.0) for row, doc_ids in made_of.items()}
    return CollectionContent("Made up", "", documents, queries, qrels)


def _open(workspace: Workspace) -> str:
    """Return what the page gets."""
    page = open_page(workspace, _collection_id(workspace), None)
    queries = list_queries(workspace, page)
    view = ComparisonView(page.collection.id, page.label_set.id, (LIGHT, ALIGNED), queries[0].query.id)
    payload: dict[str, Any] = compare_panel(
        page,
        "benchmark",
        list_rankers(workspace, page.collection.id),
        queries,
        view,
        ["not relevant", "relevant"],
        StrongState("absent", 0.0, ""),
        one=compare_query(workspace, "benchmark", view),
        overall=compare_all(workspace, view),
    )
    return json.dumps(payload)


def _searches(workspace: Workspace) -> float:
    """Return how long the searches of both sides alone take, the query vectors given."""
    page = open_page(workspace, _collection_id(workspace), None)
    opened = workspace.open(page.collection.id)
    asked = [Query("", each.query.text, each.query.instruction) for each in list_queries(workspace, page)]
    vectors = [retriever(workspace, opened, key)[0].query_vectors(asked) for key in (LIGHT, ALIGNED)]
    return _seconds(lambda: [opened.index.search(each, _DEPTH) for each in vectors])


def _collection_id(workspace: Workspace, is_demo: bool = False) -> int:
    from storage.collections import list_all

    with workspace.reading() as session:
        return next(each.id for each in list_all(session) if each.is_demo is is_demo)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _figure(what: str, seconds: float, searches: float) -> Figure:
    return Figure("opening", what, "s", seconds, "the searches of both sides alone", searches)


if __name__ == "__main__":
    main()
