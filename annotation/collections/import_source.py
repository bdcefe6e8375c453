"""Store a new collection from a source: in a job that embeds meanwhile, or from the command line before the app runs.

It is not seen before it is complete. Everything is written in short transactions; killed in the middle, it goes on
after the last document stored, and the index after the last vector noted.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session
from tqdm import tqdm

import storage.collections
import storage.documents
import storage.jobs
import storage.judgments
import storage.label_sets
import storage.queries
import storage.removal
from annotation.collections.store_whole import IMPORTED_LABELS, OWN_LABELS
from annotation.errors import CollectionFileError, InvalidInputError
from annotation.jobs.child import read_ahead
from annotation.jobs.worker import Done
from annotation.people.permissions import IMPORTED_AUTHOR
from annotation.retrieval.indexing import BATCH, adopt_index, find_index, index_folder
from annotation.workspace import Workspace
from era.corpus import content_hash, fingerprint_of
from era.encoders.base import Embedder
from era.encoders.spec import PairSpec
from era.errors import SourceUnreachable
from era.index.building import IndexBuilding, Texts, embed_rest
from era.io.content import Source, SourceDocument
from era.progress import Progress
from era.types import Document
from storage.engine import batches
from storage.records import (
    IMPORTS,
    MAX_GRADE,
    CollectionRecord,
    CollectionState,
    JudgmentRole,
    NewDocument,
    NewJudgment,
)

MAX_NAME_LENGTH = 80
_BUILDING = "building"
_QUERIES_AT_ONCE = 200
_READING_SHARE = 0.95  # of the whole import; the rest is the index and the queries


@dataclass(slots=True)
class Collected:
    """What an import has brought in so far; `remarks` are for people."""

    n_documents: int = 0
    n_queries: int = 0
    n_judgments: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the numbers as people say them."""
        parts = [counted(self.n_documents, "document")]
        parts += [counted(self.n_queries, "query", "queries")] if self.n_queries else []
        parts += [counted(self.n_judgments, "judgment")] if self.n_judgments else []
        return ", ".join(parts)


