"""The comparison screen: the rankings of one query, and what differs over all labelled queries."""

from collections.abc import Collection, Mapping, Sequence

from annotation.collections.page import OpenPage, QueryProgress
from annotation.comparing.measure import (
    Coverage,
    OverallComparison,
    Part,
    PartKind,
    QueryChange,
    extremes,
    shown_order,
)
from annotation.comparing.rank import HIDDEN, QueryComparison, Side
from annotation.comparing.snapshot import measured_then
from annotation.comparing.strong import StrongState
from annotation.comparing.view import ComparisonView
from annotation.judging.queries import query_hash
from annotation.ranking.rankers import (
    ALIGNED,
    BM25,
    LIGHT,
    NOTHING_UNREAD,
    Ranker,
    Unread,
    is_imported,
    labels_of,
    print_keys,
)
from annotation.ui.payloads.judging import query_terms
from annotation.ui.payloads.wording import (
    OVERLAP_MEANINGS,
    Payload,
    chance,
    count,
    effect,
    estimated,
    likely,
    measure_meaning,
    p_value_text,
    page_ids,
)
from era.evaluation.figures import NO_DIFFERENCE, difference, direction, figure, interval, signed
from era.evaluation.figures import change as change_text
from era.evaluation.incomplete_judgments import Bounds
from era.evaluation.measures import COMPARISON_MEASURES
from era.evaluation.overlap import MeanOverlap
from era.evaluation.significance import Difference, PairedDifference
from era.method.reranking import N_REREAD
from storage.records import SnapshotRecord

_SHOWN = {
    "all": "",
    "own": "You have begun to judge this query: until you are done, only your own marks count and show up here, "
    "so that no one else's sway you.",
    "imported": "Others have judged this query, and you may still judge it: what they say stays hidden here until you "
    "are done with it.",
}


def compare_panel(
    page: OpenPage,
    author: str | None,
    rankers: Sequence[Ranker],
    queries: Sequence[QueryProgress],
    view: ComparisonView,
    grade_names: Sequence[str],
    strong: StrongState,
    *,
    may_stop_strong: bool = False,
    unread: Unread = NOTHING_UNREAD,
    one: QueryComparison | None = None,
    overall: OverallComparison | None = None,
    hidden: Collection[int] = (),
    n_looks: int = 0,
    is_pending: bool = False,
    intro: str = "",
    error: str = "",
    tried: str = "",
) -> Payload:
    """Return the comparison screen.

    Args:
        page: the open collection and label set.
        author: who looks; None may not write.
        rankers: every way to rank that can be compared.
        queries: of the collection, as this person may see them.
        view: what is compared.
        grade_names: what the grades 0, 1, ... are called.
        strong: whether the strong model alone can be compared.
        may_stop_strong: whether this person may stop it while it reads.
        unread: what the strong model has to read before all sides can rank.
        one: the open query.
        overall: all labelled queries.
        hidden: those of them whose numbers this person may not see yet.
        n_looks: how many different comparisons over these labels were looked at.
        is_pending: whether `overall` is still being computed.
        intro: what to say first, if anything.
        error: what went wrong, if anything.
        tried: the text of a query that could not be ranked.
    """
    labels = labels_of(rankers, view.sides)
    measured = None
    if overall is not None:
        measured = overall_payload(overall, view, labels, hidden) | {"looks": _looks(n_looks)}
    return {
        "page": page_ids(page),
        "can_write": author is not None,
        "intro": intro,
        "error": error,
        "rankers": [_offered(each) for each in rankers],
        "usual": [ALIGNED.with_words(), LIGHT, BM25],
        "sides": list(view.sides),
        "labels": labels,
        "query_id": view.query_id,
        "queries": [
            {
                "id": q.query.id,
                "text": q.query.text,
                "instruction": q.query.instruction,
                "relevant": q.standing.n_relevant,
            }
            for q in queries
        ],
        "instruction": next((p.query.instruction for p in queries if p.query.id == view.query_id), ""),
        "tried": tried,
        "measures": [[name, measure_meaning(name)] for name in view.measures],
        "measure_names": ", ".join(view.measures),
        "threshold": view.threshold,
        "grades": list(grade_names),
        "is_in_sample": view.is_in_sample,
        "one": one_payload(one) if one else None,
        "overall": "pending" if is_pending else measured,
        "strong": strong_payload(strong, may_stop_strong),
        "n_reread": N_REREAD,
        "unread": unread_payload(unread),
        "url": {
            "collection": page.collection.id,
            "labels": page.label_set.id,
            "query": view.query_id,
            "sides": print_keys(view.sides),
            "measures": None if view.measures == COMPARISON_MEASURES else ", ".join(view.measures),
            "threshold": view.threshold,
            "insample": "1" if view.is_in_sample else None,
        },
    }


