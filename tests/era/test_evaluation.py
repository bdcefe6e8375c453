import itertools
from math import erf, log2

import numpy as np
import pytest

from era.evaluation import MEASURES, evaluate, paired_difference
from era.types import ScoredDoc


def ranking(*doc_ids: str, scores: list[float] | None = None) -> list[ScoredDoc]:
    values = scores or [1 - place / 100 for place in range(len(doc_ids))]
    return [ScoredDoc(doc_id, score) for doc_id, score in zip(doc_ids, values, strict=True)]


# ranks 1 to 12; a third relevant document stands at 11, behind the cut
TWELVE = ranking("zero", "three", "u1", "one", "u2", "u3", "u4", "u5", "u6", "u7", "two", "u8")
GRADES = {"zero": 0.0, "one": 1.0, "two": 2.0, "three": 3.0, "not found": 0.0}
IDEAL_GAIN = 3 + 2 / log2(3) + 1 / log2(4)
EXPECTED = {
    "nDCG@10": (3 / log2(3) + 1 / log2(5)) / IDEAL_GAIN,
    "R@10": 2 / 3,
    "RR": 1 / 2,
    "Judged@10": 3 / 10,
}


def test_evaluate_gives_measures_worked_out_by_hand() -> None:
    values = evaluate({"q": GRADES}, {"q": TWELVE})
    assert values.keys() == set(MEASURES)
    for name, expected in EXPECTED.items():
        assert values[name] == {"q": pytest.approx(expected)}


@pytest.mark.parametrize("factor", [0.5, 0.25, 1 / 3])
def test_evaluate_takes_fractional_grades(factor: float) -> None:
    scaled = {doc_id: grade * factor for doc_id, grade in GRADES.items()}
    values = evaluate({"q": scaled}, {"q": TWELVE})
    for name, expected in EXPECTED.items():
        assert values[name]["q"] == pytest.approx(expected, abs=1e-4)


def test_evaluate_is_not_disturbed_by_fractional_grades_of_another_query() -> None:
    values = evaluate({"q": GRADES, "r": {"a": 0.1}}, {"q": TWELVE, "r": ranking("b", "a")})
    for name, expected in EXPECTED.items():
        assert values[name]["q"] == pytest.approx(expected)
    assert values["nDCG@10"]["r"] == pytest.approx(1 / log2(3))


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
def test_evaluate_keeps_the_given_order_when_scores_are_equal(order: tuple[str, ...]) -> None:
    values = evaluate({"q": {"a": 1.0}}, {"q": ranking(*order, scores=[0.5, 0.5, 0.5])})
    assert values["RR"]["q"] == pytest.approx(1 / (order.index("a") + 1))


def test_evaluate_leaves_out_queries_that_cannot_be_measured() -> None:
    qrels = {"good": {"a": 1.0}, "nothing relevant": {"a": 0.0}, "unjudged": {}, "not run": {"a": 1.0}}
    run = {name: ranking("a", "b") for name in ("good", "nothing relevant", "unjudged", "unknown")}
    values = evaluate(qrels, run)
    assert [list(by_query) for by_query in values.values()] == [["good"]] * 4


def test_evaluate_gives_no_values_when_there_is_nothing_to_measure() -> None:
    assert evaluate({}, {"q": TWELVE}) == {name: {} for name in MEASURES}


def test_evaluate_gives_zero_when_no_relevant_document_was_found() -> None:
    values = evaluate({"q": {"a": 1.0}}, {"q": ranking("b", "c")})
    assert [by_query["q"] for by_query in values.values()] == [0, 0, 0, 0]


def test_evaluate_gives_zero_when_the_ranking_is_empty() -> None:
    values = evaluate({"q": {"a": 1.0}, "r": {"a": 1.0}}, {"q": [], "r": ranking("a")})
    assert [by_query["q"] for by_query in values.values()] == [0, 0, 0, 0]


def test_evaluate_takes_other_measures_by_name() -> None:
    values = evaluate({"q": GRADES}, {"q": TWELVE}, ["P@2", "R@100"])
    assert values == {"P@2": {"q": pytest.approx(0.5)}, "R@100": {"q": pytest.approx(1)}}


