"""Rankings as TREC run files, honest about what the ranker had learned from."""

import storage.collections
import storage.queries
from annotation.comparing.rank import rank_queries
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.queries import query_names
from annotation.ranking.rankers import RankingKey, list_rankers
from annotation.transfer.files import ExportFile, file_name, queries_in_words
from annotation.workspace import Workspace
from era.io.writing import trec_run

MAX_DEPTH = 1000


def export_run(
    workspace: Workspace,
    author: str | None,
    collection_id: int,
    label_set_id: int,
    ranker_key: RankingKey,
    depth: int = 100,
) -> ExportFile:
    """Return what a ranker finds for the judged queries of a label set; for all queries where none is judged.

    A query that a training run learned from is ranked by the adapter of the fold that did not see it, as measures are.

    Args:
        workspace: of this process.
        author: who asks; rankings hide nothing from anybody.
        collection_id: whose queries.
        label_set_id: whose judged queries.
        ranker_key: as in `annotation.ranking.rankers`.
        depth: documents for each query, 1 to 1,000.

    Raises:
        InvalidInputError: if the depth is out of range, or there is no query.
        NotFoundError: if there is no such ranker here.
        NotReadyError: if the embedders are still being loaded, or the strong model has not read every document.
    """
    if not 1 <= depth <= MAX_DEPTH:
        raise InvalidInputError(f"A run file holds from 1 to {MAX_DEPTH:,} documents for each query.")
    labels = {ranker.key: ranker.label for ranker in list_rankers(workspace, collection_id, is_comparing=True)}
    if ranker_key not in labels:
        raise NotFoundError(f"There is no ranking named {ranker_key[:40]!r}. Choose one from the list.")
    opened, judged = workspace.open(collection_id), workspace.standings(label_set_id).qrels()
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
        listed = storage.queries.list_all(session, collection_id)
    queries = [query for query in listed if query.id in judged] or list(listed)
    if not queries:
        raise InvalidInputError("There is no query yet. Ask one in Judge, or bring a file of queries in.")
    ranked, names = rank_queries(workspace, opened, ranker_key, queries, depth), query_names(listed)
    origins = [each.origin for each in ranked.values()]
    tag = f"{ranker_key}-held-out" if "held_out" in origins else ranker_key
    remarks = [f"{labels[ranker_key]}: {queries_in_words(len(ranked))}, up to {depth:,} documents each."]
    if n_held_out := origins.count("held_out"):
        learned = f"{queries_in_words(n_held_out)} that it learned from"
        remarks.append(f"Ranked by adapters that had not seen their labels: {learned}.")
    if n_in_sample := origins.count("in_sample"):
        alike = queries_in_words(n_in_sample)
        remarks.append(f"What it finds may look better than it is for {alike}: near-copies of what it learned from.")
    text = trec_run({names[query_id]: each.ranking for query_id, each in ranked.items()}, tag)
    return ExportFile(
        file_name(collection.name, tag, ending=".run"), text.encode("utf-8"), "text/plain", tuple(remarks)
    )
