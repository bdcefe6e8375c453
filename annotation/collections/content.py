"""A collection in memory as a whole: for the demo, for tests and for benchmarks; imports read a source bit by bit."""

from dataclasses import dataclass, field

from era.io.content import Source
from era.types import Document, Query


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
