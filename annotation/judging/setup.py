"""How judging is set up in a collection (grades, guidelines, templates, how many judge), and blind judging.

Blind judging is the one rule, for every screen and file, of what a person may see of what others say of a query. The
marks of other judges on a query (grades, names, notes, what was settled) are hidden from a person who may still judge
it: a person who could mark, and to whom the pool of the query still offers a document. A query without a pool offers
all of its documents to everybody. A visitor who is signed out counts as a person without marks, since signing in would
let them judge.

Imported marks, such as the references that the demo is measured by, are shown as long as the person has not begun the
query, and hidden from their first mark on until they have finished it. A mark that was taken back still counts as one
that was made, by the person as by others: taking marks back shows nothing.

Means over a label set, and training, use all marks.
"""

import hashlib
import statistics
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

import storage.collections
import storage.judgments
import storage.label_sets
import storage.training_runs
from annotation.collections.page import OpenPage
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.labels.current import Standings, agreed_qrels, offered_to
from annotation.people.permissions import is_alone, require, why_not_arrange
from annotation.settings import Settings
from annotation.workspace import Workspace
from storage.records import JudgmentRole, StandingMark, TrainingRunRecord

TWO_GRADES = ("not relevant", "relevant")
FOUR_GRADES = ("not relevant", "related", "relevant", "perfect")
MAX_GUIDELINES = 20_000  # characters
MAX_WORDS = 1000
MAX_CHARACTERS = 10_000
_N_FOR_PACE, _MIN_FOR_PACE = 50, 5


@dataclass(frozen=True, slots=True)
class Template:
    """An instruction that is offered by name."""

    name: str
    instruction: str


@dataclass(frozen=True, slots=True)
class DeskSetup:
    """How judging is set up.

    Attributes:
        grade_names: what the grades 0, 1, ... are called; two or four.
        guidelines: what counts as relevant here, in Markdown.
        templates: instructions offered by name.
        n_judges: how many people are to judge each document of a query; at least 1.
        depth: how many documents a query's pool holds, 4 to 50.
        is_blind: whether the pool is shown shuffled and without its sources.
    """

    grade_names: tuple[str, ...] = TWO_GRADES
    guidelines: str = ""
    templates: tuple[Template, ...] = ()
    n_judges: int = 1
    depth: int = 12
    is_blind: bool = True

    def __post_init__(self) -> None:
        """Raise InvalidInputError for what no desk could work with."""
        if len(self.grade_names) not in (2, 4) or not all(0 < len(name) <= 30 for name in self.grade_names):
            raise InvalidInputError("Give two or four grades, each a name of at most 30 characters.")
        if len({name.casefold() for name in self.grade_names}) < len(self.grade_names):
            raise InvalidInputError("Give each grade a name of its own.")
        if not 1 <= self.n_judges <= 9:
            raise InvalidInputError("From one to nine people can judge each document.")
        if not 4 <= self.depth <= 50:
            raise InvalidInputError("From 4 to 50 documents can be judged for each query.")
        if len(self.guidelines) > MAX_GUIDELINES:
            raise InvalidInputError(f"Shorten the guidelines to at most {MAX_GUIDELINES:,} characters.")
        named = all(0 < len(each.name) <= 60 and each.instruction for each in self.templates)
        if len(self.templates) > 50 or not named:
            raise InvalidInputError("Give each template a name of at most 60 characters and an instruction.")
        if len({each.name.casefold() for each in self.templates}) < len(self.templates):
            raise InvalidInputError("Two templates have the same name. Give each a name of its own.")

    @property
    def guidelines_hash(self) -> str:
        """Return what names this version of the guidelines."""
        return hashlib.sha256(self.guidelines.encode()).hexdigest()

    @property
    def highest_grade(self) -> int:
        """Return the grade of the last name."""
        return len(self.grade_names) - 1


