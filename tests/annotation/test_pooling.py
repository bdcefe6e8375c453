"""Pools: composed by hand, made once for everybody, shuffled for each, and extended by a better ranking."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import storage.label_sets
from annotation.errors import NotReadyError
from annotation.judging.pool import RANDOM, WORDS, compose, extend, order_for, pool_of, sampled_queries, samples_of
from annotation.judging.queries import OpenQuery, ask
from annotation.ranking.rankers import LIGHT
from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from era.evaluation.incomplete_judgments import Sample, SampledQuery
from era.types import Document
from storage.records import PoolDocument, PoolDraw, QueryRecord
from tests.worlds.desk import Desk, new_desk, small_world, staged_pair, swapped_topics
from tests.worlds.judging import DOC_IDS, found_by, write_query
from tests.worlds.words import GRADED_RANKING, GRADED_TEXT

SWAPPED_TOP = ["cat-illness", "dog-illness", "trout-illness", "wren-illness", "newt-illness"]


def pool_for(desk: Desk, query: QueryRecord, author: str | None = "ann", depth: int = 12) -> list[PoolDocument]:
    return list(pool_of(desk.workspace, in_depth(desk.workspace, author, desk.label_set_id, query, depth)).pool)


def in_depth(workspace: Workspace, author: str | None, label_set_id: int, query: QueryRecord, depth: int) -> OpenQuery:
    found = found_by(workspace, author, label_set_id, query)
    return replace(found, place=replace(found.place, setup=replace(found.place.setup, depth=depth)))


def stored_pool(desk: Desk, query: QueryRecord) -> list[PoolDocument]:
    with desk.workspace.reading() as session:
        return list(storage.label_sets.pool_of(session, desk.label_set_id, query.id))


def drawn_for(desk: Desk, query: QueryRecord) -> list[PoolDraw]:
    with desk.workspace.reading() as session:
        return storage.label_sets.draws(session, desk.label_set_id, [query.id])[query.id]


def n_stored(desk: Desk) -> int:
    with desk.workspace.reading() as session:
        return sum(len(pool) for pool in storage.label_sets.pooled_ids(session, desk.label_set_id).values())


def unloaded(desk: Desk) -> Workspace:
    """Return the workspace of the same folder before the embedders are there."""
    desk.workspace.close()
    return Workspace(desk.workspace.settings, lambda spec, device: EmbedderPair(*staged_pair()))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_compose_takes_first_places_for_certain_and_draws_the_rest() -> None:
    # six documents: none stands below the first tens, so all come from them, four for certain (three in five, rounded
    # up): rank 1 a b a, rank 2 b e f, rank 3 c
    rankings = {"light": ["a", "b", "c", "d"], "words": ["b", "e"], "run-1": ["a", "f", "g", "h"]}
    pool = compose(rankings, depth=6, rng=rng())
    assert pool.documents[:4] == [
        PoolDocument("a", {"light": 1, "run-1": 1}),
        PoolDocument("b", {"light": 2, "words": 1}),
        PoolDocument("e", {"words": 2}),
        PoolDocument("f", {"run-1": 2}),
    ]
    first, deep = pool.draws
    assert tuple(document.doc_id for document in pool.documents[4:]) == first.drawn
    assert (len(first.drawn), first.sources, first.is_deep) == (2, ("light", "words", "run-1"), False)
    assert {*first.drawn, *first.not_drawn} == {"c", "g", "d", "h"}
    assert first.probability == 0.5
    assert (deep.drawn, deep.not_drawn, deep.is_deep) == ((), (), True)


def test_compose_draws_a_little_from_below_the_first_tens() -> None:
    light, words = [f"l{n}" for n in range(1, 101)], ["l1", *(f"w{n}" for n in range(2, 12)), "l100"]
    pool = compose({"light": light, "words": words}, depth=12, rng=rng())
    first, deep = pool.draws
    assert [each.doc_id for each in pool.documents[:6]] == ["l1", "l2", "w2", "l3", "w3", "l4"]
    assert (len(first.drawn), len(first.not_drawn)) == (4, 9)  # 19 among the first tens
    # l11 to l50 and the last two of the words, of which l100 is among the first fifty of words alone
    assert (len(deep.drawn), len(deep.drawn) + len(deep.not_drawn)) == (2, 42)
    assert {"w11", "l100", "l50"} <= {*deep.drawn, *deep.not_drawn}
    assert "l51" not in {*deep.drawn, *deep.not_drawn}
    assert [each for each in pool.documents if RANDOM in each.sources] == [
        PoolDocument(doc_id, {RANDOM: None}) for doc_id in deep.drawn
    ]


def test_compose_draws_each_document_as_often_as_any_other() -> None:
    rankings, found, generator = {"light": [*"abcdefghij"]}, Counter[str](), rng()
    for _ in range(2000):
        pool = compose(rankings, depth=5, rng=generator)
        assert [each.doc_id for each in pool.documents[:3]] == ["a", "b", "c"]
        found.update(pool.draws[0].drawn)
    assert set(found) == {*"defghij"}
    assert all(abs(n / 2000 - 2 / 7) < 0.05 for n in found.values())  # five standard deviations


def test_compose_holds_fewer_where_the_rankings_run_out() -> None:
    assert compose({"light": ["a"], "words": []}, depth=6, rng=rng()).documents == [PoolDocument("a", {"light": 1})]
    assert compose({}, depth=6, rng=rng()).documents == []


def test_extend_takes_the_best_of_a_new_ranking_and_draws_what_was_never_drawn_from() -> None:
    documents = [PoolDocument("a", {"light": 1}), PoolDocument("c", {"light": 3})]
    draws = [PoolDraw(("light",), ("c",), ("b", "d")), PoolDraw(("light",), (), ("x",), is_deep=True)]
    pool = extend(documents, draws, {"run-1": [*"abdxefghij", "z"]}, rng())
    # a and b come first, and a is there already; d was drawn from before; x stood below the first tens till now
    assert pool.documents[0] == PoolDocument("b", {"run-1": 2})
    [draw] = pool.draws
    assert (draw.certain, len(draw.drawn), draw.sources, draw.is_deep) == (("a", "b"), 4, ("run-1",), False)
    assert {*draw.drawn, *draw.not_drawn} == {*"xefghij"}
    assert extend(documents, [], {"run-1": ["a", "c"]}, rng()).documents == []


def test_what_a_later_ranking_takes_for_certain_belongs_to_no_earlier_sample() -> None:
    first = PoolDraw(("light",), ("a", "b"), ("c", "gone"), certain=("z",))
    later = PoolDraw(("run-1",), ("e",), ("f",), certain=("b", "c"))
    assert samples_of([first, later], set("abcdefz")) == [Sample(("a",), ()), Sample(("e",), ("f",))]


def test_pool_of_a_new_query_holds_ten_of_the_rankings_and_two_by_chance(desk: Desk) -> None:
    pool = pool_for(desk, write_query(desk, GRADED_TEXT))
    assert (len(pool), len({each.doc_id for each in pool})) == (12, 12)
    by_chance = [each for each in pool if RANDOM in each.sources]
    assert [each.sources for each in by_chance] == [{RANDOM: None}, {RANDOM: None}]
    assert by_chance == pool[-2:]
    in_light = dict(enumerate(GRADED_RANKING[:10], start=1))
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
        assert storage.label_sets.pool_of(session, desk.label_set_id + 1, query.id) == []


def test_pool_of_is_extended_when_a_better_ranking_appears_and_only_once(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    before = pool_for(judged_desk, query, depth=4)
    run = judged_desk.finish_by_hand(swapped_topics())
    extended = pool_for(judged_desk, query, None, depth=4)
    assert extended[: len(before)] == before
    new = extended[len(before) :]
    best = [doc_id for doc_id in SWAPPED_TOP if doc_id not in {each.doc_id for each in before}]
    assert [each.doc_id for each in new[:2]] == best[:2]
    assert all(f"run-{run.id}" in each.sources or f"run-{run.id}+words" in each.sources for each in new)
    assert stored_pool(judged_desk, query) == before  # a visitor looked
    assert pool_for(judged_desk, query, depth=4) == extended
    assert pool_for(judged_desk, query, depth=4) == extended
    assert stored_pool(judged_desk, query) == extended


def test_pool_of_keeps_how_documents_were_drawn(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    untrained = ("light", "aligned", "light+words", "aligned+words", "aligned+words+reread", "words")
    before = pool_for(judged_desk, query, depth=4)
    first, deep = drawn_for(judged_desk, query)
    assert (first.sources, deep.sources) == (untrained, untrained)
    assert {*first.drawn, *deep.drawn} == {each.doc_id for each in before[2:]}
    run = judged_desk.finish_by_hand(swapped_topics())
    pool_for(judged_desk, query, None, depth=4)
    assert drawn_for(judged_desk, query) == [first, deep]
    pool_for(judged_desk, query, depth=4)
    assert [draw.sources for draw in drawn_for(judged_desk, query)[2:]] == [(f"run-{run.id}", f"run-{run.id}+words")]


def test_pool_from_before_there_were_draws_grows_by_new_runs_alone(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    older = [PoolDocument("dog-illness", {LIGHT: 1})]
    with judged_desk.workspace.writing() as session:
        storage.label_sets.add_to_pool(session, judged_desk.label_set_id, query.id, older)
    assert pool_for(judged_desk, query) == older
    judged_desk.finish_by_hand(swapped_topics())
    assert len(pool_for(judged_desk, query)) == 6


def test_sampled_queries_leave_out_documents_that_are_gone(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    draw = PoolDraw((LIGHT,), ("dog-illness", "gone"), ("cat-illness", "lost"))
    with judged_desk.workspace.writing() as session:
        storage.label_sets.add_draw(session, judged_desk.label_set_id, query.id, draw)
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    qrels = {query.id: {"dog-illness": 1.0}, 9999: {"cat-illness": 0.0}}
    assert sampled_queries(judged_desk.workspace, judged_desk.label_set_id, opened, qrels) == {
        query.id: SampledQuery({"dog-illness": 1.0}, (Sample(("dog-illness",), ("cat-illness",)),)),
        9999: SampledQuery({"cat-illness": 0.0}),
    }


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
        assert pool_of(waiting, found_by(waiting, "ann", label_set_id, query)).pool == pool
        with pytest.raises(NotReadyError):
            pool_of(waiting, found_by(waiting, "ann", label_set_id, other))
    finally:
        waiting.close()


def test_pool_of_a_stored_pool_waits_with_its_extension_for_the_embedders(judged_desk: Desk) -> None:
    query = write_query(judged_desk, GRADED_TEXT)
    label_set_id, pool = judged_desk.label_set_id, pool_for(judged_desk, query, depth=4)
    judged_desk.finish_by_hand(swapped_topics())
    waiting = unloaded(judged_desk)
    try:
        assert pool_of(waiting, in_depth(waiting, "ann", label_set_id, query, 4)).pool == pool
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
