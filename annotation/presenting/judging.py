"""The judging desk."""

import re
from collections.abc import Sequence

from annotation.opening import OpenPage
from annotation.presenting.wording import Payload, nonce, page_ids
from annotation.searching import Ranker, Search
from storage.records import QueryProgress

_STOP_WORDS = frozenset(
    (
        "a about after all an and any are as at be been but by can could do does each for from get give had has have "
        "how i if in into is it its just like me more my need no not of on one only or other our out over several "
        "should so some than that the their them then there these they this those through to under up want was we "
        "what when where which while who with without would you your"
    ).split()
)


def query_terms(text: str) -> list[str]:
    """Return the stems of a query's content words, safe to put into a regular expression."""
    words = dict.fromkeys(word.lower() for word in re.findall(r"[^\W_]{3,}", text))
    stems = [re.sub(r"(?<=\w{4})(es|s|ing|ed)$", "", word) for word in words if word not in _STOP_WORDS]
    return list(dict.fromkeys(stems))[:40]


def judge_panel(
    page: OpenPage,
    author: str | None,
    queries: Sequence[QueryProgress],
    instructions: Sequence[str],
    rankers: Sequence[Ranker],
    ranker: str,
    search: Search,
    error: str = "",
) -> Payload:
    """Return the judging desk."""
    query_id = search.query.id if search.query else None
    return {
        "nonce": nonce(),
        "page": page_ids(page),
        "can_write": author is not None,
        "intro": "Read the documents found and mark each: does it answer the query the way the instruction asks? "
        "From a handful of marks the ranking learns what you mean.",
        "error": error,
        "query": {"id": query_id, "text": search.text, "instruction": search.instruction},
        "instructions": list(dict.fromkeys([*instructions, *([search.instruction] if search.query else [])])),
        "rankers": [{"key": r.key, "label": r.label} for r in rankers],
        "ranker": ranker,
        "shown_ranker": search.ranker,
        "results": [
            {"rank": r.rank, "doc_id": r.doc_id, "title": r.title or r.doc_id, "text": r.text, "score": r.score}
            for r in search.results
        ],
        "marks": {doc_id: mark.grade for doc_id, mark in search.marks.items()},
        "n_documents": search.n_documents,
        "took_ms": search.took_ms,
        "terms": query_terms(search.text),
        "queries": [
            {
                "id": p.query.id,
                "text": p.query.text,
                "instruction": p.query.instruction,
                "relevant": p.n_relevant,
                "not_relevant": p.n_not_relevant,
            }
            for p in queries
        ],
        "url": {"collection": page.collection.id, "labels": page.label_set.id, "query": query_id, "by": search.ranker},
    }