def counted(n: int, one: str, several: str = "") -> str:
    """Return a number with its noun."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def check_name(name: str) -> str:
    """Return the name of a collection without needless blanks.

    Raises:
        InvalidInputError: if it is empty, too long, or begins with a full stop.
    """
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_LENGTH or name.startswith("."):
        raise InvalidInputError(f"A collection needs a name of 1 to {MAX_NAME_LENGTH} letters that begins with no dot.")
    return name


def collect(
    workspace: Workspace,
    source: Source,
    staging_id: int,
    author: str,
    embedder: Embedder,
    progress: Progress,
) -> Done:
    """Fill a collection that is not seen yet, and index it; it is shown once what this returns is stored.

    Args:
        workspace: holds it.
        source: what is imported.
        staging_id: of the collection; what an earlier attempt stored of the same source is kept.
        author: who imports.
        embedder: reads the documents.
        progress: told how far the whole is; raising `Cancelled` in it keeps what is stored, for later.

    Raises:
        FormatError: if the source cannot be read.
        InvalidInputError: if it holds no document.
    """
    source.queries()  # a mistake in them is better told before hours of embedding than after
    source.qrels()
    folder = workspace.collection_folder(staging_id)
    with IndexBuilding(folder / _BUILDING, embedder.identity, f"import {staging_id}") as building:
        listed = keep_what_fits(workspace, source, staging_id)
        n_stored = len(listed)
        if len(building) > n_stored:
            building.restart()

        def say(stage: str, fraction: float, detail: str = "") -> None:
            read = share_read(source, len(building))
            progress("embedding", _READING_SHARE * read, f"{counted(len(building), 'document')} so far")

        say("embedding", 0.0)
        texts = _stored_texts(workspace, staging_id, len(building), n_stored)
        to_read = _both(texts, store_documents(workspace, source, staging_id, listed))
        with closing(read_ahead(to_read)) as to_embed:  # nothing is stored any more once this is cancelled
            embed_rest(building, to_embed, embedder, 0, say)
        progress("saving", _READING_SHARE, f"Saving the index of {counted(len(building), 'document')}")
        if not listed:
            raise InvalidInputError(f"{source.name} holds no document with any text. Nothing was imported.")
        fingerprint = fingerprint_of(listed)
        place = index_folder(folder, fingerprint, embedder.identity)
        if find_index(place, embedder.identity) is None:
            building.finish([doc_id for doc_id, _ in listed]).save(place)
        progress("queries", 0.98, "Storing queries and judgments")
        collected = store_queries(workspace, source, staging_id, author, f"import-{staging_id}")
        collected.n_documents = len(listed)

    def publish(session: Session) -> None:
        storage.collections.set_index(
            session,
            staging_id,
            corpus_fingerprint=fingerprint,
            n_documents=len(listed),
            document_embedder=embedder.identity.to_json(),
        )
        storage.collections.publish(session, staging_id)

    return Done(
        collected.text,
        [*source.remarks, *collected.remarks],
        staging_id,
        store=publish,
        afterwards=lambda: shutil.rmtree(folder / _BUILDING, ignore_errors=True),
    )


def share_read(source: Source, n_documents: int) -> float:
    """Return how much of a source has been read, in [0, 1], after that many documents; 0 where no one can tell."""
    if source.n_bytes:
        return min(source.n_bytes_read / source.n_bytes, 1.0)
    return min(n_documents / source.n_documents, 1.0) if source.n_documents else 0.0


def keep_what_fits(workspace: Workspace, source: Source, staging_id: int) -> list[tuple[str, str]]:
    """Return (id, content hash) of what an earlier attempt stored; if those are not the source's first, drop them."""
    with workspace.reading() as session:
        stored = list(storage.documents.iter_hashes(session, staging_id))
    n_same = 0
    if stored:
        for (doc_id, text_hash), read in zip(stored, source.documents(), strict=False):
            if (doc_id, text_hash) != (read.document.doc_id, content_hash(read.document)):
                break
            n_same += 1
    if n_same < len(stored):
        drop_documents(workspace, staging_id)
        return []
    return stored


def drop_documents(workspace: Workspace, staging_id: int) -> None:
    """Delete the documents of a collection that no one sees, a few at a time, so that no one waits."""
    n_deleted = BATCH
    while n_deleted == BATCH:
        with workspace.writing() as session:
            n_deleted = storage.removal.delete_documents(session, staging_id, BATCH)


def discard_staging(workspace: Workspace, staging_id: int) -> None:
    """Delete a collection that no one has seen, with its files."""
    drop_documents(workspace, staging_id)
    with workspace.writing() as session:
        storage.removal.discard(session, staging_id)
    shutil.rmtree(workspace.collection_folder(staging_id), ignore_errors=True)


def finish_deletions(workspace: Workspace) -> None:
    """Delete what is left of collections whose deletion was cut short."""
    with workspace.reading() as session:
        hidden = storage.collections.list_in_state(session, CollectionState.DELETED)
    for collection in hidden:
        if collection.n_documents:
            delete_hidden(workspace, collection.id)


def delete_hidden(workspace: Workspace, collection_id: int) -> None:
    """Delete all that belongs to a collection that was hidden, with its files."""
    with workspace.reading() as session:
        run_ids = storage.removal.training_run_ids(session, collection_id)
    for run_id in run_ids:
        shutil.rmtree(workspace.adapter_folder(run_id), ignore_errors=True)
    shutil.rmtree(workspace.collection_folder(collection_id), ignore_errors=True)
    drop_documents(workspace, collection_id)
    with workspace.writing() as session:
        storage.removal.delete_rest(session, collection_id)
    workspace.close_opened(collection_id)  # and with it what a page that was still open counted meanwhile


