"""Judgments into a label set: every line is matched with query and document, and stored in one step or not at all.

A file adds to what stands; it takes nothing back, and what somebody said here later than the file tells stays.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import storage.collections
import storage.documents
import storage.judgment_exchange
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.query_names import name_of_text, query_names
from annotation.judging.search import clean_text
from annotation.judging.setup import desk_setup
from annotation.people.permissions import may_speak_for, why_not_settle
from annotation.transfer.judgment_files import JudgmentLine, read_judgments
from annotation.workspace import Workspace
from storage.records import DocumentRecord, JudgmentRecord, JudgmentRole, NewJudgment, QueryRecord

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
    they are called in files (`annotation.judging.query_names`), or by a text that only one of them has. Marks of
    other people keep their role only where nobody signs in: elsewhere they come in as references, since each
    person speaks for himself or herself alone. What was settled comes in as references, too, unless the importing
    person manages the collection. Agreed grades and qrels come in as references of whoever imports.

    Args:
        workspace: of this process.
        author: who imports; None if nobody is signed in where that is needed.
        label_set_id: where the marks go.
        path: of the file.
        name: as the person knows the file; the path's own name if empty.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
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
        standing = storage.judgment_exchange.all_current(session, label_set_id)  # not before: people go on judging
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
        storage.judgment_exchange.append_dated(session, judgments)
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
