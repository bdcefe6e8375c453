"""One collection in memory, ready to be searched: its documents, index, retrievers, kept runs, near-copies of queries.

Alignment goes on while the app runs: with every step the workspace puts another value in the place of the one before
(`OpenCollection.aligned_by`). So a workflow that asks for it once has one aligned adapter from beginning to end.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotation.errors import NotReadyError
from annotation.retrieval.strong_index import StrongReading
from era.adapter import HeldOut, strong_only
from era.cache import Cache
from era.collection import Collection
from era.encoders.base import EmbedderPair, Vectors
from era.encoders.cache import CachedVectors, VectorCache
from era.encoders.spec import N_ALIGNMENT_TEXTS
from era.errors import AdapterDamagedError, IdentityMismatchError
from era.method.alignment import AlignmentTexts, align_by_decoding
from era.method.alignment_texts import alignment_texts, find_alignment_texts
from era.method.certainty import Certainty
from era.method.query_groups import Nearness, QueryTraits, connected, near_copies
from era.method.reranking import RerankingRetriever
from era.progress import Progress
from era.retriever import Retriever
from era.trained_adapter import TrainedAdapter
from era.types import Query, ScoredDoc
from storage.records import QueryRecord

_LIMIT_BYTES = 256 << 20
_SCORE, _NUMBER = np.dtype("<f8"), np.dtype("<i4")


class RunCache:
    """The rankings of one collection in a folder; safe to use from several threads."""

    def __init__(self, folder: Path, doc_ids: Sequence[str]) -> None:
        """Use `folder`, which need not exist; `doc_ids` are the documents in the order of the corpus."""
        self._values = Cache(folder / "cache.sqlite3", _LIMIT_BYTES)
        self._doc_ids = doc_ids
        for file in folder.glob("*.safetensors"):  # of versions up to 0.7
            with suppress(OSError):
                file.unlink()

    def find(self, ranker: str, queries: Iterable[bytes], depth: int) -> dict[bytes, list[ScoredDoc]]:
        """Return the known rankings down to `depth`, by query.

        Args:
            ranker: stands for what ranks, and over which documents.
            queries: bytes that stand for a query each.
            depth: how many documents are asked for.
        """
        found = {}
        for query, value in self._values.find(ranker, list(dict.fromkeys(queries))).items():
            n = len(value) // (_SCORE.itemsize + _NUMBER.itemsize)
            scores = np.frombuffer(value, _SCORE, n)
            rows = np.frombuffer(value, _NUMBER, n + 1, scores.nbytes)  # and how deep was searched
            if rows[n] >= depth:
                pairs = zip(rows[:n][:depth].tolist(), scores[:depth].tolist(), strict=True)
                found[query] = [ScoredDoc(self._doc_ids[row], score) for row, score in pairs]
        return found

    def keep(self, ranker: str, rankings: Mapping[bytes, Sequence[ScoredDoc]], depth: int) -> None:
        """Remember rankings that were searched for to `depth`."""
        values = {}
        for query, ranking in rankings.items():
            scores = np.array([doc.score for doc in ranking], _SCORE)
            rows = np.array([*(self._rows[doc.doc_id] for doc in ranking), depth], _NUMBER)
            values[query] = scores.tobytes() + rows.tobytes()
        self._values.keep(ranker, values)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {doc_id: row for row, doc_id in enumerate(self._doc_ids)}


logger = logging.getLogger(__name__)

_QUERY_VECTOR_BYTES = 64 << 20  # what the strong vectors of queries may take on disk


@dataclass(eq=False)
class OpenCollection(Collection):
    """A collection of the app, with the retrievers made so far and what the strong embedder has read in all.

    What the aligned ranking depends on stays as it is once it is there. What the ranker key `aligned` stands for is
    therefore another ranking in the value that comes after; training runs, the light and the strong model and words
    alone are the same in both. Whatever outlives it has to name the adapter, not the key.
    """

    folder: Path = Path()  # a collection of the app always has one
    pooled: set[tuple[int, int, str]] = field(default_factory=set)  # (label set, query, ranking) that pools have seen
    strong_reading: StrongReading = field(init=False)
    runs: RunCache = field(init=False)
    _query_vectors: CachedVectors = field(init=False)
    _rows: tuple[AlignmentTexts, Mapping[str, int]] | None = None
    _nearness: Nearness | None = None
    _retrievers: dict[str, Retriever] = field(default_factory=dict)
    _adapters: dict[str, TrainedAdapter] = field(default_factory=dict)
    _damaged: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.strong_reading = StrongReading(self.corpus, self.pair, self.folder)
        self.runs = RunCache(self.folder / "runs", self.corpus.doc_ids)
        strong = self.pair.strong.identity
        kept = VectorCache(self.folder / "query-vectors", _QUERY_VECTOR_BYTES)
        self._query_vectors = kept.open(strong.to_json(), strong.dimension)

    @property
    def is_aligned(self) -> bool:
        """Return whether the strong embedder has read its share of the documents yet."""
        return self._aligned is not None

    @property
    def n_texts(self) -> int:
        """Return how many alignment texts are in use; 0 before they are read, here or from disk."""
        return 0 if self._texts is None else len(self._texts.doc_ids)

    def strong(self) -> Retriever:
        """Return the retriever that knows nothing but the strong embedder, over an index of its own.

        Raises:
            NotReadyError: if the strong embedder has not read every document.
        """
        return Retriever(self.pair, self.strong_reading.index(), strong_only(self.pair.strong.identity.dimension))

    def strong_documents(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which documents the strong embedder has read (n,), and what it made of them (n, p), 0 for the others.

        Nothing is read for this.
        """
        is_known = np.zeros(len(doc_ids), bool)
        vectors = np.zeros((len(doc_ids), self.pair.strong.identity.dimension), np.float32)
        index, texts, row_of = None, self._texts, self._row_of_text()
        if self.strong_reading.is_ready:
            with suppress(NotReadyError):  # damaged
                index = self.strong_reading.index()
        for place, doc_id in enumerate(doc_ids):
            if texts is not None and doc_id in row_of:
                vectors[place], is_known[place] = texts.strong[row_of[doc_id]], True
            elif index is not None and doc_id in index:
                vectors[place], is_known[place] = index.vectors([doc_id])[0], True
        missing = np.flatnonzero(~is_known).tolist()
        if missing:
            kept = self.pair.strong.kept_documents(self.corpus.contents([doc_ids[place] for place in missing]))
            is_known[missing], vectors[missing] = kept
        return is_known, vectors

    @property
    def has_read_all(self) -> bool:
        """Return whether the strong embedder has read every document, so that re-ranking costs nothing."""
        return self.strong_reading.is_ready or 0 < self.n_texts == len(self.corpus)

    def _read_texts(self, progress: Progress, n: int | None) -> AlignmentTexts:
        """Return the texts that both embedders have read; the same ones for as long as this value is held."""
        texts, self.strong_reading.seconds_per_text = alignment_texts(
            self.corpus, self.index, self.pair, self.folder, progress, N_ALIGNMENT_TEXTS
        )
        self.strong_reading.n_read_before = len(texts.doc_ids)
        return texts

    def _row_of_text(self) -> Mapping[str, int]:
        """Return where each alignment text stands among those that are in use."""
        texts = self._texts
        if texts is None:
            return {}
        if self._rows is None or self._rows[0] is not texts:
            self._rows = texts, {doc_id: row for row, doc_id in enumerate(texts.doc_ids)}
        return self._rows[1]

    def nearness(self) -> Nearness | None:
        """Return what the alignment texts tell of near-copies; None while they have not been read, nor are for this."""
        if self._nearness is None and self._reading.acquire(blocking=False):
            try:
                if self._texts is None:
                    found = find_alignment_texts(self.corpus, self.index, self.pair, self.folder)
                    if found is not None:
                        self._texts, self.strong_reading.seconds_per_text = found
                        self.strong_reading.n_read_before = self.n_texts
                if self._texts is not None:
                    self._nearness = Nearness.of(self._texts.strong)
            finally:
                self._reading.release()
        return self._nearness

    def strong_vectors(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, p): queries as the strong embedder reads them without instruction, 0 where it has not yet.

        Nothing is read for this. What was read for something else is kept from the first call on, so that two calls
        differ by what was read between them, however often the app is started.
        """
        is_known, vectors = self._query_vectors.find([query.text for query in queries])
        missing = np.flatnonzero(~is_known).tolist()
        is_read, fresh = self.pair.remembered([queries[row] for row in missing])
        vectors[missing] = fresh
        if is_read.any():
            texts = [queries[row].text for row, is_new in zip(missing, is_read, strict=True) if is_new]
            self._query_vectors.keep(texts, fresh[is_read])
        return vectors

    def aligned_by(self, texts: AlignmentTexts) -> "OpenCollection":
        """Return the value that comes after this one: the same collection, aligned by more texts.

        All but what depends on the texts is shared with this one. Pools that the aligned ranking has fed keep what it
        gave them, and are not fed again by it.
        """
        after = copy(self)
        after._texts, after._aligned, after._nearness = texts, align_by_decoding(texts), None
        after.pooled = set()
        after.strong_reading.n_read_before = after.n_texts
        return after

    @property
    def damaged(self) -> Mapping[str, str]:
        """Return what is wrong with the adapters that were found damaged so far, by the name of their folder."""
        return dict(self._damaged)

    def is_sound(self, adapter_folder: Path) -> bool:
        """Return whether the adapter of a training run can be read; the first call reads it."""
        if adapter_folder.name in self._damaged:
            return False
        try:
            self.trained(adapter_folder)
        except AdapterDamagedError:
            return False
        except IdentityMismatchError:
            pass  # whole, but of other embedders
        return True

    def trained(self, adapter_folder: Path) -> tuple[Retriever, Mapping[str, HeldOut]]:
        """Return the retriever of a training run, and for each query that it learned from what never saw that query.

        Raises:
            AdapterDamagedError: if its files are.
            IdentityMismatchError: if it was trained with other embedders.
        """
        key = adapter_folder.name
        if key not in self._retrievers:
            try:
                learned = TrainedAdapter.load(adapter_folder)
                self._require_embedders_of(learned)
            except AdapterDamagedError as error:
                if key not in self._damaged:
                    logger.warning("%s", error)
                self._damaged[key] = str(error)
                raise
            self._damaged.pop(key, None)  # what was put back from a copy
            self._adapters[key] = learned
            self._retrievers[key] = Retriever(self.pair, self.index, learned.adapter)
        return self._retrievers[key], self._adapters[key].held_out

    def _require_embedders_of(self, learned: TrainedAdapter) -> None:
        """Refuse an adapter for other embedders; one trained before documents changed leads to the same space."""
        sides = (("strong_embedder", self.pair.strong.identity), ("light_embedder", self.pair.light.identity))
        for side, loaded in sides:
            made_with = learned.provenance.get(side) or {}
            if made_with != asdict(loaded):
                name = made_with.get("name", "another embedder")
                other = loaded.name if name != loaded.name else f"another version of {loaded.name}"
                raise IdentityMismatchError(
                    f"This training run was made with {name}, but {other} is loaded. Your marks are safe; train again."
                )

    def with_pair(self, pair: EmbedderPair) -> "OpenCollection":
        """Return the same documents and index with other embedders; their light one has to have made the index.

        Raises:
            IdentityMismatchError: if another embedder has.
        """
        pair.light.identity.require(self.index.embedder, "The document index")
        return OpenCollection(self.corpus, self.index, pair, self.folder, _words=self._words)

    def forget(self, adapter_folder: Path) -> None:
        """Drop a training run whose adapter was deleted."""
        for kept in (self._retrievers, self._adapters, self._damaged):
            kept.pop(adapter_folder.name, None)

    def reread(self, retriever: Retriever) -> RerankingRetriever:
        """Return the retriever with the documents on top ordered anew by what the strong embedder has read in them.

        It reads nothing itself, since that takes seconds and may cost money: see `annotation.ranking.rankers`.
        """
        return RerankingRetriever(
            retriever.pair,
            retriever.index,
            retriever.adapter,
            retriever.lexical,
            texts=self.alignment_texts(),
            read=self._strong_documents_read,
        )

    def _strong_documents_read(self, doc_ids: Sequence[str]) -> Vectors:
        is_known, vectors = self.strong_documents(doc_ids)
        if not is_known.all():
            raise NotReadyError(
                "The strong model has not read all documents on top of this ranking yet. Let it read them for this "
                "query in Judge, or for all judged queries in Compare."
            )
        return vectors

    def certainty(self, adapter_folder: Path) -> Certainty | None:
        """Return what a training run did for queries that were held out; None if it left nothing to judge that by.

        Raises:
            AdapterDamagedError: if its files are.
            IdentityMismatchError: if it was trained with other embedders.
        """
        self.trained(adapter_folder)
        learned = self._adapters[adapter_folder.name]
        return learned.certainty if learned.recipe == "era" else None


Judged = Mapping[int, Mapping[str, float]]
"""query id -> document id -> agreed grade."""


def group_numbers(opened: OpenCollection, queries: Iterable[QueryRecord], judged: Judged) -> dict[int, int]:
    """Return query id -> number of its group of near-copies, from 0 in the order of their first queries."""
    queries = list(queries)
    traits = _traits(opened, queries, judged)
    groups = connected(near_copies(traits, traits, opened.nearness()))
    return {query.id: int(group) for query, group in zip(queries, groups, strict=True)}


def copies_among(
    opened: OpenCollection, queries: Sequence[QueryRecord], others: Sequence[QueryRecord], judged: Judged
) -> set[int]:
    """Return the ids of those `queries` that are near-copies of any of the `others`."""
    found = near_copies(_traits(opened, queries, judged), _traits(opened, others, judged), opened.nearness())
    return {queries[row].id for row in np.flatnonzero(found.any(axis=1)).tolist()}


def _traits(opened: OpenCollection, queries: Sequence[QueryRecord], judged: Judged) -> QueryTraits:
    asked = [Query(str(query.id), query.text, query.instruction) for query in queries]
    relevant = [{doc_id: grade for doc_id, grade in judged.get(query.id, {}).items() if grade > 0} for query in queries]
    return QueryTraits([query.text for query in queries], opened.strong_vectors(asked), relevant)
