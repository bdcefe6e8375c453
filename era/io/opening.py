"""The one way in: a file, a folder, a zip or a dataset of the Hub becomes a `Source`, or a look at its beginning.

Which files hold documents, queries and judgments is told by their names and what is in them.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from era.errors import FormatError
from era.io.archive import unpack
from era.io.columns import ChosenColumns, is_about_queries
from era.io.content import Source, SourceDocument, SourceQuery
from era.io.delimited import Header
from era.io.files import Entry, Meter, detect_encoding, list_entries, open_text, with_encoding
from era.io.hub import hub_source, is_hub_name
from era.io.judgments import judgments_of, labels_of, labels_of_table
from era.io.queries import is_topics, queries_of, queries_of_table
from era.io.rows import Row, RowFile
from era.io.runs import is_run_line
from era.io.sources import (
    DocumentFile,
    FileSource,
    JudgmentFile,
    QueryFile,
    Tables,
)
from era.io.table import is_table, open_rows
from era.io.text import TextFiles, is_readable
from era.io.trec import TrecDocuments, is_trec_documents

_DOCUMENT_STEMS = ("corpus", "documents", "docs", "collection", "passages")
_QUERY_STEMS = ("queries", "query", "questions", "topics")
_JUDGMENT_STEMS = ("qrels", "qrel", "judgments", "judgements", "relevance")
_TEXT_LIKE = ("", ".txt", ".text", ".xml", ".sgml", ".sgm", ".trec", ".dat", ".qrels", ".qrel", ".run", ".topics")
_ABOUT_THE_REST = ("readme", "license", "licence", "source", "changelog", "dataset_infos", "croissant")
_HEAD = 4000  # characters
_LISTED = "CSV, TSV, JSON, JSON Lines, Parquet, Excel, TREC files, text, Markdown, HTML or PDF"


@dataclass(frozen=True, slots=True)
class Files:
    """Somebody's files by what they hold."""

    documents: Sequence[Entry] = ()  # tables that are named after documents
    tables: Sequence[Entry] = ()  # other tables
    queries: Sequence[Entry] = ()  # tables that are named after queries
    qrels: Sequence[Entry] = ()
    topics: Sequence[Entry] = ()
    trec_documents: Sequence[Entry] = ()
    runs: Sequence[Entry] = ()
    texts: Sequence[Entry] = ()
    others: Sequence[Entry] = ()


def sorted_out(entries: Sequence[Entry]) -> Files:
    """Return the files by what their names and their first lines say they hold."""
    found: dict[str, list[Entry]] = {name: [] for name in Files.__dataclass_fields__}
    for entry in entries:
        found[_kind_of(entry, is_alone=len(entries) == 1)].append(entry)
    return Files(**found)


def format_of(files: Files, where: str) -> str:
    """Return the key of the format of files.

    Raises:
        FormatError: if nothing among them can be read.
    """
    if files.trec_documents or (files.topics and not files.documents and not files.tables):
        return "trec"
    tables = [*files.documents, *files.tables, *files.queries]
    if tables and (files.documents or files.queries or len(tables) >= len(files.texts)):
        return _kind_of_layout(files)
    if files.texts:
        return "files"
    if files.qrels or files.runs:
        what = "judgments" if files.qrels else "rankings"
        raise FormatError(f"this holds {what} only. Put it into a folder with the documents and queries.", where)
    zips = [entry.name for entry in files.others if entry.suffix == ".zip"]
    unread = f", only {zips[0]}, which has to be unpacked first" if zips else ""
    raise FormatError(f"nothing here can be read{unread}. Expected {_LISTED}.", where)


@dataclass(frozen=True, slots=True)
class Choices:
    """How a person wants files to be read where they can be read in more than one way; empty: as they look.

    Attributes:
        header: `yes` if the first line of a delimited table of documents names its columns, `no` if it is a row.
        encoding: one of `ENCODINGS`, for text that is not Unicode throughout; what does not fit becomes U+FFFD.
    """

    header: Header = ""
    encoding: str = ""


AS_THEY_LOOK = Choices()


