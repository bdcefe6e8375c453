"""Measures of rankings against judged relevance, by the names that ir-measures gives them.

Every value comes from ir-measures; here names are read, grades made whole and queries chosen. Whether a difference
between two rankings is more than chance is the business of `era.evaluation.significance`.
"""

import math
import re
from collections.abc import Mapping, Sequence

import ir_measures

from era.types import Qrels, Run

MEASURES = ("nDCG@10", "R@10", "RR", "Judged@10")
COMPARISON_MEASURES = ("nDCG@10", "R@100", "RR", "P@10", "Judged@10")

MAX_MEASURES = 12
MIN_DEPTH, MAX_DEPTH = 100, 1000

_GRADE_SCALE = 10_000  # measures take whole grades; nDCG does not change when all grades are scaled alike
_MAX_CHARACTERS = 1000
_EXAMPLES = f"Use names such as {', '.join(COMPARISON_MEASURES)} or P(rel=2)@5."
_NAME = re.compile(r"(\w+)\s*(\([^()@]{0,100}\))?\s*(@[\d.]{1,10})?")
_SEPARATOR = re.compile(r"[,;\s]+(?![^()]*\))")  # outside parentheses
_KNOWN = {name.lower(): name for name in ir_measures.measures.registry} | {
    "prec": "P",
    "hit": "Success",
    "hits": "Success",
}
_NUMBERS: Mapping[str, tuple[float, float, int]] = {  # lowest, highest, decimals
    "cutoff": (1, MAX_DEPTH, 0),  # at 0 the library ends the process
    "rel": (1 / _GRADE_SCALE, _GRADE_SCALE, 4),
    "recall": (0, 1, 2),
    "beta": (0.01, 100, 2),
    "p": (0.01, 0.99, 2),
}
_COUNTS = ("NumQ", "NumRel", "NumRet")
_PROVIDERS = (  # the others need more packages, or write ids to files for Perl
    ir_measures.pytrec_eval,
    ir_measures.judged,
    ir_measures.msmarco,
    ir_measures.compat,
)


def evaluate(
    qrels: Qrels, run: Run, measures: Sequence[str] = MEASURES, threshold: float | None = None
) -> dict[str, dict[str, float]]:
    """Return measure, named as in `measures` -> query id -> value in [0, 1].

    The queries are those of the run with at least one relevant document. Unjudged documents count as not relevant;
    `Judged@10` says how many of the first ten were judged at all. Grades are told apart to 1/10,000.

    Args:
        qrels: grades >= 0, whole or not.
        run: rankings, whose order counts and not their scores.
        measures: names of ir-measures, in any case, with aliases such as MRR or Recall@100. A `rel` in a name is a
            grade, and wins over the threshold.
        threshold: the grade > 0 from which on a document is relevant; any grade above 0 if None. What weighs grades,
            such as nDCG, weighs them all the same.

    Raises:
        ValueError: if a measure is unknown or cannot be computed, naming it; if the threshold is not above 0.
    """
    if threshold is not None and not 0 < threshold < math.inf:
        raise ValueError(f"Expected a threshold above 0, got {threshold}.")
    parsed = {name: _read(name) for name in measures}
    judged = {query_id: grades for query_id, grades in qrels.items() if query_id in run}
    levels = [threshold or 1.0, *(measure.params.get("rel", 1.0) for measure in parsed.values())]
    every_grade = [*levels, *(grade for grades in judged.values() for grade in grades.values())]
    scale = 1 if all(float(grade).is_integer() for grade in every_grade) else _GRADE_SCALE
    whole = {q: {d: _whole(grade, scale) for d, grade in grades.items()} for q, grades in judged.items()}
    lowest = 1 if threshold is None else _whole(threshold, scale)
    whole = {q: grades for q, grades in whole.items() if any(grade >= lowest for grade in grades.values())}
    values = {name: dict.fromkeys(whole, 0.0) for name in parsed}
    ranked = {query_id: grades for query_id, grades in whole.items() if run[query_id]}
    scores = {query_id: _strictly_falling([doc.doc_id for doc in run[query_id]]) for query_id in ranked}
    for name, measure in parsed.items() if ranked else ():
        # one at a time: asked for together, measures that differ in a parameter alone overwrite each other
        levelled = _from_level(measure, threshold, scale)
        for metric in _provider_of(levelled, name).iter_calc([levelled], ranked, scores):
            values[name][metric.query_id] = float(metric.value)
    return values


