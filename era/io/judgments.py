"""Judgments of any file: TREC qrels, the columns of BEIR and collection folders, tables by the names of their columns.

Whatever brings judgments in comes through here, so that one file gives the same grades everywhere.
"""

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from era.errors import FormatError
from era.io.checking import Named, Place
from era.io.columns import (
    GRADE_NAMES,
    INSTRUCTION_NAMES,
    LABELLED_DOC_NAMES,
    LABELLED_QUERY_NAMES,
    LABELLED_TEXT_NAMES,
    as_name,
    id_text,
    names_in_words,
    plain_text,
)
from era.io.delimited import DelimitedRows
from era.io.files import Entry, Lines, Meter, detect_encoding, encoding_remark, open_text, unreadable
from era.io.queries import query_of, table_of_queries, words_of
from era.io.rows import PlacedRow, Row, RowFile
from era.io.table import named_table
from era.types import Qrels, Query

MAX_GRADE = 10.0
"""Where the scale of the app ends; what is above is said to be, and measured as it is."""

QUOTED = "%"
"""In the second column, which other tools ignore: the ids of this line are written as in web addresses."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_ITERATION = re.compile(r"Q?\d+|ITER|%|-", re.IGNORECASE | re.ASCII)
_BETWEEN_BLANKS = re.compile(r"Q?0", re.IGNORECASE)
_EXPECTED = "expected query id, document id and relevance separated by tabs, or the four columns of TREC qrels"
_EXPECTED_NAMES = "expected columns named query-id, corpus-id and score"


@dataclass(frozen=True, slots=True)
class Judgment:
    """A judgment as a file tells it.

    Attributes:
        query_id: which query; its text where the file has no id for it.
        doc_id: which document.
        grade: any finite number; None where the file has none.
        place: where it was read.
        text: of the query, where a column says so.
        instruction: of the query; None where no column says so.
    """

    query_id: str
    doc_id: str
    grade: float | None
    place: Place
    text: str = ""
    instruction: str | None = None


@dataclass(frozen=True, slots=True)
class QrelsRead:
    """Judgments by query and document, and what a person should know of how they were read."""

    qrels: dict[str, dict[str, float]]
    remarks: tuple[str, ...]


def read_qrels(path: Path, queries: Sequence[Query] | None = None, name: str = "") -> QrelsRead:
    """Read the judgments of one file.

    Args:
        path: of the file.
        queries: those that can be judged; the file may name them by id or by text. If None, they are not known.
        name: as a person knows the file; the path's own name if empty.

    Raises:
        FormatError: naming the place that is no judgment, or if none is left.
    """
    if not path.is_file():
        raise FormatError("there is no such file. Check the path.", str(path))
    entry = Entry(name or path.name, path)
    remarks: list[str] = []
    qrels = checked_qrels(judgments_of(entry, remarks), queries, remarks)
    if not qrels:
        raise FormatError(" ".join(["there is no judgment in it that can be used.", *remarks]), entry.name)
    return QrelsRead(qrels, tuple(remarks))


def judgments_of(entry: Entry, remarks: list[str]) -> Iterator[Judgment]:
    """Yield the judgments of a file as they are written; how they were read is added to the remarks.

    Raises:
        FormatError: naming the place that is no judgment.
    """
    for judgment, _ in judgments_with_rows(entry, remarks):
        yield judgment


def judgments_with_rows(
    entry: Entry, remarks: list[str], others_read: Container[str] = ()
) -> Iterator[tuple[Judgment, Row]]:
    """Yield the judgments as `judgments_of` does, each with its row by column; empty where columns have no names.

    `others_read` are the usual names of columns that the caller reads besides, about which nothing is remarked.
    """
    file = named_table(entry, names_labels, has_ids_as_names=False)
    if file is None:
        yield from ((judgment, {}) for judgment in _of_lines(entry, remarks))
        return
    rows = file.rows(Meter())
    if isinstance(file, DelimitedRows) and file.header == "no":
        yield from ((_of_cells(list(row.values()), Place(file.name, line)), {}) for line, row in rows)
    else:
        yield from _with_rows(rows, file.name, file.unit, remarks, others_read)
    remarks += file.remarks


def judgments_of_table(file: RowFile, remarks: list[str]) -> Iterator[Judgment]:
    """Yield the judgments of a table by the names of its columns, as `judgments_of` does."""
    yield from judgments_of_rows(file.rows(Meter()), file.name, file.unit, remarks)
    remarks += file.remarks


def judgments_of_rows(rows: Iterable[PlacedRow], name: str, unit: str, remarks: list[str]) -> Iterator[Judgment]:
    """Yield the judgment of each row by the names of its columns.

    A row may also be the judgments of several queries, `{query id: {document id: grade}}`.

    Args:
        rows: place and values by column.
        name: of the table, as a person knows it.
        unit: what the places count.
        remarks: columns that were not read are added to these.

    Raises:
        FormatError: naming the row and column that does not hold what it should.
    """
    for judgment, _ in _with_rows(rows, name, unit, remarks):
        yield judgment


def judgments_of_labels(query: Query, labels: Any, place: Place) -> Iterator[Judgment]:
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
        id_column = column_of(label, ("id", "_id", *LABELLED_DOC_NAMES))
        grade_column = column_of(label, GRADE_NAMES)
        if not id_column:
            raise place.error('each label needs an "id".', "labels")
        grade = _grade(label[grade_column], place, "labels") if grade_column else 1.0
        name = query.query_id or query.text
        yield Judgment(name, id_in(label, id_column, place), grade, place, query.text, query.instruction)


def labels_of(entry: Entry, remarks: list[str]) -> Iterator[Judgment]:
    """Yield the judgments that the queries of a file bring along in a column `labels`."""
    file = table_of_queries(entry)
    return iter(()) if file is None else labels_of_table(file, remarks)


def labels_of_table(file: RowFile, remarks: list[str]) -> Iterator[Judgment]:
    """Yield the judgments that the queries of a table bring along in a column `labels`; nothing is to be remarked."""
    for number, row in file.rows(Meter()):
        if row.get("labels") is not None:
            place = Place(file.name, number, file.unit)
            yield from judgments_of_labels(query_of(row, place).query, row["labels"], place)


def checked_qrels(
    found: Iterable[Judgment], queries: Sequence[Query] | None, remarks: list[str]
) -> dict[str, dict[str, float]]:
    """Return the grades by query and document; what was decided is added to the remarks.

    Grades below 0 are unjudged, as trec_eval has it, and left out like rows without a grade. Of two grades for one pair
    the later holds. Judgments of queries that are not there are left out; a query is named by its id, or by its text if
    no other has the same.

    Args:
        found: as they were read, of one or several files.
        queries: those that can be judged; None if they are not known.
        remarks: for people.
    """
    match = None if queries is None else QueryMatch(queries)
    grades: dict[tuple[str, str], tuple[float, Place]] = {}
    twice, below, above, without = Named(), Named(), Named(), Named()
    for judgment in found:
        query_id = judgment.query_id if match is None else match.id_of(judgment)
        if query_id is None:
            continue
        key, grade, place = (query_id, judgment.doc_id), judgment.grade, judgment.place
        if grade is None:
            without.add(str(place))
            continue
        if grade < 0:
            below.add(f"{grade:g} for {query_id}, {judgment.doc_id} ({place})")
            continue
        if grade > MAX_GRADE:
            above.add(f"{grade:g} for {query_id}, {judgment.doc_id} ({place})")
        if key in grades and grades[key][0] != grade:
            earlier, first = grades[key]
            twice.add(f"{query_id}, {judgment.doc_id}: {earlier:g} ({first}), then {grade:g} ({place})")
        grades[key] = grade, place
    remarks += match.remarks() if match is not None else []
    if above.n:
        what = above.counted("grade is", "grades are")
        remarks.append(f"{what} above {MAX_GRADE:.0f}, where the scale of the app ends. {above.listed('; ')}.")
    remarks += remarks_on_grades(below, without, twice)
    qrels: dict[str, dict[str, float]] = {}
    for (query_id, doc_id), (grade, _) in grades.items():
        qrels.setdefault(query_id, {})[doc_id] = grade
    return qrels


def remarks_on_grades(below: Named, without: Named, twice: Named) -> list[str]:
    """Return what was done with grades below 0, with rows without a grade, and with pairs that have two grades."""
    remarks = []
    if below.n:
        what = below.counted("grade below 0 was", "grades below 0 were")
        remarks.append(f"{what} left out: such documents are unjudged, as trec_eval has it. {below.listed('; ')}.")
    if without.n:
        what = without.counted("row without a grade was", "rows without a grade were")
        remarks.append(f"{what} left out: such documents are unjudged. {without.listed('; ')}.")
    if twice.n:
        what = twice.counted("judgment contradicts", "judgments contradict")
        remarks.append(f"{what} an earlier one of the same query and document; the last holds. {twice.listed('; ')}.")
    return remarks


def of_known_documents(qrels: Qrels, doc_ids: Container[str], remarks: list[str]) -> dict[str, dict[str, float]]:
    """Return the judgments of documents that are there; that others were left out is added to the remarks."""
    missing = Named()
    kept: dict[str, dict[str, float]] = {}
    for query_id, judged in qrels.items():
        for doc_id, grade in judged.items():
            if doc_id in doc_ids:
                kept.setdefault(query_id, {})[doc_id] = grade
            else:
                missing.add(doc_id)
    if missing.n:
        one, several = "judgment of a document that is not there", "judgments of documents that are not there"
        remarks.append(missing.left_out(one, several))
    return kept


class QueryMatch:
    """Finds the query that a judgment or a ranking names: by its id, else by its text."""

    def __init__(self, queries: Sequence[Query]) -> None:
        """Keep the queries by id and by text."""
        self._ids = {query.query_id for query in queries}
        self._by_words: dict[tuple[str, str | None], list[str]] = {}
        for query in queries:
            text, instruction = words_of(query)
            self._by_words.setdefault((text, instruction), []).append(query.query_id)
            self._by_words.setdefault((text, None), []).append(query.query_id)
        self._by_text, self._ambiguous, self._unknown = Named(), Named(), Named()

    def id_of(self, judgment: Judgment) -> str | None:
        """Return the id of the query; None, which is noted, if there is none or more than one."""
        if judgment.query_id in self._ids:
            return judgment.query_id
        text = " ".join((judgment.text or judgment.query_id).split())
        instruction = None if judgment.instruction is None else " ".join(judgment.instruction.split())
        found = self._by_words.get((text, instruction), [])
        if len(found) == 1:
            self._by_text.add(judgment.query_id)
            return found[0]
        if found:
            self._ambiguous.add(f"{text[:60]!r} is that of {', '.join(found[:5])}")
        else:
            self._unknown.add(judgment.query_id[:60])
        return None

    def remarks(self) -> list[str]:
        """Return how queries were found, and what was left out."""
        remarks = []
        if self._by_text.n:
            remarks.append(
                f"{self._by_text.counted('judgment names', 'judgments name')} the query by its text, not its id."
            )
        if self._ambiguous.n:
            what = self._ambiguous.counted("judgment was", "judgments were")
            remarks.append(f"{what} left out, since several queries have the text: {self._ambiguous.listed('; ')}.")
        if self._unknown.n:
            one, several = "judgment of a query that is not there", "judgments of queries that are not there"
            remarks.append(self._unknown.left_out(one, several))
        return remarks


def number_of(value: Any, place: Place, column: str) -> float:
    """Return a finite number, written with a point if it is not whole.

    Raises:
        FormatError: if it is anything else.
    """
    text = str(value).strip() if isinstance(value, Real | Decimal | str) and not isinstance(value, bool) else ""
    number = float(text) if _NUMBER.fullmatch(text) else float("inf")
    if number in (float("inf"), float("-inf")):
        hint = " Write decimals with a point." if re.fullmatch(r"[+-]?\d+,\d+", text) else ""
        raise place.error(f"{str(value)[:50]!r} is not a number.{hint}", column)
    return number


def names_labels(cells: Sequence[str]) -> bool:
    """Return whether cells name columns of which one holds queries and one documents."""
    names = {as_name(cell) for cell in cells}
    is_data = any(_NUMBER.fullmatch(cell.strip()) for cell in cells)
    return bool(names & set(LABELLED_QUERY_NAMES) and names & set(LABELLED_DOC_NAMES)) and not is_data


def column_of(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the column that has the first of the names; empty if there is none."""
    by_name = {as_name(column): column for column in row}
    return next((by_name[name] for name in names if name in by_name), "")


