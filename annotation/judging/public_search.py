"""Search for programs: what the public endpoint and its tool answer. Nothing is stored, no marks are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from annotation.collections.page import list_collections, open_page
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.queries import find_documents, look_for, run_query
from annotation.ranking.rankers import SNAPSHOTS_GROUP, RankingKey, default_ranker, list_rankers
from annotation.workspace import Workspace
from storage.records import CollectionRecord

MAX_RESULTS = 100
_N_NAMED = 20  # collections or rankings that a message lists


@dataclass(frozen=True, slots=True)
class Result:
    """One document of a shown ranking; `rank` counts from 1, `score` is as in `era.types.ScoredDoc`."""

    rank: int
    doc_id: str
    title: str
    text: str
    score: float


def search_publicly(
    workspace: Workspace, query: str, instruction: str, collection: str, ranker: str, k: int
) -> list[Result]:
    """Return the best documents, best first; fewer than k if there are fewer.

    Args:
        workspace: of this process.
        query: what is looked for.
        instruction: how it is to be read; empty for none.
        collection: its name, or its number as a text; empty for the one used last.
        ranker: key of a ranking, such as `light` or `run-3`; empty for the one that the judging desk would use.
        k: 1 to 100.

    Raises:
        InvalidInputError: if the query is empty, a text too long or not a text, or k out of range.
        NotFoundError: if there is no such collection or ranking; the message lists those that there are.
        NotReadyError: if the embedders are still being loaded.
    """
    for name, value in {"query": query, "instruction": instruction, "collection": collection, "ranker": ranker}.items():
        if not isinstance(value, str):  # what programs send is not checked before
            raise InvalidInputError(f"{name} should be a text, got {type(value).__name__}.")
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= MAX_RESULTS:
        raise InvalidInputError(f"k should be a whole number from 1 to {MAX_RESULTS}, got {str(k)[:20]}.")
    chosen = _find_collection(list_collections(workspace), collection)
    asked = look_for(workspace, None, chosen.id, None, query, instruction).query
    found = run_query(workspace, None, asked, _find_ranker(workspace, chosen.id, ranker), depth=k)
    documents = find_documents(workspace, chosen.id, [doc_id for doc_id, _ in found.ranking])
    return [
        Result(rank, doc_id, documents[doc_id].title, documents[doc_id].text, score)
        for rank, (doc_id, score) in enumerate(found.ranking, start=1)
        if doc_id in documents
    ]


def _find_collection(collections: Sequence[CollectionRecord], wanted: str) -> CollectionRecord:
    """Return the collection of a name or number; a name wins where both fit."""
    if not wanted.strip():
        return collections[0]
    for named in (
        [each for each in collections if each.name == wanted.strip()],
        [each for each in collections if str(each.id) == wanted.strip()],
    ):
        if named:
            return named[0]
    raise NotFoundError(
        f"There is no collection named {wanted.strip()[:60]!r}. There are: "
        f"{'; '.join(each.name for each in collections[:_N_NAMED])}."
    )


def _find_ranker(workspace: Workspace, collection_id: int, wanted: str) -> RankingKey:
    """Return the key of a ranking; without a wish, the best there is for the newest label set."""
    if not wanted.strip():
        return default_ranker(workspace, collection_id, open_page(workspace, collection_id, None).label_set.id)
    offered = list_rankers(workspace, collection_id, is_comparing=True)
    keys = [each.key for each in offered if each.group != SNAPSHOTS_GROUP]
    if wanted.strip() not in keys:
        raise NotFoundError(
            f"There is no ranking named {wanted.strip()[:40]!r} in this collection. There are: "
            f"{', '.join(keys[:_N_NAMED])}."
        )
    return RankingKey(wanted.strip())
