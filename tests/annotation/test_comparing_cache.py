"""Rankings are searched for once: kept by content in memory and on disk, and forgotten rather than wrong."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from annotation.comparing import rank
from annotation.comparing.measure import OverallComparison, compare_all
from annotation.comparing.rank import rank_queries
from annotation.comparing.view import ComparisonView
from annotation.ranking.rankers import ALIGNED, BM25, LIGHT, RankingKey
from era.encoders.base import Vectors
from era.index import lexical
from era.index.dense import DenseIndex
from era.index.lexical import LexicalIndex
from era.types import ScoredDoc
from tests.worlds.desk import Desk, swapped_topics
from tests.worlds.words import GRADED_RANKING, GRADED_TEXT, light_embedder


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many queries each search of an index, or of the words, is about."""
    found: list[int] = []
    search, look_up = DenseIndex.search, LexicalIndex.search

    def counted(index: DenseIndex, vectors: Vectors, k: int) -> list[list[ScoredDoc]]:
        found.append(len(vectors))
        return search(index, vectors, k)

    def counted_words(words: LexicalIndex, text: str, k: int) -> tuple[dict[str, float], float]:
        found.append(1)
        return look_up(words, text, k)

    monkeypatch.setattr(DenseIndex, "search", counted)
    monkeypatch.setattr(LexicalIndex, "search", counted_words)
    return found


def compared(desk: Desk, *sides: str) -> OverallComparison:
    overall = compare_all(
        desk.workspace, ComparisonView(desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), None)
    )
    assert overall is not None
    return overall


def test_a_comparison_opened_again_searches_for_nothing(judged_desk: Desk, searches: list[int]) -> None:
    first = compared(judged_desk, LIGHT, ALIGNED, BM25)
    assert sum(searches) == 3 * 12
    read = [*judged_desk.light.texts_read]
    assert compared(judged_desk, LIGHT, ALIGNED, BM25) == first
    assert sum(searches) == 3 * 12
    assert judged_desk.light.texts_read == read
    judged_desk.mark(judged_desk.query_id("cat-owner"), "dog-feeding", 1.0, 1)
    assert compared(judged_desk, LIGHT, ALIGNED, BM25) != first  # marks are looked at anew
    assert sum(searches) == 3 * 12


def test_a_comparison_opened_after_a_restart_searches_for_nothing(judged_desk: Desk, searches: list[int]) -> None:
    run = judged_desk.finish_by_hand(
        swapped_topics(), {judged_desk.query_id("cat-owner"): light_embedder().encode_documents(["moth"])[0]}
    )
    sides = f"run-{run.id}", f"{LIGHT}+words", BM25
    first, n_searched = compared(judged_desk, *sides), len(searches)
    assert n_searched
    again = judged_desk.again()
    try:
        assert compared(again, *sides) == first
        assert len(searches) == n_searched
    finally:
        again.workspace.close()


def test_only_new_queries_are_searched_for(judged_desk: Desk, searches: list[int]) -> None:
    compared(judged_desk, LIGHT, ALIGNED)
    searches.clear()
    judged_desk.mark(judged_desk.ask("moth illness"), "moth-illness", 1.0, 1)
    assert len(compared(judged_desk, LIGHT, ALIGNED).queries) == 13
    assert searches == [1, 1]


def test_a_held_out_vector_is_part_of_what_a_ranking_is_kept_by(judged_desk: Desk) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    query_id = judged_desk.ask(GRADED_TEXT)
    runs = [
        judged_desk.finish_by_hand(swapped_topics(), {query_id: light_embedder().encode_documents([text])[0]})
        for text in ("moth illness", "seal feeding")
    ]

    def first_of(number: int, is_in_sample: bool = False) -> str:
        key, query = f"run-{runs[number].id}", judged_desk.query(query_id)
        found = rank_queries(judged_desk.workspace, opened, RankingKey(key), [query], is_in_sample=is_in_sample)
        return found[query_id].ranking[0].doc_id

    for _ in range(2):
        assert (first_of(0), first_of(1)) == ("moth-illness", "seal-feeding")
        assert (first_of(0, True), first_of(1, True)) == (GRADED_RANKING[8], GRADED_RANKING[8])