@pytest.mark.parametrize("name", ["nonsense", "nDCG@x", ""])
def test_evaluate_refuses_an_unknown_measure(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        evaluate({"q": GRADES}, {"q": TWELVE}, [name])


def values_of(*numbers: float) -> dict[str, float]:
    return {f"q{i}": number for i, number in enumerate(numbers)}


@pytest.mark.parametrize(
    "changes",
    [
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        [0.3, -0.1, 0.2, 0.25, -0.05, 0.4],
        [-0.3, -0.2, 0.05, 0.0, -0.1, -0.4],
        [0.1, -0.1, 0.2, -0.2, 0.0, 0.3],
    ],
)
def test_paired_difference_p_value_counts_all_changes_of_sign(changes: list[float]) -> None:
    sums = [sum(s * c for s, c in zip(signs, changes, strict=True)) for signs in itertools.product((1, -1), repeat=6)]
    expected = np.mean([abs(total) >= abs(sum(changes)) - 1e-9 for total in sums])
    before = values_of(*[0.5] * 6)
    after = values_of(*(0.5 + change for change in changes))
    assert paired_difference(before, after).p_value == pytest.approx(expected)
    assert paired_difference(after, before).p_value == pytest.approx(expected)


def test_paired_difference_p_value_is_close_to_the_normal_one_when_there_are_many_queries() -> None:
    changes = np.random.default_rng(0).normal(0.02, 0.1, size=100)
    found = paired_difference(values_of(*[0.0] * 100), values_of(*changes))
    z = abs(changes.mean()) / (np.sqrt((changes**2).sum()) / 100)
    assert found.p_value == pytest.approx(2 * (1 - 0.5 * (1 + erf(z / 2**0.5))), abs=0.03)


def test_paired_difference_interval_is_close_to_the_normal_one_when_there_are_many_queries() -> None:
    changes = np.random.default_rng(0).normal(0.05, 0.1, size=200)
    found = paired_difference(values_of(*[0.2] * 200), values_of(*(0.2 + changes)))
    error = changes.std() / 200**0.5
    assert found.low == pytest.approx(changes.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(changes.mean() + 1.96 * error, abs=0.15 * error)


def test_paired_difference_counts_and_means() -> None:
    found = paired_difference(values_of(0.5, 0.5, 0.5, 0.2, 0.1), values_of(0.7, 0.4, 0.5, 0.2 + 1e-12, 0.9))
    assert (found.n_better, found.n_same, found.n_worse, found.n) == (2, 2, 1, 5)
    assert found.before == pytest.approx(0.36)
    assert found.after == pytest.approx(0.54)
    assert found.difference == pytest.approx(0.18)
    assert found.low < 0.18 < found.high
    assert found.low >= -0.1 - 1e-9
    assert found.high <= 0.8 + 1e-9


def test_paired_difference_pairs_by_query_and_not_by_order() -> None:
    found = paired_difference({"a": 0.1, "b": 0.9, "c": 0.5}, {"c": 0.5, "b": 0.9, "a": 0.1})
    assert (found.n_same, found.n) == (3, 3)


def test_paired_difference_proves_nothing_when_nothing_changed() -> None:
    found = paired_difference(values_of(0.1, 0.7, 0.4), values_of(0.1, 0.7, 0.4))
    assert (found.p_value, found.low, found.high, found.difference) == (1, 0, 0, 0)


def test_paired_difference_proves_nothing_when_there_is_one_query() -> None:
    found = paired_difference({"q": 0.25}, {"q": 0.75})
    assert (found.p_value, found.low, found.high) == (1, 0.5, 0.5)
    assert found.n_better == 1


def test_paired_difference_repeats_itself_for_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    before, after = values_of(*rng.random(30)), values_of(*rng.random(30))
    assert paired_difference(before, after, seed=1) == paired_difference(before, after, seed=1)
    assert paired_difference(before, after, seed=1).low != paired_difference(before, after, seed=2).low


@pytest.mark.parametrize(("before", "after"), [({}, {}), ({"a": 1.0}, {"b": 1.0}), ({"a": 1.0}, {"a": 1.0, "b": 0.0})])
def test_paired_difference_refuses_different_queries(before: dict[str, float], after: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(before, after)
