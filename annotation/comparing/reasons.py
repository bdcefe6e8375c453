"""Why a document moved: what every labelled query that a training run learned from contributed to its score.

The account is exact, not a guess: an adapter's change of a query vector is a weighted sum over the labelled queries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import storage.queries
import storage.training_runs
from annotation.comparing.rankings import rank_queries
from annotation.comparing.views import ComparisonView, run_number
from annotation.desk import unfinished_queries
from annotation.errors import InvalidInputError, NotFoundError
from annotation.library import Library
from annotation.rankers import ALIGNED, LIGHT
from annotation.searching import open_query
from annotation.workspace import Workspace, find_training_run
from era.adapter import QueryAdapter
from era.alignment import DecodingConfig, align_by_decoding
from era.attribution import Explanation, Influence, explain
from era.types import Query, ScoredDoc
from storage.records import LabelSnapshot, QueryRecord, TrainingRunRecord

NOT_LEARNED = "Nothing was learned here."
NO_ACCOUNT = "The published recipe learns by gradient descent, which leaves no account of who taught it what."
TRAIN_AGAIN = "This run was trained before reasons were kept. Train again to see reasons."

_DEPTH = 100  # of both rankings, whose documents are what a document is compared with
_MAX_PARTS = 5  # queries shown by name
_MAX_MARKS = 3  # of each query
_NOTHING = 5e-7  # what is nearer to 0 comes from rounding
_NAMED_FROM = 0.5  # of the largest contribution: smaller ones are not named in the sentence


@dataclass(frozen=True, slots=True)
class TaughtMark:
    """A mark that a training run learned from."""

    title: str
    grade: float


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one labelled query contributed.

    Attributes:
        query: the labelled query.
        amount: what it added to the document's score, less what it added on average to the documents around it.
        share: of all that moved the document up or down, in [0, 1].
        marks: its marks that the run learned from, the relevant ones first; empty where the person may not see them.
    """

    query: QueryRecord
    amount: float
    share: float
    marks: Sequence[TaughtMark]