def test_a_deeper_ranking_is_searched_for_and_a_shallower_one_cut(judged_desk: Desk, searches: list[int]) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    query = judged_desk.query(judged_desk.ask(GRADED_TEXT))

    def ranking(depth: int) -> list[str]:
        found = rank_queries(judged_desk.workspace, opened, LIGHT, [query], depth)
        return [doc.doc_id for doc in found[query.id].ranking]

    assert ranking(5) == GRADED_RANKING[:5]
    assert ranking(9) == GRADED_RANKING[:9]
    assert len(searches) == 2
    assert ranking(3) == GRADED_RANKING[:3]
    assert len(searches) == 2


def test_a_ranking_that_counts_words_is_the_same_whatever_was_searched_for_before(
    judged_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "_DEPTH", 1)
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    query = judged_desk.query(judged_desk.ask("cat feeding feeding feeding dog"))

    def ranking(depth: int) -> list[str]:
        found = rank_queries(judged_desk.workspace, opened, RankingKey(f"{LIGHT}+words"), [query], depth)
        return [doc.doc_id for doc in found[query.id].ranking]

    assert ranking(9)[0] == "dog-feeding"
    assert ranking(1) == ["cat-feeding"]  # either signal puts it first, so nothing else was looked at
    assert ranking(9)[0] == "dog-feeding"


@pytest.mark.parametrize("key", [LIGHT, f"{LIGHT}+words", BM25])
def test_rankings_of_other_code_are_searched_for_again(
    judged_desk: Desk, searches: list[int], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    query = judged_desk.query(judged_desk.ask("cat feeding"))

    def is_searched() -> bool:
        searches.clear()
        rank_queries(judged_desk.workspace, opened, RankingKey(key), [query])
        return bool(searches)

    assert is_searched()
    assert not is_searched()
    monkeypatch.setattr(rank, "RANKING_VERSION", rank.RANKING_VERSION + 1)
    assert is_searched()
    monkeypatch.setattr(rank, "version", lambda package: f"another {package}")
    assert is_searched() == (key != LIGHT)  # only words are counted by that package


def change_a_score(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        rows = connection.execute("SELECT value, rowid FROM kept").fetchall()
        changed = [(bytes([value[0] ^ 1]) + value[1:], row) for value, row in rows]
        connection.executemany("UPDATE kept SET value = ? WHERE rowid = ?", changed)


def overwrite(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that nothing of it lies beside the file
    file.write_bytes(b"something else " * 1000)


@pytest.mark.parametrize("damage", [overwrite, change_a_score])
def test_damaged_rankings_are_searched_for_again(
    judged_desk: Desk, searches: list[int], damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = compared(judged_desk, LIGHT, ALIGNED)
    n_searched = len(searches)
    judged_desk.workspace.close_opened(judged_desk.collection.id)
    damage(judged_desk.workspace.collection_folder(judged_desk.collection.id) / "runs" / "cache.sqlite3")
    again = judged_desk.again()
    try:
        with caplog.at_level(logging.WARNING):
            assert compared(again, LIGHT, ALIGNED) == first
        assert len(searches) == 2 * n_searched
        assert "is damaged" in caplog.text
        assert compared(again.again(), LIGHT, ALIGNED) == first
        assert len(searches) == 2 * n_searched  # mended
    finally:
        again.workspace.close()


def test_rankings_of_the_same_content_are_searched_for_once(judged_desk: Desk, searches: list[int]) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    twin = judged_desk.finish_by_hand(swapped_topics())
    compared(judged_desk, LIGHT, f"run-{run.id}")
    searches.clear()
    compared(judged_desk, LIGHT, f"run-{twin.id}")
    assert searches == []
