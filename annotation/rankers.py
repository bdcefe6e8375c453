"""The ways to rank a collection's documents: what they are called, which is the best, and how to get one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import storage.training_runs
from annotation.errors import NotFoundError
from annotation.library import Library
from annotation.workspace import Workspace, find_training_run
from era.certainty import Expectation
from era.embedders import Vectors
from era.retriever import Retriever
from era.types import Query
from storage.records import TrainingRunRecord, TrainingRunState

LIGHT = "light"
ALIGNED = "aligned"
_RUN_PREFIX = "run-"
_WITH_WORDS = "+words"


@dataclass(frozen=True, slots=True)
class Ranker:
    """One way to rank the documents, as it is offered in lists.

    Attributes:
        key: names it in URLs and events.
        label: what a person calls it.
        run: number of its training run, with the recipe where that is not the usual one; empty for other rankers.
    """

    key: str
    label: str
    run: str = ""


def list_rankers(workspace: Workspace, collection_id: int) -> list[Ranker]:
    """Return every way to rank this collection, the plainest first, then training runs from new to old.

    At the end the same again with matching words counted, BM25 as a second signal.
    """
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
    plain = [
        Ranker(LIGHT, "light model alone"),
        Ranker(ALIGNED, "aligned, no labels"),
        *(
            Ranker(run_key(run), run_label(run), _run_name(run))
            for run in runs
            if run.state is TrainingRunState.FINISHED
        ),
    ]
    return [*plain, *(Ranker(r.key + _WITH_WORDS, f"{r.label} + matching words", r.run) for r in plain)]


def run_key(run: TrainingRunRecord) -> str:
    """Return the ranker key of a training run."""
    return f"{_RUN_PREFIX}{run.id}"


def run_label(run: TrainingRunRecord) -> str:
    """Return what a person calls the ranker of a training run."""
    return f"after your marks (run {_run_name(run)})"


def _run_name(run: TrainingRunRecord) -> str:
    return f"{run.number}" if run.recipe == "era" else f"{run.number}, {run.recipe} recipe"


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
