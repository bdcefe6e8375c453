"""`evaluate`: measures of a ranking against judgments, and whether it differs from another one by more than chance."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from era.cli.console import Console
from era.cli.sources import open_collection
from era.cli.systems import find_run, system_named
from era.collection import Collection, in_sample_remarks
from era.evaluation.figures import difference, figure, interval
from era.evaluation.measures import depth_of, evaluate, main_of, parse_measure_names
from era.evaluation.report import near_copies, remarks_on_overlap
from era.evaluation.significance import Difference, describe_difference, paired_difference
from era.io.judgments import of_known_documents, read_qrels
from era.io.memory import queries_of
from era.io.opening import open_source
from era.types import Qrels, Query, Ranking, Run

_DECIMALS = 4

Values = dict[str, dict[str, float]]
"""measure -> query id -> value."""


@dataclass(eq=False)
class _Setting:
    """What the rankings are made and measured with; opened when the first of them needs it."""

    arguments: argparse.Namespace
    console: Console
    remarks: list[str]
    collection: Collection | None = None
    known_queries: list[Query] | None = None

    def opened(self, name: str) -> Collection:
        """Return the index folder.

        Raises:
            ValueError: if none is named.
        """
        if self.collection is None:
            if self.arguments.index is None:
                raise ValueError(f"Ranking by {name} needs --index INDEX; without it, give TREC run files.")
            self.collection = open_collection(self.arguments, self.console)
        return self.collection

    def qrels(self) -> Qrels:
        """Return the judgments to measure against, of queries that are there as far as that is known."""
        if self.arguments.qrels:
            read = read_qrels(self.arguments.qrels, self._known_queries())
            self.remarks += read.remarks
            return read.qrels
        if self.arguments.index is None:
            raise ValueError(
                "Give the judgments with --qrels FILE, or an index folder that has some with --index INDEX."
            )
        return self.opened("it").qrels

    def queries(self, name: str) -> list[Query]:
        """Return the queries to rank."""
        return self._known_queries() or self.opened(name).queries

    def _known_queries(self) -> list[Query] | None:
        if self.known_queries is None and self.arguments.queries:
            self.known_queries = queries_of(self.arguments.queries, self.remarks)
        elif self.known_queries is None and self.arguments.index is not None:
            source = open_source(self.arguments.index, "collection")
            self.known_queries = [each.query for each in source.queries()] or None
        return self.known_queries


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure one ranking, and another one to compare with if it is named.

    Raises:
        ValueError: if a measure is unknown, nothing is judged, or what is needed is not named.
        EraError: if files or embedders cannot be used.
    """
    measures = parse_measure_names(arguments.measures)
    setting = _Setting(arguments, console, [])
    qrels = setting.qrels()
    runs = {"system": _rank(setting, arguments.system, qrels, depth_of(measures))}
    if arguments.baseline:
        runs["baseline"] = _rank(setting, arguments.baseline, qrels, depth_of(measures))
    if setting.collection is not None:
        qrels = of_known_documents(qrels, setting.collection.corpus, setting.remarks)
    setting.remarks += remarks_on_overlap(runs, qrels)
    runs = _of_same_queries(setting, runs, qrels)
    values = {name: evaluate(qrels, each, measures, arguments.threshold) for name, each in runs.items()}
    n = len(values["system"][measures[0]])
    if not n:
        raise ValueError(
            "No ranked query has a relevant document, so there is nothing to measure. Check the query ids."
        )
    found: dict[str, Any] = {
        "system": arguments.system,
        "baseline": arguments.baseline,
        "n_queries": n,
        "means": {name: _means(each) for name, each in values.items()},
        "differences": {},
        "remarks": setting.remarks,
    }
    if arguments.baseline:
        groups = _groups(setting, qrels, values["system"][measures[0]])
        for measure in measures:
            before, after = values["baseline"][measure], values["system"][measure]
            change: Difference = describe_difference(before, after, groups)
            if measure == main_of(measures):
                change = paired_difference(before, after, groups)
            found["differences"][measure] = {"difference": change.difference, **asdict(change)}
    if arguments.is_per_query:
        found["queries"] = values
    for remark in setting.remarks:
        console.remark(remark)
    console.answer(found, lambda: _in_words(found, values if arguments.is_per_query else None))


