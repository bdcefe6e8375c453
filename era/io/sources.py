"""A source put together from files of documents, of queries and of judgments, whichever formats these have."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Protocol

from era.errors import FormatError
from era.io import limits
from era.io.checking import DocumentCheck
from era.io.columns import (
    MAX_FACT,
    MAX_FACTS,
    ChosenColumns,
    DocumentReader,
    Roles,
    check_roles,
    chosen_roles,
    guess_roles,
    roles_in_words,
)
from era.io.content import SourceDocument, SourceQuery
from era.io.delimited import DelimitedRows
from era.io.files import Meter
from era.io.judgments import Judgment, checked_qrels
from era.io.limits import most_unpacked
from era.io.queries import Found, checked_queries, with_ids
from era.io.rows import RowFile

PlacedDocument = tuple[int, SourceDocument]
QueryFile = Callable[[list[str]], Iterable[Found]]
"""Yields the queries of a file, and adds to the remarks how they were read."""

JudgmentFile = Callable[[list[str]], Iterable[Judgment]]
"""Yields the judgments of a file, and adds to the remarks how they were read."""


class DocumentFile(Protocol):
    """A file that holds documents."""

    @property
    def name(self) -> str:
        """Return the name a person knows the file by."""

    @property
    def unit(self) -> str:
        """Return what its places count."""

    @property
    def encoding(self) -> str:
        """Return the codec of a text file; empty for others, or where it is not known before reading."""

    @property
    def n_documents(self) -> int | None:
        """Return how many documents there are, if that can be told without reading them."""

    @property
    def n_bytes(self) -> int:
        """Return the size of the file; 0 if that is unknown."""

    @property
    def remarks(self) -> list[str]:
        """Return what a person should know of how the file was read."""

    def documents(self, meter: Meter) -> Iterator[PlacedDocument]:
        """Yield the documents with their places.

        Raises:
            FormatError: at the first place that cannot be read.
        """


class RowDocuments:
    """The rows of a table as documents."""

    def __init__(self, file: RowFile, roles: Callable[[], Roles], id_prefix: str = "") -> None:
        self.name = file.name
        self.unit = file.unit
        self.encoding = file.encoding
        self.n_documents = file.n_rows
        self.n_bytes = file.n_bytes
        self._file = file
        self._roles = roles
        self._id_prefix = id_prefix
        self._n_cut = 0

    @property
    def remarks(self) -> list[str]:
        """Return how the table was read, and how many facts were too long or too many."""
        cut = (
            f"Of {self.name}, {self._n_cut:,} facts were shortened or left out: a document keeps {MAX_FACTS} besides "
            f"title and text, of {MAX_FACT} characters each."
        )
        columns = roles_in_words(self.name, self._roles(), self._file.columns, self._file.nested)
        return [*self._file.remarks, *columns, *([cut] if self._n_cut else [])]

    def documents(self, meter: Meter) -> Iterator[PlacedDocument]:
        """Yield a document for each row."""
        reader = DocumentReader(self.name, self.unit, self._roles(), self._id_prefix)
        read = reader.read
        try:
            for place, row in self._file.rows(meter):
                yield place, read(place, row)
        finally:
            self._n_cut = reader.n_cut


class Tables:
    """The tables of documents of a source, and which of their columns are what.

    Where no columns were chosen, every row counts: they are read for it once, when the columns are first asked for.
    """

    def __init__(
        self,
        files: Sequence[RowFile],
        mapping: ChosenColumns | None = None,
        judged_ids: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        """Keep the files.

        Args:
            files: the tables.
            mapping: role -> its column or columns, where a person chose them.
            judged_ids: gives the ids that the judgments name.

        Raises:
            FormatError: if a column was chosen that a table lacks.
        """
        self._files = files
        self._chosen = chosen_roles(mapping)
        self._judged_ids = judged_ids
        for file in files:
            if self._chosen:
                check_roles(self._chosen, file.columns, file.name)

    @cached_property
    def roles(self) -> list[Roles]:
        """Return the columns of each role in each table."""
        return [self._chosen or guess_roles(file, self._judged_ids) for file in self._files]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that any of the tables has."""
        return tuple(dict.fromkeys(column for file in self._files for column in file.columns))

    @property
    def header(self) -> str:
        """Return `yes` or `no` where the first table is delimited text, as its first line was taken; else empty."""
        return next((file.header for file in self._files if isinstance(file, DelimitedRows)), "")

    @property
    def remarks(self) -> list[str]:
        """Return whether ids are made up."""
        is_numbered = any("id" not in each for each in self.roles)
        return ["There is no column of ids, so the documents are numbered."] if is_numbered else []

    def documents(self) -> list[DocumentFile]:
        """Return the documents; where there are several tables, the numbers of rows begin with their names."""
        prefixes = [""] if len(self._files) == 1 else [f"{file.name}#" for file in self._files]
        return [
            RowDocuments(file, partial(self._roles_of, place), prefix)
            for place, (file, prefix) in enumerate(zip(self._files, prefixes, strict=True))
        ]

    def _roles_of(self, place: int) -> Roles:
        return self.roles[place]