def open_files(
    name: str,
    format: str,
    files: Files,
    mapping: ChosenColumns | None,
    header: Header = "",
    remarks: Sequence[str] = (),
) -> FileSource:
    """Return the source of some files in a format.

    Raises:
        FormatError: if the files are not of this format, or the mapping names a column that is not there.
    """
    if format == "files":
        texts = files.texts or files.trec_documents or files.topics
        if not texts:
            raise FormatError("there is no text, Markdown, HTML or PDF file in it.", name)
        left_out = _left_out(
            [*files.others, *files.documents, *files.tables, *files.queries, *files.qrels, *files.runs]
        )
        names = [entry.name for entry in texts]
        return FileSource(name, format, [TextFiles(list(texts))], files=names, remarks=[*remarks, *left_out])
    queries: list[QueryFile] = [partial(queries_of, entry) for entry in (*files.topics, *files.queries)]
    judgments: list[JudgmentFile] = [partial(judgments_of, entry) for entry in files.qrels]
    documents: list[DocumentFile] = []
    document_tables: list[RowFile] = []
    held: Tables | None = None
    ignored = [*files.others, *files.runs]
    tables = list(files.documents) or list(files.tables)
    if format == "trec":
        documents += [TrecDocuments(entry) for entry in files.trec_documents]
        ignored += files.texts
        mapping = None
    else:
        ignored += [entry for entry in files.texts if entry.stem not in _ABOUT_THE_REST]
    if files.documents and files.tables:
        ignored += files.tables
    query_tables: list[RowFile] = []
    opened = [] if format == "trec" and files.trec_documents else [open_rows(entry, header) for entry in tables]
    if opened:
        is_chosen = bool(mapping) or bool(files.documents)
        document_tables = [file for file in opened if is_chosen or not is_about_queries(file.columns)]
        query_tables += [file for file in opened if file not in document_tables]
        judged: list[JudgmentFile] = [
            *judgments,
            *(partial(labels_of, entry) for entry in files.queries),
            *(partial(labels_of_table, file) for file in query_tables),
        ]
        held = Tables(document_tables, mapping, lambda: {each.doc_id for read in judged for each in read([])})
        documents += held.documents()
    queries += [partial(queries_of_table, file) for file in query_tables]
    judgments += [partial(labels_of, entry) for entry in files.queries]
    judgments += [partial(labels_of_table, file) for file in query_tables]
    if not documents and not queries:
        raise FormatError("there are no documents and no queries in it.", name)
    read = [*tables, *files.queries, *files.topics, *files.trec_documents, *files.qrels]
    if len(files.qrels) > 1:
        listed = ", ".join(entry.name for entry in files.qrels)
        remarks = [*remarks, f"The judgments of several files were put together: {listed}."]
    return FileSource(
        name,
        format,
        documents,
        queries,
        judgments,
        files=[entry.name for entry in read],
        tables=held,
        remarks=[*remarks, *_left_out(ignored)],
    )


def _kind_of(entry: Entry, is_alone: bool) -> str:
    """Return the field of `Files` that an entry belongs to."""
    words = entry.stem.replace("-", "_").split("_")
    folder = entry.name.lower().rpartition("/")[0].rpartition("/")[2]
    is_judgments = (
        entry.stem in _JUDGMENT_STEMS or folder in _JUDGMENT_STEMS or any(word in _JUDGMENT_STEMS[:2] for word in words)
    )
    if is_table(entry):
        if entry.stem in _ABOUT_THE_REST and not is_alone:
            return "others"
        if is_judgments:
            return "qrels"
        if entry.stem in _QUERY_STEMS or words[-1] in _QUERY_STEMS[:1]:
            return "queries"
        return "documents" if entry.stem in _DOCUMENT_STEMS or words[-1] == "docs" else "tables"
    if entry.suffix in _TEXT_LIKE or not is_readable(entry):
        kind = _kind_by_head(entry, is_judgments)
        if kind:
            return kind
    if is_readable(entry):
        return "others" if entry.stem in _ABOUT_THE_REST and not is_alone else "texts"
    return "others"


