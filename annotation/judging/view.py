"""What lies on the desk: the documents to judge for a query or one of the other lists, and one document in full.

A list is made anew whenever it is asked for. What is hidden (where a document came from, what others said) is left out
here, not on the page. Of a long document the sentence that is closest to the query is pointed out; sentences are found
by rules that hold for most written languages, not by a model.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

import storage.documents
from annotation.errors import NotFoundError, NotReadyError
from annotation.judging.duplicates import identical_documents
from annotation.judging.pool import order_for, pool_of
from annotation.judging.queries import OpenQuery, find_documents
from annotation.judging.setup import DeskSetup
from annotation.ranking import rankers
from annotation.workspace import Workspace
from era.encoders.base import Embedder, Vectors
from era.errors import EraError
from era.types import Document, Query
from storage.records import DocumentRecord, JudgmentRecord, JudgmentRole, PoolDocument, QueryRecord

logger = logging.getLogger(__name__)

View = Literal["pool", "ranking", "similar", "again", "conflicts", "coverage"]

MAX_SENTENCES = 400
MIN_WORDS = 3

_EAST_ASIAN_MARKS = "。！？"
_ABBREVIATIONS = frozenset(
    (
        "al approx cf ch chs dept dr ed eds eq eqs etc fig figs inc jr ltd messrs mr mrs ms nos pp prof ref refs resp "
        "sec sr st tab viz vol vols vs bzw ggf usw vgl"
    ).split()
)
_BOUNDARY = re.compile(
    rf"(?P<marks>[.!?…{_EAST_ASIAN_MARKS}]++)[\"'”’»」』）)\]]*+"
    r"|\n[^\S\n]*+(?=\n|(?:[-*•‣◦]|\d{1,3}[.)]|\#{1,6})[^\S\n])"
)
_LETTERS_WITH_DOTS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_LIST_NUMBER = re.compile(r"[^\S\n]*\d{1,3}")
_LONGEST_BEFORE_DOT = 20
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_EAST_ASIAN}]|[^\W_{_EAST_ASIAN}]+")


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
class Said:
    """What one person says of one document now."""

    grade: float | None
    is_unsure: bool
    note: str


NOTHING_SAID = Said(None, False, "")


@dataclass(frozen=True, slots=True)
class Undoable:
    """A mark that can be taken back: what named its delivery, and what was said before it."""

    client_id: str
    sequence: int
    doc_id: str
    together_with: str | None
    before: Said


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


@dataclass(frozen=True, slots=True)
class DocumentView:
    """What a document view adds to the text that is on the card already.

    Attributes:
        doc_id: which document.
        closest: start and end of the sentence closest to the query, in UTF-16 units as browsers count; None if unknown.
        metadata: name -> value, as they came with the document.
    """

    doc_id: str
    closest: tuple[int, int] | None
    metadata: Mapping[str, str]


def lay_out_pool(workspace: Workspace, found: OpenQuery) -> Desk:
    """Return what there is to judge for a query, shuffled for this person; identical documents share a card.

    Raises:
        NotReadyError: if the embedders are still being loaded and the query has no pool yet.
    """
    found = pool_of(workspace, found)
    place, query, pool = found.place, found.query, found.pool
    offered = found.offered
    kept = set(offered)
    in_pool = [each for each in pool if each.doc_id in kept]
    in_order = order_for(in_pool, place.author, query.id) if place.setup.is_blind else in_pool
    documents = find_documents(workspace, query.collection_id, [each.doc_id for each in in_order])
    cards = [Card(query, document) for document in documents.values()]
    left_out = {each.doc_id for each in pool} - kept
    return _desk(workspace, found, "pool", cards, left_out, n_by_others=len(pool) - len(offered))


def lay_out_ranking(
    workspace: Workspace,
    found: OpenQuery,
    ranking: Iterable[tuple[str, float]],
    view: View = "ranking",
    took_ms: float | None = None,
) -> Desk:
    """Return a ranking (document id, score) as the desk shows it, best first."""
    scores = dict(ranking)
    documents = find_documents(workspace, found.query.collection_id, scores)
    cards = [
        Card(found.query, document, rank, scores[doc_id])
        for rank, (doc_id, document) in enumerate(documents.items(), start=1)
    ]
    return _desk(workspace, found, view, cards, took_ms=took_ms)


def lay_out_similar(workspace: Workspace, found: OpenQuery, doc_id: str) -> Desk:
    """Return the documents most like one of them, nearest first, to be judged for the same query.

    Raises:
        NotFoundError: if there is no such document.
        NotReadyError: if the embedders are still being loaded.
    """
    opened = workspace.open(found.query.collection_id)
    if doc_id not in opened.index:
        raise NotFoundError("This document is no longer in the collection. Search again.")
    [nearest] = opened.index.search(opened.index.vectors([doc_id]), 11)
    others = [(doc.doc_id, doc.score) for doc in nearest if doc.doc_id != doc_id][:10]
    return lay_out_ranking(workspace, found, others, view="similar")


def _desk(
    workspace: Workspace,
    found: OpenQuery,
    view: View,
    cards: Sequence[Card],
    left_out: Collection[str] = (),
    n_by_others: int = 0,
    took_ms: float | None = None,
) -> Desk:
    """Return cards of one query with what the person said and may see of them; identical documents share a card."""
    author, query, has_finished = found.place.author, found.query, found.has_finished
    said = said_by(found.marks, author)
    return Desk(
        view=view,
        query=query,
        cards=_collapse(workspace, query, cards, said, left_out),
        said={query.id: said},
        revealed={query.id: reveal(found.pool, found.marks, author, found.place.setup, has_finished)},
        undoable=undoable(found.history, author),
        n_by_others=n_by_others,
        is_finished=has_finished,
        took_ms=took_ms,
    )


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


def said_by(marks: Sequence[JudgmentRecord], author: str | None) -> dict[str, Said]:
    """Return what the author says at the desk: document id -> words and grade."""
    return {
        mark.doc_id: Said(mark.grade, mark.is_unsure, mark.note)
        for mark in marks
        if mark.author == author and mark.role is JudgmentRole.JUDGE
    }


def settled_by(marks: Sequence[JudgmentRecord]) -> dict[str, Said]:
    """Return what the adjudicators among the authors have decided, the last of them: document id -> words and grade."""
    return {
        mark.doc_id: Said(mark.grade, mark.is_unsure, mark.note)
        for mark in marks
        if mark.role is JudgmentRole.ADJUDICATOR
    }


def undoable(history: Sequence[JudgmentRecord], author: str | None, n: int = 50) -> list[Undoable]:
    """Return the author's last `n` marks that can still be taken back, the latest at the end.

    Args:
        history: every event of the query, oldest first.
        author: whose marks.
        n: how many at most.
    """
    mine = [event for event in history if event.author == author and event.role is JudgmentRole.JUDGE]
    undone = {event.undoes_id for event in mine if event.undoes_id is not None}
    found, latest = [], dict[str, Said]()
    for event in mine:
        before = latest.get(event.doc_id, NOTHING_SAID)
        if event.undoes_id is None and event.id not in undone:
            found.append(Undoable(event.client_id, event.sequence, event.doc_id, event.together_with, before))
        latest[event.doc_id] = Said(event.grade, event.is_unsure, event.note)
    return found[-n:]


def look_into(workspace: Workspace, query: QueryRecord, doc_id: str, ranker: rankers.RankingKey) -> DocumentView:
    """Return what is known of a document beside its text.

    Args:
        workspace: of this process.
        query: that the document is judged for.
        doc_id: which document.
        ranker: key of the ranking whose query vector tells what is close.

    Raises:
        NotFoundError: if there is no such document.
    """
    with workspace.reading() as session:
        row = storage.documents.get_many(session, query.collection_id, [doc_id]).get(doc_id)
    if row is None:
        raise NotFoundError("This document is no longer in the collection. Search again.")
    closest = None
    try:
        opened = workspace.open(query.collection_id)
        chosen, _ = rankers.retriever(workspace, opened, ranker)
        [vector] = chosen.query_vectors([Query(str(query.id), query.text, query.instruction)])
        found = closest_sentence(row.text, vector, opened.pair.light)
        closest = None if found is None else (_utf16_units(row.text[: found[0]]), _utf16_units(row.text[: found[1]]))
    except (NotReadyError, EraError) as error:
        logger.warning("No sentence is pointed out: %s", error)
    return DocumentView(doc_id, closest, {name: str(value) for name, value in (row.metadata or {}).items()})


def _utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


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


def _has_said(said: Said | None) -> bool:
    return said is not None and (said.grade is not None or said.is_unsure)


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the character ranges [start, end) of the sentences, in order, without outer blanks and never empty.

    A sentence ends with . ! ? or … before a blank, with 。 ！ or ？ anywhere, at a blank line, and where the next line
    starts a list item or a heading. The dots of abbreviations, initials, numbers and list numbers end none. After
    `MAX_SENTENCES` - 1 sentences, the rest of the text counts as one.
    """
    ranges: list[tuple[int, int]] = []
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        if len(ranges) == MAX_SENTENCES - 1:
            break
        if boundary["marks"] is None or _ends_sentence(text, boundary):
            ranges += _stripped(text, start, boundary.end())
            start = boundary.end()
    return ranges + _stripped(text, start, len(text))


