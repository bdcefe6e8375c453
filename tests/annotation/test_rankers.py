"""Which rankings are offered where, and which one is used when nobody chooses."""

import pytest

import storage.comparisons
import storage.label_sets
from annotation.collections.page import open_page
from annotation.errors import NotFoundError
from annotation.ranking.rankers import (
    ALIGNED,
    BM25,
    LIGHT,
    Ranker,
    RankingKey,
    damaged_run,
    damaged_runs,
    default_ranker,
    list_rankers,
    retriever,
)
from annotation.ui.notices import notices
from era.encoders.base import EmbedderPair
from era.errors import AdapterDamagedError
from era.types import Query
from storage.records import NewSnapshot
from tests.worlds.desk import Desk, swapped_topics
from tests.worlds.words import ANIMALS, TOPICS, WordEmbedder

VARIANTS = "other combinations"
USUAL = "aligned+words+reread"  # of so few documents the strong model has read all


def use(desk: Desk, key: str) -> str:
    """Note that people use this ranking, and return the one that is used."""
    with desk.workspace.writing() as session:
        storage.label_sets.set_in_use(session, desk.label_set_id, key)
    return default_ranker(desk.workspace, desk.collection.id, desk.label_set_id)


def test_the_desk_is_offered_what_it_can_move_after_marks(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    judged_desk.start()  # not finished
    assert list_rankers(judged_desk.workspace, judged_desk.collection.id) == [
        Ranker(LIGHT, "light model alone"),
        Ranker(RankingKey("aligned+words"), "aligned, no labels"),
        Ranker(RankingKey(f"run-{run.id}+words"), "after your marks (run 1)", "1"),
        Ranker(RankingKey("light+words"), "light model + matching words", "", VARIANTS),
        Ranker(ALIGNED, "aligned, no labels, vectors alone", "", VARIANTS),
        Ranker(RankingKey(f"run-{run.id}"), "after your marks (run 1), vectors alone", "1", VARIANTS),
    ]


def test_comparing_is_offered_bm25_and_the_sides_of_snapshots_too(judged_desk: Desk) -> None:
    sides = [
        {"key": "light", "label": "light model alone"},
        {"key": "run-7", "label": "after your marks (run 2), vectors alone"},
    ]
    new = NewSnapshot(
        "q2w3e4r", judged_desk.collection.id, judged_desk.label_set_id, "May", "", "ann", {"sides": sides}
    )
    with judged_desk.workspace.writing() as session:
        storage.comparisons.create_snapshot(session, new, [])
    offered = list_rankers(judged_desk.workspace, judged_desk.collection.id, is_comparing=True)
    plain = list_rankers(judged_desk.workspace, judged_desk.collection.id)
    assert [each for each in offered if each not in plain] == [
        Ranker(BM25, "BM25, matching words alone"),
        Ranker(RankingKey("snap-q2w3e4r-0"), "May: light model alone", group="snapshots"),
        Ranker(RankingKey("snap-q2w3e4r-1"), "May: after your marks (run 2), vectors alone", group="snapshots"),
    ]
    assert [each for each in offered if each in plain] == plain


def test_default_ranker_is_what_people_chose_as_long_as_it_is_there(judged_desk: Desk) -> None:
    assert use(judged_desk, "") == USUAL
    runs = [judged_desk.finish_by_hand(swapped_topics()) for _ in range(2)]
    assert use(judged_desk, "") == f"run-{runs[1].id}"
    assert use(judged_desk, f"run-{runs[0].id}") == f"run-{runs[0].id}"
    assert use(judged_desk, ALIGNED) == ALIGNED
    assert use(judged_desk, LIGHT) == LIGHT
    for key in ("light+words", "aligned+words", f"run-{runs[0].id}+words"):
        assert use(judged_desk, key) == key
    for gone in ("run-999", "run-999+words", "nonsense", BM25, "snap-abc-0"):
        assert use(judged_desk, gone) == f"run-{runs[1].id}"


def test_default_ranker_falls_back_to_what_the_newest_run_found_best(judged_desk: Desk) -> None:
    won = judged_desk.finish_by_hand(
        swapped_topics(), measures={"choice": {"ranking": "after+words", "reason": "It ranks best."}}
    )
    assert use(judged_desk, "") == f"run-{won.id}+words"
    judged_desk.finish_by_hand(swapped_topics(), measures={"choice": {"ranking": "light", "reason": "Training lost."}})
    assert use(judged_desk, "") == LIGHT
    judged_desk.finish_by_hand(swapped_topics(), measures={"choice": None})  # trained for comparison only
    assert use(judged_desk, "") == LIGHT
    old = judged_desk.finish_by_hand(swapped_topics())  # from before several rankings were measured
    assert use(judged_desk, "") == f"run-{old.id}"


@pytest.mark.parametrize("part", ["adapter.safetensors", "adapter.json"])
def test_default_ranker_is_aligned_where_the_adapter_in_use_is_damaged(judged_desk: Desk, part: str) -> None:
    workspace, collection_id = judged_desk.workspace, judged_desk.collection.id
    older, newer = (judged_desk.finish_by_hand(swapped_topics()) for _ in range(2))
    assert damaged_run(workspace, collection_id, judged_desk.label_set_id) is None
    file = workspace.adapter_folder(newer.id) / part
    kept = file.read_bytes()
    file.write_bytes(kept[:-3] + bytes([kept[-3] ^ 4]) + kept[-2:])
    workspace.open(collection_id).forget(file.parent)
    for chosen in ("", f"run-{newer.id}"):
        assert use(judged_desk, chosen) == USUAL
        assert damaged_run(workspace, collection_id, judged_desk.label_set_id) == newer
    assert damaged_runs(workspace, collection_id) == {newer.id}
    [told] = notices(workspace, open_page(workspace, collection_id, judged_desk.label_set_id))
    assert told == (
        "The saved adapter of run 2 is damaged, so the ranking without labels is used instead. Your marks are in the "
        "database and are not affected. Under Train, open that run and choose “Again with the same labels”."
    )
    with pytest.raises(AdapterDamagedError, match="Your marks do not lie in it and are not affected; train again"):
        retriever(workspace, workspace.open(collection_id), RankingKey(f"run-{newer.id}"))
    assert use(judged_desk, f"run-{older.id}") == f"run-{older.id}"
    assert notices(workspace, open_page(workspace, collection_id, judged_desk.label_set_id)) == []
    file.write_bytes(kept)  # put back from a copy
    retriever(workspace, workspace.open(collection_id), RankingKey(f"run-{newer.id}"))
    assert use(judged_desk, "") == f"run-{newer.id}"


def test_default_ranker_never_takes_a_run_that_has_not_finished(judged_desk: Desk) -> None:
    waiting = judged_desk.start()
    assert use(judged_desk, f"run-{waiting.id}") == USUAL


@pytest.mark.parametrize("key", ["light", "light+words", "aligned", "aligned+words", "bm25"])
def test_retriever_finds_by_every_key(judged_desk: Desk, key: str) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    chosen, held_out = retriever(judged_desk.workspace, opened, RankingKey(key))
    assert held_out == {}
    found = chosen.search(Query("1", "cat illness"), 2)
    assert found[0].doc_id == "cat-illness"
    assert len(found) == 2
    assert list(chosen.run([Query("1", "cat illness")], 2)["1"]) == found


@pytest.mark.parametrize("key", ["BM25", "bm25+words", "run-1", "run-", "snap-abc-0", "light+words+words"])
def test_retriever_says_so_when_there_is_none(judged_desk: Desk, key: str) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    with pytest.raises(NotFoundError):
        retriever(judged_desk.workspace, opened, RankingKey(key))


def test_default_ranker_passes_over_runs_of_other_embedders(judged_desk: Desk) -> None:
    run = judged_desk.train()
    key, workspace, collection_id = f"run-{run.id}", judged_desk.workspace, judged_desk.collection.id
    assert use(judged_desk, key) == key
    other = EmbedderPair(WordEmbedder("another", [*ANIMALS, *TOPICS]), judged_desk.light)
    opened = workspace.open(collection_id)
    workspace._opened[collection_id] = opened.with_pair(other)
    assert use(judged_desk, key) == LIGHT
    workspace._opened[collection_id] = opened
    assert use(judged_desk, key) == key
