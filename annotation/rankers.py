"""The ways to rank a collection's documents: what they are called, which is the best, and how to get one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import storage.label_sets
import storage.snapshots
import storage.training_runs
from annotation.errors import NotFoundError
from annotation.library import Library
from annotation.workspace import Workspace, find_training_run
from era.certainty import Expectation
from era.embedders import Vectors
from era.retriever import Retriever
from storage.records import SnapshotRecord, TrainingRunRecord, TrainingRunState

LIGHT = "light"
ALIGNED = "aligned"
STRONG = "strong"
BM25 = "bm25"
WITH_WORDS_GROUP = "with matching words"
SNAPSHOTS_GROUP = "snapshots"
_RUN_PREFIX = "run-"
_WITH_WORDS = "+words"
_STORED_PREFIX = "snap-"
_STORED = re.compile(rf"{_STORED_PREFIX}([A-Za-z0-9]{{1,64}})-([0-9])")


@dataclass(frozen=True, slots=True)
class Ranker:
    """One way to rank the documents, as it is offered in lists.

    Attributes:
        key: names it in URLs and events.
        label: what a person calls it.
        run: number of its training run, with the recipe where that is not the usual one; empty for other rankers.
        group: under which heading a list shows it; empty for none.
    """

    key: str
    label: str
    run: str = ""
    group: str = ""


def list_rankers(workspace: Workspace, collection_id: int, is_comparing: bool = False) -> list[Ranker]:
    """Return every way to rank this collection, the plainest first, then training runs from new to old.

    At the end the same again with matching words counted, BM25 as a second signal. Where rankings are compared, BM25
    alone, the strong model alone if it has read every document, and the sides of snapshots are offered as well; the
    judging desk cannot move their queries after what was judged.
    """
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
        snapshots = storage.snapshots.list_for(session, collection_id) if is_comparing else ()
    plain = _plain(run for run in runs if run.state is TrainingRunState.FINISHED)
    alone = []
    if is_comparing:
        library = workspace.opened(collection_id)
        alone.append(Ranker(BM25, "BM25, matching words alone"))
        if library is not None and library.strong_reading.is_ready:
            plain.insert(2, Ranker(STRONG, "strong model alone"))
    kept = [
        Ranker(
            stored_key(snapshot.slug, place),
            imported_label(snapshot) if is_imported(snapshot) else f"{snapshot.name}: {side['label']}",
            group=SNAPSHOTS_GROUP,
        )
        for snapshot in snapshots
        for place, side in enumerate(snapshot.about.get("sides", ()))
    ]
    return [*alone, *plain, *_with_words(plain), *kept]


def list_usable(workspace: Workspace, collection_id: int) -> list[Ranker]:
    """Return what may be put in use: what the judging desk is offered, but for runs of other embedders than today's."""
    return _usable(_usable_runs(workspace, collection_id))


def _usable(runs: Iterable[TrainingRunRecord]) -> list[Ranker]:
    plain = _plain(runs)
    return [*plain, *_with_words(plain)]


def _plain(runs: Iterable[TrainingRunRecord]) -> list[Ranker]:
    trained = [Ranker(run_key(run), run_label(run), _run_name(run)) for run in runs]
    return [Ranker(LIGHT, "light model alone"), Ranker(ALIGNED, "aligned, no labels"), *trained]


def _with_words(plain: Iterable[Ranker]) -> list[Ranker]:
    return [
        Ranker(each.key + _WITH_WORDS, f"{each.label} + matching words", each.run, WITH_WORDS_GROUP) for each in plain
    ]


def _usable_runs(workspace: Workspace, collection_id: int) -> list[TrainingRunRecord]:
    """Return the finished training runs that were made with the embedders of today, newest first."""
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
    library = workspace.opened(collection_id)
    return [run for run in runs if run.state is TrainingRunState.FINISHED and _is_fitting(run, library)]


def without_words(key: str) -> str:
    """Return the key of the ranker that is left where words are not counted; BM25 alone has light vectors beside it."""
    return LIGHT if key == BM25 else key.removesuffix(_WITH_WORDS)


def with_words(key: str) -> str:
    """Return the key of the ranker that counts matching words besides."""
    return key.removesuffix(_WITH_WORDS) + _WITH_WORDS


def newest_run(workspace: Workspace, collection_id: int, label_set_id: int) -> list[str]:
    """Return the key of the newest usable training run of a label set; nothing if there is none."""
    runs = _usable_runs(workspace, collection_id)
    return [run_key(run) for run in runs if run.label_set_id == label_set_id][:1]


def same_words(key: str, other: str) -> str:
    """Return the ranker `other`, with matching words counted if they are in `key`."""
    return other + _WITH_WORDS if key.endswith(_WITH_WORDS) else other


def stored_key(slug: str, side: int) -> str:
    """Return the key of a side of a snapshot."""
    return f"{_STORED_PREFIX}{slug}-{side}"


def stored_side(key: str) -> tuple[str, int] | None:
    """Return slug and side if the key is of a side of a snapshot."""
    found = _STORED.fullmatch(key)
    return (found[1], int(found[2])) if found else None


def is_imported(snapshot: SnapshotRecord) -> bool:
    """Return whether this is no comparison of this app, but a run file that was brought in."""
    return bool(snapshot.about.get("is_imported"))


def imported_label(snapshot: SnapshotRecord) -> str:
    """Return what a person calls the ranking of a run file that was brought in."""
    return f"{snapshot.name} (brought in)"


