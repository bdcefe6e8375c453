"""Which queries are held out and which ones may be labelled.

Of the queries with a relevant document in the corpus at most 500 are used, the same ones for every seed. A seed
shuffles them; half, at most 200, are held out, and k labels are the first k of the rest, so a larger budget contains
every smaller one. A query with the text of a held-out one (another instruction) is no label: it would give it away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from era.types import Qrels, Query

MAX_QUERIES = 500
MAX_HELD_OUT = 200
_CAP_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Queries to be measured on, and queries that may be labelled, in the order in which they are."""

    seed: int
    held_out: Sequence[Query]
    labelled: Sequence[Query]


def usable_queries(queries: Sequence[Query], qrels: Qrels) -> list[Query]:
    """Return at most `MAX_QUERIES` queries that have a relevant document, in the given order."""
    usable = [query for query in queries if any(grade > 0 for grade in qrels.get(query.query_id, {}).values())]
    kept = np.random.default_rng(_CAP_SEED).permutation(len(usable))[:MAX_QUERIES]
    return [usable[i] for i in sorted(kept)]


def split(queries: Sequence[Query], seed: int) -> Split:
    """Return the split of this seed."""
    order = [queries[i] for i in np.random.default_rng(seed).permutation(len(queries))]
    n_held_out = min(len(order) // 2, MAX_HELD_OUT)
    held_out = order[:n_held_out]
    texts = {query.text for query in held_out}
    return Split(seed, held_out, [query for query in order[n_held_out:] if query.text not in texts])
