"""Help from the model: a ranking that follows the marks, and the next most useful document of a query.

The ranking is relevance feedback (Rocchio): the query moves towards the documents found relevant, as far as that has
helped here before. What is learned this way is for the remaining documents of the query alone; training carries over to
other queries. The document asked for next is active learning: the one whose judgment is expected to teach the model
most (expected gradient length).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

import storage.queries
from annotation.errors import NotAllowedError
from annotation.judging.queries import DEPTH, OpenQuery
from annotation.judging.test_queries import learnable
from annotation.judging.view import Card, lay_out_ranking
from annotation.ranking import rankers
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.active.acquisition import ScoredJudgments, ScoreScale, Usefulness, most_useful
from era.active.feedback import MIN_QUERIES, Trials, expand, feed_back
from era.adapter import HeldOut
from era.method.candidates import LabelledQueries, label
from era.retriever import Retriever
from era.types import Query
from storage.records import JudgmentRole, QueryRecord

LiveState = Literal["changed", "waiting", "needs-more", "no-help"]

_N_OTHER_QUERIES = 30  # whose judgments tell how scores and relevance go together here
_N_SAMPLED = 1000
_LIKELY, _UNLIKELY = 0.6, 0.25

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


def follow(workspace: Workspace, found: OpenQuery, ranker: rankers.RankingKey) -> Followed:
    """Rank the documents anew with the query moved towards what the author marked as relevant.

    Its words move as well if they count in the ranking that is watched.

    Args:
        workspace: of this process.
        found: the query that is being judged, with the person whose marks count.
        ranker: key of the ranking that is being watched.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    author, query, label_set_id = found.place.author, found.query, found.place.page.label_set.id
    if author is None:
        raise NotAllowedError("Sign in to judge.")
    opened = workspace.open(query.collection_id)
    chosen, held_out = rankers.retriever(workspace, opened, ranker)
    mine = {
        mark.doc_id: mark.grade
        for mark in found.standing
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
    rankers.read_top(workspace, query.collection_id, chosen, asked, vector)
    [ranking] = chosen.rank([asked], vector[None], DEPTH + _N_SPARE + len(mine))
    shown = [(doc.doc_id, doc.score) for doc in ranking]
    return Followed(lay_out_ranking(workspace, found, shown).cards, state)


def most_useful_card(workspace: Workspace, found: OpenQuery) -> Card | None:
    """Return the document of the query's pool to judge next and why; None if none is left that would teach anything.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        NotReadyError: if the embedders are still being loaded.
    """
    author, query, label_set_id = found.place.author, found.query, found.place.page.label_set.id
    if author is None:
        raise NotAllowedError("Sign in to judge.")
    opened = workspace.open(query.collection_id)
    best = rankers.ranker_in_use(workspace, found.place.page.label_set, found.place.runs)
    chosen, _ = rankers.retriever(workspace, opened, best)
    asked = Query(str(query.id), query.text, query.instruction)
    [vector] = chosen.query_vectors([asked])
    mine = {m.doc_id: m.grade for m in found.standing if m.author == author and m.role is JudgmentRole.JUDGE}
    left = [doc_id for doc_id in found.offered if doc_id not in mine and doc_id in opened.index]
    known = {doc_id: grade for doc_id, grade in mine.items() if grade is not None}
    scale = ScoreScale.build(opened.index.vectors(opened.index.sample(_N_SAMPLED, seed=0)))
    others = _judgments_of_others(workspace, opened, chosen, scale, learnable(workspace, label_set_id), query)
    ranked = most_useful(vector, left, known, opened.index, scale, others)
    if not ranked or ranked[0].value == 0:
        return None
    return Card(query, opened.corpus[ranked[0].doc_id], why=_why(ranked[0]))


def _why(useful: Usefulness) -> dict[str, object]:
    code = "useful-unsure"
    if useful.probability >= _LIKELY:
        code = "useful-likely"
    elif useful.probability <= _UNLIKELY:
        code = "useful-unlikely"
    tenths = round(10 * useful.probability)
    return {"code": code, "chance": str(min(tenths, 9)) if tenths else "<1"}


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


def _judgments_of_others(
    workspace: Workspace,
    opened: OpenCollection,
    chosen: Retriever,
    scale: ScoreScale,
    qrels: Mapping[int, Mapping[str, float]],
    query: QueryRecord,
) -> ScoredJudgments | None:
    """Return the judged documents of the newest other queries, with their scores."""
    query_ids = sorted((query_id for query_id in qrels if query_id != query.id), reverse=True)[:_N_OTHER_QUERIES]
    if not query_ids:
        return None
    with workspace.reading() as session:
        records = [storage.queries.get(session, query_id) for query_id in query_ids]
    vectors = chosen.query_vectors([Query(str(each.id), each.text, each.instruction) for each in records])
    scores, is_relevant = [], []
    for query_id, vector in zip(query_ids, vectors, strict=True):
        judged = {doc_id: grade for doc_id, grade in qrels[query_id].items() if doc_id in opened.index}
        if judged:
            scores.append(scale.standard_scores(vector, opened.index.vectors(judged)))
            is_relevant.append(np.array([grade > 0 for grade in judged.values()]))
    return ScoredJudgments(np.concatenate(scores), np.concatenate(is_relevant)) if scores else None
