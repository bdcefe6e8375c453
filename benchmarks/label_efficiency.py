"""How much a few labelled queries buy: `python -m benchmarks.label_efficiency --folder DIR`.

For every collection folder in DIR, on the same embeddings, splits and labels: the light model alone, the published
recipe before and after the labels, ours before and after. Half of the queries (at most `--held-out`) are held out.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from annotation.collections import read_collection
from era.adapter import light_only
from era.alignment import read_alignment_texts
from era.corpus import Corpus
from era.embedders import load_bundled_pair
from era.evaluation import evaluate
from era.index import DenseIndex
from era.recipes import fit

SYSTEMS = ("light", "paper, no labels", "paper", "era, no labels", "era")


def main() -> None:
    """Print one row a collection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("ERA_COLLECTIONS", "../shared/collections")))
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=100)
    arguments = parser.parse_args()
    pair = load_bundled_pair("cpu")
    print("| collection | " + " | ".join(SYSTEMS) + " |\n|---|" + "---|" * len(SYSTEMS), flush=True)
    means = []
    for folder in sorted(path for path in arguments.folder.iterdir() if (path / "qrels.tsv").is_file()):
        content = read_collection(folder)
        corpus = Corpus(content.documents)
        vectors = pair.light.encode_documents(corpus.contents(corpus.doc_ids))
        index = DenseIndex(corpus.doc_ids, vectors, pair.light.identity)
        texts = read_alignment_texts(corpus, index, pair)
        usable = [q for q in content.queries if any(grade > 0 for grade in content.qrels.get(q.query_id, {}).values())]
        rows: list[list[float]] = []
        for seed in range(arguments.seeds):
            order = np.random.default_rng(seed).permutation(len(usable))
            n_held_out = min(len(usable) // 2, arguments.held_out)
            held_out = [usable[i] for i in order[:n_held_out]]
            labelled = [usable[i] for i in order[n_held_out:][: arguments.labels]]
            encoded = pair.encode_queries(held_out)
            adapters = [light_only(index.embedder.dimension)]
            for recipe in ("paper", "era"):
                learned = fit(recipe, texts, index, pair, labelled, content.qrels, seed=seed)
                adapters += [learned.aligned, learned.adapter]
            values: list[float] = []
            for adapter in adapters:
                rankings = index.search(adapter.transform(encoded), 100)
                run = {query.query_id: ranking for query, ranking in zip(held_out, rankings, strict=True)}
                values.append(float(np.mean(list(evaluate(content.qrels, run, ["nDCG@10"])["nDCG@10"].values()))))
            rows.append(values)
        means.append(np.mean(rows, axis=0))
        print(f"| {folder.name} | " + " | ".join(f"{value:.3f}" for value in means[-1]) + " |", flush=True)
    print("| mean | " + " | ".join(f"{value:.3f}" for value in np.mean(means, axis=0)) + " |")


if __name__ == "__main__":
    main()
