"""Exchange the index of a collection, together with the documents or the embedders that it is made of.

The index in use stays until the new one is complete; texts that it holds already are not read again.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import storage.collections
import storage.documents
from annotation.errors import InvalidInputError
from annotation.retrieval.indexing import BATCH, drop_other_indexes, find_index, index_folder
from annotation.workspace import Workspace
from era.corpus import fingerprint_of
from era.encoders.base import EmbedderPair
from era.encoders.spec import PairSpec
from era.index.building import IndexBuilding, Texts, embed_rest
from era.index.dense import DenseIndex
from era.progress import Progress
from era.types import Document
from storage.batches import batches

_BUILDING = "building"


def exchange(
    workspace: Workspace,
    collection_id: int,
    pair: EmbedderPair,
    folder: Path,
    progress: Progress,
    *,
    staging_id: int | None = None,
    removed: Collection[str] = (),
    spec: PairSpec | None = None,
) -> None:
    """Build the index of a collection as it will be, then change documents, embedders and index in one step.

    Args:
        workspace: holds the collection.
        collection_id: what changes.
        pair: its light embedder reads what the index in use does not hold.
        folder: for the new index until it counts; what an earlier attempt left there is used.
        progress: told about embedding.
        staging_id: where changed and further documents wait; None if there are none.
        removed: ids of the documents that go.
        spec: of `pair`, where the collection gets other embedders.

    Raises:
        InvalidInputError: if no document would be left, or somebody else changed the documents meanwhile.
    """
    with workspace.reading() as session:
        before = storage.collections.get(session, collection_id)
        current = list(storage.documents.iter_hashes(session, collection_id))
        waiting = dict(storage.documents.iter_hashes(session, staging_id)) if staging_id is not None else {}
    listed = [(doc_id, waiting.get(doc_id, text_hash)) for doc_id, text_hash in current if doc_id not in removed]
    there = {doc_id for doc_id, _ in current}
    listed += [(doc_id, text_hash) for doc_id, text_hash in waiting.items() if doc_id not in there]
    if not listed:
        raise InvalidInputError("No document would be left. Keep at least one, or delete the collection instead.")
    fingerprint, identity = fingerprint_of(listed), pair.light.identity
    place = index_folder(folder, fingerprint, identity)
    if find_index(place, identity) is None:
        old = _index_of(workspace, collection_id, before.corpus_fingerprint, pair)
        is_same = old is not None and spec is None  # another precision of a model has its name, not its vectors
        known = {text_hash: row for row, (_, text_hash) in enumerate(current)} if is_same else {}
        with IndexBuilding(folder / _BUILDING, identity, fingerprint) as building:
            texts = _texts_of(workspace, collection_id, staging_id, listed[len(building) :], set(known))
            embed_rest(building, texts, pair.light, len(listed), progress, known, old)
            building.finish([doc_id for doc_id, _ in listed]).save(place)
            building.discard()
    progress("saving", 1.0, "Exchanging the index")
    home = workspace.collection_folder(collection_id)
    target = index_folder(home, fingerprint, identity)
    with workspace.exchanging(collection_id):
        with workspace.reading() as session:
            if storage.collections.get(session, collection_id).corpus_fingerprint != before.corpus_fingerprint:
                raise InvalidInputError("Somebody changed the documents meanwhile. Nothing was done; try again.")
        _put_index(place, target)
        with workspace.writing() as session:
            storage.documents.remove(session, collection_id, removed)
            if staging_id is not None:
                storage.documents.move_in(session, collection_id, staging_id)
            storage.collections.set_index(
                session,
                collection_id,
                corpus_fingerprint=fingerprint,
                n_documents=len(listed),
                document_embedder=identity.to_json(),
            )
            if spec is not None:
                storage.collections.set_embedders(session, collection_id, spec.to_json())
        drop_other_indexes(home, target)


def _put_index(place: Path, target: Path) -> None:
    """Move a complete index to where it will count; one of the same documents and embedder may be there already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    place.rename(target)


def _index_of(
    workspace: Workspace, collection_id: int, corpus_fingerprint: str, pair: EmbedderPair
) -> DenseIndex | None:
    """Return the index in use, if the same embedder made it."""
    opened = workspace.opened(collection_id)
    if opened is not None and opened.corpus.fingerprint == corpus_fingerprint:
        index = opened.index
        return index if index.embedder == pair.light.identity else None
    home, identity = workspace.collection_folder(collection_id), pair.light.identity
    return find_index(index_folder(home, corpus_fingerprint, identity), identity)


def _texts_of(
    workspace: Workspace,
    collection_id: int,
    staging_id: int | None,
    listed: Sequence[tuple[str, str]],
    known: Collection[str],
) -> Iterator[Texts]:
    """Yield (hash, text) of the documents in the order listed; the text of a known hash is left empty."""
    for batch in batches(listed, BATCH):
        wanted = [doc_id for doc_id, text_hash in batch if text_hash not in known]
        found: dict[str, str] = {}
        for holder in (collection_id, staging_id):
            if holder is not None and wanted:
                with workspace.reading() as session:
                    documents = storage.documents.get_many(session, holder, wanted)
                found |= {
                    each.doc_id: Document(each.doc_id, each.title, each.text).content for each in documents.values()
                }
        yield [(text_hash, found.get(doc_id, "")) for doc_id, text_hash in batch]