def _offered(ranker: Ranker) -> Payload:
    """Return a ranking that can be chosen; `reread` is the same with its top read anew, if that can be."""
    return {
        "key": ranker.key,
        "label": ranker.label,
        "group": ranker.group,
        "reread": ranker.key.with_rereading() if ranker.key.can_be_reread else None,
        "is_run": ranker.key.run_id is not None,
        "is_kept": ranker.key.stored_side is not None,
    }


def strong_payload(strong: StrongState, may_stop: bool) -> Payload:
    """Return whether the strong model alone can be compared."""
    return {"state": strong.state, "text": strong.text, "may_stop": may_stop}


def one_payload(comparison: QueryComparison) -> Payload:
    """Return the rankings of one query."""
    honest = [side.label for side in comparison.sides if side.origin == "held_out"]
    explanation = _expectation(comparison)
    if honest:
        explanation = (
            f"This query taught “{honest[0]}”, so it is ranked here by a version that never saw its marks: "
            "the numbers are what you would get on a new query like it."
        )
    return {
        "query_id": comparison.query.id,
        "query_hash": query_hash(comparison.query),
        "text": comparison.query.text,
        "instruction": comparison.query.instruction,
        "is_part_hidden": comparison.shown != "all",
        "hidden_note": _SHOWN[comparison.shown],
        "explanation": explanation,
        "terms": query_terms(comparison.query.text),
        "n_shared": comparison.n_shared,
        "sides": [_side(side) for side in comparison.sides],
    }


def _expectation(comparison: QueryComparison) -> str:
    """Return what is known of a query that the last side did not learn from: what happened to others, no more."""
    after, expected = comparison.sides[-1].label, comparison.expected
    if comparison.is_as_aligned:
        return f"Nothing was learned from this query, and “{after}” ranks it exactly as the aligned ranking does."
    if expected is None:
        return ""
    said = (
        f"Nothing was learned from this query. Of the {count(expected.n, 'query', 'queries')} that taught “{after}”, "
        f"each ranked by what was learned without it, {expected.n_better:,} became better than in the aligned ranking, "
        f"{expected.n_same:,} stayed and {expected.n_worse:,} became worse"
    )
    if expected.low is None or expected.high is None:
        return f"{said}. That is too few to tell more."
    low, high = interval(expected.low, expected.high)
    return f"{said}; four times out of five the change lies between {low} and {high} nDCG@100."


def _side(side: Side) -> Payload:
    notes = {
        "plain": "",
        "held_out": "ranked by a version that never saw this query's marks",
        "in_sample": "in-sample: ranked by what learned from marks on this query or a near-copy, which flatters it",
        "stored": "as it was kept or brought in"
        if side.results
        else "what was kept or brought in does not rank this query",
    }
    return {
        "key": side.key,
        "label": side.label,
        "note": notes[side.origin],
        "measures": dict(side.measures),
        "results": [
            {
                "rank": row.rank,
                "doc_id": row.doc_id,
                "title": row.title,
                "text": row.text,
                "score": row.score,
                "grade": row.grade,
                "ranks": list(row.ranks),
            }
            for row in side.results
        ],
    }


