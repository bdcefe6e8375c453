"""An ordered set of documents with lookup by id and a fingerprint of its content.

Where the documents come from, and where they are kept, is the caller's business.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from era.types import Document


def content_hash(document: Document) -> str:
    """Return the SHA-256 of the embedded text, as 64 hexadecimal digits."""
    return hashlib.sha256(document.content.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint_of(hashes: Iterable[tuple[str, str]]) -> str:
    """Return the fingerprint of a corpus from (document id, content hash) in its order, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for doc_id, document_hash in hashes:
        digest.update(f"{len(doc_id)}:{doc_id}{document_hash}".encode())
    return digest.hexdigest()


def without_half_characters(text: str) -> str:
    """Return text with unpaired surrogates, which no encoding can store, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Corpus:
    """Documents in a fixed order, addressable by id."""

    def __init__(self, documents: Iterable[Document]) -> None:
        """Keep the documents in the given order.

        Raises:
            ValueError: if there is none, or two share an id.
        """
        self._by_id: dict[str, Document] = {}
        for document in documents:
            if document.doc_id in self._by_id:
                raise ValueError(f"Two documents share the id {document.doc_id!r}; give each its own id.")
            self._by_id[document.doc_id] = document
        if not self._by_id:
            raise ValueError("A corpus needs at least one document.")
        self.fingerprint = fingerprint_of((d.doc_id, content_hash(d)) for d in self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Document]:
        return iter(self._by_id.values())

    def __contains__(self, doc_id: object) -> bool:
        return doc_id in self._by_id

    def __getitem__(self, doc_id: str) -> Document:
        return self._by_id[doc_id]

    @property
    def doc_ids(self) -> Sequence[str]:
        """Return the ids in corpus order."""
        return list(self._by_id)

    def contents(self, doc_ids: Iterable[str]) -> list[str]:
        """Return the embedded texts of the given documents, in the given order."""
        return [self._by_id[doc_id].content for doc_id in doc_ids]
