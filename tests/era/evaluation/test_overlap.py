import itertools

import numpy as np
import pytest

from era.evaluation.overlap import Overlap, mean_overlap, overlap
from era.types import ScoredDoc


def ranking(doc_ids: str) -> list[ScoredDoc]:
    return [ScoredDoc(doc_id, -float(place)) for place, doc_id in enumerate(doc_ids)]


def rbo(one: str, other: str, persistence: float = 0.9) -> float:
    return overlap(ranking(one), ranking(other), persistence=persistence).rbo


def test_overlap_of_the_same_ranking_is_complete() -> None:
    found = overlap(ranking("abcd"), ranking("abcd"))
    assert found.rbo == pytest.approx(1)
    assert found.kendall_tau == pytest.approx(1)
    assert (found.jaccard, found.n_shared) == (1, 4)


def test_overlap_of_rankings_without_a_common_document_is_none() -> None:
    assert overlap(ranking("abc"), ranking("xyz")) == Overlap(0, 0, None, 0)


@pytest.mark.parametrize(("one", "other", "expected"), [("", "", 1), ("abc", "", 0), ("", "abc", 0)])
def test_overlap_of_empty_rankings(one: str, other: str, expected: float) -> None:
    assert overlap(ranking(one), ranking(other)) == Overlap(expected, expected, None, 0)


def test_overlap_weighs_the_agreement_at_each_depth() -> None:
    # agreement down to 1, 2 and 3: 0, 2/2, 2/3; the last goes on for ever
    assert rbo("abc", "bax", 0.8) == pytest.approx(0.2 * (0 + 0.8 * 1 + 0.64 * 2 / 3) + 0.512 * 2 / 3)


def test_overlap_continues_the_shorter_ranking_with_the_agreement_it_had() -> None:
    # met down to 1..4: 1, 1, 2, 2; the second ranking ends at 2 with 1 of 2, so 1/2 is expected of each further place
    seen = 1 + 0.5 * 1 / 2 + 0.25 * (2 + 0.5) / 3 + 0.125 * (2 + 1) / 4
    assert rbo("axbc", "ab", 0.5) == pytest.approx(0.5 * seen + 0.0625 * ((2 - 1) / 4 + 1 / 2))


@pytest.mark.parametrize(
    ("one", "other", "persistence", "expected"),
    [
        ("abcde", "bac", 0.9, 0.9),
        ("abcdefg", "bhcda", 0.9, 0.678555),
        ("abcdefg", "bhcda", 0.5, 0.3052083333333333),
        ("abc", "cbaxyzw", 0.98, 0.9702),
        ("ab", "bc", 0.7, 0.35),
    ],
)
def test_overlap_agrees_with_the_package_rbo(one: str, other: str, persistence: float, expected: float) -> None:
    # RankingSimilarity(one, other).rbo_ext(persistence) of rbo 0.1.3, which cannot be installed beside numpy 2
    assert rbo(one, other, persistence) == pytest.approx(expected, abs=1e-12)
    assert rbo(other, one, persistence) == pytest.approx(expected, abs=1e-12)


def test_overlap_gives_the_first_places_more_weight() -> None:
    assert rbo("abcdef", "bacdef") < rbo("abcdef", "abcdfe")


def test_overlap_counts_the_documents_of_the_first_places() -> None:
    one, other = ranking("abcdef"), ranking("bxycza")
    assert overlap(one, other, depth=4).jaccard == pytest.approx(2 / 6)
    assert overlap(one, other, depth=100).jaccard == pytest.approx(3 / 9)
    assert overlap(one, other, depth=1).jaccard == 0


def test_overlap_counts_a_short_ranking_as_it_is() -> None:
    assert overlap(ranking("ab"), ranking("abcd")).jaccard == pytest.approx(2 / 4)


@pytest.mark.parametrize("order", itertools.permutations("abcd"))
def test_overlap_counts_pairs_in_the_same_order(order: tuple[str, ...]) -> None:
    other = "x" + "".join(order[:2]) + "y" + "".join(order[2:])  # what one ranking alone holds does not matter
    pairs = [order.index(left) < order.index(right) for left, right in itertools.combinations("abcd", 2)]
    found = overlap(ranking("azbcd"), ranking(other))
    assert found.kendall_tau == pytest.approx((2 * sum(pairs) - 6) / 6)
    assert found.n_shared == 4


def test_overlap_has_no_order_with_one_common_document() -> None:
    found = overlap(ranking("abc"), ranking("xay"))
    assert (found.kendall_tau, found.n_shared) == (None, 1)


def test_overlap_of_two_common_documents_is_for_or_against() -> None:
    assert overlap(ranking("ab"), ranking("ba")).kendall_tau == pytest.approx(-1)
    assert overlap(ranking("ab"), ranking("axb")).kendall_tau == pytest.approx(1)


@pytest.mark.parametrize(("depth", "persistence"), [(0, 0.9), (10, 0.0), (10, 1.0)])
def test_overlap_refuses_what_has_no_meaning(depth: int, persistence: float) -> None:
    with pytest.raises(ValueError, match="depth >= 1"):
        overlap(ranking("a"), ranking("a"), depth, persistence)


def test_overlap_refuses_a_document_that_stands_twice() -> None:
    with pytest.raises(ValueError, match="once"):
        overlap(ranking("aba"), ranking("ab"))


def test_overlap_stays_between_zero_and_one_for_any_lengths() -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghij"))
    for _ in range(200):
        one, other = ("".join(rng.permutation(letters)[: rng.integers(1, 11)]) for _ in range(2))
        value = rbo(one, other, 0.95)
        assert 0 <= value <= 1
        assert value == pytest.approx(rbo(other, one, 0.95))


def test_mean_overlap_averages_over_queries() -> None:
    pairs = [("ab", "ab"), ("ab", "ba"), ("ab", "xy"), ("ab", "bx")]
    found = mean_overlap([(ranking(one), ranking(other)) for one, other in pairs])
    # rbo of the second: 0 at the first place, all from the second on; of the last: half from the second on
    assert found.rbo == pytest.approx((1 + 0.9 + 0 + 0.45) / 4)
    assert found.jaccard == pytest.approx((1 + 1 + 0 + 1 / 3) / 4)
    assert found.kendall_tau == pytest.approx(0)
    assert (found.n_shared, found.n) == (5 / 4, 4)


def test_mean_overlap_takes_the_order_of_those_that_have_one() -> None:
    found = mean_overlap([(ranking("abc"), ranking("acb")), (ranking("ab"), ranking("xy"))])
    assert found.kendall_tau == pytest.approx(1 / 3)
    assert mean_overlap([(ranking("ab"), ranking("xy"))]).kendall_tau is None


def test_mean_overlap_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        mean_overlap([])