class FileSource:
    """Documents, queries and judgments of some files, checked against each other while they are read."""

    def __init__(
        self,
        name: str,
        format: str,
        documents: Sequence[DocumentFile] = (),
        queries: Sequence[QueryFile] = (),
        judgments: Sequence[JudgmentFile] = (),
        *,
        files: Sequence[str] = (),
        tables: Tables | None = None,
        remarks: Iterable[str] = (),
    ) -> None:
        """Keep the files.

        Args:
            name: what a collection made from this could be called.
            format: key of the format.
            documents: may be none, where there are only queries.
            queries: each gives its queries with their places.
            judgments: each gives its judgments.
            files: the names of all files that are read.
            tables: those that hold the documents, where these come as tables.
            remarks: what is to be said in any case.
        """
        self.name = name
        self.format = format
        self.files = tuple(files)
        self.tables = tables or Tables(())
        self._documents = documents
        self._query_files = queries
        self._judgment_files = judgments
        self._remarks = list(remarks)
        self._meter = Meter(sum(file.n_bytes for file in documents))
        self._check = DocumentCheck()
        self._queries: list[SourceQuery] | None = None
        self._query_remarks: list[str] = []
        self._qrels_remarks: list[str] = []

    @property
    def remarks(self) -> list[str]:
        """Return what a person should know, as far as it was read."""
        of_files = [remark for file in self._documents for remark in file.remarks]
        return [
            *self._remarks,
            *self.tables.remarks,
            *of_files,
            *self._check.remarks(),
            *self._query_remarks,
            *self._qrels_remarks,
        ]

    @property
    def n_bytes(self) -> int:
        """Return the size of the files of documents; 0 if that is unknown."""
        return self._meter.n_bytes

    @property
    def n_bytes_read(self) -> int:
        """Return how much of them has been read."""
        return self._meter.n_bytes_read

    @property
    def file_at(self) -> str:
        """Return the name of the file that is being read, or was read last."""
        return self._meter.file

    @property
    def encoding(self) -> str:
        """Return the codec of the first file of documents; empty if it is no text."""
        return self._documents[0].encoding if self._documents else ""

    @property
    def n_documents(self) -> int | None:
        """Return how many documents there are at most, if that can be told without reading them."""
        counts = [file.n_documents for file in self._documents]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def documents(self) -> Iterator[SourceDocument]:
        """Yield the documents, each id once; those without any text are left out."""
        check = self._check = DocumentCheck()
        self._meter.restart()
        has_place_for = check.has_place_for
        n_characters, most = 0, most_unpacked(self.n_bytes) if self.n_bytes else limits.MAX_UNPACKED_BYTES
        for file in self._documents:
            check.begin(file.name, file.unit)
            self._meter.file = file.name
            for place, found in file.documents(self._meter):
                n_characters += len(found.document.title) + len(found.document.text)
                if n_characters > most:  # a text that a file holds once, and refers to again and again
                    raise FormatError(
                        f"the documents up to here have more than {most:,} characters, which is more than a file of "
                        "this size could hold. Write each text once.",
                        file.name,
                        place,
                        unit=file.unit,
                    )
                if has_place_for(found, place):
                    yield found
        if self._documents and not check.n_kept:
            reasons = " ".join(self.remarks)
            raise FormatError(f"there is no document with any text. {reasons}".strip(), self._documents[0].name)

    def queries(self) -> list[SourceQuery]:
        """Return the queries, each id once."""
        if self._queries is None:
            remarks: list[str] = []
            found = checked_queries((each for read in self._query_files for each in read(remarks)), remarks)
            self._queries = with_ids([query for _, query in found], remarks)
            self._query_remarks = remarks
        return list(self._queries)

    def qrels(self) -> dict[str, dict[str, float]]:
        """Return the grades of the queries."""
        remarks: list[str] = []
        queries = [each.query for each in self.queries()]
        found = (each for read in self._judgment_files for each in read(remarks))
        qrels = checked_qrels(found, queries, remarks)
        self._qrels_remarks = remarks
        return qrels
