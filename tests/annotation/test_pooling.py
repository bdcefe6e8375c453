"""Pools: composed by hand, made once for everybody, shuffled for each, and extended by a better ranking."""

from pathlib import Path

import pytest

import storage.pools
from annotation.errors import NotReadyError
from annotation.pooling import RANDOM, WORDS, compose, order_for, pool_of
from annotation.rankers import LIGHT
from annotation.searching import ask
from annotation.workspace import Workspace
from era.embedders import EmbedderPair
from era.types import Document
from storage.records import PoolDocument, QueryRecord
from tests.annotation.conftest import (
    GRADED_RANKING,
    GRADED_TEXT,
    Desk,
    new_desk,
    small_world,
    staged_pair,
    swapped_topics,
)
from tests.annotation.judging_world import DOC_IDS, write_query

SWAPPED_TOP = ["cat-illness", "dog-illness", "trout-illness", "wren-illness", "newt-illness"]


def pool_for(desk: Desk, query: QueryRecord, author: str | None = "ann", depth: int = 12) -> list[PoolDocument]:
    return list(pool_of(desk.workspace, author, desk.label_set_id, query, depth))


def stored_pool(desk: Desk, query: QueryRecord) -> list[PoolDocument]:
    with desk.workspace.reading() as session:
        return list(storage.pools.list_for(session, desk.label_set_id, query.id))


def n_stored(desk: Desk) -> int:
    with desk.workspace.reading() as session:
        return sum(len(pool) for pool in storage.pools.doc_ids_by_query(session, desk.label_set_id).values())


def unloaded(desk: Desk) -> Workspace:
    """Return the workspace of the same folder before the embedders are there."""
    desk.workspace.close()
    return Workspace(desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))


def test_compose_takes_the_rankings_in_turn_then_documents_drawn_by_chance() -> None:
    rankings = {"light": ["a", "b", "c", "d"], "words": ["b", "e"], "run-1": ["a", "f", "g", "h"]}
    # rank 1: a b a, rank 2: b e f, rank 3: c, and five are enough beside the two by chance
    assert compose(rankings, ["c", "x", "a", "y", "z"], depth=7, n_random=2) == [
        PoolDocument("a", {"light": 1, "run-1": 1}),
        PoolDocument("b", {"light": 2, "words": 1}),
        PoolDocument("e", {"words": 2}),
        PoolDocument("f", {"run-1": 2}),
        PoolDocument("c", {"light": 3}),
        PoolDocument("x", {"random": None}),
        PoolDocument("y", {"random": None}),
    ]


def test_compose_names_every_ranking_that_has_the_document_however_far_down() -> None:
    [first, *_] = compose({"light": ["a", "b"], "words": ["b", "c", "a"]}, [], depth=4, n_random=1)
    assert first == PoolDocument("a", {"light": 1, "words": 3})


def test_compose_takes_no_more_by_chance_where_the_rankings_run_out() -> None:
    assert compose({"light": ["a"], "words": []}, ["b", "c", "d"], depth=6, n_random=2) == [
        PoolDocument("a", {"light": 1}),
        PoolDocument("b", {"random": None}),
        PoolDocument("c", {"random": None}),
    ]
    assert compose({}, ["b", "c"], depth=6, n_random=1) == [PoolDocument("b", {"random": None})]
    assert compose({"light": ["a"]}, ["a"], depth=6, n_random=1) == [PoolDocument("a", {"light": 1})]


def test_pool_of_a_new_query_holds_ten_of_the_rankings_and_two_by_chance(desk: Desk) -> None:
    pool = pool_for(desk, write_query(desk, GRADED_TEXT))
    assert (len(pool), len({each.doc_id for each in pool})) == (12, 12)
    by_chance = [each for each in pool if RANDOM in each.sources]
    assert [each.sources for each in by_chance] == [{RANDOM: None}, {RANDOM: None}]
    assert by_chance == pool[-2:]
    in_light = dict(enumerate(GRADED_RANKING[:12], start=1))
    ranked = {each.doc_id: each.sources[LIGHT] for each in pool if LIGHT in each.sources}
    assert all(in_light[rank or 0] == doc_id for doc_id, rank in ranked.items())
    assert {"cat-feeding", "dog-feeding"} <= ranked.keys()


def test_pool_of_finds_documents_by_their_words_too(tmp_path: Path) -> None:
    documents = [Document(f"cat-{n}", "cat", f"cat {n}") for n in range(20)] + [Document("rare", "", "feeding ZX81")]
    made = new_desk(tmp_path / "words", small_world(documents=documents))
    pool = {each.doc_id: each.sources for each in pool_for(made, write_query(made, "cat zx81"), depth=6)}
    made.workspace.close()
    assert pool["rare"] == {WORDS: 1}  # the embedders do not know the word
    assert len(pool) == 6


