"""A data folder as a team has it after weeks of judging: many queries, and marks of ten people in one label set."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.collections.store_whole import store_demo
from annotation.demo.python_docs import python_docs
from annotation.judging.setup import DeskSetup, set_up
from annotation.ranking.rankers import ALIGNED, LIGHT
from annotation.settings import Settings
from annotation.workspace import Workspace
from era.encoders.loading import load_pair
from storage.records import DocumentRecord, NewJudgment, PoolDocument, QueryRecord

AUTHORS = tuple(f"expert-{number}" for number in range(10))
N_POOL = 25  # documents of a query
N_LEFT = N_POOL // 5  # of these, what each author has not judged yet
MARKS_PER_QUERY = len(AUTHORS) * (N_POOL - N_LEFT)
_SHARE_RELEVANT, _SHARE_OF_SLIPS = 0.2, 0.03


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was stored; `query_ids` are those that were judged."""

    collection_id: int
    label_set_id: int
    query_ids: tuple[int, ...]
    n_queries: int
    n_judgments: int


def seed(folder: Path, n_queries: int, n_judgments: int) -> Seeded:
    """Store the demo collection with `n_queries` queries, and at least `n_judgments` marks in one label set.

    Every judged query has a pool of `N_POOL` documents of which each author has judged all but `N_LEFT`.

    Raises:
        ValueError: if so many marks do not fit the queries.
    """
    n_judged = -(-n_judgments // MARKS_PER_QUERY)
    if n_judged > n_queries:
        raise ValueError(f"expected at most {n_queries * MARKS_PER_QUERY} judgments, got {n_judgments}")
    workspace = Workspace(Settings(data_dir=folder), load_pair)
    try:
        collection = store_demo(workspace, python_docs())
        arranged = DeskSetup(n_judges=len(AUTHORS) - 1, depth=N_POOL)  # so that nothing is left out as judged enough
        set_up(workspace, AUTHORS[0], collection.id, arranged)
        with workspace.writing() as session:
            documents = list(storage.documents.iter_all(session, collection.id))
            known = len(storage.queries.list_all(session, collection.id))
            for number in range(n_queries - known):
                text = f"{documents[number * 7 % len(documents)].title}, need {number}"
                storage.queries.get_or_create(session, collection.id, text, "", AUTHORS[number % len(AUTHORS)])
            queries = storage.queries.list_all(session, collection.id)
            label_set = storage.label_sets.get_or_create(session, collection.id, "Load", AUTHORS[0])
            judged = queries[-n_judged:]
            for number, query in enumerate(judged):
                pool = [
                    PoolDocument(document.doc_id, {LIGHT: rank, ALIGNED: rank})
                    for rank, document in enumerate(_pool(documents, number), start=1)
                ]
                storage.label_sets.add_to_pool(session, label_set.id, query.id, pool)
            n_stored = storage.judgments.append_many(session, _marks(label_set.id, judged, documents))
    finally:
        workspace.close()
    return Seeded(collection.id, label_set.id, tuple(query.id for query in judged), len(queries), n_stored)


def copy_database(folder: Path, target: Path) -> None:
    """Copy a database that no process has open, for what is measured beside it."""
    source, copy = sqlite3.connect(folder / "era.sqlite3"), sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()


def _pool(documents: Sequence[DocumentRecord], number: int) -> list[DocumentRecord]:
    step = len(documents) // N_POOL
    return [documents[(number * 13 + place * step) % len(documents)] for place in range(N_POOL)]


def _marks(
    label_set_id: int, queries: Sequence[QueryRecord], documents: Sequence[DocumentRecord]
) -> Iterator[NewJudgment]:
    """Yield what every author says; authors agree but for slips."""
    random = Random(0)
    for number, query in enumerate(queries):
        relevant = [random.random() < _SHARE_RELEVANT for _ in range(N_POOL)]
        for place_of_author, author in enumerate(AUTHORS):
            for place, document in enumerate(_pool(documents, number)):
                if place % (N_POOL // N_LEFT) == place_of_author // 2:
                    continue  # the author's own fifth, left for later
                is_slip = random.random() < _SHARE_OF_SLIPS
                yield NewJudgment(
                    label_set_id=label_set_id,
                    query_id=query.id,
                    instruction_id=query.instruction_id,
                    doc_id=document.doc_id,
                    content_hash=document.content_hash,
                    author=author,
                    grade=float(relevant[place] != is_slip),
                    client_id=f"seed-{author}",
                    sequence=number * N_POOL + place + 1,
                    retriever="pool",
                    seconds=round(random.uniform(2, 20), 1),
                )
