"""Near-copies among queries, by the rule of `era.method.query_groups` and by what is known already.

The strong model reads nothing for this: it costs milliseconds, and where nothing was read yet, text and answers tell.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from annotation.retrieval.open_collection import OpenCollection
from era.method.query_groups import QueryTraits, connected, near_copies
from era.types import Query
from storage.records import QueryRecord

Judged = Mapping[int, Mapping[str, float]]
"""query id -> document id -> agreed grade."""


def group_numbers(opened: OpenCollection, queries: Collection[QueryRecord], judged: Judged) -> dict[int, int]:
    """Return query id -> number of its group of near-copies, from 0 in the order of their first queries."""
    traits = _traits(opened, list(queries), judged)
    groups = connected(near_copies(traits, traits, opened.nearness()))
    return {query.id: int(group) for query, group in zip(queries, groups, strict=True)}


def copies_among(
    opened: OpenCollection, queries: Sequence[QueryRecord], others: Sequence[QueryRecord], judged: Judged
) -> set[int]:
    """Return the ids of those `queries` that are near-copies of any of the `others`."""
    found = near_copies(_traits(opened, queries, judged), _traits(opened, others, judged), opened.nearness())
    return {queries[row].id for row in np.flatnonzero(found.any(axis=1)).tolist()}


def _traits(opened: OpenCollection, queries: Sequence[QueryRecord], judged: Judged) -> QueryTraits:
    asked = [Query(str(query.id), query.text, query.instruction) for query in queries]
    relevant = [{doc_id: grade for doc_id, grade in judged.get(query.id, {}).items() if grade > 0} for query in queries]
    return QueryTraits([query.text for query in queries], opened.strong_vectors(asked), relevant)
