"""The measures of several rankings over the same queries, as a value that shows itself as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from era.evaluation.figures import figure
from era.evaluation.measures import COMPARISON_MEASURES, main_of, parse_measure_names
from era.evaluation.measures import evaluate as values_of
from era.evaluation.significance import PairedDifference, paired_difference
from era.io.memory import qrels_of, run_of
from era.method.query_groups import group_queries
from era.types import Qrels, Run

if TYPE_CHECKING:
    import pandas

_DECIMALS = 3


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What rankings measure, query by query.

    Attributes:
        values: name of the ranking -> measure -> query id -> value; every ranking has the same queries.
        groups: query id -> its group of near-copies, which is one case where certainty is measured.
        remarks: what should be known of these figures, in sentences.
    """

    values: Mapping[str, Mapping[str, Mapping[str, float]]]
    groups: Mapping[str, int]
    remarks: Sequence[str] = ()

    def to_frame(self) -> "pandas.DataFrame":
        """Return a row for each query and measure, with a column for each ranking."""
        import pandas

        first = next(iter(self.values.values()))
        rows = [
            {"query_id": query_id, "measure": measure}
            | {name: by_measure[measure][query_id] for name, by_measure in self.values.items()}
            for measure, by_query in first.items()
            for query_id in by_query
        ]
        return pandas.DataFrame(rows, columns=["query_id", "measure", *self.values])

    def means(self) -> "pandas.DataFrame":
        """Return a row for each ranking and a column for each measure."""
        import pandas

        return pandas.DataFrame(self._means()).T

    def compare(self, before: str, after: str, measure: str = "") -> PairedDifference:
        """Return how one measure differs between two of the rankings: interval and randomisation test.

        Raises:
            KeyError: if there is no such ranking or measure.
        """
        measure = measure or main_of(list(self.values[before]))
        return paired_difference(self.values[before][measure], self.values[after][measure], self.groups)

    def _means(self) -> dict[str, dict[str, float]]:
        return {
            name: {measure: float(np.mean(list(by_query.values()))) for measure, by_query in by_measure.items()}
            for name, by_measure in self.values.items()
        }

    def __repr__(self) -> str:
        """Return the means, and what should be known of them."""
        means = self._means()
        measures, width = list(next(iter(means.values()))), max(map(len, means)) + 2
        lines = [" " * width + "  ".join(f"{measure:>9}" for measure in measures)]
        lines += [
            f"{name:<{width}}" + "  ".join(f"{figure(each[measure], _DECIMALS):>9}" for measure in measures)
            for name, each in means.items()
        ]
        n = len(self.groups)
        return "\n".join([*lines, f"{n:,} {'query' if n == 1 else 'queries'}", *self.remarks])

    def _repr_html_(self) -> str:
        table = self.means().to_html(float_format=lambda value: figure(value, _DECIMALS))
        return f"{table}<p>{len(self.groups):,} queries</p>" + "".join(f"<p>{each}</p>" for each in self.remarks)


def evaluate_runs(
    runs: Mapping[str, Run],
    qrels: Qrels,
    measures: Sequence[str] | str = COMPARISON_MEASURES,
    texts: Mapping[str, str] | None = None,
    remarks: Sequence[str] = (),
    threshold: float | None = None,
) -> Evaluation:
    """Measure rankings on the queries that all of them rank and that have a relevant document.

    Args:
        runs: name -> rankings.
        qrels: judgments.
        measures: names of ir-measures, as a list or in one line.
        texts: query id -> text, by which near-copies are told.
        remarks: kept with the result.
        threshold: see `era.evaluation.measures.evaluate`.

    Raises:
        ValueError: if a measure is unknown, or there is no such query.
    """
    names = parse_measure_names(measures if isinstance(measures, str) else " ".join(measures))
    judged = [query_id for query_id, grades in qrels.items() if any(grade > 0 for grade in grades.values())]
    shared = [query_id for query_id in judged if all(query_id in run for run in runs.values())]
    if len(shared) < len(judged):
        remarks = [*remarks, f"{len(judged) - len(shared):,} of {len(judged):,} judged queries are not ranked."]
    if not shared or not runs:
        raise ValueError(
            "No ranked query has a relevant document, so there is nothing to measure. Check the query ids."
        )
    remarks = [*remarks, *remarks_on_overlap(runs, qrels)]
    values = {
        name: values_of(qrels, {each: run[each] for each in shared}, names, threshold) for name, run in runs.items()
    }
    return Evaluation(values, near_copies(shared, qrels, texts or {}), remarks)


