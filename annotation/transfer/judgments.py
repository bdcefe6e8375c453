"""Judgments out of a label set, as whoever asks may see them; the way in is `annotation.transfer.judgment_imports`."""

from collections.abc import Mapping, Sequence
from typing import Literal

import storage.collections
import storage.documents
import storage.judgment_exchange
import storage.label_sets
import storage.queries
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.query_names import query_names
from annotation.judging.visibility import hidden_queries, left_out
from annotation.transfer.files import ExportFile, file_name
from annotation.transfer.judgment_files import JudgmentLine, csv_table, jsonl_text
from annotation.transfer.judgment_imports import ImportedJudgments as ImportedJudgments
from annotation.transfer.judgment_imports import import_judgments as import_judgments
from annotation.workspace import Workspace
from era.io.writing import trec_qrels
from storage.records import JudgmentRecord, JudgmentRole, QueryRecord

AGREED, EVERYBODY = "agreed", "everybody"
FORMATS: Mapping[str, str] = {
    "qrels": "TREC qrels, for trec_eval and other measuring tools",
    "csv": "CSV, for spreadsheets",
    "jsonl": "JSON Lines, for programs",
}
_MEDIA_TYPES = {"qrels": "text/plain", "csv": "text/csv", "jsonl": "application/jsonl"}
_ROLE_ORDER = (JudgmentRole.REFERENCE, JudgmentRole.JUDGE, JudgmentRole.ADJUDICATOR)


def export_judgments(
    workspace: Workspace,
    author: str | None,
    label_set_id: int,
    format: Literal["qrels", "csv", "jsonl"],
    who: str = AGREED,
    with_notes: bool = False,
) -> ExportFile:
    """Return what stands in a label set as a file that `import_judgments` reads back.

    Queries that others have judged and the author may still judge are left out but for the author's own marks: no file
    may tell what the desk hides.

    Args:
        workspace: of this process.
        author: who asks; None if nobody is signed in where that is needed.
        label_set_id: whose judgments.
        format: one of `FORMATS`; qrels know neither people nor notes.
        who: `agreed` for one grade a document as it is trained and measured with, `everybody` for every single mark, or
            the name of one person for that person's.
        with_notes: whether notes are written too; those on an agreed grade are everybody's.

    Raises:
        InvalidInputError: if the format is unknown, or qrels are to hold everybody's marks.
        NotAllowedError: if nobody is signed in where that is needed to see what single people said.
        UnknownRecord: if there is no such label set.
    """
    if format not in FORMATS:
        raise InvalidInputError(f"Judgments can be taken out as {', '.join(FORMATS)}, not as {str(format)[:20]!r}.")
    if format == "qrels" and who == EVERYBODY:
        raise InvalidInputError(
            "TREC qrels hold one grade for each document. Choose the agreed grades or those of one person, or take the "
            "marks of everybody out as CSV or JSON Lines."
        )
    if author is None and (who != AGREED or with_notes):
        raise NotAllowedError("Sign in to see what single people said; the agreed grades can be taken out without.")
    with workspace.reading() as session:
        label_set = storage.label_sets.get(session, label_set_id)
        collection = storage.collections.get(session, label_set.collection_id)
        queries = {query.id: query for query in storage.queries.list_all(session, collection.id)}
        marks = storage.judgment_exchange.all_current(session, label_set_id)
    hidden = hidden_queries(workspace, author, collection.id, label_set_id, {mark.query_id for mark in marks})
    visible = [mark for mark in marks if mark.query_id not in hidden or (mark.author == author and who != AGREED)]
    names = query_names(list(queries.values()))
    if who == AGREED:
        lines = _agreed_lines(workspace, label_set_id, queries, names, visible, with_notes)
    else:
        chosen = [mark for mark in visible if who in (EVERYBODY, mark.author)]
        lines = [_line_of(mark, queries[mark.query_id], names[mark.query_id], with_notes) for mark in chosen]
        lines = lines if with_notes else [line for line in lines if line.grade is not None or line.cannot_tell]
    if format == "qrels":
        text = _qrels_of(lines, names)
    elif format == "jsonl":
        text = jsonl_text(lines, who != AGREED, with_notes)
    else:
        with workspace.reading() as session:
            documents = storage.documents.get_many(session, collection.id, [line.document_id for line in lines])
        titles = {doc_id: document.title for doc_id, document in documents.items()}
        text = csv_table(lines, titles, who != AGREED, with_notes)
    ending = ".qrels.txt" if format == "qrels" else f".{format}"
    return ExportFile(
        file_name(collection.name, label_set.name, who, ending=ending),
        text.encode("utf-8"),
        _MEDIA_TYPES[format],
        _remarks(len(hidden), format, len(lines)),
    )


