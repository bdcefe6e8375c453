"""The desk: what is hidden until when, who is offered what, and lists whose order is known by hand."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

import storage.judgments
from annotation.errors import NotFoundError
from annotation.judging.queries import ask, run_query
from annotation.judging.view import Desk as LaidOut
from annotation.judging.view import Opinion, Revealed, Said, lay_out_pool, lay_out_ranking, lay_out_similar
from annotation.ranking.rankers import LIGHT
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.types import Document
from storage.records import JudgmentRole, QueryRecord
from tests.worlds.desk import Desk, new_desk, small_world, staged_pair, swapped_topics
from tests.worlds.judging import (
    COPY,
    authors_seen,
    bring_reference,
    decide,
    found_by,
    ids,
    revealed_of,
    say,
    say_all,
    seen_now,
    with_setup,
    write_query,
)
from tests.worlds.words import DOCUMENTS, GRADED_RANKING, GRADED_TEXT

RANKING = [("dog-feeding", 0.9), ("cat-feeding", 0.8), ("cat-illness", 0.7)]


def pool(desk: Desk, author: str | None, query: QueryRecord) -> LaidOut:
    return lay_out_pool(desk.workspace, found_by(desk.workspace, author, desk.label_set_id, query))


def ranked(desk: Desk, author: str | None, query: QueryRecord) -> LaidOut:
    return lay_out_ranking(desk.workspace, found_by(desk.workspace, author, desk.label_set_id, query), RANKING)


# --- what is hidden


def test_pool_hides_the_source_of_a_document_until_this_person_has_judged_it(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    first, second, third, *_ = ids(pool(desk, "ann", query).cards)
    assert pool(desk, "ann", query).revealed == {query.id: {}}
    say(desk, "ann", query.id, first, 1.0)
    say(desk, "ann", query.id, second, None, is_unsure=True)
    say(desk, "ann", query.id, third, None, note="only a note")
    seen = revealed_of(pool(desk, "ann", query))
    assert seen.keys() == {first, second}
    assert all(each.sources for each in seen.values())
    assert all(each.opinions == () for each in seen.values())
    assert pool(desk, "ben", query).revealed == {query.id: {}}
    say(desk, "ann", query.id, first, None)
    assert revealed_of(pool(desk, "ann", query)).keys() == {second}


def test_pool_cards_tell_neither_rank_nor_score(desk: Desk) -> None:
    laid_out = pool(desk, "ann", write_query(desk, GRADED_TEXT))
    assert {(card.rank, card.score, tuple(card.why)) for card in laid_out.cards} == {(None, None, ())}


def test_pool_shows_sources_at_once_and_in_their_order_where_judging_is_not_blind(desk: Desk) -> None:
    with_setup(desk, is_blind=False)
    query = write_query(desk, GRADED_TEXT)
    laid_out = pool(desk, "ann", query)
    assert ids(laid_out.cards)[0] == "cat-feeding"  # the first of every ranking
    seen = revealed_of(laid_out)
    assert seen.keys() == set(ids(laid_out.cards))
    assert seen["cat-feeding"].sources["light"] == 1
    assert ids(pool(desk, "ben", query).cards) == ids(laid_out.cards)


@pytest.mark.parametrize("is_blind", [True, False])
def test_pool_shows_opinions_of_others_once_everything_offered_is_judged(desk: Desk, is_blind: bool) -> None:
    with_setup(desk, n_judges=3, is_blind=is_blind)
    query = write_query(desk, GRADED_TEXT)
    first, *others = ids(pool(desk, "ben", query).cards)
    say(desk, "ben", query.id, first, 1.0, note="fits well")
    say(desk, "cora", query.id, first, None, is_unsure=True, note="no idea")
    bring_reference(desk, query.id, first, 1.0)
    say_all(desk, "ann", query.id, [first, *others[:-1]], 0.0)
    for laid_out in (pool(desk, "ann", query), ranked(desk, "ann", query)):
        assert (authors_seen(laid_out), laid_out.is_finished) == (set(), False)
        assert "fits well" not in repr(laid_out)
        assert "no idea" not in repr(laid_out)
    assert seen_now(desk, "ann", query)[1] is False
    say(desk, "ann", query.id, others[-1], None, is_unsure=True)
    for laid_out in (pool(desk, "ann", query), ranked(desk, "ann", query)):
        assert laid_out.is_finished
        assert revealed_of(laid_out)[first].opinions == (
            Opinion("ben", JudgmentRole.JUDGE, 1.0, "fits well"),
            Opinion("import", JudgmentRole.REFERENCE, 1.0, ""),
        )
    seen, has_finished = seen_now(desk, "ann", query)
    assert (seen, has_finished) == (revealed_of(pool(desk, "ann", query)), True)
    assert (authors_seen(pool(desk, "ben", query)), authors_seen(pool(desk, None, query))) == (set(), set())


def test_pool_hides_opinions_again_when_a_mark_is_taken_back(desk: Desk) -> None:
    with_setup(desk, n_judges=2)
    query = write_query(desk, GRADED_TEXT)
    all_ids = ids(pool(desk, "ann", query).cards)
    say(desk, "ben", query.id, all_ids[0], 1.0)
    say_all(desk, "ann", query.id, all_ids, 0.0)
    assert authors_seen(pool(desk, "ann", query)) == {"ben"}
    say(desk, "ann", query.id, all_ids[3], None)
    assert (authors_seen(pool(desk, "ann", query)), pool(desk, "ann", query).is_finished) == (set(), False)


def test_pool_shows_a_person_their_own_words_only(desk: Desk) -> None:
    with_setup(desk, n_judges=2)
    query = write_query(desk, GRADED_TEXT)
    first = ids(pool(desk, "ann", query).cards)[0]
    say(desk, "ann", query.id, first, 1.0, note="mine")
    say(desk, "ben", query.id, first, 0.0, note="theirs")
    say(desk, "ben", query.id, first, 1.0, note="settled", is_adjudication=True)
    for laid_out in (pool(desk, "ann", query), ranked(desk, "ann", query)):
        assert laid_out.said == {query.id: {first: Said(1.0, False, "mine")}}
        assert [each.doc_id for each in laid_out.undoable] == [first]
        assert "theirs" not in repr(laid_out)
        assert "settled" not in repr({**laid_out.said, **laid_out.revealed, **laid_out.settled})


def test_saving_a_mark_does_not_tell_what_an_adjudicator_decided(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    decide(desk, "ben", query.id, "dog-feeding", 1.0, note="ruled so")
    assert "ruled so" not in repr(say(desk, "ann", query.id, "cat-feeding", 1.0))


# --- who is offered what


def test_pool_leaves_out_what_enough_others_have_judged_but_keeps_ones_own(desk: Desk) -> None:
    with_setup(desk, n_judges=2)
    query = write_query(desk, GRADED_TEXT)
    a, b, c, d, *rest = ids(pool(desk, "ann", query).cards)
    say_all(desk, "ben", query.id, [a, b, c, d], 1.0)
    assert pool(desk, "ann", query).n_by_others == 0
    say_all(desk, "cora", query.id, [a, b], 0.0)
    say(desk, "cora", query.id, c, None, is_unsure=True)  # tells nothing, so somebody else is needed
    decide(desk, "cora", query.id, d, 1.0)  # settles, but judges nothing
    say(desk, "ann", query.id, b, 0.0)
    laid_out = pool(desk, "ann", query)
    assert set(ids(laid_out.cards)) == {b, c, d, *rest}
    assert laid_out.n_by_others == 1
    assert len(pool(desk, "ben", query).cards) == 12
    assert set(ids(pool(desk, "dan", query).cards)) == {c, d, *rest}  # b has three
    assert pool(desk, None, query).n_by_others == 2


def test_pool_is_finished_when_what_is_left_for_this_person_is_judged(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    all_ids = ids(pool(desk, "ann", query).cards)
    say_all(desk, "ben", query.id, all_ids[:10], 1.0)
    assert set(ids(pool(desk, "ann", query).cards)) == set(all_ids[10:])
    say_all(desk, "ann", query.id, all_ids[10:], 1.0)
    laid_out = pool(desk, "ann", query)
    assert (laid_out.is_finished, laid_out.n_by_others) == (True, 10)
    assert authors_seen(laid_out) == {"ben"}
    assert (pool(desk, "ben", query).is_finished, authors_seen(pool(desk, "ben", query))) == (True, {"ann"})


def test_pool_with_nothing_left_for_a_person_is_not_finished_by_them(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    all_ids = ids(pool(desk, "ben", query).cards)
    say_all(desk, "ben", query.id, all_ids, 1.0)
    laid_out = pool(desk, "ann", query)
    assert (list(laid_out.cards), laid_out.n_by_others, laid_out.is_finished) == ([], 12, False)
    assert authors_seen(laid_out) == set()


def test_pool_has_an_order_of_its_own_for_each_person_that_stays(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    orders = {author: ids(pool(desk, author, query).cards) for author in ("ann", "ben", "cora")}
    say_all(desk, "ann", query.id, orders["ann"][:3], 1.0)
    with_setup(desk, n_judges=2)
    assert {author: ids(pool(desk, author, query).cards) for author in orders} == orders
    assert len({tuple(order) for order in orders.values()}) == 3
    assert {frozenset(order) for order in orders.values()} == {frozenset(orders["ann"])}


def test_pool_grows_with_a_better_ranking_and_is_no_longer_finished(judged_desk: Desk) -> None:
    with_setup(judged_desk, depth=4, n_judges=2)
    query = write_query(judged_desk, GRADED_TEXT)
    before = ids(pool(judged_desk, "ann", query).cards)
    say_all(judged_desk, "ann", query.id, before, 1.0)
    say(judged_desk, "ben", query.id, before[0], 1.0)
    assert authors_seen(pool(judged_desk, "ann", query)) == {"ben"}
    judged_desk.finish_by_hand(swapped_topics())
    laid_out = pool(judged_desk, "ann", query)
    after = ids(laid_out.cards)
    assert len(set(after) - set(before)) == 5
    assert {"cat-illness", "dog-illness"} <= set(after)  # the run's first two
    assert [doc_id for doc_id in after if doc_id in before] == before
    assert (laid_out.is_finished, authors_seen(laid_out)) == (False, set())


def test_pool_for_a_visitor_shows_documents_and_stores_nothing(desk: Desk) -> None:
    stored = write_query(desk, GRADED_TEXT)
    new = ask(desk.workspace, None, desk.collection.id, "cat", "")
    for query in (stored, new):
        laid_out = pool(desk, None, query)
        assert len(laid_out.cards) == 12
        assert (laid_out.said, laid_out.revealed, list(laid_out.undoable)) == ({query.id: {}}, {query.id: {}}, [])
    with desk.workspace.reading() as session:
        assert storage.judgments.newest_event_id(session) == 0
    assert seen_now(desk, None, stored) == ({}, False)


def test_pool_that_is_stored_is_laid_out_before_the_embedders_are_there(desk: Desk) -> None:
    query, label_set_id = write_query(desk, GRADED_TEXT), desk.label_set_id
    before = pool(desk, "ann", query)
    desk.workspace.close()
    waiting = Workspace(desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))
    try:
        assert lay_out_pool(waiting, found_by(waiting, "ann", label_set_id, query)) == before
    finally:
        waiting.close()


def test_what_is_hidden_and_offered_agrees_with_a_count_by_hand_after_random_marks(desk: Desk) -> None:
    with_setup(desk, n_judges=2, depth=4)
    query = write_query(desk, GRADED_TEXT)
    all_ids, people = ids(pool(desk, "ann", query).cards), ["ann", "ben", "cora", "dan"]
    drawn = random.Random(3)
    grades: dict[tuple[str, str], float | None] = {}
    n_finished = 0
    for _ in range(70):
        author, doc_id, grade = drawn.choice(people), drawn.choice(all_ids), drawn.choice([0.0, 1.0, 1.0, None])
        say(desk, author, query.id, doc_id, grade)
        grades[author, doc_id] = grade
        who = drawn.choice(people)
        n_others = {d: sum(grades.get((other, d)) is not None for other in people if other != who) for d in all_ids}
        mine = {d for d in all_ids if grades.get((who, d)) is not None}
        laid_out = pool(desk, who, query)
        assert set(ids(laid_out.cards)) == {d for d in all_ids if d in mine or n_others[d] < 2}
        assert {d for d, each in revealed_of(laid_out).items() if each.sources} == mine
        is_finished = mine == set(ids(laid_out.cards)) != set()
        assert laid_out.is_finished == is_finished
        others = {other for (other, _), said in grades.items() if other != who and said is not None}
        assert authors_seen(laid_out) == (others if is_finished else set())
        n_finished += is_finished
    assert n_finished > 2


# --- other lists


def test_ranking_keeps_its_order_with_ranks_and_scores(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    laid_out = lay_out_ranking(
        desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query), RANKING, took_ms=2.5
    )
    assert [(c.document.doc_id, c.rank, c.score) for c in laid_out.cards] == [
        ("dog-feeding", 1, 0.9),
        ("cat-feeding", 2, 0.8),
        ("cat-illness", 3, 0.7),
    ]
    assert (laid_out.view, laid_out.took_ms, laid_out.is_finished) == ("ranking", 2.5, False)


def test_ranking_before_there_is_a_pool_is_not_finished_whatever_was_judged(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    say_all(desk, "ann", query.id, dict(RANKING), 1.0)
    say(desk, "ben", query.id, "cat-feeding", 0.0, note="no")
    laid_out = ranked(desk, "ann", query)
    assert (laid_out.is_finished, laid_out.revealed) == (False, {query.id: {}})
    assert set(laid_out.said[query.id]) == set(dict(RANKING))


def test_ranking_containing_a_phrase_leaves_out_documents_without_it(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)

    def found(phrase: str) -> list[str]:
        return [doc_id for doc_id, _ in run_query(desk.workspace, "ann", query, LIGHT, phrase).ranking]

    assert found("illness") == GRADED_RANKING[8:]
    assert found("  Hare\n ILLNESS ") == ["hare-illness"]  # title and text, whatever blanks are between
    assert found("illness hare") == []
    assert found("  ") == GRADED_RANKING[:10]


def test_similar_lists_the_nearest_documents_without_the_one_asked_for(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    laid_out = lay_out_similar(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query), "cat-feeding")
    near = {"cat-illness", *(each.doc_id for each in DOCUMENTS if each.text == "feeding")} - {"cat-feeding"}
    assert (laid_out.view, laid_out.query) == ("similar", query)
    assert set(ids(laid_out.cards)[:8]) == near  # one word of two in common
    assert [card.score for card in laid_out.cards] == [pytest.approx(0.5)] * 8 + [pytest.approx(0)] * 2
    assert "cat-feeding" not in ids(laid_out.cards)
    assert [card.rank for card in laid_out.cards] == list(range(1, 11))
    with pytest.raises(NotFoundError):
        lay_out_similar(desk.workspace, found_by(desk.workspace, "ann", desk.label_set_id, query), "unicorn")


def test_identical_documents_share_the_card_of_the_first_of_them(tmp_path: Path) -> None:
    made = new_desk(tmp_path / "copies", small_world(documents=[*DOCUMENTS, COPY]))
    query = write_query(made, "cat feeding")
    ranking = [(COPY.doc_id, 0.9), ("dog-feeding", 0.8), ("cat-feeding", 0.7), ("cat-illness", 0.6)]
    laid_out = lay_out_ranking(made.workspace, found_by(made.workspace, "ann", made.label_set_id, query), ranking)
    lone = lay_out_ranking(made.workspace, found_by(made.workspace, "ann", made.label_set_id, query), ranking[1:])
    in_pool = pool(made, "ann", query)
    made.workspace.close()
    assert [(c.document.doc_id, c.rank, [d.doc_id for d in c.duplicates]) for c in laid_out.cards] == [
        (COPY.doc_id, 1, ["cat-feeding"]),
        ("dog-feeding", 2, []),
        ("cat-illness", 4, []),
    ]
    assert [[d.doc_id for d in c.duplicates] for c in lone.cards] == [[], [COPY.doc_id], []]  # though not listed
    together = [{c.document.doc_id, *(d.doc_id for d in c.duplicates)} for c in in_pool.cards if c.duplicates]
    assert together == [{"cat-feeding", COPY.doc_id}]
    assert len([c for c in in_pool.cards if c.document.doc_id in {"cat-feeding", COPY.doc_id}]) == 1


def test_documents_that_differ_in_a_shown_field_have_a_card_each(tmp_path: Path) -> None:
    euros = {"cheap": "79", "dear": "449", "cheap-too": "79"}
    kettles = [Document(doc_id, "cat kettle", "A kettle for feeding.") for doc_id in euros]
    world = small_world(documents=[*DOCUMENTS, *kettles])
    made = new_desk(tmp_path / "shop", replace(world, metadata={d: {"price": price} for d, price in euros.items()}))
    query = write_query(made, "cat kettle")
    cards = lay_out_ranking(
        made.workspace, found_by(made.workspace, "ann", made.label_set_id, query), [(d, 0.5) for d in euros]
    ).cards
    in_pool = pool(made, "ann", query).cards
    made.workspace.close()
    assert [[c.document.doc_id, *(d.doc_id for d in c.duplicates)] for c in cards] == [["cheap", "cheap-too"], ["dear"]]
    together = [{c.document.doc_id, *(d.doc_id for d in c.duplicates)} for c in in_pool if c.duplicates]
    assert together == [{"cheap", "cheap-too"}]


def test_revealed_of_a_document_outside_the_pool_has_no_source(desk: Desk) -> None:
    with_setup(desk, depth=4)
    query = write_query(desk, GRADED_TEXT)
    all_ids = ids(pool(desk, "ann", query).cards)
    outside = next(each.doc_id for each in DOCUMENTS if each.doc_id not in all_ids)
    say(desk, "ben", query.id, outside, 1.0)
    say_all(desk, "ann", query.id, [*all_ids, outside], 1.0)
    opinion = Opinion("ben", JudgmentRole.JUDGE, 1.0, "")
    assert revealed_of(pool(desk, "ann", query))[outside] == Revealed({}, (opinion,))
