"""Rankings of which only some documents were judged: what drawn documents stand for, estimates, and what is certain."""

from collections.abc import Sequence
from itertools import combinations
from math import log2

import pytest

from era.evaluation.incomplete_judgments import (
    Bounds,
    Sample,
    SampledQuery,
    bound_difference,
    cutoff_of,
    estimate_ndcg,
    is_sampled,
    weigh,
)
from era.evaluation.measures import evaluate
from era.types import ScoredDoc


def ranking(doc_ids: Sequence[str]) -> list[ScoredDoc]:
    return [ScoredDoc(doc_id, -float(place)) for place, doc_id in enumerate(doc_ids)]


def discount(place: int) -> float:
    return 1 / log2(place + 1)


def test_a_drawn_document_stands_for_those_that_were_not() -> None:
    sample = Sample(("a", "b"), ("c", "d", "e", "f"))
    assert weigh(SampledQuery({"a": 1.0, "b": 0.0, "x": 1.0}, (sample,))) == {"a": 3.0, "b": 3.0, "x": 1.0}
    assert weigh(SampledQuery({"a": 1.0}, (sample,))) == {"a": 6.0}  # only one of the two was judged so far
    assert weigh(SampledQuery({"a": 1.0}, (Sample(("a",), ("b",), is_deep=True),))) == {"a": 1.0}


def test_what_was_chosen_counts_once_the_whole_sample_is_judged() -> None:
    sample = Sample(("a", "b"), ("c", "d"))
    assert weigh(SampledQuery({"a": 1.0, "b": 0.0, "c": 1.0}, (sample,))) == {"a": 2.0, "b": 2.0, "c": 0.0}
    assert weigh(SampledQuery(dict.fromkeys("abcd", 1.0), (sample,))) == dict.fromkeys("abcd", 1.0)
    assert weigh(SampledQuery({"c": 1.0}, (sample,))) == {"c": 1.0}  # nothing drawn was judged yet


def test_is_sampled_only_where_something_stands_for_more_than_itself() -> None:
    assert is_sampled(SampledQuery({"a": 0.0}, (Sample(("a",), ("b",)),)))
    assert not is_sampled(SampledQuery({"a": 1.0}, (Sample(("a",), ()),)))
    assert not is_sampled(SampledQuery({"a": 1.0}))
    assert is_sampled(SampledQuery({"a": 1.0, "z": 1.0}, (Sample(("z",), ("y",), is_deep=True),)))
    assert not is_sampled(SampledQuery({"a": 1.0, "z": 0.0}, (Sample(("z",), ("y",), is_deep=True),)))


def test_estimate_is_the_ratio_of_gains_to_ideals() -> None:
    # a for certain at place 1 of the first ranking; of b, c, d one was drawn: c, which is relevant and stands for three
    queries = {"q": SampledQuery({"a": 1.0, "c": 1.0}, (Sample(("c",), ("b", "d")),)), "r": SampledQuery({"z": 2.0})}
    runs = [
        {"q": ranking("abcd"), "r": ranking("yz")},
        {"q": ranking("cbda"), "r": ranking("zy")},
    ]
    found = estimate_ndcg(queries, runs, 3)
    assert found.gains[0] == pytest.approx({"q": 1 + 3 * discount(3), "r": 2 * discount(2)})
    assert found.gains[1] == pytest.approx({"q": 3.0, "r": 2.0})  # a stands below the third place
    ideal = 1 + discount(2) + discount(3)
    assert found.ideals == pytest.approx({"q": ideal, "r": 2.0})  # four relevant documents, three places
    assert found.means() == pytest.approx([(1 + 3 * discount(3) + 2 * discount(2)) / (ideal + 2), 5 / (ideal + 2)])


def test_what_all_first_places_miss_counts_in_the_ideal() -> None:
    # two of six were drawn from below for q, one is relevant and stands for three, two of them not found; r knows of
    # none missing; so in the mean one is missing for each of them; nothing is known of s
    deep = Sample(("x", "y"), ("u", "v", "w", "t"), is_deep=True)
    queries = {
        "q": SampledQuery({"a": 1.0, "x": 1.0, "y": 0.0}, (deep,)),
        "r": SampledQuery({"a": 1.0, "x": 0.0}, (Sample(("x",), ("y",), is_deep=True),)),
        "s": SampledQuery({"a": 1.0}),
    }
    found = estimate_ndcg(queries, [{query_id: ranking("a") for query_id in queries}], 10)
    one = 1 + discount(2)
    assert found.ideals == pytest.approx({"q": one + discount(3), "r": one, "s": 1.0})


def test_deep_documents_that_a_later_ranking_shows_first_are_no_longer_missed() -> None:
    deep = Sample(("x",), ("u", "v", "w"), is_deep=True)
    later = Sample(("u",), ("v",))
    queries = {"q": SampledQuery({"a": 1.0, "x": 1.0, "u": 0.0}, (deep, later))}
    [ideal] = estimate_ndcg(queries, [{"q": ranking("a")}], 10).ideals.values()
    assert ideal == pytest.approx(1 + discount(2) + discount(3))  # a, x, and w, for which x stands


def test_rankings_that_are_judged_to_the_last_place_are_not_estimated() -> None:
    query = SampledQuery({"a": 1.0, "b": 0.0, "c": 1.0}, (Sample(("a",), ("b", "c", "d")),))
    judged, open_ = {"q": ranking("ac")}, {"q": ranking("ad")}
    assert estimate_ndcg({"q": query}, [judged], 2).gains[0]["q"] == pytest.approx(1 + discount(2))
    assert [side["q"] for side in estimate_ndcg({"q": query}, [judged, open_], 2).gains] == [4.0, 4.0]


