"""What the library is given: files, data frames, lists and mappings become the rows of a table, checked like those.

Documents: a path or the name of a Hub dataset; an opened source; a data frame; id -> text or fields; or a list of
`Document`, texts or fields. Queries: the same; fields are `id`, `text` and, if wanted, `instruction`. Judgments: a
file; a data frame with columns such as query_id, doc_id and grade; query id -> document id -> grade, or -> the
relevant documents; or a list of (query id, document id, grade). Rankings: a TREC run file; a data frame with columns
query_id, doc_id and score; or query id -> document id -> score, or -> documents, best first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from era.errors import FormatError
from era.io.columns import ChosenColumns
from era.io.content import Source
from era.io.files import Meter
from era.io.hub import is_hub_name
from era.io.judgments import checked_qrels, judgments_of_rows, read_qrels
from era.io.opening import open_hub, open_source
from era.io.queries import checked_queries, queries_of_rows, read_queries, with_ids
from era.io.rows import ColumnStats, PlacedRow, Row, names_of, stats_of
from era.io.runs import checked_run, places_of_rows, read_run
from era.io.sources import FileSource, Tables
from era.types import Document, Qrels, Query, Ranking, Run, ScoredDoc

_JUDGED = ("query_id", "doc_id", "grade")


class MemoryRows:
    """Rows that are in memory, as a table that can be read as often as wanted."""

    unit = "row"
    encoding = ""
    n_bytes = 0

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        """Keep the rows under a name for messages."""
        self.name = name
        self.remarks: list[str] = []
        self.n_rows: int | None = len(rows)
        self._rows = rows

    @cached_property
    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return names_of(self.rows(Meter()), self.name, self.unit)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names that any row has, in the order of their first appearance."""
        return self._names[0]

    @property
    def nested(self) -> tuple[str, ...]:
        """Return the names that hold lists or objects."""
        return self._names[1]

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds."""
        return stats_of(self)

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order, from 1."""
        yield from enumerate(self._rows, start=1)


def source_of(given: Any, columns: ChosenColumns | None = None) -> Source:
    """Return the source of documents.

    Raises:
        FormatError: naming the row and column that cannot be a document.
        TypeError: if it is something else.
    """
    if hasattr(given, "documents") and hasattr(given, "qrels"):
        return given  # type: ignore[no-any-return]
    if isinstance(given, str | Path):
        if is_hub_name(str(given)):
            return open_hub(str(given), mapping=columns)
        return open_source(Path(given), mapping=columns)
    rows = MemoryRows("documents", _rows_of(given, "text"))
    tables = Tables([rows], columns)
    return FileSource("documents", "table", tables.documents(), tables=tables)


def queries_of(given: Any, remarks: list[str]) -> list[Query]:
    """Return queries; how they were read is added to the remarks.

    Raises:
        FormatError: naming the row and column that cannot be a query, or if there is none.
        TypeError: if it is something else.
    """
    if isinstance(given, str | Path):
        return _queries_at(Path(given), remarks)
    rows = enumerate(_rows_of(given, "query"), start=1)
    found = checked_queries(queries_of_rows(rows, "queries", "row", remarks), remarks)
    return [each.query for each in with_ids((query for _, query in found), remarks)]


def _queries_at(path: Path, remarks: list[str]) -> list[Query]:
    """Return the queries of a file, or of a folder or zip with a file of queries in it."""
    if path.is_dir() or path.suffix.lower() == ".zip":
        source = open_source(path)
        found = source.queries()
        if not found:
            raise FormatError("there is no query in it. It needs a file such as queries.jsonl.", str(path))
        remarks += source.remarks
    else:
        read = read_queries(path)
        remarks += read.remarks
        found = with_ids((query for _, query in read.queries), remarks)
    return [each.query for each in found]


def qrels_of(given: Any, queries: Sequence[Query] | None, remarks: list[str]) -> Qrels:
    """Return judgments of the queries, or of any if these are None; how they were read is added to the remarks.

    Raises:
        FormatError: naming the row and column that cannot be a judgment, or if a file has none that can be used.
        TypeError: if it is something else.
    """
    if isinstance(given, str | Path):
        read = read_qrels(Path(given), queries)
        remarks += read.remarks
        return read.qrels
    if isinstance(given, Mapping):
        given = [(q, d, g) for q, judged in given.items() for d, g in _graded(judged)]
    rows = given
    if not _is_frame(given):
        rows = [each if isinstance(each, Mapping) else dict(zip(_JUDGED, each, strict=False)) for each in given]
    placed = enumerate(_rows_of(rows, ""), start=1)
    return checked_qrels(judgments_of_rows(placed, "judgments", "row", remarks), queries, remarks)


def run_of(given: Any, remarks: list[str]) -> Run:
    """Return rankings; how they were read is added to the remarks.

    Raises:
        FormatError: naming the line that is no place of a ranking.
        TypeError: if it is something else.
    """
    if isinstance(given, str | Path):
        read = read_run(Path(given))
        remarks += read.remarks
        return read.run
    if _is_frame(given):
        return checked_run(places_of_rows(enumerate(_rows_of(given, ""), start=1), "run", "row"), remarks)
    if not isinstance(given, Mapping):
        raise TypeError(f"Expected rankings as a file, a data frame or a mapping, got {type(given).__name__}.")
    return {str(query_id): _ranking_of(ranking) for query_id, ranking in given.items()}


def _ranking_of(given: Any) -> Ranking:
    if isinstance(given, Mapping):
        return sorted((ScoredDoc(str(doc), float(score)) for doc, score in given.items()), key=lambda doc: -doc.score)
    ranked = list(given)
    if all(hasattr(each, "doc_id") for each in ranked):
        return [ScoredDoc(each.doc_id, float(each.score)) for each in ranked]
    return [ScoredDoc(str(doc_id), float(len(ranked) - place)) for place, doc_id in enumerate(ranked)]


def _graded(judged: Any) -> Iterable[tuple[Any, Any]]:
    return judged.items() if isinstance(judged, Mapping) else ((doc_id, 1.0) for doc_id in judged)


def _rows_of(given: Any, text_name: str) -> list[Row]:
    """Return the rows of a data frame, of a mapping by id, or of a list; a bare text is under `text_name`."""
    if _is_frame(given):
        frame = given.reset_index() if any(given.index.names) else given
        records = frame.to_dict("records")
        return [{str(name): _plain(value) for name, value in record.items()} for record in records]
    if isinstance(given, Mapping):
        return [{"id": str(key), **_fields(value, text_name)} for key, value in given.items()]
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        return [_fields(each, text_name) for each in given]
    raise TypeError(f"Expected a path, a data frame, a mapping or a list, got {type(given).__name__}.")


def _fields(value: Any, text_name: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {text_name: value}
    if isinstance(value, Document):
        return {"id": value.doc_id, "title": value.title, "text": value.text}
    if isinstance(value, Query):
        return {"id": value.query_id, "query": value.text, "instruction": value.instruction}
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    raise TypeError(f"Expected a text or named fields, got {type(value).__name__}.")


def _is_frame(given: Any) -> bool:
    """Return whether this is a data frame of pandas, which need not be imported to tell."""
    return type(given).__module__.partition(".")[0] == "pandas" and hasattr(given, "to_dict")


def _plain(value: Any) -> Any:
    """Return a value without the types of numpy, and None for what is missing."""
    if type(value) is str:
        return value
    value = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return None if isinstance(value, float) and value != value else value
