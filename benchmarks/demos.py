"""What the demonstration collections show: `python -m benchmarks.demos`.

Two tables by what `era.Collection` offers, with the bundled pair, as the app ranks (matching words count in all but the
light model alone): nDCG@10 on queries that nothing was learned from, and the queries that gained most when each was
ranked by what all others taught. A draw holds out half of the texts, so that a text which stands under two
instructions is never on both sides; labelled queries are the first of the other half. Unjudged documents count as not
relevant. Texts are embedded once and kept in a cache folder.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from annotation.demo.demo import Demo
from annotation.demo.emoji_symbols import emoji_symbols
from annotation.demo.python_docs import python_docs
from benchmarks.embeddings import default_cache_folder
from era import Collection
from era.progress import no_progress
from era.types import Qrels, Query

_MEASURE = "nDCG@10"
_BUDGETS = (5, 20)


def main() -> None:
    """Measure both and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5, help="how often queries are held out")
    parser.add_argument("--first", type=int, default=12, help="how many of the most improved queries are listed")
    parser.add_argument("--cache", type=Path, default=default_cache_folder(), help="where embeddings are kept")
    given = parser.parse_args()
    demos = {
        demo: Collection.build(list(demo.documents), cache=given.cache, progress=no_progress)
        for demo in (emoji_symbols(), python_docs())
    }
    print("| collection | documents | queries | light | aligned | 5 labelled | 20 labelled | gain of 5 | gain of 20 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for demo, collection in demos.items():
        print(_row(demo, collection, given.draws))
    for demo, collection in demos.items():
        print(f"\n| most improved in {demo.name} | light | held out |\n|---|---|---|")
        for query, before, after in most_improved(demo, collection)[: given.first]:
            print(f"| {query.query_id}: {query.text} ({query.instruction}) | {before:.2f} | {after:.2f} |")


def draw(queries: Sequence[Query], seed: int) -> tuple[list[Query], list[Query]]:
    """Return the queries of half of the texts, which are held out, and the others in the order they are labelled in."""
    random = np.random.default_rng(seed)
    texts = random.permutation(sorted({query.text for query in queries}))
    held_out = set(texts[: len(texts) // 2])
    order = [queries[row] for row in random.permutation(len(queries))]
    return [q for q in order if q.text in held_out], [q for q in order if q.text not in held_out]


def _row(demo: Demo, collection: Collection, n_draws: int) -> str:
    draws = [_measure(demo, collection, seed) for seed in range(n_draws)]
    light, *others = zip(*draws, strict=True)
    cells = [f"{mean(values):.3f}" for values in (light, *others)]
    gains = [[after - before for before, after in zip(light, values, strict=True)] for values in others[1:]]
    cells += [f"{mean(gain):+.3f} (± {stdev(gain) if len(gain) > 1 else 0:.3f})" for gain in gains]
    return f"| {demo.name} | {len(demo.documents):,} | {len(demo.queries)} | {' | '.join(cells)} |"


def _measure(demo: Demo, collection: Collection, seed: int) -> list[float]:
    """Return the means over the held-out queries of a draw: light, aligned, and by each number of labelled queries."""
    held_out, labelled = draw(demo.queries, seed)
    systems = {"light": "light", "aligned": "aligned"} | {
        f"{n} labelled": collection.fit(labelled[:n], _judged(demo), seed=seed) for n in _BUDGETS
    }
    values = collection.evaluate(systems, held_out, _judged(demo), _MEASURE).values
    return [mean(values[name][_MEASURE].values()) for name in systems]


def most_improved(demo: Demo, collection: Collection) -> list[tuple[Query, float, float]]:
    """Return each query, its nDCG@10 by the light model and by an adapter that never saw it; the largest gain first."""
    adapter = collection.fit(list(demo.queries), _judged(demo))
    systems = {"light": "light", "held out": adapter}
    values = collection.evaluate(systems, list(demo.queries), _judged(demo), _MEASURE).values
    found = [
        (query, values["light"][_MEASURE][query.query_id], values["held out"][_MEASURE][query.query_id])
        for query in demo.queries
    ]
    return sorted(found, key=lambda each: each[1] - each[2])


def _judged(demo: Demo) -> Qrels:
    return {query_id: dict(judged) for query_id, judged in demo.judgments.items()}


if __name__ == "__main__":
    main()
