"""Every number of a comparison on real collections, worked out a second time without the code that shows it.

The measures come from pytrec_eval directly, the rest from plain Python, numpy loops or scipy.
"""

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2, sqrt
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import pytrec_eval
from bm25s import BM25, tokenize
from scipy import stats

from annotation.collections.store_whole import CollectionContent, content_of
from era.evaluation.measures import COMPARISON_MEASURES, depth_of, evaluate
from era.evaluation.overlap import mean_overlap, overlap
from era.evaluation.significance import PairedDifference, paired_difference
from era.io.opening import open_source
from era.types import ScoredDoc

pytestmark = pytest.mark.collections

TREC_NAMES = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "RR": "recip_rank", "P@10": "P_10"}
N_PRODUCT, N_OWN = 5000, 20_000  # resamples

Values = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Compared:
    """A collection ranked by matching words, and once more after most scores were disturbed."""

    qrels: Mapping[str, Mapping[str, float]]
    before: Mapping[str, list[ScoredDoc]]
    after: Mapping[str, list[ScoredDoc]]


def read(name: str) -> CollectionContent:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("ERA_COLLECTIONS") or root.parent / "shared" / "collections") / name
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}; set ERA_COLLECTIONS to a folder that holds {name}.")
    return content_of(open_source(folder))


def rank(name: str) -> Compared:
    """Rank all queries to the depth that the measures need; every third query keeps its ranking."""
    content = read(name)
    doc_ids = [document.doc_id for document in content.documents]
    bm25 = BM25()
    bm25.index(words([document.content for document in content.documents]), show_progress=False)
    rng = np.random.default_rng(5)
    before: dict[str, list[ScoredDoc]] = {}
    after: dict[str, list[ScoredDoc]] = {}
    for number, query in enumerate(content.queries):
        scores = bm25.get_scores(words([query.text])[0])
        noise = 0 if number % 3 == 0 else scores.std() * rng.normal(size=len(scores))
        for run, values in ((before, scores), (after, scores + noise)):
            rows = np.argsort(-values, kind="stable")[: depth_of(COMPARISON_MEASURES) - number % 5]  # uneven lengths
            run[query.query_id] = [ScoredDoc(doc_ids[row], float(values[row])) for row in rows]
    return Compared(content.qrels, before, after)


def words(texts: list[str]) -> list[list[str]]:
    tokens: list[list[str]] = tokenize(texts, stopwords="en", return_ids=False, show_progress=False)
    return tokens


def trec(qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, list[ScoredDoc]], names: list[str]) -> Values:
    """Return trec_eval's name of a measure -> query id -> value; scores fall strictly, so that no tie is broken."""
    falling = {
        query_id: {doc.doc_id: float(-place) for place, doc in enumerate(docs)} for query_id, docs in run.items()
    }
    evaluator = pytrec_eval.RelevanceEvaluator({q: dict(grades) for q, grades in qrels.items()}, set(names))
    found = evaluator.evaluate(falling)
    return {name: {query_id: by_name[name] for query_id, by_name in found.items()} for name in names}


def independent(compared: Compared, run: Mapping[str, list[ScoredDoc]]) -> Values:
    """Return the default measures of the queries with a relevant document, for whole grades."""
    qrels = {q: {d: int(grade) for d, grade in grades.items()} for q, grades in compared.qrels.items()}
    qrels = {q: grades for q, grades in qrels.items() if max(grades.values()) > 0 and q in run}
    found = trec(qrels, {q: run[q] for q in qrels}, list(TREC_NAMES.values()))
    values = {name: found[trec_name] for name, trec_name in TREC_NAMES.items()}
    values["Judged@10"] = {q: sum(doc.doc_id in qrels[q] for doc in run[q][:10]) / 10 for q in qrels}
    return values


@pytest.fixture(scope="module", params=["cranfield", "recipe_mpr", "cisi"])
def compared(request: pytest.FixtureRequest) -> Compared:
    return rank(str(request.param))


@pytest.fixture(scope="module")
def values(compared: Compared) -> tuple[Values, Values]:
    return independent(compared, compared.before), independent(compared, compared.after)


@pytest.fixture(scope="module")
def differences(compared: Compared) -> dict[str, PairedDifference]:
    before = evaluate(compared.qrels, compared.before, COMPARISON_MEASURES)
    after = evaluate(compared.qrels, compared.after, COMPARISON_MEASURES)
    return {name: paired_difference(before[name], after[name]) for name in COMPARISON_MEASURES}


