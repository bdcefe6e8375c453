"""The comparisons that were kept, as the comparison screen lists them."""

from collections.abc import Sequence

from annotation.comparing.snapshots import measured_then
from annotation.ranking.rankers import is_imported
from annotation.ui.payloads.wording import Payload, count, nonce
from era.evaluation.figures import figure
from storage.records import SnapshotRecord


def snapshots_panel(records: Sequence[SnapshotRecord], droppable: Sequence[str]) -> Payload:
    """Return the list, newest first; `droppable` are the slugs that the person may delete."""
    return {"kind": "snapshots", "nonce": nonce(), "list": [_line(each, each.slug in droppable) for each in records]}


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
