"""Why a document moved, as the comparison screen shows it under the document."""

from collections.abc import Mapping

from annotation.comparing.reasons import Contribution, Reasons, SideReasons
from annotation.presenting.wording import Payload, nonce


def reasons_panel(reasons: Reasons, labels: Mapping[str, str]) -> Payload:
    """Return the answer to "why?"; `labels` says what each side is called."""
    return {
        "kind": "why",
        "nonce": nonce(),
        "doc_id": reasons.doc_id,
        "words": reasons.words,
        "sides": [_side(number, side, labels.get(side.key, side.key)) for number, side in enumerate(reasons.sides)],
    }


def _side(number: int, side: SideReasons, label: str) -> Payload:
    return {
        "side": number,
        "label": label,
        "text": side.text,
        "before": side.before,
        "after": side.after,
        "rank_before": side.rank_before,
        "rank_after": side.rank_after,
        "parts": [_part(part) for part in side.parts],
        "weighing": side.weighing if side.after is not None else None,
        "words": side.words,
        "others": side.others if side.after is not None else None,
    }


def _part(part: Contribution) -> Payload:
    return {
        "query_id": part.query.id,
        "query": part.query.text,
        "instruction": part.query.instruction,
        "amount": part.amount,
        "share": part.share,
        "marks": [{"title": mark.title, "grade": mark.grade} for mark in part.marks],
    }
