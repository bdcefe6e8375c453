"""The systems that are compared, each behind the same two functions: before any label, and with some.

What is tuned on the held-out queries themselves says so in its description; nothing of ours is.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from benchmarks.finetuning import LEARNING_RATES, FinetuningConfig, finetune_and_search
from benchmarks.judged_collections import JudgedCollection
from benchmarks.lexical import search_lexically
from benchmarks.outcomes import DEPTH, MEASURES, Outcome, judge_rankings, judge_vectors
from benchmarks.splits import Split
from era.adapter import QueryAdapter
from era.encoders.base import Vectors
from era.index.lexical import LexicalIndex
from era.method.candidates import LabelledQueries, label, teachable_queries
from era.method.paper import ContrastiveConfig, align_by_encoding, random_linear, train_contrastive
from era.method.recipes import RecipeName, fit
from era.method.reranking import RerankingRetriever
from era.types import Query

PAPER_LEARNING_RATES = (1e-5, 1e-4, 1e-3, 1e-2)

Before = Callable[[JudgedCollection, Split], Outcome]
After = Callable[[JudgedCollection, Split, int], Outcome]


@dataclass(frozen=True, slots=True)
class System:
    """A way to rank.

    Attributes:
        description: for the report.
        before: without labels; None where that is no ranking at all.
        after: with labels; None where labels change nothing.
    """

    description: str
    before: Before | None
    after: After | None


def search_lightly(collection: JudgedCollection, split: Split) -> Outcome:
    """Rank with the light embedder on both sides."""
    return _judge(collection, split, collection.pair.encode_queries(split.held_out).light, None)


def search_strongly(collection: JudgedCollection, split: Split) -> Outcome:
    """Rank with the strong embedder on both sides, the query read with its instruction."""
    vectors = collection.pair.encode_queries(split.held_out).instructed
    return judge_vectors(vectors, collection.strong_index, split.held_out, collection.qrels)


def search_strongly_without_instruction(collection: JudgedCollection, split: Split) -> Outcome:
    """Rank with the strong embedder on both sides, the query read without its instruction."""
    vectors = collection.pair.encode_queries(split.held_out).plain
    return judge_vectors(vectors, collection.strong_index, split.held_out, collection.qrels)


def align_as_published(collection: JudgedCollection, split: Split) -> Outcome:
    """Stage 1 of the paper alone."""
    aligned, fit_s = _paper_alignment(collection, split)
    return judge_adapter(collection, split, aligned, fit_s)


def train_labels_only(collection: JudgedCollection, split: Split, n_labels: int) -> Outcome:
    """Stage 2 of the paper from a random linear layer; negatives are mined by the aligned adapter, as published."""
    teacher, alignment_s = _paper_alignment(collection, split)
    generator = torch.Generator().manual_seed(split.seed)
    n_inputs, n_outputs = teacher.weight.shape
    weight, bias = random_linear(n_inputs, n_outputs, generator, "cpu")
    start = QueryAdapter(teacher.views, weight.detach().T.numpy().copy(), bias.detach().numpy().copy())
    return _train_as_published(collection, split, n_labels, start, ContrastiveConfig(), alignment_s)


def train_as_published(collection: JudgedCollection, split: Split, n_labels: int) -> Outcome:
    """Both stages of the paper with its settings."""
    aligned, alignment_s = _paper_alignment(collection, split)
    return _train_as_published(collection, split, n_labels, aligned, ContrastiveConfig(), alignment_s)


def train_as_published_at_best_rate(collection: JudgedCollection, split: Split, n_labels: int) -> Outcome:
    """Both stages of the paper at the learning rate that the held-out queries like best."""
    aligned, alignment_s = _paper_alignment(collection, split)
    configs = [ContrastiveConfig(learning_rate=rate) for rate in PAPER_LEARNING_RATES]
    return _best([_train_as_published(collection, split, n_labels, aligned, c, alignment_s) for c in configs])


def finetune_light(collection: JudgedCollection, split: Split, n_labels: int) -> Outcome:
    """Fine-tune the light embedder and embed the corpus again."""
    return _finetune(collection, split, n_labels, FinetuningConfig())


def finetune_light_at_best_rate(collection: JudgedCollection, split: Split, n_labels: int) -> Outcome:
    """Fine-tune the light embedder at the learning rate that the held-out queries like best."""
    configs = [FinetuningConfig(learning_rate=rate) for rate in LEARNING_RATES]
    return _best([_finetune(collection, split, n_labels, config) for config in configs])


@lru_cache(maxsize=16)
def _finetune(collection: JudgedCollection, split: Split, n_labels: int, config: FinetuningConfig) -> Outcome:
    return finetune_and_search(collection, split, split.labelled[:n_labels], config)


Judge = Callable[[JudgedCollection, Split, QueryAdapter, float | None], Outcome]


def judge_adapter(collection: JudgedCollection, split: Split, adapter: QueryAdapter, fit_s: float | None) -> Outcome:
    """Search with an adapter."""
    return _judge(collection, split, adapter.transform(collection.pair.encode_queries(split.held_out)), fit_s)


def judge_with_words(collection: JudgedCollection, split: Split, adapter: QueryAdapter, fit_s: float | None) -> Outcome:
    """Search with an adapter, and count matching words as well."""
    vectors = adapter.transform(collection.pair.encode_queries(split.held_out))
    texts = [query.text for query in split.held_out]
    rankings = words_of(collection).rank(texts, vectors, DEPTH, adapter.word_weight)
    return judge_rankings(rankings, split.held_out, collection.qrels, fit_s)


def judge_with_rereading(
    collection: JudgedCollection, split: Split, adapter: QueryAdapter, fit_s: float | None
) -> Outcome:
    """Search with an adapter, count matching words, and let the strong embedder read what is on top."""
    retriever = RerankingRetriever(
        collection.pair,
        collection.index,
        adapter,
        words_of(collection),
        texts=collection.texts,
        read=collection.strong_index.vectors,
    )
    vectors = retriever.query_vectors(split.held_out)
    return judge_rankings(retriever.rank(split.held_out, vectors, DEPTH), split.held_out, collection.qrels, fit_s)


@lru_cache(maxsize=1)
def words_of(collection: JudgedCollection) -> LexicalIndex:
    """Return the words of a collection, counted once."""
    return LexicalIndex(collection.corpus, collection.index)


def recipe_system(recipe: RecipeName, description: str, judge: Judge = judge_adapter) -> System:
    """Return the system of one of our recipes; if it is judged with matching words, it learns with them as well."""
    has_words = judge is not judge_adapter

    def before(collection: JudgedCollection, split: Split) -> Outcome:
        return judge(collection, split, _recipe_alignment(recipe, collection, split), None)

    def after(collection: JudgedCollection, split: Split, n_labels: int) -> Outcome:
        adapter, fit_s = _learn(recipe, collection, split, n_labels, has_words)
        return judge(collection, split, adapter, fit_s)

    return System(description, before, after)


@lru_cache(maxsize=32)
def _learn(
    recipe: RecipeName, collection: JudgedCollection, split: Split, n_labels: int, has_words: bool
) -> tuple[QueryAdapter, float]:
    """Return what is learned from the first labels of a split, and the seconds that took; done once for all systems."""
    start = time.perf_counter()
    learned = fit(
        recipe,
        collection.texts,
        collection.index,
        collection.pair,
        split.labelled[:n_labels],
        collection.qrels,
        seed=split.seed,
        lexical=words_of(collection) if has_words else None,
    )
    return learned.adapter, time.perf_counter() - start


@lru_cache(maxsize=8)
def _recipe_alignment(recipe: RecipeName, collection: JudgedCollection, split: Split) -> QueryAdapter:
    """Return the adapter before any label; `fit` wants one label, which this adapter never sees."""
    return fit(
        recipe,
        collection.texts,
        collection.index,
        collection.pair,
        split.labelled[:1],
        collection.qrels,
        seed=split.seed,
    ).aligned


@lru_cache(maxsize=1)
def _paper_alignment(collection: JudgedCollection, split: Split) -> tuple[QueryAdapter, float]:
    start = time.perf_counter()
    aligned = align_by_encoding(collection.texts, "cpu", split.seed)
    return aligned, time.perf_counter() - start


def _train_as_published(
    collection: JudgedCollection,
    split: Split,
    n_labels: int,
    start: QueryAdapter,
    config: ContrastiveConfig,
    alignment_s: float,
) -> Outcome:
    teacher, _ = _paper_alignment(collection, split)
    began = time.perf_counter()
    adapter = train_contrastive(
        start, teacher, _labels(collection, split.labelled[:n_labels]), collection.index, "cpu", split.seed, config
    )
    return judge_adapter(collection, split, adapter, alignment_s + time.perf_counter() - began)


def _labels(collection: JudgedCollection, queries: Sequence[Query]) -> LabelledQueries:
    teachable = teachable_queries(queries, collection.qrels, collection.index)
    return label(teachable, collection.pair.encode_queries(teachable), collection.qrels, collection.index)


def _judge(collection: JudgedCollection, split: Split, vectors: Vectors, fit_s: float | None) -> Outcome:
    return judge_vectors(vectors, collection.index, split.held_out, collection.qrels, fit_s)


def _best(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of the best first measure; its time is that of trying them all."""
    best = outcomes[int(np.argmax([outcome.mean(MEASURES[0]) for outcome in outcomes]))]
    return Outcome(best.values, sum(outcome.fit_s or 0.0 for outcome in outcomes))


