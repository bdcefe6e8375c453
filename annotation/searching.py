"""Run an instruction query and remember what was shown."""

import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import storage.documents
import storage.judgments
import storage.queries
import storage.searches
import storage.training_runs
from annotation.errors import InvalidInputError, NotFoundError
from annotation.library import Library
from annotation.workspace import Workspace, find_training_run
from era.certainty import Expectation
from era.embedders import Vectors
from era.retriever import Retriever
from era.types import Document, Query
from storage.records import DocumentRecord, JudgmentRecord, QueryRecord, TrainingRunRecord, TrainingRunState

MAX_WORDS = 1000
MAX_CHARACTERS = 10_000
DEPTH = 10

LIGHT = "light"
ALIGNED = "aligned"
_RUN_PREFIX = "run-"
_WITH_WORDS = "+words"


@dataclass(frozen=True, slots=True)
class Ranker:
    """One way to rank the documents, as it is offered in lists; `key` names it in URLs and events."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Result:
    """One document of a shown ranking; `rank` counts from 1, `score` is as in `era.types.ScoredDoc`."""

    rank: int
    doc_id: str
    title: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Search:
    """A ranking and the judgments that stand for its query."""

    text: str
    instruction: str
    query: QueryRecord | None  # None where a visitor who may not write asked something new
    ranker: str
    results: list[Result]
    marks: Mapping[str, JudgmentRecord]
    n_documents: int
    took_ms: float | None  # None where an earlier ranking is shown again


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


def rankers(workspace: Workspace, collection_id: int) -> list[Ranker]:
    """Return every way to rank this collection, the plainest first, then training runs from new to old.

    At the end the same again with matching words counted, BM25 as a second signal.
    """
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
    plain = [
        Ranker(LIGHT, "light model alone"),
        Ranker(ALIGNED, "aligned, no labels"),
        *(Ranker(run_key(run), run_label(run)) for run in runs if run.state is TrainingRunState.FINISHED),
    ]
    return [*plain, *(Ranker(r.key + _WITH_WORDS, f"{r.label} + matching words") for r in plain)]


def run_key(run: TrainingRunRecord) -> str:
    """Return the ranker key of a training run."""
    return f"{_RUN_PREFIX}{run.id}"


def run_label(run: TrainingRunRecord) -> str:
    """Return what a person calls the ranker of a training run."""
    recipe = "" if run.recipe == "era" else f", {run.recipe} recipe"
    return f"after your marks (run {run.number}{recipe})"


def default_ranker(workspace: Workspace, collection_id: int, label_set_id: int) -> str:
    """Return the best there is: the newest training run of the label set, else aligned, else the light model."""
    with workspace.reading() as session:
        for run in storage.training_runs.list_for(session, collection_id, label_set_id):
            if run.state is TrainingRunState.FINISHED:
                return run_key(run)
    library = workspace.opened(collection_id)
    return ALIGNED if library is not None and library.is_aligned else LIGHT


def retriever(workspace: Workspace, library: Library, key: str) -> tuple[Retriever, Mapping[str, Vectors]]:
    """Return the retriever of a ranker key, and its cross-fitted query vectors by query id (empty if none).

    Raises:
        NotFoundError: if there is no such ranker.
    """
    plain = key.removesuffix(_WITH_WORDS)
    held_out: Mapping[str, Vectors] = {}
    if plain == LIGHT:
        chosen = library.light()
    elif plain == ALIGNED:
        chosen = library.aligned()
    else:
        chosen, held_out = library.trained(_adapter_folder(workspace, plain))
    return (chosen if plain == key else library.with_words(chosen)), held_out


def expectation(workspace: Workspace, library: Library, key: str, query: Query) -> Expectation | None:
    """Return what a training run is expected to change for a query; None for other rankers or if nothing is known."""
    if not key.startswith(_RUN_PREFIX) or key.endswith(_WITH_WORDS):
        return None
    certainty = library.certainty(_adapter_folder(workspace, key))
    return certainty.expect(library.aligned().query_vectors([query]))[0] if certainty is not None else None


def _adapter_folder(workspace: Workspace, key: str) -> Path:
    number = key.removeprefix(_RUN_PREFIX)
    if not key.startswith(_RUN_PREFIX) or len(number) > 15 or not (number.isascii() and number.isdigit()):
        raise NotFoundError(f"There is no ranking named {key[:40]!r}. Choose one from the list.")
    return find_training_run(workspace, int(number))


def run_query(
    workspace: Workspace,
    author: str | None,
    collection_id: int,
    label_set_id: int,
    text: str,
    instruction: str,
    ranker: str,
) -> Search:
    """Search the collection and store the query with the ranking that was shown.

    Args:
        workspace: of this process.
        author: who asks; None searches without storing anything new.
        collection_id: where to search.
        label_set_id: whose judgments come back with the results.
        text: what is asked.
        instruction: how it is meant; may be empty.
        ranker: key of the ranking to use.

    Raises:
        InvalidInputError: if the text is empty or too long.
        NotReadyError: if the embedders are still being loaded.
        NotFoundError: if there is no such ranker.
    """
    text = clean_text(text, "query")
    instruction = clean_text(instruction, "instruction")
    if not text:
        raise InvalidInputError("Write what you are looking for, then press Search.")
    library = workspace.library(collection_id)
    chosen, _ = retriever(workspace, library, ranker)
    started = time.perf_counter()
    ranking = chosen.search(Query("", text, instruction), DEPTH)
    took_ms = (time.perf_counter() - started) * 1000
    shown = [(doc.doc_id, doc.score) for doc in ranking]
    query, marks = _remember(workspace, author, collection_id, label_set_id, text, instruction, ranker, shown, took_ms)
    results = _results({doc_id: library.corpus[doc_id] for doc_id, _ in shown}, shown)
    return Search(text, instruction, query, ranker, results, marks, len(library.corpus), took_ms)


def _remember(
    workspace: Workspace,
    author: str | None,
    collection_id: int,
    label_set_id: int,
    text: str,
    instruction: str,
    ranker: str,
    shown: list[tuple[str, float]],
    took_ms: float,
) -> tuple[QueryRecord | None, Mapping[str, JudgmentRecord]]:
    """Store query and ranking in one transaction; a visitor who may not write finds what is there."""
    if author is None:
        with workspace.reading() as session:
            listed = storage.queries.list_with_progress(session, collection_id, label_set_id)
            known = [p.query for p in listed if p.query.text == text and p.query.instruction == instruction]
            marks = storage.judgments.current_for_query(session, label_set_id, known[0].id) if known else {}
        return (known[0] if known else None), marks
    with workspace.writing() as session:
        query = storage.queries.get_or_create(session, collection_id, text, instruction, author)
        storage.searches.record(
            session,
            query_id=query.id,
            author=author,
            retriever=ranker,
            depth=DEPTH,
            took_ms=took_ms,
            ranking=shown,
        )
        return query, storage.judgments.current_for_query(session, label_set_id, query.id)


def show_again(workspace: Workspace, collection_id: int, label_set_id: int, query: QueryRecord) -> Search:
    """Return the ranking that was shown last for a query, without searching; empty if there was none."""
    with workspace.reading() as session:
        latest = storage.searches.latest_for_query(session, query.id)
        shown = list(latest.ranking) if latest else []
        documents = storage.documents.get_many(session, collection_id, [doc_id for doc_id, _ in shown])
        marks = storage.judgments.current_for_query(session, label_set_id, query.id)
        n_documents = storage.documents.count(session, collection_id)
    results = _results(documents, [pair for pair in shown if pair[0] in documents])
    ranker = latest.retriever if latest else LIGHT
    return Search(query.text, query.instruction, query, ranker, results, marks, n_documents, None)


def _results(
    documents: Mapping[str, Document] | Mapping[str, DocumentRecord], shown: list[tuple[str, float]]
) -> list[Result]:
    return [
        Result(rank, doc_id, documents[doc_id].title, documents[doc_id].text, score)
        for rank, (doc_id, score) in enumerate(shown, start=1)
    ]


def open_query(workspace: Workspace, collection_id: int, query_id: int) -> QueryRecord:
    """Return a stored query of this collection.

    Raises:
        NotFoundError: if it has none of that id.
    """
    with workspace.reading() as session:
        for progress in storage.queries.list_with_progress(session, collection_id, 0):
            if progress.query.id == query_id:
                return progress.query
    raise NotFoundError("This query does not exist in this collection. Choose one from the list, or write a new one.")
