"""The store of rankings by itself: what it gives back, what it forgets, and that nobody waits for a file."""

import hashlib
import logging
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from annotation.comparing import run_cache
from annotation.comparing.run_cache import RunCache
from era.intact import save_arrays
from era.types import ScoredDoc
from tests.annotation.conftest import PATIENCE_S

RANKER, OTHER = "a" * 64, "b" * 64
DOC_IDS = ["d0", "d1", "d2"]


def name(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def ranked(*doc_ids: str) -> list[ScoredDoc]:
    return [ScoredDoc(doc_id, 1 / (place + 3)) for place, doc_id in enumerate(doc_ids)]


def test_run_cache_gives_back_scores_bit_by_bit(tmp_path: Path) -> None:
    kept = {name("one"): ranked("d2", "d0"), name("none"): []}
    RunCache(tmp_path, DOC_IDS).keep(RANKER, kept, 100)
    cache = RunCache(tmp_path, DOC_IDS)
    assert cache.find(RANKER, [name("one"), name("none"), name("other")], 100) == kept
    assert cache.find(RANKER, [name("one")], 101) == {}
    assert cache.find(OTHER, [name("one")], 100) == {}


def test_run_cache_forgets_the_queries_that_were_used_longest_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_cache, "MAX_QUERIES", 2)
    cache = RunCache(tmp_path, DOC_IDS)
    cache.keep(RANKER, {name("one"): ranked("d0"), name("two"): ranked("d1")}, 10)
    cache.find(RANKER, [name("one")], 10)
    cache.keep(RANKER, {name("three"): ranked("d2")}, 10)
    for reopened in (cache, RunCache(tmp_path, DOC_IDS)):
        found = reopened.find(RANKER, [name(text) for text in ("one", "two", "three")], 10)
        assert found == {name("one"): ranked("d0"), name("three"): ranked("d2")}


def test_run_cache_holds_no_more_in_memory_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RunCache(tmp_path, DOC_IDS)
    rankers = [f"{number:064x}" for number in range(4)]
    cache.keep(rankers[0], {name("one"): ranked("d0")}, 10)
    monkeypatch.setattr(run_cache, "MAX_MEMORY_BYTES", 2 * sum(cache._n_bytes.values()))
    for ranker in rankers[1:3]:
        cache.keep(ranker, {name("one"): ranked("d0")}, 10)
        cache.find(rankers[0], [name("one")], 10)
    assert list(cache._rankers) == [rankers[2], rankers[0]]
    wide = {name(f"{number}"): ranked("d0", "d1", "d2") for number in range(5)}
    cache.keep(rankers[3], wide, 10)  # too much by itself
    assert list(cache._rankers) == list(cache._n_bytes) == [rankers[3]]
    assert cache.find(rankers[3], wide, 10) == wide
    for ranker in rankers[:3]:  # read from their files
        assert cache.find(ranker, [name("one")], 10) == {name("one"): ranked("d0")}


def test_run_cache_holds_no_file_by_a_part_of_it(tmp_path: Path) -> None:
    RunCache(tmp_path, DOC_IDS).keep(RANKER, {name("one"): ranked("d0"), name("two"): ranked("d1", "d2")}, 10)
    cache = RunCache(tmp_path, DOC_IDS)
    cache.find(RANKER, [], 10)
    assert [kept.rows.base is kept.scores.base is None for kept in cache._rankers[RANKER].values()] == [True, True]


def test_run_cache_finds_while_a_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RunCache(tmp_path, DOC_IDS)
    one, other = {name("one"): ranked("d0")}, {name("other"): ranked("d1")}
    found: list[object] = []

    def write(file: Path, arrays: dict[str, Any]) -> None:
        reader = Thread(target=lambda: found.append(cache.find(RANKER, one, 10)), daemon=True)
        reader.start()
        reader.join(PATIENCE_S / 6)
        assert found, "the reader has to wait for the writer"
        save_arrays(file, arrays)

    monkeypatch.setattr(run_cache, "save_arrays", write)
    cache.keep(RANKER, one, 10)
    assert found == [one]
    cache.keep(RANKER, other, 10)
    assert RunCache(tmp_path, DOC_IDS).find(RANKER, [*one, *other], 10) == one | other


def test_run_cache_writes_what_several_threads_keep(tmp_path: Path) -> None:
    cache = RunCache(tmp_path, DOC_IDS)
    wanted = [{name(f"{number}"): ranked("d0", "d2")} for number in range(16)]
    threads = [Thread(target=cache.keep, args=(RANKER, each, 10)) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    everything = {query: ranking for each in wanted for query, ranking in each.items()}
    assert RunCache(tmp_path, DOC_IDS).find(RANKER, everything, 10) == everything


def test_run_cache_deletes_the_oldest_files_when_they_take_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RunCache(tmp_path, DOC_IDS)
    rankers = [f"{number:064x}" for number in range(4)]
    for number, ranker in enumerate(rankers):
        if number == 3:
            monkeypatch.setattr(run_cache, "MAX_BYTES", 2 * (tmp_path / f"{rankers[0]}.safetensors").stat().st_size)
        cache.keep(ranker, {name("one"): ranked("d0")}, 10)
        os.utime(tmp_path / f"{ranker}.safetensors", (number, number))
    assert sorted(file.stem for file in tmp_path.iterdir()) == rankers[2:]


def test_run_cache_keeps_in_memory_what_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "runs").write_text("not a folder")
    cache = RunCache(tmp_path / "runs", DOC_IDS)
    with caplog.at_level(logging.WARNING):
        cache.keep(RANKER, {name("one"): ranked("d0")}, 10)
    assert "cannot be kept for the next start" in caplog.text
    assert cache.find(RANKER, [name("one")], 10) == {name("one"): ranked("d0")}


def test_run_cache_keeps_nothing_of_nothing(tmp_path: Path) -> None:
    RunCache(tmp_path, DOC_IDS).keep(RANKER, {}, 10)
    assert list(tmp_path.iterdir()) == []