def parse_measure_names(text: str) -> tuple[str, ...]:
    """Return the measures named in a line such as "nDCG@10, R@100 RR", each once, as ir-measures spells them.

    Raises:
        ValueError: if none is named, more than 12 are, or one is unknown or cannot be computed, naming it.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"Expected measures in at most {_MAX_CHARACTERS} characters, got {len(text)}.")
    names = tuple(dict.fromkeys(_spelled(_read(part)) for part in _SEPARATOR.split(text) if part))
    if not names:
        raise ValueError(f"Expected at least one measure. {_EXAMPLES}")
    if len(names) > MAX_MEASURES:
        raise ValueError(f"Expected at most {MAX_MEASURES} measures, got {len(names)}.")
    return names


def main_of(measures: Sequence[str]) -> str:
    """Return the measure that decides: the first that says how good a ranking is, not how much of it is judged."""
    return next((name for name in measures if not name.startswith("Judged")), measures[0])


def depth_of(measures: Sequence[str]) -> int:
    """Return how many documents have to be ranked for every measure: the deepest cut-off, at least 100.

    Measures without a cut-off, such as RR, see the ranking to that depth.

    Raises:
        ValueError: if a measure is unknown or cannot be computed, naming it.
    """
    return max([MIN_DEPTH, *(int(_read(name).params.get("cutoff", 0)) for name in measures)])


def _read(name: str) -> ir_measures.Measure:
    """Return the measure of a name; the `rel` in it, if there is one, may be a fraction."""
    found = _NAME.fullmatch(name.strip())
    known = _KNOWN.get(found[1].lower()) if found else None
    if not found or not known:
        raise ValueError(f"There is no measure {name.strip()[:60]!r}. {_EXAMPLES}")
    try:
        measure = ir_measures.parse_measure(known + (found[2] or "") + (found[3] or ""))
    except ValueError as error:
        raise ValueError(f"{name!r} cannot be read as a measure. {_EXAMPLES}") from error
    try:
        measure = type(measure)(**{key: _checked(measure, key, value) for key, value in measure.params.items()})
    except ValueError as error:
        raise ValueError(f"{name!r} cannot be computed: {error}. {_EXAMPLES}") from error
    if any(param.required and key not in measure.params for key, param in measure.SUPPORTED_PARAMS.items()):
        raise ValueError(f"{name!r} needs a number behind an @. {_EXAMPLES}")
    _provider_of(_from_level(measure, None, 1), name)
    return measure


def _checked(measure: ir_measures.Measure, key: str, value: object) -> float | bool:
    """Return the value of a parameter in the type that the measure expects."""
    param = measure.SUPPORTED_PARAMS.get(key)
    if param is None:
        raise ValueError(f"{measure.NAME} has no {key}")
    if param.dtype is bool and isinstance(value, bool):
        return value
    low, high, decimals = _NUMBERS.get(key, (0, 0, 0))
    if not isinstance(value, int | float) or isinstance(value, bool) or key not in _NUMBERS:
        raise ValueError(f"{key} cannot be {value!r}")
    if not low <= value <= high or round(value, decimals) != value:
        kind = f"a number with at most {decimals} decimals" if decimals else "a whole number"
        raise ValueError(f"{key} has to be {kind} from {low:g} to {high:g}, not {value:g}")
    is_whole = param.dtype is int and float(value).is_integer()
    return int(value) if is_whole else float(value)


def _spelled(measure: ir_measures.Measure) -> str:
    """Return the name of a measure as ir-measures writes it, but with a `rel=1` kept: it is not "any grade above 0"."""
    name = str(measure)
    if measure.params.get("rel") != 1:
        return name
    plain, at, cutoff = name.partition("@")
    return (f"{plain[:-1]},rel=1)" if plain.endswith(")") else f"{plain}(rel=1)") + at + cutoff


def _from_level(measure: ir_measures.Measure, threshold: float | None, scale: int) -> ir_measures.Measure:
    """Return the measure with the scaled grade from which on a document is relevant; left out, any grade is."""
    level = measure.params.get("rel", threshold)
    if level is None or "rel" not in measure.SUPPORTED_PARAMS:
        return measure
    return type(measure)(**{**measure.params, "rel": _whole(level, scale)})


def _provider_of(measure: ir_measures.Measure, name: str) -> ir_measures.Provider:
    """Return what computes the measure of that name."""
    for provider in () if measure.NAME in _COUNTS else _PROVIDERS:
        if provider.supports(measure) and provider.is_available():
            return provider
    raise ValueError(f"{name!r} cannot be computed here. {_EXAMPLES}")


def _whole(grade: float, scale: int) -> int:
    """Return a scaled grade as a whole number; what is above 0 stays above 0."""
    scaled = round(grade * scale)
    return max(scaled, 1) if grade > 0 else scaled


def _strictly_falling(doc_ids: Sequence[str]) -> dict[str, float]:
    """Return scores that keep the given order: evaluation tools break ties of scores in ways of their own."""
    return {doc_id: float(len(doc_ids) - place) for place, doc_id in enumerate(doc_ids)}
