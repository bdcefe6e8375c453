"""What lies on the desk: the documents to judge for a query, or one of the other lists, as one person may see it.

A list is made anew whenever it is asked for. What is hidden (where a document came from, what others said) is left out
here, not on the page.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import storage.collections
import storage.documents
import storage.judgments
import storage.pools
from annotation.errors import NotFoundError
from annotation.judging.duplicates import identical_documents
from annotation.judging.marks import Said, Undoable, said_by, undoable
from annotation.judging.pool import order_for, pool_of
from annotation.judging.search import find_documents
from annotation.judging.setup import DeskSetup, desk_setup
from annotation.labels.counts import is_finished, offered_to
from annotation.workspace import Workspace
from era.types import Document
from storage.records import DocumentRecord, JudgmentRecord, JudgmentRole, PoolDocument, QueryRecord, StandingMark

View = Literal["pool", "ranking", "similar", "again", "conflicts", "coverage"]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody else said of a document."""

    author: str
    role: JudgmentRole
    grade: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Revealed:
    """What may be shown of a document once it was judged: where it came from, and what others said."""

    sources: Mapping[str, int | None]
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One document on the desk, to be judged for `query`.

    Attributes:
        query: whose document it is.
        document: id, title and text.
        rank: its place in a ranking, from 1; None where the order tells nothing.
        score: as in `era.types.ScoredDoc`; None likewise.
        duplicates: identical documents, which are judged together with it.
        why: why it is here, for lists that need a reason: a code with its values.
        is_adjudication: whether a mark on it settles what judges disagree about, for everybody.
    """

    query: QueryRecord
    document: Document
    rank: int | None = None
    score: float | None = None
    duplicates: tuple[Document, ...] = ()
    why: Mapping[str, object] = field(default_factory=dict)
    is_adjudication: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """A list of documents and what this person has said of them.

    Attributes:
        view: which list it is.
        query: the open query; None where nothing is open.
        cards: the documents.
        said: query id -> document id -> what the person says now.
        revealed: query id -> document id -> what may be shown of it.
        settled: query id -> document id -> what an adjudicator has decided, where conflicts are settled.
        undoable: what the person can take back, the latest at the end.
        n_by_others: documents of the pool left out since enough others have judged them.
        is_finished: whether the person has judged everything that is there to judge for the query.
        took_ms: of the search, where there was one.
    """

    view: View
    query: QueryRecord | None
    cards: Sequence[Card]
    said: Mapping[int, Mapping[str, Said]] = field(default_factory=dict)
    revealed: Mapping[int, Mapping[str, Revealed]] = field(default_factory=dict)
    settled: Mapping[int, Mapping[str, Said]] = field(default_factory=dict)
    undoable: Sequence[Undoable] = ()
    n_by_others: int = 0
    is_finished: bool = False
    took_ms: float | None = None


def lay_out_pool(workspace: Workspace, author: str | None, label_set_id: int, query: QueryRecord) -> Desk:
    """Return what there is to judge for a query, shuffled for this person; identical documents share a card.

    Raises:
        NotReadyError: if the embedders are still being loaded and the query has no pool yet.
    """
    setup = setup_of(workspace, query.collection_id)
    pool = pool_of(workspace, author, label_set_id, query, setup.depth)
    standing = workspace.standings(label_set_id).marks_of(query.id)
    offered = offered_to(_ids(pool), standing, author, setup.n_judges)
    has_finished = is_finished(_ids(pool), offered, standing, author)
    whose = None if has_finished else author or ""  # what nobody may see yet need not be read
    with workspace.reading() as session:
        marks = storage.judgments.current_for_query(session, label_set_id, query.id, whose)
        history = storage.judgments.history(session, label_set_id, query.id, author or "")
    kept = set(offered)
    in_pool = [each for each in pool if each.doc_id in kept]
    in_order = order_for(in_pool, author, query.id) if setup.is_blind else in_pool
    documents = find_documents(workspace, query.collection_id, [each.doc_id for each in in_order])
    said = said_by(marks, author)
    cards = [Card(query, document) for document in documents.values()]
    cards = _collapse(workspace, query, cards, said, set(_ids(pool)) - kept)
    return Desk(
        view="pool",
        query=query,
        cards=cards,
        said={query.id: said},
        revealed={query.id: reveal(pool, marks, author, setup, has_finished)},
        undoable=undoable(history, author),
        n_by_others=len(pool) - len(offered),
        is_finished=has_finished,
    )


def lay_out_ranking(
    workspace: Workspace,
    label_set_id: int,
    query: QueryRecord,
    author: str | None,
    ranking: Iterable[tuple[str, float]],
    view: View = "ranking",
    took_ms: float | None = None,
) -> Desk:
    """Return a ranking (document id, score) as the desk shows it, best first."""
    scores = dict(ranking)
    documents = find_documents(workspace, query.collection_id, scores)
    cards = [
        Card(query, document, rank, scores[doc_id])
        for rank, (doc_id, document) in enumerate(documents.items(), start=1)
    ]
    setup = setup_of(workspace, query.collection_id)
    standing = workspace.standings(label_set_id).marks_of(query.id)
    with workspace.reading() as session:
        pool = storage.pools.list_for(session, label_set_id, query.id)
        has_finished = _has_finished(_ids(pool), standing, author, setup)
        whose = None if has_finished else author or ""
        marks = storage.judgments.current_for_query(session, label_set_id, query.id, whose)
        history = storage.judgments.history(session, label_set_id, query.id, author or "")
    said = said_by(marks, author)
    return Desk(
        view=view,
        query=query,
        cards=_collapse(workspace, query, cards, said),
        said={query.id: said},
        revealed={query.id: reveal(pool, marks, author, setup, has_finished)},
        undoable=undoable(history, author),
        is_finished=has_finished,
        took_ms=took_ms,
    )


def lay_out_similar(
    workspace: Workspace, label_set_id: int, query: QueryRecord, author: str | None, doc_id: str
) -> Desk:
    """Return the documents most like one of them, nearest first, to be judged for the same query.

    Raises:
        NotFoundError: if there is no such document.
        NotReadyError: if the embedders are still being loaded.
    """
    opened = workspace.open(query.collection_id)
    if doc_id not in opened.index:
        raise NotFoundError("This document is no longer in the collection. Search again.")
    [nearest] = opened.index.search(opened.index.vectors([doc_id]), 11)
    others = [(doc.doc_id, doc.score) for doc in nearest if doc.doc_id != doc_id][:10]
    return lay_out_ranking(workspace, label_set_id, query, author, others, view="similar")


def reveal(
    pool: Sequence[PoolDocument],
    marks: Sequence[JudgmentRecord],
    author: str | None,
    setup: DeskSetup,
    has_finished: bool,
) -> dict[str, Revealed]:
    """Return what this person may see of the query's documents.

    Where a document came from shows once it was judged, or at once where judging is not blind; what others said shows
    once the person has finished everything offered.
    """
    said = said_by(marks, author)
    sources = {each.doc_id: each.sources for each in pool if not setup.is_blind or _has_said(said.get(each.doc_id))}
    opinions: dict[str, list[Opinion]] = {}
    if has_finished:
        for mark in marks:
            if mark.grade is not None and not (mark.author == author and mark.role is JudgmentRole.JUDGE):
                opinions.setdefault(mark.doc_id, []).append(Opinion(mark.author, mark.role, mark.grade, mark.note))
    return {
        doc_id: Revealed(sources.get(doc_id, {}), tuple(opinions.get(doc_id, ())))
        for doc_id in dict.fromkeys([*sources, *opinions])
    }


def look_now(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, query_id: int
) -> tuple[dict[str, Revealed], bool]:
    """Return what this person may see of a query's documents as things stand now, and whether all were judged."""
    standing = workspace.standings(label_set_id).marks_of(query_id)
    with workspace.reading() as session:
        setup = desk_setup(storage.collections.get(session, collection_id).desk)
        pool = storage.pools.list_for(session, label_set_id, query_id)
        has_finished = _has_finished(_ids(pool), standing, author, setup)
        whose = None if has_finished else author or ""
        marks = storage.judgments.current_for_query(session, label_set_id, query_id, whose)
    return reveal(pool, marks, author, setup, has_finished), has_finished