def missing_label(key: str) -> str:
    """Return what a person calls a ranking that is not there any more; what it was called is gone with it."""
    if stored_side(key) is not None:
        return "a kept ranking"
    return "a training run" if is_trained(key) else f"“{key}”"


def is_trained(key: str) -> bool:
    """Return whether the key is of a training run."""
    return key.startswith(_RUN_PREFIX)


def run_key(run: TrainingRunRecord) -> str:
    """Return the ranker key of a training run."""
    return f"{_RUN_PREFIX}{run.id}"


def run_label(run: TrainingRunRecord) -> str:
    """Return what a person calls the ranker of a training run."""
    return f"after your marks (run {_run_name(run)})"


def _run_name(run: TrainingRunRecord) -> str:
    return f"{run.number}" if run.recipe == "era" else f"{run.number}, {run.recipe} recipe"


def measured_key(run: TrainingRunRecord, ranking: str) -> str:
    """Return the ranker key of one of the rankings that a training run measured (`annotation.training.choice`)."""
    return ranking.replace("after", run_key(run))


def chosen_key(run: TrainingRunRecord) -> str | None:
    """Return the ranking that a finished training run found best; None if it was trained for comparison only.

    Runs from before several rankings were measured name themselves.
    """
    measures = run.measures or {}
    if "choice" not in measures:
        return run_key(run)
    choice = measures["choice"]
    return measured_key(run, choice["ranking"]) if choice else None


def default_ranker(workspace: Workspace, collection_id: int, label_set_id: int) -> str:
    """Return what is in use, as long as that is there and was made with the embedders of today.

    Else what the newest training run of the label set found best, else aligned, else the light model. A training run
    whose adapter is damaged is not used; see `damaged_run`.
    """
    key, run = _wanted(workspace, collection_id, label_set_id)
    library = workspace.opened(collection_id)
    if key and (run is None or _is_sound(workspace, library, run)):
        return key
    return ALIGNED if library is not None and library.is_aligned else LIGHT


def damaged_run(workspace: Workspace, collection_id: int, label_set_id: int) -> TrainingRunRecord | None:
    """Return the training run that would be used if its saved adapter were not damaged; None if all is well."""
    _, run = _wanted(workspace, collection_id, label_set_id)
    return None if run is None or _is_sound(workspace, workspace.opened(collection_id), run) else run


def damaged_runs(workspace: Workspace, collection_id: int) -> set[int]:
    """Return the ids of the training runs whose saved adapter was found damaged so far."""
    library = workspace.opened(collection_id)
    return set() if library is None else {int(name.removeprefix(_RUN_PREFIX)) for name in library.damaged}


def _wanted(workspace: Workspace, collection_id: int, label_set_id: int) -> tuple[str, TrainingRunRecord | None]:
    """Return the key of the ranker to use, whether or not it can be read, and the training run that it is of.

    Without a choice and without a finished training run the key is empty.
    """
    with workspace.reading() as session:
        in_use = storage.label_sets.get(session, label_set_id).in_use
    runs = _usable_runs(workspace, collection_id)
    key = in_use
    if key not in (ranker.key for ranker in _usable(runs)):
        found = (chosen_key(run) for run in runs if run.label_set_id == label_set_id)
        key = next(filter(None, found), "")
    return key, next((run for run in runs if run_key(run) == without_words(key)), None)


def _is_sound(workspace: Workspace, library: Library | None, run: TrainingRunRecord) -> bool:
    """Return whether the adapter of a training run can be read; not known before the collection is open."""
    return library is None or library.is_sound(workspace.adapter_folder(run.id))


def _is_fitting(run: TrainingRunRecord, library: Library | None) -> bool:
    """Return whether a training run was made with the embedders that the collection has now."""
    if library is None:
        return True
    now = {"strong_embedder": library.pair.strong.identity, "light_embedder": library.pair.light.identity}
    return all(run.config.get(name, asdict(identity)) == asdict(identity) for name, identity in now.items())


def retriever(workspace: Workspace, library: Library, key: str) -> tuple[Retriever, Mapping[str, Vectors]]:
    """Return the retriever of a ranker key, and its cross-fitted query vectors by query id (empty if none).

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if it is the strong model alone, and that has not read every document.
    """
    plain = key.removesuffix(_WITH_WORDS)
    held_out: Mapping[str, Vectors] = {}
    if plain == LIGHT:
        chosen: Retriever = library.light()
    elif plain == ALIGNED:
        chosen = library.aligned()
    elif plain == STRONG:
        chosen = library.strong()
    elif key == BM25:
        chosen = library.words_alone()
    else:
        chosen, held_out = library.trained(_adapter_folder(workspace, plain))
    return (chosen if plain == key else library.with_words(chosen)), held_out


def expectation(workspace: Workspace, library: Library, key: str) -> Expectation | None:
    """Return what a training run did for queries that were held out; None for other rankers or if nothing is known."""
    if not is_trained(key) or key.endswith(_WITH_WORDS):
        return None
    certainty = library.certainty(_adapter_folder(workspace, key))
    return certainty.expect() if certainty is not None else None


def _adapter_folder(workspace: Workspace, key: str) -> Path:
    number = key.removeprefix(_RUN_PREFIX)
    if not key.startswith(_RUN_PREFIX) or len(number) > 15 or not (number.isascii() and number.isdigit()):
        raise NotFoundError(f"There is no ranking named {key[:40]!r}. Choose one from the list.")
    return find_training_run(workspace, int(number))
