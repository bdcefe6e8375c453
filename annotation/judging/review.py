"""What deserves a second look: marks that something speaks against, and documents that judges disagree about.

A mark whose document has another text now comes before all else: it may be about something that is no longer there.
What speaks against a mark is a hint and no verdict: nothing is changed here. As many marks that nothing speaks against
are mixed in: were only suspected ones shown, every one would look like a mistake.
"""

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

import storage.collections
import storage.judgments
import storage.queries
import storage.training_runs
from annotation.collections.update import changed_judgments
from annotation.errors import NotFoundError
from annotation.judging.duplicates import near_duplicates
from annotation.judging.queries import find_documents
from annotation.judging.setup import hidden_queries
from annotation.judging.view import Card, Desk, Opinion, Revealed, Said, View, said_by, settled_by
from annotation.people.permissions import require, why_not_settle
from annotation.ranking import rankers
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.errors import EraError
from era.types import Document
from storage.records import JobState, JudgmentRecord, JudgmentRole, StandingMark

logger = logging.getLogger(__name__)

Reason = Literal["ranked-low", "ranked-high", "duplicates-differ", "reference-differs", "text-changed", "drawn"]

DRAWN_LIST = "again-drawn"
"""What is stored as the list that a mark was made on, where the document was drawn at random to be looked at again."""

DEPTH = 100
"""A relevant document below this rank is worth a look."""

TOP = 3
"""So is a document that is not relevant but ranks down to here."""

_USUAL_MAX_GRADE = 3.0
_MIN_STRENGTH_OF_RELEVANCE = 0.9
_STRENGTH_OF_REFERENCE = 0.6


@dataclass(frozen=True, slots=True)
class LookAgain:
    """A mark that deserves a second look.

    Attributes:
        query_id: judged under which query.
        doc_id: which document.
        grade: what the author gave it.
        reason: what speaks against the grade; "drawn" if nothing does, and it was drawn at random.
        rank: where the document stands, from 1; None if that is not the reason or it stands below the first 100.
        other_doc_id: the near-duplicate with another grade, else None.
        other_grade: of that near-duplicate or of the reference, else None.
        strength: for sorting, in [0, 1].
    """

    query_id: int
    doc_id: str
    grade: float
    reason: Reason
    rank: int | None
    other_doc_id: str | None
    other_grade: float | None
    strength: float


def disagreeing_with_ranking(
    marks_of_author: Iterable[StandingMark], rankings: Mapping[int, Sequence[str]], n_documents: int
) -> list[LookAgain]:
    """Find marks that a ranking contradicts.

    "ranked-low" is a relevant document that is not among the first 100. "ranked-high" is a document that is not
    relevant, stands among the first 3 and above every relevant one; at most one per query, the best ranked. A query
    with nothing relevant has none: some document always comes first.

    Args:
        marks_of_author: one author's marks; references among them are left out.
        rankings: query id -> document ids, best first, by an adapter that never saw the labels of that query.
        n_documents: in the collection; a document that is missing from a ranking of all of them was not ranked low,
            it is gone.
    """
    grades_by_query = _grades_by_query(marks_of_author)
    max_grade = max((grade for grades in grades_by_query.values() for grade in grades.values()), default=0.0)
    found: list[LookAgain] = []
    for query_id, grades in grades_by_query.items():
        ranking = rankings.get(query_id, ())[:DEPTH]
        high = _ranked_high(query_id, grades, ranking)
        if high is not None:
            found.append(high)
        if not 0 < len(ranking) < n_documents:
            continue
        ranked = set(ranking)
        found.extend(
            LookAgain(query_id, doc_id, grade, "ranked-low", None, None, None, 0.5 + 0.5 * grade / max_grade)
            for doc_id, grade in grades.items()
            if grade > 0 and doc_id not in ranked
        )
    return found


