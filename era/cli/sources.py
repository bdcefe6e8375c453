"""What the commands read: sources of documents, queries, judgments, and which embedders somebody asks for."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from era.encoders.spec import PRESETS, PairSpec
from era.errors import EmbedderUnavailableError
from era.io.content import Source, SourceDocument
from era.io.opening import FORMATS, open_source
from era.progress import Progress
from era.types import Qrels, Query

_ROLES = ("id", "title", "text")
_BETWEEN = 2000  # documents between two reports
_N_NAMED = 5


def open_for(arguments: argparse.Namespace, path: Path) -> Source:
    """Open a source with the format and columns that the arguments name.

    Raises:
        ValueError: if a format or role is unknown.
        FormatError: if nothing that can be read is there.
    """
    if arguments.format and arguments.format not in FORMATS:
        raise ValueError(f"There is no format {arguments.format!r}. Use one of: {', '.join(FORMATS)}.")
    return open_source(path, arguments.format, columns_named(arguments.column))


def columns_named(texts: Sequence[str]) -> dict[str, str] | None:
    """Return role -> column of `--column ROLE=COLUMN`; None without any, to find out.

    Raises:
        ValueError: if a text is something else.
    """
    mapping = {}
    for text in texts:
        role, equals, column = text.partition("=")
        if not equals or role not in _ROLES or not column:
            raise ValueError(f"Expected --column ROLE=COLUMN with a role of {', '.join(_ROLES)}, got {text!r}.")
        mapping[role] = column
    return mapping or None


def read_documents(source: Source, progress: Progress) -> Iterator[SourceDocument]:
    """Yield the documents of a source and report how far it is under the stage `reading`."""
    n = 0
    for n, document in enumerate(source.documents(), start=1):
        if n % _BETWEEN == 0:
            fraction = source.n_bytes_read / source.n_bytes if source.n_bytes else 0.0
            progress("reading", min(fraction, 1.0), f"{n:,} documents")
        yield document
    progress("reading", 1.0, f"{n:,} documents")


class Counted:
    """Documents on their way, and how many have passed."""

    def __init__(self, documents: Iterable[SourceDocument]) -> None:
        self._documents = documents
        self.n = 0

    def __iter__(self) -> Iterator[SourceDocument]:
        """Yield them."""
        for document in self._documents:
            self.n += 1
            yield document


def of_known_documents(qrels: Qrels, doc_ids: Iterable[str]) -> tuple[dict[str, dict[str, float]], str]:
    """Return the judgments of documents that are there, and a remark about those that are not, or an empty one."""
    known = set(doc_ids)
    kept = {query: {doc: grade for doc, grade in judged.items() if doc in known} for query, judged in qrels.items()}
    missing = [doc for judged in qrels.values() for doc in judged if doc not in known]
    if not missing:
        return kept, ""
    return kept, (
        f"{len(missing):,} judgments of documents that are not there were left out, "
        f"of {', '.join(dict.fromkeys(missing[:_N_NAMED]))}."
    )


def read_queries(path: Path) -> list[Query]:
    """Return the queries of a file, folder or zip; the rows of a plain table count as queries.

    Raises:
        FormatError: naming the place of what cannot be read.
        ValueError: if there is none.
    """
    source = open_source(path)
    queries = [each.query for each in source.queries()]
    if not queries and path.is_file():
        queries = [
            Query(each.document.doc_id, each.document.content, each.metadata.get("instruction", ""))
            for each in source.documents()
        ]
    if not queries:
        raise ValueError(f"There is no query in {path}. It needs a query a line, with id and text.")
    return queries


def embedders_named(name: str) -> PairSpec:
    """Return the embedders of a preset, or of a JSON file.

    Raises:
        EmbedderUnavailableError: if it is neither, or the file names something that cannot be used.
    """
    presets = {preset.key: preset.spec for preset in PRESETS}
    if name in presets:
        return presets[name]
    file = Path(name)
    if not file.is_file():
        raise EmbedderUnavailableError(
            f"There is no preset and no file {name!r}. Use one of {', '.join(presets)}, or a JSON file with "
            '{"strong": {"kind": …}, "light": {"kind": …}}.'
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EmbedderUnavailableError(f"{file} is not JSON ({error}).") from error
    return PairSpec.from_json(values)
