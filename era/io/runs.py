"""Rankings of any file: TREC runs, and tables by the names of their columns."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from era.errors import FormatError
from era.io.checking import Named, Place
from era.io.columns import LABELLED_DOC_NAMES, LABELLED_QUERY_NAMES, names_in_words
from era.io.files import Entry, Meter, detect_encoding, encoding_remark
from era.io.judgments import column_of, id_in, names_labels, number_of, query_in, text_lines
from era.io.rows import PlacedRow
from era.io.table import named_table
from era.types import ScoredDoc

QUOTED = "%Q0"
"""In the second column, which other tools ignore: the ids of this line are written as in web addresses."""

IN_SAMPLE = "-in-sample"
"""Ends the tag of a run that ranks queries by what had learned from their judgments."""

_RANK_NAMES, _SCORE_NAMES = ("rank", "position"), ("score", "similarity")
_EXPECTED = "expected query id, Q0, document id, rank, score and tag"


@dataclass(frozen=True, slots=True)
class RankedPlace:
    """A place of a ranking as a file tells it; rank or score is None where the file has none."""

    query_id: str
    doc_id: str
    rank: float | None
    score: float | None
    place: Place


@dataclass(frozen=True, slots=True)
class RunRead:
    """Rankings by query id, what the first line calls the system, and what a person should know of the reading."""

    run: dict[str, list[ScoredDoc]]
    tag: str
    remarks: tuple[str, ...]


def read_run(path: Path, name: str = "") -> RunRead:
    """Read the rankings of one file, ordered by score and, where that is equal or missing, by rank.

    Args:
        path: of the file.
        name: as a person knows it; the path's own name if empty.

    Raises:
        FormatError: naming the place that is none of a ranking.
    """
    if not path.is_file():
        raise FormatError("there is no such file. Check the path.", str(path))
    entry = Entry(name or path.name, path)
    remarks: list[str] = []
    file = named_table(entry, names_labels, has_ids_as_names=False)
    if file is not None:
        run = checked_run(places_of_rows(file.rows(Meter()), file.name, file.unit), remarks)
        return RunRead(run, "", (*remarks, *file.remarks))
    encoding = detect_encoding(entry)
    if remark := encoding_remark(entry, encoding):
        remarks.append(remark)
    tags: list[str] = []
    run = checked_run(_places_of_lines(entry, encoding, tags), remarks)
    return RunRead(run, tags[0] if tags else "", tuple(remarks))


def places_of_rows(rows: Iterable[PlacedRow], name: str, unit: str) -> Iterator[RankedPlace]:
    """Yield the place of each row by the names of its columns; a row may also be `{query id: {document id: score}}`.

    Raises:
        FormatError: naming the row and column that does not hold what it should.
    """
    for number, row in rows:
        place = Place(name, number, unit)
        if row and all(isinstance(value, dict) for value in row.values()):
            yield from _of_mapping(row, place)
            continue
        doc_column = column_of(row, LABELLED_DOC_NAMES)
        rank_column, score_column = column_of(row, _RANK_NAMES), column_of(row, _SCORE_NAMES)
        if not column_of(row, LABELLED_QUERY_NAMES) or not doc_column or not (rank_column or score_column):
            found = names_in_words(row)
            raise place.error(f"expected columns named query_id, doc_id and score or rank. Found: {found}.")
        rank = number_of(row[rank_column], place, rank_column) if rank_column else None
        score = number_of(row[score_column], place, score_column) if score_column else None
        yield RankedPlace(query_in(row, place)[0], id_in(row, doc_column, place), rank, score, place)


def checked_run(found: Iterable[RankedPlace], remarks: list[str]) -> dict[str, list[ScoredDoc]]:
    """Return the rankings; of a document that is ranked twice for a query, the better place counts.

    That, and queries whose ranks say another order than their scores, which count, is added to the remarks.
    """
    places: dict[str, dict[str, tuple[float, float]]] = {}
    firsts: dict[tuple[str, str], Place] = {}
    twice, contrary, unscored = Named(), Named(), Named()
    for n_before, each in enumerate(found):
        ranked = places.setdefault(each.query_id, {})
        rank = n_before if each.rank is None else each.rank
        score = -rank if each.score is None else each.score
        if each.score is None:
            unscored.add(each.query_id)
        key = -score, rank
        first = firsts.setdefault((each.query_id, each.doc_id), each.place)
        if each.doc_id in ranked:
            twice.add(f"{each.doc_id} for {each.query_id} ({first}; {each.place})")
        ranked[each.doc_id] = min(key, ranked.get(each.doc_id, key))
    for query_id, ranked in places.items():
        in_order = [ranked[doc_id][1] for doc_id in sorted(ranked, key=ranked.__getitem__)]
        if in_order != sorted(in_order):
            contrary.add(query_id)
    if twice.n:
        what = twice.counted("document is", "documents are")
        remarks.append(f"{what} ranked twice for a query; the better place counts. {twice.listed('; ')}.")
    if contrary.n:
        what = contrary.counted("query has", "queries have")
        remarks.append(
            f"{what} ranks in another order than scores; the scores count, as for trec_eval: {contrary.listed()}."
        )
    if unscored.n:
        remarks.append("There are no scores, so the ranks count; each score is the rank with a minus before it.")
    return {
        query_id: [ScoredDoc(doc_id, -ranked[doc_id][0]) for doc_id in sorted(ranked, key=ranked.__getitem__)]
        for query_id, ranked in places.items()
    }


def is_run_line(line: str) -> bool:
    """Return whether a line is one of a run file."""
    cells = _cells_of(line)
    return len(cells) == 6 and cells[1].upper() in ("Q0", QUOTED, "0")


def _places_of_lines(entry: Entry, encoding: str, tags: list[str]) -> Iterator[RankedPlace]:
    for line, text in text_lines(entry, encoding):
        place, cells = Place(entry.name, line), _cells_of(text)
        if len(cells) != 6 or not cells[0] or not cells[2]:
            raise place.error(f"{_EXPECTED}.")
        query_id, mark, doc_id, rank, score, tag = cells
        if mark == QUOTED:
            query_id, doc_id = unquote(query_id), unquote(doc_id)
        tags += [] if tags else [tag]
        yield RankedPlace(query_id, doc_id, number_of(rank, place, "rank"), number_of(score, place, "score"), place)


def _cells_of(line: str) -> list[str]:
    """Return the cells of a line that any white space divides, or tabs where there are blanks in ids."""
    cells = line.split()
    return cells if len(cells) == 6 or "\t" not in line else [cell.strip() for cell in line.split("\t")]


def _of_mapping(found: Mapping[str, Any], place: Place) -> Iterator[RankedPlace]:
    for query_id, scores in found.items():
        for doc_id, score in scores.items():
            ids = [id_in({"id": each}, "id", place) for each in (query_id, doc_id)]
            yield RankedPlace(ids[0], ids[1], None, number_of(score, place, f"{query_id}, {doc_id}"), place)
