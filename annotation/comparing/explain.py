"""Why a document moved: what its change of score against the first ranking is made of, and which marks have a share.

Both rankings search with a vector that is a sum: of the light embedder's own, of what aligning moved it by, and of what
each labelled query did that a training run learned from. So the change is a sum as well, and what is said adds up.
Shares are told, not causes: without one query, training would have learned otherwise from the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

import storage.queries
import storage.training_runs
from annotation.comparing.rank import rank_queries
from annotation.comparing.view import ComparisonView, side_labels
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.queries import open_query
from annotation.judging.setup import hidden_queries
from annotation.ranking.rankers import BM25, LIGHT, STRONG, RankingKey, retriever
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace, find_training_run
from era.adapter import QueryAdapter
from era.encoders.base import Vectors
from era.encoders.spec import N_ALIGNMENT_TEXTS
from era.evaluation.measures import MIN_DEPTH, depth_of
from era.method.alignment import DecodingConfig, align_by_decoding
from era.method.influence import Influence, VectorParts, aligned_parts, explain, light_parts, trained_parts
from era.trained_adapter import TrainedAdapter
from era.types import Query
from storage.records import LabelSnapshot, QueryRecord, TrainingRunRecord

BY_WORDS = "counts words only and compares no vectors"
BY_STRONG = "compares with what another model read in the documents"
AS_KEPT = "was kept or brought in as a ranking, without what it was made of"
BY_DESCENT = "learned by gradient descent, which leaves no account of which marks did what"
TRAIN_AGAIN = "was trained before reasons were kept; train again to see them"

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
        marks: its marks that the runs learned from, the relevant ones first; empty where the person may not see them.
    """

    query: QueryRecord
    amount: float
    marks: Sequence[TaughtMark]


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """What the change of a document's score from the first side to another one is made of.

    `after - before` is the sum of all `parts`, `aligning`, `weighing`, `length`, `words`, `rereading`, `common` and
    `rest`. What raises all documents alike moves none; so that stands apart as `common`, and the other amounts are
    against the mean of the documents that both rankings show.

    Attributes:
        before: score on the first side.
        after: score on the other side.
        parts: the largest contributions of labelled queries.
        aligning: what aligning the two embedders contributed.
        weighing: what weighing the parts of a query anew contributed.
        length: what scaling the query's vector to length 1 contributed.
        words: what matching words contributed.
        rereading: what the strong model contributed by reading the documents on top.
        common: the mean change of all documents that both rankings show.
        rest: the sum of all smaller contributions.
    """

    before: float
    after: float
    parts: Sequence[Contribution]
    aligning: float
    weighing: float
    length: float
    words: float
    rereading: float
    common: float
    rest: float


@dataclass(frozen=True, slots=True)
class SideReasons:
    """Why a document stands elsewhere on one side than on the first one.

    Attributes:
        key: of the side's ranking.
        text: one sentence.
        rank_before: place on the first side, None below the first 100.
        rank_after: place on this side, likewise.
        change: of the score; None where it cannot be split, and `text` then says why.
    """

    key: RankingKey
    text: str
    rank_before: int | None
    rank_after: int | None
    change: ScoreChange | None


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a document moved, on each side after the first; `words` is one sentence of the last that can be explained."""

    doc_id: str
    sides: Sequence[SideReasons]
    words: str


class _NoAccountError(Exception):
    """A side's scores cannot be taken apart; the message says why, to follow its name."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked: `why` of one document of one query."""

    workspace: Workspace
    opened: OpenCollection
    author: str | None
    view: ComparisonView
    query: QueryRecord
    doc_id: str

    @property
    def text(self) -> Query:
        """Return the query as embedders take it."""
        return Query(str(self.query.id), self.query.text, self.query.instruction)

    @property
    def depth(self) -> int:
        """Return how deep the rankings go that stand side by side."""
        return depth_of(self.view.measures)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """How one side ranks the query.

    Attributes:
        scores: document id -> score, best first.
        places: document id -> place, of the first 100.
    """

    scores: Mapping[str, float]
    places: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Account:
    """What one side's scores are made of.

    Attributes:
        parts: of the vector that the query is searched with.
        added: document id -> what matching words add; nothing to other documents.
        reread: document id -> what ordering the documents on top anew adds.
        below: the same for the other documents.
        run: that learned, if one did.
        taught: what it learned from.
    """

    parts: VectorParts
    added: Mapping[str, float] = field(default_factory=dict)
    reread: Mapping[str, float] = field(default_factory=dict)
    below: float = 0.0
    run: TrainingRunRecord | None = None
    taught: LabelSnapshot = field(default_factory=dict)

    def rereading(self, doc_id: str) -> float:
        """Return what ordering the documents on top anew adds to a document."""
        return self.reread.get(doc_id, self.below)


