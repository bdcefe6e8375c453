"""How the sides of a comparison rank: searched for once, and honest about what a ranker had learned (cross-fitting).

A query that a training run learned from is ranked by the adapter of the fold that did not see it, so that no number
flatters the run; only where a person asks for it, by the adapter that did. Of a near-copy of such a query no adapter
was held back, so its ranking flatters.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import numpy as np

import storage.comparisons
import storage.queries
import storage.training_runs
from annotation.comparing.view import ComparisonView, side_labels
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.queries import DEPTH, open_query
from annotation.judging.setup import sight_of
from annotation.ranking.rankers import (
    ALIGNED,
    BM25,
    NOTHING_UNREAD,
    RankingKey,
    Unread,
    expectation,
    retriever,
    unread_in,
)
from annotation.retrieval.open_collection import OpenCollection, copies_among
from annotation.workspace import Workspace
from era.adapter import HeldOut
from era.encoders.base import Vectors
from era.evaluation.measures import MIN_DEPTH, depth_of, evaluate
from era.index.lexical import n_candidates
from era.method.certainty import Expectation
from era.method.reranking import N_REREAD, N_SPREAD_TEXTS, STRONG_WEIGHT
from era.retriever import Retriever
from era.types import Query, ScoredDoc
from storage.records import QueryRecord

RANKING_VERSION = 2
"""Raise it with every change of the code that ranks anything differently: what was kept before is then not found."""

Origin = Literal["plain", "held_out", "in_sample", "stored"]


@dataclass(frozen=True, slots=True)
class RankedQuery:
    """One query as one side ranks it.

    Attributes:
        ranking: best first.
        origin: `held_out` if the ranker learned from the query and this comes from the adapter of its fold,
            `in_sample` if it comes from the adapter that learned from it or a near-copy, `stored` in a snapshot, else
            `plain`.
        is_learned: whether the ranker learned from the query's judgments, or from those of a near-copy.
        is_flattered: whether this very ranking comes from what learned from them, now or when it was stored.
    """

    ranking: Sequence[ScoredDoc]
    origin: Origin
    is_learned: bool = False
    is_flattered: bool = False


def rank_queries(
    workspace: Workspace,
    opened: OpenCollection,
    key: RankingKey,
    queries: Sequence[QueryRecord],
    depth: int = MIN_DEPTH,
    is_in_sample: bool = False,
) -> dict[int, RankedQuery]:
    """Return the ranking of each query by one ranker, by query id; what was searched for before is not again.

    Args:
        workspace: of this process.
        opened: the collection that the queries belong to.
        key: of the ranker, or of a side of a snapshot; that one lacks the queries it never ranked.
        queries: to be ranked.
        depth: how many documents of each ranking.
        is_in_sample: rank also those queries by the deployed adapter that it learned from.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the strong model has not read every document that it needs for the ranking.
        InvalidInputError: if the ranker is a side of a snapshot that was stored less deep.
    """
    if key.stored_side is not None:
        return _stored(workspace, opened, key, queries, depth)
    plain = key.without_words()
    without, held_out = retriever(workspace, opened, plain)
    honest = {} if is_in_sample else held_out
    rows = {query.id: honest.get(str(query.id)) for query in queries}
    names = {query.id: _query_name(query, rows[query.id], key.has_words) for query in queries}
    beside = _words_name(key, without.adapter.word_weight, depth) + _rereading_name(opened, key)
    ranker = _ranker_name(opened, without, beside)
    known = opened.runs.find(ranker, names.values(), depth)
    missing = [query for query in queries if names[query.id] not in known]
    if missing:
        chosen, _ = retriever(workspace, opened, key)  # not before: counting words takes seconds
        asked = [Query(str(query.id), query.text, query.instruction) for query in missing]
        given = [rows[query.id] for query in missing]
        weights = [chosen.adapter.word_weight if each is None else each.word_weight for each in given]
        fresh = chosen.rank(asked, _vectors(chosen, asked, given), depth, weights)
        named = {names[query.id]: ranking for query, ranking in zip(missing, fresh, strict=True)}
        opened.runs.keep(ranker, named, depth)
        known |= named
    ranked, learned = {}, _learned_from(workspace, opened, plain, held_out, queries)
    for query in queries:
        is_learned = query.id in learned
        origin: Origin = "plain"
        if is_learned:
            origin = "held_out" if str(query.id) in honest else "in_sample"
        ranked[query.id] = RankedQuery(known[names[query.id]], origin, is_learned, origin == "in_sample")
    return ranked


def _learned_from(
    workspace: Workspace,
    opened: OpenCollection,
    key: RankingKey,
    held_out: Mapping[str, HeldOut],
    queries: Sequence[QueryRecord],
) -> set[int]:
    """Return the queries that a ranker learned from, or from near-copies of which, as they are judged there now."""
    learned = {query.id for query in queries if str(query.id) in held_out}
    others, number = [query for query in queries if query.id not in learned], key.run_id
    if not held_out or not others or number is None:
        return learned
    with workspace.reading() as session:
        run = storage.training_runs.get(session, number)
        listed = storage.queries.list_all(session, run.collection_id)
    taught = [query for query in listed if str(query.id) in held_out]
    return learned | copies_among(opened, others, taught, workspace.standings(run.label_set_id).qrels())


def _stored(
    workspace: Workspace, opened: OpenCollection, key: RankingKey, queries: Sequence[QueryRecord], depth: int
) -> dict[int, RankedQuery]:
    """Return what a side of a snapshot ranked, but for documents that are no longer there."""
    slug, side = key.stored_side or ("", 0)
    with workspace.reading() as session:
        snapshot = storage.comparisons.find_snapshot(session, slug)
        here = {query.id for query in queries if snapshot and query.collection_id == snapshot.collection_id}
        if snapshot is None or (queries and not here) or side >= len(snapshot.about.get("sides", ())):
            raise NotFoundError("This snapshot does not exist here (any more). Choose another ranking.")
        stored_depth = int(snapshot.about.get("depth", MIN_DEPTH))
        if depth > stored_depth:
            raise InvalidInputError(
                f"The kept comparison “{snapshot.name}” holds the first {stored_depth:,} documents of each ranking; "
                "choose measures that look no deeper."
            )
        found = storage.comparisons.rankings(session, snapshot.id, side, here)
    return {
        query_id: RankedQuery(
            [ScoredDoc(doc_id, score) for doc_id, score in kept.ranking[:depth] if doc_id in opened.corpus],
            "stored",
            kept.is_held_out or kept.is_flattered,
            kept.is_flattered,
        )
        for query_id, kept in found.items()
    }


def _vectors(chosen: Retriever, queries: Sequence[Query], held_out: Sequence[HeldOut | None]) -> Vectors:
    """Return (n, m): the given vectors, and those of the retriever where none is given."""
    open_rows = [row for row, given in enumerate(held_out) if given is None]
    vectors = np.empty((len(queries), chosen.index.embedder.dimension), np.float32)
    for row, given in enumerate(held_out):
        if given is not None:
            vectors[row] = given.vector
    if open_rows:
        vectors[open_rows] = chosen.query_vectors([queries[row] for row in open_rows])
    return vectors


def _query_name(query: QueryRecord, held_out: HeldOut | None, has_words: bool) -> bytes:
    """Return 32 bytes that stand for a query, with what it is searched with if that is given."""
    digest = hashlib.sha256(f"{len(query.text)} {query.text}{query.instruction}".encode("utf-8", "surrogatepass"))
    if held_out is not None:
        digest.update(np.ascontiguousarray(held_out.vector, np.float32).data)
        digest.update(f"{held_out.word_weight}".encode() if has_words else b"")
    return digest.digest()


def _rereading_name(opened: OpenCollection, key: RankingKey) -> str:
    """Return what stands for how the strong model orders what is on top; empty if it does not."""
    if not key.is_reread:
        return ""
    texts = tuple(opened.alignment_texts().doc_ids[:N_SPREAD_TEXTS])
    return f", {N_REREAD} reread weighing {STRONG_WEIGHT} by {texts}"


def _words_name(key: RankingKey, weight: float, depth: int) -> str:
    """Return what stands for how words count; empty if they do not.

    Beside vectors they are counted for some candidates only, and how many that are depends on the depth.
    """
    if not key.has_words and key.base != BM25:
        return ""
    candidates = f"{n_candidates(depth)} weighing {weight}" if key.has_words else "all"
    return f"{candidates}, bm25s {version('bm25s')}, stems of pystemmer {version('pystemmer')}"


def _ranker_name(opened: OpenCollection, without: Retriever, beside: str) -> str:
    """Return 64 digits that stand for everything that decides how queries are ranked, but for the queries.

    Args:
        opened: the collection.
        without: the retriever, words not counted and nothing reread.
        beside: what stands for either; empty for neither.
    """
    adapter, embedders = without.adapter, (without.pair.strong.identity, without.pair.light.identity)
    about = (RANKING_VERSION, opened.corpus.fingerprint, without.index.fingerprint, adapter.views, beside)
    digest = hashlib.sha256(repr((about, [embedder.to_json() for embedder in embedders])).encode())
    arrays = [adapter.weight, adapter.bias]
    if (near := adapter.neighbourhood) is not None:
        arrays += [near.keys, near.values, near.centre, np.array(near.temperature, np.float32)]
    for array in arrays:
        digest.update(np.ascontiguousarray(array, np.float32).data)
    return digest.hexdigest()


HIDDEN = "hidden until you have finished it"  # in place of the numbers of a query


@dataclass(frozen=True, slots=True)
class ComparedResult:
    """One document of one side.

    Attributes:
        doc_id: names it.
        title: may be empty.
        text: without the title.
        rank: its place, from 1.
        score: as in `era.types.ScoredDoc`; scores of two sides are not on one scale.
        grade: what is agreed; None if it is not judged.
        ranks: its place on every side, None below the first 100.
    """

    doc_id: str
    title: str
    text: str
    rank: int
    score: float
    grade: float | None
    ranks: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the rankings of a query.

    Attributes:
        key: of its ranker.
        label: what a person calls that.
        origin: as in `RankedQuery`.
        results: the first ten; none where a snapshot never ranked the query.
        measures: measure -> value for a labelled query, else empty.
    """

    key: RankingKey
    label: str
    origin: Origin
    results: Sequence[ComparedResult]
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class QueryComparison:
    """All rankings of one query.

    Attributes:
        query: whose rankings they are.
        sides: in the order of the view.
        n_shared: how many documents are among the first ten of every side.
        expected: what the last side did for queries that were held out, where it did not learn from this one.
        is_as_aligned: whether the last side, a training run that did not learn from this query, ranks it exactly as the
            aligned ranking does.
        shown: by which marks is shown and measured: `all`, or, where what others say stays hidden, the person's `own`,
            or the `imported` ones of a query that the person has not begun.
    """

    query: QueryRecord
    sides: Sequence[Side]
    n_shared: int
    expected: Expectation | None
    is_as_aligned: bool = False
    is_own_only: bool = False
    shown: Literal["all", "own", "imported"] = "all"


