"""A collection: documents that the light encoder has read once, and everything that searches and adapts them.

The app, the command line and a notebook use the same object. On disk it is a folder with the documents, queries and
judgments as a collection folder (`era.io.writing.collection_folder`), their vectors, and what the strong encoder has
read; it can be moved and copied.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from era.adapter import HeldOut, QueryAdapter, light_only
from era.corpus import Corpus, content_hash
from era.encoders.base import EmbedderPair
from era.encoders.loading import load_encoders, spec_of
from era.encoders.spec import BUNDLED, N_ALIGNMENT_TEXTS, PairSpec
from era.errors import DamagedFileError, FormatError, IdentityMismatchError, IndexDamagedError
from era.evaluation.held_out import held_out_measures, held_out_rankings
from era.evaluation.report import Evaluation, evaluate_runs
from era.index.building import IndexBuilding, embed_rest
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.intact import appearing, read_json, require_free, write_json
from era.io.content import Source, SourceDocument, SourceQuery
from era.io.hub import is_hub_name
from era.io.judgments import of_known_documents
from era.io.memory import qrels_of, queries_of, run_of, source_of
from era.io.opening import open_source
from era.io.writing import collection_folder, trec_run
from era.method.alignment import AlignmentTexts, align_by_decoding, read_alignment_texts
from era.method.alignment_texts import alignment_texts
from era.progress import Progress, no_progress, progress_bars
from era.retriever import LexicalRetriever, Retriever
from era.trained_adapter import TrainedAdapter, made_with
from era.types import Document, Qrels, Query, Ranking

if TYPE_CHECKING:
    import pandas

    from era.method.recipes import RecipeName

ABOUT_FILE, INDEX = "era.json", "index"
LIGHT, ALIGNED, BM25 = "light", "aligned", "bm25"

System = TrainedAdapter | str | None
"""What ranks: an adapter; `light` (or None), the light model alone; `aligned`, before any label; or `bm25`."""

_BATCH = 2048  # documents
_SHOWN = 300  # characters of a text in a table


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found; `score` is a cosine, plus what matching words add."""

    doc_id: str
    score: float
    title: str
    text: str