def _agreed_lines(
    workspace: Workspace,
    label_set_id: int,
    queries: Mapping[int, QueryRecord],
    names: Mapping[int, str],
    visible: Sequence[JudgmentRecord],
    with_notes: bool,
) -> list[JudgmentLine]:
    """Return a line for each agreed grade of the queries with a visible mark, in the order of their marks."""
    qrels, notes = workspace.standings(label_set_id).qrels(), _notes_of(visible)
    lines = []
    for query_id, doc_id in dict.fromkeys((mark.query_id, mark.doc_id) for mark in visible):
        grade = qrels.get(query_id, {}).get(doc_id)
        if grade is not None:
            query = queries[query_id]
            note = notes.get((query_id, doc_id), "") if with_notes else None
            lines.append(
                JudgmentLine(
                    names[query_id], query.text, query.instruction, query.need, doc_id, float(grade), note=note
                )
            )
    return lines


def _notes_of(marks: Sequence[JudgmentRecord]) -> dict[tuple[int, str], str]:
    """Return the notes on each document: the only one as it is, several with the name of who wrote each."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    for mark in marks:
        if mark.note:
            found.setdefault((mark.query_id, mark.doc_id), {})[mark.author] = mark.note
    return {
        key: next(iter(by_author.values()))
        if len(by_author) == 1
        else "\n".join(f"{author}: {note}" for author, note in by_author.items())
        for key, by_author in found.items()
    }


def _line_of(mark: JudgmentRecord, query: QueryRecord, name: str, with_notes: bool) -> JudgmentLine:
    return JudgmentLine(
        query_id=name,
        query=query.text,
        instruction=query.instruction,
        need=query.need,
        document_id=mark.doc_id,
        grade=mark.grade,
        cannot_tell=mark.is_unsure,
        note=mark.note if with_notes else None,
        person=mark.author,
        role=mark.role,
        at=mark.created_at,
        seconds=mark.seconds,
        rank_shown=mark.rank_shown,
        ranker=mark.retriever,
        content_hash=mark.content_hash,
        judged_together_with=mark.together_with,
    )


def _qrels_of(lines: Sequence[JudgmentLine], names: Mapping[int, str]) -> str:
    """Return one grade for each document; what somebody settled counts before what the same person judged."""
    in_order = sorted(lines, key=lambda line: -1 if line.role is None else _ROLE_ORDER.index(line.role))
    qrels: dict[str, dict[str, float]] = {name: {} for name in names.values()}
    for line in in_order:
        if line.grade is not None:
            qrels[line.query_id][line.document_id] = line.grade
    return trec_qrels({name: judged for name, judged in qrels.items() if judged})


def _remarks(n_hidden: int, format: str, n_lines: int) -> tuple[str, ...]:
    remarks = []
    if n_hidden:
        remarks.append(left_out(n_hidden))
    if not n_lines:
        remarks.append("Nothing is judged that could be written, so the file is empty.")
    if format == "qrels":
        remarks.append("Queries without an id of their own are named by their words; CSV and JSON Lines hold those.")
    return tuple(remarks)