def desk_setup(stored: Mapping[str, Any] | None) -> DeskSetup:
    """Return the setup that a collection keeps, or the default."""
    if stored is None:
        return DeskSetup()
    known = {name: value for name, value in stored.items() if name in DeskSetup.__dataclass_fields__}
    templates = tuple(Template(**each) for each in known.pop("templates", ()))
    return DeskSetup(**{**known, "grade_names": tuple(known.get("grade_names", TWO_GRADES)), "templates": templates})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person works, as one request read it.

    Attributes:
        author: the person; None for a visitor who may not write.
        page: the collection and the label set.
        setup: how judging is set up in the collection.
        runs: the training runs of the collection, newest first.
        pace: seconds that the person usually takes for a document; None before there is enough to tell.
    """

    author: str | None
    page: OpenPage
    setup: DeskSetup
    runs: Sequence[TrainingRunRecord]
    pace: float | None = None

    @property
    def version(self) -> str:
        """Return what changes whenever what a page was told of the place does: guidelines, rankings, who looks."""
        collection, label_set = self.page.collection, self.page.label_set
        runs = [(run.id, run.state.value) for run in self.runs]
        told = (self.author, collection.id, collection.n_documents, label_set.id, label_set.in_use, self.setup, runs)
        return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def place_of(session: Session, author: str | None, page: OpenPage) -> Place:
    """Return the place that a page shows, of the snapshot that a session sees."""
    runs = storage.training_runs.list_for(session, page.collection.id)
    seconds = storage.judgments.recent_seconds(session, page.label_set.id, author, _N_FOR_PACE) if author else ()
    pace = statistics.median(seconds) if len(seconds) >= _MIN_FOR_PACE else None
    return Place(author, page, desk_setup(page.collection.desk), runs, pace)


def place_at(workspace: Workspace, author: str | None, page: OpenPage) -> Place:
    """Return `place_of` a page by a reading session of its own."""
    with workspace.reading() as session:
        return place_of(session, author, page)


def setup_of(workspace: Workspace, collection_id: int) -> DeskSetup:
    """Return how judging is set up in a collection."""
    with workspace.reading() as session:
        return desk_setup(storage.collections.get(session, collection_id).desk)


def set_up(workspace: Workspace, author: str | None, collection_id: int, setup: DeskSetup) -> DeskSetup:
    """Keep how judging is set up, for everybody.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if a text is too long.
        UnknownRecord: if there is no such collection.
    """
    templates = (Template(each.name.strip(), clean_text(each.instruction, "instruction")) for each in setup.templates)
    setup = replace(setup, templates=tuple(templates))
    with workspace.writing() as session:
        collection = storage.collections.get(session, collection_id)
        require(why_not_arrange(workspace.settings, author, collection, "change how judging is set up"))
        storage.collections.set_desk(session, collection_id, asdict(setup))
    return setup


def acknowledge(workspace: Workspace, author: str | None, collection_id: int, text_hash: str) -> None:
    """Note that `author` has read this version of the guidelines.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        InvalidInputError: if the guidelines are others by now.
    """
    if author is None:
        raise NotAllowedError("Sign in to judge.")
    with workspace.writing() as session:
        if text_hash != desk_setup(storage.collections.get(session, collection_id).desk).guidelines_hash:
            raise InvalidInputError("These guidelines have changed. Reload the page and read them again.")
        storage.label_sets.acknowledge(session, collection_id, author, text_hash)


def has_acknowledged(workspace: Workspace, author: str | None, collection_id: int, setup: DeskSetup) -> bool:
    """Return whether there is nothing that `author` still has to read before judging."""
    if author is None or not setup.guidelines.strip():
        return True
    with workspace.reading() as session:
        return storage.label_sets.has_acknowledged(session, collection_id, author, setup.guidelines_hash)


def clean_text(text: str, purpose: str) -> str:
    """Return text without control characters and outer blanks, as it is stored.

    Raises:
        InvalidInputError: if it is longer than an embedder could make sense of.
    """
    kept = "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else " " for c in text).strip()
    n_words = len(kept.split())
    if n_words > MAX_WORDS:
        raise InvalidInputError(
            f"This {purpose} has {n_words:,} words; only the first two hundred or so can be understood. "
            f"Shorten it to at most {MAX_WORDS:,} words."
        )
    if len(kept) > MAX_CHARACTERS:
        raise InvalidInputError(
            f"This {purpose} has {len(kept):,} characters. Shorten it to at most {MAX_CHARACTERS:,}."
        )
    return kept


@dataclass(frozen=True, slots=True)
class Sight:
    """What one person may see of some queries of a label set.

    Attributes:
        author: the person; None for a visitor who has not signed in.
        hidden: the queries of which what others say stays hidden.
        begun: those of them that the person has begun, so that imported marks stay hidden, too.
    """

    author: str | None
    hidden: frozenset[int] = frozenset()
    begun: frozenset[int] = frozenset()

    def visible(self, query_id: int, marks: Iterable[StandingMark]) -> list[StandingMark]:
        """Return the marks of a query that the person may see."""
        if query_id not in self.hidden:
            return list(marks)
        with_references = query_id not in self.begun
        return [
            mark
            for mark in marks
            if (mark.role is JudgmentRole.JUDGE and mark.author == self.author)
            or (mark.role is JudgmentRole.REFERENCE and with_references)
        ]

    def grades(self, query_id: int, marks: Iterable[StandingMark]) -> Mapping[str, float]:
        """Return document id -> grade as the marks that the person may see agree on it."""
        return agreed_qrels(self.visible(query_id, marks)).get(query_id, {})


def sight_of(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, query_ids: Iterable[int]
) -> Sight:
    """Return what a person may see of these queries."""
    query_ids = set(query_ids)
    with workspace.reading() as session:
        standings = workspace.standings_in(session, label_set_id)
        judged = [query_id for query_id in query_ids if standings.hands_of(query_id)]
        pools = storage.label_sets.pooled_ids(session, label_set_id, judged)
        setup = desk_setup(storage.collections.get(session, collection_id).desk)
    return sight_among(workspace.settings, author, setup, standings, pools, query_ids)


def sight_among(
    settings: Settings,
    author: str | None,
    setup: DeskSetup,
    standings: Standings,
    pools: Mapping[int, Sequence[str]],
    query_ids: Iterable[int],
) -> Sight:
    """Return `sight_of` queries whose pools, query id -> document ids, have been read."""
    if author is None and settings.oauth_client_id is None:
        return Sight(author)  # no one can sign in here, so this visitor can never judge
    hidden, begun = set(), set()
    for query_id in set(query_ids):
        hands, marks = standings.hands_of(query_id), standings.marks_of(query_id)
        # a person who is alone has brought in every file: what it says in the name of others is like references
        at_desk = [hand for hand in hands if not (hand.is_imported and is_alone(settings))]
        is_begun = any(hand.author == author and hand.role is JudgmentRole.JUDGE for hand in at_desk)
        is_beside_imports = len(at_desk) < len(hands) or any(mark.role is JudgmentRole.REFERENCE for mark in marks)
        is_judged_by_others = any(hand.author != author for hand in at_desk)
        if not (is_judged_by_others or (is_begun and is_beside_imports)):
            continue
        if is_begun:
            begun.add(query_id)
        mine = {mark.doc_id for mark in marks if mark.author == author and mark.role is JudgmentRole.JUDGE}
        offered = offered_to(pools.get(query_id, ()), marks, author, setup.n_judges)
        is_without_pool = query_id not in pools and is_judged_by_others
        if is_without_pool or any(doc_id not in mine for doc_id in offered):
            hidden.add(query_id)
    return Sight(author, frozenset(hidden), frozenset(hidden & begun))


def hidden_queries(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, query_ids: Iterable[int]
) -> frozenset[int]:
    """Return those of these queries of which what others say stays hidden from a person."""
    return sight_of(workspace, author, collection_id, label_set_id, query_ids).hidden


def left_out(n: int) -> str:
    """Return in a sentence that queries are left out of something, and why."""
    queries, them = ("1 query", "it") if n == 1 else (f"{n:,} queries", "them")
    return f"Left out: {queries} that you may still judge; what others say of {them} stays hidden until you are done."
