"""The training screen: what there is to learn from, progress, gains, and the training runs so far."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from annotation.collections.page import OpenPage
from annotation.labels.current import LabelCounts
from annotation.ranking.rankers import (
    ALIGNED,
    LIGHT,
    Ranker,
    RankingKey,
    chosen_key,
    measured_key,
    ranking_label,
    run_key,
    run_label,
)
from annotation.training.start import FIRST_TRAINING, RECIPES, CurveProgress, Outlook
from annotation.training.train import MAIN_MEASURE, RANKINGS, SHARES
from annotation.ui.payloads.judging import offered_ranker
from annotation.ui.payloads.wording import (
    Payload,
    cases,
    chance,
    count,
    documents_in_words,
    estimated,
    labels_in_words,
    likely,
    measure_meaning,
    page_ids,
)
from era.evaluation.figures import NO_DIFFERENCE, difference, figure, rounded
from era.evaluation.measures import MEASURES
from era.evaluation.significance import MIN_FOR_VERDICT, Difference, evidence_of
from storage.records import JobState, TrainingRunRecord

_PARTS = {"light": "the light model’s vectors", "neighbours": "documents that the strong model finds similar"}
_WORDS = {
    0.0: "do not count",
    0.1: "count a fifth",
    0.25: "count half",
    1.0: "count double",
    2.0: "count four times",
}
_TIMES = {0.0: "no longer count", 0.5: "count half", 2.0: "count double", 4.0: "count four times"}
_DAMAGED = (
    "Its saved adapter is damaged and cannot rank. Your marks are not affected: open this run and choose “Again with "
    "the same labels”."
)
_UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)
_RESUMABLE = (JobState.INTERRUPTED, JobState.CANCELLED, JobState.FAILED)


def train_panel(
    page: OpenPage,
    author: str | None,
    outlook: Outlook,
    runs: Sequence[TrainingRunRecord],
    device: str | None,
    in_use: str,
    usable: Sequence[Ranker],
    places: Mapping[int, int],
    curve: CurveProgress | None = None,
    error: str = "",
    is_answer: bool = False,
    fixed: Mapping[int, str] | None = None,
    why_no_choice: str = "",
    why_no_testing: str = "",
    damaged: Collection[int] = (),
) -> Payload:
    """Return the training screen; polled ones are equal for equal states, so nothing is redrawn.

    Args:
        page: which collection and label set.
        author: who looks; None if no one is signed in where that is needed.
        outlook: what there is to learn from.
        runs: of the collection, newest first.
        device: what training is done on; None until that is known.
        in_use: ranker key that is taken where no other is chosen.
        usable: every ranking that may be put in use.
        places: place in line by run id; 1 comes next.
        curve: the learning curve under way, if any.
        error: to be shown.
        is_answer: whether a person asked, so that the page has to notice.
        fixed: why the person may not cancel, name, delete, ... a run, by its id; empty where they may.
        why_no_choice: why the person may not choose which ranking is used; empty if they may.
        why_no_testing: why the person may not choose which queries are kept for testing; empty if they may.
        damaged: ids of the runs whose saved adapter was found damaged.
    """
    own = [run for run in runs if run.label_set_id == page.label_set.id]
    finished = [run for run in own if run.state is JobState.FINISHED]
    under_way = [run for run in runs if run.state in _UNDER_WAY]
    active = min(under_way, key=lambda run: (run.state is not JobState.RUNNING, places.get(run.id, 0)), default=None)
    of_curve = next((run for run in runs if curve is not None and run.id == curve.training_run_id), None)
    return {
        "is_answer": is_answer,
        "page": page_ids(page),
        "can_write": author is not None,
        "intro": ""
        if runs
        else "Training teaches the ranking what your marks have in common. The documents are not read again.",
        "error": error,
        "outlook": {
            "labels": labels_in_words(outlook.counts),
            "without_relevant": _without_relevant(outlook.counts),
            "advice": outlook.advice,
            "can_train": outlook.can_train,
            "n_labelled": outlook.counts.n_labelled,
            "n_first": FIRST_TRAINING,
            "usual_seconds": outlook.usual_seconds,
            "testing": _testing(outlook, why_no_testing),
        },
        "device": device,
        "recipes": [[name, words] for name, words in RECIPES.items()],
        "measures": [[name, measure_meaning(name)] for name in MEASURES],
        "why_no_choice": why_no_choice,
        "fixed": {str(run_id): why for run_id, why in (fixed or {}).items() if why},
        "active": _active(active, places) if active else _active_curve(of_curve, curve) if of_curve and curve else None,
        "waiting": [
            {"id": run.id, "number": run.number, "place": place_in_line(places.get(run.id, 0))}
            for run in sorted(under_way, key=lambda run: places.get(run.id, 0))
            if run.state is JobState.QUEUED and run is not active
        ],
        "latest": _gain(finished[0], in_use, outlook) if finished and not active else None,
        "in_use": _in_use(in_use, usable, runs, finished),
        "runs": [
            _run_row(run, page, in_use, places, run.id in damaged)
            for run in sorted(runs, key=lambda run: not run.is_pinned)
        ],
    }


def _without_relevant(counts: LabelCounts) -> str:
    """Return that judged queries without a relevant document count nowhere; empty if there is none."""
    n = counts.n_queries - counts.n_labelled
    if not n:
        return ""
    if n == 1:
        return "1 judged query has nothing relevant; it teaches nothing and counts in no measure."
    return f"{n:,} judged queries have nothing relevant; they teach nothing and count in no measure."


def place_in_line(place: int) -> str:
    """Return `next in line`, `2nd in line` and so on; empty for what does not wait."""
    if place < 1:
        return ""
    return "next in line" if place == 1 else f"{_ordinal(place)} in line"


def _ordinal(n: int) -> str:
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"


def _testing(outlook: Outlook, why_not: str) -> Payload:
    """Return what is kept for testing, and what the person may do about it."""
    words = ""
    if outlook.n_for_testing:
        words = f"{outlook.n_to_learn_from:,} to learn from, {outlook.n_for_testing:,} kept for testing."
        if evidence_of(outlook.n_for_testing) != "enough":
            words += f" From {MIN_FOR_VERDICT} on, Compare says whether what they show could be chance."
    elif outlook.can_keep_some:
        words = "A quarter of them can be kept for testing: no run learns from these, so they compare runs cleanly."
    return {
        "words": words,
        "can_keep": outlook.can_keep_some,
        "can_release": outlook.n_for_testing > 0,
        "why_not": why_not,
    }


def run_name(run: TrainingRunRecord) -> str:
    """Return what a list calls a training run: its number, and its name if it has one."""
    return f"run {run.number} “{run.name}”" if run.name else f"run {run.number}"


def _in_use(
    key: str, usable: Sequence[Ranker], runs: Sequence[TrainingRunRecord], finished: Sequence[TrainingRunRecord]
) -> Payload:
    """Return what is in use, why, and what else there is to choose from; `finished` are of this label set."""
    names: dict[str, str] = {run_key(run): f" “{run.name}”" for run in runs if run.name}
    labels: dict[str, str] = {each.key: each.label + names.get(each.key.base, "") for each in usable}
    choosing = (run for run in finished if run_key(run) in labels and run.measures and run.measures.get("choice"))
    last = next(choosing, None)  # the newest run that compared rankings with each other
    values = _values(last) if last else {}
    return {
        "key": key,
        "label": labels[key],
        "ranker": offered_ranker(next(each for each in usable if each.key == key)),
        "reason": _reason(key, labels, last, values) if last else "",
        "better_than": [other for other in labels if _is_better(key, other, values)],
        "choices": [
            [each, labels[each] + (f" · {figure(values[each])}" if each in values else "")]
            for each in sorted(labels, key=lambda each: each not in values)
        ],
    }


def _values(last: TrainingRunRecord) -> dict[str, float]:
    """Return ranker key -> what a run measured of it, on queries that it had not seen."""
    means = (last.measures or {})["means"]
    return {measured_key(last, name): means[name][MAIN_MEASURE] for name in RANKINGS if name in means}


def _is_better(key: str, other: str, values: Mapping[str, float]) -> bool:
    """Return whether a ranking is known to be better than another one; an earlier run gives way to a measured one.

    Until something was measured here, aligned goes for better than light, as on the collections of the benchmarks.
    """
    if not values:
        return (RankingKey(key).base, other) == (ALIGNED, LIGHT)
    if key not in values:
        return False
    if other in values:
        return rounded(values[key]) > rounded(values[other])
    runs = RankingKey(key).run_id, RankingKey(other).run_id
    return None not in runs and runs[0] != runs[1]


def _reason(key: str, labels: Mapping[str, str], last: TrainingRunRecord, values: Mapping[str, float]) -> str:
    """Return why a ranking is in use, or what the last run found best where people chose another one."""
    measures, best = last.measures or {}, chosen_key(last) or ""
    if key == best:
        return str(measures["choice"]["reason"])
    found = f"“{labels[best]}” with {figure(values[best])}"
    if key not in values:
        return f"Run {last.number} found another one best: {found} in {MAIN_MEASURE}."
    return (
        f"On your {count(measures['n'], 'query', 'queries')} it ranks with {MAIN_MEASURE} {figure(values[key])}; "
        f"the best was {found}."
    )


def _active(run: TrainingRunRecord, places: Mapping[int, int]) -> Payload:
    seconds = (run.heartbeat_at - run.started_at).total_seconds() if run.started_at and run.heartbeat_at else 0.0
    return {
        "kind": "training",
        "id": run.id,
        "number": run.number,
        "state": run.state.value,
        "stage": run.stage if run.stage in SHARES else next(iter(SHARES)),
        "fraction": run.fraction,
        "message": run.message,
        "seconds": seconds,
        "is_cancel_requested": run.is_cancel_requested,
        "place": place_in_line(places.get(run.id, 0)),
    }


def _active_curve(run: TrainingRunRecord, curve: CurveProgress) -> Payload:
    return {
        "kind": "curve",
        "id": run.id,
        "number": run.number,
        "state": "running",
        "stage": "",
        "fraction": curve.fraction,
        "message": curve.detail,
        "seconds": curve.seconds,
        "is_cancel_requested": not run.wants_curve,
        "place": "",
    }


def _gain(run: TrainingRunRecord, in_use: str, outlook: Outlook) -> Payload:
    """Return what the newest run came to: one set of figures, all against the light model alone."""
    measures = run.measures or {}
    total, n = measures["from_light"], measures["n"]
    before, after = total["before"], total["after"]
    change = difference(before, after)
    is_equal = change == NO_DIFFERENCE
    word = "No difference" if is_equal else "Gained" if after > before else "Lost"
    sentences = [
        f"With your marks: {_counts(total)}. {chance(n, total['p_value'], _n_groups(total))}",
        _steps(measures),
        estimated(Difference(**measures["of_judged"]), MAIN_MEASURE) if measures.get("of_judged") else "",
        _gate(measures),
        blend_sentence(measures["report"].get("blend", {}), measures["report"].get("word_weight")),
        _looks(outlook),
        run.message,
    ]
    return {
        "number": run.number,
        "key": _key(run),
        "label": run_label(run),
        "n": n,
        "n_better": total["n_better"],
        "n_same": total["n_same"],
        "n_worse": total["n_worse"],
        "verdict": verdict_of(total),
        "n_missing": max(MIN_FOR_VERDICT - _n_groups(total), 0),
        "measure": MAIN_MEASURE,
        "stages": [
            {"name": name, "value": measures["means"][key][MAIN_MEASURE]}
            for name, key in (
                ("light", "light"),
                ("aligned", measures.get("aligned", "aligned")),
                ("marks", measures.get("after", "after")),
            )
        ],
        "ends": None if total["low"] is None else [before + total["low"], before + total["high"]],
        "headline": f"{word} on queries it had not seen: {MAIN_MEASURE} {figure(before)} → {figure(after)}"
        + ("" if is_equal else f" ({change})"),
        "sentences": [sentence for sentence in sentences if sentence],
        "rankings": _rankings(run, in_use),
    }


def verdict_of(total: Mapping[str, Any]) -> str:
    """Return in one word what a run came to against the light model alone: help, hurt, none or unsure."""
    if difference(total["before"], total["after"]) == NO_DIFFERENCE:
        return "none"
    if evidence_of(_n_groups(total)) != "enough" or total["p_value"] >= 0.05:
        return "unsure"
    return "help" if total["after"] > total["before"] else "hurt"


def _key(run: TrainingRunRecord) -> str:
    """Return the key of the ranking that is told about; earlier versions told about vectors alone."""
    return measured_key(run, (run.measures or {}).get("after", "after"))


def _looks(outlook: Outlook) -> str:
    """Return how many runs there were on these labels, and what that means; empty for the first one."""
    if outlook.n_trained < 2:
        return ""
    clean = "; the queries kept for testing stay a clean check" if outlook.n_for_testing else ""
    return (
        f"This is the {_ordinal(outlook.n_trained)} run on these labels: the best of several looks a little better "
        f"than it is, and of 20 that change nothing about 1 looks proven{clean}."
    )


def _steps(measures: Mapping[str, Any]) -> str:
    """Return how the whole difference adds up."""
    names = ("light", measures.get("aligned", "aligned"), measures.get("after", "after"))
    light, aligned, after = (measures["means"][name][MAIN_MEASURE] for name in names)
    with_words = ", counting matching words" if RankingKey(names[1]).has_words else ""
    with_words += " and reading what is on top" if RankingKey(names[1]).is_reread else ""
    steps = [
        f"{words}, {figure(start)} → {figure(end)} ({difference(start, end)})"
        for words, start, end in (
            (f"Aligning the two models{with_words}, which needs no marks", light, aligned),
            ("your marks", aligned, after),
        )
    ]
    doubt, by_marks = "", measures["from_aligned"]
    n_groups = _n_groups(by_marks)
    is_proven = by_marks["p_value"] < 0.05 and evidence_of(n_groups) == "enough"
    if difference(aligned, after) != NO_DIFFERENCE and not is_proven:
        doubt = f" The second step could be chance with {cases(measures['n'], n_groups).removesuffix(',')}."
    return f"{'; '.join(steps)}.{doubt}"


def _gate(measures: Mapping[str, Any]) -> str:
    """Return why what was learned was kept or not.

    Earlier runs that kept it counted queries here, by another measure and against another baseline: no sentence then.
    """
    report = measures["report"]
    is_counting = report["is_changed"] and "others_from_light" not in measures
    return "" if is_counting else str(report["reason"])


def _rankings(run: TrainingRunRecord, in_use: str) -> list[Payload]:
    """Return the figures of each ranking that was measured, the light model alone first."""
    measures = run.measures or {}
    means, own = measures["means"], run_label(run)
    names = {"light": "Light model", "aligned": "Aligned, no labels", "after": own[0].upper() + own[1:]}
    measured = {name: RankingKey(name) for name in RANKINGS if name in means}
    against_light = {measures.get("after", "after"): measures["from_light"], **measures.get("others_from_light", {})}
    return [
        {
            "label": ranking_label(key, names[key.base]),
            "figures": [figure(means[name][measure]) for measure in MEASURES],
            "title": _counts(against_light[name]) if name in against_light else "",
            "is_in_use": bool(measures.get("choice")) and measured_key(run, name) == in_use,
        }
        for name, key in measured.items()
    ]


def _counts(total: Mapping[str, Any]) -> str:
    held = likely(total["low"], total["high"], _n_groups(total))
    return (
        f"{total['n_better']} better, {total['n_same']} same, {total['n_worse']} worse than the light model alone in "
        f"{MAIN_MEASURE}{f'; the difference is {held}' if held else ''}"
    )


def _n_groups(total: Mapping[str, Any]) -> int:
    """Return how many independent queries a difference is about; runs of earlier versions counted every query."""
    return int(total.get("n_groups") or total["n_better"] + total["n_same"] + total["n_worse"])


def blend_sentence(factors: Mapping[str, float], word_weight: float | None = None) -> str:
    """Return in words how the marks made the parts of a query count; empty if they count as before any mark."""
    parts = [
        f"{_PARTS[view]} {_TIMES[factor]}" for view, factor in factors.items() if view in _PARTS and factor in _TIMES
    ]
    parts += [f"matching words {_WORDS[word_weight]}"] if word_weight in _WORDS else []
    *first, last = parts or [""]
    return f"By your marks {' and '.join(filter(None, (', '.join(first), last)))}." if parts else ""


def _run_row(
    run: TrainingRunRecord, page: OpenPage, in_use: str, places: Mapping[int, int], is_damaged: bool
) -> Payload:
    total = (run.measures or {}).get("from_light")
    is_finished = run.state is JobState.FINISHED
    return {
        "id": run.id,
        "number": run.number,
        "key": _key(run),
        "name": run.name,
        "note": run.note,
        "at": run.created_at.isoformat(),
        "labels": count(run.n_queries, "query", "queries"),
        "labels_title": f"{documents_in_words(run.n_relevant, run.n_not_relevant)}; by {run.author}; "
        f"seed {run.seed}; on {run.device or 'no device yet'}; labels {run.snapshot_hash[:8]}",
        "recipe": run.recipe,
        "change": f"{figure(total['before'])} → {figure(total['after'])}" if total else "",
        "state": run.state.value,
        "in_use": is_finished and run.id == RankingKey(in_use).run_id,
        "remark": _DAMAGED if is_damaged else _remark(run),
        "place": place_in_line(places.get(run.id, 0)),
        "is_pinned": run.is_pinned,
        "is_archived": run.is_archived,
        "is_of_label_set": run.label_set_id == page.label_set.id,
        "can_resume": run.state in _RESUMABLE,
        "has_curve": run.curve is not None,
        "wants_curve": run.wants_curve,
    }


def _remark(run: TrainingRunRecord) -> str:
    if run.state is JobState.FAILED:
        return run.message
    if run.state is JobState.INTERRUPTED:
        return "The app was stopped meanwhile. Your marks are safe; resume it or train again."
    if run.state is JobState.FINISHED and run.measures and not run.measures["report"]["is_changed"]:
        return "The marks changed nothing: it ranks as the aligned model does."
    return run.message if run.state is JobState.FINISHED else ""