def changes_of(values: tuple[Values, Values], measure: str) -> list[float]:
    before, after = (side[measure] for side in values)
    return [after[query_id] - before[query_id] for query_id in sorted(before)]


def test_every_value_is_that_of_trec_eval(compared: Compared, values: tuple[Values, Values]) -> None:
    for run, expected in zip((compared.before, compared.after), values, strict=True):
        found = evaluate(compared.qrels, run, COMPARISON_MEASURES)
        assert found.keys() == expected.keys() == set(COMPARISON_MEASURES)
        for measure, by_query in expected.items():
            assert len(by_query) > 70
            assert found[measure] == pytest.approx(by_query, abs=1e-12), measure


def test_means_and_counts_are_those_of_plain_arithmetic(
    values: tuple[Values, Values], differences: dict[str, PairedDifference]
) -> None:
    for measure, found in differences.items():
        changes = changes_of(values, measure)
        assert found.before == pytest.approx(fmean(values[0][measure].values()))
        assert found.after == pytest.approx(fmean(values[1][measure].values()))
        assert found.difference == pytest.approx(fmean(changes))
        assert found.n_better == sum(change > 1e-9 for change in changes)
        assert found.n_worse == sum(change < -1e-9 for change in changes)
        assert found.n_same == len(changes) - found.n_better - found.n_worse
        assert found.n_same >= len(changes) // 4  # a third was not disturbed
        for_small_samples = 1 - 3 / (4 * (len(changes) - 1) - 1)  # Hedges 1981
        assert found.effect_size == pytest.approx(fmean(changes) / stdev(changes) * for_small_samples)


def test_the_interval_is_that_of_two_other_bootstraps(
    values: tuple[Values, Values], differences: dict[str, PairedDifference]
) -> None:
    rng = np.random.default_rng(11)
    for measure, found in differences.items():
        changes = np.array(changes_of(values, measure))
        error = changes.std() / sqrt(len(changes))
        means = [float(changes[rng.integers(0, len(changes), len(changes))].mean()) for _ in range(N_OWN)]
        scipys = stats.bootstrap((changes,), np.mean, n_resamples=N_OWN, method="percentile", rng=rng)
        # the 2.5 % quantile of B normal means has the standard error sqrt(0.025 * 0.975 / B) / 0.0584 of `error`
        tolerance = 5 * error * sqrt(0.025 * 0.975 * (1 / N_PRODUCT + 1 / N_OWN)) / 0.0584
        for low, high in (np.quantile(means, [0.025, 0.975]), scipys.confidence_interval):
            assert found.low == pytest.approx(low, abs=tolerance), measure
            assert found.high == pytest.approx(high, abs=tolerance), measure


def test_the_chance_of_the_difference_is_that_of_another_randomisation(
    values: tuple[Values, Values], differences: dict[str, PairedDifference]
) -> None:
    rng = np.random.default_rng(12)
    for measure, found in differences.items():
        changes = np.array(changes_of(values, measure))
        observed = abs(changes.sum()) - 1e-9
        sums = [abs(float(rng.choice((-1.0, 1.0), len(changes)) @ changes)) for _ in range(N_OWN)]
        own = fmean(total >= observed for total in sums)
        test = stats.permutation_test(
            (changes,), np.sum, permutation_type="samples", n_resamples=N_OWN, vectorized=True, rng=rng
        )
        for chance in (own, float(test.pvalue)):
            spread = sqrt(max(chance * (1 - chance), 1 / N_OWN) * (1 / N_PRODUCT + 1 / N_OWN))
            assert found.p_value == pytest.approx(chance, abs=5 * spread + 1 / N_PRODUCT), measure


def test_the_chance_of_few_queries_counts_every_change_of_sign(values: tuple[Values, Values]) -> None:
    for measure in COMPARISON_MEASURES:
        before, after = (side[measure] for side in values)
        changed = [query_id for query_id in sorted(before) if before[query_id] != after[query_id]][:10]
        changes = [after[query_id] - before[query_id] for query_id in changed]
        sums = [abs(sum(s * c for s, c in zip(signs, changes, strict=True))) for signs in signs_of(len(changes))]
        found = paired_difference({q: before[q] for q in changed}, {q: after[q] for q in changed})
        assert found.p_value == pytest.approx(fmean(total >= abs(sum(changes)) - 1e-9 for total in sums))


def signs_of(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product((-1, 1), repeat=n))


