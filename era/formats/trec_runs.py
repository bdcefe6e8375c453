"""Rankings in TREC's run files."""

from collections.abc import Iterator
from urllib.parse import unquote

from era.formats.checking import Place, grade_of
from era.formats.encodings import Lines, detect_encoding, open_text, unreadable
from era.formats.entries import Entry, Meter
from era.formats.judgment_files import cells_of
from era.types import ScoredDoc

QUOTED = "%Q0"
"""In the second column, which other tools ignore: the ids of this line are written as in web addresses."""


IN_SAMPLE = "-in-sample"
"""Ends the tag of a run that ranks queries by what had learned from their judgments."""


def tag_of(entry: Entry) -> str:
    """Return what the first line of a run file calls the system; empty for an empty file.

    Raises:
        FormatError: if that line is no place of a ranking.
    """
    return next((tag for *_, tag in _places(entry)), "")


def rankings_of(entry: Entry) -> dict[str, list[ScoredDoc]]:
    """Return the rankings of a run file by query id, ordered by score and, where that is equal, by rank.

    Raises:
        FormatError: naming the line that is no place of a ranking, or that repeats a document.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for place, query_id, doc_id, rank, score, _ in _places(entry):
        ranked = found.setdefault(query_id, {})
        if doc_id in ranked:
            raise place.error(f"the document {doc_id!r} was ranked before for the query {query_id!r}.")
        ranked[doc_id] = (-score, rank)
    return {
        query_id: [ScoredDoc(doc_id, -ranked[doc_id][0]) for doc_id in sorted(ranked, key=ranked.__getitem__)]
        for query_id, ranked in found.items()
    }


def is_run_line(line: str) -> bool:
    """Return whether a line is one of a run file."""
    cells = cells_of(line.strip("\r\n"))
    return len(cells) == 6 and cells[1].upper() in ("Q0", QUOTED, "0")


def _places(entry: Entry) -> Iterator[tuple[Place, str, str, float, float, str]]:
    codec, number = detect_encoding(entry), 0
    try:
        with open_text(entry, codec, Meter(), newline="\n") as stream:
            lines = Lines(stream, entry.name)
            for number, line in enumerate(lines, start=1):
                lines.begin()
                if not line.strip():
                    continue
                place = Place(entry.name, number)
                cells = cells_of(line.rstrip("\r\n"))
                if len(cells) != 6:
                    raise place.error("expected query id, Q0, document id, rank, score and tag.")
                query_id, mark, doc_id, rank, score, tag = cells
                if mark == QUOTED:
                    query_id, doc_id = unquote(query_id), unquote(doc_id)
                yield place, query_id, doc_id, _number(rank, place, "rank"), _number(score, place, "score"), tag
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise unreadable(entry, error, number + 1) from error


def _number(cell: str, place: Place, column: str) -> float:
    try:
        return grade_of(cell)
    except ValueError as error:
        raise place.error(f"{cell[:50]!r} is not a number.", column) from error
