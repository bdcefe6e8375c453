"""One query side by side: what each ranking shows first, where its documents stand elsewhere, what is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from annotation.comparing.facts import side_labels
from annotation.comparing.rankings import Origin, RankedQuery, rank_queries
from annotation.comparing.view import ComparisonView
from annotation.errors import NotFoundError
from annotation.judging.queries import DEPTH, open_query
from annotation.judging.setup import sight_of
from annotation.ranking.rankers import ALIGNED, RankingKey, expectation
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.evaluation.measures import MIN_DEPTH, depth_of, evaluate
from era.method.certainty import Expectation
from storage.records import QueryRecord

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
