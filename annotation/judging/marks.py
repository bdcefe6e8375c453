"""Take judgments: check them, append them, and say what the author has said now."""

import hashlib
import re
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.orm import Session

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.errors import AnnotationError, InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.duplicates import are_identical
from annotation.judging.search import clean_text
from annotation.judging.setup import desk_setup
from annotation.labels.consensus import is_conflict
from annotation.people.permissions import require, why_not_settle
from annotation.settings import Settings
from annotation.workspace import Workspace
from era.corpus import without_half_characters
from storage.errors import UnknownRecord
from storage.records import DocumentRecord, JudgmentRecord, JudgmentRole, NewJudgment, QueryRecord

MAX_AT_ONCE = 500

Delivery = tuple[str, int]
MAX_NOTE = 2000  # characters
_MAX_SECONDS, _TOO_LARGE = 3600.0, 1e9
_N_FOR_PACE, _MIN_FOR_PACE = 50, 5


@dataclass(frozen=True, slots=True)
class Mark:
    """What a page sends when a person judges a document: everything the person says of it from now on.

    Attributes:
        label_set_id: where the judgment belongs.
        query_id: judged under which query.
        doc_id: which document.
        grade: one of the collection's grades; None takes an earlier one back, or goes with `is_unsure`.
        rank_shown: where the document stood, from 1; None if it was not ranked.
        ranker: what ranked it, or which list it stood in.
        client_id: names the page; with `sequence` it makes a repeated delivery harmless.
        sequence: counts the page's marks.
        is_unsure: the person cannot tell.
        note: the person's own words.
        seconds: how long the document was looked at.
        together_with: the identical document that this one was judged with, in one act.
        undoes: (client id, sequence) of the mark that this one takes back; what was said before it counts again.
        is_adjudication: the person, who manages the collection, settles a conflict.
        content_hash: of the text that the page showed; where that is not known, today's text is taken.
        query_hash: `query_hash` of the query that the page showed the document for; empty where that is not known.
    """

    label_set_id: int
    query_id: int
    doc_id: str
    grade: float | None
    rank_shown: int | None
    ranker: str | None
    client_id: str
    sequence: int
    is_unsure: bool = False
    note: str = ""
    seconds: float | None = None
    together_with: str | None = None
    undoes: tuple[str, int] | None = None
    is_adjudication: bool = False
    content_hash: str = ""
    query_hash: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What one person says of one document now."""

    grade: float | None
    is_unsure: bool
    note: str


@dataclass(frozen=True, slots=True)
class Undoable:
    """A mark that can be taken back: what named its delivery, and what was said before it."""

    client_id: str
    sequence: int
    doc_id: str
    together_with: str | None
    before: Said


@dataclass(frozen=True, slots=True)
class Saved:
    """What the database holds after some marks; a delivery is (client id, sequence).

    Attributes:
        stored: the deliveries that are stored.
        refused: delivery -> why its mark was not stored; sending it again would not help.
        said: query id -> document id -> what the author says now, of the queries concerned.
        settled: likewise what this delivery has settled; what others have decided is not told here.
    """

    stored: tuple[Delivery, ...]
    refused: Mapping[Delivery, str]
    said: Mapping[int, Mapping[str, Said]]
    settled: Mapping[int, Mapping[str, Said]]


NOTHING_SAID = Said(None, False, "")


def judge(workspace: Workspace, author: str | None, collection_id: int, marks: Sequence[Mark]) -> Saved:
    """Append judgments in the order given; when this returns they are on disk.

    A mark that cannot be meant is refused and the others are stored all the same.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        InvalidInputError: if there are too many at once.
        StorageError: if the database cannot store anything now; then nothing was.
    """
    if author is None:
        raise NotAllowedError("Sign in to save marks; searching and comparing work without.")
    if len(marks) > MAX_AT_ONCE:
        raise InvalidInputError(f"At most {MAX_AT_ONCE} marks can be sent at once.")
    refused: dict[Delivery, str] = {}
    stored: list[Delivery] = []
    with workspace.writing() as session:
        desk = _Desk(session, workspace.settings, author, collection_id)
        for mark in marks:
            try:
                storage.judgments.append(session, desk.judgment(mark))
                stored.append((mark.client_id, mark.sequence))
            except AnnotationError as error:
                refused[mark.client_id, mark.sequence] = str(error)
            except ValueError:
                refused[mark.client_id, mark.sequence] = (
                    "This mark's number was used before. Reload the page and mark again."
                )
        concerned = {(m.label_set_id, m.query_id) for m in marks if (m.client_id, m.sequence) not in refused}
        standing = {
            query_id: storage.judgments.current_for_query(session, label_set_id, query_id, author)
            for label_set_id, query_id in concerned
        }
    return Saved(
        tuple(stored),
        refused,
        {query_id: said_by(of_query, author) for query_id, of_query in standing.items()},
        _settled_here(marks, standing, refused),
    )


@dataclass(slots=True)
class _Desk:
    """Checks the marks of one delivery against what is stored."""

    session: Session
    settings: Settings
    author: str
    collection_id: int
    _queries: dict[int, QueryRecord] = field(default_factory=dict)
    _label_sets: set[int] = field(default_factory=set)
    _grades: frozenset[float] = frozenset()

    def judgment(self, mark: Mark) -> NewJudgment:
        _check(mark)
        query = self._query(mark)
        document = self._document(mark)
        role = JudgmentRole.JUDGE
        if mark.is_adjudication:
            self._require_settling(mark.label_set_id, query.id, document.doc_id)
            role = JudgmentRole.ADJUDICATOR
        undone, text_hash = None, _text_hash(mark) or document.content_hash
        if mark.undoes is not None:
            undone = storage.judgments.find_delivery(self.session, *mark.undoes)
            own = (self.author, role, mark.label_set_id, query.id, document.doc_id)
            if undone is None or own != (
                undone.author,
                undone.role,
                undone.label_set_id,
                undone.query_id,
                undone.doc_id,
            ):
                raise InvalidInputError("There is no such mark of yours to undo. Mark the document again instead.")
            back = storage.judgments.before(self.session, undone)
            before = Said(back.grade, back.is_unsure, back.note) if back else NOTHING_SAID
            text_hash = back.content_hash if back else text_hash
            mark = replace(mark, grade=before.grade, is_unsure=before.is_unsure, note=before.note)
        return NewJudgment(
            label_set_id=mark.label_set_id,
            query_id=query.id,
            instruction_id=query.instruction_id,
            doc_id=document.doc_id,
            content_hash=text_hash,
            author=self.author,
            grade=mark.grade if undone else self._grade(mark),
            client_id=mark.client_id,
            sequence=mark.sequence,
            rank_shown=mark.rank_shown,
            retriever=mark.ranker,
            role=role,
            is_unsure=mark.is_unsure,
            note=clean_text(mark.note, "note"),
            seconds=None if mark.seconds is None else min(mark.seconds, _MAX_SECONDS),
            together_with=mark.together_with,
            undoes_id=None if undone is None else undone.id,
        )

    def _query(self, mark: Mark) -> QueryRecord:
        try:
            if mark.query_id not in self._queries:
                self._queries[mark.query_id] = storage.queries.get(self.session, mark.query_id)
            if mark.label_set_id not in self._label_sets:
                label_set = storage.label_sets.get(self.session, mark.label_set_id)
                if label_set.collection_id == self.collection_id:
                    self._label_sets.add(mark.label_set_id)
        except UnknownRecord as error:
            raise NotFoundError(str(error)) from error
        query = self._queries[mark.query_id]
        if query.collection_id != self.collection_id or mark.label_set_id not in self._label_sets:
            raise NotFoundError("This query belongs to another collection. Reload the page and mark again.")
        if mark.query_hash not in ("", query_hash(query)):
            raise InvalidInputError(
                "This mark was made for another query than the one stored now. Open it and mark again."
            )
        return query

    def _require_settling(self, label_set_id: int, query_id: int, doc_id: str) -> None:
        """Refuse to settle what is not the person's to settle, or what judges do not disagree about."""
        collection = storage.collections.get(self.session, self.collection_id)
        require(why_not_settle(self.settings, self.author, collection))
        standing = storage.judgments.standing(self.session, label_set_id, {query_id})
        marks = [mark for mark in standing if mark.doc_id == doc_id]
        if not is_conflict(marks) and not any(mark.role is JudgmentRole.ADJUDICATOR for mark in marks):
            raise InvalidInputError(
                "Judges do not disagree about this document (any more), so there is nothing to settle. Mark it under "
                "“To judge” to say what you think yourself."
            )

    def _document(self, mark: Mark) -> DocumentRecord:
        doc_id, lead_id = (without_half_characters(each or "") for each in (mark.doc_id, mark.together_with))
        wanted = [doc_id, lead_id] if mark.together_with else [doc_id]
        found = storage.documents.get_many(self.session, self.collection_id, wanted)
        if doc_id not in found:
            raise NotFoundError("This document is no longer in the collection. Search again.")
        if mark.together_with and not (lead_id in found and are_identical(found[doc_id], found[lead_id])):
            raise InvalidInputError(
                "It differs from the document that it was marked together with. Search again and mark each by itself."
            )
        return found[doc_id]

    def _grade(self, mark: Mark) -> float | None:
        """Return the grade, which is on the collection's scale."""
        if not self._grades:
            setup = desk_setup(storage.collections.get(self.session, self.collection_id).desk)
            self._grades = frozenset(map(float, range(setup.highest_grade + 1)))
        if mark.grade is not None and mark.grade not in self._grades:
            scale = " or ".join(f"{grade:g}" for grade in sorted(self._grades))
            raise InvalidInputError(f"A grade is {scale} here, not {mark.grade:g}. Reload the page and mark again.")
        return mark.grade


