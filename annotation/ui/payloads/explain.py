"""Why a document moved, as the comparison screen shows it under the document: what is shown adds up as it is shown."""

from collections.abc import Mapping

from annotation.comparing.explain import Contribution, Reasons, ScoreChange, SideReasons, further_shares
from annotation.ui.payloads.wording import Payload, nonce

_DIGITS = 3  # of scores and amounts, as everywhere in a comparison


def reasons_panel(reasons: Reasons, labels: Mapping[str, str]) -> Payload:
    """Return the answer to "why?"; `labels` says what each side is called."""
    return {
        "kind": "why",
        "nonce": nonce(),
        "doc_id": reasons.doc_id,
        "words": reasons.words,
        "sides": [_side(side, labels.get(side.key, side.key)) for side in reasons.sides],
    }


def _side(side: SideReasons, label: str) -> Payload:
    return {
        "label": label,
        "text": side.text,
        "rank_before": side.rank_before,
        "rank_after": side.rank_after,
        "change": _change(side.change) if side.change is not None else None,
    }


def _change(change: ScoreChange) -> Payload:
    """Return rounded amounts that add up to the difference of the rounded scores; the rest takes what rounding left."""
    before, after = round(change.before, _DIGITS), round(change.after, _DIGITS)
    total = round(after - before, _DIGITS)
    parts = [_part(part) for part in change.parts]
    shares = {**further_shares(change), "what all documents near the top have in common": change.common}
    more = {name: round(amount, _DIGITS) for name, amount in shares.items()}
    rest = round(total - sum(part["amount"] for part in parts) - sum(more.values()), _DIGITS)
    more["everything smaller, and rounding"] = rest
    return {
        "before": before,
        "after": after,
        "total": total,
        "parts": [part for part in parts if part["amount"]],
        "more": [{"label": label, "amount": amount} for label, amount in more.items() if amount],
    }


def _part(part: Contribution) -> Payload:
    return {
        "query_id": part.query.id,
        "query": part.query.text,
        "instruction": part.query.instruction,
        "amount": round(part.amount, _DIGITS),
        "marks": [{"title": mark.title, "grade": mark.grade} for mark in part.marks],
    }