def id_in(row: Mapping[str, Any], column: str, place: Place) -> str:
    """Return the id in a column, without the blanks around it.

    Raises:
        FormatError: if there is none.
    """
    try:
        if found := id_text(row[column]).strip():
            return found
    except ValueError:
        pass
    raise place.error("expected an id that is a text or a whole number.", column)


def query_in(row: Row, place: Place) -> tuple[str, str]:
    """Return id and text of the query that a row names; the text is the id where there is no other.

    Raises:
        FormatError: if the row names no query.
    """
    text_column = column_of(row, LABELLED_TEXT_NAMES)
    text = plain_text(row[text_column], lambda problem: place.error(problem, text_column)) if text_column else ""
    id_column = next(
        (
            column
            for name in LABELLED_QUERY_NAMES
            if (column := column_of(row, (name,))) and row[column] not in ("", None)
        ),
        "",
    )
    if not id_column:
        raise place.error(f"the query is missing. Found: {names_in_words(row)}.")
    return id_in(row, id_column, place), text


def _with_rows(
    rows: Iterable[PlacedRow], name: str, unit: str, remarks: list[str], others_read: Container[str] = ()
) -> Iterator[tuple[Judgment, Row]]:
    unread: dict[str, None] = {}
    n_without_column = 0
    for number, row in rows:
        place = Place(name, number, unit)
        if row and all(isinstance(value, dict) for value in row.values()):
            yield from ((judgment, {}) for judgment in _of_mapping(row, place))
            continue
        query_column, doc_column = column_of(row, LABELLED_QUERY_NAMES), column_of(row, LABELLED_DOC_NAMES)
        grade_column = column_of(row, GRADE_NAMES)
        others = [column for column in row if as_name(column) not in _READ_NAMES]
        if not query_column or not doc_column or (not grade_column and others):
            raise place.error(f"{_EXPECTED_NAMES}. Found: {names_in_words(row)}.")
        if column_of(row, ("rank",)) and as_name(grade_column) == "score":
            raise place.error(f"these are rankings and no judgments. Found: {names_in_words(row)}.")
        n_without_column += not grade_column
        query_id, text = query_in(row, place)
        instruction_column = column_of(row, INSTRUCTION_NAMES)
        grade = _grade(row[grade_column], place, grade_column) if grade_column else 1.0
        instruction = str(row[instruction_column] or "") if instruction_column and text else None
        yield Judgment(query_id, id_in(row, doc_column, place), grade, place, text, instruction), row
        unread |= {name: None for name in others if row[name] not in ("", None) and as_name(name) not in others_read}
    if n_without_column:
        remarks.append(f"{name} has no column of grades, so every document in it counts as relevant, with grade 1.")
    if unread:
        remarks.append(f"Of {name}, these columns are not read: {names_in_words(unread)}.")


