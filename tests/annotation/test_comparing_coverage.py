"""Which unjudged documents would settle a comparison, and how they lie on the desk."""

import pytest

import storage.label_sets
from annotation.comparing.measure import documents_to_settle, lay_out_coverage
from annotation.comparing.view import ComparisonView
from annotation.ranking.rankers import LIGHT, RankingKey
from storage.records import PoolDraw
from tests.worlds.desk import Desk, swapped_topics
from tests.worlds.judging import bring_reference, ids
from tests.worlds.words import GRADED_TEXT


@pytest.fixture
def query_id(desk: Desk) -> int:
    """A query with one relevant document, and a run that was trained before it was asked."""
    other = desk.query_id("cat-owner")
    desk.mark(other, "cat-feeding", 1.0, 1)
    desk.finish_by_hand(swapped_topics())
    desk.mark(other, "cat-feeding", None, 2)
    asked = desk.ask(GRADED_TEXT)
    desk.mark(asked, "dog-feeding", 1.0, 3)
    return asked


def view_of(desk: Desk, *sides: str) -> ComparisonView:
    return ComparisonView(desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), None)


# The discounts 1 / log2(rank + 1) of the first and the ninth place differ most, then those of places on one side only:
# third (trout), fourth (wren), fifth (newt), ...; second and tenth (dog) differ by 0.34, sixth and none by 0.36.
MOST_TELLING = [
    ("cat-feeding", [1, 9]), ("cat-illness", [9, 1]),
    ("trout-feeding", [3, None]), ("trout-illness", [None, 3]),
    ("wren-feeding", [4, None]), ("wren-illness", [None, 4]),
    ("newt-feeding", [5, None]), ("newt-illness", [None, 5]),
    ("hare-feeding", [6, None]), ("hare-illness", [None, 6]),
    ("dog-illness", [10, 2]),
]  # fmt: skip


def test_documents_to_settle_come_by_how_much_they_could_change(desk: Desk, query_id: int) -> None:
    found = documents_to_settle(desk.workspace, "ann", view_of(desk, LIGHT, "run-1"))
    assert found == [(query_id, doc_id, {"code": "settle"}) for doc_id, _ in MOST_TELLING[:8]]
    more = documents_to_settle(desk.workspace, "ann", view_of(desk, LIGHT, "run-1"), limit=11)
    assert [doc_id for _, doc_id, _ in more] == [doc_id for doc_id, _ in MOST_TELLING]


def test_documents_to_settle_look_at_the_side_that_differs_most(desk: Desk, query_id: int) -> None:
    found = documents_to_settle(desk.workspace, "ann", view_of(desk, LIGHT, f"{LIGHT}+words", "run-1"))
    assert [doc_id for _, doc_id, _ in found][:4] == [doc_id for doc_id, _ in MOST_TELLING[:4]]


def test_documents_to_settle_leave_out_what_is_judged_disputed_or_unclear_to_the_author(
    desk: Desk, query_id: int
) -> None:
    desk.mark(query_id, "cat-feeding", 0.0, 4)  # judged
    desk.mark(query_id, "cat-illness", 1.0, 5)
    desk.mark(query_id, "cat-illness", 0.0, 5, "page-of-bob", "bob")  # disputed
    bring_reference(desk, query_id, "trout-feeding", 1.0)  # judged elsewhere
    found = documents_to_settle(desk.workspace, "eve", view_of(desk, LIGHT, "run-1"))
    assert [doc_id for _, doc_id, _ in found][:2] == ["trout-illness", "wren-feeding"]


def test_documents_to_settle_complete_queries_with_drawn_documents_one_by_one(desk: Desk, query_id: int) -> None:
    lacking = desk.ask("feeding a moth")
    desk.mark(lacking, "moth-feeding", 1.0, 4)
    view = view_of(desk, LIGHT, "run-1")
    with desk.workspace.writing() as session:
        for each, drawn in ((query_id, "dog-feeding"), (lacking, "moth-feeding")):
            draw = PoolDraw((LIGHT,), (drawn,), ("hare-feeding",))
            storage.label_sets.add_draw(session, desk.label_set_id, each, draw)
    everything = documents_to_settle(desk.workspace, "ann", view, limit=100)
    first = everything[-1][0]  # so the other one lacks no more documents
    (second,) = {query_id, lacking} - {first}
    queries = [each for each, _, _ in everything]
    assert queries == [second] * queries.count(second) + [first] * queries.count(first)
    for place, (each, doc_id, _) in enumerate(everything[::-1]):  # judge what came last but for two
        if each == first and place < queries.count(first) - 2:
            desk.mark(each, doc_id, 0.0, 10 + place)
    assert [each for each, _, _ in documents_to_settle(desk.workspace, "ann", view, limit=3)] == [first, first, second]


def test_documents_to_settle_are_none_without_labels(desk: Desk) -> None:
    assert documents_to_settle(desk.workspace, "ann", view_of(desk, LIGHT, f"{LIGHT}+words")) == []


def test_lay_out_coverage_shows_the_documents_of_their_queries(desk: Desk, query_id: int) -> None:
    laid_out = lay_out_coverage(desk.workspace, "ann", view_of(desk, LIGHT, "run-1"))
    assert laid_out.view == "coverage"
    assert ids(laid_out.cards) == [doc_id for doc_id, _ in MOST_TELLING[:8]]
    assert {card.query.id for card in laid_out.cards} == {query_id}
    assert all(card.why == {"code": "settle"} for card in laid_out.cards)  # no place: the desk is blind
    assert laid_out.said[query_id]["dog-feeding"].grade == 1.0
    assert laid_out.query is None
    assert laid_out.revealed == {}
