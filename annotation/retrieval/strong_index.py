"""The documents of a collection as the strong embedder reads them all, so that the strong model alone can rank it.

That takes minutes or hours, so it is a job in the background; a reading that was stopped goes on where it was. What it
leaves is used once it is complete; ERA itself never needs it.
"""

import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path
from threading import Lock

from annotation.errors import NotReadyError
from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.errors import IndexDamagedError
from era.index.building import IndexBuilding, embed_rest
from era.index.dense import DenseIndex
from era.progress import Progress

logger = logging.getLogger(__name__)

_FOLDER = "strong-index"
_ABOUT_FILE = "about.json"
_DOCUMENTS_AT_ONCE = 64  # which a reading that is stopped may have to read again


class StrongReading:
    """The documents of one collection as the strong embedder reads them; safe to ask from several threads."""

    def __init__(self, corpus: Corpus, pair: EmbedderPair, folder: Path) -> None:
        """Look for what an earlier reading left in `folder`; nothing is read yet."""
        self.seconds_per_text: float | None = None  # of the strong embedder, once that is known
        self.n_read_before = 0  # for the alignment; the embedder has kept what it made of them
        self.n_documents = len(corpus)
        self.failure = ""  # what is wrong with what was kept, in words
        self._corpus = corpus
        self._pair = pair
        self._folder = folder / _FOLDER
        self._loading = Lock()
        self._index: DenseIndex | None = None
        self.is_ready = self._is_fitting()  # every document was read

    def index(self) -> DenseIndex:
        """Return the documents as the strong embedder sees them.

        Raises:
            NotReadyError: if they were not all read yet, or what was kept is damaged.
        """
        with self._loading:
            if self.is_ready and self._index is None:
                try:
                    self._index = DenseIndex.load(self._folder)
                except IndexDamagedError as error:
                    logger.warning("%s The strong model has to read the documents again.", error)
                    self.is_ready, self.failure = False, "What the strong model had read is damaged and is not used."
            if self._index is None:
                todo = "The strong model has not read every document yet. Let it do so, then compare."
                raise NotReadyError(f"{self.failure} {todo}".strip())
            return self._index

    def read(self, progress: Progress) -> None:
        """Read every document that no earlier reading has; raising `Cancelled` in `progress` keeps what is read."""
        doc_ids, strong = list(self._corpus.doc_ids), self._pair.strong
        scratch = self._folder.with_name(f".{_FOLDER}")
        for left in self._folder.parent.glob(f".{_FOLDER}.*"):  # by versions that did not go on
            shutil.rmtree(left, ignore_errors=True)
        with IndexBuilding(scratch / "building", strong.identity, self._corpus.fingerprint) as building:
            rest = range(len(building), len(doc_ids), _DOCUMENTS_AT_ONCE)
            texts = (
                [("", text) for text in self._corpus.contents(doc_ids[start : start + _DOCUMENTS_AT_ONCE])]
                for start in rest
            )
            embed_rest(building, texts, strong, len(doc_ids), progress)
            index = building.finish(doc_ids)
        done = scratch / "done"
        shutil.rmtree(done, ignore_errors=True)
        index.save(done)
        (done / _ABOUT_FILE).write_text(json.dumps(self._about()), encoding="utf-8")
        shutil.rmtree(self._folder, ignore_errors=True)
        done.rename(self._folder)
        shutil.rmtree(scratch, ignore_errors=True)
        self._index, self.is_ready, self.failure = index, True, ""
        logger.info("The strong model has read %d documents.", len(index))

    def estimate(self) -> str:
        """Return in words how long reading takes."""
        if self.seconds_per_text is None:
            return "how long that takes shows after the first ones"
        return f"that takes {in_words(self.seconds_per_text * max(self.n_documents - self.n_read_before, 0))}"

    def _about(self) -> dict[str, object]:
        return {"corpus_fingerprint": self._corpus.fingerprint, "embedder": asdict(self._pair.strong.identity)}

    def _is_fitting(self) -> bool:
        """Return whether an earlier reading was of these documents, by this embedder."""
        try:
            return bool(json.loads((self._folder / _ABOUT_FILE).read_text(encoding="utf-8")) == self._about())
        except (OSError, ValueError):
            return False


def in_words(seconds: float) -> str:
    """Return a length of time as people say it."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {round(minutes)} {'minute' if round(minutes) == 1 else 'minutes'}"
    return f"about {round(minutes / 60)} hours"