def overall_payload(
    overall: OverallComparison, view: ComparisonView, labels: Mapping[str, str], hidden: Collection[int]
) -> Payload:
    """Return all labelled queries.

    Args:
        overall: what was measured.
        view: what was compared.
        labels: ranker key -> what a person calls it, for each side.
        hidden: queries whose numbers the person may not see yet; they come last.
    """
    sides = [labels[key] for key in view.sides]
    n_runs = sum(key.run_id is not None for key in view.sides)
    parts = [_part(part, overall.main_measure, sides, "a run" if n_runs > 1 else "the run") for part in overall.parts]
    if overall.n_left_out:
        if not parts:
            title = "No labelled query is ranked on every side"
            parts = [{"kind": "plain", "title": title, "explanation": "", "n": 0, "against": []}]
        parts[0]["explanation"] = f"{parts[0]['explanation']} {_left_out(overall.n_left_out)}".strip()
    return {
        "main": overall.main_measure,
        "rule": _rule(overall) if overall.parts else "",
        "parts": parts,
        "overlaps": [_overlap(place, sides[place], overlap) for place, overlap in enumerate(overall.overlaps, start=1)],
        "overlap_meanings": OVERLAP_MEANINGS,
        "coverage": _coverage(overall.coverage, sides) if overall.coverage else None,
        "hidden_note": _hidden_note(sum(each.query.id in hidden for each in overall.queries)),
        "without_relevant_note": _without_relevant(overall.n_without_relevant),
        "extremes": _extremes(overall, hidden),
        "queries": [
            _hidden(each) if each.query.id in hidden else _query(each, overall.main_measure)
            for each in shown_order(overall, hidden)
        ],
    }


def _looks(n: int) -> str:
    """Return how often has been looked, and what that means; empty before it means anything."""
    if n < 2:
        return ""
    return (
        f"So far {n:,} different comparisons over these labels have been looked at: of 20 that show nothing but "
        "chance, about 1 looks proven."
    )


def _rule(overall: OverallComparison) -> str:
    """Return which measure decides, what its p values are adjusted for, and which tests are none."""
    main = overall.main_measure
    found = [by[main] for part in overall.parts for by in part.differences]
    n_tests = max((each.n_tests for each in found if isinstance(each, PairedDifference)), default=1)
    said = f"{main} decides; the other measures come with their intervals alone."
    if n_tests > 1:
        said += f" It is tested {n_tests} times here, and its p values are adjusted for that."
    if overall.n_tests_learned:
        n = count(overall.n_tests_learned, "query that is", "queries that are")
        them, count_ = ("it", "counts") if overall.n_tests_learned == 1 else ("them", "count")
        said += (
            f" {n} kept for testing {count_} among the others: a compared run learned from {them}, or from a near-copy."
        )
    return said


def _part(part: Part, main: str, sides: Sequence[str], run: str) -> Payload:
    titles: dict[PartKind, tuple[str, str]] = {
        "test": (
            f"Queries kept for testing ({part.n})",
            "No compared run learned from them, so they compare runs cleanly.",
        ),
        "learned": (
            f"Queries {run} learned from, each ranked by a version that had not seen its marks ({part.n})",
            "These numbers are what you would get on new queries like them.",
        ),
        "in_sample": (
            f"IN-SAMPLE: {run} learned from {_these(part.n)}, or from near-copies; the numbers flatter it",
            "They are ranked by what has seen their marks, or those of a query with the same text, nearly the same "
            "meaning or mostly the same relevant documents. Look for mistakes here; never report these numbers.",
        ),
        "unseen": (f"Queries {run} never learned from ({part.n})", ""),
        "plain": (f"All labelled queries ({part.n})", ""),
    }
    title, explanation = titles[part.kind]
    against = [
        _against(place, sides[place], sides[0], differences, main)
        | {
            "estimated": estimated(part.of_judged[place - 1], main) if part.of_judged else "",
            "bounds": _bounds(part.bounds[place - 1], main, sides[place], sides[0]) if part.bounds else "",
        }
        for place, differences in enumerate(part.differences, start=1)
    ]
    return {"kind": part.kind, "title": title, "explanation": explanation, "n": part.n, "against": against}


