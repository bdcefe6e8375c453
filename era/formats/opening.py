"""Open whatever somebody brings, a file, a folder, a zip or a dataset of the hub, or look at its beginning."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from era.errors import FormatError
from era.formats.content import Source, SourceDocument, SourceQuery
from era.formats.entries import list_entries, unpack
from era.formats.hub import hub_source, is_hub_name
from era.formats.layouts import format_of, open_files, sorted_out
from era.formats.sources import FileSource

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
        mapping: the role `id`, `title` or `text` -> its column.
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
    mapping: Mapping[str, str]
    documents: tuple[SourceDocument, ...]
    queries: tuple[SourceQuery, ...]
    n_qrels: int
    n_documents: int | None
    remarks: tuple[str, ...]


def open_source(path: Path, format: str = "", mapping: Mapping[str, str] | None = None) -> Source:
    """Open a file, a folder or a zip; of the documents nothing but the beginning is read yet.

    A zip is unpacked into a temporary folder, which goes when the source is no longer used.

    Args:
        path: what is read.
        format: a key of `FORMATS`; told by the files if empty.
        mapping: the role `id`, `title` or `text` -> its column, for documents that come as a table; guessed if empty.

    Raises:
        FormatError: if it cannot be read in this format, or in none; naming the place and what is expected there.
        ValueError: if there is no such format.
    """
    return _opened(path, format, mapping)


def open_hub(name: str, config: str = "", revision: str = "", mapping: Mapping[str, str] | None = None) -> Source:
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


def preview(path: Path, format: str = "", mapping: Mapping[str, str] | None = None, n: int = 5) -> Preview:
    """Return the first `n` documents and queries of what `open_source` opens.

    Raises:
        FormatError: as `open_source`, and if these documents, a query or a judgment cannot be read.
    """
    return _preview_of(_opened(path, format, mapping), n)


def preview_hub(
    name: str, config: str = "", revision: str = "", mapping: Mapping[str, str] | None = None, n: int = 5
) -> Preview:
    """Return the first `n` documents and queries of what `open_hub` opens.

    Raises:
        FormatError: as `open_hub`, and if these documents, a query or a judgment cannot be read.
    """
    return _preview_of(hub_source(name, config, revision, mapping), n)


def _opened(path: Path, format: str, mapping: Mapping[str, str] | None) -> FileSource:
    if format and format not in FORMATS:
        raise ValueError(f"expected one of {', '.join(FORMATS)}, got {format!r}")
    if format == "hub":
        return hub_source(str(path.resolve()), "", "", mapping)
    name = path.resolve().name
    if path.suffix.lower() != ".zip" or not path.is_file():
        is_file = path.is_file()
        files = sorted_out(list_entries(path))
        name = path.stem.removesuffix(".csv").removesuffix(".jsonl") if is_file else name
        return open_files(name, format or format_of(files, path.name), files, mapping)
    folder = Path(tempfile.mkdtemp(prefix="era-unpacked-"))
    try:
        files = sorted_out(unpack(path, folder))
        source = open_files(path.stem, format or format_of(files, path.name), files, mapping)
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
        columns=source.columns,
        mapping=source.mapping,
        documents=first,
        queries=tuple(queries[:n]),
        n_qrels=n_qrels,
        n_documents=source.n_documents,
        remarks=tuple(source.remarks),
    )