def _check(mark: Mark) -> None:
    """Raise InvalidInputError for what no page of ours would send."""
    numbers = [number for number in (mark.grade, mark.seconds) if number is not None]
    if any(isinstance(number, bool) or not 0 <= number < _TOO_LARGE for number in numbers):  # NaN is neither
        raise InvalidInputError("This mark came without a valid grade or time. Search again and mark again.")
    if (mark.rank_shown is not None and mark.rank_shown < 1) or (mark.grade is not None and mark.is_unsure):
        raise InvalidInputError("This mark came without a valid grade or rank. Search again and mark again.")
    if not mark.client_id or len(mark.client_id) > 64 or not 0 < mark.sequence < 2**31:
        raise InvalidInputError("This mark came without a valid number. Reload the page and mark again.")
    if len(mark.note) > MAX_NOTE:
        raise InvalidInputError(f"Shorten the note to at most {MAX_NOTE:,} characters.")


def query_hash(query: QueryRecord) -> str:
    """Return the SHA-256 of a query's text and instruction, as 64 hexadecimal digits.

    Its number alone does not tell: another database may have given it to another query.
    """
    return hashlib.sha256(
        f"{len(query.text)}:{query.text}{query.instruction}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def _text_hash(mark: Mark) -> str | None:
    """Return which text the page says that it showed; None for what can be no hash."""
    return mark.content_hash if re.fullmatch(r"[0-9a-f]{64}", mark.content_hash) else None


def said_by(marks: Sequence[JudgmentRecord], author: str | None) -> dict[str, Said]:
    """Return what the author says at the desk: document id -> words and grade."""
    return {
        mark.doc_id: Said(mark.grade, mark.is_unsure, mark.note)
        for mark in marks
        if mark.author == author and mark.role is JudgmentRole.JUDGE
    }


def _settled_here(
    marks: Sequence[Mark], standing: Mapping[int, Sequence[JudgmentRecord]], refused: Collection[Delivery]
) -> dict[int, dict[str, Said]]:
    settled: dict[int, dict[str, Said]] = {}
    for mark in marks:
        if mark.is_adjudication and (mark.client_id, mark.sequence) not in refused:
            decided = settled_by(standing[mark.query_id]).get(mark.doc_id, NOTHING_SAID)
            settled.setdefault(mark.query_id, {})[mark.doc_id] = decided
    return settled


def settled_by(marks: Sequence[JudgmentRecord]) -> dict[str, Said]:
    """Return what the adjudicators among the authors have decided, the last of them: document id -> words and grade."""
    return {
        mark.doc_id: Said(mark.grade, mark.is_unsure, mark.note)
        for mark in marks
        if mark.role is JudgmentRole.ADJUDICATOR
    }


def undoable(history: Sequence[JudgmentRecord], author: str | None, n: int = 50) -> list[Undoable]:
    """Return the author's last `n` marks that can still be taken back, the latest at the end.

    Args:
        history: every event of the query, oldest first.
        author: whose marks.
        n: how many at most.
    """
    mine = [event for event in history if event.author == author and event.role is JudgmentRole.JUDGE]
    undone = {event.undoes_id for event in mine if event.undoes_id is not None}
    found, latest = [], dict[str, Said]()
    for event in mine:
        before = latest.get(event.doc_id, NOTHING_SAID)
        if event.undoes_id is None and event.id not in undone:
            found.append(Undoable(event.client_id, event.sequence, event.doc_id, event.together_with, before))
        latest[event.doc_id] = Said(event.grade, event.is_unsure, event.note)
    return found[-n:]


def pace(workspace: Workspace, author: str | None, label_set_id: int) -> float | None:
    """Return how many seconds the author usually takes for a document; None before there is enough to tell."""
    if author is None:
        return None
    with workspace.reading() as session:
        seconds = storage.judgments.recent_seconds(session, label_set_id, author, _N_FOR_PACE)
    return statistics.median(seconds) if len(seconds) >= _MIN_FOR_PACE else None


def start_label_set(workspace: Workspace, author: str | None, collection_id: int, name: str) -> int:
    """Start an empty label set and return its id; an existing one of that name is opened instead.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        InvalidInputError: if the name is empty or too long.
    """
    if author is None:
        raise NotAllowedError("Sign in to start a label set.")
    name = " ".join(clean_text(name, "name").split())
    if not 0 < len(name) <= 60:
        raise InvalidInputError("Give the label set a name of at most 60 characters.")
    with workspace.writing() as session:
        return storage.label_sets.get_or_create(session, collection_id, name, author).id
