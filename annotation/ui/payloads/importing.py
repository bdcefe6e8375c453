"""What is about to be imported, and what is being imported."""

from collections.abc import Collection, Mapping, Sequence

from annotation.collections.imports import ImportJob
from annotation.collections.update import UpdatePlan
from annotation.ui.payloads.wording import Payload, count
from era.io.opening import Preview

_TITLES = {
    "new": "Import of {name}",
    "add": "More documents for {name}",
    "replace": "Other documents for {name}",
    "embedders": "New index for {name}",
}
_STATES = {
    "queued": "waiting",
    "running": "running",
    "finished": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
}
_MAX_TEXT = 2000
_MAX_REMARKS = 200


def preview_payload(preview: Preview, formats: Mapping[str, str]) -> Payload:
    """Return how the beginning of a source would be imported; `formats` are those that can be chosen instead."""
    files = list(preview.files)
    facts = [
        ["Read as", "" if preview.format in formats else preview.label, ""],
        ["Files", ", ".join(files[:8]) + (f" and {len(files) - 8:,} more" if len(files) > 8 else ""), ""],
        ["Encoding", preview.encoding, "How the letters are written in the files"],
        ["Documents", f"{preview.n_documents:,}" if preview.n_documents is not None else "", ""],
        ["Judgments", f"{preview.n_qrels:,}" if preview.n_qrels else "", ""],
    ]
    return {
        "format": preview.format,
        "can_choose_format": preview.format in formats,
        "name": preview.name,
        "columns": list(preview.columns),
        "mapping": {role: list(columns) for role, columns in preview.mapping.items()},
        "header": preview.header,
        "can_choose_encoding": bool(preview.encoding) and not preview.encoding.startswith("utf"),
        "facts": [fact for fact in facts if fact[1]],
        "documents": [
            {
                "id": each.document.doc_id,
                "title": each.document.title,
                "text": each.document.text[:_MAX_TEXT],
                "metadata": [[key, value[:_MAX_TEXT]] for key, value in list(each.metadata.items())[:12]],
            }
            for each in preview.documents
        ],
        "queries": [{"text": each.query.text, "instruction": each.query.instruction} for each in preview.queries],
        "remarks": list(preview.remarks)[:_MAX_REMARKS],
    }


def jobs_payload(jobs: Sequence[ImportJob], changeable: Collection[int]) -> list[Payload]:
    """Return what goes on in the background and what came of it; `changeable` are those that may be cancelled, ..."""
    return [
        {
            "id": job.id,
            "name": job.name,
            "title": _TITLES[job.kind].format(name=job.name),
            "state": job.state,
            "state_words": _STATES[job.state],
            "text": job.text,
            "fraction": job.fraction,
            "error": job.error,
            "remarks": list(job.remarks)[:_MAX_REMARKS],
            "collection_id": job.collection_id,
            "can_resume": job.can_resume,
            "may_change": job.id in changeable,
        }
        for job in jobs
    ]


def update_payload(plan: UpdatePlan, mode: str) -> Payload:
    """Return what files would change in a collection."""
    facts = [
        ["New", f"{plan.n_added:,}", ""],
        ["Changed", f"{plan.n_changed:,}", "Here under the same id, with another title or text"],
        ["Removed", f"{plan.n_removed:,}", "Here, and not in the files"] if mode == "replace" else [],
        ["The same", f"{plan.n_same:,}", ""],
    ]
    sentences = []
    if plan.n_judged_changed:
        judged = count(plan.n_judged_changed, "judged document changes", "judged documents change")
        sentences.append(f"{judged}. Marks stay, and the desk asks to look again.")
    if plan.n_judged_removed:
        judged = count(plan.n_judged_removed, "judged document is", "judged documents are")
        sentences.append(f"{judged} removed. Marks stay stored, but count neither in training nor in measures.")
    if plan.n_facts_changed:
        others = count(plan.n_facts_changed, "document has", "documents have")
        sentences.append(f"{others} other facts, and the same text.")
    if plan.n_queries:
        judgments = count(plan.n_judgments, "judgment", "judgments")
        come = "comes" if plan.n_queries == 1 and not plan.n_judgments else "come"
        along = count(plan.n_queries, "query", "queries") + (f" and {judgments}" if plan.n_judgments else "")
        sentences.append(f"{along} {come} along.")
    n_read = plan.n_added + plan.n_changed
    is_change = n_read + plan.n_removed + plan.n_facts_changed + plan.n_queries > 0
    sentences.append(
        f"{count(n_read, 'text has', 'texts have')} to be read; until that is done the documents stay as they are."
        if is_change
        else "Nothing would change: all these documents are here already, word for word."
    )
    if plan.costs.text:
        sentences.append(plan.costs.text)
    return {
        "facts": [fact for fact in facts if fact],
        "sentences": sentences,
        "is_change": is_change,
        "button": "Make the collection equal to the files" if mode == "replace" else "Add and change",
    }
