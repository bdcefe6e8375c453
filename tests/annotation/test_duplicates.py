"""Near-duplicates: shingles counted by hand, and vectors whose cosines are chosen."""

import numpy as np
import pytest

from annotation import duplicates
from annotation.duplicates import duplicates_of, near_duplicates, shingles
from era.corpus import Corpus
from era.embedders import Vectors
from era.index import DenseIndex
from era.types import Document
from tests.fakes import CountingIndex, identity_of

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


def test_near_duplicates_need_eight_of_ten_shingles_in_common() -> None:
    twelve = TEN + " eleven twelve"  # 10 shingles, 8 of them in TEN: 8 / 10
    thirteen = twelve + " thirteen"  # 11 shingles: 8 / 11
    assert near_duplicates({"a": TEN, "b": twelve}) == [["a", "b"]]
    assert near_duplicates({"a": TEN, "b": thirteen}) == []
    middle = TEN.replace("five", "5")  # 3 of the 8 differ: 5 / 11
    assert near_duplicates({"a": TEN, "b": middle}) == []
    last = TEN.replace("ten", "10")  # 1 of the 8 differs: 7 / 9 = 0.78
    assert near_duplicates({"a": TEN, "b": last}) == []


def test_near_duplicates_find_what_differs_in_case_and_punctuation_alone() -> None:
    assert near_duplicates({"a": "Cats: purr!", "b": "other", "c": "cats purr"}) == [["a", "c"]]


def test_near_duplicates_without_words_are_the_same_only_if_their_signs_are() -> None:
    assert near_duplicates({"a": "***", "b": "---", "c": " *** ", "d": "", "e": " "}) == [["a", "c"], ["d", "e"]]


def test_near_duplicates_pass_likeness_on_and_keep_the_order_of_the_texts() -> None:
    words = [f"w{place}" for place in range(30)]
    texts = {
        "z": " ".join(words[:20]),  # 18 shingles; 15 / 21 with y
        "lone": "nothing like it here",
        "y": " ".join(words[3:23]),
        "same 2": "dogs bark at night",
        "m": " ".join(words[1:21]),  # 17 / 19 with z
        "n": " ".join(words[2:22]),  # 17 / 19 with m and with y
        "same 1": "Dogs bark at night.",
    }
    assert near_duplicates(texts) == [["z", "y", "m", "n"], ["same 2", "same 1"]]
    assert near_duplicates({key: texts[key] for key in ("z", "y")}) == []


def test_near_duplicates_compare_the_candidates_alone() -> None:
    texts = dict.fromkeys("abcd", TEN)
    assert near_duplicates(texts, [("d", "b"), ("c", "c")]) == [["b", "d"]]
    assert near_duplicates(texts, []) == []
    assert near_duplicates(texts, [("d", "c"), ("a", "b"), ("c", "b")]) == [["a", "b", "c", "d"]]


def test_near_duplicates_refuse_a_candidate_without_text() -> None:
    with pytest.raises(ValueError, match=r"\('a', 'x'\)"):
        near_duplicates({"a": TEN}, [("a", "x")])


def at_degrees(*degrees: float) -> Vectors:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def world(rows: dict[str, tuple[str, float]]) -> tuple[Corpus, CountingIndex]:
    """Return documents of these texts whose vectors stand at these angles; 18.19 degrees are a cosine of 0.95."""
    corpus = Corpus(Document(doc_id, "", text) for doc_id, (text, _) in rows.items())
    vectors = at_degrees(*(angle for _, angle in rows.values()))
    return corpus, CountingIndex(list(rows), vectors, identity_of("light", 2))


def test_duplicates_of_lists_the_near_ones_with_the_same_words_nearest_first() -> None:
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
    assert duplicates_of(["a"], corpus, index) == {"a": ["first", "second", "third"]}


def test_duplicates_of_compares_the_given_ones_however_far_apart_and_both_ways() -> None:
    corpus, index = world({"a": (TEN, 0), "b": ("else where now", 0), "c": (TEN, 90), "d": (TEN, 80), "e": (TEN, 91)})
    assert duplicates_of(["a", "b", "c", "a"], corpus, index) == {"a": ["c"], "b": [], "c": ["e", "d", "a"]}


def test_duplicates_of_does_not_pass_likeness_on() -> None:
    words = [f"w{place}" for place in range(30)]
    chain = {f"d{start}": (" ".join(words[start : start + 20]), float(start)) for start in range(3)}
    corpus, index = world(chain)  # neighbours of the chain: 17 / 19, its ends: 16 / 20 = 0.8
    assert duplicates_of(["d0"], corpus, index) == {"d0": ["d1", "d2"]}
    far = {"d0": chain["d0"], "d1": chain["d1"], "d3": (" ".join(words[3:23]), 2.0)}  # 15 / 21
    assert duplicates_of(["d0"], *world(far)) == {"d0": ["d1"]}


def test_duplicates_of_looks_at_ten_neighbours_beside_the_document_itself() -> None:
    corpus, index = world({f"d{place:02}": (TEN, float(place)) for place in range(13)})
    assert duplicates_of(["d00"], corpus, index) == {"d00": [f"d{place:02}" for place in range(1, 11)]}


def test_duplicates_of_takes_no_more_neighbours_when_all_are_equally_near() -> None:
    corpus, index = world({f"d{place:02}": (TEN, 0) for place in range(30)})
    found = duplicates_of(["d29"], corpus, index)["d29"]
    assert "d29" not in found
    assert len(found) == len(set(found)) == 10


def test_duplicates_of_counts_the_title_as_words_of_the_document() -> None:
    documents = [Document("a", "one two three", "four five"), Document("b", "", "one two three four five")]
    corpus, index = Corpus(documents), DenseIndex(["a", "b"], at_degrees(0, 1), identity_of("light", 2))
    assert duplicates_of(["a"], corpus, index) == {"a": ["b"]}


def test_duplicates_of_searches_once_and_reads_each_document_once(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, index = world({"a": (TEN, 0), "b": (TEN, 1), "c": (TEN, 2)})
    read: list[str] = []
    words_of = duplicates._words

    def reading(text: str) -> list[str]:
        read.append(text)
        return words_of(text)

    monkeypatch.setattr(duplicates, "_words", reading)
    assert duplicates_of(["a", "b"], corpus, index) == {"a": ["b", "c"], "b": ["a", "c"]}
    assert (index.n_searched, len(read)) == (2, 3)


def test_duplicates_of_nothing_is_nothing() -> None:
    corpus, index = world({"a": (TEN, 0)})
    assert duplicates_of([], corpus, index) == {}
    assert duplicates_of(["a"], corpus, index) == {"a": []}


def test_duplicates_of_refuses_a_document_that_is_not_indexed() -> None:
    corpus, index = world({"a": (TEN, 0)})
    with pytest.raises(KeyError, match="x"):
        duplicates_of(["x"], corpus, index)
