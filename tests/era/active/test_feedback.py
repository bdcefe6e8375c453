import numpy as np
import pytest

from era.active.feedback import FEEDBACK_WEIGHTS, Trials, expand, feed_back
from era.corpus import Corpus
from era.encoders.base import EncodedQueries, Vectors
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.method.candidates import label
from era.types import Document, Query
from tests.worlds.vectors import labelled_queries
from tests.worlds.words import identity_of

EAST, NORTH, UP = np.eye(3, dtype=np.float32)


def unit(*numbers: float) -> Vectors:
    return np.asarray(np.array(numbers) / np.linalg.norm(numbers), np.float32)


def test_feed_back_adds_the_mean_of_the_relevant_documents_weighed_by_grade() -> None:
    found = feed_back(EAST, np.stack([NORTH, UP]), [3.0, 1.0], 0.8)
    np.testing.assert_allclose(found, unit(1, 0.6, 0.2), atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("vectors", "weight"), [(np.zeros((0, 3), np.float32), 0.5), (NORTH[None], 0.0)])
def test_feed_back_leaves_the_query_where_there_is_nothing_to_feed_back(vectors: Vectors, weight: float) -> None:
    np.testing.assert_array_equal(feed_back(EAST, vectors, [1.0] * len(vectors), weight), EAST)


@pytest.mark.parametrize(("grades", "weight"), [([1.0, 1.0], 0.5), ([0.0], 0.5), ([1.0], -0.5)])
def test_feed_back_refuses_what_it_cannot_mean(grades: list[float], weight: float) -> None:
    with pytest.raises(ValueError, match="Expected 1 grades above 0"):
        feed_back(EAST, NORTH[None], grades, weight)


DOCUMENTS = {
    "known": unit(0.8, 0.6, 0),
    "alike": unit(0.5, 0.5, 0.7071),
    "other": unit(0.52, 0, 0.8542),
    "unlike": unit(0.48, 0, -0.8773),
}
"""Fed back is `known`, which the query ranks highest: `alike` has .50 + .70 w then, `other` .52 + .42 w, `unlike` .48 +
.38 w. So `alike` is behind `other` without feedback and before it with any of the weights."""

TWIN = {"twin": unit(0.49, 0.8717, 0)}
""".49 + .92 w: behind `alike` without feedback and before it with any of the weights."""


def weight_for(judged: dict[str, float], documents: dict[str, Vectors] = DOCUMENTS, n_queries: int = 2) -> float:
    index = DenseIndex(list(documents), np.stack(list(documents.values())), identity_of("light", 3))
    rows = np.tile(EAST, (n_queries, 1))
    labelled = labelled_queries(EncodedQueries(rows, rows, rows), {f"q{i}": judged for i in range(n_queries)}, index)
    return Trials(labelled, rows, index).choose_weight()


@pytest.mark.parametrize("unwanted", [{"other": 0.0}, {}])
def test_choose_weight_takes_feedback_where_relevant_documents_are_alike(unwanted: dict[str, float]) -> None:
    assert weight_for({"known": 1, "alike": 1} | unwanted) == FEEDBACK_WEIGHTS[1]


@pytest.mark.parametrize("unwanted", [{"alike": 0.0}, {}])
def test_choose_weight_is_zero_where_they_are_not(unwanted: dict[str, float]) -> None:
    assert weight_for({"known": 1, "other": 1} | unwanted) == 0.0


def test_choose_weight_counts_unjudged_documents_only_if_none_was_judged_not_relevant() -> None:
    documents = DOCUMENTS | TWIN
    assert weight_for({"known": 1, "alike": 1, "other": 0}, documents) == FEEDBACK_WEIGHTS[1]
    assert weight_for({"known": 1, "alike": 1}, documents) == 0.0


def test_choose_weight_is_zero_with_a_single_query_to_learn_from() -> None:
    assert weight_for({"known": 1, "alike": 1}, n_queries=1) == 0.0


def test_choose_weight_is_zero_where_no_query_has_two_relevant_documents() -> None:
    assert weight_for({"known": 1, "other": 0}) == 0.0


def words_of(texts: dict[str, str], vectors: dict[str, Vectors] | None = None) -> tuple[LexicalIndex, DenseIndex]:
    rows = np.stack([EAST if vectors is None else vectors[doc_id] for doc_id in texts])
    index = DenseIndex(list(texts), rows, identity_of("light", 3))
    return LexicalIndex(Corpus([Document(doc_id, "", text) for doc_id, text in texts.items()]), index), index


