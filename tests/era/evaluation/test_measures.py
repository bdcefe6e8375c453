from math import inf, log2, nan

import pytest

from era.evaluation.measures import COMPARISON_MEASURES, MEASURES, depth_of, evaluate, parse_measure_names
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


def test_evaluate_names_values_as_the_caller_names_measures() -> None:
    values = evaluate({"q": GRADES}, {"q": TWELVE}, ["MRR", "RR", "NDCG@10", "recall@10", "Precision@2"])
    assert values == {
        "MRR": {"q": pytest.approx(1 / 2)},
        "RR": {"q": pytest.approx(1 / 2)},
        "NDCG@10": {"q": pytest.approx(EXPECTED["nDCG@10"])},
        "recall@10": {"q": pytest.approx(2 / 3)},
        "Precision@2": {"q": pytest.approx(1 / 2)},
    }


def test_evaluate_counts_documents_from_the_threshold_on() -> None:
    # grade 2 stands at 11, grade 3 at 2, grade 1 at 4
    names = ["P@4", "R@10", "RR", "AP", "Rprec", "Success@1", "SetP", "nDCG@10", "Judged@10"]
    values = evaluate({"q": GRADES}, {"q": TWELVE}, names, threshold=2.0)
    assert {name: by_query["q"] for name, by_query in values.items()} == {
        "P@4": pytest.approx(1 / 4),
        "R@10": pytest.approx(1 / 2),
        "RR": pytest.approx(1 / 2),
        "AP": pytest.approx((1 / 2 + 2 / 11) / 2),
        "Rprec": pytest.approx(1 / 2),
        "Success@1": 0,
        "SetP": pytest.approx(2 / 12),
        "nDCG@10": pytest.approx(EXPECTED["nDCG@10"]),
        "Judged@10": pytest.approx(3 / 10),
    }


def test_evaluate_measures_queries_with_a_document_at_the_threshold() -> None:
    qrels = {"at": {"a": 2.0}, "above": {"a": 3.0}, "below": {"a": 1.0, "b": 0.0}}
    run = {name: ranking("b", "a") for name in qrels}
    assert evaluate(qrels, run, ["RR"], threshold=2.0) == {"RR": {"at": 0.5, "above": 0.5}}
    assert evaluate(qrels, run, ["RR"]) == {"RR": {"at": 0.5, "above": 0.5, "below": 0.5}}


FRACTIONS = {"a": 0.3, "b": 0.5, "c": 2.0, "d": 0.0, "e": 0.8667}
FIVE = ranking("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("name", "threshold", "expected"),
    [
        ("P@5", None, 4 / 5),
        ("P@5", 0.5, 3 / 5),
        ("P@5", 0.8667, 2 / 5),
        ("P@5", 1.0, 1 / 5),
        ("RR", 0.5, 1 / 2),
        ("RR@3", 1.0, 1 / 3),
        ("P(rel=2)@5", None, 1 / 5),
        ("P(rel=1)@5", None, 1 / 5),
        ("P(rel=0.5)@5", None, 3 / 5),
        ("P(rel=0.5)@5", 2.0, 3 / 5),
        ("R(rel=0.5)@3", None, 2 / 3),
    ],
)
def test_evaluate_takes_levels_of_fractional_grades(name: str, threshold: float | None, expected: float) -> None:
    assert evaluate({"q": FRACTIONS}, {"q": FIVE}, [name], threshold) == {name: {"q": pytest.approx(expected)}}


def test_evaluate_takes_a_fractional_threshold_of_whole_grades() -> None:
    for threshold, n_relevant in ((0.4, 3), (1.5, 2), (2.5, 1)):
        values = evaluate({"q": GRADES}, {"q": TWELVE}, ["P@12"], threshold)
        assert values == {"P@12": {"q": pytest.approx(n_relevant / 12)}}


def test_evaluate_takes_the_smallest_grade_above_zero_as_relevant() -> None:
    assert evaluate({"q": {"a": 1e-6}}, {"q": ranking("b", "a")}, ["RR"]) == {"RR": {"q": 0.5}}


