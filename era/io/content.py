"""What every format yields: documents one by one, and the queries and judgments that come with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from era.types import Document, Query


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as it was read; `metadata` holds what else is known of it, as short texts."""

    document: Document
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """A query as it was read; `need` says at length what counts as relevant."""

    query: Query
    need: str = ""


class Source(Protocol):
    """Something opened that holds documents, queries and judgments; each may be asked for more than once."""

    @property
    def name(self) -> str:
        """Return what a collection made from this could be called."""

    @property
    def format(self) -> str:
        """Return the key of the format, one of `era.io.opening.FORMATS`."""

    @property
    def remarks(self) -> list[str]:
        """Return what a person should know, such as what was left out; complete once everything was read."""

    @property
    def n_bytes(self) -> int:
        """Return how many bytes the documents take in their files; 0 if that is unknown."""

    @property
    def n_bytes_read(self) -> int:
        """Return how many of these bytes the latest reading of the documents has got through."""

    @property
    def file_at(self) -> str:
        """Return the name of the file of documents that is being read, or was read last; empty before."""

    @property
    def n_documents(self) -> int | None:
        """Return how many documents there are at most, if that can be told without reading them all."""

    def documents(self) -> Iterator[SourceDocument]:
        """Yield the documents in the order of the files, each id once; there may be none.

        Raises:
            FormatError: naming the place of what cannot be read.
        """

    def queries(self) -> list[SourceQuery]:
        """Return the queries in the order of the files, each id once.

        Raises:
            FormatError: naming the place of what cannot be read.
        """

    def qrels(self) -> dict[str, dict[str, float]]:
        """Return the grades, 0 and above, by query and document id; every query id is one of `queries()`.

        Whether the documents exist is checked where they are stored.

        Raises:
            FormatError: naming the place of what cannot be read.
        """
