"""The results as Markdown for people and as JSON for programs; both say the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.comparisons import OURS, Comparison, compare_ours, label_effects
from benchmarks.judged_collections import JudgedCollection
from benchmarks.outcomes import MEASURES, Results
from benchmarks.splits import Split
from benchmarks.systems import SYSTEMS


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """How large a collection is; `n_labelled` queries can be labelled in every split."""

    name: str
    n_documents: int
    n_queries: int
    n_held_out: int
    n_labelled: int

    @classmethod
    def of(cls, collection: JudgedCollection, splits: Sequence[Split]) -> "CollectionFacts":
        """Count."""
        return cls(
            name=collection.name,
            n_documents=len(collection.corpus),
            n_queries=len(collection.queries),
            n_held_out=len(splits[0].held_out),
            n_labelled=min(len(split.labelled) for split in splits),
        )


def to_markdown(
    results: Results, facts: Sequence[CollectionFacts], environment: Mapping[str, Any], n_seeds: int
) -> str:
    """Return the whole report."""
    parts = [
        "# Label efficiency",
        f"{environment['date']}, commit {environment['commit']}, {environment['cpu']} ({environment['cores']} cores), "
        f"means over seeded splits ({n_seeds}). Columns: labelled queries. Held-out queries over the whole corpus, "
        "unjudged documents count as not relevant.",
        _systems(results),
        _facts(facts),
    ]
    for measure in MEASURES:
        parts += [f"## {measure}", *(_measure_table(results, measure, [name], name) for name in results.collections)]
        parts += _means(results, measure)
    if OURS in results.systems:
        parts += _comparison(results, compare_ours(results)) + _effects(results)
    parts += _times(results)
    return "\n\n".join(parts)


def to_json(
    results: Results, facts: Sequence[CollectionFacts], environment: Mapping[str, Any], n_seeds: int
) -> dict[str, Any]:
    """Return every number but those of single queries."""
    cells = [
        {
            "collection": name,
            "system": system,
            "n_labels": n_labels,
            "fit_s": [record.outcome.fit_s for record in records],
            **{measure: [record.outcome.mean(measure) for record in records] for measure in MEASURES},
        }
        for name in results.collections
        for system in results.systems
        for n_labels in results.budgets
        if (records := results.records(name, system, n_labels))
    ]
    means = [
        {
            "system": system,
            "n_labels": n_labels,
            "collections": results.collections_with(n_labels),
            **{m: results.mean_over(m, results.collections_with(n_labels), system, n_labels) for m in MEASURES},
        }
        for system in results.systems
        for n_labels in results.budgets
    ]
    return {
        "environment": dict(environment),
        "n_seeds": n_seeds,
        "systems": {system: SYSTEMS[system].description for system in results.systems},
        "collections": [asdict(each) for each in facts],
        "cells": cells,
        "means": means,
        "comparisons": [
            {
                "system": c.system,
                "n_labels": c.n_labels,
                "collection": c.collection,
                "adjusted_p_value": c.p_value,
                **asdict(c.difference),
            }
            for c in compare_ours(results)
        ],
        "label_effects": [{**asdict(e), "difference": e.difference} for e in label_effects(results)],
    }


def _systems(results: Results) -> str:
    return "\n".join(f"- `{system}`: {SYSTEMS[system].description}" for system in results.systems)


def _facts(facts: Sequence[CollectionFacts]) -> str:
    lines = ["| collection | documents | queries used | held out | to label |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.name} | {each.n_documents:,} | {each.n_queries} | {each.n_held_out} | {each.n_labelled} |"
        for each in facts
    ]
    return "\n".join(lines)


def _means(results: Results, measure: str) -> list[str]:
    """Return the table over all collections, and the one over those with every number of labels if it differs."""
    counts = {n_labels: len(results.collections_with(n_labels)) for n_labels in results.budgets}
    complete = results.complete_collections
    heading = "mean over the collections that have so many labels (how many)"
    tables = [
        _table(
            heading,
            results.budgets,
            lambda s, n: _number(results.mean_over(measure, results.collections_with(n), s, n)),
            results.systems,
            lambda n: f"{n} ({counts[n]})",
        )
    ]
    if complete and len(complete) < max(counts.values()):
        tables.append(_measure_table(results, measure, complete, f"mean of {', '.join(complete)}"))
    return tables


def _measure_table(results: Results, measure: str, collections: Sequence[str], heading: str) -> str:
    return _table(
        heading,
        results.budgets,
        lambda system, n_labels: _number(results.mean_over(measure, collections, system, n_labels)),
        results.systems,
    )


def _comparison(results: Results, comparisons: Sequence[Comparison]) -> list[str]:
    def cell(system: str, n_labels: int) -> str:
        found = [each for each in comparisons if (each.system, each.n_labels) == (system, n_labels)]
        if not found:
            return "-"
        mean = sum(each.difference.difference for each in found) / len(found)
        better, worse = (
            sum(each.p_value < 0.05 and sign * each.difference.difference > 0 for each in found) for sign in (1, -1)
        )
        return f"{mean:+.3f}; {better} better, {worse} worse of {len(found)}"

    return [
        f"## `{OURS}` against each system, collection by collection",
        "Mean difference of nDCG@10, and on how many collections it is better or worse beyond chance: two-sided paired "
        "randomisation test over the held-out queries of each collection, p < .05 (Holm). "
        "A query that several seeds held out counts once, with its mean.",
        _table("against", results.budgets, cell, [system for system in results.systems if system != OURS]),
    ]


def _effects(results: Results) -> list[str]:
    effects = label_effects(results)
    if not effects:
        return []
    worst, n_losses = effects[0], sum(effect.difference < 0 for effect in effects)
    return [
        "## Do labels hurt?",
        f"Worst of {len(effects)} collections and numbers of labels: {worst.collection} with {worst.n_labels} labels, "
        f"nDCG@10 {worst.before:.3f} before, {worst.after:.3f} after ({worst.difference:+.3f}). "
        f"Below the adapter without labels: {n_losses} of {len(effects)}.",
    ]


def _times(results: Results) -> list[str]:
    learning = [s for s in results.systems if any(results.fit_s(s, n) is not None for n in results.budgets)]
    if not learning:
        return []
    return [
        "## Time to learn",
        "Median seconds on one thread; embeddings are there already, embedding again is part of fine-tuning. "
        "A rate chosen on the held-out queries takes the time of trying all rates.",
        _table("system", results.budgets, lambda s, n: _number(results.fit_s(s, n), 2), learning),
    ]


def _table(
    heading: str,
    budgets: Sequence[int],
    cell: Callable[[str, int], str],
    systems: Sequence[str],
    column: Callable[[int], str] = str,
) -> str:
    lines = [f"| {heading} | " + " | ".join(map(column, budgets)) + " |", "|---|" + "---|" * len(budgets)]
    lines += [f"| `{system}` | " + " | ".join(cell(system, n) for n in budgets) + " |" for system in systems]
    return "\n".join(lines)


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