class Hits(list[Hit]):
    """The documents of one search, best first; a table in a notebook."""

    def to_frame(self) -> "pandas.DataFrame":
        """Return a row for each document: rank, doc_id, score, title and text."""
        import pandas

        rows = [(rank, hit.doc_id, hit.score, hit.title, hit.text) for rank, hit in enumerate(self, start=1)]
        return pandas.DataFrame(rows, columns=["rank", "doc_id", "score", "title", "text"])

    def __repr__(self) -> str:
        """Return a line for each document."""
        lines = []
        for rank, hit in enumerate(self, start=1):
            shown = " ".join(f"{hit.title} {hit.text}".split())
            lines.append(f"{rank:>3}  {hit.score:.4f}  {hit.doc_id}  {shown[:80]}{'…' if len(shown) > 80 else ''}")
        return "\n".join(lines) or "nothing found"

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        frame["text"] = [text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…" for text in frame["text"]]
        return str(frame.to_html(index=False, float_format=lambda value: f"{value:.4f}"))


class Rankings(dict[str, Ranking]):
    """Query id -> documents, best first."""

    def to_frame(self) -> "pandas.DataFrame":
        """Return a row for each document of each query: query_id, doc_id, rank and score."""
        import pandas

        rows = [
            (query_id, doc.doc_id, rank, doc.score)
            for query_id, ranking in self.items()
            for rank, doc in enumerate(ranking, start=1)
        ]
        return pandas.DataFrame(rows, columns=["query_id", "doc_id", "rank", "score"])

    def save(self, file: Path | str, tag: str = "era") -> None:
        """Write a TREC run file."""
        Path(file).write_text(trec_run(self, tag), encoding="utf-8")

    def __repr__(self) -> str:
        """Return how many queries are ranked."""
        return f"Rankings({len(self):,} queries)"


@dataclass(slots=True, eq=False)
class CountedWords:
    """The words of the documents, once they were counted; shared by collections of the same documents."""

    lock: Lock = field(default_factory=Lock)
    index: LexicalIndex | None = None


@dataclass(eq=False)
class Collection:
    """Documents, their index and a pair of encoders; what was indexed is never changed.

    Attributes:
        corpus: the documents.
        index: over them, made by the light encoder of the pair.
        pair: the encoders.
        folder: where it is kept; None for one that is in memory only.
        device: that learning runs on.
        remarks: what was decided when the documents were read, in sentences.
    """

    corpus: Corpus
    index: DenseIndex
    pair: EmbedderPair
    folder: Path | None = None
    device: str = "cpu"
    remarks: Sequence[str] = ()
    n_embedded: int = 0
    _progress: Progress | None = no_progress
    _texts: AlignmentTexts | None = None
    _aligned: QueryAdapter | None = None
    _words: CountedWords = field(default_factory=CountedWords)
    _reading: Lock = field(default_factory=Lock)  # of the alignment texts, which takes many seconds

    # How a collection comes to be

    @classmethod
    def build(
        cls,
        documents: Any,
        encoders: Any = None,
        folder: Path | str | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        device: str | None = None,
        cache: Path | str | None = None,
        progress: Progress | None = None,
    ) -> "Collection":
        """Read documents and index them, once: what was indexed in the folder before is not read again.

        A build that was stopped goes on where it was. Queries and judgments that come with the documents are kept.

        Args:
            documents: a file, folder, zip or name of a Hub dataset in any format that `era.io.opening.FORMATS` lists;
                a data frame; id -> text; or a list of `Document`, texts or dicts.
            encoders: what `load_encoders` takes; those of the folder if there is one, else the bundled pair.
            folder: where it is kept; beside the documents, as NAME.era, if they are a file or folder; nowhere if they
                are in memory.
            columns: role `id`, `title` or `text` -> column, for tables; told by names and content if None.
            device: `cuda`, `mps` or `cpu`; the first of these that is there if None.
            cache: a folder that keeps vectors of texts, for encoders that are slow or cost money.
            progress: told about every step; shown as bars if None.

        Raises:
            FormatError: naming the place of what cannot be read.
            FileExistsError: if the folder holds something else.
            PermissionError: if it cannot be written.
            EmbedderUnavailableError: if an encoder cannot be loaded.
        """
        from era.encoders.devices import choose_device

        target = _default_folder(documents) if folder is None else Path(folder)
        spec = spec_of(encoders) if encoders is not None else None
        if encoders is None:
            spec = spec_in(target) or BUNDLED
        if target is not None and not (target / ABOUT_FILE).is_file():
            require_free(target)
        if (
            target is not None
            and target.absolute().parent.is_dir()
            and not os.access(target.absolute().parent, os.W_OK)
        ):
            raise PermissionError(
                f"{target} cannot be written. Name another place: Collection.build(..., folder=PATH)."
            )
        source = source_of(documents, columns)
        with _shown(progress) as report:
            found = list(read_documents(source, report))
            if not found:
                raise FormatError("there is no document with any text.", source.name)
            pair, device = load_encoders(spec or encoders, device, cache), choose_device(device)
            corpus = Corpus(each.document for each in found)
            queries, left_out = source.queries(), list[str]()
            qrels = of_known_documents(source.qrels(), corpus, left_out)
            remarks = [*source.remarks, *left_out]
            known = None if target is None else _indexed_before(target, pair)
            if known is not None and known.corpus.fingerprint == corpus.fingerprint and _is_same(target, spec):
                index, n_embedded = known.index, 0
            else:
                index, n_embedded = _indexed(corpus, pair, target, known, report)
            if target is not None:
                kept = target.glob("alignment-*.safetensors") if known is not None else ()
                with appearing(target, is_replacing=(target / ABOUT_FILE).is_file()) as made:
                    write_folder(made, index, spec, corpus.fingerprint, found, queries, qrels, kept)
                shutil.rmtree(_building_folder(target), ignore_errors=True)
        return cls(corpus, index, pair, target, device, remarks, n_embedded, progress)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        encoders: Any = None,
        *,
        device: str | None = None,
        cache: Path | str | None = None,
        progress: Progress | None = None,
    ) -> "Collection":
        """Open the folder of a collection that was built before, here, on the command line or by the app.

        Args:
            folder: of the collection.
            encoders: other ones than it names, for the query side; see `load_encoders`.
            device: as in `build`.
            cache: as in `build`.
            progress: as in `build`.

        Raises:
            IndexDamagedError: if it is no such folder, or damaged.
            IdentityMismatchError: if its documents were changed, or read by another encoder than is loaded.
            EmbedderUnavailableError: if an encoder cannot be loaded.
        """
        from era.encoders.devices import choose_device

        folder = Path(folder)
        spec, fingerprint = _about(folder)
        with _shown(progress) as report:
            report("opening", 0.0, "the index")
            index = DenseIndex.load(folder / INDEX)
            report("opening", 0.3, "the documents")
            corpus = Corpus(each.document for each in open_source(folder, "collection").documents())
            if corpus.fingerprint != fingerprint:
                raise IdentityMismatchError(
                    f"The documents in {folder} were changed after they were indexed. Index the collection again."
                )
            report("opening", 0.6, "the encoders")
            if encoders is None and spec is None:
                raise IdentityMismatchError(f"{folder} does not name its encoders. Give the ones it was made with.")
            pair = load_encoders(spec if encoders is None else encoders, device, cache)
            device = choose_device(device)
            report("opening", 1.0, "")
        pair.light.identity.require(index.embedder, "The document index")
        return cls(corpus, index, pair, folder, device, _progress=progress)

    # What is in it

    def __len__(self) -> int:
        """Return how many documents there are."""
        return len(self.corpus)

    def __getitem__(self, doc_id: str) -> Document:
        """Return a document.

        Raises:
            KeyError: if there is none of this id.
        """
        return self.corpus[doc_id]

    @property
    def spec(self) -> PairSpec | None:
        """Return the encoders that its folder names; None if it has none."""
        return spec_in(self.folder)

    @property
    def queries(self) -> list[Query]:
        """Return the queries that came with the documents."""
        return [] if self.folder is None else [each.query for each in open_source(self.folder, "collection").queries()]

    @property
    def qrels(self) -> Qrels:
        """Return the judgments that came with the documents."""
        return {} if self.folder is None else open_source(self.folder, "collection").qrels()

    def __repr__(self) -> str:
        """Return how many documents there are, who reads them, and what was decided when they were read."""
        strong, light = self.pair.strong.identity.name, self.pair.light.identity.name
        kept = "in memory" if self.folder is None else f"in {self.folder}"
        lines = [f"Collection({len(self):,} documents {kept}; {strong} reads queries, {light} has read the documents)"]
        return "\n".join([*lines, *self.remarks])

    # Searching

    def search(
        self,
        query: str | Query,
        instruction: str = "",
        *,
        adapter: System = None,
        k: int = 10,
        words: bool | None = None,
    ) -> Hits:
        """Return the k best documents of a query.

        Args:
            query: what is looked for.
            instruction: how it is to be read.
            adapter: what ranks, see `System`; the light model alone if None.
            k: how many documents, at least 1.
            words: whether matching words (BM25) count beside the vectors; if None, in all but the light model alone.

        Raises:
            ValueError: if the query is empty.
            IdentityMismatchError: if the adapter was made with other encoders.
        """
        asked = query if isinstance(query, Query) else Query("query", query, instruction)
        if not asked.text.strip():
            raise ValueError("Write what you are looking for; the query is empty.")
        found = self.retriever(adapter, words).search(asked, k)
        return Hits(Hit(doc.doc_id, doc.score, self[doc.doc_id].title, self[doc.doc_id].text) for doc in found)

    def run(
        self,
        queries: Any = None,
        *,
        adapter: System = None,
        k: int = 100,
        words: bool | None = None,
        held_out: bool = False,
        progress: Progress | None = None,
    ) -> Rankings:
        """Return the ranking of each query.

        Args:
            queries: a file, data frame, mapping or list (`era.io.memory`); those of the collection if None.
            adapter: as in `search`.
            k: how many documents of each query.
            words: as in `search`.
            held_out: whether queries that the adapter learned from are ranked by adapters that never saw their
                judgments, as measuring needs it.
            progress: as in `build`.
        """
        asked = self.queries if queries is None else queries_of(queries, [])
        retriever = self.retriever(adapter, words)
        with self._reporting(progress) as report:
            vectors = retriever.query_vectors(asked, report)
        weights = [retriever.adapter.word_weight] * len(asked)
        if held_out and isinstance(adapter, TrainedAdapter):
            for row, query in enumerate(asked):
                known: HeldOut | None = adapter.held_out_for(query)
                if known is not None:
                    vectors[row], weights[row] = known
        rankings = retriever.rank(asked, vectors, k, weights)
        return Rankings((query.query_id, ranking) for query, ranking in zip(asked, rankings, strict=True))

    def retriever(self, adapter: System = None, words: bool | None = None) -> Retriever:
        """Return what ranks the documents; `adapter` and `words` as in `search`.

        Raises:
            ValueError: if a name is none of `System`.
            IdentityMismatchError: if the adapter was made with other encoders.
        """
        if adapter == BM25:
            return self.words_alone()
        if adapter is None or adapter == LIGHT:
            chosen, has_words = self.light(), bool(words)
        elif adapter == ALIGNED:
            chosen, has_words = self.aligned(), words is not False
        elif isinstance(adapter, TrainedAdapter):
            adapter.require_made_with(self.pair)
            chosen, has_words = Retriever(self.pair, self.index, adapter.adapter), words is not False
        else:
            raise ValueError(f"There is no ranking {adapter!r}. Give an adapter, or one of light, aligned, bm25.")
        return self.with_words(chosen) if has_words else chosen

    def light(self) -> Retriever:
        """Return the retriever that knows nothing but the light encoder."""
        return Retriever(self.pair, self.index, light_only(self.index.embedder.dimension))

    def aligned(self, progress: Progress = no_progress) -> Retriever:
        """Return the retriever after stage 1, before any label; the same for as long as this collection is held."""
        if self._aligned is None:
            self._aligned = align_by_decoding(self.alignment_texts(progress))
        return Retriever(self.pair, self.index, self._aligned)

    def words(self) -> LexicalIndex:
        """Return the words of the documents; the first call counts them."""
        with self._words.lock:
            if self._words.index is None:
                self._words.index = LexicalIndex(self.corpus, self.index)
            return self._words.index

    def with_words(self, retriever: Retriever) -> Retriever:
        """Return the retriever with matching words counted as well."""
        words = self.words()
        return replace(retriever, lexical=words if retriever.index is self.index else words.beside(retriever.index))

    def words_alone(self) -> LexicalRetriever:
        """Return the retriever that knows nothing but matching words (BM25)."""
        return LexicalRetriever(self.pair, self.index, light_only(self.index.embedder.dimension), self.words())

    # Adapting

    def alignment_texts(self, progress: Progress = no_progress, n: int | None = None) -> AlignmentTexts:
        """Return at least n texts that both encoders have read; they are read once and kept in the folder.

        Without a number it is all that were read before, or if none were, the usual number of them.
        """
        with self._reading:
            if self._texts is None or len(self._texts.doc_ids) < min(n or 1, len(self.index)):
                self._texts = self._read_texts(progress, n)
                self._aligned = None
            return self._texts

    def _read_texts(self, progress: Progress, n: int | None) -> AlignmentTexts:
        usual = self.n_texts_wanted
        if self.folder is None:
            return read_alignment_texts(self.corpus, self.index, self.pair, progress, n or usual, self._texts)
        return alignment_texts(self.corpus, self.index, self.pair, self.folder, progress, n, usual)[0]

    def align(
        self,
        recipe: "RecipeName" = "era",
        *,
        seed: int = 0,
        n_texts: int | None = None,
        progress: Progress | None = None,
    ) -> TrainedAdapter:
        """Return the adapter before any label, stage 1 alone; the arguments are those of `fit`."""
        from era.method.recipes import prepare

        with self._reporting(progress) as report:
            texts = self.alignment_texts(report, n_texts or self.n_texts_wanted)
            texts = texts.first(n_texts) if n_texts else texts
            aligned = prepare(recipe, texts, self.index, self.device, seed, report).aligned
        return TrainedAdapter.untrained(
            aligned, made_with(self.pair, self.index, self.corpus, self.device), recipe, seed
        )

    def fit(
        self,
        queries: Any = None,
        qrels: Any = None,
        recipe: "RecipeName" = "era",
        *,
        seed: int = 0,
        n_texts: int | None = None,
        progress: Progress | None = None,
    ) -> TrainedAdapter:
        """Learn an adapter from judged queries; documents are not read again, but for a few by the strong encoder.

        Args:
            queries: a file, data frame, mapping or list (`era.io.memory`); those of the collection if None.
            qrels: judgments, likewise.
            recipe: `era` is the default of the app; `paper` the published one.
            seed: of everything random.
            n_texts: documents that the strong encoder reads for the alignment; 5,000, of an endpoint 1,000, if None.
            progress: as in `build`.

        Returns:
            The adapter; its repr shows the measures on held-out queries before and after.

        Raises:
            NothingToLearnError: if no query has a relevant document here.
            FormatError: if queries or judgments cannot be read.
        """
        from era.method.recipes import fit

        asked, judged, remarks = self._asked_and_judged(queries, qrels)
        with self._reporting(progress) as report:
            texts, words = self.alignment_texts(report, n_texts or self.n_texts_wanted), self.words()
            texts = texts.first(n_texts) if n_texts else texts
            fitted = fit(recipe, texts, self.index, self.pair, asked, judged, self.device, seed, report, words)
            by_id = {query.query_id: query for query in asked}
            taught = [by_id[query_id] for query_id in fitted.query_ids]
            light = self.light()
            rankings = held_out_rankings(fitted, self.pair, taught, light, self.with_words(light), progress=report)
            groups = {query_id: int(group) for query_id, group in zip(fitted.query_ids, fitted.groups, strict=True)}
            measures = held_out_measures(rankings, fitted.query_ids, judged, groups)
            report("evaluation", 1.0, "")
        return TrainedAdapter.of(
            fitted,
            made_with(self.pair, self.index, self.corpus, self.device),
            recipe=recipe,
            seed=seed,
            labels=judged,
            measures={**measures, **({"remarks": remarks} if remarks else {})},
            queries=asked,
        )

    @property
    def n_texts_wanted(self) -> int:
        """Return how many documents the strong encoder reads for the alignment where nothing else is said."""
        spec = self.spec
        return N_ALIGNMENT_TEXTS if spec is None else spec.strong.n_alignment_texts

    def evaluate(
        self,
        systems: Mapping[str, Any] | System,
        queries: Any = None,
        qrels: Any = None,
        measures: Sequence[str] | str = ("nDCG@10", "R@100", "RR", "Judged@10"),
        *,
        words: bool | None = None,
        in_sample: bool = False,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Measure rankings against judgments; queries that an adapter learned from are ranked as if it had not.

        Args:
            systems: name -> what ranks (`System`), or rankings of any system (`era.io.memory`).
            queries: as in `fit`.
            qrels: as in `fit`.
            measures: names of ir-measures.
            words: as in `search`, for every system that is no ranking.
            in_sample: whether queries that an adapter learned from are ranked by the adapter itself.
            progress: as in `build`.

        Raises:
            ValueError: if a measure is unknown, or no ranked query has a relevant document.
        """
        named: Mapping[str, Any] = systems if isinstance(systems, Mapping) else {"system": systems}
        asked, judged, remarks = self._asked_and_judged(queries, qrels)
        asked = [query for query in asked if query.query_id in judged]
        runs = {}
        for name, system in named.items():
            if not (system is None or isinstance(system, TrainedAdapter | str)) or _is_run_file(system):
                runs[name] = run_of(system, remarks)
                continue
            runs[name] = self.run(asked, adapter=system, words=words, held_out=not in_sample, progress=progress)
            remarks += in_sample_remarks(name, system, asked, in_sample)
        return evaluate_runs(runs, judged, measures, {query.query_id: query.text for query in asked}, remarks)

    def _asked_and_judged(self, queries: Any, qrels: Any) -> tuple[list[Query], Qrels, list[str]]:
        """Return queries and the judgments of them and of documents that are here, and how they were read."""
        remarks: list[str] = []
        asked = self.queries if queries is None else queries_of(queries, remarks)
        judged = self.qrels if qrels is None else qrels_of(qrels, asked, remarks)
        return asked, of_known_documents(judged, self.corpus, remarks), remarks

    @contextmanager
    def _reporting(self, progress: Progress | None) -> Iterator[Progress]:
        with _shown(self._progress if progress is None else progress) as report:
            yield report


def in_sample_remarks(name: str, system: Any, queries: Sequence[Query], in_sample: bool) -> list[str]:
    """Return how queries that an adapter learned from are ranked, if there are any."""
    if not isinstance(system, TrainedAdapter):
        return []
    if system.is_unclear:
        return [f"{name} does not say which queries it learned from; some of these may be among them."]
    n_learned = sum(system.held_out_for(query) is not None for query in queries)
    how = "the adapter itself (in sample)" if in_sample else "adapters that never saw their judgments"
    return [f"{name} learned from {n_learned:,} of these queries; they are ranked by {how}."] if n_learned else []


def _is_run_file(system: Any) -> bool:
    return isinstance(system, str | Path) and system not in (LIGHT, ALIGNED, BM25) and Path(system).is_file()


@contextmanager
def _shown(progress: Progress | None) -> Iterator[Progress]:
    with progress_bars() if progress is None else nullcontext(progress) as report:
        yield report


def _default_folder(documents: Any) -> Path | None:
    if not isinstance(documents, str | Path):
        return None
    path = Path(documents)
    if is_hub_name(str(documents)):
        return Path(f"{path.name}.era")
    return path.resolve().with_name(f"{path.resolve().name}.era")


def spec_in(folder: Path | None) -> PairSpec | None:
    """Return the encoders that the folder of a collection names; None if there is none, or it names none."""
    return _about(folder)[0] if folder is not None and (folder / ABOUT_FILE).is_file() else None


def _about(folder: Path) -> tuple[PairSpec | None, str]:
    """Return the encoders of a collection's folder, and the fingerprint of its documents."""
    try:
        about = read_json(folder / ABOUT_FILE)
        spec = None if about["embedders"] is None else PairSpec.from_json(about["embedders"])
        return spec, str(about["corpus_fingerprint"])
    except (DamagedFileError, ValueError, KeyError, TypeError) as error:
        raise IndexDamagedError(
            f"{folder} is not an index folder, or its {ABOUT_FILE} is damaged. "
            "Make one with: python -m era index COLLECTION INDEX"
        ) from error


def read_documents(source: Source, progress: Progress) -> Iterator[SourceDocument]:
    """Yield the documents of a source and report how far it is under the stage `reading`."""
    n = 0
    for n, document in enumerate(source.documents(), start=1):
        if n % _BATCH == 0:
            fraction = source.n_bytes_read / source.n_bytes if source.n_bytes else 0.0
            progress("reading", min(fraction, 1.0), f"{n:,} documents")
        yield document
    progress("reading", 1.0, f"{n:,} documents")


@dataclass(frozen=True, slots=True)
class _Before:
    """A collection that is replaced by a newer state of its documents."""

    corpus: Corpus
    index: DenseIndex


def _indexed_before(folder: Path, pair: EmbedderPair) -> _Before | None:
    """Return what a folder holds if the same encoder has read it; None if there is nothing, or it is damaged."""
    try:
        index = DenseIndex.load(folder / INDEX)
        corpus = Corpus(each.document for each in open_source(folder, "collection").documents())
    except (IndexDamagedError, FormatError, ValueError):
        return None
    is_fitting = index.embedder == pair.light.identity and corpus.doc_ids == list(index.doc_ids)
    return _Before(corpus, index) if is_fitting else None


def _is_same(folder: Path | None, spec: PairSpec | None) -> bool:
    return spec_in(folder) == spec


def _indexed(
    corpus: Corpus, pair: EmbedderPair, folder: Path | None, known: _Before | None, progress: Progress
) -> tuple[DenseIndex, int]:
    """Return the index of documents, and how many of them had to be read for it."""
    rows = {} if known is None else {content_hash(doc): row for row, doc in enumerate(known.corpus)}
    documents = list(corpus)

    def batches(first: int) -> Iterator[list[tuple[str, str]]]:
        for start in range(first, len(documents), _BATCH):
            yield [(content_hash(each), each.content) for each in documents[start : start + _BATCH]]

    if folder is None:
        texts = [each.content for each in documents]
        return DenseIndex(corpus.doc_ids, pair.light.encode_documents(texts, progress), pair.light.identity), len(texts)
    with IndexBuilding(_building_folder(folder), pair.light.identity, corpus.fingerprint) as building:
        before = None if known is None else known.index
        n_read = embed_rest(building, batches(len(building)), pair.light, len(documents), progress, rows, before)
        progress("embedding", 1.0, f"{len(documents):,} documents")
        index = building.finish(corpus.doc_ids)
    return index, n_read


def _building_folder(folder: Path) -> Path:
    """Return where vectors are kept until all are there."""
    return folder.absolute().with_name(f".{folder.name}.building")


def write_folder(
    folder: Path,
    index: DenseIndex,
    spec: PairSpec | None,
    corpus_fingerprint: str,
    documents: Iterable[SourceDocument],
    queries: Sequence[SourceQuery],
    qrels: Qrels,
    alignment_texts: Iterable[Path] = (),
) -> None:
    """Write a collection into an empty folder, so that `Collection.open` finds it.

    Args:
        folder: made if need be.
        index: over the documents, in their order.
        spec: the encoders; None where they cannot be named.
        corpus_fingerprint: of the documents.
        documents: with what is known of each.
        queries: that come with them.
        qrels: that come with them.
        alignment_texts: files of what the strong encoder has read (`era.method.alignment_texts`), which are copied.
    """
    collection_folder(folder, documents, queries, qrels)
    index.save(folder / INDEX)
    for kept in alignment_texts:
        shutil.copy(kept, folder / kept.name)
    about = {
        "embedders": None if spec is None else spec.to_json(),
        "corpus_fingerprint": corpus_fingerprint,
        "n_documents": len(index),
    }
    write_json(folder / ABOUT_FILE, about)
