"""Files of judgments: TREC qrels, the three columns of BEIR and collection folders, or a table with named columns."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from era.io.checking import Judgment, Place, grade_of
from era.io.columns import id_text, names_in_words
from era.io.delimited import undefused
from era.io.files import Entry, Lines, Meter, detect_encoding, open_text, unreadable
from era.io.rows import RowFile

QUOTED = "%"
"""In the second column, which other tools ignore: the ids of this line are written as in web addresses."""

_QUERY_NAMES = ("query_id", "qid", "query", "topic", "topic_id")
_DOC_NAMES = ("corpus_id", "doc_id", "docid", "document_id", "docno", "pid", "document", "doc")
_GRADE_NAMES = ("score", "relevance", "rel", "grade", "label", "judgment")
_EXPECTED = "expected query id, document id and relevance separated by tabs, or the four columns of TREC qrels."


def judgments_of_lines(entry: Entry) -> Iterator[Judgment]:
    """Yield the judgments of a text file, with or without a header line.

    Raises:
        FormatError: naming the line that is no judgment.
    """
    codec = detect_encoding(entry)
    number = 0
    try:
        with open_text(entry, codec, Meter(), newline="\n") as stream:
            lines = Lines(stream, entry.name)
            for number, line in enumerate(lines, start=1):
                lines.begin()
                if not line.strip():
                    continue
                place = Place(entry.name, number)
                cells = cells_of(line.rstrip("\r\n"), is_csv=entry.suffix == ".csv")
                if len(cells) not in (3, 4) or not cells[0] or not cells[-2]:
                    raise place.error(_EXPECTED)
                try:
                    grade = grade_of(cells[-1])
                except ValueError as error:
                    if number == 1 and _is_header(cells):
                        continue
                    raise place.error(f"{cells[-1][:50]!r} is not a number.", "relevance") from error
                query_id, doc_id = cells[0], cells[-2]
                if len(cells) == 4 and cells[1] == QUOTED:
                    query_id, doc_id = unquote(query_id), unquote(doc_id)
                yield Judgment(query_id, doc_id, grade, place)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise unreadable(entry, error, number + 1) from error


def judgments_of_rows(file: RowFile) -> Iterator[Judgment]:
    """Yield the judgments of a table with a column for each of query id, document id and relevance.

    Raises:
        FormatError: naming the row and column that does not hold what it should.
    """
    for number, row in file.rows(Meter()):
        place = Place(file.name, number, file.unit)
        query_column, doc_column, grade_column = (
            _column(row, names) for names in (_QUERY_NAMES, _DOC_NAMES, _GRADE_NAMES)
        )
        if not query_column or not doc_column:
            raise place.error(f"expected columns named query-id, corpus-id and score. Found: {names_in_words(row)}.")
        ids = [_id(row, column, place) for column in (query_column, doc_column)]
        # a list of relevant documents has no grades
        grade = _grade(row[grade_column], place, grade_column) if grade_column else 1.0
        yield Judgment(ids[0], ids[1], grade, place)


def judgments_of_labels(query_id: str, labels: Any, place: Place) -> Iterator[Judgment]:
    """Yield the judgments that a query brings along as a list of `{"id", "score"}`, also as a text of JSON.

    Raises:
        FormatError: if it is another kind of list.
    """
    if isinstance(labels, str):
        try:
            labels = json.loads(labels or "[]")
        except (ValueError, RecursionError) as error:
            raise place.error("this is not a list in JSON.", "labels") from error
    if isinstance(labels, dict) and labels and all(isinstance(each, list) for each in labels.values()):
        labels = [dict(zip(labels, values, strict=False)) for values in zip(*labels.values(), strict=False)]
    if labels is None:
        return
    if not isinstance(labels, list):
        raise place.error('expected a list such as [{"id": "1", "score": 1}].', "labels")
    for label in labels:
        if not isinstance(label, dict):
            raise place.error('expected a list such as [{"id": "1", "score": 1}].', "labels")
        id_column = _column(label, ("id", "_id", *_DOC_NAMES))
        grade_column = _column(label, _GRADE_NAMES)
        if not id_column:
            raise place.error('each label needs an "id".', "labels")
        grade = _grade(label[grade_column], place, "labels") if grade_column else 1.0
        yield Judgment(query_id, _id(label, id_column, place), grade, place)


def cells_of(line: str, is_csv: bool = False) -> list[str]:
    """Return the cells of a line, separated by commas, tabs, or where there is none, by blanks."""
    if is_csv:
        cells = next(csv.reader([line], delimiter=";" if line.count(";") > line.count(",") else ","), [])
        return [undefused(cell) for cell in cells]
    return line.split("\t") if "\t" in line else line.split()


def _is_header(cells: Sequence[str]) -> bool:
    names = {_as_name(cell) for cell in cells}
    return bool(names & {*_QUERY_NAMES, *_DOC_NAMES, *_GRADE_NAMES})


def _column(row: Mapping[str, Any], names: Sequence[str]) -> str:
    by_name = {_as_name(column): column for column in row}
    return next((by_name[name] for name in names if name in by_name), "")


def _as_name(column: str) -> str:
    return re.sub(r"[ \-]", "_", column.strip().lower())


def _id(row: Mapping[str, Any], column: str, place: Place) -> str:
    try:
        return id_text(row[column])
    except ValueError as error:
        raise place.error("expected an id that is a text or a whole number.", column) from error


def _grade(value: Any, place: Place, column: str) -> float:
    try:
        return grade_of(str(value))
    except ValueError as error:
        raise place.error(f"{str(value)[:50]!r} is not a number.", column) from error