_READ_NAMES = {*LABELLED_QUERY_NAMES, *LABELLED_DOC_NAMES, *GRADE_NAMES, *INSTRUCTION_NAMES, "iteration", "iter"}


def _of_mapping(found: Mapping[str, Any], place: Place) -> Iterator[Judgment]:
    for query_id, judged in found.items():
        for doc_id, grade in judged.items():
            ids = [id_in({"id": each}, "id", place) for each in (query_id, doc_id)]
            yield Judgment(ids[0], ids[1], _grade(grade, place, f"{query_id}, {doc_id}"), place)


def _of_lines(entry: Entry, remarks: list[str]) -> Iterator[Judgment]:
    """Yield the judgments of lines that are divided by white space; the whole file decides by which."""
    encoding = detect_encoding(entry)
    if remark := encoding_remark(entry, encoding):
        remarks.append(remark)
    split = _divided_by(entry, encoding)
    header: list[str] = []
    for n_before, (line, text) in enumerate(text_lines(entry, encoding)):
        cells, place = split(text), Place(entry.name, line)
        if not n_before and names_labels(cells):
            header = cells
        elif not header:
            yield _of_cells(cells, place)
        elif len(cells) == len(header):
            yield from judgments_of_rows([(line, dict(zip(header, cells, strict=True)))], entry.name, "line", [])
        else:
            raise place.error(f"{len(cells)} columns, but the header has {len(header)}.")