def test_pool_of_is_stored_once_for_everybody_and_not_made_again(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    pool = pool_for(desk, query, "ann")
    assert stored_pool(desk, query) == pool
    assert pool_for(desk, query, "ben") == pool
    assert pool_for(desk, query, "ben", depth=16) == pool  # a depth set later is for new pools
    assert n_stored(desk) == 12


def test_pool_of_is_the_same_whenever_it_is_made(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    assert pool_for(desk, query, None) == pool_for(desk, query, None) == pool_for(desk, query, "ann")


def test_pool_of_for_a_visitor_stores_nothing(desk: Desk) -> None:
    stored = write_query(desk, GRADED_TEXT)
    new = ask(desk.workspace, None, desk.collection.id, "cat", "")
    assert len(pool_for(desk, stored, None)) == 12
    assert len(pool_for(desk, new, None)) == 12
    assert n_stored(desk) == 0


def test_pools_of_two_label_sets_are_apart(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    pool_for(desk, query)
    with desk.workspace.reading() as session:
        assert storage.pools.list_for(session, desk.label_set_id + 1, query.id) == []


def test_pool_of_is_extended_when_a_better_ranking_appears_and_only_once(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    before = pool_for(judged_desk, query, depth=4)
    run = judged_desk.finish_by_hand(swapped_topics())
    known = {each.doc_id for each in before}
    new = [
        PoolDocument(doc_id, {f"run-{run.id}": rank})
        for rank, doc_id in enumerate(SWAPPED_TOP, start=1)
        if doc_id not in known
    ]
    assert new
    assert pool_for(judged_desk, query, None, depth=4) == [*before, *new]
    assert stored_pool(judged_desk, query) == before  # a visitor looked
    assert pool_for(judged_desk, query, depth=4) == [*before, *new]
    assert pool_for(judged_desk, query, depth=4) == [*before, *new]
    assert stored_pool(judged_desk, query) == [*before, *new]


def test_pool_of_the_new_run_is_not_extended_by_that_run(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    query = write_query(judged_desk, GRADED_TEXT)
    pool = pool_for(judged_desk, query, depth=8)
    assert [each.doc_id for each in pool if each.sources.get(f"run-{run.id}") == 1] == ["cat-illness"]
    assert pool_for(judged_desk, query, depth=8) == pool


def test_pool_of_a_stored_pool_needs_no_embedders(desk: Desk) -> None:
    query = write_query(desk, GRADED_TEXT)
    label_set_id, pool = desk.label_set_id, pool_for(desk, query)
    other = write_query(desk, "cat")
    waiting = unloaded(desk)
    try:
        assert pool_of(waiting, "ann", label_set_id, query, 12) == pool
        with pytest.raises(NotReadyError):
            pool_of(waiting, "ann", label_set_id, other, 12)
    finally:
        waiting.close()


def test_pool_of_a_stored_pool_waits_with_its_extension_for_the_embedders(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    label_set_id, pool = judged_desk.label_set_id, pool_for(judged_desk, query, depth=4)
    judged_desk.finish_by_hand(swapped_topics())
    waiting = unloaded(judged_desk)
    try:
        assert pool_of(waiting, "ann", label_set_id, query, 4) == pool
    finally:
        waiting.close()


def test_pool_of_a_stored_pool_can_be_judged_when_the_newest_adapter_is_damaged(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    pool = pool_for(judged_desk, query)
    run = judged_desk.finish_by_hand(swapped_topics())
    for file in judged_desk.workspace.adapter_folder(run.id).iterdir():
        file.write_bytes(b"damaged")
    assert pool_for(judged_desk, query) == pool


def test_order_for_is_stable_for_a_person_and_differs_between_persons_and_queries() -> None:
    pool = [PoolDocument(doc_id, {LIGHT: rank}) for rank, doc_id in enumerate(DOC_IDS, start=1)]
    orders = [order_for(pool, author, query_id) for author in ("ann", "ben", None) for query_id in (1, 2)]
    assert order_for(pool[::-1], "ann", 1) == orders[0]  # whatever the order of the sources
    assert all(sorted(order, key=lambda each: each.sources[LIGHT] or 0) == pool for order in orders)
    as_ids = {tuple(each.doc_id for each in order) for order in [pool, *orders]}
    assert len(as_ids) == 7


def test_order_for_keeps_the_order_of_the_others_when_the_pool_grows() -> None:
    pool = [PoolDocument(doc_id, {}) for doc_id in DOC_IDS]
    grown = order_for(pool, "ann", 1)
    assert [each for each in grown if each in pool[:10]] == order_for(pool[:10], "ann", 1)
