"""A comparison as files for other tools: tables for spreadsheets, and runs for trec_eval and its relatives."""

import csv
import io
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

import storage.queries
from annotation.comparing.all_queries import OverallComparison
from annotation.comparing.facts import kept_side, side_labels
from annotation.comparing.one_query import HIDDEN, hidden_queries
from annotation.comparing.preferring import Preferences
from annotation.comparing.rankings import rank_queries
from annotation.comparing.snapshots import judgments_then, kept_comparison
from annotation.comparing.views import ComparisonView
from annotation.workspace import Workspace
from era.evaluation import depth_of
from era.types import ScoredDoc
from storage.records import Preferred, QueryRecord, ShownLeft

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_GRADE_SCALE = 10_000  # what writes grades that are not whole as whole ones, as trec_eval wants them
_MARK = "\ufeff"  # tells spreadsheets that the file is UTF-8


def queries_csv(overall: OverallComparison, labels: Sequence[str], hidden: Collection[int]) -> str:
    """Return a line for each query: text, instruction, part, relevant documents, and every measure of every side.

    Args:
        overall: the comparison.
        labels: what each side is called.
        hidden: queries whose numbers whoever asks may not see yet; they come last.
    """
    measures = list(dict.fromkeys(name for change in overall.queries for name in change.values))
    header = ["query id", "query", "instruction", "part", "relevant"]
    header += [f"{measure}: {label}" for measure in measures for label in labels]
    rows = []
    for change in sorted(overall.queries, key=lambda change: change.query.id in hidden):
        query, numbers = change.query, [change.n_relevant, *(v for name in measures for v in change.values[name])]
        shown = [HIDDEN] if query.id in hidden else numbers
        rows.append([query.public_id or str(query.id), query.text, query.instruction, change.part, *shown])
    return csv_text(header, rows)


def preferences_csv(workspace: Workspace, view: ComparisonView, preferences: Preferences) -> str:
    """Return a line for each answer that stands: query, what was shown where, what was preferred, by whom and when."""
    labels = side_labels(workspace, view)
    with workspace.reading() as session:
        queries = {query.id: query for query in storage.queries.list_all(session, view.collection_id)}
    header = ["query id", "query", "instruction", "first", "second", "preferred", "shown left", "person", "at"]
    names, rows = _query_names(list(queries.values())), []
    for each in preferences.records:
        query, first, second = queries[each.query_id], labels[each.first], labels[each.second]
        chosen = {Preferred.FIRST: first, Preferred.SECOND: second}.get(each.preferred, each.preferred.value)
        left = first if each.shown_left is ShownLeft.FIRST else second
        at = each.created_at.isoformat(timespec="seconds")
        rows.append([names[query.id], query.text, query.instruction, first, second, chosen, left, each.author, at])
    return csv_text(header, rows)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV that a spreadsheet opens without taking any text for a formula."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow([_defused(cell) for cell in header])
    writer.writerows([[_defused(cell) for cell in row] for row in rows])
    return _MARK + written.getvalue()


