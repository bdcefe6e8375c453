"""What one would do without an adapter: fine-tune the light embedder itself, then embed the whole corpus again.

All of the embedding table is trained with MultipleNegativesRankingLoss of sentence-transformers on pairs of query and
relevant document. The loop is our own because the library's trainer costs seconds even for a handful of pairs.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from benchmarks.embeddings import model_of
from benchmarks.judged_collections import JudgedCollection
from benchmarks.outcomes import Outcome, judge_vectors
from benchmarks.splits import Split
from era.encoders.base import Embedder
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.index.dense import DenseIndex
from era.types import Qrels, Query

LEARNING_RATES = (3e-3, 1e-2, 3e-2)  # the best one, lower and higher ones tried, was 1e-2 in the mean at 20 labels


@dataclass(frozen=True, slots=True)
class FinetuningConfig:
    """Settings of `finetune`.

    Attributes:
        learning_rate: of Adam without weight decay, falling linearly to 0. The entries of the table have a standard
            deviation of about 0.9, so rates usual for transformers would leave it where it is.
        n_passes: over the labelled queries, each time with another of their relevant documents.
        batch_size: queries whose documents are each other's negatives; no query is in a batch twice.
        scale: factor of the cosine, the library's default; 20 is a temperature of 0.05.
    """

    learning_rate: float = 1e-2
    n_passes: int = 30
    batch_size: int = 32
    scale: float = 20.0


def finetune_and_search(
    collection: JudgedCollection, split: Split, labelled: Sequence[Query], config: FinetuningConfig
) -> Outcome:
    """Fine-tune a fresh copy of the light embedder, embed all documents with it, and search with it alone."""
    start = time.perf_counter()
    model = _fresh_copy(collection.pair.light)
    finetune(model, labelled, collection, split.seed, config)
    tuned = SentenceTransformerEmbedder(model, "fine-tuned light embedder", f"seed {split.seed}", batch_size=256)
    doc_ids = collection.corpus.doc_ids
    index = DenseIndex(doc_ids, tuned.encode_documents(collection.corpus.contents(doc_ids)), tuned.identity)
    fit_s = time.perf_counter() - start
    vectors = tuned.encode_queries([Query("", query.text) for query in split.held_out])
    return judge_vectors(vectors, index, split.held_out, collection.qrels, fit_s)


def finetune(
    model: SentenceTransformer,
    labelled: Sequence[Query],
    collection: JudgedCollection,
    seed: int,
    config: FinetuningConfig,
) -> None:
    """Train `model` in place; a single query has no negatives and leaves it as it was."""
    rng = np.random.default_rng(seed)
    loss_of = MultipleNegativesRankingLoss(model, scale=config.scale)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    n_steps = config.n_passes * -(-len(labelled) // config.batch_size)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=n_steps)
    for _ in range(config.n_passes):
        order = rng.permutation(len(labelled))
        for first in range(0, len(order), config.batch_size):
            batch = [labelled[i] for i in order[first : first + config.batch_size]]
            pairs = draw_pairs(batch, collection.qrels, rng)
            texts = [query.text for query, _ in pairs], collection.corpus.contents(doc_id for _, doc_id in pairs)
            loss = loss_of([model.preprocess(column) for column in texts], torch.empty(0))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            scheduler.step()


def draw_pairs(queries: Sequence[Query], qrels: Qrels, rng: np.random.Generator) -> list[tuple[Query, str]]:
    """Return a relevant document for each query, drawn from those that are relevant to no other of the queries.

    A query that has none is left out: a document must not be a negative of a query it is relevant to.
    """
    relevant = [_relevant(qrels[query.query_id]) for query in queries]
    pairs = []
    for i, query in enumerate(queries):
        taken = set().union(*(docs for j, docs in enumerate(relevant) if j != i))
        if own := sorted(relevant[i] - taken):
            pairs.append((query, own[int(rng.integers(len(own)))]))
    return pairs


def _relevant(judged: Mapping[str, float]) -> set[str]:
    return {doc_id for doc_id, grade in judged.items() if grade > 0}


def _fresh_copy(embedder: Embedder) -> SentenceTransformer:
    return copy.deepcopy(model_of(embedder))