def store_documents(
    workspace: Workspace, source: Source, staging_id: int, listed: list[tuple[str, str]]
) -> Iterator[Texts]:
    """Store the documents that follow those listed, each batch in a transaction of its own, and yield its texts.

    What is stored is added to the list, as (id, content hash).
    """
    for batch in batches(islice(source.documents(), len(listed), None), BATCH):
        new = [new_document(read) for read in batch]
        with workspace.writing() as session:
            storage.documents.add_many(session, staging_id, new)
        listed += [(each.doc_id, each.content_hash) for each in new]
        yield [(each.content_hash, read.document.content) for each, read in zip(new, batch, strict=True)]


def new_document(read: SourceDocument) -> NewDocument:
    """Return a document as it is stored."""
    document = read.document
    metadata = dict(read.metadata) or None
    return NewDocument(document.doc_id, document.title, document.text, content_hash(document), metadata)


def store_queries(workspace: Workspace, source: Source, collection_id: int, author: str, client_id: str) -> Collected:
    """Store queries and judgments of a source, a few in each transaction; a second time changes nothing."""
    queries, qrels = source.queries(), source.qrels()
    collected = Collected(n_queries=len(queries))
    label_set_id = _label_set_for(workspace, collection_id, author, is_judged=bool(qrels))
    sequence = n_unknown = n_high = 0
    known_ids: dict[int, str] = {}
    for batch in batches(queries, _QUERIES_AT_ONCE):
        wanted = {doc_id for each in batch for doc_id in qrels.get(each.query.query_id, ())}
        with workspace.writing() as session:
            documents = storage.documents.get_many(session, collection_id, wanted)
            judgments: list[NewJudgment] = []
            for each in batch:
                query = each.query
                stored = storage.queries.get_or_create(
                    session, collection_id, query.text, query.instruction, IMPORTED_AUTHOR, query.query_id, each.need
                )
                if known_ids.setdefault(stored.id, query.query_id) != query.query_id:
                    remark = f"Queries {known_ids[stored.id]} and {query.query_id} are the same and became one."
                    collected.remarks.append(remark)
                for doc_id, grade in qrels.get(query.query_id, {}).items():
                    sequence += 1
                    if doc_id not in documents:
                        n_unknown += 1
                        continue
                    n_high += grade > MAX_GRADE
                    judgments.append(
                        NewJudgment(
                            label_set_id=label_set_id,
                            query_id=stored.id,
                            instruction_id=stored.instruction_id,
                            doc_id=doc_id,
                            content_hash=documents[doc_id].content_hash,
                            author=IMPORTED_AUTHOR,
                            grade=min(grade, MAX_GRADE),
                            client_id=client_id,
                            sequence=sequence,
                            role=JudgmentRole.REFERENCE,
                        )
                    )
            storage.judgments.append_many(session, judgments)
            collected.n_judgments += len(judgments)
    if n_unknown:
        collected.remarks.append(
            f"Left out: {counted(n_unknown, 'judgment')} of documents that are not in the collection."
        )
    if n_high:
        collected.remarks.append(f"{counted(n_high, 'grade')} above {MAX_GRADE:g} became {MAX_GRADE:g}.")
    return collected


def _label_set_for(workspace: Workspace, collection_id: int, author: str, is_judged: bool) -> int:
    """Return where imported judgments go; every collection has a label set, with judgments or without."""
    with workspace.writing() as session:
        known = storage.label_sets.list_names(session, collection_id)
        if known and not is_judged:
            return known[0].id
        name = IMPORTED_LABELS if is_judged else OWN_LABELS
        return storage.label_sets.get_or_create(session, collection_id, name, author).id


def _both(first: Iterator[Texts], second: Iterator[Texts]) -> Iterator[Texts]:
    """Yield both; what is being read is closed with this, as `itertools.chain` would not do."""
    yield from first
    yield from second


def _stored_texts(workspace: Workspace, staging_id: int, n_embedded: int, n_stored: int) -> Iterator[Texts]:
    """Yield what an earlier attempt stored and did not embed; positions count from 0 while nothing was removed."""
    position = n_embedded - 1
    while position < n_stored - 1:
        with workspace.reading() as session:
            found = storage.documents.page(session, staging_id, position, BATCH)
        position = found[-1].position
        yield [(each.content_hash, Document(each.doc_id, each.title, each.text).content) for each in found]


