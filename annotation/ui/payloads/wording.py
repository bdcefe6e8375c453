"""Words and small values that several screens share."""

import re
from typing import Any

from annotation.collections.page import OpenPage
from annotation.labels.current import LabelCounts
from era.evaluation.figures import difference, figure, interval, signed
from era.evaluation.significance import Difference, evidence_of

Payload = dict[str, Any]

_MEANINGS = {
    "nDCG": "How well {first} are ordered: 1 if every relevant document stands on top, 0 if none is there",
    "R": "Share of the relevant documents that are among {first}",
    "P": "Share of {first} that are relevant",
    "RR": "Reciprocal rank: 1 divided by the place of the first relevant document, 0 if there is none",
    "AP": "Average precision: share of relevant documents down to each relevant one, averaged over these",
    "Success": "1 if a relevant document is among {first}, else 0",
    "Judged": "Share of {first} that somebody judged; the others count as not relevant",
    "Rprec": "Share of relevant documents among the first R, where R is how many relevant ones there are",
}
_MEASURE = re.compile(r"(\w+)(?:\(rel=([\d.]+)\))?(?:@(\d+))?")
OVERLAP_MEANINGS = {
    "rbo": "Rank-biased overlap: what both rankings share, the first places counting most; 1 for the same ranking, "
    "0 if they have nothing in common",
    "jaccard": "Documents among the first ten of both, divided by those among the first ten of either",
    "tau": "Kendall's tau: whether documents that both rank stand in the same order; 1 if they do, −1 if in the "
    "opposite one",
}
_EFFECTS = ((0.8, "a large effect"), (0.5, "a medium effect"), (0.2, "a small effect"), (0.0, "hardly any effect"))


def page_ids(page: OpenPage) -> Payload:
    """Return what an answer is about; its ids are what every event of a page carries back."""
    return {
        "collection_id": page.collection.id,
        "label_set_id": page.label_set.id,
        "label_set": page.label_set.name,
        "remark": page.remark,
    }


def measure_meaning(name: str) -> str:
    """Return what a measure says, as far as it is a known one."""
    found = _MEASURE.fullmatch(name)
    if found is None or found[1] not in _MEANINGS:
        return f"{name}, as ir-measures defines it"
    first = "all that were ranked"
    if found[3]:
        first = "the first ten" if found[3] == "10" else f"the first {found[3]}"
    meaning = _MEANINGS[found[1]].format(first=first)
    if "{first}" not in _MEANINGS[found[1]] and found[3]:
        meaning += f"; looks at {first} only"
    return f"{meaning}; a document counts as relevant from grade {found[2]} on" if found[2] else meaning


def effect(size: float | None) -> str:
    """Return in words how large a difference is beside its spread between queries; empty if that is not defined.

    Source: Cohen 1988, whose limits are a rule of thumb.
    """
    if size is None or size == 0:
        return ""
    words = next(words for limit, words in _EFFECTS if abs(size) >= limit)
    return f"That is {words} (Cohen's d {signed(size)}; by his rule of thumb 0.2 is small, 0.5 medium, 0.8 large)."


def cases(n: int, n_groups: int) -> str:
    """Return how many queries a number is about, and how many they count as where near-copies are among them."""
    queries = count(n, "query", "queries")
    return queries if n == n_groups else f"{queries}, which count as {n_groups:,} since near-copies count once,"


def chance(n: int, p_value: float, n_groups: int | None = None, n_tests: int = 1) -> str:
    """Say in words whether a difference could be chance, where there are enough queries to tell.

    Args:
        n: queries.
        p_value: of the difference.
        n_groups: as how many these queries count; None if none is a near-copy of another.
        n_tests: that the p value is adjusted for.
    """
    n_groups = n if n_groups is None else n_groups
    queries, p = cases(n, n_groups), p_value_text(p_value)
    if n_tests > 1:
        p += f", adjusted for {n_tests} tests"
    if evidence_of(n_groups) != "enough":
        return f"With only {queries} nothing can be concluded (p {p})."
    if p_value < 0.05:
        return f"With {queries} this is unlikely to be chance (p {p})."
    return f"With {queries} this could be chance (p {p}); more marked queries will tell."


def likely(low: float | None, high: float | None, n: int) -> str:
    """Return `likely between −0.01 and +0.03`, empty where n independent queries are too few for an interval."""
    if low is None or high is None:
        return ""
    ends = " and ".join(interval(low, high))
    return f"roughly between {ends}" if evidence_of(n) == "rough" else f"likely between {ends}"


def p_value_text(p_value: float) -> str:
    """Return `= 0.012` or `< 0.001`."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def estimated(judged: Difference, measure: str) -> str:
    """Say that a measure is an estimate, and how it differs by what is judged alone."""
    return (
        f"{measure} is estimated here: documents drawn at random count for those that were not drawn. Of what is "
        f"judged alone it is {figure(judged.before)} → {figure(judged.after)} "
        f"({difference(judged.before, judged.after)}), and the other measures are of that."
    )


def count(n: int, one: str, several: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {one if n == 1 else several}"


def labels_in_words(counts: LabelCounts) -> str:
    """Return how much is judged, in the same words wherever it is told."""
    queries = count(counts.n_queries, "query judged", "queries judged")
    documents = documents_in_words(counts.n_relevant, counts.n_not_relevant)
    words = f"{queries}, {counts.n_labelled:,} with something relevant: {documents}"
    return f"{words}, {counts.n_undecided:,} undecided" if counts.n_undecided else words


def documents_in_words(n_relevant: int, n_not_relevant: int) -> str:
    """Return how many documents are judged either way."""
    return f"{count(n_relevant, 'document', 'documents')} relevant, {n_not_relevant:,} not relevant"