def remarks_on_overlap(runs: Mapping[str, Run], qrels: Qrels) -> list[str]:
    """Return which queries count as 0 for want of judgments, and which are not judged at all.

    Raises:
        ValueError: if a ranking has no judged document for any query.
    """
    remarks = []
    for run in runs.values():
        shared = [query_id for query_id in run if query_id in qrels]
        blind = [query_id for query_id in shared if not any(doc.doc_id in qrels[query_id] for doc in run[query_id])]
        if shared and len(blind) == len(shared):
            judged = next(iter(qrels[shared[0]]))
            ranked = next((doc.doc_id for query_id in shared for doc in run[query_id]), "nothing")
            raise ValueError(
                "None of the ranked documents is judged, so there is nothing to measure. Check the document ids: the "
                f"judgments name {judged!r}, the rankings {ranked!r}."
            )
        if blind:
            remarks.append(f"Of {_queries(blind)} no ranked document is judged, which counts as 0: {_named(blind)}.")
        if unjudged := [query_id for query_id in run if query_id not in qrels]:
            are = "is" if len(unjudged) == 1 else "are"
            remarks.append(f"{_queries(unjudged, 'ranked ')} {are} not judged and left out: {_named(unjudged)}.")
    return list(dict.fromkeys(remarks))


def _queries(ids: Sequence[str], kind: str = "") -> str:
    return f"1 {kind}query" if len(ids) == 1 else f"{len(ids):,} {kind}queries"


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")


def near_copies(query_ids: Sequence[str], qrels: Qrels, texts: Mapping[str, str]) -> dict[str, int]:
    """Return query id -> group of near-copies, as texts, where they are known, and answers tell; nothing is read."""
    relevant = [{doc_id: grade for doc_id, grade in qrels[each].items() if grade > 0} for each in query_ids]
    nothing = np.zeros((len(query_ids), 1), np.float32)
    groups = group_queries([texts.get(each, each) for each in query_ids], nothing, nothing[:0], relevant)
    return {query_id: int(group) for query_id, group in zip(query_ids, groups, strict=True)}


def evaluate(
    runs: Any, qrels: Any, measures: Sequence[str] | str = COMPARISON_MEASURES, threshold: float | None = None
) -> Evaluation:
    """Measure rankings of any system against judgments.

    Args:
        runs: name -> rankings, each a TREC run file, data frame or mapping (`era.io.memory`); or just one.
        qrels: a file, data frame, mapping or list (`era.io.memory`).
        measures: names of ir-measures, as a list or in one line.
        threshold: the grade from which on a document is relevant; any above 0 if None.

    Raises:
        ValueError: if a measure is unknown, or no ranked query has a relevant document.
        FormatError: if a file cannot be read.
    """
    named = runs if isinstance(runs, Mapping) and all(_is_of_runs(each) for each in runs.values()) else {"run": runs}
    remarks: list[str] = []
    read = {name: run_of(each, remarks) for name, each in named.items()}
    judged = qrels_of(qrels, None, remarks)
    return evaluate_runs(read, judged, measures, remarks=remarks, threshold=threshold)


def compare(before: Any, after: Any, qrels: Any, measure: str = "nDCG@10") -> PairedDifference:
    """Return how a measure differs between two rankings of the same queries: interval and randomisation test.

    Args:
        before: rankings, as in `evaluate`, and so are `after` and `qrels`.
        after: rankings to compare with them.
        qrels: judgments.
        measure: a name of ir-measures.
    """
    return evaluate({"before": before, "after": after}, qrels, [measure]).compare("before", "after")


def _is_of_runs(given: Any) -> bool:
    """Return whether a value of a mapping is a run, and not the ranking of one query."""
    if isinstance(given, Mapping):
        return all(not isinstance(each, int | float) for each in given.values())
    return not isinstance(given, list | tuple)
