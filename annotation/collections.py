"""Read a collection from a folder: `corpus.jsonl`, and if present `queries.jsonl` and `qrels.tsv`.

Everything is read and checked before anything is stored, so a bad line leaves nothing half-imported.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.errors import CollectionFileError
from era.corpus import without_half_characters
from era.types import Document, Query

MAX_GRADE = 10.0


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


def read_collection(folder: Path) -> CollectionContent:
    """Read and check a collection folder.

    `corpus.jsonl` holds an object a line with `id` (or `_id`), `text` and optionally `title` and other short facts;
    `queries.jsonl` `id`, `text` and optionally `instruction`; `qrels.tsv` query id, document id and relevance,
    separated by tabs, with or without a header line.

    Raises:
        CollectionFileError: naming file and line, and what is expected there.
    """
    corpus_file = folder / "corpus.jsonl"
    if not corpus_file.is_file():
        raise CollectionFileError(
            f"There is no corpus.jsonl in {folder}. A collection folder needs corpus.jsonl with one document a line, "
            'such as {"id": "1", "title": "A title", "text": "The text"}.'
        )
    metadata: dict[str, dict[str, str]] = {}
    rows = [Document(*fields) for fields in _read_rows(corpus_file, ("title", "text"), metadata)]
    documents = [document for document in rows if document.content.strip()]
    if not documents:
        raise CollectionFileError(f"{corpus_file} has no document with any text; it needs one document a line.")
    queries_file, qrels_file = folder / "queries.jsonl", folder / "qrels.tsv"
    queries = []
    if queries_file.is_file():
        queries = [Query(*fields) for fields in _read_rows(queries_file, ("text", "instruction"))]
    qrels: dict[str, dict[str, float]] = {}
    if qrels_file.is_file():
        qrels = _read_qrels(qrels_file, {q.query_id for q in queries}, {d.doc_id for d in rows})
    empty = {document.doc_id for document in rows} - {document.doc_id for document in documents}
    qrels = {
        query_id: {doc_id: grade for doc_id, grade in judged.items() if doc_id not in empty}
        for query_id, judged in qrels.items()
    }
    remarks = (
        (f"{len(empty)} documents without any text were left out: {', '.join(sorted(empty)[:5])}",) if empty else ()
    )
    name = folder.resolve().name
    return CollectionContent(name, f"Read from the folder {name}", documents, queries, qrels, metadata, remarks)


def _read_rows(
    file: Path, names: tuple[str, str], others: dict[str, dict[str, str]] | None = None
) -> list[tuple[str, str, str]]:
    """Return (id, first, second) of each line; ids must be there and must not repeat.

    What else a line says in texts and numbers is put into `others`, by id.
    """
    rows: list[tuple[str, str, str]] = []
    lines_of_ids: dict[str, int] = {}
    for number, line in _lines(file):
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "too large or too deeply nested"
            raise CollectionFileError(f"{file}, line {number}: this is not JSON ({reason}).") from error
        if not isinstance(row, dict):
            raise CollectionFileError(f"{file}, line {number}: expected an object with id and text.")
        row_id = row.get("id", row.get("_id"))
        if not isinstance(row_id, str | int) or isinstance(row_id, bool) or str(row_id) == "":
            raise CollectionFileError(f'{file}, line {number}: expected an "id" that is a text or a whole number.')
        values = {}
        for name in names:
            value = row.get(name)
            if value is not None and not isinstance(value, str):
                raise CollectionFileError(f'{file}, line {number}: "{name}" should be a text.')
            values[name] = without_half_characters(value or "")
        row_id = without_half_characters(str(row_id))
        if row_id in lines_of_ids:
            raise CollectionFileError(
                f"{file}, line {number}: the id {row_id!r} was used in line {lines_of_ids[row_id]} already."
            )
        lines_of_ids[row_id] = number
        rows.append((row_id, values[names[0]], values[names[1]]))
        if others is not None and (rest := _metadata(row, names)):
            others[row_id] = rest
    return rows


def _metadata(row: dict[str, Any], names: tuple[str, str]) -> dict[str, str]:
    """Return the short facts of a line as texts; what is nested is left out."""
    facts: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            value = ", ".join(value)
        if name in ("id", "_id", *names) or isinstance(value, dict | list) or value is None or value == "":
            continue
        facts[without_half_characters(name)[:60]] = without_half_characters(str(value))[:500]
        if len(facts) == 20:
            break
    return facts


def _read_qrels(file: Path, query_ids: set[str], doc_ids: set[str]) -> dict[str, dict[str, float]]:
    qrels: dict[str, dict[str, float]] = {}
    for number, line in _lines(file):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) == 4:
            cells = [cells[0], cells[2], cells[3]]  # TREC: query, iteration, document, relevance
        if len(cells) != 3:
            raise CollectionFileError(
                f"{file}, line {number}: expected query id, document id and relevance separated by tabs."
            )
        query_id, doc_id, relevance = cells
        try:
            grade = float(relevance)
        except ValueError as error:
            if number == 1:
                continue  # a header
            raise CollectionFileError(f"{file}, line {number}: {relevance!r} is not a number.") from error
        if not math.isfinite(grade) or not -MAX_GRADE <= grade <= MAX_GRADE:
            raise CollectionFileError(f"{file}, line {number}: relevance should be between 0 and {MAX_GRADE:.0f}.")
        if query_id not in query_ids:
            raise CollectionFileError(f"{file}, line {number}: there is no query {query_id!r} in queries.jsonl.")
        if doc_id not in doc_ids:
            raise CollectionFileError(f"{file}, line {number}: there is no document {doc_id!r} in corpus.jsonl.")
        qrels.setdefault(query_id, {})[doc_id] = max(grade, 0.0)
    return qrels


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line) of a UTF-8 file, blank lines left out."""
    number = 0
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise CollectionFileError(
            f"{file}, line {number}: this is not UTF-8 text ({error.reason}). Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise CollectionFileError(f"{file} could not be read: {error.strerror}.") from error