def test_expand_mixes_the_words_of_a_query_with_those_of_its_mean_relevant_document() -> None:
    lexical, _ = words_of({"two": "trout seal", "four": "moth newt wren lemon"})
    # each word is in one document, so in one of n words each weighs 1 / n ** 0.5 of its length
    half = 2 * 0.5**0.5 * 3 + 4 * 0.5  # what all weigh together, with grades 3 and 1
    expected = {"trout": 0.6 * 2 / 3 + 0.4 * 3 * 0.5**0.5 / half, "seal": 0.4 * 3 * 0.5**0.5 / half}
    expected |= {"moth": 0.6 / 3 + 0.4 * 0.5 / half} | dict.fromkeys(("newt", "wren", "lemon"), 0.4 * 0.5 / half)
    found = expand(lexical, "trout and trout, moth nowhere", {"two": 3.0, "four": 1.0}, 0.4)
    assert found == pytest.approx(expected, rel=1e-6)
    assert sum(found.values()) == pytest.approx(1)


def test_expand_takes_the_highest_twenty_terms() -> None:
    common, rare = [f"common{number}" for number in range(5)], [f"rare{number}" for number in range(20)]
    lexical, _ = words_of({"fed": " ".join([*common, *rare]), "other": " ".join(common)})
    assert expand(lexical, "common0", {"fed": 1.0}, 0.5) == pytest.approx({"common0": 0.5} | dict.fromkeys(rare, 0.025))


@pytest.mark.parametrize(("text", "relevant"), [("moth", {}), ("moth", {"empty": 1.0}), ("nowhere", {"seal": 1.0})])
def test_expand_leaves_out_what_has_no_words(text: str, relevant: dict[str, float]) -> None:
    lexical, _ = words_of({"empty": "the", "moth": "moth", "seal": "seal"})
    assert expand(lexical, text, relevant, 0.5) == {"seal" if text == "nowhere" else "moth": 0.5}


TEXTS = {
    "known": "moth trout seal",
    "alike": "trout seal lemon",
    "other": "moth melon mango",
    "plain": "newt wren hare",
}
"""Of three words each; moth, trout and seal are in two documents and so weigh the same, say 1. The query is "moth", and
`known` is fed back with a third of each. So with a share s `alike` scores 2/3 s and `other` 1 - 2/3 s: `alike` is first
from .75 on."""

EVEN = {"known": unit(0.8, 0.6, 0), "alike": unit(1, 1, 2**0.5), "other": unit(1, 0, 3**0.5), "plain": NORTH}
"""The query has a cosine of .5 with `alike` and `other`; a weight of .75 brings `alike` .13 ahead."""


def share_for(*judged: dict[str, float], weight: float = 0.0, word_weights: tuple[float, ...] = (0.5, 0.5)) -> float:
    lexical, index = words_of(TEXTS, EVEN)
    rows = np.tile(EAST, (len(judged), 1))
    queries = [Query(f"q{place}", "moth") for place in range(len(judged))]
    qrels = {f"q{place}": grades for place, grades in enumerate(judged)}
    trials = Trials(label(queries, EncodedQueries(rows, rows, rows), qrels, index), rows, index)
    return trials.choose_share(weight, lexical, word_weights)


WANTS_ALIKE, WANTS_OTHER = {"known": 1.0, "alike": 1.0, "other": 0.0}, {"known": 1.0, "other": 1.0, "alike": 0.0}


def test_choose_share_takes_as_much_as_puts_relevant_documents_first() -> None:
    assert share_for(WANTS_ALIKE, WANTS_ALIKE) == 0.8
    assert share_for(WANTS_OTHER, WANTS_OTHER) == 0.0
    assert share_for(WANTS_ALIKE) == 0.0  # a single query tells nothing


def test_choose_share_counts_words_as_each_query_weighs_them() -> None:
    assert share_for(WANTS_ALIKE, WANTS_OTHER, word_weights=(0.5, 0.0)) == 0.8
    assert share_for(WANTS_ALIKE, WANTS_OTHER, word_weights=(0.0, 0.5)) == 0.0


def test_choose_share_starts_from_the_vector_that_moved() -> None:
    assert share_for(WANTS_ALIKE, WANTS_ALIKE, weight=0.75, word_weights=(0.1, 0.1)) == 0.0
    assert share_for(WANTS_ALIKE, WANTS_ALIKE, weight=0.0, word_weights=(0.1, 0.1)) == 0.8