def endless_rbo(one: list[str], other: list[str], persistence: float) -> float:
    """Return the sum over 3,000 depths of what is shared there, extrapolated from the definition, place by place."""
    short, long = sorted((one, other), key=len)
    s, length = len(short), len(long)
    at_short = len(set(short) & set(long[:s]))
    total = 0.0
    for depth in range(1, 3001):
        if depth <= length:
            expected = at_short / s * max(depth - s, 0)
            agreement = (len(set(short[:depth]) & set(long[:depth])) + expected) / depth
        else:
            agreement = (len(set(short) & set(long)) - at_short) / length + at_short / s
        total += (1 - persistence) * persistence ** (depth - 1) * agreement
    return total


def counted_tau(one: list[str], other: list[str]) -> float:
    shared = [doc_id for doc_id in one if doc_id in other]
    agreeing = [other.index(first) < other.index(second) for first, second in itertools.combinations(shared, 2)]
    return (2 * sum(agreeing) - len(agreeing)) / len(agreeing)


def test_the_overlap_is_that_of_the_definitions(compared: Compared) -> None:
    pairs = [(compared.before[q], compared.after[q][: 60 + 10 * (i % 5)]) for i, q in enumerate(compared.before)][:30]
    rbos, jaccards, taus = [], [], []
    for left, right in pairs:
        one, other = ([doc.doc_id for doc in ranking] for ranking in (left, right))
        rbos.append(endless_rbo(one, other, 0.9))
        jaccards.append(len(set(one[:10]) & set(other[:10])) / len(set(one[:10]) | set(other[:10])))
        taus.append(counted_tau(one, other))
        found = overlap(left, right)
        assert found.rbo == pytest.approx(rbos[-1], abs=1e-9)
        assert found.jaccard == pytest.approx(jaccards[-1])
        assert found.kendall_tau == pytest.approx(taus[-1])
        assert found.n_shared == len(set(one) & set(other))
    means = mean_overlap(pairs)
    assert 0.2 < means.rbo < 0.99
    assert means.rbo == pytest.approx(fmean(rbos), abs=1e-9)
    assert means.jaccard == pytest.approx(fmean(jaccards))
    assert means.kendall_tau == pytest.approx(fmean(taus))


def graded_ndcg(grades: Mapping[str, float], docs: list[ScoredDoc], cutoff: int) -> float:
    ideal = sorted(grades.values(), reverse=True)[:cutoff]
    gains = [grades.get(doc.doc_id, 0.0) for doc in docs[:cutoff]]
    best, reached = (sum(gain / log2(place + 2) for place, gain in enumerate(row)) for row in (ideal, gains))
    return reached / best


@pytest.mark.parametrize(
    ("threshold", "is_relevant"),
    [(1.0, lambda grade: grade >= 1.0), (0.5, lambda grade: grade >= 0.5), (None, lambda grade: grade > 0)],
)
def test_fractional_grades_are_cut_where_the_threshold_says(
    threshold: float | None, is_relevant: Callable[[float], bool]
) -> None:
    birco = rank("birco_doris_mae_dev")
    assert any(not grade.is_integer() for grades in birco.qrels.values() for grade in grades.values())
    binary = {q: {d: int(is_relevant(grade)) for d, grade in grades.items()} for q, grades in birco.qrels.items()}
    binary = {q: grades for q, grades in binary.items() if any(grades.values())}
    expected = trec(binary, {q: birco.before[q] for q in binary}, ["recall_100", "recip_rank", "P_10", "map"])
    found = evaluate(birco.qrels, birco.before, ["R@100", "RR", "P@10", "AP", "nDCG@10"], threshold)
    for measure, name in {"R@100": "recall_100", "RR": "recip_rank", "P@10": "P_10", "AP": "map"}.items():
        assert found[measure] == pytest.approx(expected[name], abs=1e-12)
        assert fmean(found[measure].values()) > 0
    graded = {q: graded_ndcg(birco.qrels[q], birco.before[q], 10) for q in binary}
    assert found["nDCG@10"] == pytest.approx(graded, abs=1e-4)


def test_a_level_in_a_name_cuts_fractional_grades_too() -> None:
    birco = rank("birco_doris_mae_dev")
    binary = {q: {d: int(grade >= 0.5) for d, grade in grades.items()} for q, grades in birco.qrels.items()}
    expected = trec(binary, dict(birco.before), ["P_10"])["P_10"]
    found = evaluate(birco.qrels, birco.before, ["P(rel=0.5)@10"])["P(rel=0.5)@10"]
    assert found == pytest.approx({query_id: expected[query_id] for query_id in found})
    assert found != evaluate(birco.qrels, birco.before, ["P@10"])["P@10"]
