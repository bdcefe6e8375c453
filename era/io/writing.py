"""Write documents, queries, judgments and rankings as files that other tools read, and that read back the same.

Ids that a format has no room for, such as those with blanks in TREC files, are written as in web addresses on lines
that say so in a column other tools ignore; ids of others are never changed.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from era.errors import FormatError
from era.io.content import SourceDocument, SourceQuery
from era.io.delimited import defused, undefused
from era.io.files import Entry
from era.io.judgments import QUOTED, judgments_of_lines, judgments_of_rows
from era.io.table import is_table, open_rows
from era.io.trec import IN_SAMPLE as IN_SAMPLE
from era.io.trec import QUOTED as QUOTED_RUN
from era.io.trec import rankings_of, tag_of
from era.types import Qrels, Run

_UNFIT_BETWEEN_BLANKS = re.compile(r"[\s\x00-\x1f\x7f\ufeff]")
_UNFIT_BETWEEN_TABS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]|\A\s*\Z")
_QUOTED_CHARACTERS = re.compile(r"[\s%\x00-\x1f\x7f\ufeff]")
_MARK = "\ufeff"  # tells spreadsheets that the file is UTF-8
_MOST_CELL_CHARACTERS = 50_000_000


def trec_qrels(qrels: Qrels) -> str:
    """Return judgments as lines `query 0 document grade`; grades that are not whole keep all their digits.

    Raises:
        ValueError: if an id is empty or a grade is not finite.
    """
    return "".join(
        " ".join((*_between_blanks(query_id, doc_id, "0", QUOTED), _number(grade))) + "\n"
        for query_id, judged in qrels.items()
        for doc_id, grade in judged.items()
    )


def trec_run(run: Run, tag: str) -> str:
    """Return rankings as lines `query Q0 document rank score tag`.

    Scores keep all their digits, but that one which does not fall in 32 bits is moved down by the smallest step:
    trec_eval reads scores so, and orders equal ones by document id, against the ranking.

    Raises:
        ValueError: if an id is empty or a score is no finite number of 32 bits.
    """
    lines = []
    name = re.sub(r"\s+", "-", tag.strip()) or "run"
    for query_id, ranking in run.items():
        previous = np.float32(np.inf)
        for rank, doc in enumerate(ranking, start=1):
            score, rounded = float(doc.score), np.float32(doc.score)
            if not math.isfinite(rounded):
                raise ValueError(f"expected a score that 32 bits can hold, got {score}")
            if not rounded < previous:
                rounded = np.nextafter(previous, np.float32(-np.inf))
                score = float(rounded)
            lines.append(
                " ".join((*_between_blanks(query_id, doc.doc_id, "Q0", QUOTED_RUN), str(rank), _number(score), name))
            )
            previous = rounded
    return "".join(f"{line}\n" for line in lines)


def collection_folder(
    folder: Path, documents: Iterable[SourceDocument], queries: Iterable[SourceQuery], qrels: Qrels
) -> None:
    """Write corpus.jsonl, queries.jsonl and qrels.tsv; the folder is made if need be.

    Raises:
        FormatError: if the folder has a corpus.jsonl already.
        ValueError: if a grade is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.jsonl"
    if corpus.exists():
        raise FormatError("there is a collection in this folder already. Choose another folder.", str(folder))
    unfinished = folder / "corpus.jsonl.part"
    with unfinished.open("w", encoding="utf-8", newline="\n") as stream:
        for each in documents:
            document = each.document
            row: dict[str, Any] = {"id": document.doc_id, "title": document.title, "text": document.text}
            stream.write(_json({**row, "metadata": dict(each.metadata)} if each.metadata else row))
    with (folder / "queries.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
        for asked in queries:
            query = asked.query
            row = {"id": query.query_id, "text": query.text, "instruction": query.instruction}
            stream.write(_json({**row, "need": asked.need} if asked.need else row))
    with (folder / "qrels.tsv").open("w", encoding="utf-8", newline="\n") as stream:
        for query_id, judged in qrels.items():
            stream.writelines(_tabbed(query_id, doc_id, grade) for doc_id, grade in judged.items())
    unfinished.replace(corpus)  # a folder without corpus.jsonl is none, so this comes last


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV that a spreadsheet opens without taking any text for a formula; `csv_rows` reads it."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow([_written(cell) for cell in header])
    writer.writerows([[_written(cell) for cell in row] for row in rows])
    return _MARK + written.getvalue()


def csv_rows(text: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV text, header first; what `csv_text` defused reads as it was.

    Raises:
        FormatError: naming the line where quotation marks do not match.
    """
    csv.field_size_limit(_MOST_CELL_CHARACTERS)
    reader = csv.reader(io.StringIO(text.removeprefix(_MARK), newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield [undefused(cell) for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(
            f"the quotation marks of the row that begins here do not match ({error}).", "", line
        ) from error


def read_qrels(path: Path) -> dict[str, dict[str, float]]:
    """Return the grades of a file of judgments by query and document id; those below 0 are 0.

    Raises:
        FormatError: naming the line that is no judgment.
    """
    entry = _entry(path)
    is_text = not is_table(entry) or entry.suffix in (".csv", ".tsv", ".tab")
    qrels: dict[str, dict[str, float]] = {}
    for judgment in judgments_of_lines(entry) if is_text else judgments_of_rows(open_rows(entry)):
        qrels.setdefault(judgment.query_id, {})[judgment.doc_id] = max(judgment.grade, 0.0)
    return qrels


def read_run(path: Path) -> Run:
    """Return the rankings of a TREC run file, ordered by score and, where that is equal, by rank.

    Raises:
        FormatError: naming the line that is no place of a ranking.
    """
    return rankings_of(_entry(path))


def read_run_tag(path: Path) -> str:
    """Return what a TREC run file calls its system; empty for an empty file.

    Raises:
        FormatError: if the first line is no place of a ranking.
    """
    return tag_of(_entry(path))


def _entry(path: Path) -> Entry:
    if not path.is_file():
        raise FormatError("there is no such file. Check the path.", str(path))
    return Entry(path.name, path)


def _between_blanks(query_id: str, doc_id: str, mark: str, quoted_mark: str) -> tuple[str, str, str]:
    if not query_id or not doc_id:
        raise ValueError("expected an id of at least one character")
    if _UNFIT_BETWEEN_BLANKS.search(query_id) or _UNFIT_BETWEEN_BLANKS.search(doc_id):
        return _quoted(query_id), quoted_mark, _quoted(doc_id)
    return query_id, mark, doc_id


def _tabbed(query_id: str, doc_id: str, grade: float) -> str:
    if _UNFIT_BETWEEN_TABS.search(query_id) or _UNFIT_BETWEEN_TABS.search(doc_id):
        return "\t".join((_quoted(query_id), QUOTED, _quoted(doc_id), _number(grade))) + "\n"
    return "\t".join((query_id, doc_id, _number(grade))) + "\n"


def _quoted(name: str) -> str:
    return _QUOTED_CHARACTERS.sub(lambda found: quote(found[0], safe=""), name)


def _number(value: float) -> str:
    """Return the shortest text that reads as the same number, whole where it is whole."""
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _written(cell: Any) -> Any:
    return defused(cell) if isinstance(cell, str) else cell
