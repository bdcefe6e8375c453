"""All judged queries: how the sides measure, what they share, how much of the pool is judged, how often was looked.

The queries that a run learned from and those it never saw are different populations, so no mean ever mixes them. Of
many comparisons over the same labels some look proven by chance alone (multiple testing), so looks are counted.
"""

import hashlib
import json
import logging
import statistics
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import log2
from threading import Lock
from typing import Literal

import numpy as np

import storage.comparisons
import storage.queries
from annotation.comparing.rank import RankedQuery, rank_queries
from annotation.comparing.view import ComparisonView
from annotation.judging.pool import sampled_queries
from annotation.judging.queries import CANNOT_WRITE_NOW, DEPTH
from annotation.judging.review import lay_out_pairs
from annotation.judging.test_queries import kept_for_testing
from annotation.judging.view import Desk
from annotation.ranking.main_measure import MainMeasure
from annotation.ranking.rankers import LIGHT, RankingKey, default_ranker
from annotation.retrieval.open_collection import group_numbers
from annotation.workspace import Workspace
from era.evaluation.figures import direction
from era.evaluation.incomplete_judgments import Bounds, SampledQuery, bound_difference, is_sampled
from era.evaluation.measures import depth_of, evaluate, main_of
from era.evaluation.overlap import MeanOverlap, mean_overlap
from era.evaluation.significance import Difference, PairedDifference, describe_difference, holm
from storage.records import JudgmentRole, QueryRecord

PartKind = Literal["test", "learned", "unseen", "in_sample", "plain"]

N_TO_SETTLE = 8  # documents whose judgment is asked for at once
_JUDGED = "Judged@10"
_ORDER: tuple[PartKind, ...] = ("test", "learned", "in_sample", "unseen", "plain")
_MAX_MEASURED = 8  # comparisons that are remembered


@dataclass(frozen=True, slots=True)
class Part:
    """Queries that are measured together.

    Attributes:
        kind: `test` if kept for testing and unseen by any compared run, `learned` from by a training run and ranked by
            versions that had not seen them, `in_sample` if by those that had, or that had seen a near-copy, `unseen` by
            any run, or `plain` where no run is compared.
        n: queries.
        differences: measure -> difference from the first side, for each further side; the main measure alone is tested,
            and not where rankings are flattered.
        of_judged: the main measure of what is judged, for each further side; empty unless the one in `differences` is
            an estimate, with drawn documents counted for those that were not drawn.
        bounds: between what the difference of the main measure lies, for each further side; empty where rankings are
            flattered.
    """

    kind: PartKind
    n: int
    differences: Sequence[Mapping[str, Difference]]
    of_judged: Sequence[Difference] = ()
    bounds: Sequence[Bounds] = ()


