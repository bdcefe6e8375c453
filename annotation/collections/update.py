"""Documents and embedders of a collection that change later, and the exchange of the index that goes with it.

Only texts that are new to the collection are embedded. The index in use stays until the new one is complete; then
documents and index change together. Judgments stay.
"""

import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import storage.collections
import storage.documents
import storage.jobs
from annotation.collections.import_source import counted, drop_documents, new_document, share_read, store_queries
from annotation.errors import InvalidInputError
from annotation.jobs.worker import Done
from annotation.people.permissions import require, why_not_arrange
from annotation.retrieval.endpoint_costs import EndpointCosts, SampledTexts, endpoint_costs, readers_of
from annotation.retrieval.indexing import BATCH, drop_other_indexes, find_index, index_folder
from annotation.workspace import Workspace
from era.corpus import fingerprint_of
from era.encoders.base import EmbedderPair
from era.encoders.spec import PairSpec
from era.index.building import IndexBuilding, Texts, embed_rest
from era.index.dense import DenseIndex
from era.io.content import Source
from era.progress import Progress, no_progress
from era.types import Document
from storage.documents import OutdatedMark
from storage.engine import batches
from storage.records import IMPORTS, NewDocument

UpdateMode = Literal["add", "replace"]
"""Whether documents that the source lacks stay, or go."""

_READING_SHARE = 0.3
_BUILDING = "building"


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """What an update would do, in numbers, and what an endpoint costs that reads the new texts.

    Attributes:
        n_added: that the collection does not have.
        n_changed: whose text is another.
        n_removed: that the source lacks, where it is to replace all.
        n_facts_changed: whose text stays, while something else that is known of them is different.
        n_same: that stay as they are.
        n_judged_changed: of the changed ones, those that somebody has judged.
        n_judged_removed: of the removed ones.
        n_queries: that come along.
        n_judgments: that come along.
        costs: nothing where the collection uses no endpoint.
    """

    n_added: int
    n_changed: int
    n_removed: int
    n_facts_changed: int
    n_same: int
    n_judged_changed: int
    n_judged_removed: int
    n_queries: int
    n_judgments: int
    costs: EndpointCosts


@dataclass(frozen=True, slots=True)
class _Compared:
    """Some documents of the source beside those of the collection; `to_store` are the ones that differ at all."""

    to_store: Sequence[NewDocument]
    added: Sequence[str]
    changed: Sequence[str]
    same: Sequence[str]

    @property
    def n_facts_changed(self) -> int:
        """Return how many differ in nothing that is embedded."""
        return len(self.to_store) - len(self.added) - len(self.changed)


def plan_update(workspace: Workspace, collection_id: int, source: Source, mode: UpdateMode) -> UpdatePlan:
    """Return what an update would do; nothing is changed.

    Raises:
        FormatError: if the source cannot be read.
        UnknownRecord: if there is no such collection.
    """
    seen: set[str] = set()
    changed: set[str] = set()
    texts = SampledTexts()
    n_added = n_facts_changed = n_same = 0
    for some in _compare(workspace, collection_id, source):
        n_added, n_same = n_added + len(some.added), n_same + len(some.same) - some.n_facts_changed
        n_facts_changed += some.n_facts_changed
        to_read = {*some.added, *some.changed}
        for each in some.to_store:
            if each.doc_id in to_read:
                texts.add(Document(each.doc_id, each.title, each.text).content)
        changed.update(some.changed)
        seen.update(some.changed, some.same)
    removed = _missing(workspace, collection_id, seen) if mode == "replace" else set()
    with workspace.reading() as session:
        judged = storage.documents.judged_ids(session, collection_id)
    readers = readers_of(workspace.spec_of(collection_id), texts.n, workspace.n_alignment_texts(collection_id))
    return UpdatePlan(
        n_added=n_added,
        n_changed=len(changed),
        n_removed=len(removed),
        n_facts_changed=n_facts_changed,
        n_same=n_same,
        n_judged_changed=len(changed & judged),
        n_judged_removed=len(removed & judged),
        n_queries=len(source.queries()),
        n_judgments=sum(map(len, source.qrels().values())),
        costs=endpoint_costs(readers, texts.texts),
    )