def _bounds(bounds: Bounds, main: str, label: str, first: str) -> str:
    """Say what is certain, whatever the unjudged documents are; nothing where all are judged."""
    if not bounds.n_unjudged:
        return ""
    low, high = interval(bounds.low, bounds.high)
    open_ = "1 document is" if bounds.n_unjudged == 1 else f"{bounds.n_unjudged:,} documents are"
    said = (
        f"Among the first ten of both, {open_} not judged. If exactly those were relevant that “{first}” ranks higher, "
        f"{main} would differ by {low}; if those that “{label}” ranks higher, by {high}."
    )
    return f"{said} So the order could turn." if bounds.could_turn else f"{said} The order stays."


def _these(n: int) -> str:
    return "this query" if n == 1 else f"these {n:,} queries"


def _against(place: int, label: str, first: str, differences: Mapping[str, Difference], main_measure: str) -> Payload:
    main = differences[main_measure]
    return {
        "side": place,
        "label": label,
        "better": main.n_better,
        "same": main.n_same,
        "worse": main.n_worse,
        "verdict": verdict(main, main_measure, label, first),
        "effect": effect(main.effect_size) if isinstance(main, PairedDifference) else "",
        "rows": [
            {
                "measure": measure,
                "meaning": measure_meaning(measure),
                "before": each.before,
                "after": each.after,
                "difference": each.difference,
                "low": each.low,
                "high": each.high,
                "cells": [*_described(each), *(_tested(each) if measure == main_measure else ("–", "–"))],
            }
            for measure, each in differences.items()
        ],
    }


def _described(found: Difference) -> list[str]:
    """Return before, after, difference and interval as texts."""
    return [
        figure(found.before),
        figure(found.after),
        difference(found.before, found.after),
        "–" if found.low is None or found.high is None else " to ".join(interval(found.low, found.high)),
    ]


def _tested(found: Difference) -> list[str]:
    """Return p value and effect size as texts."""
    if not isinstance(found, PairedDifference):
        return ["–", "–"]
    return [
        p_value_text(found.p_value).removeprefix("= "),
        "–" if found.effect_size is None else signed(found.effect_size),
    ]


def verdict(found: Difference, measure: str, label: str, first: str) -> str:
    """Return in words how a side differs from the first one, and whether that could be chance, where it was tested."""
    could_be_chance = ""
    if isinstance(found, PairedDifference):
        could_be_chance = chance(found.n, found.p_value, found.n_groups, found.n_tests)
    if found.n_better == found.n_worse == 0:
        said = f"“{label}” and “{first}” measure the same in {measure} on every query."
        return said if found.evidence == "enough" else f"{said} {could_be_chance}".strip()
    by, held = difference(found.before, found.after), likely(found.low, found.high, found.n_groups)
    word = "better" if found.after > found.before else "worse"
    said = f"In {measure} “{label}” is {by[1:]} {word} than “{first}” on average{f', {held}' if held else ''}."
    if by == NO_DIFFERENCE:
        equal = f"“{label}” and “{first}” are equally good on average ({measure} {figure(found.after)})"
        said = f"{equal}{f', the difference {held}' if held else ''}."
    return f"{said} {could_be_chance}".strip()


def _left_out(n: int) -> str:
    what = "1 labelled query is" if n == 1 else f"{n:,} labelled queries are"
    return (
        f"{what} left out on every side: what was kept or brought in never ranked "
        f"{'it' if n == 1 else 'them'}, and what was never tried has not failed."
    )


def _without_relevant(n: int) -> str:
    """Return that judged queries count in no measure since nothing counts as relevant to them; empty if all do."""
    if not n:
        return ""
    queries, they = ("1 judged query has", "it counts") if n == 1 else (f"{n:,} judged queries have", "they count")
    return f"{queries} nothing that counts as relevant; {they} in no measure."


def _overlap(place: int, label: str, overlap: MeanOverlap) -> Payload:
    return {
        "side": place,
        "label": label,
        "rbo": overlap.rbo,
        "jaccard": overlap.jaccard,
        "tau": overlap.kendall_tau,
    }