def compare_query(workspace: Workspace, author: str | None, view: ComparisonView) -> QueryComparison:
    """Rank the open query every way; who may still judge it neither sees nor measures by what others say of it.

    Nor does it rank by what has learned from their marks on this very query.

    Raises:
        NotFoundError: if query or ranker do not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    if view.query_id is None:
        raise NotFoundError("Choose a query to lay the rankings of it side by side.")
    record = open_query(workspace, view.collection_id, view.query_id)
    sight = sight_of(workspace, author, view.collection_id, view.label_set_id, [record.id])
    is_in_sample = view.is_in_sample and record.id not in sight.hidden
    opened = workspace.open(view.collection_id)
    grades = sight.grades(record.id, workspace.standings(view.label_set_id).marks_of(record.id))
    depth, ranked = depth_of(view.measures), {}
    for key in view.sides:
        found = rank_queries(workspace, opened, key, [record], depth, is_in_sample)
        ranked[key] = found.get(record.id, RankedQuery((), "stored"))
    places = [_places(ranked[key]) for key in view.sides]
    labels = side_labels(workspace, view)
    last, expected, is_as_aligned = view.sides[-1], None, False
    if last.run_id is not None and not last.is_reread and not ranked[last].is_learned:
        expected = expectation(workspace, opened, last)
        aligned = rank_queries(workspace, opened, last.with_base(ALIGNED), [record], depth)[record.id]
        is_as_aligned = [doc.doc_id for doc in aligned.ranking] == [doc.doc_id for doc in ranked[last].ranking]
    first_tens = ({doc.doc_id for doc in ranked[key].ranking[:DEPTH]} for key in view.sides)
    return QueryComparison(
        query=record,
        sides=[_side(opened, view, key, labels[key], ranked[key], places, grades) for key in view.sides],
        n_shared=len(set.intersection(*first_tens)),
        expected=expected,
        is_as_aligned=is_as_aligned,
        shown="all" if record.id not in sight.hidden else "own" if record.id in sight.begun else "imported",
    )


def _places(ranked: RankedQuery) -> dict[str, int]:
    return {doc.doc_id: rank for rank, doc in enumerate(ranked.ranking[:MIN_DEPTH], start=1)}


def _side(
    opened: OpenCollection,
    view: ComparisonView,
    key: RankingKey,
    label: str,
    ranked: RankedQuery,
    places: Sequence[Mapping[str, int]],
    grades: Mapping[str, float],
) -> Side:
    results = []
    for rank, doc in enumerate(ranked.ranking[:DEPTH], start=1):
        document = opened.corpus[doc.doc_id]
        ranks = tuple(places_of_side.get(doc.doc_id) for places_of_side in places)
        grade = grades.get(doc.doc_id)
        results.append(ComparedResult(doc.doc_id, document.title, document.text, rank, doc.score, grade, ranks))
    measures: dict[str, float] = {}
    if ranked.ranking or ranked.origin != "stored":
        values = evaluate({"query": grades}, {"query": ranked.ranking}, view.measures, view.threshold)
        measures = {measure: by_query["query"] for measure, by_query in values.items() if by_query}
    return Side(key, label, ranked.origin, results, measures)


def unread_of_comparison(workspace: Workspace, view: ComparisonView) -> Unread:
    """Return what is unread on top of the sides that are reread, for the open query and for every judged one.

    Raises:
        NotFoundError: if a ranker does not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    keys = [key.without_rereading() for key in view.sides if key.is_reread]
    opened = workspace.open(view.collection_id)
    if not keys or opened.has_read_all:
        return NOTHING_UNREAD
    judged = workspace.standings(view.label_set_id).qrels()
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, view.collection_id)
    queries = [query for query in listed if query.id in judged or query.id == view.query_id]
    queries.sort(key=lambda query: query.id != view.query_id)
    sides = [rank_queries(workspace, opened, key, queries, MIN_DEPTH, view.is_in_sample) for key in keys]
    rankings = [[doc for side in sides for doc in side[query.id].ranking[:N_REREAD]] for query in queries]
    return unread_in(workspace, view.collection_id, opened, rankings)