def _kind_by_head(entry: Entry, is_judgments: bool) -> str:
    """Return what the first lines of a file of some text show; empty if it could be anything."""
    try:
        with open_text(entry, detect_encoding(entry), Meter()) as stream:
            head = stream.read(_HEAD)
    except (FormatError, UnicodeDecodeError, OSError, EOFError):
        return ""
    first = next((line for line in head.split("\n") if line.strip()), "")
    cells = first.split()
    if is_trec_documents(head):
        return "trec_documents"
    if is_topics(head):
        return "topics"
    if is_run_line(first):
        return "runs"
    if len(cells) == 4 and cells[1] in ("0", "Q0", "%") and _is_number(cells[3]):
        return "qrels"
    if is_judgments and len(cells) in (3, 4):
        return "qrels"
    is_named = any(word in entry.stem for word in ("topic", "quer"))
    return "topics" if entry.stem in _QUERY_STEMS or (is_named and first.count("\t") == 1) else ""


def _kind_of_layout(files: Files) -> str:
    stems = {entry.stem for entry in files.documents}
    if any(stem == "docs" or stem.endswith("_docs") for stem in stems) and _has_labels(files.queries):
        return "mair"
    if "corpus" in stems:
        is_beir = any("/" in entry.name and "qrels" in entry.name.lower() for entry in files.qrels)
        return "beir" if is_beir or _has_beir_ids(files.documents) else "collection"
    return "table"


def _has_labels(entries: Sequence[Entry]) -> bool:
    return any("labels" in _first_row(entry) for entry in entries[:1])


def _has_beir_ids(entries: Sequence[Entry]) -> bool:
    return any("_id" in _first_row(entry) for entry in entries[:1])


def _first_row(entry: Entry) -> Row:
    return next((row for _, row in open_rows(entry).rows(Meter())), {})


def _is_number(cell: str) -> bool:
    return cell.strip().lstrip("+-").replace(".", "", 1).isdecimal()


def _left_out(entries: Sequence[Entry]) -> list[str]:
    """Return a remark on files that are not read; what only describes the others is no loss."""
    names = [entry.name for entry in entries if entry.stem not in _ABOUT_THE_REST]
    if not names:
        return []
    what = "1 file was" if len(names) == 1 else f"{len(names):,} files were"
    return [f"{what} not read: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}."]


__all__ = ["FORMATS", "Preview", "is_hub_name", "open_hub", "open_source", "preview", "preview_hub"]

FORMATS: Mapping[str, str] = {
    "table": "Table (CSV, TSV, JSON, JSON Lines, Parquet, Excel)",
    "beir": "BEIR folder",
    "collection": "Collection folder (corpus.jsonl, queries.jsonl, qrels.tsv)",
    "trec": "TREC (documents, topics, qrels)",
    "mair": "MAIR (queries with labels, and docs)",
    "files": "Files of text, Markdown, HTML or PDF",
    "hub": "Dataset of the Hugging Face Hub",
}
"""key of a format -> what a person calls it."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a source, as it would be imported.

    Attributes:
        format: a key of `FORMATS`.
        label: what a person calls the format.
        name: what a collection made from this could be called.
        files: the files that are read, by the names a person knows them by.
        encoding: of the first file of documents, such as `utf-8`; empty where that says nothing.
        columns: of the documents, where they come as a table.
        mapping: the role `id`, `title` or `text` -> its columns, of ids one.
        header: `yes` or `no` where the documents are delimited text, as its first line was taken; else empty.
        documents: the first ones.
        queries: the first ones.
        n_qrels: how many judgments there are.
        n_documents: how many documents there are at most, if that can be told without reading them all.
        remarks: what a person should know, as far as it was read.
    """

    format: str
    label: str
    name: str
    files: tuple[str, ...]
    encoding: str
    columns: tuple[str, ...]
    mapping: Mapping[str, tuple[str, ...]]
    header: str
    documents: tuple[SourceDocument, ...]
    queries: tuple[SourceQuery, ...]
    n_qrels: int
    n_documents: int | None
    remarks: tuple[str, ...]