def update(
    workspace: Workspace,
    collection_id: int,
    source: Source,
    mode: UpdateMode,
    staging_id: int,
    author: str,
    pair: EmbedderPair,
    progress: Progress,
    job_id: int,
) -> Done:
    """Change the documents of a collection to what a source holds, and return what was done, for people.

    Args:
        workspace: holds the collection.
        collection_id: whose documents they are.
        source: read from its beginning.
        mode: whether documents that it lacks stay.
        staging_id: a collection that no one sees, in which documents wait until the index is ready.
        author: who asked for it.
        pair: of the collection.
        progress: told how far the whole is; raising `Cancelled` in it leaves the collection as it was.
        job_id: of the import that ends with this.

    Raises:
        FormatError: if the source cannot be read.
        InvalidInputError: if no document would be left.
    """
    source.queries()  # a mistake in them is better told before anything changes
    source.qrels()
    drop_documents(workspace, staging_id)
    seen: set[str] = set()
    n_added = n_changed = n_facts_changed = 0
    for some in _compare(workspace, collection_id, source):
        seen.update(some.changed, some.same)
        n_added, n_changed = n_added + len(some.added), n_changed + len(some.changed)
        n_facts_changed += some.n_facts_changed
        progress(
            "reading",
            _READING_SHARE * share_read(source, n_added + len(seen)),
            f"{counted(n_added, 'new document')} and {counted(n_changed, 'changed document')} so far",
        )
        with workspace.writing() as session:
            storage.documents.add_many(session, staging_id, some.to_store)
    removed = _missing(workspace, collection_id, seen) if mode == "replace" else set()

    def say(stage: str, fraction: float, detail: str = "") -> None:
        progress(stage, _READING_SHARE + (0.98 - _READING_SHARE) * fraction, detail)

    folder = workspace.collection_folder(staging_id)
    exchange(workspace, collection_id, pair, folder, say, staging_id=staging_id, removed=removed)
    stored = store_queries(workspace, source, collection_id, author, f"import-{collection_id}-{job_id}")
    parts = [f"{counted(n_added, 'document')} added", f"{n_changed:,} changed", f"{len(removed):,} removed"]
    parts += [f"{n_facts_changed:,} with other facts"] if n_facts_changed else []
    parts += [f"{counted(stored.n_queries, 'query', 'queries')} brought along"] if stored.n_queries else []
    message = f"{', '.join(parts)}; your judgments are kept."
    return Done(message, [*source.remarks, *stored.remarks], collection_id)


def remove_documents(workspace: Workspace, author: str | None, collection_id: int, doc_ids: Collection[str]) -> int:
    """Remove documents by their ids and return how many there were; ids that the collection lacks change nothing.

    Judgments of them stay stored, and count again if the document comes back.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if no document would be left, or an import changes the collection at the moment.
        NotReadyError: if the embedders are still being loaded.
        UnknownRecord: if there is no such collection.
    """
    require_arranger(workspace, author, collection_id, "remove documents of this collection")
    with workspace.reading() as session:
        is_changing = storage.jobs.has_under_way(session, IMPORTS, collection_id)
        there = set(storage.documents.get_many(session, collection_id, doc_ids))
    if is_changing:
        raise InvalidInputError(
            "An import changes this collection at the moment. Wait until it is done, then try again."
        )
    if not there:
        return 0
    folder = workspace.collection_folder(collection_id) / f"removing-{time.time_ns()}"
    try:
        pair = workspace.pair_for(collection_id)
        exchange(workspace, collection_id, pair, folder, no_progress, removed=there)
        workspace.open(collection_id).aligned()  # nearly always by what was read before
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return len(there)


def changed_judgments(workspace: Workspace, label_set_id: int) -> Sequence[OutdatedMark]:
    """Return the marks that stand though their document had another text when they were made."""
    with workspace.reading() as session:
        return storage.documents.outdated_marks(session, label_set_id)


def require_arranger(workspace: Workspace, author: str | None, collection_id: int, what: str) -> None:
    """Refuse to `what` where the collection is not the person's to change.

    Raises:
        NotAllowedError: if it is not.
        UnknownRecord: if there is no such collection.
    """
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
    require(why_not_arrange(workspace.settings, author, collection, what))


def _compare(workspace: Workspace, collection_id: int, source: Source) -> Iterator[_Compared]:
    with workspace.reading() as session:
        storage.collections.get(session, collection_id)
    for batch in batches(source.documents(), BATCH):
        new = [new_document(each) for each in batch]
        with workspace.reading() as session:
            there = storage.documents.get_many(session, collection_id, [each.doc_id for each in new])
        known = {
            doc_id: NewDocument(doc_id, d.title, d.text, d.content_hash, d.metadata) for doc_id, d in there.items()
        }
        of_known = [each for each in new if each.doc_id in known]
        is_changed = {each.doc_id: each.content_hash != known[each.doc_id].content_hash for each in of_known}
        yield _Compared(
            to_store=[each for each in new if known.get(each.doc_id) != each],
            added=[each.doc_id for each in new if each.doc_id not in known],
            changed=[doc_id for doc_id, changed in is_changed.items() if changed],
            same=[doc_id for doc_id, changed in is_changed.items() if not changed],
        )


def _missing(workspace: Workspace, collection_id: int, seen: Collection[str]) -> set[str]:
    with workspace.reading() as session:
        return {doc_id for doc_id, _ in storage.documents.iter_hashes(session, collection_id) if doc_id not in seen}


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
