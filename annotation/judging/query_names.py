"""What queries are called in files, so that the same query is found again, in this data folder or in another."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from storage.records import QueryRecord

_PREFIX = "text-"


def query_names(queries: Sequence[QueryRecord]) -> dict[int, str]:
    """Return the name of each query by id: its id in the imported file, else one made of text and instruction.

    Args:
        queries: all queries of a collection; a public id that several of them have names none of them.
    """
    n_uses = Counter(query.public_id for query in queries if query.public_id)
    return {
        query.id: query.public_id
        if query.public_id and n_uses[query.public_id] == 1
        else name_of_text(query.text, query.instruction)
        for query in queries
    }


def name_of_text(text: str, instruction: str) -> str:
    """Return what a query without an id of its own is called; the same everywhere for the same words."""
    written = f"{len(text)} {text}{instruction}".encode("utf-8", "surrogatepass")
    return f"{_PREFIX}{hashlib.sha256(written).hexdigest()[:16]}"
