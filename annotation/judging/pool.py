"""What to judge: a small pool for each query, fed by every ranking that may be compared, so that none is favoured.

Judging only what one ranking shows would flatter that ranking; see Buckley & Voorhees 2004, "Retrieval evaluation with
incomplete information". The first places of all rankings are judged for certain; of what else stands among their first
tens some is drawn at random, and so is a little of what stands below. What was drawn from what is kept, so that a drawn
document can stand for those that were not (`era.evaluation.incomplete_judgments`). A pool grows when a ranking appears
and never shrinks.
"""

import hashlib
import logging
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from sqlalchemy.orm import Session

import storage.label_sets
from annotation.errors import NotFoundError
from annotation.judging.queries import OpenQuery, remember
from annotation.judging.setup import Place
from annotation.ranking import rankers
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.errors import EraError
from era.evaluation.incomplete_judgments import DEEP, TOP, Sample, SampledQuery
from era.types import Query
from storage.records import PoolDocument, PoolDraw

logger = logging.getLogger(__name__)

WORDS, RANDOM = "words", "random"
_DEEP_ONE_IN = 6  # documents of a pool that stand below the first tens
_CERTAIN_OF_FIVE = 3  # of those among the first tens
_N_FROM_NEW, _CERTAIN_FROM_NEW = 5, 2  # documents that rankings which appeared later bring in


@dataclass(frozen=True, slots=True)
class Pool:
    """Documents to be judged, and how those of them were drawn that are not in it for certain."""

    documents: Sequence[PoolDocument]
    draws: Sequence[PoolDraw]


def pool_of(workspace: Workspace, found: OpenQuery) -> OpenQuery:
    """Return a query with its pool made or extended if need be; visitors who may not write see what it would be.

    The aligned ranking feeds a pool once, as it is then: what people are given to judge does not grow with every step
    of the alignment (`annotation.collections.preparation`).

    Raises:
        NotReadyError: if the embedders are still being loaded and there is no pool yet.
    """
    place, query, documents, draws = found.place, found.query, found.pool, found.draws
    if documents and workspace.opened(query.collection_id) is None:
        return found
    label_set_id = place.page.label_set.id
    opened = workspace.open(query.collection_id)
    fed = _fed(documents, draws)
    new_keys = [
        key
        for key in _feeding(workspace, opened, place, is_new=not documents)
        if key not in fed and (label_set_id, query.id, key) not in opened.pooled
    ]
    if documents and not new_keys:
        return found
    asked = Query(str(query.id), query.text, query.instruction)
    rankings = {key: _ranking(workspace, opened, key, asked) for key in new_keys}
    kept: Sequence[PoolDocument] | None = None

    def add(session: Session, query_id: int) -> None:
        """Add to the stored pool; where others have changed it since it was read, only read it."""
        nonlocal kept
        if len(storage.label_sets.draws(session, label_set_id, [query_id]).get(query_id, ())) == len(draws):
            added = _added(found, query_id, rankings)
            storage.label_sets.add_to_pool(session, label_set_id, query_id, added.documents)
            for draw in added.draws:
                storage.label_sets.add_draw(session, label_set_id, query_id, draw)
        kept = storage.label_sets.pool_of(session, label_set_id, query_id)

    if place.author is not None:
        query = remember(workspace, query, add)
    if kept is None:  # it is stored when it is asked for again
        return replace(found, query=query, pool=[*documents, *_added(found, query.id, rankings).documents])
    opened.pooled.update((label_set_id, query.id, key) for key in new_keys)
    return replace(found, query=query, pool=kept)


def _added(found: OpenQuery, query_id: int, rankings: Mapping[str, Sequence[str]]) -> Pool:
    """Return what rankings bring into the pool of a query; the draw is the same whenever it is made."""
    written = f"{query_id} {found.query.text} {len(found.draws)}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(written.encode()).digest()[:4], "big"))
    if found.pool:
        return extend(found.pool, found.draws, rankings, rng)
    return compose(rankings, found.place.setup.depth, rng)


def sampled_queries(
    workspace: Workspace, label_set_id: int, opened: OpenCollection, qrels: Mapping[int, Mapping[str, float]]
) -> dict[int, SampledQuery]:
    """Return query id -> its judgments and how documents were drawn for judging, without documents that are gone.

    Args:
        workspace: of this process.
        label_set_id: whose pools they are.
        opened: the collection.
        qrels: query id -> document id -> grade.
    """
    with workspace.reading() as session:
        draws = storage.label_sets.draws(session, label_set_id, qrels.keys())
    return {
        query_id: SampledQuery(grades, tuple(samples_of(draws.get(query_id, ()), opened.index)))
        for query_id, grades in qrels.items()
    }


def samples_of(draws: Sequence[PoolDraw], there: Container[str]) -> list[Sample]:
    """Return the draws of a pool as samples; what a later ranking took for certain belongs to none of the earlier ones.

    Args:
        draws: of one pool, the oldest first.
        there: the documents that still exist.
    """
    samples: list[Sample] = []
    certain: set[str] = set()
    for draw in reversed(draws):
        drawn, not_drawn = (
            tuple(doc_id for doc_id in doc_ids if doc_id in there and doc_id not in certain)
            for doc_ids in (draw.drawn, draw.not_drawn)
        )
        samples.append(Sample(drawn, not_drawn, draw.is_deep))
        certain.update(draw.certain)
    return samples[::-1]


