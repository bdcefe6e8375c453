"""Held-out evaluation of what was learned: every labelled query ranked by adapters that never saw its judgments."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from era.adapter import light_only
from era.encoders.base import EmbedderPair, Vectors
from era.evaluation.measures import MEASURES, evaluate
from era.evaluation.significance import describe_difference, paired_difference
from era.index.lexical import WORD_WEIGHT
from era.progress import Progress, no_progress
from era.ranking_name import RankingName
from era.retriever import Retriever
from era.types import Qrels, Query, Ranking

if TYPE_CHECKING:
    from era.method.recipes import Fit

DEPTH = 100
"""How many documents are ranked for the measures."""

_AT_ONCE = 32  # queries between two chances to stop


def held_out_rankings(
    fitted: "Fit",
    pair: EmbedderPair,
    queries: Sequence[Query],
    light: Retriever,
    with_words: Retriever | None = None,
    reread: Retriever | None = None,
    progress: Progress = no_progress,
) -> dict[str, list[Ranking]]:
    """Return the rankings before and after learning, of the vectors alone and with what may count beside them.

    Args:
        fitted: what was learned.
        pair: the encoders.
        queries: n of `fitted.query_ids`, in any order.
        light: ranks by vectors alone.
        with_words: the same with matching words; None where they were not counted.
        reread: the same with the top read by the strong encoder; None where it has not read every document.
        progress: told under the stage `evaluation`.

    Returns:
        `light`, `aligned` and `after`, each also with words and, but for `light`, with words and reread: n rankings
        in the order of `queries`. `after` is by adapters that never saw the judgments of the query.

    Raises:
        Cancelled: if `progress` raises it.
    """
    encoded = pair.encode_queries(queries)
    rows = {query_id: row for row, query_id in enumerate(fitted.query_ids)}
    places = [rows[query.query_id] for query in queries]
    vectors = {
        "light": light_only(light.index.embedder.dimension).transform(encoded),
        "aligned": fitted.aligned.transform(encoded),
        "after": fitted.held_out_vectors[places],
    }
    usual = [WORD_WEIGHT] * len(queries)
    weights: dict[str, Sequence[float]] = {
        "light": usual,
        "aligned": [fitted.aligned.word_weight] * len(queries),
        "after": [fitted.held_out_word_weights[place] for place in places],
    }
    alone = [RankingName(name) for name in vectors]
    worded = [name.with_words() for name in alone]
    steps = [
        (light, alone, 0.0),
        (with_words, worded, 0.4),
        (reread, [name.with_rereading() for name in worded if name.base != "light"], 0.7),
    ]
    rankings: dict[str, list[Ranking]] = {}
    for retriever, names, start in steps:
        if retriever is not None:
            found = _ranked(retriever, queries, {n.base: vectors[n.base] for n in names}, weights, progress, start)
            rankings |= {name: found[name.base] for name in names}
    return rankings


def held_out_measures(
    rankings: Mapping[str, Sequence[Ranking]], query_ids: Sequence[str], qrels: Qrels, groups: Mapping[str, int]
) -> dict[str, Any]:
    """Return the means of every ranking, and how they differ in the first measure; JSON-ready.

    Args:
        rankings: as `held_out_rankings` returns them.
        query_ids: of these rankings.
        qrels: judgments.
        groups: query id -> its group of near-copies, which is one case.

    Returns:
        `n` queries; `means`: ranking -> measure -> mean; `aligned` and `after`: the rankings with all that could be
        added to the vectors; `from_light` and `from_aligned`: how that `after` differs from `light` and from that
        `aligned`; `others_from_light`: how the other rankings differ from `light`, which is not tested.
    """
    values = {name: evaluate(qrels, dict(zip(query_ids, found, strict=True))) for name, found in rankings.items()}
    main = {name: by_measure[MEASURES[0]] for name, by_measure in values.items()}
    aligned, after = fullest(rankings, "aligned"), fullest(rankings, "after")
    return {
        "n": len(query_ids),
        "aligned": aligned,
        "after": after,
        "means": {
            name: {measure: float(np.mean(list(by_query.values()))) for measure, by_query in by_measure.items()}
            for name, by_measure in values.items()
        },
        "from_light": asdict(paired_difference(main["light"], main[after], groups)),
        "from_aligned": asdict(paired_difference(main[aligned], main[after], groups)),
        "others_from_light": {
            name: asdict(describe_difference(main["light"], main[name], groups))
            for name in rankings
            if name not in ("light", after)
        },
    }


def fullest(rankings: Container[str], base: str) -> RankingName:
    """Return the name of the ranking of a base with all that could be added to its vectors."""
    alone = RankingName(base)
    worded = alone.with_words()
    return next(name for name in (worded.with_rereading(), worded, alone) if name in rankings)


def _ranked(
    retriever: Retriever,
    queries: Sequence[Query],
    vectors: Mapping[str, Vectors],
    weights: Mapping[str, Sequence[float]],
    progress: Progress,
    start: float,
) -> dict[str, list[Ranking]]:
    """Return what is found by each name's vectors with all that the retriever counts beside them, words as weighed."""
    rankings: dict[str, list[Ranking]] = {name: [] for name in vectors}
    for some in _batches(len(queries), progress, start, 0.2):
        together = np.concatenate([rows[some] for rows in vectors.values()])
        word_weights = [weight for name in vectors for weight in weights[name][some]]
        n = len(queries[some])
        found = retriever.rank([*queries[some]] * len(vectors), together, DEPTH, word_weights)
        for place, name in enumerate(vectors):
            rankings[name] += found[place * n : (place + 1) * n]
    return rankings


def _batches(n: int, progress: Progress, start: float, share: float) -> Iterator[slice]:
    """Yield n queries a few at a time, so that stopping need not wait for all."""
    for first in range(0, n, _AT_ONCE):
        progress("evaluation", start + share * first / n, f"query {first + 1} of {n}")
        yield slice(first, first + _AT_ONCE)
