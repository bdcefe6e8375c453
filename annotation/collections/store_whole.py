"""A collection in memory, stored in one transaction: the demos, and what tests and benchmarks make up."""

from dataclasses import dataclass, field

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.demo.demo import Demo
from annotation.demo.emoji_symbols import emoji_symbols
from annotation.demo.python_docs import python_docs
from annotation.people.permissions import DEMO_AUTHOR
from annotation.workspace import Workspace
from era.corpus import Corpus, content_hash
from era.io.content import Source
from era.types import Document, Query
from storage.records import CollectionRecord, JudgmentRole, NewDocument, NewJudgment


@dataclass(frozen=True, slots=True)
class CollectionContent:
    """All there is of a collection: documents, queries, and judgments by query and document id."""

    name: str
    description: str
    documents: list[Document]
    queries: list[Query] = field(default_factory=list)
    qrels: dict[str, dict[str, float]] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)  # by document id: what else is known of it
    remarks: tuple[str, ...] = ()  # what was left out, for a person to read


def content_of(source: Source) -> CollectionContent:
    """Read a source completely; judgments of documents that it does not hold are left out.

    Raises:
        FormatError: naming the place of what cannot be read.
    """
    read = list(source.documents())
    doc_ids = {each.document.doc_id for each in read}
    qrels = {
        query_id: {doc_id: grade for doc_id, grade in judged.items() if doc_id in doc_ids}
        for query_id, judged in source.qrels().items()
    }
    return CollectionContent(
        name=source.name,
        description=f"Read from {source.name}",
        documents=[each.document for each in read],
        queries=[each.query for each in source.queries()],
        qrels=qrels,
        metadata={each.document.doc_id: dict(each.metadata) for each in read if each.metadata},
        remarks=tuple(source.remarks),
    )


def content_of_demo(demo: Demo) -> CollectionContent:
    """Return a demonstration collection as one that can be stored."""
    return CollectionContent(
        name=demo.name,
        description=demo.description,
        documents=list(demo.documents),
        queries=list(demo.queries),
        qrels={
            query_id: {doc_id: float(grade) for doc_id, grade in judged.items()}
            for query_id, judged in demo.judgments.items()
        },
        metadata={doc_id: dict(known) for doc_id, known in demo.metadata.items()},
    )


DEMO_LABELS = "Demo labels"
IMPORTED_LABELS = "Imported labels"
OWN_LABELS = "My labels"


def ensure_demos(workspace: Workspace) -> None:
    """Store the demonstration collections in a data folder that never had one; the last one stored opens first.

    Where they were deleted they stay so.
    """
    with workspace.reading() as session:
        if storage.collections.find_demo(session) is not None:
            return
    for demo in (python_docs(), emoji_symbols()):
        store_demo(workspace, demo)


def store_demo(workspace: Workspace, demo: Demo) -> CollectionRecord:
    """Store a demonstration collection; its judgments are references, no one's marks."""
    return store(workspace, content_of_demo(demo), author=DEMO_AUTHOR, labels=DEMO_LABELS, is_demo=True)


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
