"""Let the strong model read the documents on top of a ranking, so that it can order them anew (`era.method.reranking`).

A ranking never reads by itself: reading takes seconds and may cost money, so how much there is to read is said before,
and it is done where a person asks for it. What was read is kept by text and model, so that it is read once.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annotation.errors import NotAllowedError, NotReadyError
from annotation.ranking.rankers import RankingKey, retriever
from annotation.retrieval.endpoint_costs import EndpointCosts, endpoint_costs
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.encoders.base import Vectors
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
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


def unread_of_query(workspace: Workspace, query: QueryRecord, key: RankingKey) -> Unread:
    """Return what is unread on top of one ranking of a query, as the judging desk shows it.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    opened = workspace.open(query.collection_id)
    if opened.has_read_all:
        return NOTHING_UNREAD
    first, _ = retriever(workspace, opened, key.without_rereading())
    ranking = first.search(Query(str(query.id), query.text, query.instruction), N_REREAD)
    return unread_in(workspace, query.collection_id, opened, [ranking])


def ready_key(workspace: Workspace, query: QueryRecord, key: RankingKey) -> RankingKey:
    """Return the key of a ranking, without rereading as long as there is something to read for this query.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    if not key.is_reread or not unread_of_query(workspace, query, key).doc_ids:
        return key
    return key.without_rereading()


def read_some(workspace: Workspace, author: str | None, collection_id: int, unread: Unread) -> None:
    """Read the first documents for about two seconds; whoever wants the others read asks again.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        NotReadyError: if the embedders are still being loaded, or what is read cannot be kept.
    """
    if author is None:
        raise NotAllowedError("Sign in to let the strong model read documents.")
    opened, started = workspace.open(collection_id), time.monotonic()
    for start in range(0, len(unread.doc_ids), _AT_ONCE):
        _read(opened, unread.doc_ids[start : start + _AT_ONCE])
        if time.monotonic() - started >= _STEP_S:
            return


def read_top(workspace: Workspace, collection_id: int, moved: Retriever, query: Query, vector: Vectors) -> None:
    """Read what a moved query (m,) brings to the top of a ranking that is reread; an endpoint is sent nothing.

    Raises:
        NotReadyError: if what is read cannot be kept.
    """
    if not isinstance(moved, RerankingRetriever) or _is_endpoint(workspace, collection_id):
        return
    opened = workspace.open(collection_id)
    first = moved.rank_before_reading([query], vector[None], N_REREAD)
    _read(opened, unread_in(workspace, collection_id, opened, first).doc_ids)


def unread_in(workspace: Workspace, collection_id: int, opened: OpenCollection, rankings: Iterable[Ranking]) -> Unread:
    """Return what is unread in rankings, one for each query."""
    per_query = [list(dict.fromkeys(doc.doc_id for doc in ranking)) for ranking in rankings]
    needed = list(dict.fromkeys(doc_id for doc_ids in per_query for doc_id in doc_ids))
    is_known, _ = opened.strong_documents(needed)
    doc_ids = [doc_id for doc_id, is_read in zip(needed, is_known, strict=True) if not is_read]
    n_first = len(set(doc_ids) & set(per_query[0])) if per_query else 0
    if _is_endpoint(workspace, collection_id):
        reader = workspace.spec_of(collection_id).strong, len(doc_ids)
        return Unread(doc_ids, n_first, None, endpoint_costs([reader], opened.corpus.contents(doc_ids)))
    each = _seconds_each(opened)
    return Unread(doc_ids, n_first, None if each is None else each * len(doc_ids), None)


def _read(opened: OpenCollection, doc_ids: Sequence[str]) -> None:
    opened.pair.strong.encode_documents(opened.corpus.contents(doc_ids))
    if not opened.strong_documents(doc_ids)[0].all():
        raise NotReadyError(
            "What the strong model reads cannot be kept, so it cannot order documents anew. Make room on the disk "
            "that the app keeps its data on, then try again."
        )


def _is_endpoint(workspace: Workspace, collection_id: int) -> bool:
    return workspace.spec_of(collection_id).strong.kind == "openai"


def _seconds_each(opened: OpenCollection) -> float | None:
    strong = opened.pair.strong
    measured = strong.seconds_per_text if isinstance(strong, SentenceTransformerEmbedder) else None
    return measured or opened.strong_reading.seconds_per_text