logger = logging.getLogger(__name__)


def import_now(
    workspace: Workspace, source: Source, author: str, embedders: PairSpec | None = None, path: Path | None = None
) -> CollectionRecord:
    """Return the collection named as the source, storing it first if it is new; what was left out is logged.

    Args:
        workspace: holds it.
        source: what is imported.
        author: who imports.
        embedders: of a new collection; None for the bundled pair.
        path: where the source was found; what the library or the command line has indexed there is not read again.

    Raises:
        SourceUnreachable: if the source stops answering; what was stored is kept for the next call.
        FormatError: if the source cannot be read; nothing of it is kept.
        CollectionFileError: if it holds no document, a collection of this name has other documents, or an import of
            this name, begun in the app, has not come to its end.
    """
    with workspace.reading() as session:
        known = storage.collections.find_by_name(session, source.name)
    if known is not None:
        return _use_again(workspace, source, known)
    staging = _staging_of(workspace, source.name, author, embedders)
    try:
        listed = keep_what_fits(workspace, source, staging.id)
        with tqdm(desc=f"Storing {source.name}", initial=len(listed), unit=" documents", unit_scale=True) as bar:
            for texts in store_documents(workspace, source, staging.id, listed):
                bar.update(len(texts))
        fingerprint, n_documents = fingerprint_of(listed), len(listed)
        if not n_documents:
            raise CollectionFileError(f"{source.name} holds no document with any text. Nothing was imported.")
        collected = store_queries(workspace, source, staging.id, author, f"import-{staging.id}")
        with workspace.writing() as session:
            storage.collections.set_index(
                session, staging.id, corpus_fingerprint=fingerprint, n_documents=n_documents, document_embedder=""
            )
            collection = storage.collections.publish(session, staging.id)
    except SourceUnreachable:
        raise
    except Exception:
        discard_staging(workspace, staging.id)
        raise
    if path is not None:
        adopt_index(path, workspace.collection_folder(collection.id), fingerprint)
    for remark in [*source.remarks, *collected.remarks]:
        logger.info("%s", remark)
    logger.info("Imported %s into %s.", counted(n_documents, "document"), collection.name)
    return collection


def _use_again(workspace: Workspace, source: Source, known: CollectionRecord) -> CollectionRecord:
    """Note that a stored collection is used, after comparing its documents with the source."""
    digest = fingerprint_of((read.document.doc_id, content_hash(read.document)) for read in source.documents())
    with workspace.reading() as session:
        stored = fingerprint_of(storage.documents.iter_hashes(session, known.id))
    if digest != stored:
        raise CollectionFileError(
            f"A collection named {known.name!r} is stored already, with other documents. Rename the file or folder to "
            "import it as a new collection, or start without it and change the documents in the Collection tab."
        )
    with workspace.writing() as session:
        storage.collections.archive(session, known.id, False)
        return storage.collections.touch(session, known.id)


def _staging_of(workspace: Workspace, name: str, author: str, embedders: PairSpec | None) -> CollectionRecord:
    """Return the collection that an earlier call began and that no other import fills, or a new one."""
    with workspace.reading() as session:
        begun = storage.collections.list_in_state(session, CollectionState.IMPORTING)
        of_jobs = {job.staging_id for job in storage.jobs.list_all(session, IMPORTS)}
    found = next((each for each in begun if each.name == name and each.id not in of_jobs), None)
    if found is not None:
        return found
    if any(each.name == name for each in begun):
        raise CollectionFileError(
            f"An import named {name!r} was begun in the app and is not finished. Start without the path and, in the "
            "Collection tab, go on with it or remove it from the list; or rename the file or folder."
        )
    with workspace.writing() as session:
        return storage.collections.add(
            session,
            name=name,
            description=f"Imported from {name}",
            is_demo=False,
            corpus_fingerprint="",
            n_documents=0,
            document_embedder="",
            embedders=None if embedders is None else embedders.to_json(),
            state=CollectionState.IMPORTING,
            created_by=author,
        )