def differing_duplicates(marks_of_author: Iterable[StandingMark], groups: Iterable[Sequence[str]]) -> list[LookAgain]:
    """Find near-duplicates to which the author gave different grades under the same query.

    One candidate per query and group: the document with the lowest grade, naming the one with the highest; of several
    the first in the group.

    Args:
        marks_of_author: one author's marks; references among them are left out.
        groups: ids of documents that say nearly the same.
    """
    grades_by_doc: dict[str, dict[int, float]] = {}
    max_grade = _USUAL_MAX_GRADE
    for query_id, grades in _grades_by_query(marks_of_author).items():
        for doc_id, grade in grades.items():
            grades_by_doc.setdefault(doc_id, {})[query_id] = grade
            max_grade = max(max_grade, grade)
    found: list[LookAgain] = []
    for group in groups:
        by_query: dict[int, dict[str, float]] = {}
        for doc_id in group:
            for query_id, grade in grades_by_doc.get(doc_id, {}).items():
                by_query.setdefault(query_id, {})[doc_id] = grade
        for query_id, grades in by_query.items():
            lowest, highest = min(grades, key=grades.__getitem__), max(grades, key=grades.__getitem__)
            low, high = grades[lowest], grades[highest]
            if low == high:
                continue
            strength = (high - low) / max_grade
            if low == 0:
                strength = max(strength, _MIN_STRENGTH_OF_RELEVANCE)
            found.append(LookAgain(query_id, lowest, low, "duplicates-differ", None, highest, high, strength))
    return found


def differing_from_reference(
    marks_of_author: Iterable[StandingMark], reference_marks: Iterable[StandingMark]
) -> list[LookAgain]:
    """Find marks whose relevance differs from an imported mark; of several such, the first is named.

    Args:
        marks_of_author: one author's marks; references among them are left out.
        reference_marks: to compare with; what is no reference among them is left out.
    """
    references: dict[tuple[int, str], list[float]] = {}
    for mark in reference_marks:
        if mark.role == JudgmentRole.REFERENCE and mark.grade is not None:
            references.setdefault((mark.query_id, mark.doc_id), []).append(mark.grade)
    found: list[LookAgain] = []
    for query_id, grades in _grades_by_query(marks_of_author).items():
        for doc_id, grade in grades.items():
            for other in references.get((query_id, doc_id), ()):
                if (other > 0) != (grade > 0):
                    strength = _STRENGTH_OF_REFERENCE
                    found.append(LookAgain(query_id, doc_id, grade, "reference-differs", None, None, other, strength))
                    break
    return found


def look_again(*lists: Iterable[LookAgain]) -> list[LookAgain]:
    """Merge candidates: the strongest first, one per query and document; of equally strong ones the first given."""
    strongest: dict[tuple[int, str], LookAgain] = {}
    for candidate in sorted((each for given in lists for each in given), key=lambda each: -each.strength):
        strongest.setdefault((candidate.query_id, candidate.doc_id), candidate)
    return list(strongest.values())


def mix_in_drawn(
    doubted: Sequence[LookAgain], marks_of_author: Iterable[StandingMark], left_out: Iterable[LookAgain]
) -> list[LookAgain]:
    """Return candidates and as many other marks drawn at random, in an order that does not tell them apart.

    Draw and order follow from the candidates alone, so both stay the same for as long as these do.

    Args:
        doubted: candidates that something speaks against.
        marks_of_author: one author's marks, to draw from; references among them are left out.
        left_out: every candidate there is; neither they nor the near-duplicates they differ from are drawn.
    """
    doubtful = {(each.query_id, doc_id) for each in left_out for doc_id in (each.doc_id, each.other_doc_id)}
    seed = sorted((each.query_id, each.doc_id) for each in doubted)

    def by_chance(turn: str, each: LookAgain) -> bytes:
        name = repr((turn, seed, each.query_id, each.doc_id))
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()

    others = [
        LookAgain(query_id, doc_id, grade, "drawn", None, None, None, 0.0)
        for query_id, grades in _grades_by_query(marks_of_author).items()
        for doc_id, grade in grades.items()
        if (query_id, doc_id) not in doubtful
    ]
    drawn = sorted(others, key=lambda each: by_chance("draw", each))[: len(doubted)]
    return sorted([*doubted, *drawn], key=lambda each: by_chance("order", each))


