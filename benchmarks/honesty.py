"""Is what the screens claim true? `python -m benchmarks.honesty`.

Four tables, each beside what earlier versions did:

1. What training shows, against what it is worth on queries that no one labelled: with the collection's own labels, with
   labels that cannot teach anything (documents drawn at random from the top, for every query anew), with shuffled ones,
   and with copies of queries in other words among the labelled ones.
2. How often the 95 % interval of a mean difference holds the true one, for as many queries as people have.
3. How often a difference is called proven that is not there.
4. What Compare shows of two rankings where only a pool of a dozen documents a query was judged, against what it would
   show with all judgments of the collection.

Collections: `--folder`, as for `benchmarks.label_efficiency`. Vectors are kept in a cache folder.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from tqdm import tqdm

from annotation.collections.store_whole import content_of
from annotation.judging.pool import compose, extend, samples_of
from benchmarks.embeddings import default_cache_folder, load_cached_pair
from benchmarks.environment import describe_environment
from benchmarks.judged_collections import find_collections
from benchmarks.splits import split, usable_queries
from era.adapter import QueryAdapter
from era.corpus import Corpus
from era.encoders.base import EmbedderPair, Vectors
from era.evaluation.figures import NO_CHANGE
from era.evaluation.incomplete_judgments import DEEP, SampledQuery, estimate_ndcg
from era.evaluation.measures import evaluate
from era.evaluation.significance import mean_interval, paired_difference
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.io.opening import open_source
from era.method import adaptation
from era.method.adaptation import Adaptation, adapt
from era.method.alignment import AlignmentTexts, align_by_decoding, read_alignment_texts
from era.method.candidates import label, teachable_queries
from era.method.folds import same_text
from era.method.query_groups import Groups
from era.types import Qrels, Query, Run, ScoredDoc

World = Literal["own labels", "cannot teach", "shuffled"]

_MEASURE = "nDCG@10"
_N_NEW = 100  # queries that tell what an adapter is worth
_N_DRAWN, _FROM_TOP = 3, 30  # documents called relevant where labels cannot teach
_N_COPIES = 3
_N_SAMPLES = 4000
_POOL_DEPTH, _N_POOLS, _N_TAUGHT = 12, 20, 20
_UNTRAINED = ("light", "aligned", "light+words", "aligned+words", "words")
_COMPARED = (
    ("light", "aligned"),
    ("light", "light+words"),
    ("aligned", "aligned+words"),
    ("aligned", "words"),
    ("aligned", "run"),
    ("run", "run+words"),
)
_SIZES_OF_INTERVALS = (5, 6, 8, 10, 15, 20, 40)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A collection as training sees it."""

    name: str
    queries: Sequence[Query]
    qrels: Qrels
    pair: EmbedderPair
    index: DenseIndex
    texts: AlignmentTexts
    aligned: QueryAdapter
    words: LexicalIndex

    @classmethod
    def open(cls, folder: Path, pair: EmbedderPair) -> "Place":
        """Read a collection; the strong embedder reads its queries and the alignment texts, no more."""
        content = content_of(open_source(folder))
        corpus = Corpus(content.documents)
        vectors = pair.light.encode_documents(corpus.contents(corpus.doc_ids))
        index = DenseIndex(corpus.doc_ids, vectors, pair.light.identity)
        texts = read_alignment_texts(corpus, index, pair)
        queries = usable_queries(content.queries, content.qrels)
        words = LexicalIndex(corpus, index)
        return cls(content.name, queries, content.qrels, pair, index, texts, align_by_decoding(texts), words)

    def values(self, vectors: Vectors, queries: Sequence[Query], qrels: Qrels) -> dict[str, float]:
        """Return nDCG@10 of each query, searched for with its row."""
        run = dict(zip([query.query_id for query in queries], self.index.search(vectors, 10), strict=True))
        return evaluate({query_id: qrels[query_id] for query_id in run}, run, [_MEASURE])[_MEASURE]


@dataclass(frozen=True, slots=True)
class Trial:
    """One training run: what is shown, what earlier versions showed, what is true; all in nDCG@10 over aligned."""

    n: int
    shown: float
    shown_before: float
    true: float
    is_kept: bool
    is_proven: bool