def compose(rankings: Mapping[str, Sequence[str]], depth: int, rng: np.random.Generator) -> Pool:
    """Return a new pool.

    Args:
        rankings: source -> document ids, best first; what stands below `DEEP` is not looked at.
        depth: how many documents the pool holds; fewer where the rankings have no more.
        rng: draws them.
    """
    tops = {key: ranking[:TOP] for key, ranking in rankings.items()}
    shown = _in_turn(tops.values())
    known = set(shown)
    below = [d for d in _in_turn(ranking[TOP:DEEP] for ranking in rankings.values()) if d not in known]
    n_top = depth - min(max(1, depth // _DEEP_ONE_IN), len(below))
    n_certain = -(-n_top * _CERTAIN_OF_FIVE // 5)
    certain = shown[:n_certain]
    first = replace(_draw(shown[n_certain:], n_top - n_certain, tuple(rankings), rng), certain=tuple(certain))
    deep = _draw(below, depth - len(certain) - len(first.drawn), tuple(rankings), rng, is_deep=True)
    documents = [*_from(tops, [*certain, *first.drawn]), *(PoolDocument(d, {RANDOM: None}) for d in deep.drawn)]
    return Pool(documents, [first, deep])


def extend(
    documents: Sequence[PoolDocument],
    draws: Sequence[PoolDraw],
    rankings: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> Pool:
    """Return what rankings that appeared later bring into a pool: their best, and some of what was never drawn from.

    Args:
        documents: the pool holds.
        draws: that it was made by.
        rankings: source -> document ids, best first, of the new ones.
        rng: draws documents.
    """
    tops = {key: ranking[:TOP] for key, ranking in rankings.items()}
    shown = _in_turn(tops.values())
    certain = shown[:_CERTAIN_FROM_NEW]
    pooled = {document.doc_id for document in documents}
    known = {*pooled, *certain, *(d for draw in draws if not draw.is_deep for d in draw.not_drawn)}
    added = [doc_id for doc_id in certain if doc_id not in pooled]
    new = [doc_id for doc_id in shown if doc_id not in known]
    draw = replace(_draw(new, _N_FROM_NEW - len(added), tuple(rankings), rng), certain=tuple(certain))
    return Pool(_from(tops, [*added, *draw.drawn]), [draw])


def order_for(pool: Sequence[PoolDocument], author: str | None, query_id: int) -> list[PoolDocument]:
    """Return the pool in an order of this person's own, the same at every visit, that tells nothing of the sources."""

    def place(document: PoolDocument) -> bytes:
        return hashlib.sha256(f"{query_id}\x1f{author}\x1f{document.doc_id}".encode()).digest()

    return sorted(pool, key=place)


def _feeding(workspace: Workspace, opened: OpenCollection, place: Place, is_new: bool) -> list[str]:
    """Return the rankings that may be compared: without labels, in use, of the newest training run; words with each.

    What the strong model orders anew feeds new pools alone: it has the same documents on top in another order, and
    would otherwise bring more of them into every pool once it has read the collection.
    """
    plain = [LIGHT]
    if opened.is_aligned:
        plain.append(ALIGNED)
    read = place.page.label_set, place.runs
    in_use = rankers.ranker_in_use(workspace, *read)
    plain.append(in_use.without_words())
    plain += rankers.newest_run(workspace, *read)
    reread = [in_use] if is_new and in_use.is_reread else []
    return [*dict.fromkeys([*plain, *(each.with_words() for each in plain), *reread]), WORDS]


def _fed(documents: Sequence[PoolDocument], draws: Sequence[PoolDraw]) -> Collection[str]:
    """Return the rankings that have fed a pool; of pools from before there were draws, all that know no labels."""
    fed = {key for document in documents for key in document.sources} | {key for draw in draws for key in draw.sources}
    if documents and not draws:
        plain = {LIGHT, ALIGNED, *fed} - {WORDS, RANDOM}
        fed |= {WORDS, *plain, *(RankingKey(key).with_words() for key in plain)}
    return fed


def _ranking(workspace: Workspace, opened: OpenCollection, key: str, query: Query) -> list[str]:
    """Return the best documents; none where a training run's adapter cannot be read, which must not stop judging."""
    if key == WORDS:
        return list(opened.words().search(query.text, DEEP)[0])
    try:
        return [doc.doc_id for doc in rankers.retriever(workspace, opened, RankingKey(key))[0].search(query, DEEP)]
    except (EraError, NotFoundError):
        logger.exception("The ranking %s cannot be used; the pool goes without it.", key)
        return []


def _in_turn(rankings: Iterable[Sequence[str]]) -> list[str]:
    """Return the documents of all rankings once each, rank by rank."""
    return list(dict.fromkeys(doc for at_rank in zip_longest(*rankings) for doc in at_rank if doc is not None))


def _draw(
    doc_ids: Sequence[str], n: int, sources: tuple[str, ...], rng: np.random.Generator, *, is_deep: bool = False
) -> PoolDraw:
    chosen = set(rng.choice(len(doc_ids), min(n, len(doc_ids)), replace=False).tolist()) if doc_ids else set()
    drawn = tuple(doc_id for place, doc_id in enumerate(doc_ids) if place in chosen)
    not_drawn = tuple(doc_id for place, doc_id in enumerate(doc_ids) if place not in chosen)
    return PoolDraw(sources, drawn, not_drawn, is_deep=is_deep)


def _from(tops: Mapping[str, Sequence[str]], doc_ids: Sequence[str]) -> list[PoolDocument]:
    """Return documents with their places in all rankings that have them among the first."""
    places = {key: {doc_id: rank for rank, doc_id in enumerate(top, start=1)} for key, top in tops.items()}
    return [PoolDocument(d, {key: ranks[d] for key, ranks in places.items() if d in ranks}) for d in doc_ids]
