"""Put a collection's documents, queries and judgments into the database, all of it or nothing."""

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.collections import CollectionContent
from annotation.demo.library_docs import COLLECTION_DESCRIPTION, COLLECTION_NAME, build_documents, metadata_of
from annotation.demo.needs import load_judgments, load_queries
from annotation.errors import CollectionFileError
from annotation.workspace import Workspace
from era.corpus import Corpus, content_hash
from storage.records import CollectionRecord, JudgmentRole, NewDocument, NewJudgment

DEMO_AUTHOR = "demo"
DEMO_LABELS = "Demo labels"
IMPORTED_AUTHOR = "imported"
IMPORTED_LABELS = "Imported labels"
OWN_LABELS = "My labels"


def ensure_demo(workspace: Workspace) -> CollectionRecord:
    """Return the demo collection, storing it first if this data folder has none yet."""
    with workspace.reading() as session:
        known = storage.collections.find_by_name(session, COLLECTION_NAME)
    if known is not None:
        return known
    documents = build_documents()
    doc_ids = {document.doc_id for document in documents}
    qrels = {
        query_id: {doc_id: float(grade) for doc_id, grade in judged.items() if doc_id in doc_ids}
        for query_id, judged in load_judgments().items()
    }
    content = CollectionContent(
        COLLECTION_NAME, COLLECTION_DESCRIPTION, documents, load_queries(), qrels, metadata_of(documents)
    )
    return store(workspace, content, author=DEMO_AUTHOR, labels=DEMO_LABELS, is_demo=True)


def ensure_imported(workspace: Workspace, content: CollectionContent) -> CollectionRecord:
    """Return the collection of this name, storing it first if it is new.

    Raises:
        CollectionFileError: if a collection of this name with other documents is stored.
    """
    with workspace.reading() as session:
        known = storage.collections.find_by_name(session, content.name)
    if known is None:
        return store(workspace, content, author=IMPORTED_AUTHOR, labels=IMPORTED_LABELS, is_demo=False)
    with workspace.reading() as session:
        stored = {d.doc_id: d.content_hash for d in storage.documents.iter_all(session, known.id)}
    if stored != {document.doc_id: content_hash(document) for document in content.documents}:
        raise CollectionFileError(
            f"A collection named {content.name!r} is stored already, with other documents. "
            "Rename the folder to import it as a new collection."
        )
    with workspace.writing() as session:
        return storage.collections.touch(session, known.id)


def store(
    workspace: Workspace, content: CollectionContent, *, author: str, labels: str, is_demo: bool
) -> CollectionRecord:
    """Store everything of a collection in one transaction; its judgments become a label set of their own."""
    hashes = {document.doc_id: content_hash(document) for document in content.documents}
    Corpus(content.documents)  # refuses repeated ids before anything is written
    with workspace.writing() as session:
        collection = storage.collections.add(
            session,
            name=content.name,
            description=content.description,
            is_demo=is_demo,
            corpus_fingerprint="",
            n_documents=len(content.documents),
            document_embedder="",
        )
        storage.documents.add_many(
            session,
            collection.id,
            (
                NewDocument(d.doc_id, d.title, d.text, hashes[d.doc_id], content.metadata.get(d.doc_id))
                for d in content.documents
            ),
        )
        label_set = storage.label_sets.get_or_create(
            session, collection.id, labels if content.qrels else OWN_LABELS, author
        )
        judgments: list[NewJudgment] = []
        for query in content.queries:
            stored = storage.queries.get_or_create(
                session, collection.id, query.text, query.instruction, author, query.query_id
            )
            for doc_id, grade in content.qrels.get(query.query_id, {}).items():
                judgments.append(
                    NewJudgment(
                        label_set_id=label_set.id,
                        query_id=stored.id,
                        instruction_id=stored.instruction_id,
                        doc_id=doc_id,
                        content_hash=hashes[doc_id],
                        author=author,
                        grade=grade,
                        client_id=f"import-{collection.id}",
                        sequence=len(judgments) + 1,
                        role=JudgmentRole.REFERENCE,
                    )
                )
        storage.judgments.append_many(session, judgments)
    return collection
