"""What was taken out, and what was brought in."""

from collections.abc import Sequence

from annotation.ranking.rankers import run_label
from annotation.transfer.files import ExportFile
from annotation.transfer.judgments import ImportedJudgments
from annotation.transfer.models import PushPlan
from annotation.transfer.run_imports import ImportedRun
from annotation.ui.payloads.wording import Payload, count
from storage.records import JobState, TrainingRunRecord

_MAX_REMARKS = 200


def runs_payload(runs: Sequence[TrainingRunRecord]) -> list[Payload]:
    """Return the training runs whose adapter can be taken out."""
    finished = [run for run in runs if run.state is JobState.FINISHED]
    return [{"id": run.id, "label": " \u00b7 ".join(filter(None, (run_label(run), run.name)))} for run in finished]


def taken_payload(file: ExportFile, url: str, n_bytes: int) -> Payload:
    """Return a file that lies ready at an address."""
    return {"name": file.name, "url": url, "size": size(n_bytes), "remarks": list(file.remarks)[:_MAX_REMARKS]}


def push_payload(plan: PushPlan) -> Payload:
    """Return what goes to the Hub, or went there."""
    files = [f"{name} ({size(n_bytes)})" for name, n_bytes in plan.files]
    who_sees = "which only you see" if plan.is_private else "which everybody sees"
    does = "would be sent" if plan.is_dry_run else "were sent"
    return {
        "is_dry_run": plan.is_dry_run,
        "said": f"{count(len(files), 'file', 'files')}, {size(plan.n_bytes)}, {does} to {plan.repo_id}, {who_sees}.",
        "url": plan.url,
        "files": files,
        "remarks": list(plan.remarks)[:_MAX_REMARKS],
    }


def brought_in_payload(found: ImportedJudgments) -> Payload:
    """Return what came of judgments that were brought in."""
    parts = [f"{count(found.n_new, 'mark is', 'marks are')} new"]
    if found.n_same:
        parts.append(f"{count(found.n_same, 'was', 'were')} here already")
    if found.n_older:
        parts.append(f"{count(found.n_older, 'is', 'are')} older than what stands here and changed nothing")
    said = ", ".join(parts) + "."
    if found.n_queries_added:
        said += f" {count(found.n_queries_added, 'query was', 'queries were')} added."
    return {"said": said, "remarks": list(found.remarks)[:_MAX_REMARKS]}


def brought_in_run_payload(found: ImportedRun) -> Payload:
    """Return what came of a run file that was brought in."""
    said = (
        f"“{found.ranker.label}” ranks {count(found.n_queries, 'query', 'queries')} and can be chosen in Compare now."
    )
    return {"said": said, "remarks": list(found.remarks)}


def size(n_bytes: int) -> str:
    """Return how large a file is, in words."""
    if n_bytes < 2**20:
        return f"{max(n_bytes / 2**10, 0.1):.1f} KiB"
    return f"{n_bytes / 2**20:.1f} MiB"
