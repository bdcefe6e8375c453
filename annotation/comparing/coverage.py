"""How much of the first ten documents is judged, and which unjudged ones would settle a comparison (pool coverage)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from annotation.comparing.all_queries import N_TO_SETTLE, compare_all, rank_sides, unjudged_on_top
from annotation.comparing.view import ComparisonView
from annotation.judging.review import lay_out_pairs
from annotation.judging.view import Desk
from annotation.ranking.rankers import LIGHT, default_ranker
from annotation.workspace import Workspace
from era.evaluation.incomplete_judgments import is_sampled
from storage.records import JudgmentRole

Why = dict[str, object]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the first ten is judged, averaged over labelled queries, in [0, 1]."""

    n_queries: int
    before: float
    after: float


def coverage(workspace: Workspace, collection_id: int, label_set_id: int) -> Coverage | None:
    """Return how much of the first ten of the light model and of the ranking in use is judged; None without labels.

    Raises:
        NotReadyError: if the embedders are still being loaded.
    """
    best = default_ranker(workspace, collection_id, label_set_id)
    overall = compare_all(workspace, ComparisonView(collection_id, label_set_id, (LIGHT, best), None))
    if overall is None or not overall.queries:
        return None
    before, after = (statistics.fmean(judged) for judged in zip(*(q.judged for q in overall.queries), strict=True))
    return Coverage(len(overall.queries), before, after)


def documents_to_settle(
    workspace: Workspace, author: str | None, view: ComparisonView, limit: int = N_TO_SETTLE
) -> list[tuple[int, str, Why]]:
    """Return (query id, document id, why) of what to judge, the most telling first.

    These are the documents among the first ten of any side that nobody has judged; what the author could not tell, or
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
