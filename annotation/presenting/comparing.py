"""The comparison screen: two rankings of one query, and what changed over all labelled queries."""

from collections.abc import Sequence

from annotation.comparing import OverallComparison, QueryComparison, Side
from annotation.opening import OpenPage, QueryProgress
from annotation.presenting.wording import (
    MEASURE_MEANINGS,
    MEASURE_NAMES,
    Payload,
    chance,
    named,
    nonce,
    p_value_text,
    page_ids,
)
from annotation.rankers import Ranker
from era.certainty import Expectation
from era.evaluation import PairedDifference

COLUMN_MEANINGS = {
    "95 % interval": "If the same was done with other queries of this kind, the difference would lie in here 95 times "
    "out of 100 (percentile bootstrap)",
    "p": "How often a difference at least this large would come about by chance alone (paired randomisation test)",
}


def compare_panel(
    page: OpenPage,
    rankers: Sequence[Ranker],
    queries: Sequence[QueryProgress],
    before: str,
    after: str,
    query_id: int | None,
    comparison: QueryComparison | None = None,
    overall: OverallComparison | None = None,
    is_pending: bool = False,
    error: str = "",
    tried: str = "",
) -> Payload:
    """Return the comparison screen; `is_pending` while the overall measures are still being computed."""
    labels = {ranker.key: ranker.label for ranker in rankers}
    return {
        "nonce": nonce(),
        "page": page_ids(page),
        "intro": "",
        "error": error,
        "rankers": [{"key": r.key, "label": r.label} for r in rankers],
        "before": before,
        "after": after,
        "query_id": query_id,
        "queries": [{"id": p.query.id, "text": p.query.text, "relevant": p.standing.n_relevant} for p in queries],
        "instruction": next((p.query.instruction for p in queries if p.query.id == query_id), ""),
        "tried": tried,
        "measures": [[name, MEASURE_MEANINGS[name]] for name in MEASURE_NAMES.values()],
        "column_meanings": COLUMN_MEANINGS,
        "comparison": _comparison(comparison, labels.get(before, before), labels.get(after, after))
        if comparison
        else None,
        "overall": "pending" if is_pending else _overall(overall) if overall else None,
        "url": {
            "collection": page.collection.id,
            "labels": page.label_set.id,
            "query": query_id,
            "before": before,
            "after": after,
        },
    }


def _comparison(comparison: QueryComparison, before: str, after: str) -> Payload:
    honest = [name for name, side in ((before, comparison.before), (after, comparison.after)) if side.is_held_out]
    explanation = ""
    if honest:
        explanation = (
            f"This query taught “{honest[0]}”, so it is ranked here by a version that never saw its marks: "
            "the numbers are what you would get on a new query like it."
        )
    return {
        "text": comparison.query.text,
        "instruction": comparison.query.instruction,
        "explanation": explanation or _expectation(comparison.expected, after),
        "n_shared": comparison.n_shared,
        "before": _side(comparison.before),
        "after": _side(comparison.after),
    }


def _expectation(expected: Expectation | None, after: str) -> str:
    if expected is None:
        return ""
    return (
        f"Nothing was learned from this query. “{after}” is better here than the aligned ranking with a probability of "
        f"{expected.probability:.0%}; expected change {expected.change:+.2f} nDCG@100 (as nDCG@10, over the first "
        f"hundred), four times out of five between {expected.low:+.2f} and {expected.high:+.2f}. So say the "
        f"{expected.n} labelled queries, each ranked without its own marks, those like this one counting most."
    )


def _side(side: Side) -> Payload:
    return {
        "measures": named(side.measures),
        "results": [
            {
                "rank": row.result.rank,
                "doc_id": row.result.doc_id,
                "title": row.result.title,
                "text": row.result.text,
                "score": row.result.score,
                "grade": row.grade,
                "other_rank": row.other_rank,
            }
            for row in side.results
        ],
    }


def _overall(overall: OverallComparison) -> Payload:
    main = overall.differences["nDCG@10"]
    judged = overall.differences["Judged@10"]
    coverage = ""
    if abs(judged.difference) > 0.05:
        fewer = "before" if judged.difference > 0 else "after"
        coverage = (
            f"Of the first ten, {judged.before:.0%} are judged before and {judged.after:.0%} after. Unjudged documents "
            f"count as not relevant, so “{fewer}” may be better than measured: judge more of its first ten."
        )
    return {
        "n": main.n,
        "n_better": main.n_better,
        "n_same": main.n_same,
        "n_worse": main.n_worse,
        "verdict": _verdict(main),
        "coverage": coverage,
        "rows": [
            {
                "measure": MEASURE_NAMES[measure],
                "meaning": MEASURE_MEANINGS[MEASURE_NAMES[measure]],
                "before": d.before,
                "after": d.after,
                "difference": d.difference,
                "low": d.low,
                "high": d.high,
                "p": p_value_text(d.p_value).removeprefix("= "),
            }
            for measure, d in overall.differences.items()
        ],
        "queries": [
            {
                "id": change.query.id,
                "text": change.query.text,
                "before": change.before,
                "after": change.after,
                "change": round(change.after - change.before, 4),
            }
            for change in overall.changes
        ],
    }


def _verdict(difference: PairedDifference) -> str:
    if difference.n_better == difference.n_worse == 0:
        return "Both rankings measure the same on every labelled query."
    direction = "better" if difference.difference > 0 else "worse"
    return (
        f"In nDCG@10 “after” is {abs(difference.difference):.3f} {direction} on average, likely between "
        f"{difference.low:+.3f} and {difference.high:+.3f}. {chance(difference.n, difference.p_value)}"
    )