@dataclass(frozen=True, slots=True)
class DrawnMarks:
    """Of `n` marks of one person that were drawn at random to be looked at again, `n_kept` got the same grade."""

    n: int = 0
    n_kept: int = 0


def kept_when_drawn(events: Iterable[JudgmentRecord]) -> dict[str, DrawnMarks]:
    """Return author -> how many of their marks they kept when these had been drawn at random.

    The first answer counts, given before the person knew that nothing speaks against the mark; one that was taken back
    was none.

    Args:
        events: everything said at the desk of the documents concerned, oldest first.
    """
    said = list(events)
    undone = {event.undoes_id for event in said}
    before: dict[tuple[str, int, str], float | None] = {}
    kept: dict[tuple[str, int, str], bool] = {}
    for event in said:
        if event.undoes_id is not None or event.id in undone:
            continue
        mark = event.author, event.query_id, event.doc_id
        if event.retriever == DRAWN_LIST and mark not in kept and before.get(mark) is not None:
            kept[mark] = event.grade == before[mark]
        before[mark] = event.grade
    authors = dict.fromkeys(author for author, _, _ in kept)
    by_author = {author: [is_kept for mark, is_kept in kept.items() if mark[0] == author] for author in authors}
    return {author: DrawnMarks(len(answers), sum(answers)) for author, answers in by_author.items()}


def _grades_by_query(marks_of_author: Iterable[StandingMark]) -> dict[int, dict[str, float]]:
    """Return query id -> document id -> the author's grade; what they settled goes before what they judged."""
    judged: dict[int, dict[str, float]] = {}
    settled: set[tuple[int, str]] = set()
    for mark in marks_of_author:
        key = (mark.query_id, mark.doc_id)
        if mark.grade is None or mark.role == JudgmentRole.REFERENCE:
            continue
        if mark.role == JudgmentRole.ADJUDICATOR:
            settled.add(key)
        elif key in settled:
            continue
        judged.setdefault(mark.query_id, {})[mark.doc_id] = mark.grade
    return judged


def _ranked_high(query_id: int, grades: Mapping[str, float], ranking: Sequence[str]) -> LookAgain | None:
    """Return the best ranked document that is not relevant, if it stands in the first ranks above all relevant ones."""
    if not any(grade > 0 for grade in grades.values()):
        return None
    for rank, doc_id in enumerate(ranking[:TOP], start=1):
        grade = grades.get(doc_id)
        if grade is None:
            continue
        return None if grade > 0 else LookAgain(query_id, doc_id, grade, "ranked-high", rank, None, None, 1 / rank)
    return None


Pair = tuple[int, str]
"""A query id and a document id."""

MAX_LISTED = 50
_MAX_COMPARED = 100  # documents that the author judged last, whose near-duplicates are looked for


def marks_to_look_at(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int
) -> list[LookAgain]:
    """Return the author's marks whose document has changed, or that a training run, a copy or an import speaks against.

    The ranking of each query comes from adapters that never saw its marks, so it is evidence of its own. As many others
    as something speaks against come along, drawn at random; the page tells which is which once it was answered.
    """
    return _looks(workspace, author, collection_id, label_set_id)[0]