def _rank(setting: _Setting, name: str, qrels: Qrels, depth: int) -> Run:
    known = find_run(name)
    if known is not None:
        setting.remarks += known.remarks
        return known.run
    collection, arguments = setting.opened(name), setting.arguments
    queries = [query for query in setting.queries(name) if query.query_id in qrels]
    system = system_named(name)
    with setting.console.progress() as progress:
        found = collection.run(
            queries,
            adapter=system,
            k=depth,
            words=arguments.has_words,
            held_out=not arguments.is_in_sample,
            progress=progress,
        )
    setting.remarks.extend(in_sample_remarks(name, system, queries, arguments.is_in_sample))
    return found


def _of_same_queries(setting: _Setting, runs: Mapping[str, Run], qrels: Qrels) -> dict[str, Run]:
    """Return the runs with the queries that all of them rank, or with every judged query if the rest counts as 0."""
    judged = [query_id for query_id, grades in qrels.items() if any(grade > 0 for grade in grades.values())]
    nothing: Ranking = []
    if setting.arguments.is_complete:
        return {name: {query_id: run.get(query_id, nothing) for query_id in judged} for name, run in runs.items()}
    shared = [query_id for query_id in judged if all(query_id in run for run in runs.values())]
    if len(shared) < len(judged):
        setting.remarks.append(
            f"{len(judged) - len(shared):,} of {len(judged):,} judged queries are not ranked and left out; "
            "with --complete they count as 0."
        )
    return {name: {query_id: run[query_id] for query_id in shared} for name, run in runs.items()}


def _groups(setting: _Setting, qrels: Qrels, query_ids: Iterable[str]) -> dict[str, int]:
    """Return query id -> group of near-copies, as texts, where they are known, and answers tell."""
    texts = {}
    if setting.arguments.queries or setting.collection is not None:
        texts = {query.query_id: query.text for query in setting.queries("it")}
    return near_copies(list(query_ids), qrels, texts)


def _means(values: Values) -> dict[str, float]:
    return {measure: float(np.mean(list(by_query.values()))) for measure, by_query in values.items()}


def _in_words(found: Mapping[str, Any], values: Mapping[str, Values] | None) -> str:
    has_baseline = bool(found["baseline"])
    lines = [
        f"{found['n_queries']:,} queries, {found['system']}" + (f" against {found['baseline']}" if has_baseline else "")
    ]
    for n_groups in {change["n_groups"] for change in found["differences"].values()} - {found["n_queries"]}:
        lines.append(f"Near-copies of a query count once, so they count as {n_groups:,}.")
    for measure, mean in found["means"]["system"].items():
        line = f"{measure:<14}{figure(mean, _DECIMALS)}"
        if has_baseline:
            change = found["differences"][measure]
            held = "[too few queries]"
            if change["low"] is not None:
                held = f"[{', '.join(interval(change['low'], change['high'], _DECIMALS))}]"
            line += (
                f"  was {figure(change['before'], _DECIMALS)}  "
                f"{difference(change['before'], change['after'], _DECIMALS)} {held}  "
                f"{_p_value(change)}{change['n_better']} better, {change['n_same']} same, "
                f"{change['n_worse']} worse"
            )
        lines.append(line)
    if values is not None:
        names = [(name, measure) for name, each in values.items() for measure in each]
        lines.append("\t".join(["query", *(f"{measure}: {found[name]}" for name, measure in names)]))
        for query_id in next(iter(values["system"].values())):
            lines.append("\t".join([query_id, *(figure(values[name][m][query_id], _DECIMALS) for name, m in names)]))
    return "\n".join(lines) + "\n"


def _p_value(change: Mapping[str, Any]) -> str:
    """Return the p value of the measure that decides; the others have none."""
    if "p_value" not in change:
        return ""
    return "p < 0.001  " if change["p_value"] < 0.001 else f"p = {change['p_value']:.3f}  "
