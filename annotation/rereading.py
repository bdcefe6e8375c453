"""Let the strong model read the documents on top of a ranking, so that it can order them anew (`era.method.reranking`).

A ranking never reads by itself: reading takes seconds and may cost money, so how much there is to read is said before,
and it is done where a person asks for it. What was read is kept by text and model, so that it is read once.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import storage.queries
from annotation.comparing.rankings import rank_queries
from annotation.comparing.views import ComparisonView
from annotation.endpoint_costs import EndpointCosts, endpoint_costs
from annotation.errors import NotAllowedError, NotReadyError
from annotation.library import Library
from annotation.rankers import retriever
from annotation.ranking_keys import RankingKey
from annotation.workspace import Workspace
from era.encoders.base import Vectors
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.evaluation.measures import MIN_DEPTH
from era.method.reranking import N_REREAD, RerankingRetriever
from era.retriever import Retriever
from era.types import Query, Ranking
from storage.records import QueryRecord

_AT_ONCE = 16
_STEP_S = 2.0  # after which a page is told how far reading is, and asks for more


@dataclass(frozen=True, slots=True)
class Unread:
    """What the strong model has not read yet of what a ranking needs.

    Attributes:
        doc_ids: the documents, those of the first query first.
        n_first: how many of them the first query needs.
        seconds: that reading them takes about; None if that is not known, or an endpoint reads.
        costs: what an endpoint is sent; None if none reads.
    """

    doc_ids: Sequence[str]
    n_first: int
    seconds: float | None
    costs: EndpointCosts | None


NOTHING_UNREAD = Unread((), 0, None, None)


def unread_of_query(workspace: Workspace, query: QueryRecord, key: str) -> Unread:
    """Return what is unread on top of one ranking of a query, as the judging desk shows it.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    library = workspace.library(query.collection_id)
    if library.has_read_all:
        return NOTHING_UNREAD
    first, _ = retriever(workspace, library, str(RankingKey.parse(key).without_rereading()))
    ranking = first.search(Query(str(query.id), query.text, query.instruction), N_REREAD)
    return _unread(workspace, query.collection_id, library, [ranking])


def unread_of_comparison(workspace: Workspace, view: ComparisonView) -> Unread:
    """Return what is unread on top of the sides that are reread, for the open query and for every judged one.

    Raises:
        NotFoundError: if a ranker does not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    keys = [parsed.without_rereading() for parsed in map(RankingKey.parse, view.sides) if parsed.is_reread]
    library = workspace.library(view.collection_id)
    if not keys or library.has_read_all:
        return NOTHING_UNREAD
    judged = workspace.standings(view.label_set_id).qrels()
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, view.collection_id)
    queries = [query for query in listed if query.id in judged or query.id == view.query_id]
    queries.sort(key=lambda query: query.id != view.query_id)
    sides = [rank_queries(workspace, library, str(key), queries, MIN_DEPTH, view.is_in_sample) for key in keys]
    rankings = [[doc for side in sides for doc in side[query.id].ranking[:N_REREAD]] for query in queries]
    return _unread(workspace, view.collection_id, library, rankings)


def ready_key(workspace: Workspace, query: QueryRecord, key: str) -> str:
    """Return the key of a ranking, without rereading as long as there is something to read for this query.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    parsed = RankingKey.parse(key)
    if not parsed.is_reread or not unread_of_query(workspace, query, key).doc_ids:
        return key
    return str(parsed.without_rereading())


def read_some(workspace: Workspace, author: str | None, collection_id: int, unread: Unread) -> None:
    """Read the first documents for about two seconds; whoever wants the others read asks again.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        NotReadyError: if the embedders are still being loaded, or what is read cannot be kept.
    """
    if author is None:
        raise NotAllowedError("Sign in to let the strong model read documents.")
    library, started = workspace.library(collection_id), time.monotonic()
    for start in range(0, len(unread.doc_ids), _AT_ONCE):
        _read(library, unread.doc_ids[start : start + _AT_ONCE])
        if time.monotonic() - started >= _STEP_S:
            return


def read_top(workspace: Workspace, collection_id: int, moved: Retriever, query: Query, vector: Vectors) -> None:
    """Read what a moved query (m,) brings to the top of a ranking that is reread; an endpoint is sent nothing.

    Raises:
        NotReadyError: if what is read cannot be kept.
    """
    if not isinstance(moved, RerankingRetriever) or _is_endpoint(workspace, collection_id):
        return
    library = workspace.library(collection_id)
    first = moved.rank_before_reading([query], vector[None], N_REREAD)
    _read(library, _unread(workspace, collection_id, library, first).doc_ids)


def _unread(workspace: Workspace, collection_id: int, library: Library, rankings: Iterable[Ranking]) -> Unread:
    """Return what is unread in rankings, one for each query."""
    per_query = [list(dict.fromkeys(doc.doc_id for doc in ranking)) for ranking in rankings]
    needed = list(dict.fromkeys(doc_id for doc_ids in per_query for doc_id in doc_ids))
    is_known, _ = library.strong_documents(needed)
    doc_ids = [doc_id for doc_id, is_read in zip(needed, is_known, strict=True) if not is_read]
    n_first = len(set(doc_ids) & set(per_query[0])) if per_query else 0
    if _is_endpoint(workspace, collection_id):
        reader = workspace.spec_of(collection_id).strong, len(doc_ids)
        return Unread(doc_ids, n_first, None, endpoint_costs([reader], library.corpus.contents(doc_ids)))
    each = _seconds_each(library)
    return Unread(doc_ids, n_first, None if each is None else each * len(doc_ids), None)


def _read(library: Library, doc_ids: Sequence[str]) -> None:
    library.pair.strong.encode_documents(library.corpus.contents(doc_ids))
    if not library.strong_documents(doc_ids)[0].all():
        raise NotReadyError(
            "What the strong model reads cannot be kept, so it cannot order documents anew. Make room on the disk "
            "that the app keeps its data on, then try again."
        )


def _is_endpoint(workspace: Workspace, collection_id: int) -> bool:
    return workspace.spec_of(collection_id).strong.kind == "openai"


def _seconds_each(library: Library) -> float | None:
    strong = library.pair.strong
    measured = strong.seconds_per_text if isinstance(strong, SentenceTransformerEmbedder) else None
    return measured or library.strong_reading.seconds_per_text
