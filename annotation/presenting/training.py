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
from annotation.rankers import run_key, run_label
from annotation.training import RECIPES, STAGES, Outlook
from storage.records import TrainingRunRecord, TrainingRunState

_PARTS = {"light": "the words themselves", "neighbours": "documents that the strong model finds similar"}
_TIMES = {0.0: "no longer count", 0.5: "count half", 2.0: "count double", 4.0: "count four times"}


def train_panel(
    page: OpenPage,
    author: str | None,
    outlook: Outlook,
    runs: Sequence[TrainingRunRecord],
    device: str | None,
    error: str = "",
    is_answer: bool = False,
) -> Payload:
    """Return the training screen; polled ones are equal for equal states, so nothing is redrawn."""
    own = [run for run in runs if run.label_set_id == page.label_set.id]
    finished = [run for run in own if run.state is TrainingRunState.FINISHED]
    active = next((run for run in runs if run.state in (TrainingRunState.QUEUED, TrainingRunState.RUNNING)), None)
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
        "active": _active(active) if active else None,
        "latest": _gain(finished[0]) if finished and not active else None,
        "runs": [_run_row(run, run is finished[0] if finished else False) for run in runs],
    }


def _active(run: TrainingRunRecord) -> Payload:
    seconds = (run.heartbeat_at - run.started_at).total_seconds() if run.started_at and run.heartbeat_at else 0.0
    return {
        "id": run.id,
        "number": run.number,
        "state": run.state.value,
        "stage": run.stage if run.stage in STAGES else STAGES[0],
        "fraction": run.fraction,
        "message": run.message,
        "seconds": seconds,
        "is_cancel_requested": run.is_cancel_requested,
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


def _run_row(run: TrainingRunRecord, is_in_use: bool) -> Payload:
    total = (run.measures or {}).get("from_light")
    note = run.message if run.state is TrainingRunState.FAILED else ""
    if run.state is TrainingRunState.INTERRUPTED:
        note = "The app was stopped meanwhile. Your marks are safe; train again."
    if run.state is TrainingRunState.FINISHED and run.measures and not run.measures["report"]["is_changed"]:
        note = "The marks did not help, so the aligned ranking was kept."
    return {
        "number": run.number,
        "key": run_key(run),
        "at": run.created_at.isoformat(),
        "labels": count(run.n_queries, "query", "queries"),
        "labels_title": f"{run.n_relevant} relevant and {run.n_not_relevant} not-relevant marks; by {run.author}; "
        f"seed {run.seed}; on {run.device or 'no device yet'}; labels {run.snapshot_hash[:8]}",
        "recipe": run.recipe,
        "change": f"{total['before']:.3f} → {total['after']:.3f}" if total else "",
        "state": run.state.value,
        "in_use": is_in_use,
        "note": note,
    }
