"""Take judgments: check them, append them, and say what the author has said now."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.orm import Session

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.errors import AnnotationError, InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.duplicates import are_identical
from annotation.judging.queries import as_seen_by, query_hash
from annotation.judging.setup import DeskSetup, clean_text, desk_setup, sight_among
from annotation.judging.view import NOTHING_SAID, Revealed, Said, reveal, said_by, settled_by
from annotation.labels.current import QueryStanding, QueryState, is_conflict, is_finished, offered_to, state_of
from annotation.people.permissions import require, why_not_settle
from annotation.settings import Settings
from annotation.workspace import Workspace
from era.corpus import without_half_characters
from storage.errors import UnknownRecord
from storage.records import CollectionRecord, DocumentRecord, JudgmentRole, NewJudgment, QueryRecord

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 500

Delivery = tuple[str, int]
MAX_NOTE = 2000  # characters
_MAX_SECONDS, _TOO_LARGE = 3600.0, 1e9


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
class Saved:
    """What the database holds after some marks, and how the queries concerned stand then, by query id.

    Attributes:
        stored: the deliveries that are stored, each a (client id, sequence).
        refused: delivery -> why its mark was not stored; sending it again would not help.
        said: document id -> what the author says now.
        settled: likewise what these marks have settled; what others have decided is not told here.
        revealed: document id -> what the author may see of it.
        finished: whether the author has judged everything that is there to judge.
        progress: how far the query is, and how far for the author, as its line of the query list says it.
        as_of: the newest event that is counted for certain.
    """

    stored: tuple[Delivery, ...]
    refused: Mapping[Delivery, str]
    said: Mapping[int, Mapping[str, Said]] = field(default_factory=dict)
    settled: Mapping[int, Mapping[str, Said]] = field(default_factory=dict)
    revealed: Mapping[int, Mapping[str, Revealed]] = field(default_factory=dict)
    finished: Mapping[int, bool] = field(default_factory=dict)
    progress: Mapping[int, tuple[QueryStanding, QueryState]] = field(default_factory=dict)
    as_of: int = 0


def judge(workspace: Workspace, author: str | None, collection_id: int, marks: Sequence[Mark]) -> Saved:
    """Append judgments in the order given; when this returns they are on disk.

    A mark that cannot be meant is refused and the others are stored all the same. One transaction checks and writes;
    how things stand is read afterwards, and left out where that fails: it comes with a reload.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        InvalidInputError: if there are too many at once.
        StorageError: if the database cannot store anything now; then nothing was.
    """
    if author is None:
        raise NotAllowedError("Sign in to save marks; searching and comparing work without.")
    if len(marks) > MAX_AT_ONCE:
        raise InvalidInputError(f"At most {MAX_AT_ONCE} marks can be sent at once.")
    refused: dict[Delivery, str] = {}
    stored: list[Mark] = []
    with workspace.writing() as session:
        desk = _Desk(session, workspace.settings, author, collection_id, marks)
        for mark in marks:
            try:
                storage.judgments.append(session, desk.judgment(mark))
                stored.append(mark)
            except AnnotationError as error:
                refused[mark.client_id, mark.sequence] = str(error)
            except ValueError:
                refused[mark.client_id, mark.sequence] = (
                    "This mark's number was used before. Reload the page and mark again."
                )
        setup = desk.setup if stored else DeskSetup()
    saved = Saved(tuple((mark.client_id, mark.sequence) for mark in stored), refused)
    try:
        with workspace.reading() as session:
            return _look_now(workspace, session, author, setup, stored, saved)
    except Exception:
        logger.exception("Marks are stored, but how things stand now cannot be read")
        return saved


def _look_now(
    workspace: Workspace, session: Session, author: str, setup: DeskSetup, stored: Sequence[Mark], saved: Saved
) -> Saved:
    """Return what is stored together with how the queries concerned stand now."""
    said, settled, revealed, finished, progress, as_of = {}, {}, {}, {}, {}, 0
    for query_id, label_set_id in {mark.query_id: mark.label_set_id for mark in stored}.items():
        standings = workspace.standings_in(session, label_set_id)
        as_of = standings.as_of
        pool = storage.label_sets.pool_of(session, label_set_id, query_id)
        doc_ids, standing = [each.doc_id for each in pool], standings.marks_of(query_id)
        offered = offered_to(doc_ids, standing, author, setup.n_judges)
        finished[query_id] = is_finished(doc_ids, offered, standing, author)
        whose = None if finished[query_id] else author
        marks = storage.judgments.current_for_query(session, label_set_id, query_id, whose)
        said[query_id] = said_by(marks, author)
        decided = settled_by([mark for mark in marks if mark.author == author])
        here = [mark.doc_id for mark in stored if mark.is_adjudication and mark.query_id == query_id]
        if here:
            settled[query_id] = {doc_id: decided.get(doc_id, NOTHING_SAID) for doc_id in here}
        revealed[query_id] = reveal(pool, marks, author, setup, finished[query_id])
        pools = {query_id: doc_ids} if doc_ids else {}
        sight = sight_among(workspace.settings, author, setup, standings, pools, [query_id])
        seen = as_seen_by(sight, standings.of_query(query_id, author), query_id, standing)
        progress[query_id] = seen, state_of(doc_ids, offered, standing, author)
    return Saved(saved.stored, saved.refused, said, settled, revealed, finished, progress, as_of)


@dataclass(slots=True)
class _Desk:
    """Checks the marks of one delivery against what is stored."""

    session: Session
    settings: Settings
    author: str
    collection_id: int
    marks: Sequence[Mark]
    _queries: dict[int, QueryRecord] = field(default_factory=dict)
    _label_sets: set[int] = field(default_factory=set)
    _collection: CollectionRecord | None = None
    _documents: Mapping[str, DocumentRecord] | None = None

    @property
    def collection(self) -> CollectionRecord:
        if self._collection is None:
            self._collection = storage.collections.get(self.session, self.collection_id)
        return self._collection

    @property
    def setup(self) -> DeskSetup:
        return desk_setup(self.collection.desk)

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
        require(why_not_settle(self.settings, self.author, self.collection))
        standing = storage.judgments.standing(self.session, label_set_id, {query_id})
        marks = [mark for mark in standing if mark.doc_id == doc_id]
        if not is_conflict(marks) and not any(mark.role is JudgmentRole.ADJUDICATOR for mark in marks):
            raise InvalidInputError(
                "Judges do not disagree about this document (any more), so there is nothing to settle. Mark it under "
                "“To judge” to say what you think yourself."
            )

    def _document(self, mark: Mark) -> DocumentRecord:
        if self._documents is None:
            named = (each for mark in self.marks for each in (mark.doc_id, mark.together_with) if each)
            wanted = list(map(without_half_characters, named))
            self._documents = storage.documents.get_many(self.session, self.collection_id, wanted)
        found = self._documents
        doc_id, lead_id = (without_half_characters(each or "") for each in (mark.doc_id, mark.together_with))
        if doc_id not in found:
            raise NotFoundError("This document is no longer in the collection. Search again.")
        if mark.together_with and not (lead_id in found and are_identical(found[doc_id], found[lead_id])):
            raise InvalidInputError(
                "It differs from the document that it was marked together with. Search again and mark each by itself."
            )
        return found[doc_id]

    def _grade(self, mark: Mark) -> float | None:
        """Return the grade, which is on the collection's scale."""
        grades = range(self.setup.highest_grade + 1)
        if mark.grade is not None and mark.grade not in grades:
            scale = " or ".join(map(str, grades))
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


def _text_hash(mark: Mark) -> str | None:
    """Return which text the page says that it showed; None for what can be no hash."""
    return mark.content_hash if re.fullmatch(r"[0-9a-f]{64}", mark.content_hash) else None


def start_label_set(workspace: Workspace, author: str | None, collection_id: int, name: str) -> int:
    """Start an empty label set and return its id; an existing one of that name is opened instead.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        InvalidInputError: if the name is empty or too long.
    """
    if author is None:
        raise NotAllowedError("Sign in to start a label set.")
    name = " ".join(clean_text(name, "name").split())
    if not 0 < len(name) <= 60:
        raise InvalidInputError("Give the label set a name of at most 60 characters.")
    with workspace.writing() as session:
        return storage.label_sets.get_or_create(session, collection_id, name, author).id
