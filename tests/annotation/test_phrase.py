"""The phrase that a document has to contain: what contains it, in which order, and what is remembered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import storage.queries
from annotation.judging.queries import Found, run_query
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey
from era.types import Document
from tests.worlds.desk import Desk, new_desk, small_world
from tests.worlds.words import GRADED_RANKING, GRADED_TEXT

TALES = [
    Document("two-lines", "cat cat", "the Black\n   Cat\tsat"),
    Document("other-order", "dog", "cat, black"),
    Document("street", "", "Große STRASSE dog"),
    Document("inside", "", "dog dog cat concatenated"),
]


@pytest.fixture
def tales(tmp_path: Path) -> Iterator[Desk]:
    made = new_desk(tmp_path / "tales", small_world("tales", documents=TALES))
    yield made
    made.workspace.close()


def search(desk: Desk, phrase: str, text: str = GRADED_TEXT, ranker: RankingKey = LIGHT, depth: int = 10) -> Found:
    return run_query(desk.workspace, "ann", desk.query(desk.ask(text)), ranker, phrase, depth)


def ids(found: Found) -> list[str]:
    return [doc_id for doc_id, _ in found.ranking]


def test_phrase_keeps_only_documents_that_contain_it_in_the_order_of_the_ranking(desk: Desk) -> None:
    everything = dict(search(desk, "", depth=16).ranking)
    found = search(desk, "illness")
    assert ids(found) == GRADED_RANKING[8:]  # the lower half, none of which is among the first eight
    for doc_id, score in found.ranking:
        assert score == pytest.approx(everything[doc_id], abs=1e-6)


def test_phrase_keeps_no_more_than_the_depth(desk: Desk) -> None:
    assert ids(search(desk, "illness", depth=3)) == GRADED_RANKING[8:11]


@pytest.mark.parametrize("ranker", [LIGHT, ALIGNED])
def test_phrase_leaves_the_scores_of_the_ranker(desk: Desk, ranker: RankingKey) -> None:
    everything = dict(search(desk, "", "cat vet illness", ranker, depth=16).ranking)
    found = search(desk, "cat", "cat vet illness", ranker)
    assert sorted(ids(found)) == ["cat-feeding", "cat-illness"]
    assert [score for _, score in found.ranking] == pytest.approx([everything[doc_id] for doc_id in ids(found)])
    assert found.ranking[0][1] >= found.ranking[1][1]


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("black cat", {"two-lines"}),
        ("BLACK\n\n cat  SAT", {"two-lines"}),
        ("  the black ", {"two-lines"}),
        ("cat cat the", {"two-lines"}),  # from the title into the text
        ("cat black", set()),
        ("strasse", {"street"}),
        ("große straße", {"street"}),
        ("cat,", {"other-order"}),
        (".*", set()),
        ("%", set()),
        ("unicorn", set()),
    ],
)
def test_phrase_is_found_whatever_its_case_and_blanks(tales: Desk, phrase: str, expected: set[str]) -> None:
    assert set(ids(search(tales, phrase, "cat dog"))) == expected


def test_phrase_is_found_inside_a_word_too(tales: Desk) -> None:
    assert ids(search(tales, "catena", "cat dog")) == ["inside"]


@pytest.mark.parametrize("phrase", ["", "   ", "\n\t"])
def test_blank_phrase_leaves_nothing_out(desk: Desk, phrase: str) -> None:
    assert ids(search(desk, phrase)) == GRADED_RANKING[:10]


def test_search_with_a_phrase_is_remembered_as_it_was_shown(desk: Desk) -> None:
    query_id = desk.ask(GRADED_TEXT)
    for phrase in ("illness", "unicorn"):
        found = search(desk, phrase, depth=4)
        with desk.workspace.reading() as session:
            shown = storage.queries.latest_search(session, query_id)
        assert shown is not None
        assert (list(shown.ranking), shown.depth, shown.retriever) == (found.ranking, 4, LIGHT)
    assert found.ranking == []
