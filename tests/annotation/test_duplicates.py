"""Identical documents and near-duplicates: shingles counted by hand, and vectors whose cosines are chosen."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from annotation.judging import duplicates
from annotation.judging.duplicates import are_identical, identical_documents, near_duplicates, shingles
from era.corpus import Corpus
from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.types import Document
from storage.records import DocumentRecord
from tests.worlds.vectors import CountingIndex
from tests.worlds.words import identity_of

TEN = "one two three four five six seven eight nine ten"
"""Eight shingles."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's ÄRGER, twice!", {"the cat s", "cat s ärger", "s ärger twice"}),
        ("a b c a b c", {"a b c", "b c a", "c a b"}),
        ("a_b c", {"a b c"}),
        ("Two words", {"two", "words"}),
        ("ﬁne Ｘ STRASSE Straße", {"fine x strasse", "x strasse strasse"}),
        ("1 2 3", {"1 2 3"}),
        ("", set()),
        ("... !", set()),
    ],
)
def test_shingles_are_runs_of_three_normalised_words(text: str, expected: set[str]) -> None:
    assert shingles(text) == expected


def at_degrees(*degrees: float) -> Vectors:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def world(rows: dict[str, tuple[str, float]]) -> tuple[Corpus, CountingIndex]:
    """Return documents of these texts whose vectors stand at these angles; 18.19 degrees are a cosine of 0.95."""
    corpus = Corpus(Document(doc_id, "", text) for doc_id, (text, _) in rows.items())
    vectors = at_degrees(*(angle for _, angle in rows.values()))
    return corpus, CountingIndex(list(rows), vectors, identity_of("light", 2))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (TEN + " eleven twelve", True),  # 10 shingles, 8 of them in TEN: 8 / 10
        (TEN + " eleven twelve thirteen", False),  # 11 shingles: 8 / 11
        (TEN.replace("five", "5"), False),  # 3 of the 8 differ: 5 / 11
        (TEN.replace("ten", "10"), False),  # 1 of the 8 differs: 7 / 9 = 0.78
        ("One, two; three four five six seven eight nine TEN!", True),
    ],
)
def test_near_duplicates_need_eight_of_ten_shingles_in_common(other: str, expected: bool) -> None:
    assert near_duplicates(["a"], *world({"a": (TEN, 0), "b": (other, 0)})) == {"a": ["b"] if expected else []}


@pytest.mark.parametrize(("one", "other", "expected"), [("***", "---", False), ("***", " *** ", True), ("", " ", True)])
def test_near_duplicates_without_words_are_the_same_only_if_their_signs_are(
    one: str, other: str, expected: bool
) -> None:
    assert near_duplicates(["a"], *world({"a": (one, 0), "b": (other, 0)})) == {"a": ["b"] if expected else []}


def test_near_duplicates_lists_the_near_ones_with_the_same_words_nearest_first() -> None:
    corpus, index = world(
        {
            "a": (TEN, 0),
            "far": (TEN, 19),
            "third": (TEN, -18),
            "other words": ("nothing like it here", 1),
            "first": (TEN.upper(), 2),
            "second": (TEN + " eleven twelve", 5),
        }
    )
    assert near_duplicates(["a"], corpus, index) == {"a": ["first", "second", "third"]}


def test_near_duplicates_compares_the_given_ones_however_far_apart_and_both_ways() -> None:
    corpus, index = world({"a": (TEN, 0), "b": ("else where now", 0), "c": (TEN, 90), "d": (TEN, 80), "e": (TEN, 91)})
    assert near_duplicates(["a", "b", "c", "a"], corpus, index) == {"a": ["c"], "b": [], "c": ["e", "d", "a"]}


def test_near_duplicates_does_not_pass_likeness_on() -> None:
    words = [f"w{place}" for place in range(30)]
    chain = {f"d{start}": (" ".join(words[start : start + 20]), float(start)) for start in range(3)}
    corpus, index = world(chain)  # neighbours of the chain: 17 / 19, its ends: 16 / 20 = 0.8
    assert near_duplicates(["d0"], corpus, index) == {"d0": ["d1", "d2"]}
    far = {"d0": chain["d0"], "d1": chain["d1"], "d3": (" ".join(words[3:23]), 2.0)}  # 15 / 21
    assert near_duplicates(["d0"], *world(far)) == {"d0": ["d1"]}


def test_near_duplicates_looks_at_ten_neighbours_beside_the_document_itself() -> None:
    corpus, index = world({f"d{place:02}": (TEN, float(place)) for place in range(13)})
    assert near_duplicates(["d00"], corpus, index) == {"d00": [f"d{place:02}" for place in range(1, 11)]}


def test_near_duplicates_takes_no_more_neighbours_when_all_are_equally_near() -> None:
    corpus, index = world({f"d{place:02}": (TEN, 0) for place in range(30)})
    found = near_duplicates(["d29"], corpus, index)["d29"]
    assert "d29" not in found
    assert len(found) == len(set(found)) == 10


def test_near_duplicates_counts_the_title_as_words_of_the_document() -> None:
    documents = [Document("a", "one two three", "four five"), Document("b", "", "one two three four five")]
    corpus, index = Corpus(documents), DenseIndex(["a", "b"], at_degrees(0, 1), identity_of("light", 2))
    assert near_duplicates(["a"], corpus, index) == {"a": ["b"]}


