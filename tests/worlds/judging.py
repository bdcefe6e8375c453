"""Several people at the desk of the small world: each says something, and looks at what lies there."""

import itertools
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import storage.collections
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.collections.page import open_page
from annotation.judging.marks import Mark, Saved, judge
from annotation.judging.queries import OpenQuery, look_at
from annotation.judging.setup import DeskSetup, place_at
from annotation.judging.view import Card, Revealed, reveal
from annotation.judging.view import Desk as LaidOut
from annotation.workspace import Workspace
from era.types import Document
from storage.records import JudgmentRole, NewJudgment, PoolDocument, QueryRecord
from tests.worlds.desk import Desk
from tests.worlds.words import DOCUMENTS

DOC_IDS = [document.doc_id for document in DOCUMENTS]
COPY = Document("cat-feeding-copy", "CAT", "Feeding")
"""The words of cat-feeding in other letters."""

_counter = itertools.count(1)


def found_by(workspace: Workspace, author: str | None, label_set_id: int, query: QueryRecord) -> OpenQuery:
    """Return a query as one person finds it in a label set."""
    page = open_page(workspace, query.collection_id, label_set_id)
    return look_at(workspace, place_at(workspace, author, page), query)


def seen_now(desk: Desk, author: str | None, query: QueryRecord) -> tuple[dict[str, Revealed], bool]:
    """Return what a person may see of a query's documents, and whether they have judged all of them."""
    found = found_by(desk.workspace, author, desk.label_set_id, query)
    return reveal(found.pool, found.marks, author, found.place.setup, found.has_finished), found.has_finished


def say(
    desk: Desk,
    author: str,
    query_id: int,
    doc_id: str,
    grade: float | None,
    label_set_id: int = 0,
    ranker: str | None = None,
    **more: Any,
) -> Saved:
    """Judge as this author does, with a new number each time; nothing may be refused."""
    place = label_set_id or desk.label_set_id
    mark = Mark(place, query_id, doc_id, grade, None, ranker, f"page-of-{author}", next(_counter), **more)
    saved = judge(desk.workspace, author, desk.collection.id, [mark])
    assert not saved.refused
    return saved


def offer(desk: Desk, query_id: int, *doc_ids: str) -> None:
    """Let the pool of a query offer these documents; those that somebody judged are offered to nobody else."""
    with desk.workspace.writing() as session:
        pool = [PoolDocument(doc_id, {"light": 1}) for doc_id in doc_ids]
        storage.label_sets.add_to_pool(session, desk.label_set_id, query_id, pool)


def begin(desk: Desk, author: str, query_id: int) -> None:
    """Let an author judge one of two offered documents of a query, neither of which anybody else judged."""
    offer(desk, query_id, "seal-feeding", "moth-feeding")
    say(desk, author, query_id, "seal-feeding", 0.0)


def say_all(desk: Desk, author: str, query_id: int, doc_ids: Iterable[str], grade: float) -> None:
    for doc_id in doc_ids:
        say(desk, author, query_id, doc_id, grade)


def decide(desk: Desk, author: str, query_id: int, doc_id: str, grade: float | None, **more: Any) -> None:
    """Append what an adjudicator decided while judges disagreed, as the log keeps it whatever they say now."""
    append(desk, author, query_id, doc_id, grade, JudgmentRole.ADJUDICATOR, **more)


def bring_reference(desk: Desk, query_id: int, doc_id: str, grade: float, author: str = "import") -> None:
    """Append a mark as an import does."""
    append(desk, author, query_id, doc_id, grade, JudgmentRole.REFERENCE)


def append(
    desk: Desk, author: str, query_id: int, doc_id: str, grade: float | None, role: JudgmentRole, **more: Any
) -> None:
    """Append an event to the log, unchecked."""
    query = record(desk.workspace, query_id)
    with desk.workspace.writing() as session:
        storage.judgments.append(
            session,
            NewJudgment(
                **{
                    "label_set_id": desk.label_set_id,
                    "content_hash": "0" * 64,
                    "client_id": f"log of {role.value}s",
                    "sequence": next(_counter),
                    **more,
                },
                query_id=query_id,
                instruction_id=query.instruction_id,
                doc_id=doc_id,
                author=author,
                grade=grade,
                role=role,
            ),
        )


def record(workspace: Workspace, query_id: int) -> QueryRecord:
    with workspace.reading() as session:
        return storage.queries.get(session, query_id)


def write_query(desk: Desk, text: str, instruction: str = "") -> QueryRecord:
    """Return the query, stored if it is new."""
    return record(desk.workspace, desk.ask(text, instruction))


def with_setup(desk: Desk, **changes: Any) -> DeskSetup:
    """Set up judging as by default but for these changes."""
    setup = replace(DeskSetup(), **changes)
    with desk.workspace.writing() as session:
        storage.collections.set_desk(session, desk.collection.id, asdict(setup))
    return setup


def ids(cards: Iterable[Card]) -> list[str]:
    return [card.document.doc_id for card in cards]


def revealed_of(laid_out: LaidOut) -> dict[str, Revealed]:
    """Return what is revealed of the open query."""
    assert laid_out.query is not None
    return dict(laid_out.revealed[laid_out.query.id])


def authors_seen(laid_out: LaidOut) -> set[str]:
    """Return whose opinions are anywhere on the desk."""
    return {
        opinion.author
        for of_query in laid_out.revealed.values()
        for each in of_query.values()
        for opinion in each.opinions
    }
