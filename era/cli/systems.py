"""Rankings by name: the light model, aligned, BM25, an adapter in a folder, or a run that somebody ranked before."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from era.adapter import HeldOut, light_only
from era.cli.adapters import SavedAdapter, hash_of, load_adapter
from era.cli.index_folder import IndexFolder
from era.index.lexical import LexicalIndex
from era.io.writing import read_run
from era.method.alignment import align_by_decoding
from era.progress import Progress
from era.retriever import LexicalRetriever, Retriever
from era.types import Query, Ranking, Run

LIGHT, ALIGNED, BM25 = "light", "aligned", "bm25"


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """What ranks.

    Attributes:
        name: as it was asked for.
        retriever: over the index folder.
        held_out: as in `SavedAdapter`, and so is `is_unclear`.
    """

    name: str
    retriever: Retriever
    held_out: Mapping[str, HeldOut]
    is_unclear: bool = False

    def rank(self, queries: Sequence[Query], k: int, progress: Progress, is_in_sample: bool) -> dict[str, Ranking]:
        """Return the ranking of each query; those it learned from by `held_out`, unless in sample."""
        vectors = self.retriever.query_vectors(queries, progress)
        word_weights = [self.retriever.adapter.word_weight] * len(queries)
        for row, query in enumerate(queries):
            if not is_in_sample and hash_of(query) in self.held_out:
                vectors[row], word_weights[row] = self.held_out[hash_of(query)]
        rankings = self.retriever.rank(queries, vectors, k, word_weights)
        return {query.query_id: ranking for query, ranking in zip(queries, rankings, strict=True)}

    def n_learned_from(self, queries: Sequence[Query]) -> int:
        """Return how many of the queries it learned from."""
        return sum(hash_of(query) in self.held_out for query in queries)


def find_run(name: str) -> Run | None:
    """Return the rankings if the name is that of a run file; else None: it names something that ranks.

    Raises:
        FormatError: naming the place of what cannot be read.
    """
    path = Path(name)
    is_run = name not in (LIGHT, ALIGNED, BM25) and path.is_file() and not zipfile.is_zipfile(path)
    return read_run(path) if is_run else None


def open_system(name: str, folder: IndexFolder, has_words: bool | None, progress: Progress) -> System:
    """Return what ranks the documents of an index folder under a name.

    Matching words count if `has_words` says so; if it says nothing, in all but the light model alone.

    Raises:
        AdapterDamagedError: if the name is that of no adapter.
        IdentityMismatchError: if the adapter was made with other embedders.
    """
    pair, index = folder.pair, folder.index
    light = light_only(index.embedder.dimension)
    if name == BM25:
        words = LexicalIndex(folder.corpus, index)
        return System(name, LexicalRetriever(pair, index, light, words), {})
    if name == LIGHT:
        saved = SavedAdapter(light, {}, False)
    elif name == ALIGNED:
        saved = SavedAdapter(align_by_decoding(folder.alignment_texts(progress)), {}, False)
    else:
        saved = load_adapter(Path(name), pair)
    retriever = Retriever(pair, index, saved.adapter)
    if name != LIGHT if has_words is None else has_words:
        retriever = replace(retriever, lexical=LexicalIndex(folder.corpus, index))
    return System(name, retriever, saved.held_out, saved.is_unclear)