def _rates(rates: Sequence[float]) -> str:
    return "{" + ", ".join(f"{rate:g}" for rate in rates) + "}"


_ERA = recipe_system("era", "our default")
SYSTEMS: Mapping[str, System] = {
    "light": System("light embedder on both sides; where everything starts", search_lightly, None),
    "bm25": System("BM25 with English stop words and stemming", search_lexically, None),
    "paper-aligned": System("the paper's alignment alone, no labels", align_as_published, None),
    "paper-labels": System("the paper's training from a random layer, no alignment", None, train_labels_only),
    "paper": System("the paper's recipe with its settings", align_as_published, train_as_published),
    "paper-tuned": System(
        f"the same, learning rate out of {_rates(PAPER_LEARNING_RATES)} chosen ON THE HELD-OUT QUERIES "
        "(an unfair advantage)",
        align_as_published,
        train_as_published_at_best_rate,
    ),
    "finetune": System(
        "the light embedder itself fine-tuned on the labels, all documents embedded again "
        f"(MultipleNegativesRankingLoss, Adam, learning rate {FinetuningConfig().learning_rate:g}, "
        f"{FinetuningConfig().n_passes} passes, batches of {FinetuningConfig().batch_size})",
        search_lightly,
        finetune_light,
    ),
    "finetune-tuned": System(
        f"the same, learning rate out of {_rates(LEARNING_RATES)} chosen ON THE HELD-OUT QUERIES (an unfair advantage)",
        search_lightly,
        finetune_light_at_best_rate,
    ),
    "era-aligned": System("our default's alignment alone, no labels", _ERA.before, None),
    "era-single": recipe_system("era-single", "ours without the light half of the query"),
    "era-dual": recipe_system("era-dual", "ours with strong and light half of the query"),
    "era": _ERA,
    "era-words": recipe_system("era", "our default, with matching words (BM25) counted as well", judge_with_words),
    "era-reread": recipe_system(
        "era", "the same, the top 50 read by the strong embedder and ordered anew", judge_with_rereading
    ),
    "strong": System(
        "strong embedder on both sides, everything embedded again; reads the instruction", search_strongly, None
    ),
    "strong-plain": System(
        "the same without the instruction: the higher reference where the embedder was not trained on instructions",
        search_strongly_without_instruction,
        None,
    ),
}
