"""Agreement of several judges, against published values, hand calculation and the library."""

from collections.abc import Mapping, Sequence
from itertools import product

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.judging.agreement import (
    Agreement,
    PairAgreement,
    agreement,
    agreement_by_pair,
    agreement_with_imported,
    in_words,
    ordinal_alphas,
)
from storage.records import JudgmentRole, StandingMark

JUDGE, ADJUDICATOR, REFERENCE = JudgmentRole.JUDGE, JudgmentRole.ADJUDICATOR, JudgmentRole.REFERENCE

KRIPPENDORFF_C = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}
"""Four observers and twelve units with missing values: Krippendorff 2011, part C; the last unit has one value only."""


def marks_of(rows: Mapping[str, str], role: JudgmentRole = JUDGE) -> list[StandingMark]:
    """Return one mark for each number; a dot is an author who could not tell."""
    return [
        StandingMark(place // 5, f"d{place}", author, role, None if word == "." else float(word))
        for author, row in rows.items()
        for place, word in enumerate(row.split())
    ]


def measured(rows: Mapping[str, str]) -> Agreement:
    result = agreement(marks_of(rows))
    assert result is not None
    return result


def test_agreement_is_the_published_ordinal_value() -> None:
    result = measured(KRIPPENDORFF_C)
    assert result.alpha == pytest.approx(0.815, abs=0.0005)
    assert (result.n_pairs, result.n_people, result.n_queries) == (11, 4, 3)
    assert result.low is not None
    assert result.high is not None
    assert result.alpha is not None
    assert result.low < result.alpha <= result.high <= 1


def test_agreement_is_the_published_value_for_two_grades() -> None:
    result = measured({"Meg": "0 1 0 0 0 0 0 0 1 0", "Owen": "1 1 1 0 0 1 0 0 0 0"})
    # Krippendorff 2011, part A: 1 - 19 * 4 / (14 * 6), where 20 values are 14 zeros and 6 ones with 4 mismatches
    assert result.alpha == pytest.approx(1 - 19 * 4 / (14 * 6))


def test_agreement_takes_grades_as_ranks() -> None:
    # Mid-ranks of 0, 1, 2 among 0 0 0 1 1 2 are 1.5, 4, 5.5; observed 2 * 16, expected
    # 2 * (3*2*2.5**2 + 3*1*4**2 + 2*1*1.5**2) / 5 = 36
    assert measured({"ann": "0 1 0", "bob": "0 1 2"}).alpha == pytest.approx(1 - 32 / 36)
    assert measured({"ann": "0 1 0", "bob": "0 1 9"}).alpha == pytest.approx(1 - 32 / 36)


def test_agreement_is_below_zero_when_people_contradict_each_other() -> None:
    # 2 zeros and 2 ones, both units mismatch: 1 - 3 * 2 / (2 * 2)
    assert measured({"ann": "0 1", "bob": "1 0"}).alpha == pytest.approx(-0.5)


def test_agreement_is_one_when_all_agree() -> None:
    found = measured({"ann": "0 1 2 3 0 1", "bob": "0 1 2 3 0 1"})
    assert found == Agreement(1.0, 1.0, 1.0, 1.0, n_pairs=6, n_queries=2, n_rarer=4, n_people=2)


def test_agreement_cannot_be_told_when_all_grades_are_equal() -> None:
    found = measured({"ann": "2 2 .", "bob": "2 2 0", "cat": "2 . ."})
    assert found == Agreement(None, None, None, 1.0, n_pairs=2, n_queries=1, n_rarer=0, n_people=3)
    assert in_words(found) == "cannot be told, since all grades are equal"


def test_agreement_has_no_interval_when_there_is_one_query() -> None:
    found = measured({"ann": "0 1 0 1", "bob": "0 1 0 0"})
    assert found.alpha is not None
    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"ann": "1 1 0 0", "bob": "1 0 1 0"}, 0.5),  # 1 shared of 2 and 2: 2 * 1 / 4
        ({"ann": "3 1 0 0", "bob": "1 2 0 0"}, 1.0),  # any grade above 0
        ({"ann": "1 0", "bob": "1 0", "cat": "0 0"}, 0.5),  # of 2 positives each is shared by 1 of 2 others
        ({"ann": "0 0", "bob": "0 0"}, None),
    ],
)
def test_positive_agreement_is_the_share_of_relevant_grades_that_others_share(
    rows: dict[str, str], expected: float | None
) -> None:
    assert measured(rows).positive == expected