def why(workspace: Workspace, author: str | None, view: ComparisonView, doc_id: str) -> Reasons:
    """Return what moved a document, on each side against the first one, for the query that is laid side by side.

    Args:
        workspace: of this process.
        author: who asks; marks on queries that this person may still judge stay hidden.
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
    if view.query_id in hidden_queries(workspace, author, view.collection_id, view.label_set_id, [query.id]):
        view = replace(view, is_in_sample=False)  # as it is ranked for this person
    opened = workspace.open(view.collection_id)
    if doc_id not in opened.corpus:
        raise NotFoundError("This document is not in the collection.")
    asked, labels = _Question(workspace, opened, author, view, query, doc_id), side_labels(workspace, view)
    first, *others = view.sides
    sides = [_reasons(asked, first, key, labels) for key in others]
    told = [side.text for side in sides if side.change is not None]
    return Reasons(doc_id, sides, told[-1] if told else sides[-1].text)


def _reasons(asked: _Question, first: RankingKey, key: RankingKey, labels: Mapping[str, str]) -> SideReasons:
    rankings = [_ranked(asked, side) for side in (first, key)]
    rank_before, rank_after = (ranked.places.get(asked.doc_id) for ranked in rankings)
    accounts = []
    for side in (first, key):
        try:
            accounts.append(_account(asked, side))
        except _NoAccountError as reason:
            text = (
                f"What moved it between “{labels[first]}” and “{labels[key]}” cannot be split: "
                f"“{labels[side]}” {reason}."
            )
            return SideReasons(key, text, rank_before, rank_after, None)
    change = _change(asked, rankings, accounts)
    text = _sentence(labels[first], rank_before, rank_after, change)
    return SideReasons(key, text, rank_before, rank_after, change)


def _ranked(asked: _Question, key: RankingKey) -> _Ranked:
    found = rank_queries(asked.workspace, asked.opened, key, [asked.query], asked.depth, asked.view.is_in_sample)
    ranking = found[asked.query.id].ranking if asked.query.id in found else ()  # a kept side may not rank it
    return _Ranked(
        scores={doc.doc_id: doc.score for doc in ranking},
        places={doc.doc_id: rank for rank, doc in enumerate(ranking[:MIN_DEPTH], start=1)},
    )


def _account(asked: _Question, key: RankingKey) -> _Account:
    """Return what a side's scores are made of.

    Raises:
        _NoAccountError: if that is not known.
    """
    if key.stored_side is not None:
        raise _NoAccountError(AS_KEPT)
    if key == BM25:
        raise _NoAccountError(BY_WORDS)
    if key.base == STRONG:
        raise _NoAccountError(BY_STRONG)
    if key.is_reread:
        return _reread(asked, key)
    account = _without_words(asked, key.without_words())
    if not key.has_words:
        return account
    vector = account.parts.vector.astype(np.float32)
    chosen, held_out = retriever(asked.workspace, asked.opened, key)
    own = None if asked.view.is_in_sample else held_out.get(str(asked.query.id))
    weight = chosen.adapter.word_weight if own is None else own.word_weight
    return replace(account, added=asked.opened.words().added(asked.query.text, vector, asked.depth, weight))


def _reread(asked: _Question, key: RankingKey) -> _Account:
    first = key.without_rereading()
    account, before, after = _account(asked, first), _ranked(asked, first).scores, _ranked(asked, key).scores
    reread = {doc_id: score - before[doc_id] for doc_id, score in after.items()}
    return replace(account, reread=reread, below=next(reversed(reread.values()), 0.0))


def _without_words(asked: _Question, key: RankingKey) -> _Account:
    opened, number = asked.opened, key.run_id
    if number is None:
        encoded = opened.pair.encode_queries([asked.text])
        return _Account(light_parts(encoded) if key.base == LIGHT else aligned_parts(opened.aligned().adapter, encoded))
    folder = find_training_run(asked.workspace, number)
    opened.trained(folder)  # which says so if the run belongs to another index or another embedder
    with asked.workspace.reading() as session:
        run = storage.training_runs.get(session, number)
        snapshot = storage.training_runs.label_snapshot(session, number)
    if run.recipe == "paper":
        raise _NoAccountError(BY_DESCENT)
    learned = _learned(folder)
    if learned is None:
        raise _NoAccountError(TRAIN_AGAIN)
    influence, alignment, n_texts = learned
    encoded = opened.pair.encode_queries([asked.text])
    query_id = None if asked.view.is_in_sample else str(asked.query.id)
    aligned = _aligned(opened, alignment, n_texts)
    return _Account(trained_parts(influence, aligned, encoded, query_id), run=run, taught=snapshot)


def _change(asked: _Question, rankings: Sequence[_Ranked], accounts: Sequence[_Account]) -> ScoreChange:
    shown = (doc_id for ranked in rankings for doc_id in ranked.places)
    around = list(dict.fromkeys([asked.doc_id, *shown]))
    vectors = asked.opened.index.vectors(around)
    left, right = accounts
    explanation = explain(left.parts, right.parts, vectors[0], vectors)
    added = np.array([right.added.get(doc_id, 0.0) - left.added.get(doc_id, 0.0) for doc_id in around])
    words = float(added[0] - added.mean())
    reread = np.array([right.rereading(doc_id) - left.rereading(doc_id) for doc_id in around])
    rereading = float(reread[0] - reread.mean())
    before, after = (
        ranked.scores.get(asked.doc_id, _score(account, asked.doc_id, vectors[0]))
        for ranked, account in zip(rankings, accounts, strict=True)
    )
    parts = _contributions(asked, accounts, explanation.by_query)
    common = explanation.common + float(added.mean() + reread.mean())
    told = explanation.aligning + explanation.weighing + explanation.length + words + rereading + common
    told += sum(part.amount for part in parts)
    return ScoreChange(
        before=before,
        after=after,
        parts=parts,
        aligning=explanation.aligning,
        weighing=explanation.weighing,
        length=explanation.length,
        words=words,
        rereading=rereading,
        common=common,
        rest=after - before - told,
    )


def _score(account: _Account, doc_id: str, document: Vectors) -> float:
    """Return the score of a document, also of one that a ranking does not reach."""
    return float(account.parts.vector @ document) + account.added.get(doc_id, 0.0) + account.rereading(doc_id)


def _learned(folder: Path) -> tuple[Influence, DecodingConfig, int] | None:
    """Return what a saved adapter tells about who taught it, how it was aligned and by how many texts.

    None if it tells nothing.
    """
    about = folder / "adapter.json"
    return _learned_when_written_at(folder, about.stat().st_mtime_ns if about.is_file() else 0)


@lru_cache(maxsize=8)
def _learned_when_written_at(folder: Path, written_at: int) -> tuple[Influence, DecodingConfig, int] | None:
    """Return the same; a folder is used again once all of a deleted collection is gone, but then written later."""
    learned = TrainedAdapter.load(folder)
    influence, config = learned.influence, learned.provenance.get("config", {}).get("alignment")
    if influence is None or not config:
        return None
    n_texts = int(learned.provenance.get("n_texts", N_ALIGNMENT_TEXTS))
    return influence, DecodingConfig.from_saved(config), n_texts


def _aligned(opened: OpenCollection, config: DecodingConfig, n_texts: int) -> QueryAdapter:
    """Return the aligned adapter that a run started from; since then, more texts may have been read."""
    today = opened.aligned().adapter
    if {**asdict(config), "n_texts": n_texts}.items() <= today.provenance.items():
        return today
    return align_by_decoding(opened.alignment_texts().first(n_texts), config)


def _contributions(asked: _Question, accounts: Sequence[_Account], amounts: Mapping[str, float]) -> list[Contribution]:
    """Return the largest contributions with the marks behind them."""
    largest = sorted((q for q, a in amounts.items() if abs(a) > _NOTHING), key=lambda query_id: -abs(amounts[query_id]))
    ids = [int(query_id) for query_id in largest[:_MAX_PARTS]]
    hidden = {
        query_id
        for run in (account.run for account in accounts)
        if run is not None
        for query_id in hidden_queries(asked.workspace, asked.author, run.collection_id, run.label_set_id, ids)
    }
    taught = [account.taught for account in accounts]
    with asked.workspace.reading() as session:
        queries = {query_id: storage.queries.get(session, query_id) for query_id in ids}
    return [
        Contribution(
            query=queries[query_id],
            amount=amounts[str(query_id)],
            marks=() if query_id in hidden else _marks(asked.opened, str(query_id), taught),
        )
        for query_id in ids
    ]


def _marks(opened: OpenCollection, query_id: str, taught: Sequence[LabelSnapshot]) -> list[TaughtMark]:
    """Return the first marks on a query; where two runs learned from different ones, those of the latter count."""
    grades = {doc_id: grade for snapshot in taught for doc_id, grade in snapshot.get(query_id, {}).items()}
    best = sorted(grades.items(), key=lambda mark: -mark[1])[:_MAX_MARKS]
    titles = {doc_id: opened.corpus[doc_id].title for doc_id, _ in best if doc_id in opened.corpus}
    return [TaughtMark(titles.get(doc_id) or doc_id, grade) for doc_id, grade in best]


def _sentence(first: str, before: int | None, after: int | None, change: ScoreChange) -> str:
    """Return in one sentence where the document went against the first side, and whose share of that is the largest."""
    if before == after:
        where = f"In place {after}" if after is not None else f"Below the first {MIN_DEPTH}"
        return f"{where} as in “{first}”" + (", although its score changed." if _is_changed(change) else ".")
    is_up = after is not None and (before is None or after < before)
    if before is None or after is None:
        where = f"Came into the first {MIN_DEPTH}, to place {after}," if is_up else f"Fell below the first {MIN_DEPTH}"
    else:
        n_places = abs(after - before)
        where = f"{'Up' if is_up else 'Down'} {n_places} {'place' if n_places == 1 else 'places'}"
    return f"{where} against “{first}”; {_largest_share(change, 1 if is_up else -1)}."


def _is_changed(change: ScoreChange) -> bool:
    own = change.aligning, change.weighing, change.length, change.words, change.rereading
    lead = (*own, *(part.amount for part in change.parts))
    return max(abs(amount) for amount in lead) > _NOTHING


def _largest_share(change: ScoreChange, direction: int) -> str:
    """Return which part of the change of score is the largest in the direction that the document went."""
    same_way = [part for part in change.parts if part.amount * direction > 0]
    by_marks = max((abs(part.amount) for part in same_way), default=0.0)
    named = [part.query.text for part in same_way[:2] if abs(part.amount) >= _NAMED_FROM * by_marks]
    shares = [
        (by_marks, "your marks on " + " and ".join(f"“{_shortened(text)}”" for text in named)),
        *((amount * direction, name) for name, amount in further_shares(change).items()),
    ]
    most, name = max(shares, key=lambda each: each[0])
    if most <= _NOTHING:
        return "no share of its change points that way, so the documents around it moved"
    return f"the largest share of the change: {name}"


def further_shares(change: ScoreChange) -> dict[str, float]:
    """Return what has a share beside the marks, in the words of every screen -> amount."""
    return {
        "aligning the two models, which needs no marks": change.aligning,
        "the parts of the query counting differently": change.weighing,
        "scaling the query's vector to length 1": change.length,
        "matching words": change.words,
        "the strong model reading what is on top": change.rereading,
    }


def _shortened(text: str, n_characters: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= n_characters else line[: n_characters - 1].rsplit(" ", 1)[0] + " …"