def _looks(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int
) -> tuple[list[LookAgain], set[Pair]]:
    """Return `marks_to_look_at`, and the (query id, document id) of those of them that settled a conflict."""
    marks = workspace.standings(label_set_id).marks()
    own = [mark for mark in marks if mark.author == author and mark.role is not JudgmentRole.REFERENCE]
    if not own:
        return [], set()
    mine = [mark for mark in own if mark.role is JudgmentRole.JUDGE]
    may_settle = not _why_not_settle(workspace, author, collection_id)
    of_other_texts, adjudicated = _made_of_other_texts(workspace, author, label_set_id, may_settle)
    hidden = hidden_queries(workspace, author, collection_id, label_set_id, {mark.query_id for mark in mine})
    references = [mark for mark in marks if mark.role is JudgmentRole.REFERENCE and mark.query_id not in hidden]
    lists = [of_other_texts, differing_from_reference(mine, references)]
    opened = workspace.opened(collection_id)
    if opened is not None:
        rankings = _held_out_rankings(workspace, opened, collection_id, label_set_id)
        lists += [
            disagreeing_with_ranking(mine, rankings, len(opened.corpus)),
            differing_duplicates(mine, _duplicate_groups(mine, opened)),
        ]
    found = look_again(*lists)
    listed = found[:MAX_LISTED]
    changed = [each for each in listed if each.reason == "text-changed"]
    doubted = [each for each in listed if each.reason != "text-changed"]
    return [*changed, *mix_in_drawn(doubted, mine, left_out=found)], adjudicated


def lay_out_again(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int) -> Desk:
    """Return the author's marks that deserve a second look, as the desk shows them."""
    found, adjudicated = _looks(workspace, author, collection_id, label_set_id)
    others = find_documents(workspace, collection_id, [each.other_doc_id for each in found if each.other_doc_id])
    pairs = []
    for each in found:
        other = others.get(each.other_doc_id or "")
        why = {"code": each.reason, "rank": each.rank, "other": other and (other.title or other.doc_id)}
        pairs.append((each.query_id, each.doc_id, {**why, "other_grade": each.other_grade}))
    return lay_out_pairs(workspace, author, collection_id, label_set_id, "again", pairs, adjudicated)


def lay_out_conflicts(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int) -> Desk:
    """Return the documents that judges disagree about, with what each said; a mark on them settles it for all.

    What the person has settled follows, of the newest queries first, to be corrected. Queries of which the person may
    not see yet what others say are left out.

    Raises:
        NotAllowedError: if the person may not settle anything here.
    """
    require(_why_not_settle(workspace, author, collection_id))
    standings = workspace.standings(label_set_id)
    disputed = standings.conflicts()
    settled = [
        (mark.query_id, mark.doc_id)
        for mark in reversed(standings.marks())
        if mark.author == author and mark.role is JudgmentRole.ADJUDICATOR and mark.grade is not None
    ]
    concerned = {query_id for query_id, _ in [*disputed, *settled]}
    hidden = hidden_queries(workspace, author, collection_id, label_set_id, concerned)
    listed: list[tuple[int, str, Mapping[str, object]]] = []
    for why, pairs in (({"code": "conflict"}, disputed), ({"code": "settled"}, settled)):
        visible = [(query_id, doc_id, why) for query_id, doc_id in pairs if query_id not in hidden]
        listed += visible[:MAX_LISTED]
    everywhere = {(query_id, doc_id) for query_id, doc_id, _ in listed}
    return lay_out_pairs(workspace, author, collection_id, label_set_id, "conflicts", listed, everywhere)


