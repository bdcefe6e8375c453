"""Judgments out of a label set as a file, with what is hidden from the person left out, and back in, line by line."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.queries import name_of_text, query_names
from annotation.judging.setup import clean_text, desk_setup, hidden_queries, left_out
from annotation.people.permissions import may_speak_for, why_not_settle
from annotation.transfer.files import ExportFile, file_name
from annotation.transfer.judgment_files import JudgmentLine, csv_table, jsonl_text, read_judgments
from annotation.workspace import Workspace
from era.io.writing import trec_qrels
from storage.records import DocumentRecord, JudgmentRecord, JudgmentRole, NewJudgment, QueryRecord

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
        author: who asks; None if no one is signed in where that is needed.
        label_set_id: whose judgments.
        format: one of `FORMATS`; qrels know neither people nor notes.
        who: `agreed` for one grade a document as it is trained and measured with, `everybody` for every single mark, or
            the name of one person for that person's.
        with_notes: whether notes are written too; those on an agreed grade are everybody's.

    Raises:
        InvalidInputError: if the format is unknown, or qrels are to hold everybody's marks.
        NotAllowedError: if no one is signed in where that is needed to see what single people said.
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
        marks = storage.judgments.all_current(session, label_set_id)
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


_N_NAMED = 5
_MAX_PERSON = 100

_Key = tuple[int, str, str, JudgmentRole]
"""Query id, document id, author and role: of these at most one mark stands."""


@dataclass(frozen=True, slots=True)
class ImportedJudgments:
    """What came of a file of judgments.

    Attributes:
        n_new: marks that were stored.
        n_same: marks that stood here already, word for word.
        n_older: marks left out since the same person said something else here later.
        n_queries_added: queries that the collection did not have.
        remarks: what a person should know besides, in complete sentences.
    """

    n_new: int
    n_same: int
    n_older: int
    n_queries_added: int
    remarks: tuple[str, ...]


def import_judgments(
    workspace: Workspace, author: str | None, label_set_id: int, path: Path, name: str = ""
) -> ImportedJudgments:
    """Read a file as `export_judgments` writes it, or judgments of another tool, into a label set.

    Queries are matched by text and instruction where the file tells them, and added where they are new; else by what
    they are called in files (`judging.queries.query_names`), or by a text that only one of them has. Marks of
    other people keep their role only where no one signs in: elsewhere they come in as references, since each
    person speaks for himself or herself alone. What was settled comes in as references, too, unless the importing
    person manages the collection. Agreed grades and qrels come in as references of the person who imports.

    Args:
        workspace: of this process.
        author: who imports; None if no one is signed in where that is needed.
        label_set_id: where the marks go.
        path: of the file.
        name: as the person knows the file; the path's own name if empty.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        FormatError: if a line cannot be read, or the file takes more than it may; then nothing is stored.
        InvalidInputError: if no line fits this collection, or a grade is not on its scale; likewise.
        UnknownRecord: if there is no such label set.
    """
    if author is None:
        raise NotAllowedError("Sign in to bring judgments in.")
    called = name or path.name
    read = workspace.reading_places.call(author, "", called, read_judgments, path, called)
    lines = read.lines
    with workspace.reading() as session:
        label_set = storage.label_sets.get(session, label_set_id)
        collection = storage.collections.get(session, label_set.collection_id)
        queries = storage.queries.list_all(session, collection.id)
        documents = storage.documents.get_many(session, collection.id, [line.document_id for line in lines])
    why_not = why_not_settle(workspace.settings, author, collection)
    checked = _Checked(author, documents, desk_setup(collection.desk).highest_grade, queries, why_not)
    for line in lines:
        checked.take(line, may_speak_for(workspace.settings, author, line.person))
    remarks = [*read.remarks, *checked.remarks()]
    if not checked.taken:
        raise InvalidInputError(" ".join(["Nothing of this file fits here, so nothing was stored.", *remarks]))
    with workspace.writing() as session:
        standing = storage.judgments.all_current(session, label_set_id)  # not before: people go on judging
        stored = {
            (query.text, query.instruction): query
            for line in checked.new_queries
            for query in [
                storage.queries.get_or_create(
                    session, collection.id, line.query, line.instruction, author, line.query_id or None, line.need
                )
            ]
        }
        found = [(line, query if isinstance(query, QueryRecord) else stored[query]) for line, query in checked.taken]
        new, n_same, n_older = _compared(found, standing)
        delivery = f"{storage.judgments.IMPORT_PREFIX}{label_set_id}-{uuid.uuid4().hex}"
        judgments = [
            (_judgment(label_set_id, delivery, number, line, query, documents[line.document_id]), line.at)
            for number, (line, query) in enumerate(new, start=1)
        ]
        storage.judgments.append_dated(session, judgments)
    return ImportedJudgments(len(new), n_same, n_older, len(checked.new_queries), tuple(remarks))


@dataclass(slots=True)
class _Checked:
    """The lines that fit the collection, each with its query, or with text and instruction of one to be added."""

    author: str
    documents: Mapping[str, DocumentRecord]
    highest_grade: int
    queries: Sequence[QueryRecord]
    why_not_settle: str
    taken: list[tuple[JudgmentLine, QueryRecord | tuple[str, str]]] = field(default_factory=list)
    new_queries: list[JudgmentLine] = field(default_factory=list)
    unknown_queries: dict[str, None] = field(default_factory=dict)
    unknown_documents: dict[str, None] = field(default_factory=dict)
    ambiguous: dict[str, None] = field(default_factory=dict)
    people: dict[str, None] = field(default_factory=dict)
    has_settled: bool = False
    _by_text: dict[tuple[str, str], QueryRecord | tuple[str, str]] = field(init=False)
    _by_name: dict[str, QueryRecord] = field(init=False)
    _by_text_alone: dict[str, list[QueryRecord]] = field(init=False)
    _taken_ids: set[str] = field(init=False)

    def __post_init__(self) -> None:
        names = query_names(self.queries)
        self._by_text = {(query.text, query.instruction): query for query in self.queries}
        self._by_name = {names[query.id]: query for query in self.queries}
        self._by_text_alone = {}
        for query in self.queries:
            self._by_text_alone.setdefault(" ".join(query.text.split()), []).append(query)
        self._taken_ids = {query.public_id for query in self.queries if query.public_id}

    def take(self, line: JudgmentLine, may_speak: bool) -> None:
        """Match one line; `may_speak` says whether its person may be believed to have said it at the desk."""
        query = self._query(line)
        if query is None and line.query_id in self.ambiguous:
            return
        if query is None:
            self.unknown_queries[line.query_id or line.query[:60]] = None
        if line.document_id not in self.documents:
            self.unknown_documents[line.document_id] = None
        if query is None or line.document_id not in self.documents:
            return
        person = " ".join(clean_text(line.person, "name").split())
        if len(person) > _MAX_PERSON:
            raise InvalidInputError(f"The name {person[:40]!r}… is longer than {_MAX_PERSON} characters. Shorten it.")
        role = line.role or (JudgmentRole.JUDGE if person else JudgmentRole.REFERENCE)
        if not person:
            role = JudgmentRole.REFERENCE
        elif not may_speak and role is not JudgmentRole.REFERENCE:
            self.people[person] = None
            role = JudgmentRole.REFERENCE
        elif role is JudgmentRole.ADJUDICATOR and self.why_not_settle:
            self.has_settled = True
            role = JudgmentRole.REFERENCE
        if role is not JudgmentRole.REFERENCE and line.grade is not None:
            self._require_on_scale(line)
        note = None if line.note is None else clean_text(line.note, "note")
        at = None if line.at is None else min(line.at, datetime.now(UTC))
        self.taken.append((replace(line, person=person or self.author, role=role, note=note, at=at), query))

    def remarks(self) -> list[str]:
        """Return what a person should know of the lines that were left out or changed."""
        found = []
        for names, what in ((self.unknown_queries, "queries"), (self.unknown_documents, "documents")):
            if names:
                listed = ", ".join(list(names)[:_N_NAMED]) + (", …" if len(names) > _N_NAMED else "")
                found.append(f"Judgments of {what} that this collection does not have were left out: {listed}.")
        if self.ambiguous:
            listed = "; ".join(text[:60] for text in list(self.ambiguous)[:_N_NAMED])
            found.append(f"Judgments were left out since several queries have the text that they name: {listed}.")
        if self.people:
            found.append(
                f"Marks of {', '.join(self.people)} came in as references: where people sign in, only they themselves "
                "can judge in their names."
            )
        if self.has_settled:
            found.append(f"What was settled came in as references. {self.why_not_settle}")
        return found

    def _query(self, line: JudgmentLine) -> QueryRecord | tuple[str, str] | None:
        named = self._by_name.get(line.query_id)
        if not line.query and named is None:
            alike = self._by_text_alone.get(" ".join(line.query_id.split()), [])
            if len(alike) > 1:
                self.ambiguous[line.query_id] = None
            return alike[0] if len(alike) == 1 else None
        if not line.query:
            return named
        key = (line.query, line.instruction)
        if key not in self._by_text and named is not None and _same_words(named, line):
            return named  # a spreadsheet has changed blanks
        if key not in self._by_text:
            key = (clean_text(line.query, "query"), clean_text(line.instruction, "instruction"))
        if not key[0]:
            return None
        if key not in self._by_text:
            is_own_id = bool(line.query_id) and line.query_id != name_of_text(*key)
            is_free = is_own_id and named is None and line.query_id not in self._taken_ids
            self._taken_ids.add(line.query_id)
            self._by_text[key] = key
            need, public_id = clean_text(line.need, "information need"), line.query_id if is_free else ""
            self.new_queries.append(replace(line, query=key[0], instruction=key[1], need=need, query_id=public_id))
        return self._by_text[key]

    def _require_on_scale(self, line: JudgmentLine) -> None:
        grade = line.grade or 0.0
        if not (grade.is_integer() and grade <= self.highest_grade):
            raise InvalidInputError(
                f"{line.person} gave document {line.document_id!r} the grade {grade:g}, but grades here are whole and "
                f"go up to {self.highest_grade}. Set up the grades of this collection in Judge first; nothing was "
                "stored."
            )


def _compared(
    found: Sequence[tuple[JudgmentLine, QueryRecord]], standing: Sequence[JudgmentRecord]
) -> tuple[list[tuple[JudgmentLine, QueryRecord]], int, int]:
    """Return what is to be stored, and how many marks stood already and how many were said before what stands.

    Where a file has several marks of the same person on the same document, the last one counts.
    """
    stored = {_key_of(mark): mark for mark in standing}
    last: dict[_Key, tuple[JudgmentLine, QueryRecord]] = {}
    for line, query in found:
        key = (query.id, line.document_id, line.person, line.role or JudgmentRole.REFERENCE)
        last.pop(key, None)  # to the end, since the order of settling a conflict counts
        last[key] = (line, query)
    new, n_same, n_older = [], 0, 0
    for key, (line, query) in last.items():
        mark = stored.get(key)
        if mark is not None and line.note is None:
            line = replace(line, note=mark.note)  # a file without notes takes none away
        if mark is not None and (mark.grade, mark.is_unsure, mark.note) == (line.grade, line.cannot_tell, line.note):
            n_same += 1
        elif mark is not None and line.at is not None and mark.created_at > line.at:
            n_older += 1
        else:
            new.append((line, query))
    return new, n_same, n_older


def _key_of(mark: JudgmentRecord) -> _Key:
    return mark.query_id, mark.doc_id, mark.author, mark.role


def _judgment(
    label_set_id: int, delivery: str, number: int, line: JudgmentLine, query: QueryRecord, document: DocumentRecord
) -> NewJudgment:
    return NewJudgment(
        label_set_id=label_set_id,
        query_id=query.id,
        instruction_id=query.instruction_id,
        doc_id=line.document_id,
        content_hash=line.content_hash or document.content_hash,
        author=line.person,
        grade=line.grade,
        client_id=delivery,
        sequence=number,
        rank_shown=line.rank_shown,
        retriever=line.ranker,
        role=line.role or JudgmentRole.REFERENCE,
        is_unsure=line.cannot_tell,
        note=line.note or "",
        seconds=line.seconds,
        together_with=line.judged_together_with,
    )


def _same_words(query: QueryRecord, line: JudgmentLine) -> bool:
    return (query.text.split(), query.instruction.split()) == (line.query.split(), line.instruction.split())
