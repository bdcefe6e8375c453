"""The collection screen."""

from collections.abc import Mapping, Sequence

from annotation.opening import OpenPage
from annotation.presenting.wording import Payload, nonce, page_ids
from storage.records import CollectionRecord, LabelSetSummary


def collection_panel(
    page: OpenPage,
    author: str | None,
    collections: Sequence[CollectionRecord],
    n_queries: int,
    label_sets: Sequence[LabelSetSummary],
    index_facts: Mapping[str, str],
    error: str = "",
) -> Payload:
    """Return the collection screen; `index_facts` describe the index of the open collection."""
    return {
        "nonce": nonce(),
        "page": page_ids(page),
        "can_write": author is not None,
        "error": error,
        "suggested_name": f"{author}'s labels" if author else "",
        "collections": [
            {
                "id": collection.id,
                "name": collection.name,
                "description": collection.description,
                "is_open": collection.id == page.collection.id,
                "facts": _facts(collection, n_queries, index_facts)
                if collection.id == page.collection.id
                else [["Documents", f"{collection.n_documents:,}"]],
            }
            for collection in collections
        ],
        "label_sets": [
            {
                "id": summary.label_set.id,
                "name": summary.label_set.name,
                "n_queries": summary.counts.n_queries,
                "n_relevant": summary.counts.n_relevant,
                "n_not_relevant": summary.counts.n_not_relevant,
                "is_open": summary.label_set.id == page.label_set.id,
            }
            for summary in label_sets
        ],
        "url": {"collection": page.collection.id, "labels": page.label_set.id},
    }


def _facts(collection: CollectionRecord, n_queries: int, index_facts: Mapping[str, str]) -> list[list[str]]:
    meanings = {
        "Query embedder": "The strong model: reads your query and instruction, and 1,000 documents once",
        "Document embedder": "The light model: has read every document once",
        "Index": "Built once; training never changes it",
        "Fingerprint": "Changes if and only if a document vector does",
    }
    facts = [["Documents", f"{collection.n_documents:,}", ""], ["Queries", f"{n_queries:,}", ""]]
    return [*facts, *([name, value, meanings.get(name, "")] for name, value in index_facts.items())]
