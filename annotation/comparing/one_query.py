"""One query side by side: what each ranking shows first, where its documents stand elsewhere, what is judged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation.comparing.facts import side_labels
from annotation.comparing.rankings import Origin, RankedQuery, rank_queries
from annotation.comparing.views import ComparisonView
from annotation.desk import unfinished_queries
from annotation.errors import NotFoundError
from annotation.library import Library
from annotation.rankers import expectation, is_trained
from annotation.searching import DEPTH, open_query
from annotation.workspace import Workspace
from era.certainty import Expectation
from era.evaluation import MIN_DEPTH, depth_of, evaluate
from era.types import Query
from storage.records import JudgmentRole, QueryRecord, StandingMark

HIDDEN = "hidden until you have finished it"  # in place of the numbers of `hidden_queries`


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

    key: str
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
        expected: what the last side is expected to change against the aligned ranking, for a query it did not learn
            from.
        is_own_only: whether only the person's own marks are shown and measured by, the query being judged still.
    """

    query: QueryRecord
    sides: Sequence[Side]
    n_shared: int
    expected: Expectation | None
    is_own_only: bool = False


def compare_query(workspace: Workspace, author: str | None, view: ComparisonView) -> QueryComparison:
    """Rank the open query every way; who is still judging it sees and measures by the own marks alone.

    Raises:
        NotFoundError: if query or ranker do not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    if view.query_id is None:
        raise NotFoundError("Choose a query to lay the rankings of it side by side.")
    record = open_query(workspace, view.collection_id, view.query_id)
    library = workspace.library(view.collection_id)
    standings = workspace.standings(view.label_set_id)
    is_own_only = bool(hidden_queries(workspace, author, view, [record.id]))
    grades = _own_grades(standings.marks_of(record.id), author) if is_own_only else standings.qrels().get(record.id, {})
    depth, ranked = depth_of(view.measures), {}
    for key in view.sides:
        found = rank_queries(workspace, library, key, [record], depth, view.is_in_sample)
        ranked[key] = found.get(record.id, RankedQuery((), "stored"))
    places = [_places(ranked[key]) for key in view.sides]
    labels = side_labels(workspace, view)
    last, expected = view.sides[-1], None
    if is_trained(last) and not ranked[last].is_learned:
        expected = expectation(workspace, library, last, Query(str(record.id), record.text, record.instruction))
    first_tens = ({doc.doc_id for doc in ranked[key].ranking[:DEPTH]} for key in view.sides)
    return QueryComparison(
        query=record,
        sides=[_side(library, view, key, labels[key], ranked[key], places, grades) for key in view.sides],
        n_shared=len(set.intersection(*first_tens)),
        expected=expected,
        is_own_only=is_own_only,
    )


def _own_grades(marks: Sequence[StandingMark], author: str | None) -> dict[str, float]:
    own = [mark for mark in marks if _is_own(mark, author)]
    return {mark.doc_id: mark.grade for mark in own if mark.grade is not None}


def hidden_queries(
    workspace: Workspace, author: str | None, view: ComparisonView, query_ids: Iterable[int]
) -> set[int]:
    """Return which of these queries a person is still judging that others have graded: no number may tell how."""
    standings = workspace.standings(view.label_set_id)
    unfinished = unfinished_queries(workspace, author, view.collection_id, view.label_set_id, query_ids)
    return {
        query_id
        for query_id in unfinished
        if any(mark.grade is not None and not _is_own(mark, author) for mark in standings.marks_of(query_id))
    }


def _is_own(mark: StandingMark, author: str | None) -> bool:
    return mark.author == author and mark.role is JudgmentRole.JUDGE


def _places(ranked: RankedQuery) -> dict[str, int]:
    return {doc.doc_id: rank for rank, doc in enumerate(ranked.ranking[:MIN_DEPTH], start=1)}


def _side(
    library: Library,
    view: ComparisonView,
    key: str,
    label: str,
    ranked: RankedQuery,
    places: Sequence[Mapping[str, int]],
    grades: Mapping[str, float],
) -> Side:
    results = []
    for rank, doc in enumerate(ranked.ranking[:DEPTH], start=1):
        document = library.corpus[doc.doc_id]
        ranks = tuple(places_of_side.get(doc.doc_id) for places_of_side in places)
        grade = grades.get(doc.doc_id)
        results.append(ComparedResult(doc.doc_id, document.title, document.text, rank, doc.score, grade, ranks))
    measures: dict[str, float] = {}
    if ranked.ranking or ranked.origin != "stored":
        values = evaluate({"query": grades}, {"query": ranked.ranking}, view.measures, view.threshold)
        measures = {measure: by_query["query"] for measure, by_query in values.items() if by_query}
    return Side(key, label, ranked.origin, results, measures)
