"""Store a collection that is in memory, all of it in one transaction: the demo, and what tests make up."""

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.collections.content import CollectionContent
from annotation.demo.library_docs import COLLECTION_DESCRIPTION, COLLECTION_NAME, build_documents, metadata_of
from annotation.demo.needs import load_judgments, load_queries
from annotation.people.permissions import DEMO_AUTHOR
from annotation.workspace import Workspace
from era.corpus import Corpus, content_hash
from storage.records import CollectionRecord, CollectionState, JudgmentRole, NewDocument, NewJudgment

DEMO_LABELS = "Demo labels"
IMPORTED_LABELS = "Imported labels"
OWN_LABELS = "My labels"


def ensure_demo(workspace: Workspace) -> CollectionRecord:
    """Return the demo collection, storing it first in a data folder that never had it.

    Where it was deleted it stays so, and the collection used last is returned.
    """
    with workspace.reading() as session:
        known = storage.collections.find_demo(session)
        if known is not None and known.state is CollectionState.DELETED:
            return storage.collections.list_all(session, with_archived=True)[0]
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
            created_by=author,
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