@pytest.mark.parametrize(
    "rows",
    [{}, {"ann": "0 1 2"}, {"ann": "0 1 . .", "bob": ". . 2 3"}],
    ids=["no marks", "one author", "nothing in common"],
)
def test_agreement_is_none_when_there_is_too_little_to_compare(rows: Mapping[str, str]) -> None:
    assert agreement(marks_of(rows)) is None


@pytest.mark.parametrize("role", [REFERENCE, ADJUDICATOR])
def test_agreement_compares_judges_alone(role: JudgmentRole) -> None:
    judged = marks_of({"ann": "0 1 0 1"})
    assert agreement(judged + marks_of({"cat": "0 0 0 1"}, role)) is None
    both = judged + marks_of({"bob": "0 1 0 1"})
    found = agreement(both + marks_of({"cat": "1 0 1 0"}, role))
    assert found == agreement(both)
    assert found is not None
    assert found.n_people == 2


def test_agreement_keeps_the_same_document_of_two_queries_apart() -> None:
    marks = [StandingMark(q, "d", author, JUDGE, float(q)) for q, author in product((0, 1), ("ann", "bob"))]
    assert agreement(marks) == Agreement(1.0, 1.0, 1.0, 1.0, n_pairs=2, n_queries=2, n_rarer=2, n_people=2)


