"""Get ready after a start: load the embedders, open every collection, align the one used last."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn

from tqdm import tqdm

import storage.collections
import storage.label_sets
import storage.queries
from annotation.ranking.rankers import default_ranker
from annotation.retrieval.loaded_pairs import reason_of
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Readiness, Workspace
from era.errors import Cancelled
from era.progress import Progress
from era.types import Query
from storage.records import CollectionRecord

logger = logging.getLogger(__name__)

_QUERIES_AHEAD = 500


def prepare(workspace: Workspace) -> None:
    """Load the embedders and open every collection; meant for a background thread, reports in `readiness`."""
    started = time.monotonic()
    try:
        _say(workspace, "Loading the embedders", 0.05)
        from era.encoders.devices import (  # torch: seconds, so not before the page is there
            choose_device,
            describe_device,
        )

        device = choose_device(workspace.settings.device)
        workspace.device_name = describe_device(device)
        workspace.pairs.device = device
        with workspace.reading() as session:
            collections = storage.collections.list_all(session)
        ready = _open_each(workspace, collections)
        workspace.readiness = Readiness("ready", "Ready to search", 0.6)
        logger.info("Ready to search after %.1f s.", time.monotonic() - started)
    except Exception as error:
        logger.exception("Preparation failed")
        workspace.readiness = Readiness("failed", reason_of(error), 0.0)
        return
    try:
        for collection in ready[:1]:  # the one used last; others align when they are trained
            align(workspace, collection.id, collection.name)
    except Exception:
        logger.exception("Alignment failed; the light model alone and earlier training runs can be used.")
    workspace.readiness = Readiness("ready", "", 1.0)
    for collection in ready:
        try:
            _count_words_in_use(workspace, collection.id)
        except Exception:
            logger.exception("What %s ranks with could not be told.", collection.name)


def _open_each(workspace: Workspace, collections: Sequence[CollectionRecord]) -> Sequence[CollectionRecord]:
    """Return the collections that could be opened; one whose embedders are out of reach leaves the others usable.

    Raises:
        Exception: what kept the first one closed, if none could be opened.
    """
    ready, failures = [], []
    for collection in sorted(collections, key=lambda each: each.embedders is not None):  # bundled ones are quick
        try:
            spec = workspace.spec_of(collection.id)
            _say(workspace, f"Loading {spec.strong.label} and {spec.light.label}", 0.1)
            workspace.pairs.load(spec)
            _say(workspace, f"Opening {collection.name}", 0.4)
            workspace.open(collection.id, _reporter(workspace, f"Reading {collection.name}", 0.4, 0.6))
            ready.append(collection.id)
        except Exception as error:
            logger.exception("%s could not be opened", collection.name)
            failures.append(error)
    if failures and not ready:
        raise failures[0]
    return [collection for collection in collections if collection.id in ready]


def align(workspace: Workspace, collection_id: int, name: str, must_stop: Callable[[], bool] = lambda: False) -> None:
    """Count words and align, then embed the stored queries, so that nothing that comes first needs to wait.

    Raises:
        Cancelled: if `must_stop` says so.
    """
    opened, tell = workspace.open(collection_id), _reporter(workspace, f"Aligning {name}", 0.6, 1.0, "ready")

    def report(stage: str, fraction: float, detail: str = "") -> None:
        if must_stop():
            raise Cancelled("The app stops.")
        tell(stage, fraction, detail)

    _count_words(opened)  # which the aligned ranking counts
    opened.aligned(report)
    workspace.readiness = Readiness("ready", "", 1.0)
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, collection_id)
    for query in listed[:_QUERIES_AHEAD]:
        if must_stop():
            return
        opened.pair.encode_queries([Query("", query.text, query.instruction)])


def _count_words_in_use(workspace: Workspace, collection_id: int) -> None:
    """Count matching words where a ranking in use needs them, so that the first search need not wait for it."""
    with workspace.reading() as session:
        label_sets = storage.label_sets.list_names(session, collection_id)
    keys = [default_ranker(workspace, collection_id, each.id) for each in label_sets]
    if any(key.has_words for key in keys):
        _count_words(workspace.open(collection_id))


def _count_words(opened: OpenCollection) -> None:
    try:
        opened.words()
    except Exception:
        logger.exception("Words could not be counted ahead; the first search that needs them tries again.")


def _say(
    workspace: Workspace, message: str, fraction: float, state: Literal["preparing", "ready"] = "preparing"
) -> None:
    workspace.readiness = Readiness(state, message, fraction)
    logger.info("%s …", message)


def _reporter(
    workspace: Workspace, message: str, low: float, high: float, state: Literal["preparing", "ready"] = "preparing"
) -> Progress:
    """Return a progress that moves the page's readiness from `low` to `high`, and a bar in the terminal."""
    bar: tqdm[NoReturn] | None = None

    def report(stage: str, fraction: float, detail: str = "") -> None:
        nonlocal bar
        workspace.readiness = Readiness(state, f"{message}: {detail}", low + (high - low) * fraction)
        if bar is None:
            bar = tqdm(total=100, desc=message, bar_format="{desc} {percentage:3.0f}% {bar:30} {elapsed}")
        bar.update(100 * fraction - bar.n)
        if fraction >= 1:
            bar.close()

    return report