def _defused(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def trec_zip(workspace: Workspace, author: str | None, view: ComparisonView) -> bytes:
    """Return a zip with a TREC run file of each side, the judgments as qrels, and a README.txt.

    The queries are those with a judgment; of a snapshot shown as it was taken, judgments are those of then. Those of
    queries that the author is still judging beside others are left out, not the rankings. Scores are as on the screen,
    but that a score equal to the one before is moved down by the smallest step of a 32-bit number: trec_eval reads
    scores in 32 bits and orders equal ones by document id, against the order that was measured here.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    kept = kept_comparison(workspace, view)
    if kept is not None:
        qrels: Mapping[int, Mapping[str, float]] = judgments_then(workspace, kept.record)
    else:
        qrels = workspace.standings(view.label_set_id).qrels()
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, view.collection_id)
    queries = [query for query in listed if query.id in qrels]
    names, library = _query_names(queries), workspace.library(view.collection_id)
    labels, files = side_labels(workspace, view), {}
    for place, key in enumerate(view.sides, start=1):
        ranked = rank_queries(workspace, library, key, queries, depth_of(view.measures), view.is_in_sample)
        rankings = {names[query.id]: ranked[query.id].ranking for query in queries if query.id in ranked}
        files[f"{place}-{re.sub(r'[^a-z0-9-]', '-', key)}.run"] = run_text(rankings, key)
    in_sample = [_is_in_sample(workspace, view, key) for key in view.sides]
    sides = list(zip(files, labels.values(), in_sample, strict=True))
    hidden = hidden_queries(workspace, author, view, names)
    files["qrels.txt"], scale = qrels_text({names[q.id]: qrels[q.id] for q in queries if q.id not in hidden})
    files["queries.tsv"] = "".join(
        f"{names[query.id]}\t{_one_line(query.text)}\t{_one_line(query.instruction)}\n" for query in queries
    )
    files["README.txt"] = _readme(sides, view, scale, len(hidden))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return written.getvalue()


def run_text(rankings: Mapping[str, Sequence[ScoredDoc]], tag: str) -> str:
    """Return rankings by query name as lines `query Q0 document rank score tag`, scores strictly falling."""
    lines = []
    for name, ranking in rankings.items():
        previous = np.float32(np.inf)
        for rank, doc in enumerate(ranking, start=1):
            score = min(np.float32(doc.score), np.nextafter(previous, np.float32(-np.inf)))
            lines.append(f"{_without_blanks(name)} Q0 {_without_blanks(doc.doc_id)} {rank} {score:.9g} {tag}\n")
            previous = score
    return "".join(lines)


def qrels_text(qrels: Mapping[str, Mapping[str, float]]) -> tuple[str, int]:
    """Return judgments by query name as lines `query 0 document grade`, and by what all grades were multiplied."""
    is_whole = all(float(grade).is_integer() for judged in qrels.values() for grade in judged.values())
    scale = 1 if is_whole else _GRADE_SCALE
    lines = [
        f"{_without_blanks(name)} 0 {_without_blanks(doc_id)} {round(grade * scale)}\n"
        for name, judged in qrels.items()
        for doc_id, grade in judged.items()
    ]
    return "".join(lines), scale


def _query_names(queries: Sequence[QueryRecord]) -> dict[int, str]:
    """Return what each query is called in the files: as in the imported file if all have such an id, else numbers."""
    public = [query.public_id for query in queries if query.public_id]
    has_public = len(set(public)) == len(queries)
    return {query.id: query.public_id if has_public and query.public_id else str(query.id) for query in queries}


def _without_blanks(name: str) -> str:
    """Return an id without blanks, which separate columns: they and the per cent sign are written as in addresses."""
    return re.sub(r"[\s%\x00-\x1f\x7f]", lambda found: quote(found[0], safe=""), name)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_in_sample(workspace: Workspace, view: ComparisonView, key: str) -> bool:
    """Return whether a side ranks, or a stored one ranked, by what had learned from the queries."""
    kept = kept_side(workspace, key)
    return kept[0].about["view"]["in_sample"] if kept else view.is_in_sample


def _readme(sides: Sequence[tuple[str, str, bool]], view: ComparisonView, scale: int, n_hidden: int) -> str:
    """Return what the files are; `sides` are (file name, label, whether in sample)."""
    listed = "\n".join(f"  {name}: {label}" for name, label, _ in sides)
    queries = ""
    for is_in_sample, who in (
        (False, "adapters that had not seen their labels"),
        (True, "the adapter that learned from them (in sample)"),
    ):
        names = [name for name, _, each in sides if each == is_in_sample]
        if names:
            queries += f"In {', '.join(names)}, queries that a training run learned from are ranked by {who}.\n"
    unseen = "1 query" if n_hidden == 1 else f"{n_hidden:,} queries"
    hidden = f"Judgments of {unseen} stay out of qrels.txt until you have finished judging.\n" if n_hidden else ""
    grades = "" if scale == 1 else f"Grades are not whole here; in qrels.txt they are multiplied by {scale:,}.\n"
    level = "" if view.threshold is None else f"Relevant from grade {view.threshold:g} on.\n"
    return (
        f"TREC run files, a line each: query Q0 document rank score tag\n{listed}\n"
        "qrels.txt holds the judgments: query 0 document grade. queries.tsv: query, text, instruction.\n\n"
        f"Measures looked at: {', '.join(view.measures)}\n{level}{grades}{queries}{hidden}"
        "Blanks and per cent signs in ids are written as in web addresses (a blank is %20).\n"
        "Scores fall strictly: equal ones were moved down by the smallest step of a 32-bit number, because trec_eval\n"
        "would order them by document id.\n"
    )
