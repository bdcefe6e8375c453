"""The training screen: what there is to learn from, progress, gains, and the training runs so far."""

from collections.abc import Mapping, Sequence

from annotation.opening import OpenPage
from annotation.presenting.wording import (
    MEASURE_MEANINGS,
    MEASURE_NAMES,
    Payload,
    chance,
    count,
    named,
    nonce,
    page_ids,
)
from annotation.rankers import ALIGNED, run_key, run_label
from annotation.training.curves import CurveProgress
from annotation.training.queueing import RECIPES, Outlook
from annotation.training.reporting import STAGES
from storage.records import TrainingRunRecord, TrainingRunState

_PARTS = {"light": "the words themselves", "neighbours": "documents that the strong model finds similar"}
_TIMES = {0.0: "no longer count", 0.5: "count half", 2.0: "count double", 4.0: "count four times"}
_UNDER_WAY = (TrainingRunState.QUEUED, TrainingRunState.RUNNING)
_RESUMABLE = (TrainingRunState.INTERRUPTED, TrainingRunState.CANCELLED, TrainingRunState.FAILED)


def train_panel(
    page: OpenPage,
    author: str | None,
    outlook: Outlook,
    runs: Sequence[TrainingRunRecord],
    device: str | None,
    in_use: str,
    places: Mapping[int, int],
    curve: CurveProgress | None = None,
    error: str = "",
    is_answer: bool = False,
) -> Payload:
    """Return the training screen; polled ones are equal for equal states, so nothing is redrawn.

    Args:
        page: which collection and label set.
        author: who looks; None if nobody is signed in where that is needed.
        outlook: what there is to learn from.
        runs: of the collection, newest first.
        device: what training is done on; None until that is known.
        in_use: ranker key that is taken where nobody chooses otherwise.
        places: place in line by run id; 1 comes next.
        curve: the learning curve under way, if any.
        error: to be shown.
        is_answer: whether a person asked, so that the page has to notice.
    """
    own = [run for run in runs if run.label_set_id == page.label_set.id]
    finished = [run for run in own if run.state is TrainingRunState.FINISHED]
    under_way = [run for run in runs if run.state in _UNDER_WAY]
    active = min(
        under_way, key=lambda run: (run.state is not TrainingRunState.RUNNING, places.get(run.id, 0)), default=None
    )
    of_curve = next((run for run in runs if curve is not None and run.id == curve.training_run_id), None)
    return {
        "nonce": nonce() if is_answer else "",
        "page": page_ids(page),
        "can_write": author is not None,
        "intro": ""
        if runs
        else "Training teaches the ranking what your marks have in common. The documents are not read again.",
        "error": error,
        "outlook": {
            "n_queries": outlook.n_queries,
            "n_relevant": outlook.n_relevant,
            "n_not_relevant": outlook.n_not_relevant,
            "advice": outlook.advice,
            "can_train": outlook.can_train,
            "usual_seconds": outlook.usual_seconds,
        },
        "device": device,
        "recipes": [[name, words] for name, words in RECIPES.items()],
        "measures": [[name, MEASURE_MEANINGS[name]] for name in MEASURE_NAMES.values()],
        "active": _active(active, places) if active else _active_curve(of_curve, curve) if of_curve and curve else None,
        "waiting": [
            {"id": run.id, "number": run.number, "place": place_in_line(places.get(run.id, 0))}
            for run in sorted(under_way, key=lambda run: places.get(run.id, 0))
            if run.state is TrainingRunState.QUEUED and run is not active
        ],
        "latest": _gain(finished[0]) if finished and not active else None,
        "in_use": {"key": in_use, "label": _in_use_label(in_use, runs), "can_use_aligned": in_use != ALIGNED},
        "runs": [_run_row(run, page, in_use, places) for run in sorted(runs, key=lambda run: not run.is_pinned)],
    }


def place_in_line(place: int) -> str:
    """Return `next in line`, `2nd in line` and so on; empty for what does not wait."""
    if place < 1:
        return ""
    if place == 1:
        return "next in line"
    ending = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending} in line"


def run_name(run: TrainingRunRecord) -> str:
    """Return what a list calls a training run: its number, and its name if it has one."""
    return f"run {run.number} “{run.name}”" if run.name else f"run {run.number}"


