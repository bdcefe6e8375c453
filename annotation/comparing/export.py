"""A comparison as files for other tools: tables for spreadsheets, and runs for trec_eval and its relatives."""

import io
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence

import storage.queries
from annotation.comparing.blind import Preferences
from annotation.comparing.measure import OverallComparison, shown_order
from annotation.comparing.rank import HIDDEN, rank_queries
from annotation.comparing.snapshot import judgments_then, kept_comparison, kept_side
from annotation.comparing.view import ComparisonView, side_labels
from annotation.judging.queries import query_names
from annotation.judging.setup import hidden_queries, left_out
from annotation.ranking.rankers import RankingKey
from annotation.workspace import Workspace
from era.evaluation.measures import depth_of
from era.io.content import SourceQuery
from era.io.runs import IN_SAMPLE
from era.io.writing import csv_text, queries_jsonl, trec_qrels, trec_run
from era.types import Query
from storage.records import Preferred, ShownLeft

_GRADE_SCALE = 10_000  # what writes grades that are not whole as whole ones, as trec_eval wants them


def queries_csv(overall: OverallComparison, labels: Sequence[str], hidden: Collection[int]) -> str:
    """Return a line for each query: text, instruction, part, relevant documents, and every measure of every side.

    Args:
        overall: the comparison.
        labels: what each side is called.
        hidden: queries whose numbers the person may not see yet; they come last.
    """
    measures = list(dict.fromkeys(name for change in overall.queries for name in change.values))
    header = ["query id", "query", "instruction", "part", "relevant"]
    header += [f"{measure}: {label}" for measure in measures for label in labels]
    names, rows = query_names([change.query for change in overall.queries]), []
    for change in shown_order(overall, hidden):
        query, numbers = change.query, [change.n_relevant, *(v for name in measures for v in change.values[name])]
        shown = [HIDDEN] if query.id in hidden else numbers
        rows.append([names[query.id], query.text, query.instruction, change.part, *shown])
    return csv_text(header, rows)


def preferences_csv(workspace: Workspace, view: ComparisonView, preferences: Preferences) -> str:
    """Return a line for each answer that stands: query, what was shown where, what was preferred, by whom and when."""
    labels = side_labels(workspace, view)
    with workspace.reading() as session:
        queries = {query.id: query for query in storage.queries.list_all(session, view.collection_id)}
    header = ["query id", "query", "instruction", "first", "second", "preferred", "shown left", "person", "at"]
    names, rows = query_names(list(queries.values())), []
    for each in preferences.records:
        query, first, second = queries[each.query_id], labels[each.first], labels[each.second]
        chosen = {Preferred.FIRST: first, Preferred.SECOND: second}.get(each.preferred, each.preferred.value)
        left = first if each.shown_left is ShownLeft.FIRST else second
        at = each.created_at.isoformat(timespec="seconds")
        rows.append([names[query.id], query.text, query.instruction, first, second, chosen, left, each.author, at])
    return csv_text(header, rows)


def trec_zip(workspace: Workspace, author: str | None, view: ComparisonView) -> bytes:
    """Return a zip with a TREC run file of each side, the judgments as qrels, and a README.txt.

    The queries are those with a judgment; of a snapshot shown as it was taken, judgments are those of then. Those of
    queries that others have judged and the author may still judge are left out, and no adapter ranks these that has
    learned from them. Scores are as on the screen, but that a score equal to the one before is moved down by the
    smallest step of a 32-bit number: trec_eval reads scores in 32 bits and orders equal ones by document id, against
    the order that was measured here.

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
    names, opened = query_names(listed), workspace.open(view.collection_id)
    labels, files = side_labels(workspace, view), {}
    in_sample = [_is_in_sample(workspace, view, key) for key in view.sides]
    hidden = hidden_queries(workspace, author, view.collection_id, view.label_set_id, [query.id for query in queries])
    open_queries = [query for query in queries if query.id not in hidden]
    depth = depth_of(view.measures)
    for place, key in enumerate(view.sides, start=1):
        ranked = rank_queries(workspace, opened, key, queries, depth)
        if view.is_in_sample:
            ranked |= rank_queries(workspace, opened, key, open_queries, depth, True)
        rankings = {names[query.id]: ranked[query.id].ranking for query in queries if query.id in ranked}
        is_flattered = in_sample[place - 1] and any(each.is_flattered for each in ranked.values())
        files[f"{place}-{re.sub(r'[^a-z0-9-]', '-', key)}.run"] = trec_run(
            rankings, key + IN_SAMPLE if is_flattered else key
        )
    sides = list(zip(files, labels.values(), in_sample, strict=True))
    told = {names[query.id]: qrels[query.id] for query in queries if query.id not in hidden}
    scale = _scale(told)
    files["qrels.txt"] = trec_qrels(
        {name: {doc_id: round(grade * scale) for doc_id, grade in judged.items()} for name, judged in told.items()}
    )
    files["queries.jsonl"] = queries_jsonl(
        SourceQuery(Query(names[query.id], query.text, query.instruction), query.need) for query in queries
    )
    files["README.txt"] = _readme(sides, view, scale, len(hidden))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return written.getvalue()


def _scale(qrels: Mapping[str, Mapping[str, float]]) -> int:
    """Return by what grades have to be multiplied to be whole, as trec_eval wants them."""
    is_whole = all(float(grade).is_integer() for judged in qrels.values() for grade in judged.values())
    return 1 if is_whole else _GRADE_SCALE


def _is_in_sample(workspace: Workspace, view: ComparisonView, key: RankingKey) -> bool:
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
    hidden = f"In qrels.txt: {left_out(n_hidden)}\n" if n_hidden else ""
    grades = "" if scale == 1 else f"Grades are not whole here; in qrels.txt they are multiplied by {scale:,}.\n"
    level = "" if view.threshold is None else f"Relevant from grade {view.threshold:g} on.\n"
    return (
        f"TREC run files, a line each: query Q0 document rank score tag\n{listed}\n"
        "qrels.txt holds the judgments: query 0 document grade. queries.jsonl: id, text, instruction, need.\n\n"
        f"Measures looked at: {', '.join(view.measures)}\n{level}{grades}{queries}{hidden}"
        "In lines with %Q0 ids are written as in web addresses (a blank is %20).\n"
        "Scores fall strictly: equal ones were moved down by the smallest step of a 32-bit number, because trec_eval\n"
        "would order them by document id.\n"
    )