def test_evaluate_tells_measures_apart_that_differ_in_a_parameter_alone() -> None:
    names = ["AP(rel=1)@10", "AP@10", "AP(rel=2)@10", "AP(judged_only=True)@10", "SetF", "SetF(beta=2.0)"]
    values = {name: by_query["q"] for name, by_query in evaluate({"q": GRADES}, {"q": TWELVE}, names).items()}
    precision, recall = 3 / 12, 3 / 3
    assert values == {
        "AP(rel=1)@10": pytest.approx((1 / 2 + 2 / 4) / 3),
        "AP@10": pytest.approx((1 / 2 + 2 / 4) / 3),
        "AP(rel=2)@10": pytest.approx(1 / 2 / 2),
        "AP(judged_only=True)@10": pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3),
        "SetF": pytest.approx(2 * precision * recall / (precision + recall)),
        # trec_eval does not square beta
        "SetF(beta=2.0)": pytest.approx(3 * precision * recall / (2 * precision + recall)),
    }


@pytest.mark.parametrize("threshold", [0.0, -1.0, inf, nan])
def test_evaluate_refuses_a_threshold_that_is_not_above_zero(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold above 0"):
        evaluate({"q": GRADES}, {"q": TWELVE}, threshold=threshold)


UNUSABLE = {
    "nonsense": "no measure 'nonsense'",
    "nDCG@x": "no measure 'nDCG@x'",
    "": "no measure ''",
    "nDCG@0": "from 1 to 1000, not 0",
    "Judged@0": "from 1 to 1000, not 0",
    "R@1001": "from 1 to 1000, not 1001",
    "P@2.5": "whole number",
    "P": "'P' needs a number",
    "P(rel=0)@5": "rel has to be a number",
    "P(rel=two)@5": "cannot be read",
    "P(rel=True)@5": "rel cannot be True",
    "P(depth=2)@5": "P has no depth",
    "Judged(rel=2)@5": "Judged has no rel",
    "nDCG(gains={1:5})@10": "gains cannot be",
    "NumRet": "'NumRet' cannot be computed here",
    "ERR@20": "'ERR@20' cannot be computed here",
    "RBP(rel=1)": "'RBP.*' cannot be computed here",
    "alpha_nDCG@10": "'alpha_nDCG@10' cannot be computed here",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_evaluate_refuses_a_measure_that_cannot_be_computed_and_gives_examples(name: str) -> None:
    with pytest.raises(ValueError, match=UNUSABLE[name]) as refused:
        evaluate({"q": GRADES}, {"q": TWELVE}, ["RR", name])
    assert "Use names such as nDCG@10" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nDCG@10, R@100 RR", ("nDCG@10", "R@100", "RR")),
        ("  RR;;\tP@5,\n", ("RR", "P@5")),
        ("P( rel = 2 )@5 RR", ("P(rel=2)@5", "RR")),
        ("P(rel=2, judged_only=True)@5", ("P(rel=2,judged_only=True)@5",)),
        ("MRR recall@100 PRECISION@10 ndcg@10 map hit@5", ("RR", "R@100", "P@10", "nDCG@10", "AP", "Success@5")),
        ("RR mrr MRR nDCG@10 NDCG@10", ("RR", "nDCG@10")),
        ("P(rel=1)@5 P@5 RR(rel=1)", ("P(rel=1)@5", "P@5", "RR(rel=1)")),
        ("SetF(beta=2) nDCG", ("SetF(beta=2.0)", "nDCG")),
        (" ".join(COMPARISON_MEASURES), COMPARISON_MEASURES),
    ],
)
def test_parse_measure_names_reads_a_line(text: str, expected: tuple[str, ...]) -> None:
    assert parse_measure_names(text) == expected
    assert parse_measure_names(" ".join(expected)) == expected


@pytest.mark.parametrize("name", [name for name in UNUSABLE if name])
def test_parse_measure_names_refuses_what_cannot_be_computed(name: str) -> None:
    with pytest.raises(ValueError, match=UNUSABLE[name]):
        parse_measure_names(f"RR, {name}")


def test_parse_measure_names_refuses_none_and_too_many() -> None:
    twelve = [f"P@{cutoff}" for cutoff in range(1, 13)]
    assert parse_measure_names(" ".join([*twelve, "P@1"])) == tuple(twelve)
    with pytest.raises(ValueError, match="at most 12 measures, got 13"):
        parse_measure_names(" ".join([*twelve, "P@13"]))
    with pytest.raises(ValueError, match="at least one"):
        parse_measure_names(" , ")
    with pytest.raises(ValueError, match="characters"):
        parse_measure_names("RR " * 1000)


def test_depth_of_is_the_deepest_cutoff_but_at_least_one_hundred() -> None:
    assert depth_of(MEASURES) == 100
    assert depth_of(["RR", "nDCG@10"]) == 100
    assert depth_of(["RR", "Recall@500", "P(cutoff=200)"]) == 500
    with pytest.raises(ValueError, match="from 1 to 1000"):
        depth_of(["R@2000"])
