"""What deserves a second look: marks that something speaks against, and documents that judges disagree about.

A mark whose document has another text now comes before all else: it may be about something that is no longer there.
"""

import logging
from collections.abc import Collection, Mapping, Sequence

import numpy as np

import storage.collections
import storage.judgments
import storage.queries
import storage.training_runs
from annotation.collections.update import changed_judgments
from annotation.errors import NotFoundError
from annotation.judging.duplicates import near_duplicates
from annotation.judging.marks import Said, said_by, settled_by
from annotation.judging.search import find_documents
from annotation.judging.suspect_marks import (
    DEPTH,
    LookAgain,
    differing_duplicates,
    differing_from_reference,
    disagreeing_with_ranking,
    look_again,
    mix_in_drawn,
)
from annotation.judging.view import Card, Desk, Opinion, Revealed, View
from annotation.judging.visibility import hidden_queries
from annotation.people.permissions import require, why_not_settle
from annotation.ranking import rankers
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.errors import EraError
from era.types import Document
from storage.records import JudgmentRole, StandingMark, TrainingRunState

logger = logging.getLogger(__name__)

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
    run = next((run for run in runs if run.state is TrainingRunState.FINISHED), None)
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
