"""Write documents, queries, judgments and rankings as files that other tools read, and that read back the same.

Ids that a format has no room for, such as those with blanks in TREC files, are written as in web addresses on lines
that say so in a column other tools ignore; ids of others are never changed.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from era.errors import FormatError
from era.io.content import SourceDocument, SourceQuery
from era.io.delimited import defused
from era.io.judgments import QUOTED
from era.io.runs import QUOTED as QUOTED_RUN
from era.types import Qrels, Run

_UNFIT_BETWEEN_BLANKS = re.compile(r"[\s\x00-\x1f\x7f\ufeff]|\A[\[{]")
_UNFIT_BETWEEN_TABS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]|\A[\s\[{]|\s\Z|\A\Z")
_LIKE_TREC = re.compile(r"\S+\s+Q?0\s+\S+", re.IGNORECASE)  # of two ids with a tab between; read as three columns
_QUOTED_CHARACTERS = re.compile(r"[\s%\[{\x00-\x1f\x7f\ufeff]")
_MARK = "\ufeff"  # tells spreadsheets that the file is UTF-8


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
    (folder / "queries.jsonl").write_text(queries_jsonl(queries), encoding="utf-8", newline="\n")
    with (folder / "qrels.tsv").open("w", encoding="utf-8", newline="\n") as stream:
        for query_id, judged in qrels.items():
            stream.writelines(_tabbed(query_id, doc_id, grade) for doc_id, grade in judged.items())
    unfinished.replace(corpus)  # a folder without corpus.jsonl is none, so this comes last


def queries_jsonl(queries: Iterable[SourceQuery]) -> str:
    """Return queries as JSON Lines with `id`, `text`, `instruction` and, where there is one, `need`."""
    lines = []
    for each in queries:
        query = each.query
        row = {"id": query.query_id, "text": query.text, "instruction": query.instruction}
        lines.append(_json({**row, "need": each.need} if each.need else row))
    return "".join(lines)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV that a spreadsheet opens without taking any text for a formula."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow([_written(cell) for cell in header])
    writer.writerows([[_written(cell) for cell in row] for row in rows])
    return _MARK + written.getvalue()


def _between_blanks(query_id: str, doc_id: str, mark: str, quoted_mark: str) -> tuple[str, str, str]:
    if not query_id or not doc_id:
        raise ValueError("expected an id of at least one character")
    if _UNFIT_BETWEEN_BLANKS.search(query_id) or _UNFIT_BETWEEN_BLANKS.search(doc_id):
        return _quoted(query_id), quoted_mark, _quoted(doc_id)
    return query_id, mark, doc_id


def _tabbed(query_id: str, doc_id: str, grade: float) -> str:
    if (
        _LIKE_TREC.fullmatch(f"{query_id}\t{doc_id}")
        or _UNFIT_BETWEEN_TABS.search(query_id)
        or _UNFIT_BETWEEN_TABS.search(doc_id)
    ):
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
