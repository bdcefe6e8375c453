"""Re-rank while somebody judges: the query follows the documents found relevant, as far as that has helped here before.

What is learned this way is for the remaining documents of the query alone; training carries over to other queries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

import storage.queries
from annotation.errors import NotAllowedError
from annotation.judging.search import DEPTH
from annotation.judging.test_queries import learnable
from annotation.judging.view import Card, lay_out_ranking
from annotation.ranking import rankers, rereading
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.active.feedback import MIN_QUERIES, Trials, expand, feed_back
from era.adapter import HeldOut
from era.method.candidates import LabelledQueries, label
from era.retriever import Retriever
from era.types import Query
from storage.records import JudgmentRole, QueryRecord

LiveState = Literal["changed", "waiting", "needs-more", "no-help"]

_N_QUERIES = 60  # labelled ones, the newest, that decide how far to follow
_N_SPARE = 20  # documents beyond those shown, to move up


@dataclass(frozen=True, slots=True)
class Followed:
    """The ranking after the marks made so far.

    Attributes:
        cards: the documents, best first.
        state: `changed` if the marks moved the query; `waiting` for the first relevant one; `needs-more` judged
            queries to know how far to follow; `no-help` if following did not help the queries judged so far.
    """

    cards: Sequence[Card]
    state: LiveState


def follow(workspace: Workspace, author: str | None, label_set_id: int, query: QueryRecord, ranker: str) -> Followed:
    """Rank the documents anew with the query moved towards what the author marked as relevant.

    Its words move as well if they count in the ranking that is watched.

    Args:
        workspace: of this process.
        author: whose marks count.
        label_set_id: where they are.
        query: that is being judged.
        ranker: key of the ranking that is being watched.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to judge.")
    opened = workspace.open(query.collection_id)
    chosen, held_out = rankers.retriever(workspace, opened, ranker)
    standings = workspace.standings(label_set_id)
    mine = {
        mark.doc_id: mark.grade
        for mark in standings.marks_of(query.id)
        if mark.author == author and mark.role is JudgmentRole.JUDGE and mark.doc_id in opened.index
    }
    relevant = {doc_id: grade for doc_id, grade in mine.items() if grade}
    qrels = learnable(workspace, label_set_id)
    weight, share, state = _how_far(workspace, opened, chosen, held_out, qrels, query)
    if weight or share:
        state = "changed" if relevant else "waiting"
    asked = Query(str(query.id), query.text, query.instruction)
    [vector] = chosen.query_vectors([asked])
    vector = feed_back(vector, opened.index.vectors(relevant), list(relevant.values()), weight)
    if chosen.lexical is not None and share and relevant:
        terms = expand(chosen.lexical, query.text, relevant, share)
        chosen = replace(chosen, lexical=chosen.lexical.reading_as(query.text, terms))
    rereading.read_top(workspace, query.collection_id, chosen, asked, vector)
    [ranking] = chosen.rank([asked], vector[None], DEPTH + _N_SPARE + len(mine))
    shown = [(doc.doc_id, doc.score) for doc in ranking]
    return Followed(lay_out_ranking(workspace, label_set_id, query, author, shown).cards, state)


def _how_far(
    workspace: Workspace,
    opened: OpenCollection,
    chosen: Retriever,
    held_out: Mapping[str, HeldOut],
    qrels: Mapping[int, Mapping[str, float]],
    query: QueryRecord,
) -> tuple[float, float, LiveState]:
    """Return how far vector and words follow, as queries that may be learned from tell, and why where neither does."""
    telling = [
        query_id
        for query_id in sorted(qrels, reverse=True)
        if query_id != query.id and sum(g > 0 and d in opened.index for d, g in qrels[query_id].items()) > 1
    ][:_N_QUERIES]
    if len(telling) < MIN_QUERIES:
        return 0.0, 0.0, "needs-more"
    labelled = _labelled(workspace, opened, telling, qrels)
    vectors = chosen.query_vectors(labelled.queries)
    known = [held_out.get(each.query_id) for each in labelled.queries]
    rows = [vectors[i] if each is None else each.vector for i, each in enumerate(known)]
    trials = Trials(labelled, np.ascontiguousarray(rows, dtype=np.float32), opened.index)
    weight, share = trials.choose_weight(), 0.0
    if chosen.lexical is not None and chosen.adapter.word_weight:
        word_weights = [chosen.adapter.word_weight if each is None else each.word_weight for each in known]
        share = trials.choose_share(weight, chosen.lexical, word_weights)
    return weight, share, "no-help"


def _labelled(
    workspace: Workspace, opened: OpenCollection, query_ids: Sequence[int], qrels: Mapping[int, Mapping[str, float]]
) -> LabelledQueries:
    with workspace.reading() as session:
        records = [storage.queries.get(session, query_id) for query_id in query_ids]
    queries = [Query(str(each.id), each.text, each.instruction) for each in records]
    judged = {str(query_id): qrels[query_id] for query_id in query_ids}
    return label(queries, opened.pair.encode_queries(queries), judged, opened.index)