def random_counts(seed: int, n_units: int) -> np.ndarray[tuple[int, int], np.dtype[np.int_]]:
    """Return the counts of three people who see the same grade from 0 to 3, each right in two of three cases."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, size=(n_units, 1))
    grades = np.where(rng.random((n_units, 3)) < 2 / 3, truth, rng.integers(0, 4, size=(n_units, 3)))
    counts = np.array([[int((row == grade).sum()) for grade in range(4)] for row in grades])
    return counts.reshape(n_units, 4)


def library_alpha(counts: np.ndarray[tuple[int, int], np.dtype[np.int_]]) -> float:
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal"))


def test_interval_is_that_of_queries_drawn_one_by_one() -> None:
    counts = random_counts(seed=5, n_units=60)
    marks = [
        StandingMark(unit // 3, f"d{unit}", f"p{place}", JUDGE, float(grade))
        for unit, row in enumerate(counts)
        for place, grade in enumerate(np.repeat(np.arange(4), row))
    ]
    result = agreement(marks)
    assert result is not None
    rng = np.random.default_rng(99)
    by_query = counts.reshape(20, 3, 4)
    drawn = [library_alpha(by_query[rng.integers(0, 20, size=20)].reshape(60, 4)) for _ in range(2000)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert high - low > 0.2  # so that the tolerance below says something
    assert result.low == pytest.approx(low, abs=0.03)
    assert result.high == pytest.approx(high, abs=0.03)
    assert result.alpha == pytest.approx(library_alpha(counts))


def test_interval_follows_the_seed() -> None:
    rng = np.random.default_rng(0)
    rows = {name: " ".join(map(str, rng.integers(0, 4, size=100))) for name in ("ann", "bob")}
    marks = marks_of(rows)
    assert agreement(marks, seed=1, n_resamples=50) == agreement(marks, seed=1, n_resamples=50)
    assert agreement(marks, seed=1, n_resamples=50) != agreement(marks, seed=2, n_resamples=50)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_ordinal_alphas_are_those_of_the_library_for_repeated_units(seed: int, n_units: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, size=(n_units, 5))
    counts[:, 0] += 2
    weights = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=6)
    alphas = ordinal_alphas(counts, weights)
    assert alphas.shape == (6,)
    for alpha, weight in zip(alphas, weights, strict=True):
        repeated = np.repeat(counts, weight, axis=0)
        if (repeated.sum(axis=0) > 0).sum() > 1:
            assert alpha == pytest.approx(library_alpha(repeated), abs=1e-9)
        else:
            assert alpha == 1.0


def test_ordinal_alphas_are_one_when_a_weighting_leaves_a_single_grade() -> None:
    counts, weights = np.array([[2, 0], [0, 2], [1, 1]]), np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 1, 1]])
    # Three mismatches: 1 - 5 * 3 / (3 * 3); of six values three are ones, one mismatch: 1 - 5 * 1 / (3 * 3)
    assert ordinal_alphas(counts, weights) == pytest.approx([1, 1, 1 - 15 / 9, 1 - 5 / 9])


def test_agreement_by_pair_counts_equal_relevance() -> None:
    marks = [
        *marks_of({"bob": "0 1 3 0 . .", "ann": "0 3 0 . 2 .", "cat": ". . 1 1 . ."}),
        *marks_of({"file": ". . . . . 1"}, REFERENCE),
        *marks_of({"dan": "0 1 3 0 1 1"}, ADJUDICATOR),
    ]
    assert agreement_by_pair(marks) == [
        PairAgreement("ann", "bob", 3, 2 / 3),
        PairAgreement("bob", "cat", 2, 0.5),
        PairAgreement("ann", "cat", 1, 0.0),
    ]


def test_imported_marks_are_compared_apart() -> None:
    marks = marks_of({"ann": "0 0 2 1", "bob": "0 1 . ."}) + marks_of({"file": "0 1 1 1", "bob": "1 1 1 1"}, REFERENCE)
    assert agreement_by_pair(marks) == [PairAgreement("ann", "bob", 2, 0.5)]
    assert agreement_with_imported(marks) == [  # what bob once imported says nothing of bob
        PairAgreement("ann", "bob", 4, 0.5),
        PairAgreement("ann", "file", 4, 0.75),
        PairAgreement("bob", "file", 2, 1.0),
    ]


@pytest.mark.parametrize("marks", [[], marks_of({"ann": "0 1"})], ids=["no marks", "one author"])
def test_agreement_by_pair_is_empty_when_nobody_shares_a_document(marks: Sequence[StandingMark]) -> None:
    assert agreement_by_pair(marks) == []


@pytest.mark.parametrize(
    ("alpha", "low", "high", "expected"),
    [
        (0.9, 0.8, 1.0, "good"),
        (0.9, 0.799, 1.0, "enough for tentative conclusions"),
        (0.8, 0.667, 0.9, "enough for tentative conclusions"),
        (0.8, 0.666, 0.9, "not clear yet: it may be low, judge more documents twice"),
        (0.5, 0.3, 0.666, "low: talk about the guidelines"),
    ],
)
def test_in_words_follows_the_lower_end(alpha: float, low: float, high: float, expected: str) -> None:
    assert in_words(Agreement(alpha, low, high, 0.9, 30, 5, 5, 2)) == expected


@pytest.mark.parametrize(
    ("n_pairs", "n_queries", "n_rarer", "expected"),
    [
        (29, 5, 5, "too little to tell; it takes 30 documents judged twice (there are 29)"),
        (30, 4, 5, "too little to tell; it takes 5 queries (there are 4)"),
        (30, 5, 4, "too little to tell; it takes 5 grades of the rarer kind (there are 4)"),
        (
            2,
            2,
            5,
            "too little to tell; it takes 30 documents judged twice (there are 2) and 5 queries (there are 2)",
        ),
    ],
)
def test_in_words_says_what_is_missing(n_pairs: int, n_queries: int, n_rarer: int, expected: str) -> None:
    assert in_words(Agreement(1.0, 1.0, 1.0, 1.0, n_pairs, n_queries, n_rarer, 2)) == expected