@dataclass(frozen=True, slots=True)
class SideReasons:
    """Why a document stands where it stands on one side.

    `amount`s, `weighing` and `others` are against the documents that both rankings show, since what raises all of them
    alike moves none. Scores are cosines; None where there is no account, and `text` then says why.

    Attributes:
        key: of the side's ranking.
        text: one sentence.
        before: score by the aligned ranking.
        after: score by this side, matching words left out.
        rank_before: place in the aligned ranking, None below the first 100.
        rank_after: place on this side.
        parts: the largest contributions.
        weighing: what weighing the parts of a query anew contributed.
        words: what matching words added to the score; None where they do not count or the place is below 100.
        others: the sum of all smaller contributions.
    """

    key: str
    text: str
    before: float | None = None
    after: float | None = None
    rank_before: int | None = None
    rank_after: int | None = None
    parts: Sequence[Contribution] = ()
    weighing: float = 0.0
    words: float | None = None
    others: float = 0.0


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a document moved, side by side; `words` is one sentence of the last side that has an account."""

    doc_id: str
    sides: Sequence[SideReasons]
    words: str


def why(workspace: Workspace, author: str | None, view: ComparisonView, doc_id: str) -> Reasons:
    """Return what moved a document for the query that is laid side by side.

    Args:
        workspace: of this process.
        author: who asks; marks on queries that this person is still judging stay hidden.
        view: the comparison; its query is the one that is explained.
        doc_id: the document.

    Raises:
        InvalidInputError: if the comparison has no query.
        NotFoundError: if query, document or training run do not exist.
        NotReadyError: if the embedders are still being loaded.
    """
    if view.query_id is None:
        raise InvalidInputError("Choose a query first.")
    query = open_query(workspace, view.collection_id, view.query_id)
    library = workspace.library(view.collection_id)
    if doc_id not in library.corpus:
        raise NotFoundError("This document is not in the collection.")
    sides = [_side(workspace, library, author, view, query, key, doc_id) for key in view.sides]
    told = [side.text for side in sides if side.after is not None]
    return Reasons(doc_id, sides, told[-1] if told else sides[-1].text)


def _side(
    workspace: Workspace,
    library: Library,
    author: str | None,
    view: ComparisonView,
    query: QueryRecord,
    key: str,
    doc_id: str,
) -> SideReasons:
    number = run_number(key)
    if number is None:
        return SideReasons(key, NOT_LEARNED)
    folder = find_training_run(workspace, number)
    library.trained(folder)  # which says so if the run belongs to another index or another embedder
    with workspace.reading() as session:
        run = storage.training_runs.get(session, number)
        snapshot = storage.training_runs.label_snapshot(session, number)
    if run.recipe == "paper":
        return SideReasons(key, NO_ACCOUNT)
    account = _account(folder)
    if account is None:
        return SideReasons(key, TRAIN_AGAIN)
    influence, alignment = account
    keys = [ALIGNED, key, *(each for each in view.sides[:1] if each == LIGHT)]
    rankings = {each: _ranked(workspace, library, each, query, view.is_in_sample) for each in keys}
    places = {each: {doc.doc_id: rank for rank, doc in enumerate(r, start=1)} for each, r in rankings.items()}
    around = list(dict.fromkeys([doc_id, *(doc.doc_id for each in (ALIGNED, key) for doc in rankings[each])]))
    explanation = explain(
        influence,
        _aligned(library, alignment),
        library.pair.encode_queries([Query(str(query.id), query.text, query.instruction)]),
        library.index.vectors([doc_id])[0],
        library.index.vectors(around),
        None if view.is_in_sample else str(query.id),
    )
    contributions, others = _contributions(workspace, library, author, run, snapshot, explanation)
    words = None
    if key.endswith("+words") and doc_id in places[key]:
        words = rankings[key][places[key][doc_id] - 1].score - explanation.after
    rank_before, rank_after = places[ALIGNED].get(doc_id), places[key].get(doc_id)
    side = SideReasons(
        key=key,
        text="",
        before=explanation.before,
        after=explanation.after,
        rank_before=rank_before,
        rank_after=rank_after,
        parts=contributions,
        weighing=explanation.relative_weighing,
        words=words,
        others=others,
    )
    text = _sentence(side)
    if view.sides[0] == LIGHT:
        text += _by_aligning(places[LIGHT].get(doc_id), rank_before)
    return replace(side, text=text)


def _ranked(
    workspace: Workspace, library: Library, key: str, query: QueryRecord, is_in_sample: bool
) -> Sequence[ScoredDoc]:
    return rank_queries(workspace, library, key, [query], _DEPTH, is_in_sample)[query.id].ranking


def _account(folder: Path) -> tuple[Influence, DecodingConfig] | None:
    """Return what a saved adapter tells about who taught it, and how it was aligned; None if it tells nothing."""
    return _account_written_at(folder, (folder / "adapter.json").stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _account_written_at(folder: Path, written_at: int) -> tuple[Influence, DecodingConfig] | None:
    """Return the same; a folder is used again once all of a deleted collection is gone, but then written later."""
    adapter, extra = QueryAdapter.load(folder)
    facts, config = adapter.provenance.get("influence"), adapter.provenance.get("config", {}).get("alignment")
    arrays = {name.removeprefix("influence_"): array for name, array in extra.items() if name.startswith("influence_")}
    if not facts or not arrays or not config:
        return None
    return Influence.from_saved(arrays, facts), DecodingConfig(**{**config, "views": tuple(config["views"])})


def _aligned(library: Library, config: DecodingConfig) -> QueryAdapter:
    """Return the aligned adapter that a run started from."""
    if config == DecodingConfig():
        return library.aligned().adapter
    return align_by_decoding(library.alignment_texts(), config)


def _contributions(
    workspace: Workspace,
    library: Library,
    author: str | None,
    run: TrainingRunRecord,
    snapshot: LabelSnapshot,
    explanation: Explanation,
) -> tuple[list[Contribution], float]:
    """Return the largest contributions with the marks behind them, and the sum of the others."""
    amounts = {q: a for q, a in explanation.relative_by_query.items() if abs(a) > _NOTHING}
    total = sum(abs(amount) for amount in amounts.values()) + abs(explanation.relative_weighing)
    largest = sorted(amounts, key=lambda query_id: -abs(amounts[query_id]))[:_MAX_PARTS]
    ids = [int(query_id) for query_id in largest]
    hidden = unfinished_queries(workspace, author, run.collection_id, run.label_set_id, ids)
    with workspace.reading() as session:
        queries = {query_id: storage.queries.get(session, query_id) for query_id in ids}
    contributions = [
        Contribution(
            query=queries[query_id],
            amount=amounts[str(query_id)],
            share=abs(amounts[str(query_id)]) / total,
            marks=() if query_id in hidden else _marks(library, snapshot.get(str(query_id), {})),
        )
        for query_id in ids
    ]
    return contributions, sum(amount for query_id, amount in amounts.items() if query_id not in largest)


def _marks(library: Library, grades: Mapping[str, float]) -> list[TaughtMark]:
    best = sorted(grades.items(), key=lambda mark: -mark[1])[:_MAX_MARKS]
    titles = {doc_id: library.corpus[doc_id].title for doc_id, _ in best if doc_id in library.corpus}
    return [TaughtMark(titles.get(doc_id) or doc_id, grade) for doc_id, grade in best]


def _sentence(side: SideReasons) -> str:
    """Return in one sentence where the document went and what did it."""
    before, after = side.rank_before, side.rank_after
    if before == after:
        where = f"In place {after}" if after is not None else f"Below the first {_DEPTH}"
        return f"{where} as in the aligned ranking" + (
            ", although your marks changed its score." if side.parts else "."
        )
    is_up = after is not None and (before is None or after < before)
    if before is None or after is None:
        where = f"Came into the first {_DEPTH}, to place {after}," if is_up else f"Fell below the first {_DEPTH},"
    else:
        n_places = abs(after - before)
        where = f"{'Up' if is_up else 'Down'} {n_places} {'place' if n_places == 1 else 'places'}"
        where += " against the aligned ranking,"
    return f"{where} mainly because {_cause(side, 1 if is_up else -1)}."


def _by_aligning(by_light: int | None, by_aligned: int | None) -> str:
    """Return what had happened to the document before any mark was learned from; empty if nothing."""
    if by_light == by_aligned:
        return ""
    start, end = (f"place {rank}" if rank else f"below the first {_DEPTH}" for rank in (by_light, by_aligned))
    return f" Aligning the two models, which needs no marks, had taken it from {start} to {end}."


def _cause(side: SideReasons, direction: int) -> str:
    """Return what pushed most in the direction that the document went, to follow "because"."""
    pushing = [part for part in side.parts if part.amount * direction > 0]
    by_marks = max((abs(part.amount) for part in pushing), default=0.0)
    by_weighing, by_words = side.weighing * direction, (side.words or 0.0) * direction
    if by_words > max(by_marks, by_weighing, 0.0):
        return "it has words of the query"
    if by_weighing > max(by_marks, 0.0):
        return "the parts of the query count differently now"
    if not pushing:
        return "of what your marks did to the documents around it"
    named = [part.query.text for part in pushing[:2] if abs(part.amount) >= _NAMED_FROM * by_marks]
    return "of your marks on " + " and ".join(f"“{_shortened(text)}”" for text in named)


def _shortened(text: str, n_characters: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= n_characters else line[: n_characters - 1].rsplit(" ", 1)[0] + " …"