def test_the_ideal_is_no_less_than_what_is_known() -> None:
    deep = Sample(("x",), ("u", "v"), is_deep=True)
    chosen = SampledQuery({"a": 1.0, "x": 0.0, "u": 1.0}, (deep,))
    found = estimate_ndcg({"q": chosen}, [{"q": ranking("ua")}], 10)
    assert found.ideals["q"] == pytest.approx(1 + discount(2))  # by the drawn one alone it were 1
    assert found.gains[0]["q"] == pytest.approx(1 + discount(2))


def test_estimate_is_right_on_average_over_all_draws() -> None:
    grades = dict(zip("abcdefgh", [1.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0, 1.0], strict=True))
    runs = [{"q": ranking("abcdefgh")}, {"q": ranking("hgfedcba")}]
    certain, rest = "ah", "bcdefg"
    gains = []
    for drawn in combinations(rest, 2):
        judged = {doc_id: grades[doc_id] for doc_id in (*certain, *drawn, "e")}  # e was chosen, whatever was drawn
        sample = Sample(drawn, tuple(doc_id for doc_id in rest if doc_id not in drawn))
        found = estimate_ndcg({"q": SampledQuery(judged, (sample,))}, runs, 8)
        gains.append([side["q"] for side in found.gains])
    full = estimate_ndcg({"q": SampledQuery(grades)}, runs, 8)
    assert [sum(side) / 15 for side in zip(*gains, strict=True)] == pytest.approx([side["q"] for side in full.gains])


def test_a_query_whose_relevant_documents_were_all_chosen_still_has_an_ideal() -> None:
    """What was drawn is not relevant and a was not drawn, so by the draw alone nothing is; yet a is known to be."""
    chosen = SampledQuery({"a": 1.0, "b": 0.0}, (Sample(("b",), ("a", "c")),))
    found = estimate_ndcg({"q": chosen, "r": SampledQuery({"z": 1.0})}, [{"q": ranking("cab"), "r": ranking("z")}], 3)
    assert found.ideals == {"q": 1.0, "r": 1.0}
    assert found.gains == [{"q": 0.0, "r": 1.0}]


def test_estimate_with_everything_judged_is_the_usual_measure() -> None:
    grades = {"a": 3.0, "b": 0.0, "c": 1.0, "d": 2.0, "e": 1.0}
    runs = [{"q": ranking("bacde")}, {"q": ranking("edcba")}]
    estimate = estimate_ndcg({"q": SampledQuery(grades)}, runs, 3).means()
    assert estimate == pytest.approx([evaluate({"q": grades}, run, ["nDCG@3"])["nDCG@3"]["q"] for run in runs])


def test_estimate_refuses_what_has_no_ideal() -> None:
    with pytest.raises(ValueError, match="at least one query"):
        estimate_ndcg({}, [], 10)
    with pytest.raises(ValueError, match="'q' has nothing"):
        estimate_ndcg({"q": SampledQuery({"a": 0.0})}, [{}], 10)


@pytest.mark.parametrize(
    ("measure", "k"),
    [("nDCG@10", 10), ("nDCG@1", 1), ("nDCG@11", None), ("nDCG@0", None), ("nDCG", None), ("RR@10", None)],
)
def test_cutoff_of(measure: str, k: int | None) -> None:
    assert cutoff_of(measure) == k


def test_bounds_let_everything_open_speak_for_either_side() -> None:
    # a is relevant and first on both; b stands second before only, c second after only
    before, after = {"q": ranking("ab")}, {"q": ranking("ac")}
    lost = (1 + discount(2)) / (1 + discount(2)) - 1 / (1 + discount(2))
    found = bound_difference({"q": {"a": 1.0}}, before, after, "nDCG@10")
    assert (found.low, found.high) == pytest.approx((-lost, lost))
    assert (found.n_unjudged, found.could_turn) == (2, True)


def test_bounds_close_when_all_is_judged_or_seen() -> None:
    before, after = {"q": ranking("ab")}, {"q": ranking("ba")}
    change = discount(2) - 1
    judged = bound_difference({"q": {"a": 1.0, "b": 0.0}}, before, after, "nDCG@10")
    assert (judged.low, judged.high, judged.n_unjudged) == pytest.approx((change, change, 0))
    assert not judged.could_turn
    seen = bound_difference({"q": {"a": 1.0}}, before, after, "nDCG@10", seen={("q", "b")})
    assert (seen.low, seen.high, seen.n_unjudged) == pytest.approx((change, change, 0))


def test_bounds_use_the_highest_grade_there_is_and_the_measure_that_decides() -> None:
    before, after = {"q": ranking("ab")}, {"q": ranking("a")}
    found = bound_difference({"q": {"a": 1.0}, "other": {"z": 9.0}}, before, after, "RR")
    assert (found.low, found.high) == (0.0, 0.0)  # a comes first whatever b is
    graded = bound_difference({"q": {"a": 2.0, "c": 1.0}}, before, after, "nDCG@10")
    ideal = 2 + 2 * discount(2) + discount(3)
    assert graded.low == pytest.approx(2 / ideal - (2 + 2 * discount(2)) / ideal)
    assert graded.high == 0.0


def test_bounds_look_at_the_first_ten_alone() -> None:
    before, after = {"q": ranking("abcdefghijX")}, {"q": ranking("abcdefghijY")}
    grades = dict.fromkeys("abcdefghij", 1.0)
    assert bound_difference({"q": grades}, before, after, "R@100") == Bounds(0.0, 0.0, 0)
    assert bound_difference({}, {}, {}, "nDCG@10") == Bounds(0.0, 0.0, 0)