def test_near_duplicates_searches_once_and_reads_each_document_once(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, index = world({"a": (TEN, 0), "b": (TEN, 1), "c": (TEN, 2)})
    read: list[str] = []
    words_of = duplicates._words

    def reading(text: str) -> list[str]:
        read.append(text)
        return words_of(text)

    monkeypatch.setattr(duplicates, "_words", reading)
    assert near_duplicates(["a", "b"], corpus, index) == {"a": ["b", "c"], "b": ["a", "c"]}
    assert (index.n_searched, len(read)) == (2, 3)


def test_near_duplicates_nothing_is_nothing() -> None:
    corpus, index = world({"a": (TEN, 0)})
    assert near_duplicates([], corpus, index) == {}
    assert near_duplicates(["a"], corpus, index) == {"a": []}


def test_near_duplicates_refuses_a_document_that_is_not_indexed() -> None:
    corpus, index = world({"a": (TEN, 0)})
    with pytest.raises(KeyError, match="x"):
        near_duplicates(["x"], corpus, index)


# --- identical


def stored(doc_id: str, title: str, text: str, metadata: dict[str, Any] | None = None) -> DocumentRecord:
    return DocumentRecord(1, 0, doc_id, title, text, "", metadata)


KETTLE = {"price": "79 euros", "brand": "Aro", "litres": 1.5, "colours": ["red", "blue"]}


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Kettle 2"},
        {"text": "It boils water for 449 euros."},
        {"text": "It boils water for 79 euros"},  # without the full stop
        {"metadata": {**KETTLE, "price": "449 euros"}},
        {"metadata": {**KETTLE, "brand": "Aro-2"}},
        {"metadata": {**KETTLE, "litres": 1.7}},
        {"metadata": {**KETTLE, "litres": "1.5"}},
        {"metadata": {**KETTLE, "litres": True}},
        {"metadata": {**KETTLE, "colours": ["blue", "red"]}},
        {"metadata": {**KETTLE, "sold": 1}},
        {"metadata": {name: value for name, value in KETTLE.items() if name != "price"}},
        {"metadata": None},
        {"title": "", "text": "Kettle It boils water for 79 euros."},
    ],
    ids=str,
)
def test_documents_that_differ_in_any_field_are_not_identical(change: dict[str, Any]) -> None:
    one = stored("a", "Kettle", "It boils water for 79 euros.", KETTLE)
    assert are_identical(one, replace(one, doc_id="b"))
    assert not are_identical(one, replace(one, doc_id="b", **change))
    assert not are_identical(replace(one, doc_id="b", **change), one)


def test_case_unicode_form_and_white_space_make_no_document_differ() -> None:
    one = stored("a", "Caf\u00e9 au lait", "79 euros\n each", {"Maker": "ARO", "in": {"City": "K\u00f6ln"}})
    other = stored("b", " CAFE\u0301  au lait", "79\u00a0Euros each\n", {"in": {"city": "Ko\u0308ln"}, "maker": "Aro "})
    assert are_identical(one, other)
    assert are_identical(stored("a", "", "x", None), stored("b", "", "X", {}))


def test_names_that_fold_into_one_hide_no_value() -> None:
    one = stored("a", "", "x", {"price": 79, "Price": 449})
    assert not are_identical(one, stored("b", "", "x", {"price": 79, "Price": 79}))
    assert not are_identical(one, stored("b", "", "x", {"price": 449}))


def test_identical_documents_are_found_among_neighbours_and_those_given() -> None:
    rows = {"a": (TEN, 0.0), "far": (TEN, 40.0), "copy": (TEN.upper(), 2.0), "near": (TEN + " eleven", 1.0)}
    rows |= {"given": (TEN, 80.0), "dearer": (TEN, 3.0)}
    corpus, index = world(rows)
    read: list[list[str]] = []

    def look_up(doc_ids: Iterable[str]) -> dict[str, DocumentRecord]:
        read.append(list(doc_ids))
        return {d: stored(d, "", rows[d][0], {"price": 449 if d == "dearer" else 79}) for d in read[-1]}

    found = identical_documents(["a", "given", "a", "near"], corpus, index, look_up)
    assert found == {"a": ["copy", "given"], "given": ["a"], "near": []}
    assert [set(each) for each in read] == [{"a", "given", "copy", "dearer"}]  # once, without what has other words
    assert index.n_searched == 3


def test_identical_documents_read_nothing_where_no_texts_are_equal() -> None:
    def refuse(doc_ids: Iterable[str]) -> dict[str, DocumentRecord]:
        raise AssertionError(f"{list(doc_ids)} were read")

    corpus, index = world({"a": (TEN, 0), "b": (TEN + " eleven", 1)})
    assert identical_documents(["a", "b"], corpus, index, refuse) == {"a": [], "b": []}
    assert identical_documents([], corpus, index, refuse) == {}


def test_document_that_was_removed_meanwhile_is_identical_to_none() -> None:
    corpus, index = world({"a": (TEN, 0), "gone": (TEN, 1)})
    assert identical_documents(["a"], corpus, index, lambda _: {"a": stored("a", "", TEN)}) == {"a": []}