def _divided_by(entry: Entry, encoding: str) -> Callable[[str], list[str]]:
    """Return what divides every line into three or four cells: tabs, or else any white space.

    Where there are tabs and blanks in lines of TREC qrels, both divide.
    """
    n_lines = n_tabbed = n_trec = 0
    for _, text in text_lines(entry, encoding):
        words = text.split()
        n_lines += 1
        n_tabbed += text.count("\t") in (2, 3)
        marks = _BETWEEN_BLANKS if text.count("\t") == 2 else _ITERATION
        n_trec += len(words) == 4 and marks.fullmatch(words[1]) is not None
    return _tabbed if n_tabbed == n_lines != n_trec else str.split


def _tabbed(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("\t")]


def text_lines(entry: Entry, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that are not blank.

    Raises:
        FormatError: naming the line that cannot be read.
    """
    number = 0
    try:
        with open_text(entry, encoding, Meter(), newline="\n") as stream:
            lines = Lines(stream, entry.name)
            for number, line in enumerate(lines, start=1):
                lines.begin()
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise unreadable(entry, error, number + 1) from error


def _of_cells(cells: Sequence[str], place: Place) -> Judgment:
    """Return the judgment of cells without names: query, document and grade, or those of TREC qrels."""
    cells = [cell.strip() for cell in cells]
    if len(cells) not in (3, 4) or not cells[0] or not cells[-2]:
        what = "this is a place of a ranking; " if len(cells) == 6 and _ITERATION.fullmatch(cells[1]) else ""
        raise place.error(f"{what}{_EXPECTED}.")
    grade = _grade(cells[-1], place, "relevance")
    if len(cells) == 4 and not _ITERATION.fullmatch(cells[1]):
        raise place.error(
            f"of four columns without names, the second is 0 in TREC qrels, not {cells[1][:50]!r}. Name the columns in "
            "the first line, such as query_id, doc_id and grade."
        )
    query_id, doc_id = cells[0], cells[-2]
    if len(cells) == 4 and cells[1] == QUOTED:
        query_id, doc_id = unquote(query_id), unquote(doc_id)
    return Judgment(query_id, doc_id, grade, place)


def _grade(value: Any, place: Place, column: str) -> float | None:
    """Return a grade; None where the cell is empty, which in Parquet and spreadsheets is not equal to itself."""
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        return None
    return number_of(value, place, column)
