"""The next most useful document: always one that is offered to this person and not judged by them."""

import pytest

from annotation.errors import NotAllowedError, NotReadyError
from annotation.judging.assist import _why, most_useful_card
from annotation.judging.view import Card, lay_out_pool
from annotation.workspace import Workspace
from era.active.acquisition import Usefulness
from era.encoders.base import EmbedderPair
from storage.records import QueryRecord
from tests.worlds.desk import Desk, staged_pair
from tests.worlds.judging import decide, found_by, ids, say, say_all, with_setup, write_query
from tests.worlds.words import GRADED_TEXT


def suggested(desk: Desk, author: str | None, query: QueryRecord) -> Card | None:
    return most_useful_card(desk.workspace, found_by(desk.workspace, author, desk.label_set_id, query))


def pool_ids(desk: Desk, author: str, query: QueryRecord) -> list[str]:
    return ids(lay_out_pool(desk.workspace, found_by(desk.workspace, author, desk.label_set_id, query)).cards)


def test_most_useful_card_goes_through_what_is_offered_and_ends(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    all_ids = pool_ids(desk, "ann", query)
    say_all(desk, "ben", query.id, all_ids[:5], 1.0)
    say(desk, "ann", query.id, all_ids[5], None, is_unsure=True)
    left, grade = set(all_ids[6:]), 1.0
    while (card := suggested(desk, "ann", query)) is not None:
        assert card.document.doc_id in left
        assert card.query == query
        assert card.why["code"] in ("useful-likely", "useful-unsure", "useful-unlikely")
        left.remove(card.document.doc_id)
        say(desk, "ann", query.id, card.document.doc_id, grade)
        grade = 1.0 - grade
    assert left == set()


def test_most_useful_card_is_of_the_pool_however_well_others_fit(desk: Desk) -> None:
    with_setup(desk, depth=4)
    query = write_query(desk, "moth illness")
    all_ids = pool_ids(desk, "ann", query)
    assert len(all_ids) == 4
    seen = set()
    while (card := suggested(desk, "ann", query)) is not None:
        seen.add(card.document.doc_id)
        say(desk, "ann", query.id, card.document.doc_id, 0.0)
    assert seen < set(all_ids)
    assert len(seen) == 3  # the last one has none to be compared with, since nothing is relevant


def test_most_useful_card_depends_on_the_persons_own_marks_alone(desk: Desk) -> None:
    with_setup(desk, n_judges=5)
    query = write_query(desk, GRADED_TEXT)
    all_ids = pool_ids(desk, "ann", query)
    say_all(desk, "ann", query.id, all_ids[:2], 1.0)
    before = suggested(desk, "ann", query)
    say_all(desk, "ben", query.id, all_ids[:9], 0.0)
    decide(desk, "cora", query.id, all_ids[9], 1.0)
    assert suggested(desk, "ann", query) == before
    assert before is not None
    say(desk, "ann", query.id, before.document.doc_id, 0.0)
    after = suggested(desk, "ann", query)
    assert after is not None
    assert after.document != before.document


def test_most_useful_card_shows_neither_place_nor_score(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    pool_ids(desk, "ann", query)
    card = suggested(desk, "ann", query)
    assert card is not None
    assert (card.rank, card.score, set(card.why)) == (None, None, {"code", "chance"})


def test_most_useful_card_learns_from_other_queries_how_scores_and_relevance_go_together(desk: Desk) -> None:
    query, other = write_query(desk, "moth illness"), write_query(desk, "cat feeding")
    pool_ids(desk, "ann", query)

    def chance() -> int:
        card = suggested(desk, "ann", query)
        assert card is not None
        return int(str(card.why["chance"]).replace("<1", "0"))

    before = chance()
    say_all(desk, "ben", other.id, ["cat-feeding", "cat-illness", "dog-feeding", "dog-illness"], 1.0)
    say_all(desk, "ben", write_query(desk, "dog feeding").id, ["cat-illness", "dog-feeding", "dog-illness"], 1.0)
    assert chance() > before


def test_most_useful_card_is_none_before_there_is_a_pool(desk: Desk) -> None:
    assert suggested(desk, "ann", write_query(desk, GRADED_TEXT)) is None


def test_most_useful_card_refuses_visitors_and_says_when_it_is_not_ready(desk: Desk) -> None:
    query, label_set_id = write_query(desk, GRADED_TEXT), desk.label_set_id
    pool_ids(desk, "ann", query)
    with pytest.raises(NotAllowedError):
        suggested(desk, None, query)
    desk.workspace.close()
    waiting = Workspace(desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))
    try:
        with pytest.raises(NotReadyError):
            most_useful_card(waiting, found_by(waiting, "ann", label_set_id, query))
    finally:
        waiting.close()


@pytest.mark.parametrize(
    ("probability", "code", "chance"),
    [
        (0.0, "useful-unlikely", "<1"),
        (0.04, "useful-unlikely", "<1"),
        (0.06, "useful-unlikely", "1"),
        (0.25, "useful-unlikely", "2"),
        (0.26, "useful-unsure", "3"),
        (0.59, "useful-unsure", "6"),
        (0.6, "useful-likely", "6"),
        (0.99, "useful-likely", "9"),
    ],
)
def test_why_is_said_in_tenths(probability: float, code: str, chance: str) -> None:
    assert _why(Usefulness("d", 1.0, probability, 1.0, 1.0)) == {"code": code, "chance": chance}
