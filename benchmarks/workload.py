"""What speed is measured on: one judged collection, embedded once and kept in a folder.

So every process that measures something starts with the same vectors, and loads no model unless it needs one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.numpy import load_file, save_file

from annotation.collections.store_whole import CollectionContent, content_of, content_of_demo
from annotation.demo.python_docs import python_docs
from benchmarks.embeddings import default_cache_folder, load_cached_pair
from benchmarks.judged_collections import find_collections
from era.corpus import Corpus
from era.encoders.base import EncodedQueries
from era.index.dense import DenseIndex
from era.io.opening import open_source
from era.method.alignment import AlignmentTexts, read_alignment_texts
from era.method.candidates import LabelledQueries, label, teachable_queries
from era.types import Document, Qrels, Query

N_QUERIES = 64
_ARRAYS_FILE = "arrays.safetensors"
_TEXTS_FILE = "texts.json"
_INDEX_FOLDER = "index"


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A collection as the measurements need it.

    Attributes:
        documents: all of them; none where only vectors are needed.
        index: light vectors.
        texts: what alignment learns from.
        queries: each has a relevant document.
        encoded: the queries, read by both embedders.
        qrels: judgments of the queries.
    """

    documents: Sequence[Document]
    index: DenseIndex
    texts: AlignmentTexts
    queries: Sequence[Query]
    encoded: EncodedQueries
    qrels: Qrels

    @classmethod
    def load(cls, folder: Path) -> "Workload":
        """Read what was saved; no model is loaded."""
        arrays = load_file(folder / _ARRAYS_FILE)
        written = json.loads((folder / _TEXTS_FILE).read_text(encoding="utf-8"))
        return cls(
            documents=[Document(**row) for row in written["documents"]],
            index=DenseIndex.load(folder / _INDEX_FOLDER),
            texts=AlignmentTexts(written["text_ids"], arrays["texts.strong"], arrays["texts.light"]),
            queries=[Query(**row) for row in written["queries"]],
            encoded=EncodedQueries(arrays["instructed"], arrays["plain"], arrays["light"]),
            qrels=written["qrels"],
        )

    def save(self, folder: Path) -> None:
        """Write everything into a folder that is there and empty."""
        self.index.save(folder / _INDEX_FOLDER)
        arrays = {name: getattr(self.encoded, name) for name in ("instructed", "plain", "light")}
        arrays |= {"texts.strong": self.texts.strong, "texts.light": self.texts.light}
        save_file(arrays, folder / _ARRAYS_FILE)
        written = {
            "documents": [asdict(document) for document in self.documents],
            "text_ids": list(self.texts.doc_ids),
            "queries": [asdict(query) for query in self.queries],
            "qrels": self.qrels,
        }
        (folder / _TEXTS_FILE).write_text(json.dumps(written), encoding="utf-8")

    @property
    def contents(self) -> list[str]:
        """Return the text of each document as it is embedded."""
        return [document.content for document in self.documents]

    def labelled(self, n_labels: int) -> LabelledQueries:
        """Return the first queries with all their judgments."""
        everything = label(self.queries, self.encoded, self.qrels, self.index)
        return everything.subset(range(n_labels))


def write_workload(folder: Path, collections: Path | None, name: str | None, cache: Path | None) -> dict[str, object]:
    """Embed a collection and keep it in `folder`.

    Args:
        folder: exists and is empty.
        collections: where collection folders are; None for the demo collection.
        name: of the collection; None for the one with the most documents.
        cache: where embeddings are remembered; None for the usual place.

    Returns:
        JSON-ready facts about the collection.

    Raises:
        ValueError: if no collection has `N_QUERIES` queries with a relevant document.
    """
    content = _largest(collections, name) if collections else content_of_demo(python_docs())
    corpus, pair = Corpus(content.documents), load_cached_pair(cache or default_cache_folder())
    vectors = pair.light.encode_documents(corpus.contents(corpus.doc_ids))
    index = DenseIndex(corpus.doc_ids, vectors, pair.light.identity)
    texts = read_alignment_texts(corpus, index, pair)
    queries = teachable_queries(content.queries, content.qrels, index)[:N_QUERIES]
    encoded = pair.encode_queries(queries)
    qrels = {query.query_id: dict(content.qrels[query.query_id]) for query in queries}
    Workload(content.documents, index, texts, queries, encoded, qrels).save(folder)
    return {
        "collection": content.name,
        "documents": len(corpus),
        "alignment texts": len(texts.doc_ids),
    }


def _largest(collections: Path, name: str | None) -> CollectionContent:
    found = [content_of(open_source(path)) for path in find_collections(collections, [name] if name else [])]
    usable = [content for content in found if _n_teachable(content.queries, content.qrels) >= N_QUERIES]
    if not usable:
        raise ValueError(f"No collection in {collections} has {N_QUERIES} queries with a relevant document.")
    return max(usable, key=lambda content: len(content.documents))


def _n_teachable(queries: Sequence[Query], qrels: Mapping[str, Mapping[str, float]]) -> int:
    return sum(any(grade > 0 for grade in qrels.get(query.query_id, {}).values()) for query in queries)
