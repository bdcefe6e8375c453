"""Near-copies of a query are found by text, by meaning and by answers, and likeness is passed on."""

import numpy as np
import pytest

from era.encoders.base import Vectors
from era.method.query_groups import Nearness, QueryTraits, group_queries, near_copies, nearness_of_copies
from tests.worlds.vectors import random_unit_rows

NO_TEXTS = np.zeros((0, 4), np.float32)
APART = np.eye(4, dtype=np.float32)


def answers(*documents: str) -> dict[str, float]:
    return dict.fromkeys(documents, 1.0)


def groups_of(
    texts: list[str], vectors: Vectors = APART, read: Vectors = NO_TEXTS, relevant: list[dict[str, float]] | None = None
) -> list[int]:
    own = [answers(f"only for {place}") for place in range(len(texts))] if relevant is None else relevant
    return [int(group) for group in group_queries(texts, vectors[: len(texts)], read, own)]


def test_different_queries_are_groups_of_their_own() -> None:
    assert groups_of(["cat", "dog", "wren"]) == [0, 1, 2]


def test_the_same_text_is_one_group_whatever_its_case_and_blanks() -> None:
    assert groups_of(["big  Cat", "dog", " big cat", "DOG"]) == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        (answers("a"), answers("a"), True),
        (answers("a", "b"), answers("a"), True),  # 1 of 2
        (answers("a", "b", "c"), answers("a"), False),  # 1 of 3
        (answers("a", "b", "c"), answers("a", "b", "d"), True),  # 2 of 4
        (answers("a", "b", "c"), answers("a", "d"), False),  # 1 of 4
        ({"a": 3.0}, {"a": 0.5}, True),  # however relevant
    ],
)
def test_queries_with_mostly_the_same_answers_are_one_group(
    first: dict[str, float], second: dict[str, float], is_one: bool
) -> None:
    assert groups_of(["cat", "dog"], relevant=[first, second]) == ([0, 0] if is_one else [0, 1])


def test_queries_of_nearly_the_same_meaning_are_one_group() -> None:
    read = random_unit_rows(300, 8, seed=0)
    vectors = random_unit_rows(3, 8, seed=1)
    vectors[2] = vectors[0] + 0.05 * vectors[1]
    assert groups_of(["cat", "dog", "feline"], vectors, read) == [0, 1, 0]


def test_what_all_texts_share_makes_no_two_queries_alike() -> None:
    """Uncentred, all cosines are above .9: each vector is mostly what the whole collection has in common."""
    common = np.full(8, 5.0, np.float32)
    assert groups_of(
        ["cat", "dog", "wren"], random_unit_rows(3, 8, seed=1) + common, random_unit_rows(300, 8, seed=0) + common
    ) == [0, 1, 2]


def test_likeness_is_passed_on() -> None:
    relevant = [answers("a"), answers("a", "b"), answers("b"), answers("c")]
    assert groups_of(["cat", "dog", "wren", "newt"], relevant=relevant) == [0, 0, 0, 1]


def test_groups_are_numbered_in_the_order_of_their_first_queries() -> None:
    assert groups_of(["newt", "cat", "newt", "dog"]) == [0, 1, 0, 2]


def test_nearness_of_copies_is_what_one_pair_of_texts_in_a_thousand_exceeds() -> None:
    read = random_unit_rows(300, 12, seed=0)
    centred = read - read.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    between = sorted(float(centred[i] @ centred[j]) for i in range(300) for j in range(i))
    found = nearness_of_copies(read)
    assert 0.6 < found < 0.9
    assert sum(cosine > found for cosine in between) == pytest.approx(len(between) / 1000, abs=1)


def test_nearness_stays_as_it_is_when_more_than_1000_texts_are_read() -> None:
    read = random_unit_rows(1200, 12, seed=0)
    few, many = Nearness.of(read[:1000]), Nearness.of(read)
    assert few is not None
    assert many is not None
    assert many.cosine == few.cosine == nearness_of_copies(read[:1000])
    np.testing.assert_array_equal(many.centre, few.centre)


@pytest.mark.parametrize(("read", "expected"), [(np.ones((5, 3), np.float32), 0.6), (np.eye(2, dtype=np.float32), 0.6)])
def test_nearness_of_copies_is_at_least_what_no_chance_explains(read: Vectors, expected: float) -> None:
    assert nearness_of_copies(read) == pytest.approx(expected)


def test_nearness_of_copies_stays_reachable_where_many_texts_are_copies() -> None:
    assert nearness_of_copies(np.repeat(random_unit_rows(4, 6, seed=0), 20, axis=0)) == pytest.approx(0.9)


def test_what_the_strong_model_has_not_read_is_told_by_text_and_answers_alone() -> None:
    """Two rows of 0 are equal, and say nothing."""
    read = random_unit_rows(300, 8, seed=0) + np.full(8, 5.0, np.float32)
    unread = np.zeros((4, 8), np.float32)
    relevant = [answers("a"), answers("b"), answers("c"), answers("b")]
    assert groups_of(["cat", "dog", "Cat", "wren"], unread, read, relevant) == [0, 1, 0, 1]


def test_near_copies_are_told_one_by_one_and_not_passed_on() -> None:
    learned = QueryTraits(["cat", "dog"], np.zeros((2, 4), np.float32), [answers("a"), answers("x")])
    asked = QueryTraits(
        ["feline", "mouser", "DOG"], np.zeros((3, 4), np.float32), [answers("a", "b"), answers("b"), answers("y")]
    )
    assert near_copies(asked, learned, None).tolist() == [[True, False], [False, False], [False, True]]


def test_nearness_needs_two_texts() -> None:
    assert Nearness.of(APART[:1]) is None
    found = Nearness.of(APART[:2])
    assert found is not None
    assert found.centre.tolist() == [0.5, 0.5, 0, 0]


def test_group_queries_refuses_numbers_that_differ() -> None:
    with pytest.raises(ValueError, match="2 texts, 3 vectors, 1 judged"):
        group_queries(["cat", "dog"], APART[:3], NO_TEXTS, [answers("a")])