def main() -> None:
    """Simulate and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=os.environ.get("ERA_COLLECTIONS"), help="judged collections")
    parser.add_argument("--collections", nargs="*", default=[], help="names of folders in it; all if none is given")
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 10, 20], help="numbers of labelled queries")
    parser.add_argument("--seeds", type=int, default=5, help="training runs for each number of labels")
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    arguments = parser.parse_args()
    if arguments.folder is None:
        parser.error("name the folder of judged collections by --folder or ERA_COLLECTIONS")
    pair = load_cached_pair(arguments.cache)
    places = [Place.open(folder, pair) for folder in find_collections(arguments.folder, arguments.collections)]
    print(f"{', '.join(place.name for place in places)}; {describe_environment()}\n")
    print(_training_table(places, arguments.labels, arguments.seeds))
    print(_interval_table(places))
    print(_false_proof_table(places))
    print(_pool_table(places))


def _training_table(places: Sequence[Place], sizes: Sequence[int], n_seeds: int) -> str:
    rows = [
        "Gain over the aligned ranking, mean over runs; better, worse: share of runs truly above or below 0. "
        "`before`: folds by text alone, shown after its own gate.",
        "",
        "| world | copies | n | kept | better | worse | true | shown | shown - true "
        "| before: true | shown | shown - true |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    worlds: list[tuple[World, int]] = [(world, 0) for world in get_args(World)]
    worlds.append(("cannot teach", _N_COPIES))
    jobs = [(world, n_copies, n) for world, n_copies in worlds for n in sizes if n > n_copies]
    for world, n_copies, n in tqdm(jobs, file=sys.stderr, desc="training"):
        now = [_trial(place, world, n, n_copies, seed) for place in places for seed in range(n_seeds)]
        with _folds_by_text():
            before = [_trial(place, world, n, n_copies, seed) for place in places for seed in range(n_seeds)]
        shown, true = _mean(each.shown for each in now), _mean(each.true for each in now)
        old_shown, old_true = _mean(each.shown_before for each in before), _mean(each.true for each in before)
        better, worse = (_mean(sign * each.true > NO_CHANGE for each in now) for sign in (1, -1))
        rows.append(
            f"| {world} | {n_copies} | {n} | {_mean(each.is_kept for each in now):.2f} | {better:.2f} | {worse:.2f} | "
            f"{true:+.3f} | {shown:+.3f} | {shown - true:+.3f} | {old_true:+.3f} | {old_shown:+.3f} | "
            f"{old_shown - old_true:+.3f} |"
        )
    return "\n".join(rows) + "\n"


def _trial(place: Place, world: World, n: int, n_copies: int, seed: int) -> Trial:
    order = split(place.queries, seed)
    labelled, new = list(order.labelled[: n - n_copies]), list(order.held_out[:_N_NEW])
    qrels = _labels(place, world, labelled, new, seed)
    for number, query in enumerate(labelled[:n_copies]):
        copy = replace(query, query_id=f"copy-{number}", text=_in_other_words(query.text, seed))
        labelled.append(copy)
        qrels[copy.query_id] = qrels[query.query_id]
    taught = teachable_queries(labelled, qrels, place.index)
    cases = label(taught, place.pair.encode_queries(taught), qrels, place.index)
    learned: Adaptation = adapt(place.aligned, cases, place.texts, place.index, "cpu", seed)
    before = place.values(place.aligned.transform(cases.encoded), taught, qrels)
    after = place.values(learned.held_out_vectors, taught, qrels)
    encoded = place.pair.encode_queries(new)
    difference = paired_difference(
        place.values(place.aligned.transform(encoded), new, qrels),
        place.values(learned.adapter.transform(encoded), new, qrels),
    )
    shown = paired_difference(before, after, _groups(taught, learned.groups))
    return Trial(
        n=n,
        shown=shown.difference,
        shown_before=learned.gate_gain if learned.is_changed else 0.0,
        true=difference.difference,
        is_kept=learned.is_changed,
        is_proven=shown.p_value < 0.05 and shown.difference > 0,
    )


def _groups(queries: Sequence[Query], groups: Groups) -> dict[str, int]:
    return {query.query_id: int(group) for query, group in zip(queries, groups, strict=True)}


def _labels(
    place: Place, world: World, labelled: Sequence[Query], new: Sequence[Query], seed: int
) -> dict[str, Mapping[str, float]]:
    rng = np.random.default_rng([seed, 7])
    if world == "own labels":
        return {query.query_id: place.qrels[query.query_id] for query in (*labelled, *new)}
    if world == "shuffled":
        own = [place.qrels[query.query_id] for query in labelled]
        given = [own[i] for i in rng.permutation(len(own))]
        return {query.query_id: place.qrels[query.query_id] for query in new} | {
            query.query_id: grades for query, grades in zip(labelled, given, strict=True)
        }
    everyone = [*labelled, *new]
    tops = place.index.search(place.aligned.transform(place.pair.encode_queries(everyone)), _FROM_TOP)
    return {
        query.query_id: {top[i].doc_id: 1.0 for i in rng.choice(len(top), _N_DRAWN, replace=False)}
        for query, top in zip(everyone, tops, strict=True)
    }


def _in_other_words(text: str, seed: int) -> str:
    """Return the same words in another order, as a query that asks the same might have."""
    words = text.split()
    return " ".join(words[i] for i in np.random.default_rng([seed, 11]).permutation(len(words)))


@contextmanager
def _folds_by_text() -> Iterator[None]:
    """Let queries of the same text alone share a fold, as up to version 0.5.0."""
    usual = vars(adaptation)["group_queries"]

    def by_text(texts: Sequence[str], *others: object) -> Groups:
        places = {text: place for place, text in enumerate(dict.fromkeys(same_text(text) for text in texts))}
        return np.array([places[same_text(text)] for text in texts], np.int64)

    vars(adaptation)["group_queries"] = by_text
    try:
        yield
    finally:
        vars(adaptation)["group_queries"] = usual


def _changes(places: Sequence[Place]) -> list[NDArray[np.float64]]:
    """Return the change of every query from the light to the aligned ranking, collection by collection."""
    found = []
    for place in places:
        encoded = place.pair.encode_queries(place.queries)
        before = place.values(encoded.light, place.queries, place.qrels)
        after = place.values(place.aligned.transform(encoded), place.queries, place.qrels)
        found.append(np.array([after[query_id] - before[query_id] for query_id in before]))
    return found


def _interval_table(places: Sequence[Place]) -> str:
    rows = [
        f"Share of {_N_SAMPLES:,} samples of n queries whose 95 % interval holds the mean of all queries of the "
        "collection (light against aligned); mean and worst collection.",
        "",
        "| n | now | worst | percentile bootstrap (before) | worst |",
        "|---|---|---|---|---|",
    ]
    changes = _changes(places)
    for n in _SIZES_OF_INTERVALS:
        now, before = zip(*(_coverage(values, n) for values in changes), strict=True)
        told = [f"{np.mean(now):.2f}", f"{min(now):.2f}"] if not np.isnan(now).any() else ["none given", ""]
        rows.append(f"| {n} | {' | '.join(told)} | {np.mean(before):.2f} | {min(before):.2f} |")
    return "\n".join(rows) + "\n"


def _coverage(changes: NDArray[np.float64], n: int) -> tuple[float, float]:
    rng, truth = np.random.default_rng(n), changes.mean()
    samples = changes[rng.integers(len(changes), size=(_N_SAMPLES, n))]
    ends = [mean_interval(sample, np.ones(n)) for sample in samples]
    held = [low <= truth <= high for low, high in ends if low is not None and high is not None]
    resampled = samples[:400, rng.integers(n, size=(1000, n))].mean(axis=2)  # (400, 1000)
    low, high = np.quantile(resampled, (0.025, 0.975), axis=1)
    return float(np.mean(held)) if held else float("nan"), float(((low <= truth) & (truth <= high)).mean())


def _false_proof_table(places: Sequence[Place]) -> str:
    """Return how often p < .05 where the true difference is 0: each query's change with a random sign."""
    rows = ["Share of samples called a difference (p < .05) where there is none.", "", "| n | share |", "|---|---|"]
    changes = np.concatenate(_changes(places))
    for n in (6, 10, 20):
        rng = np.random.default_rng(n)
        signs = rng.choice((-1.0, 1.0), size=(300, n))
        samples = rng.choice(changes, size=(300, n)) * signs
        zero = {str(i): 0.0 for i in range(n)}
        found = [paired_difference(zero, {str(i): v for i, v in enumerate(row)}, n_resamples=999) for row in samples]
        share = float(np.mean([each.p_value < 0.05 for each in found]))
        high = float(stats.binomtest(round(share * 300), 300).proportion_ci().high)
        rows.append(f"| {n} | {share:.3f} (at most {high:.3f}) |")
    return "\n".join(rows)