@dataclass(frozen=True, slots=True)
class QueryChange:
    """One labelled query; `values` are measure -> value on every side, `judged` is Judged@10 on every side."""

    query: QueryRecord
    part: PartKind
    n_relevant: int
    values: Mapping[str, tuple[float, ...]]
    judged: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Documents among the first ten of any side that people have not judged.

    Attributes:
        judged: mean Judged@10 of every side.
        n_unjudged: how many there are, over all queries.
        n_documents: how many of them to judge next.
    """

    judged: tuple[float, ...]
    n_unjudged: int
    n_documents: int


@dataclass(frozen=True, slots=True)
class OverallComparison:
    """All labelled queries.

    Attributes:
        parts: groups of queries, never empty ones.
        queries: from the largest gain of the last side over the first to the largest loss.
        overlaps: what each further side shares with the first.
        main_measure: the one that decides.
        coverage: what is not judged; None if all is.
        n_left_out: labelled queries that a stored side never ranked; they count nowhere.
        n_without_relevant: judged queries without a relevant document; they count nowhere either.
        n_tests_learned: queries that are kept for testing and were learned from before, by a compared run, or
            near-copies of which were; they count among the others.
    """

    parts: Sequence[Part]
    queries: Sequence[QueryChange]
    overlaps: Sequence[MeanOverlap]
    main_measure: str
    coverage: Coverage | None
    n_left_out: int = 0
    n_without_relevant: int = 0
    n_tests_learned: int = 0


@dataclass(frozen=True, slots=True)
class RankedSides:
    """Every labelled query that every side ranks.

    Attributes:
        queries: query id -> query.
        qrels: query id -> document id -> grade.
        disputed: (query id, document id) of what judges disagree about.
        sides: query id -> ranking, for each side.
        groups: query id -> its group of near-copies, which is one case.
        sampled: query id -> its judgments, and how documents were drawn for them.
        for_testing: the queries that are kept for testing.
        n_left_out: labelled queries that a stored side never ranked.
        n_without_relevant: judged queries without a relevant document.
    """

    queries: Mapping[int, QueryRecord]
    qrels: Mapping[int, Mapping[str, float]]
    disputed: Set[tuple[int, str]]
    sides: Sequence[Mapping[int, RankedQuery]]
    groups: Mapping[int, int]
    sampled: Mapping[int, SampledQuery]
    for_testing: Set[int]
    n_left_out: int
    n_without_relevant: int


def compare_all(
    workspace: Workspace, view: ComparisonView, qrels: Mapping[int, Mapping[str, float]] | None = None
) -> OverallComparison | None:
    """Measure all sides on every query with a relevant document; None if there is no such query.

    Args:
        workspace: of this process.
        view: the comparison.
        qrels: what is agreed, query id -> document id -> grade; None for what is agreed now.

    Raises:
        NotFoundError: if a ranker does not exist.
        NotReadyError: if the embedders are still being loaded.
        InvalidInputError: if a measure looks deeper than a stored side goes.
    """
    ranked = rank_sides(workspace, view, qrels)
    if ranked is None:
        return None
    kinds, main = _kinds(view, ranked), main_of(view.measures)
    measured = _measured(view, ranked, kinds)
    changes = [
        QueryChange(
            query=query,
            part=kinds[query.id],
            n_relevant=sum(_is_relevant(view, grade) for grade in ranked.qrels[query.id].values()),
            values={measure: measured.values[measure][row] for measure in view.measures},
            judged=measured.values[_JUDGED][row],
        )
        for row, query in enumerate(ranked.queries.values())
    ]
    changes.sort(key=lambda change: change.values[main][0] - change.values[main][-1])
    parts = [
        replace(part, differences=[{name: by[name] for name in view.measures} for by in part.differences])
        for part in measured.parts
    ]
    coverage = _coverage(ranked, changes) if changes else None
    return OverallComparison(
        parts,
        changes,
        measured.overlaps,
        main,
        coverage,
        n_left_out=ranked.n_left_out,
        n_without_relevant=ranked.n_without_relevant,
        n_tests_learned=sum(kinds[query_id] in ("learned", "in_sample") for query_id in ranked.for_testing),
    )


@dataclass(frozen=True, slots=True)
class Extremes:
    """Where to look first, from the first side to the last in the main measure.

    Attributes:
        improved: the query with the largest gain, None if none improved.
        worsened: the query with the largest loss, None if none got worse.
        telling: the improved one, else one that differs, else any; None where there is no query to be shown.
    """

    improved: QueryChange | None
    worsened: QueryChange | None
    telling: QueryChange | None


def extremes(overall: OverallComparison, hidden: Collection[int]) -> Extremes:
    """Return the queries that changed most; those whose rankings are flattered only where there are no others.

    Args:
        overall: the comparison.
        hidden: queries whose numbers the person may not see yet.
    """

    def gain(change: QueryChange) -> float:
        values = change.values[overall.main_measure]
        return values[-1] - values[0]

    shown = [change for change in overall.queries if change.query.id not in hidden]
    honest = [change for change in shown if change.part != "in_sample"] or shown
    honest.sort(key=lambda change: (-gain(change), change.query.id))
    improved = [change for change in honest if direction(0.0, gain(change)) == "better"]
    worsened = [change for change in honest if direction(0.0, gain(change)) == "worse"]
    telling = improved or worsened or honest
    return Extremes(
        improved[0] if improved else None, worsened[-1] if worsened else None, telling[0] if telling else None
    )


def rank_sides(
    workspace: Workspace, view: ComparisonView, qrels: Mapping[int, Mapping[str, float]] | None = None
) -> RankedSides | None:
    """Return the rankings of every query with a relevant document; None if there is no such query.

    Arguments and errors are those of `compare_all`.
    """
    opened = workspace.open(view.collection_id)
    standings = workspace.standings(view.label_set_id)
    qrels = standings.qrels() if qrels is None else qrels
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, view.collection_id)
    labelled = [q for q in listed if any(_is_relevant(view, grade) for grade in qrels.get(q.id, {}).values())]
    if not labelled:
        return None
    depth = depth_of(view.measures)
    sides = [rank_queries(workspace, opened, key, labelled, depth, view.is_in_sample) for key in view.sides]
    queries = {query.id: query for query in labelled if all(query.id in side for side in sides)}
    return RankedSides(
        queries=queries,
        qrels={query_id: qrels[query_id] for query_id in queries},
        disputed=set(standings.conflicts()),
        sides=[{query_id: side[query_id] for query_id in queries} for side in sides],
        groups=group_numbers(opened, queries.values(), qrels),
        sampled=sampled_queries(workspace, view.label_set_id, opened, {q: qrels[q] for q in queries}),
        for_testing=kept_for_testing(workspace, view.label_set_id) & queries.keys(),
        n_left_out=len(labelled) - len(queries),
        n_without_relevant=sum(bool(qrels.get(query.id)) for query in listed) - len(labelled),
    )


def shown_order(overall: OverallComparison, hidden: Collection[int]) -> list[QueryChange]:
    """Return the queries in order, `hidden` ones last and by id: their order would tell of their numbers."""
    told = [change for change in overall.queries if change.query.id not in hidden]
    untold = [change for change in overall.queries if change.query.id in hidden]
    return [*told, *sorted(untold, key=lambda change: change.query.id)]


def unjudged_on_top(ranked: RankedSides, query_id: int) -> dict[str, tuple[int | None, ...]]:
    """Return the documents among the first ten of any side that no one has judged, with their places there."""
    tens = [[doc.doc_id for doc in side[query_id].ranking[:DEPTH]] for side in ranked.sides]
    shown = dict.fromkeys(doc_id for ten in tens for doc_id in ten)
    return {
        doc_id: tuple(ten.index(doc_id) + 1 if doc_id in ten else None for ten in tens)
        for doc_id in shown
        if doc_id not in ranked.qrels[query_id] and (query_id, doc_id) not in ranked.disputed
    }


def _is_relevant(view: ComparisonView, grade: float) -> bool:
    return grade > 0 if view.threshold is None else grade >= view.threshold


def _kinds(view: ComparisonView, ranked: RankedSides) -> dict[int, PartKind]:
    """Return which part each query belongs to."""
    learned = {query_id for side in ranked.sides for query_id, each in side.items() if each.is_learned}
    flattered = {query_id for side in ranked.sides for query_id, each in side.items() if each.is_flattered}
    if not learned and not any(key.run_id is not None for key in view.sides):
        return dict.fromkeys(ranked.queries, "plain")
    kinds: dict[int, PartKind] = dict.fromkeys(ranked.queries, "unseen")
    kinds |= dict.fromkeys(ranked.for_testing, "test")
    kinds |= dict.fromkeys(learned & kinds.keys(), "learned")
    return kinds | dict.fromkeys(flattered & kinds.keys(), "in_sample")


@dataclass(frozen=True, slots=True)
class _Measured:
    """Measure -> value of every query on every side; the parts; what each further side shares with the first."""

    values: Mapping[str, Sequence[tuple[float, ...]]]
    parts: Sequence[Part]
    overlaps: Sequence[MeanOverlap]


_remembered: OrderedDict[bytes, _Measured] = OrderedDict()  # by digest, so that no ranking is held by it
_remembering = Lock()


def _measured(view: ComparisonView, ranked: RankedSides, kinds: Mapping[int, PartKind]) -> _Measured:
    """Measure, or remember: it takes a second for hundreds of queries, and opening another query asks for it again."""
    parts = list(kinds.values()), [ranked.groups[query_id] for query_id in kinds]
    digest = hashlib.sha256(repr((view.measures, view.threshold, parts)).encode())
    for query_id, grades in ranked.qrels.items():
        rankings = [[doc.doc_id for doc in side[query_id].ranking] for side in ranked.sides]
        drawn = ranked.sampled[query_id].samples
        digest.update(repr((sorted(grades.items()), drawn, rankings)).encode("utf-8", "surrogatepass"))
    name = digest.digest()
    with _remembering:
        if name in _remembered:
            _remembered.move_to_end(name)
            return _remembered[name]
    measured = _measure(view, ranked, kinds)
    with _remembering:
        _remembered[name] = measured
        while len(_remembered) > _MAX_MEASURED:
            _remembered.popitem(last=False)
    return measured


def _measure(view: ComparisonView, ranked: RankedSides, kinds: Mapping[int, PartKind]) -> _Measured:
    """Measure rankings; queries are called by their place, since who has the same rankings has the same numbers."""
    measures = tuple(dict.fromkeys((*view.measures, _JUDGED)))
    if not kinds:
        return _Measured({name: [] for name in measures}, [], [])
    runs = [{str(row): each.ranking for row, each in enumerate(side.values())} for side in ranked.sides]
    qrels = {str(row): dict(sorted(grades.items())) for row, grades in enumerate(ranked.qrels.values())}
    by_side = [evaluate(qrels, run, measures, view.threshold) for run in runs]
    groups = {str(row): ranked.groups[query_id] for row, query_id in enumerate(kinds)}
    sampled = {str(row): each for row, each in enumerate(ranked.sampled.values())}
    row_of = {query_id: str(row) for row, query_id in enumerate(ranked.qrels)}
    seen = {(row_of[query_id], doc_id) for query_id, doc_id in ranked.disputed if query_id in row_of}
    main = main_of(view.measures)
    parts = []
    for kind in _ORDER:
        rows = [str(row) for row, each in enumerate(kinds.values()) if each == kind]
        if rows:
            own = [{name: {row: values[name][row] for row in rows} for name in measures} for values in by_side]
            found = [
                {name: describe_difference(own[0][name], side[name], groups) for name in measures} for side in own[1:]
            ]
            part = Part(kind, len(rows), found)
            if kind != "in_sample":
                part_runs = [{row: run[row] for row in rows} for run in runs]
                bounds = [
                    bound_difference(qrels, part_runs[0], run, main, view.threshold, seen) for run in part_runs[1:]
                ]
                measure = MainMeasure.of(
                    main,
                    {key: side[main] for key, side in zip(view.sides, own, strict=True)},
                    dict(zip(view.sides, part_runs, strict=True)),
                    {row: sampled[row] for row in rows},
                    groups,
                )
                part = replace(_tested(part, view.sides, main, measure), bounds=bounds)
            parts.append(part)
    return _Measured(
        values={name: [tuple(values[name][row] for values in by_side) for row in qrels] for name in measures},
        parts=_adjusted_together(parts, main),
        overlaps=[mean_overlap((runs[0][row], run[row]) for row in qrels) for run in runs[1:]],
    )


def _tested(part: Part, sides: Sequence[RankingKey], main: str, measure: MainMeasure) -> Part:
    """Test the main measure, and no other."""
    first, *others = sides
    tests = measure.compare(first, others)
    differences = [{**by, main: test} for by, test in zip(part.differences, tests, strict=True)]
    of_judged = [by[main] for by in part.differences] if measure.estimate else []
    return replace(part, differences=differences, of_judged=of_judged)


def _adjusted_together(parts: Sequence[Part], main: str) -> list[Part]:
    """Adjust p values for all parts that allow a conclusion; those of one part are adjusted for each other already."""
    tested: dict[tuple[int, int], float] = {}  # by number of the part and of the side
    for number, part in enumerate(parts):
        for side, by in enumerate(part.differences):
            test = by[main]
            if isinstance(test, PairedDifference) and test.evidence == "enough":
                tested[number, side] = test.p_value
    adjusted = dict(zip(tested, holm(list(tested.values()), [number for number, _ in tested]), strict=True))

    def told(place: tuple[int, int], found: Difference) -> Difference:
        if place not in adjusted or not isinstance(found, PairedDifference):
            return found
        return replace(found, p_value=adjusted[place], n_tests=len(adjusted))

    return [
        replace(
            part,
            differences=[{**by, main: told((number, side), by[main])} for side, by in enumerate(part.differences)],
        )
        for number, part in enumerate(parts)
    ]


def _coverage(ranked: RankedSides, changes: Sequence[QueryChange]) -> Coverage | None:
    n_unjudged = sum(len(unjudged_on_top(ranked, query_id)) for query_id in ranked.queries)
    if not n_unjudged:
        return None
    judged = tuple(float(mean) for mean in np.mean([change.judged for change in changes], axis=0))
    return Coverage(judged, n_unjudged, min(n_unjudged, N_TO_SETTLE))


Why = dict[str, object]


@dataclass(frozen=True, slots=True)
class JudgedShare:
    """How much of the first ten is judged, averaged over labelled queries, in [0, 1]."""

    n_queries: int
    before: float
    after: float


def coverage(workspace: Workspace, collection_id: int, label_set_id: int) -> JudgedShare | None:
    """Return how much of the first ten of the light model and of the ranking in use is judged; None without labels.

    Raises:
        NotReadyError: if the embedders are still being loaded.
    """
    best = default_ranker(workspace, collection_id, label_set_id)
    overall = compare_all(workspace, ComparisonView(collection_id, label_set_id, (LIGHT, best), None))
    if overall is None or not overall.queries:
        return None
    before, after = (statistics.fmean(judged) for judged in zip(*(q.judged for q in overall.queries), strict=True))
    return JudgedShare(len(overall.queries), before, after)


def documents_to_settle(
    workspace: Workspace, author: str | None, view: ComparisonView, limit: int = N_TO_SETTLE
) -> list[tuple[int, str, Why]]:
    """Return (query id, document id, why) of what to judge, the most telling first.

    These are the documents among the first ten of any side that no one has judged; what the author could not tell, or
    judges disagree about, is left out. A judgment changes the difference between two sides the more, the further apart
    the discounts of the two places are. Where documents of a query were drawn for judging, it enters the estimate once
    all first places of the query are judged: such queries come after the others, one by one, those that lack least
    first. The places themselves are not told: who judges is not to see them before.

    Raises:
        NotFoundError: if a ranker does not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    ranked = rank_sides(workspace, view)
    if ranked is None:
        return []
    standings, found = workspace.standings(view.label_set_id), []
    for query_id in ranked.queries:
        marks = standings.marks_of(query_id)
        said = {mark.doc_id for mark in marks if mark.author == author and mark.role is JudgmentRole.JUDGE}
        open_ = {d: ranks for d, ranks in unjudged_on_top(ranked, query_id).items() if d not in said}
        step = (len(open_), query_id) if is_sampled(ranked.sampled[query_id]) else (0, 0)
        for doc_id, ranks in open_.items():
            order = step, -_difference(ranks), min(rank for rank in ranks if rank is not None)
            found.append((order, query_id, doc_id))
    found.sort(key=lambda each: each[:2])
    return [(query_id, doc_id, {"code": "settle"}) for _, query_id, doc_id in found[:limit]]


