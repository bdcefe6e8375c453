"""A judged collection with everything every system needs: both indexes, the alignment texts, the usable queries.

Reading the files is the business of `era.io`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annotation.collections.store_whole import content_of
from benchmarks.splits import usable_queries
from era.corpus import Corpus
from era.encoders.base import Embedder, EmbedderPair
from era.index.dense import DenseIndex
from era.io.opening import open_source
from era.method.alignment import AlignmentTexts, read_alignment_texts
from era.types import Qrels, Query


@dataclass(frozen=True, slots=True, eq=False)
class JudgedCollection:
    """A collection as the systems see it; `strong_index` is for the upper reference alone."""

    name: str
    corpus: Corpus
    queries: Sequence[Query]
    qrels: Qrels
    pair: EmbedderPair
    index: DenseIndex
    strong_index: DenseIndex
    texts: AlignmentTexts


def find_collections(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the judged collections in `folder`, ordered by name; all of them if `names` is empty.

    Raises:
        ValueError: if there is none, or one of `names` is not there.
    """
    found = {path.name: path for path in sorted(folder.iterdir()) if (path / "qrels.tsv").is_file()}
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"No judged collection {', '.join(missing)} in {folder}; there are: {', '.join(found)}.")
    if not found:
        raise ValueError(f"No folder with a qrels.tsv in {folder}.")
    return [path for name, path in found.items() if not names or name in names]


def open_collection(folder: Path, pair: EmbedderPair) -> JudgedCollection:
    """Read a collection and embed all of it with both embedders, so that nothing is embedded while systems are timed.

    Raises:
        FormatError: naming file and line.
        ValueError: if fewer than two queries have a relevant document.
    """
    content = content_of(open_source(folder))
    corpus = Corpus(content.documents)
    queries = usable_queries(content.queries, content.qrels)
    if len(queries) < 2:
        raise ValueError(f"{content.name} has {len(queries)} queries with a relevant document; at least 2 are needed.")
    index = _build_index(corpus, pair.light)
    pair.encode_queries(queries)  # remembered by the pair
    return JudgedCollection(
        name=content.name,
        corpus=corpus,
        queries=queries,
        qrels=content.qrels,
        pair=pair,
        index=index,
        strong_index=_build_index(corpus, pair.strong),
        texts=read_alignment_texts(corpus, index, pair),
    )


def _build_index(corpus: Corpus, embedder: Embedder) -> DenseIndex:
    vectors = embedder.encode_documents(corpus.contents(corpus.doc_ids))
    return DenseIndex(corpus.doc_ids, vectors, embedder.identity)