def _coverage(coverage: Coverage, sides: Sequence[str]) -> Payload:
    shares = ", ".join(f"{share:.0%} for “{side}”" for share, side in zip(coverage.judged, sides, strict=True))
    open_ = count(coverage.n_unjudged, "document", "documents")
    return {
        "text": f"Judged of the first ten: {shares}. What is not judged ({open_}) counts as not relevant, except where "
        "drawn documents count for it.",
        "n_documents": coverage.n_documents,
    }


def _extremes(overall: OverallComparison, hidden: Collection[int]) -> Payload:
    """Return the most improved query and the one that got worse most, and what to say if none improved."""
    found, main = extremes(overall, hidden), overall.main_measure
    is_none_better = found.telling is not None and found.improved is None
    return {
        "improved": _query(found.improved, main) if found.improved else None,
        "worsened": _query(found.worsened, main) if found.worsened else None,
        "words": f"No query got better in {main}." if is_none_better else "",
    }


def _query(change: QueryChange, main: str) -> Payload:
    values = change.values[main]
    return {
        "id": change.query.id,
        "text": change.query.text,
        "part": change.part,
        "hidden": "",
        "relevant": change.n_relevant,
        "values": list(values),
        "change": values[-1] - values[0],
        "changes": [change_text(values[0], value) for value in values],
        "kinds": [direction(values[0], value) for value in values],
        "judged": list(change.judged),
        "measures": {measure: list(each) for measure, each in change.values.items()},
    }


def _hidden_note(n: int) -> str:
    if not n:
        return ""
    counted, its, it = ("1 query counts", "its", "it") if n == 1 else (f"{n:,} queries count", "their", "them")
    return (
        f"{counted} in the means without showing {its} own numbers: you may still judge {it}, so what others say stays "
        "hidden until you are done."
    )


def _hidden(change: QueryChange) -> Payload:
    about = {"id": change.query.id, "text": change.query.text, "part": change.part, "hidden": HIDDEN}
    return about | dict.fromkeys(("relevant", "values", "change", "changes", "kinds", "judged", "measures"))


def unread_payload(unread: Unread) -> Payload:
    """Return how many documents are unread, and what reading them takes or costs."""
    return {
        "n": len(unread.doc_ids),
        "n_first": unread.n_first,
        "seconds": unread.seconds,
        "is_paid": unread.costs is not None,
        "n_tokens": unread.costs.n_tokens if unread.costs else 0,
        "dollars": unread.costs.dollars if unread.costs else None,
    }


def snapshots_panel(records: Sequence[SnapshotRecord], droppable: Sequence[str]) -> Payload:
    """Return the list, newest first; `droppable` are the slugs that the person may delete."""
    return {"list": [_line(each, each.slug in droppable) for each in records]}


def _line(record: SnapshotRecord, can_drop: bool) -> Payload:
    return {
        "slug": record.slug,
        "name": record.name,
        "note": record.note,
        "author": record.author,
        "at": record.created_at.isoformat(),
        "sides": [side["label"] for side in record.about["sides"]],
        "n_queries": record.about["n_ranked"] if is_imported(record) else record.about["judgments"]["n_queries"],
        "summary": _summary(record),
        "can_drop": can_drop,
    }


def _summary(record: SnapshotRecord) -> str:
    """Return when it was measured, and the main measure of the first and the last side, part by part."""
    if is_imported(record):
        ranked = count(record.about["n_ranked"], "query", "queries")
        at = f"{record.created_at.day} {record.created_at:%b %Y}"
        learned = "It had learned from them (in sample)." if record.about["is_in_sample"] else ""
        return f"A ranking of {ranked}, brought in on {at}, measured by the marks of today. {learned}".strip()
    overall = record.about["overall"]
    if overall is None:
        return "Kept before anything was judged."
    main = overall["main_measure"]
    parts = []
    for part in overall["parts"]:
        last = part["differences"][-1][main]
        parts.append(f"{figure(last['before'])} → {figure(last['after'])} ({part['n']})")
    return f"{measured_then(record)} {main} {', '.join(parts)}."