def _in_use_label(key: str, runs: Sequence[TrainingRunRecord]) -> str:
    if key == ALIGNED:
        return "the aligned ranking, which no labels shaped"
    return next((run_name(run) for run in runs if run_key(run) == key), "the light model alone")


def _active(run: TrainingRunRecord, places: Mapping[int, int]) -> Payload:
    seconds = (run.heartbeat_at - run.started_at).total_seconds() if run.started_at and run.heartbeat_at else 0.0
    return {
        "kind": "training",
        "id": run.id,
        "number": run.number,
        "state": run.state.value,
        "stage": run.stage if run.stage in STAGES else STAGES[0],
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


def _gain(run: TrainingRunRecord) -> Payload:
    measures = run.measures or {}
    total, by_marks = measures["from_light"], measures["from_aligned"]
    n = measures["n"]
    difference = total["after"] - total["before"]
    own = by_marks["after"] - by_marks["before"]
    word = "Gained" if difference >= 0 else "Lost"
    sentences = [
        f"Likely between {total['low']:+.2f} and {total['high']:+.2f}; {total['n_better']} better, "
        f"{total['n_same']} same, {total['n_worse']} worse. {chance(n, total['p_value'])}",
        f"Of that, {own:+.3f} comes from your marks; the rest from aligning the two models, which needs no marks. "
        + (
            ""
            if by_marks["p_value"] < 0.05 or own == 0
            else f"What the marks bring is not proven yet with {count(n, 'query', 'queries')}. "
        ),
        str(measures["report"]["reason"]),
        blend_sentence(measures["report"].get("blend", {})),
        run.message,
    ]
    return {
        "number": run.number,
        "key": run_key(run),
        "label": run_label(run),
        "n": n,
        "headline": f"{word} on queries the model had not seen: nDCG@10 {total['before']:.2f} → {total['after']:.2f} "
        f"({difference:+.2f})",
        "sentences": [sentence for sentence in sentences if sentence],
        "means": {name: named(values) for name, values in measures["means"].items()},
    }


def blend_sentence(factors: Mapping[str, float]) -> str:
    """Return in words how the marks made the parts of a query count; empty if they count as before any mark."""
    parts = [
        f"{_PARTS[view]} {_TIMES[factor]}" for view, factor in factors.items() if view in _PARTS and factor in _TIMES
    ]
    return f"By your marks {' and '.join(parts)}." if parts else ""


def _run_row(run: TrainingRunRecord, page: OpenPage, in_use: str, places: Mapping[int, int]) -> Payload:
    total = (run.measures or {}).get("from_light")
    is_finished = run.state is TrainingRunState.FINISHED
    return {
        "id": run.id,
        "number": run.number,
        "key": run_key(run),
        "name": run.name,
        "note": run.note,
        "at": run.created_at.isoformat(),
        "labels": count(run.n_queries, "query", "queries"),
        "labels_title": f"{run.n_relevant} relevant and {run.n_not_relevant} not-relevant marks; by {run.author}; "
        f"seed {run.seed}; on {run.device or 'no device yet'}; labels {run.snapshot_hash[:8]}",
        "recipe": run.recipe,
        "change": f"{total['before']:.3f} → {total['after']:.3f}" if total else "",
        "state": run.state.value,
        "in_use": is_finished and run_key(run) == in_use,
        "remark": _remark(run),
        "place": place_in_line(places.get(run.id, 0)),
        "is_pinned": run.is_pinned,
        "is_archived": run.is_archived,
        "is_of_label_set": run.label_set_id == page.label_set.id,
        "can_resume": run.state in _RESUMABLE,
        "has_curve": run.curve is not None,
        "wants_curve": run.wants_curve,
    }


def _remark(run: TrainingRunRecord) -> str:
    if run.state is TrainingRunState.FAILED:
        return run.message
    if run.state is TrainingRunState.INTERRUPTED:
        return "The app was stopped meanwhile. Your marks are safe; resume it or train again."
    if run.state is TrainingRunState.FINISHED and run.measures and not run.measures["report"]["is_changed"]:
        return "The marks did not help, so the aligned ranking was kept."
    return run.message if run.state is TrainingRunState.FINISHED else ""