def lay_out_pairs(
    workspace: Workspace,
    author: str | None,
    collection_id: int,
    label_set_id: int,
    view: View,
    pairs: Sequence[tuple[int, str, Mapping[str, object]]],
    adjudicated: Collection[Pair] = (),
) -> Desk:
    """Return a desk over (query id, document id, why) of several queries.

    A mark on what is `adjudicated`, (query id, document id), settles it for all.
    """
    query_ids = list(dict.fromkeys(query_id for query_id, _, _ in pairs))
    with workspace.reading() as session:
        queries = {query_id: storage.queries.get(session, query_id) for query_id in query_ids}
        marks = {q: storage.judgments.current_for_query(session, label_set_id, q) for q in query_ids}
    documents: dict[str, Document] = find_documents(workspace, collection_id, [doc_id for _, doc_id, _ in pairs])
    revealed: dict[int, dict[str, Revealed]] = {}
    settled: dict[int, dict[str, Said]] = {}
    if view == "conflicts":
        for query_id, doc_id, _ in pairs:
            opinions = [
                Opinion(mark.author, mark.role, mark.grade, mark.note)
                for mark in marks[query_id]
                if mark.doc_id == doc_id and mark.grade is not None
            ]
            revealed.setdefault(query_id, {})[doc_id] = Revealed({}, tuple(opinions))
        settled = {query_id: settled_by(of_query) for query_id, of_query in marks.items()}
    else:  # what others have decided is not told here
        for query_id, doc_id in adjudicated:
            said = settled_by([mark for mark in marks.get(query_id, ()) if mark.author == author])
            if doc_id in said:
                settled.setdefault(query_id, {})[doc_id] = said[doc_id]
    return Desk(
        view=view,
        query=None,
        cards=[
            Card(queries[q], documents[doc_id], why=why, is_adjudication=(q, doc_id) in adjudicated)
            for q, doc_id, why in pairs
            if doc_id in documents
        ],
        said={query_id: said_by(of_query, author) for query_id, of_query in marks.items()},
        settled=settled,
        revealed=revealed,
    )


def _why_not_settle(workspace: Workspace, author: str | None, collection_id: int) -> str:
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
    return why_not_settle(workspace.settings, author, collection)


def _made_of_other_texts(
    workspace: Workspace, author: str | None, label_set_id: int, may_settle: bool
) -> tuple[list[LookAgain], set[Pair]]:
    """Return the author's marks whose document has changed, and which are adjudications; those if they `may_settle`.

    What was both judged and settled comes up twice, one after the other: first as judged.
    """
    found: list[LookAgain] = []
    judged: set[Pair] = set()
    settled: set[Pair] = set()
    for mark in changed_judgments(workspace, label_set_id):
        is_own = mark.author == author and (mark.role is JudgmentRole.JUDGE or may_settle)
        if is_own and mark.role is not JudgmentRole.REFERENCE and mark.grade is not None:
            found.append(LookAgain(mark.query_id, mark.doc_id, mark.grade, "text-changed", None, None, None, 1.0))
            (judged if mark.role is JudgmentRole.JUDGE else settled).add((mark.query_id, mark.doc_id))
    return found, settled - judged


def _held_out_rankings(
    workspace: Workspace, opened: OpenCollection, collection_id: int, label_set_id: int
) -> dict[int, list[str]]:
    """Return the ranking of each query that the newest training run learned from, by adapters that never saw it."""
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id, label_set_id)
    run = next((run for run in runs if run.state is JobState.FINISHED), None)
    if run is None:
        return {}
    try:
        _, held_out = rankers.retriever(workspace, opened, rankers.run_key(run))
    except (EraError, NotFoundError):
        logger.exception("The adapter of the newest training run cannot be read; marks are not compared with it.")
        return {}
    if not held_out:
        return {}
    vectors = np.ascontiguousarray([each.vector for each in held_out.values()], dtype=np.float32)
    rankings = opened.index.search(vectors, DEPTH)
    return {
        int(query_id): [doc.doc_id for doc in ranking] for query_id, ranking in zip(held_out, rankings, strict=True)
    }


def _duplicate_groups(mine: Sequence[StandingMark], opened: OpenCollection) -> list[list[str]]:
    doc_ids = list(dict.fromkeys(mark.doc_id for mark in reversed(mine) if mark.doc_id in opened.corpus))
    found = near_duplicates(doc_ids[:_MAX_COMPARED], opened.corpus, opened.index)
    return [[doc_id, *others] for doc_id, others in found.items() if others]
