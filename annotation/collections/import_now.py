"""Import from the command line: in this thread, before the app is there; the index is built when it opens.

Killed in the middle, the same command goes on where it was.
"""

import logging
from pathlib import Path

from tqdm import tqdm

import storage.collections
import storage.documents
import storage.jobs
from annotation.collections.import_source import (
    counted,
    discard_staging,
    keep_what_fits,
    store_documents,
    store_queries,
)
from annotation.errors import CollectionFileError
from annotation.retrieval.indexing import adopt_index
from annotation.workspace import Workspace
from era.corpus import content_hash, fingerprint_of
from era.encoders.spec import PairSpec
from era.errors import SourceUnreachable
from era.io.content import Source
from storage.records import IMPORTS, CollectionRecord, CollectionState

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
