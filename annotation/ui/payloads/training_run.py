"""One training run in full: what it learned from, how learning went, what it took, and what was marked since."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from annotation.training.explain import LabelChanges, RunDetails, SnapshotMark
from annotation.training.manage import Dependents
from annotation.training.start import why_no_curve
from annotation.training.train import SHARES
from annotation.ui.payloads.training import run_name
from annotation.ui.payloads.wording import Payload, count, documents_in_words
from era.evaluation.figures import figure, signed
from storage.records import QueryRecord, TrainingRunRecord

_STAGE_WORDS = {"embedding": "reading", "alignment": "aligning", "adaptation": "adapting", "evaluation": "checking"}
_MAX_MARKS = 500  # shown of what changed


def details_panel(details: RunDetails) -> Payload:
    """Return what the page shows of a training run that was opened."""
    run = details.run
    report = (run.measures or {}).get("report", {})
    return {
        "id": run.id,
        "number": run.number,
        "title": run_name(run),
        "facts": [fact for fact in _facts(details) if fact[1]],
        "config": json.dumps(_settings(details.made_with), indent=1, sort_keys=True, ensure_ascii=False),
        "queries": [
            {
                **_query(taught.query),
                "is_hidden": taught.is_hidden,
                "marks": ""
                if taught.is_hidden
                else f"{taught.n_relevant} relevant, {taught.n_not_relevant} not relevant",
            }
            for taught in details.queries
        ],
        "strengths": _strengths(report),
        "folds": _folds(report),
        "alignment": _alignment(report.get("alignment_fit")),
        "curve": curve_payload(run.curve),
        "no_curve": why_no_curve(run),
    }


def marks_payload(marks: Sequence[SnapshotMark], grades: Sequence[str]) -> list[Payload]:
    """Return the marks of one query as the page lists them; `grades` names the grades from 0 upwards."""
    return [
        {
            "doc_id": mark.doc_id,
            "title": mark.title,
            "grade": grade_words(mark.grade, grades),
            "is_relevant": mark.grade > 0,
        }
        for mark in marks
    ]


def grade_words(grade: float | None, grades: Sequence[str]) -> str:
    """Return what a person calls a grade."""
    if grade is None:
        return "not marked"
    is_named = float(grade).is_integer() and 0 <= grade < len(grades)
    return grades[int(grade)] if is_named else f"grade {grade:g}"


def changes_payload(changes: LabelChanges, grades: Sequence[str], since: str) -> Payload:
    """Return what was marked otherwise; `since` names the two that are compared."""
    n_left, queries = _MAX_MARKS, []
    for query, marks in changes.queries:
        shown = [
            {
                "doc_id": mark.doc_id,
                "title": mark.title,
                "kind": "added" if mark.before is None else "removed" if mark.after is None else "changed",
                "before": grade_words(mark.before, grades),
                "after": grade_words(mark.after, grades),
            }
            for mark in marks[:n_left]
        ]
        n_left -= len(shown)
        if shown:
            queries.append({**_query(query), "marks": shown})
    n_all = changes.n_added + changes.n_removed + changes.n_changed
    words = f"{since}: {changes.n_added} added, {changes.n_removed} removed, {changes.n_changed} changed."
    if not n_all and not changes.n_hidden:
        words = f"{since}: the marks are the same."
    if changes.n_hidden:
        stay = "stays" if changes.n_hidden == 1 else "stay"
        words += f" {count(changes.n_hidden, 'query', 'queries')} that you may still judge {stay} hidden."
    if n_all > _MAX_MARKS:
        words += f" The first {_MAX_MARKS} are listed."
    return {"words": words, "queries": queries}


def dependents_payload(run: TrainingRunRecord, found: Dependents) -> Payload:
    """Return what deleting a training run concerns, sentence by sentence."""
    sentences = [f"Its adapter is removed for good; {run_name(run)} can be trained again only with today's labels."]
    if found.label_sets:
        names = _listed(found.label_sets)
        sentences.append(f"It is in use for {names}; after that, what the newest run found best takes its place.")
    if found.snapshots:
        sentences.append(
            f"{_listed(found.snapshots)} {'shows' if len(found.snapshots) == 1 else 'show'} it; "
            "what was kept there stays as it is."
        )
    if found.reruns:
        numbers = _listed([str(number) for number in found.reruns], quote="")
        sentences.append(f"Run {numbers} repeated it and stays.")
    if len(sentences) == 1:
        sentences.append("Nothing else depends on it.")
    return {"title": f"Delete {run_name(run)}?", "sentences": sentences}


def curve_payload(curve: Mapping[str, Any] | None) -> Payload | None:
    """Return the learning curve with its text alternative, or the words of why it failed."""
    if curve is None:
        return None
    if "error" in curve:
        return {"error": str(curve["error"]), "points": []}
    points = [
        {"n": point["n_queries"], "value": point["value"], "low": point["low"], "high": point["high"]}
        for point in curve["points"]
    ]
    text = "; ".join(
        f"{point['n']:.0f} queries: {figure(point['value'])}"
        + ("" if point["low"] is None else f" (likely {figure(point['low'])} to {figure(point['high'])})")
        for point in points
    )
    return {
        "error": "",
        "points": points,
        "baseline": curve["baseline"],
        "n": curve["n"],
        "advice": curve["advice"],
        "text": f"nDCG@10 on unseen queries after learning from {text}. Without labels: {figure(curve['baseline'])}.",
    }


def _facts(details: RunDetails) -> list[list[str]]:
    run, made_with = details.run, details.made_with
    cost = (run.measures or {}).get("cost", {})
    versions = made_with.get("versions", {})
    stages = cost.get("stage_seconds", {})
    judged = documents_in_words(run.n_relevant, run.n_not_relevant)
    return [
        [
            "Labels",
            f"{details.label_set}: {count(run.n_queries, 'query', 'queries')} with something relevant, {judged}",
            "",
        ],
        [
            "Kept for testing since",
            _no_clean_test(details.n_for_testing),
            "",
        ],
        [
            "Fingerprint of the labels",
            run.snapshot_hash[:16],
            "Runs with the same fingerprint learned from the same marks",
        ],
        ["Started by", run.author, ""],
        ["Repeats", f"run {details.rerun_of}" if details.rerun_of else "", ""],
        [
            "Recipe and seed",
            f"{run.recipe}, seed {run.seed}",
            "The same labels and the same seed give the same adapter",
        ],
        ["Strong embedder", _embedder(made_with.get("strong_embedder")), "Reads the queries"],
        ["Light embedder", _embedder(made_with.get("light_embedder")), "Reads the documents"],
        [
            "Index",
            str(made_with.get("index_fingerprint", ""))[:16],
            "Fingerprint of the document index it was made for",
        ],
        ["Computed on", run.device or "", ""],
        [
            "Time",
            ", ".join(f"{_STAGE_WORDS[stage]} {stages[stage]:.1f} s" for stage in SHARES if stage in stages),
            "What was embedded before is not read again, so the first run takes longest",
        ],
        [
            "Memory at most",
            _size(cost.get("memory_bytes")),
            "The most that the app has taken up to the end of this run",
        ],
        ["GPU memory at most", _size(cost.get("gpu_memory_bytes")), ""],
        ["Versions", ", ".join(f"{name} {number}" for name, number in sorted(versions.items())), ""],
    ]


def _no_clean_test(n: int) -> str:
    """Return how many of the queries a run learned from are kept for testing now; empty if none is."""
    they_are = "it is" if n == 1 else "they are"
    return f"{count(n, 'query', 'queries')} of these, so {they_are} no clean test of this run" if n else ""


def _settings(made_with: Mapping[str, Any]) -> dict[str, Any]:
    return {name: made_with[name] for name in ("alignment", "adaptation") if name in made_with}


def _embedder(identity: Mapping[str, Any] | None) -> str:
    return f"{identity['name']}, {str(identity['revision'])[:12]}" if identity else ""


def _size(n_bytes: int | None) -> str:
    return f"{n_bytes / 2**20:,.0f} MB" if n_bytes else ""


def _query(query: QueryRecord) -> Payload:
    return {"id": query.id, "text": query.text, "instruction": query.instruction}


def _strengths(report: Mapping[str, Any]) -> Payload | None:
    points = [
        {
            "strength": each["strength"],
            "gain": each["gain"],
            "error": each["standard_error"],
            "is_chosen": each["strength"] == report.get("strength"),
        }
        for each in report.get("strengths") or []
    ]
    if not points:
        return None
    text = "; ".join(
        f"strength {each['strength']:g}: {signed(each['gain'], 4)} ± {figure(each['error'], 4)}"
        f"{' (chosen)' if each['is_chosen'] else ''}"
        for each in points
    )
    return {"points": points, "text": f"Held-out gain and its standard error: {text}."}


def _folds(report: Mapping[str, Any]) -> Payload | None:
    points = [{"n": fold["n"], "before": fold["before"], "after": fold["after"]} for fold in report.get("folds") or []]
    if not points:
        return None
    text = "; ".join(
        f"part {place} ({count(each['n'], 'query', 'queries')}): {figure(each['before'])} → {figure(each['after'])}"
        for place, each in enumerate(points, start=1)
    )
    return {"points": points, "text": f"nDCG@100 before and after, on each part that was held out: {text}."}


def _alignment(fitted: Mapping[str, Any] | None) -> str:
    if not fitted or fitted["explained_variance"] is None:
        return ""
    return (
        f"From the light vector of a document, {100 * fitted['explained_variance']:.0f} % of what distinguishes its "
        f"strong vector could be told, on texts not used for it (mean cosine {fitted['mean_cosine']:.2f}, "
        f"{count(fitted['n'], 'text', 'texts')})."
    )


def _listed(names: Sequence[str], quote: str = "“”") -> str:
    quoted = [f"{quote[:1]}{name}{quote[1:]}" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
