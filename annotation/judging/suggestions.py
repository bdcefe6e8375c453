"""The next most useful document of a query: the one whose judgment is expected to teach the model most."""

from collections.abc import Mapping

import numpy as np

import storage.pools
import storage.queries
from annotation.errors import NotAllowedError
from annotation.judging.test_queries import learnable
from annotation.judging.view import Card, setup_of
from annotation.labels.counts import offered_to
from annotation.ranking import rankers
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.active.acquisition import ScoredJudgments, ScoreScale, Usefulness, most_useful
from era.retriever import Retriever
from era.types import Query
from storage.records import JudgmentRole, QueryRecord

_N_OTHER_QUERIES = 30  # whose judgments tell how scores and relevance go together here
_N_SAMPLED = 1000
_LIKELY, _UNLIKELY = 0.6, 0.25


def most_useful_card(workspace: Workspace, author: str | None, label_set_id: int, query: QueryRecord) -> Card | None:
    """Return the document of the query's pool to judge next and why; None if none is left that would teach anything.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to judge.")
    opened = workspace.open(query.collection_id)
    best = rankers.default_ranker(workspace, query.collection_id, label_set_id)
    chosen, _ = rankers.retriever(workspace, opened, best)
    asked = Query(str(query.id), query.text, query.instruction)
    [vector] = chosen.query_vectors([asked])
    standings = workspace.standings(label_set_id)
    marks = standings.marks_of(query.id)
    mine = {m.doc_id: m.grade for m in marks if m.author == author and m.role is JudgmentRole.JUDGE}
    with workspace.reading() as session:
        pool = [each.doc_id for each in storage.pools.list_for(session, label_set_id, query.id)]
    offered = offered_to(pool, marks, author, setup_of(workspace, query.collection_id).n_judges)
    left = [doc_id for doc_id in offered if doc_id not in mine and doc_id in opened.index]
    known = {doc_id: grade for doc_id, grade in mine.items() if grade is not None}
    scale = ScoreScale.build(opened.index.vectors(opened.index.sample(_N_SAMPLED, seed=0)))
    others = _judgments_of_others(workspace, opened, chosen, scale, learnable(workspace, label_set_id), query)
    found = most_useful(vector, left, known, opened.index, scale, others)
    if not found or found[0].value == 0:
        return None
    return Card(query, opened.corpus[found[0].doc_id], why=_why(found[0]))


def _why(useful: Usefulness) -> dict[str, object]:
    code = "useful-unsure"
    if useful.probability >= _LIKELY:
        code = "useful-likely"
    elif useful.probability <= _UNLIKELY:
        code = "useful-unlikely"
    tenths = round(10 * useful.probability)
    return {"code": code, "chance": str(min(tenths, 9)) if tenths else "<1"}


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
