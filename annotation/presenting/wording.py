"""Words and small values that several screens share."""

import secrets
from collections.abc import Mapping
from typing import Any

from annotation.opening import OpenPage

Payload = dict[str, Any]

MEASURE_NAMES = {"nDCG@10": "nDCG@10", "R@10": "recall@10", "RR": "MRR", "Judged@10": "judged@10"}
MEASURE_MEANINGS = {
    "nDCG@10": "How well the first ten are ordered: 1 if every relevant document stands on top, 0 if none is there",
    "recall@10": "Share of the relevant documents that are among the first ten",
    "MRR": "1 divided by the place of the first relevant document; averaged over queries: mean reciprocal rank",
    "judged@10": "Share of the first ten that somebody judged; the others count as not relevant",
}


def nonce() -> str:
    """Make every answer to a person differ from the one before, or the page would not notice a repeated one."""
    return secrets.token_hex(4)


def page_ids(page: OpenPage) -> Payload:
    """Return what every event of a page carries back."""
    return {
        "collection_id": page.collection.id,
        "label_set_id": page.label_set.id,
        "label_set": page.label_set.name,
    }


def chance(n: int, p_value: float) -> str:
    """Say in words whether a difference over n queries could be chance."""
    queries, p = count(n, "query", "queries"), p_value_text(p_value)
    if p_value < 0.05:
        return f"With {queries} this is unlikely to be chance (p {p})."
    return f"With {queries} this could be chance (p {p}); more marked queries will tell."


def p_value_text(p_value: float) -> str:
    """Return `= 0.012` or `< 0.001`."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def count(n: int, one: str, several: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {one if n == 1 else several}"


def named(values: Mapping[str, float]) -> dict[str, float]:
    """Return measures under the names that people read."""
    return {MEASURE_NAMES[measure]: value for measure, value in values.items()}