def _pool_table(places: Sequence[Place]) -> str:
    """Return what is shown of two rankings when only pools were judged, by the collection's own judgments."""
    rows = [
        f"Difference in nDCG@10 with all judgments of the collection, and with those of pools of {_POOL_DEPTH} "
        f"documents, made {_N_POOLS} times; the run learned from {_N_TAUGHT} queries and fed the pools later.",
        "",
        "| collection | from | to | all judgments | pools | right sign | before: pools | right sign |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for place in tqdm(places, file=sys.stderr, desc="pools"):
        runs = _compared_runs(place)
        queries = runs["light"].keys()
        full = {query_id: SampledQuery(place.qrels[query_id]) for query_id in queries}
        pools = [{q: _pool_now(place, runs, q, seed) for q in queries} for seed in range(_N_POOLS)]
        pools_before = [{q: _pool_before(place, runs, q, seed) for q in queries} for seed in range(_N_POOLS)]
        for first, second in _COMPARED:
            compared = [runs[first], runs[second]]
            [true] = _plain_differences([full], compared)
            now = [_estimated_difference(each, compared) for each in pools]
            before = _plain_differences(pools_before, compared)
            told = [f"{np.mean(each):+.3f} | {np.mean(np.sign(each) == np.sign(true)):.2f}" for each in (now, before)]
            rows.append(f"| {place.name} | {first} | {second} | {true:+.3f} | {' | '.join(told)} |")
    return "\n".join(rows) + "\n"


def _compared_runs(place: Place) -> dict[str, Run]:
    """Return ranking -> query id -> ranking, of the queries that the training run did not learn from."""
    order = split(place.queries, 0)
    taught = teachable_queries(order.labelled[:_N_TAUGHT], place.qrels, place.index)
    cases = label(taught, place.pair.encode_queries(taught), place.qrels, place.index)
    learned = adapt(place.aligned, cases, place.texts, place.index, "cpu", 0)
    queries = order.held_out
    encoded, texts = place.pair.encode_queries(queries), [query.text for query in queries]
    ids = [query.query_id for query in queries]
    found: dict[str, Run] = {}
    for name, adapter in (("light", None), ("aligned", place.aligned), ("run", learned.adapter)):
        vectors = encoded.light if adapter is None else adapter.transform(encoded)
        found[name] = dict(zip(ids, place.index.search(vectors, DEEP), strict=True))
        found[f"{name}+words"] = dict(zip(ids, place.words.rank(texts, vectors, DEEP), strict=True))
    matching = [place.words.search(text, DEEP)[0] for text in texts]
    found["words"] = {i: [ScoredDoc(d, s) for d, s in each.items()] for i, each in zip(ids, matching, strict=True)}
    return found


def _doc_ids(runs: Mapping[str, Run], names: Sequence[str], query_id: str) -> dict[str, list[str]]:
    return {name: [doc.doc_id for doc in runs[name][query_id]] for name in names}


def _pool_now(place: Place, runs: Mapping[str, Run], query_id: str, seed: int) -> SampledQuery:
    rng = np.random.default_rng([seed, *query_id.encode()])
    pool = compose(_doc_ids(runs, _UNTRAINED, query_id), _POOL_DEPTH, rng)
    later = extend(pool.documents, pool.draws, _doc_ids(runs, ("run", "run+words"), query_id), rng)
    judged = {d.doc_id: place.qrels[query_id].get(d.doc_id, 0.0) for d in (*pool.documents, *later.documents)}
    return SampledQuery(judged, samples_of([*pool.draws, *later.draws], place.index))


def _pool_before(place: Place, runs: Mapping[str, Run], query_id: str, seed: int) -> SampledQuery:
    """Return the pool up to 0.5.0: three rankings in turn, two documents of the collection, five of the run."""
    rankings = _doc_ids(runs, ("light", "aligned", "words"), query_id)
    in_turn = dict.fromkeys(
        ranking[place_] for place_ in range(_POOL_DEPTH) for ranking in rankings.values() if place_ < len(ranking)
    )
    chosen = [*in_turn][: _POOL_DEPTH - 2]
    drawn = place.index.sample(2, int(np.random.default_rng([seed, *query_id.encode()]).integers(2**31)))
    chosen += [*drawn, *_doc_ids(runs, ("run",), query_id)["run"][:5]]
    return SampledQuery({doc_id: place.qrels[query_id].get(doc_id, 0.0) for doc_id in chosen})


def _plain_differences(pools: Sequence[Mapping[str, SampledQuery]], runs: Sequence[Run]) -> list[float]:
    """Return the difference of mean nDCG@10 for each way of judging, over the queries with something relevant."""
    found = []
    for pool in pools:
        old, new = (evaluate({q: each.grades for q, each in pool.items()}, run, [_MEASURE])[_MEASURE] for run in runs)
        found.append(float(np.mean([new[query_id] - old[query_id] for query_id in old])))
    return found


def _estimated_difference(pool: Mapping[str, SampledQuery], runs: Sequence[Run]) -> float:
    labelled = {query_id: each for query_id, each in pool.items() if any(each.grades.values())}
    before, after = estimate_ndcg(labelled, runs, 10).means()
    return after - before


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


if __name__ == "__main__":
    main()