def closest_sentence(text: str, query_vector: Vectors, light: Embedder) -> tuple[int, int] | None:
    """Return the range of the sentence of highest cosine with the query; the first of equals.

    Sentences of fewer than `MIN_WORDS` words, such as headings, count only where there are no others.

    Args:
        text: of a document.
        query_vector: (m,), of the query in the space of the documents.
        light: embeds the sentences, m dimensions.

    Returns:
        Characters [start, end), as in `sentences`; None if the text has fewer than two sentences.

    Raises:
        ValueError: if the query vector is not of the embedder's dimension.
    """
    expected = (light.identity.dimension,)
    if query_vector.shape != expected:
        raise ValueError(f"Expected a query vector of shape {expected}, got {query_vector.shape}.")
    ranges = sentences(text)
    if len(ranges) < 2:
        return None
    candidates = [(start, end) for start, end in ranges if len(_WORD.findall(text[start:end])) >= MIN_WORDS] or ranges
    vectors = light.encode_documents([text[start:end] for start, end in candidates])  # (n, m)
    return candidates[int(np.argmax(vectors @ query_vector))]


def _stripped(text: str, start: int, end: int) -> list[tuple[int, int]]:
    part = text[start:end]
    kept = part.strip()
    first = start + len(part) - len(part.lstrip())
    return [(first, first + len(kept))] if kept else []


def _ends_sentence(text: str, boundary: re.Match[str]) -> bool:
    marks = boundary["marks"]
    if any(mark in _EAST_ASIAN_MARKS for mark in marks):
        return True
    if boundary.end() < len(text) and not text[boundary.end()].isspace():
        return False
    if marks != ".":
        return True
    dot = boundary.start()
    before = text[max(0, dot - _LONGEST_BEFORE_DOT) : dot]
    if _LIST_NUMBER.fullmatch(before.rpartition("\n")[2]):
        return False
    words = before.split()
    if not words or before[-1].isspace():
        return True
    word = words[-1].lstrip("([{\"'“‘«")
    if word.casefold() in ("no", "nr") and re.match(r"\s\d", text[dot + 1 : dot + 3]):
        return False
    is_initials = _LETTERS_WITH_DOTS.fullmatch(word) is not None and word.upper() != word.lower()
    return not is_initials and word.casefold() not in _ABBREVIATIONS
