"""What the strong model has to read before the sides of a comparison can be ordered by it."""

import storage.queries
from annotation.comparing.rankings import rank_queries
from annotation.comparing.view import ComparisonView
from annotation.ranking.rereading import NOTHING_UNREAD, Unread, unread_in
from annotation.workspace import Workspace
from era.evaluation.measures import MIN_DEPTH
from era.method.reranking import N_REREAD


def unread_of_comparison(workspace: Workspace, view: ComparisonView) -> Unread:
    """Return what is unread on top of the sides that are reread, for the open query and for every judged one.

    Raises:
        NotFoundError: if a ranker does not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    keys = [key.without_rereading() for key in view.sides if key.is_reread]
    opened = workspace.open(view.collection_id)
    if not keys or opened.has_read_all:
        return NOTHING_UNREAD
    judged = workspace.standings(view.label_set_id).qrels()
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, view.collection_id)
    queries = [query for query in listed if query.id in judged or query.id == view.query_id]
    queries.sort(key=lambda query: query.id != view.query_id)
    sides = [rank_queries(workspace, opened, key, queries, MIN_DEPTH, view.is_in_sample) for key in keys]
    rankings = [[doc for side in sides for doc in side[query.id].ranking[:N_REREAD]] for query in queries]
    return unread_in(workspace, view.collection_id, opened, rankings)