def lay_out_coverage(workspace: Workspace, author: str | None, view: ComparisonView) -> Desk:
    """Return the documents that would settle a comparison, as the judging desk shows them.

    Raises:
        NotFoundError: if a ranker does not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    pairs = documents_to_settle(workspace, author, view)
    return lay_out_pairs(workspace, author, view.collection_id, view.label_set_id, "coverage", pairs)


def _difference(ranks: Sequence[int | None]) -> float:
    """Return how far the discount of nDCG (Järvelin and Kekäläinen 2002) on any side is from that on the first one."""
    first, *others = (0.0 if rank is None else 1 / log2(rank + 1) for rank in ranks)
    return max(abs(other - first) for other in others)


logger = logging.getLogger(__name__)


def note_look(workspace: Workspace, author: str | None, view: ComparisonView) -> int:
    """Note that somebody looks at a comparison, and return how many different ones over its labels were looked at.

    Visitors are not counted, nor is anybody while the disk is full or the database locked: looking only reads.
    """
    digest = look_digest(view)
    with workspace.reading() as session:
        is_known = storage.comparisons.is_look_noted(session, view.label_set_id, digest)
        n_noted = storage.comparisons.count_looks(session, view.label_set_id)
    if is_known or author is None:
        return n_noted
    try:
        with workspace.writing() as session:
            storage.comparisons.note_look(session, view.label_set_id, digest)
            return storage.comparisons.count_looks(session, view.label_set_id)
    except CANNOT_WRITE_NOW as error:
        logger.warning("A look at a comparison is not counted: %s", error)
        return n_noted


def look_digest(view: ComparisonView) -> str:
    """Return 64 hexadecimal digits that stand for what is tested: which pairs of sides, by which measure and threshold.

    Which of two sides comes first changes nothing but the sign.
    """
    first, *others = view.sides
    pairs = sorted(sorted((first, other)) for other in others)
    return hashlib.sha256(json.dumps([pairs, main_of(view.measures), view.threshold]).encode()).hexdigest()
