"""Put two rankings of the same queries side by side, and measure them on the labelled ones.

A query that a training run learned from is ranked by the adapter of the fold that did not see it, so that no number
flatters the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import storage.queries
from annotation.desk import unfinished_queries
from annotation.library import Library
from annotation.rankers import expectation, retriever
from annotation.searching import DEPTH, Result, open_query
from annotation.workspace import Workspace
from era.certainty import Expectation
from era.embedders import Vectors
from era.evaluation import MEASURES, PairedDifference, evaluate, paired_difference
from era.retriever import Retriever
from era.types import Query, ScoredDoc
from storage.records import JudgmentRole, QueryRecord

_DEPTH = 100  # measured, and followed to say from where a document came


@dataclass(frozen=True, slots=True)
class ComparedResult:
    """One document of one side; `other_rank` is its place on the other side, None below the first 100."""

    result: Result
    grade: float | None
    other_rank: int | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two rankings of a query.

    Attributes:
        results: the first ten.
        measures: measure -> value for a labelled query, else empty.
        is_held_out: whether it comes from an adapter that never saw this query's labels, although the run has.
    """

    results: list[ComparedResult]
    measures: Mapping[str, float]
    is_held_out: bool


@dataclass(frozen=True, slots=True)
class QueryComparison:
    """Both rankings of one query.

    Attributes:
        query: whose rankings they are.
        before: the one side.
        after: the other side.
        n_shared: how many of the first ten they share.
        expected: what `after` is expected to change against the aligned ranking, for a query it did not learn from.
    """

    query: QueryRecord
    before: Side
    after: Side
    n_shared: int
    expected: Expectation | None


@dataclass(frozen=True, slots=True)
class QueryChange:
    """One labelled query in the overall table; values are nDCG@10."""

    query: QueryRecord
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class OverallComparison:
    """All labelled queries: `differences` by measure, and the queries from the largest gain to the largest loss."""

    differences: Mapping[str, PairedDifference]
    changes: Sequence[QueryChange]


def compare_query(
    workspace: Workspace,
    author: str | None,
    collection_id: int,
    label_set_id: int,
    before: str,
    after: str,
    query_id: int,
) -> QueryComparison:
    """Rank one query both ways; who is still judging it sees and measures by the own marks alone.

    Raises:
        NotFoundError: if query or ranker do not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    record = open_query(workspace, collection_id, query_id)
    library = workspace.library(collection_id)
    standings = workspace.standings(label_set_id)
    grades = standings.qrels().get(query_id, {})
    if unfinished_queries(workspace, author, collection_id, label_set_id, [query_id]):
        own = [m for m in standings.marks_of(query_id) if m.author == author and m.role is JudgmentRole.JUDGE]
        grades = {mark.doc_id: mark.grade for mark in own if mark.grade is not None}
    query = Query(str(record.id), record.text, record.instruction)
    rankings, held_out = {}, {}
    for key in dict.fromkeys((before, after)):
        chosen, vectors = retriever(workspace, library, key)
        rankings[key] = _rank(chosen, vectors, [query])[query.query_id]
        held_out[key] = query.query_id in vectors
    expected = None if held_out[after] else expectation(workspace, library, after, query)
    return QueryComparison(
        record,
        _side(library, query.query_id, rankings[before], rankings[after], grades, held_out[before]),
        _side(library, query.query_id, rankings[after], rankings[before], grades, held_out[after]),
        len({d.doc_id for d in rankings[before][:DEPTH]} & {d.doc_id for d in rankings[after][:DEPTH]}),
        expected,
    )


def compare_all(
    workspace: Workspace, collection_id: int, label_set_id: int, before: str, after: str
) -> OverallComparison | None:
    """Measure both rankings on every query with a relevant document; None if there is no such query."""
    library = workspace.library(collection_id)
    qrels = {str(query_id): judged for query_id, judged in workspace.standings(label_set_id).qrels().items()}
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, collection_id)
    relevant = {query_id for query_id, judged in qrels.items() if any(grade > 0 for grade in judged.values())}
    labelled = {str(query.id): query for query in listed if str(query.id) in relevant}
    if not labelled:
        return None
    queries = [Query(key, record.text, record.instruction) for key, record in labelled.items()]
    values = {}
    for key in dict.fromkeys((before, after)):
        chosen, vectors = retriever(workspace, library, key)
        values[key] = evaluate(qrels, _rank(chosen, vectors, queries))
    changes = [
        QueryChange(record, values[before]["nDCG@10"][key], values[after]["nDCG@10"][key])
        for key, record in labelled.items()
    ]
    changes.sort(key=lambda change: change.before - change.after)
    return OverallComparison(
        {measure: paired_difference(values[before][measure], values[after][measure]) for measure in MEASURES},
        changes,
    )


def _rank(chosen: Retriever, held_out: Mapping[str, Vectors], queries: Sequence[Query]) -> dict[str, list[ScoredDoc]]:
    """Return the rankings, each labelled query by the vector of adapters that did not see its labels."""
    vectors = chosen.query_vectors(queries)
    rows = [held_out.get(query.query_id, vectors[i]) for i, query in enumerate(queries)]
    rankings = chosen.rank(queries, np.ascontiguousarray(rows, dtype=np.float32), _DEPTH)
    return {query.query_id: ranking for query, ranking in zip(queries, rankings, strict=True)}


def _side(
    library: Library,
    query_id: str,
    ranking: list[ScoredDoc],
    other: list[ScoredDoc],
    grades: Mapping[str, float],
    is_held_out: bool,
) -> Side:
    other_ranks = {doc.doc_id: rank for rank, doc in enumerate(other, start=1)}
    results = []
    for rank, doc in enumerate(ranking[:DEPTH], start=1):
        document = library.corpus[doc.doc_id]
        result = Result(rank, doc.doc_id, document.title, document.text, doc.score)
        results.append(ComparedResult(result, grades.get(doc.doc_id), other_ranks.get(doc.doc_id)))
    values = evaluate({query_id: grades}, {query_id: ranking})
    measures = {measure: by_query[query_id] for measure, by_query in values.items() if query_id in by_query}
    return Side(results, measures, is_held_out)
