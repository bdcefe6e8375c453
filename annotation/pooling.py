"""What to judge: a small pool for each query, fed by several rankings and by chance, so that none is favoured.

Judging only what one ranking shows would flatter that ranking; see Buckley & Voorhees 2004, "Retrieval evaluation with
incomplete information". The pool grows when a better ranking appears and never shrinks.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence

import storage.pools
from annotation import rankers
from annotation.errors import NotFoundError
from annotation.library import Library
from annotation.workspace import Workspace
from era.errors import EraError
from era.types import Query
from storage.errors import DatabaseBusy, DataFolderNotWritable
from storage.records import PoolDocument, QueryRecord

logger = logging.getLogger(__name__)

WORDS, RANDOM = "words", "random"
_ONE_IN = 6  # documents of a pool drawn by chance
_N_FROM_NEW = 5  # documents that a ranking which appeared later brings in


def pool_of(
    workspace: Workspace, author: str | None, label_set_id: int, query: QueryRecord, depth: int
) -> Sequence[PoolDocument]:
    """Return the query's pool, made or extended if need be; visitors who may not write see what it would be.

    Args:
        workspace: of this process.
        author: who asks; None stores nothing.
        label_set_id: whose pool it is.
        query: to be judged.
        depth: how many documents a new pool holds.

    Raises:
        NotReadyError: if the embedders are still being loaded and there is no pool yet.
    """
    with workspace.reading() as session:
        pool = storage.pools.list_for(session, label_set_id, query.id)
    best = rankers.default_ranker(workspace, query.collection_id, label_set_id)
    if pool and (best == rankers.LIGHT or any(best in document.sources for document in pool)):
        return pool
    if pool and workspace.opened(query.collection_id) is None:
        return pool
    library = workspace.library(query.collection_id)
    seen = (label_set_id, query.id, best)
    if pool and seen in library.pooled:
        return pool
    asked = Query(str(query.id), query.text, query.instruction)
    if pool:
        known = {document.doc_id for document in pool}
        ranking = _ranking(workspace, library, best, asked, _N_FROM_NEW)
        new = [PoolDocument(d, {best: rank}) for rank, d in enumerate(ranking, start=1) if d not in known]
    else:
        new = _new_pool(workspace, library, asked, best, depth)
    if author is None:
        return [*pool, *new]
    if new:
        try:
            with workspace.writing() as session:
                storage.pools.add(session, label_set_id, query.id, new)
                pool = storage.pools.list_for(session, label_set_id, query.id)
        except (DatabaseBusy, DataFolderNotWritable) as error:  # it is stored when it is asked for again
            logger.warning("A pool is shown without being stored: %s", error)
            return [*pool, *new]
    library.pooled.add(seen)
    return pool


def _new_pool(workspace: Workspace, library: Library, query: Query, best: str, depth: int) -> list[PoolDocument]:
    keys = dict.fromkeys((rankers.LIGHT, best))
    rankings = {key: _ranking(workspace, library, key, query, depth) for key in keys}
    rankings[WORDS] = list(library.words().search(query.text, depth)[0])
    n_random = max(1, depth // _ONE_IN)
    seed = int.from_bytes(hashlib.sha256(f"{query.query_id} {query.text}".encode()).digest()[:4], "big")
    return compose(rankings, library.index.sample(depth + n_random, seed), depth, n_random)


def _ranking(workspace: Workspace, library: Library, key: str, query: Query, depth: int) -> list[str]:
    """Return the best documents; none where a training run's adapter cannot be read, which must not stop judging."""
    try:
        return [doc.doc_id for doc in rankers.retriever(workspace, library, key)[0].search(query, depth)]
    except (EraError, NotFoundError):
        logger.exception("The ranking %s cannot be used; the pool goes without it.", key)
        return []


def compose(
    rankings: Mapping[str, Sequence[str]], drawn: Sequence[str], depth: int, n_random: int
) -> list[PoolDocument]:
    """Return a pool: the rankings in turn, rank by rank, then documents drawn by chance.

    Args:
        rankings: source -> document ids, best first.
        drawn: document ids in random order, enough to find `n_random` new ones.
        depth: how many documents the pool holds at most.
        n_random: how many of them are drawn by chance.
    """
    chosen: dict[str, None] = {}
    longest = max((len(ranking) for ranking in rankings.values()), default=0)
    for place in range(longest):
        for ranking in rankings.values():
            if place < len(ranking) and len(chosen) < depth - n_random:
                chosen.setdefault(ranking[place])
    random = [doc_id for doc_id in drawn if doc_id not in chosen][: depth - len(chosen)]
    random = random[: max(n_random, 0)]
    places = {key: {doc_id: rank for rank, doc_id in enumerate(ranking, 1)} for key, ranking in rankings.items()}
    pool = [
        PoolDocument(doc_id, {key: ranks[doc_id] for key, ranks in places.items() if doc_id in ranks})
        for doc_id in chosen
    ]
    return [*pool, *(PoolDocument(doc_id, {RANDOM: None}) for doc_id in random)]


def order_for(pool: Sequence[PoolDocument], author: str | None, query_id: int) -> list[PoolDocument]:
    """Return the pool in an order of this person's own, the same at every visit, that tells nothing of the sources."""

    def place(document: PoolDocument) -> bytes:
        return hashlib.sha256(f"{query_id}\x1f{author}\x1f{document.doc_id}".encode()).digest()

    return sorted(pool, key=place)
