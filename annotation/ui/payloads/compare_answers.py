"""What the comparison screen shows on request: blind preferences, and why a document moved (shares that add up)."""

from collections.abc import Mapping, Sequence

from annotation.comparing.blind import BlindPair, Preferences, Tally
from annotation.comparing.explain import Contribution, Reasons, ScoreChange, SideReasons, further_shares
from annotation.ui.payloads.wording import Payload, chance, count
from era.types import Document
from storage.records import PreferenceRecord


def blind_panel(pair: BlindPair | None) -> Payload:
    """Return the next two lists, or that there are none left; nothing in it tells which side is which."""
    if pair is None:
        return {"is_over": True}
    return {
        "query_id": pair.query.id,
        "text": pair.query.text,
        "instruction": pair.query.instruction,
        "left": _list(pair.left),
        "right": _list(pair.right),
        "token": pair.token,
        "n_left_to_do": pair.n_left,
        "n_done": pair.n_done,
        "n_equal": pair.n_equal,
    }


def _list(documents: Sequence[Document]) -> list[Payload]:
    return [{"doc_id": each.doc_id, "title": each.title or each.doc_id, "text": each.text} for each in documents]


def preferred_panel(record: PreferenceRecord) -> Payload:
    """Return that an answer is stored."""
    return {"query_id": record.query_id, "saved": True}


def preferences_panel(preferences: Preferences, labels: Sequence[str], csv: str) -> Payload:
    """Return what people prefer; `labels` names the first two sides, `share` is that of the second."""
    share = preferences.share
    return {
        **_tally(preferences.tally),
        "labels": list(labels[:2]),
        "share": share.share,
        "low": share.low,
        "high": share.high,
        "p": share.p_value,
        "words": preference_words(preferences, labels),
        "by_person": [{"person": name, **_tally(tally)} for name, tally in preferences.by_person],
        "csv": csv,
    }


def preference_words(preferences: Preferences, labels: Sequence[str]) -> str:
    """Return in words what people prefer of two rankings, and whether it could be chance; `labels` of both."""
    tally, by_query, share = preferences.tally, preferences.by_query, preferences.share
    if not share.n:
        return "No one has compared these two rankings blindly yet."
    undecided = [
        f"{count(n, 'answer', 'answers')} said that {words}"
        for n, words in ((tally.tie, "both were alike"), (tally.neither, "neither was any good"))
        if n
    ]
    rest = f" {' and '.join(undecided)}." if undecided else ""
    if not by_query.first and not by_query.second:
        return f"No query was decided for either ranking.{rest}"
    is_second = by_query.second >= by_query.first
    n_for, label = (by_query.second, labels[1]) if is_second else (by_query.first, labels[0])
    n_against, other = (by_query.first, labels[0]) if is_second else (by_query.second, labels[1])
    several = (
        f" Each query counts once, however many of the {len(preferences.by_person)} people answered it."
        if len(preferences.by_person) > 1
        else ""
    )
    said = (
        f"Of {count(share.n, 'query', 'queries')}, {n_for:,} went to “{label}”, {n_against:,} to “{other}”, "
        f"{by_query.tie:,} to neither."
    )
    return f"{said} {chance(by_query.first + by_query.second, share.p_value)}{several}{rest}"


def _tally(tally: Tally) -> Payload:
    return {
        "n": tally.n,
        "first": tally.first,
        "second": tally.second,
        "tie": tally.tie,
        "neither": tally.neither,
    }


_DIGITS = 3  # of scores and amounts, as everywhere in a comparison


def reasons_panel(reasons: Reasons, labels: Mapping[str, str]) -> Payload:
    """Return the answer to "why?"; `labels` says what each side is called."""
    return {
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