def setup_of(workspace: Workspace, collection_id: int) -> DeskSetup:
    """Return how judging is set up in a collection."""
    with workspace.reading() as session:
        return desk_setup(storage.collections.get(session, collection_id).desk)


def _collapse(
    workspace: Workspace,
    query: QueryRecord,
    cards: Sequence[Card],
    said: Mapping[str, Said],
    left_out: Collection[str] = (),
) -> list[Card]:
    """Put identical documents of the collection onto the card of the first of them, but for those `left_out`.

    Those of which the person has said something else keep a card of their own.
    """
    opened = workspace.opened(query.collection_id)
    if opened is None:
        return list(cards)

    def read(doc_ids: Iterable[str]) -> Mapping[str, DocumentRecord]:
        with workspace.reading() as session:
            return storage.documents.get_many(session, query.collection_id, doc_ids)

    found = identical_documents([card.document.doc_id for card in cards], opened.corpus, opened.index, read)
    kept: list[Card] = []
    taken = set(left_out)
    for card in cards:
        doc_id = card.document.doc_id
        if doc_id in taken:
            continue
        alike = (other for other in found.get(doc_id, ()) if said.get(other) == said.get(doc_id))
        others = [other for other in alike if other not in taken]
        taken.update((doc_id, *others))
        duplicates = tuple(opened.corpus[other] for other in others)
        kept.append(replace(card, duplicates=duplicates))
    return kept


def _has_finished(pool: Sequence[str], marks: Sequence[StandingMark], author: str | None, setup: DeskSetup) -> bool:
    return is_finished(pool, offered_to(pool, marks, author, setup.n_judges), marks, author)


def _ids(pool: Iterable[PoolDocument]) -> list[str]:
    return [each.doc_id for each in pool]


def _has_said(said: Said | None) -> bool:
    return said is not None and (said.grade is not None or said.is_unsure)
