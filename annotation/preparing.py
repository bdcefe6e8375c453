"""Get ready after a start: load the embedders, open every collection, align the one used last."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from tqdm import tqdm

import storage.collections
import storage.label_sets
import storage.queries
from annotation.loaded_pairs import reason_of
from annotation.ranking_keys import RankingKey
from era.errors import Cancelled
from era.progress import Progress
from era.types import Query
from storage.records import CollectionRecord

if TYPE_CHECKING:
    from annotation.library import Library
    from annotation.workspace import Workspace

logger = logging.getLogger(__name__)

_QUERIES_AHEAD = 500


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far the background preparation is; `message` is for the person at the screen."""

    state: Literal["preparing", "ready", "failed"]
    message: str
    fraction: float


class Preparation:
    """The start of one workspace; how far it is goes into `workspace.readiness`."""

    def __init__(self, workspace: "Workspace") -> None:
        self._workspace = workspace

    def run(self) -> None:
        """Load the embedders and open every collection; meant for a background thread, reports in `readiness`."""
        started = time.monotonic()
        try:
            self._say("Loading the embedders", 0.05)
            from era.encoders.devices import (  # torch: seconds, so not before the page is there
                choose_device,
                describe_device,
            )

            device = choose_device(self._workspace.settings.device)
            self._workspace.device_name = describe_device(device)
            self._workspace.pairs.device = device
            with self._workspace.reading() as session:
                collections = storage.collections.list_all(session)
            opened = self._open_each(collections)
            self._workspace.readiness = Readiness("ready", "Ready to search", 0.6)
            logger.info("Ready to search after %.1f s.", time.monotonic() - started)
        except Exception as error:
            logger.exception("Preparation failed")
            self._workspace.readiness = Readiness("failed", reason_of(error), 0.0)
            return
        try:
            for collection in opened[:1]:  # the one used last; others align when they are trained
                self.align(collection.id, collection.name)
        except Exception:
            logger.exception("Alignment failed; the light model alone and earlier training runs can be used.")
        self._workspace.readiness = Readiness("ready", "", 1.0)
        for collection in opened:
            try:
                self._count_words_in_use(collection.id)
            except Exception:
                logger.exception("What %s ranks with could not be told.", collection.name)

    def _open_each(self, collections: Sequence[CollectionRecord]) -> Sequence[CollectionRecord]:
        """Return the collections that could be opened; one whose embedders are out of reach leaves the others usable.

        Raises:
            Exception: what kept the first one closed, if none could be opened.
        """
        opened, failures = [], []
        for collection in sorted(collections, key=lambda each: each.embedders is not None):  # bundled ones are quick
            try:
                spec = self._workspace.spec_of(collection.id)
                self._say(f"Loading {spec.strong.label} and {spec.light.label}", 0.1)
                self._workspace.pairs.load(spec)
                self._say(f"Opening {collection.name}", 0.4)
                self._workspace.library(collection.id, self._reporter(f"Reading {collection.name}", 0.4, 0.6))
                opened.append(collection.id)
            except Exception as error:
                logger.exception("%s could not be opened", collection.name)
                failures.append(error)
        if failures and not opened:
            raise failures[0]
        return [collection for collection in collections if collection.id in opened]

    def align(self, collection_id: int, name: str, must_stop: Callable[[], bool] = lambda: False) -> None:
        """Count words and align, then embed the stored queries, so that nothing that comes first needs to wait.

        Raises:
            Cancelled: if `must_stop` says so.
        """
        library, tell = self._workspace.library(collection_id), self._reporter(f"Aligning {name}", 0.6, 1.0, "ready")

        def report(stage: str, fraction: float, detail: str = "") -> None:
            if must_stop():
                raise Cancelled("The app stops.")
            tell(stage, fraction, detail)

        self._count_words(library)  # which the aligned ranking counts
        library.aligned(report)
        self._workspace.readiness = Readiness("ready", "", 1.0)
        with self._workspace.reading() as session:
            listed = storage.queries.list_all(session, collection_id)
        for query in listed[:_QUERIES_AHEAD]:
            if must_stop():
                return
            library.pair.encode_queries([Query("", query.text, query.instruction)])

    def _count_words_in_use(self, collection_id: int) -> None:
        """Count matching words where a ranking in use needs them, so that the first search need not wait for it."""
        from annotation.rankers import default_ranker  # which itself needs a workspace

        with self._workspace.reading() as session:
            label_sets = storage.label_sets.list_names(session, collection_id)
        keys = [default_ranker(self._workspace, collection_id, each.id) for each in label_sets]
        if any(RankingKey.parse(key).has_words for key in keys):
            self._count_words(self._workspace.library(collection_id))

    def _count_words(self, library: "Library") -> None:
        try:
            library.words()
        except Exception:
            logger.exception("Words could not be counted ahead; the first search that needs them tries again.")

    def _say(self, message: str, fraction: float, state: Literal["preparing", "ready"] = "preparing") -> None:
        self._workspace.readiness = Readiness(state, message, fraction)
        logger.info("%s …", message)

    def _reporter(
        self, message: str, low: float, high: float, state: Literal["preparing", "ready"] = "preparing"
    ) -> Progress:
        """Return a progress that moves the page's readiness from `low` to `high`, and a bar in the terminal."""
        bar: tqdm[NoReturn] | None = None

        def report(stage: str, fraction: float, detail: str = "") -> None:
            nonlocal bar
            self._workspace.readiness = Readiness(state, f"{message}: {detail}", low + (high - low) * fraction)
            if bar is None:
                bar = tqdm(total=100, desc=message, bar_format="{desc} {percentage:3.0f}% {bar:30} {elapsed}")
            bar.update(100 * fraction - bar.n)
            if fraction >= 1:
                bar.close()

        return report
