"""Documents that change later: further ones, other texts, removed ones.

Only texts that are new to the collection are embedded. The index in use stays until the new one is there; then
documents and index change together. Judgments stay.
"""

import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import storage.collections
import storage.documents
import storage.jobs
from annotation.collections.import_source import counted, drop_documents, new_document, share_read, store_queries
from annotation.collections.reindex import exchange
from annotation.errors import InvalidInputError
from annotation.jobs.worker import Done
from annotation.people.permissions import require, why_not_arrange
from annotation.retrieval.endpoint_costs import EndpointCosts, SampledTexts, endpoint_costs, readers_of
from annotation.retrieval.indexing import BATCH
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.io.content import Source
from era.progress import Progress, no_progress
from era.types import Document
from storage.batches import batches
from storage.documents import OutdatedMark
from storage.records import IMPORTS, NewDocument

UpdateMode = Literal["add", "replace"]
"""Whether documents that the source lacks stay, or go."""

_READING_SHARE = 0.3


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
        staging_id: a collection that nobody sees, in which documents wait until the index is ready.
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
