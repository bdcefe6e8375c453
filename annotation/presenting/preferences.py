"""Blind preferences as the comparison screen shows them: two unnamed lists, and what people chose."""

from collections.abc import Sequence

from annotation.comparing.preferring import BlindPair, Preferences, Tally
from annotation.presenting.wording import Payload, count, nonce
from era.significance import PreferenceShare
from era.types import Document
from storage.records import PreferenceRecord


def blind_panel(pair: BlindPair | None) -> Payload:
    """Return the next two lists, or that there are none left; nothing in it tells which side is which."""
    if pair is None:
        return {"kind": "blind", "nonce": nonce(), "is_over": True}
    return {
        "kind": "blind",
        "nonce": nonce(),
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
    return {"kind": "prefer", "nonce": nonce(), "query_id": record.query_id, "saved": True}


def preferences_panel(preferences: Preferences, labels: Sequence[str], csv: str) -> Payload:
    """Return what people prefer; `labels` names the first two sides, `share` is that of the second."""
    share = preferences.share
    return {
        "kind": "preferences",
        "nonce": nonce(),
        **_tally(preferences.tally),
        "labels": list(labels[:2]),
        "share": share.share,
        "low": share.low,
        "high": share.high,
        "p": share.p_value,
        "words": " ".join((preference_words(preferences.tally, share, labels), *_together(preferences))),
        "by_person": [{"person": name, **_tally(tally)} for name, tally in preferences.by_person],
        "csv": csv,
    }


def preference_words(tally: Tally, share: PreferenceShare, labels: Sequence[str]) -> str:
    """Return in words what people prefer of two rankings, and whether it could be chance.

    Args:
        tally: how often each answer stands.
        share: of the decided ones, those for the second ranking.
        labels: what both are called.
    """
    if not tally.n:
        return "Nobody has compared these two rankings blindly yet."
    undecided = [
        f"{count(n, 'time', 'times')} {words}"
        for n, words in ((tally.tie, "both were alike"), (tally.neither, "neither was any good"))
        if n
    ]
    rest = f" {_capitalised(' and '.join(undecided))}." if undecided else ""
    if not share.n:
        return f"No preference yet.{rest}"
    is_second = tally.second >= tally.first
    n_for, label = (tally.second, labels[1]) if is_second else (tally.first, labels[0])
    low, high = (share.low, share.high) if is_second else (1 - share.high, 1 - share.low)
    p = f"{share.p_value:.3f}".lstrip("0") if 0.001 <= share.p_value < 0.9995 else ""
    text = f"p = {p}" if p else "p < .001" if share.p_value < 0.5 else "p = 1"
    verdict = f"this is unlikely to be chance ({text})" if share.p_value < 0.05 else f"this could be chance ({text})"
    verb = "was" if share.n == 1 else "were"
    noun = "preference" if share.n == 1 else "preferences"
    return (
        f"{n_for} of {share.n} {noun} {verb} for “{label}”, likely between {low:.0%} and {high:.0%} of all; "
        f"{verdict}.{rest}"
    )


def _together(preferences: Preferences) -> list[str]:
    """Return what to keep in mind where several people answered."""
    if len(preferences.by_person) < 2:
        return []
    return [
        f"Answers of {len(preferences.by_person)} people, each counted by itself: people who see the same two lists "
        "tend to agree, so the interval is wider in truth."
    ]


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tally(tally: Tally) -> Payload:
    return {
        "n": tally.n,
        "first": tally.first,
        "second": tally.second,
        "tie": tally.tie,
        "neither": tally.neither,
    }