def open_source(
    path: Path,
    format: str = "",
    mapping: ChosenColumns | None = None,
    choices: Choices = AS_THEY_LOOK,
) -> Source:
    """Open a file, a folder or a zip; of the documents nothing but the beginning is read yet.

    A zip is unpacked into a temporary folder, which goes when the source is no longer used.

    Args:
        path: what is read.
        format: a key of `FORMATS`; told by the files if empty.
        mapping: the role `id`, `title` or `text` -> its column or columns, for documents that come as a table; what
            several hold is joined, titles by blanks and texts by line breaks; guessed if empty.
        choices: how to read what can be read in more than one way.

    Raises:
        FormatError: if it cannot be read in this format, or in none; naming the place and what is expected there.
        ValueError: if there is no such format.
    """
    return _opened(path, format, mapping, choices)


def open_hub(name: str, config: str = "", revision: str = "", mapping: ChosenColumns | None = None) -> Source:
    """Open a dataset of the Hugging Face Hub in the layout of BEIR and mteb, or of MAIR-Bench.

    Args:
        name: `owner/name`, or the absolute path of a folder in the same layout. Of a name that comes from a page,
            check `is_hub_name` first.
        config: the part of a dataset that has several, such as a language or a MAIR task.
        revision: branch, tag or commit; the newest if empty.
        mapping: as in `open_source`.

    Raises:
        SourceUnreachable: if it cannot be reached.
        FormatError: if there is no such dataset, it is of another layout, or a column is not there.
    """
    return hub_source(name, config, revision, mapping)


def preview(
    path: Path,
    format: str = "",
    mapping: ChosenColumns | None = None,
    choices: Choices = AS_THEY_LOOK,
    n: int = 5,
) -> Preview:
    """Return the first `n` documents and queries of what `open_source` opens.

    Raises:
        FormatError: as `open_source`, and if these documents, a query or a judgment cannot be read.
    """
    return _preview_of(_opened(path, format, mapping, choices), n)


def preview_hub(
    name: str,
    config: str = "",
    revision: str = "",
    mapping: ChosenColumns | None = None,
    n: int = 5,
) -> Preview:
    """Return the first `n` documents and queries of what `open_hub` opens.

    Raises:
        FormatError: as `open_hub`, and if these documents, a query or a judgment cannot be read.
    """
    return _preview_of(hub_source(name, config, revision, mapping), n)


def _opened(path: Path, format: str, mapping: ChosenColumns | None, choices: Choices) -> FileSource:
    if format and format not in FORMATS:
        raise ValueError(f"expected one of {', '.join(FORMATS)}, got {format!r}")
    if format == "hub":
        return hub_source(str(path.resolve()), "", "", mapping)
    name = path.resolve().name
    if path.suffix.lower() != ".zip" or not path.is_file():
        is_file = path.is_file()
        files = sorted_out(with_encoding(list_entries(path), choices.encoding))
        name = path.stem.removesuffix(".csv").removesuffix(".jsonl") if is_file else name
        return open_files(name, format or format_of(files, path.name), files, mapping, choices.header)
    folder = Path(tempfile.mkdtemp(prefix="era-unpacked-"))
    try:
        entries, remarks = unpack(path, folder)
        files = sorted_out(with_encoding(entries, choices.encoding))
        source = open_files(path.stem, format or format_of(files, path.name), files, mapping, choices.header, remarks)
    except FormatError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(source, shutil.rmtree, folder, ignore_errors=True)
    return source


def _preview_of(source: FileSource, n: int) -> Preview:
    first = tuple(islice(source.documents(), n))
    queries = source.queries()
    n_qrels = sum(map(len, source.qrels().values()))
    return Preview(
        format=source.format,
        label=FORMATS[source.format],
        name=source.name,
        files=source.files,
        encoding="utf-8" if source.encoding == "utf-8-sig" else source.encoding,
        columns=source.tables.columns,
        mapping=next(iter(source.tables.roles), {}),
        header=source.tables.header,
        documents=first,
        queries=tuple(queries[:n]),
        n_qrels=n_qrels,
        n_documents=source.n_documents,
        remarks=tuple(source.remarks),
    )
