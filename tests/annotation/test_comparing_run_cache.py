"""The store of rankings by itself: what it gives back, and what of earlier versions it clears away."""

import hashlib
import logging
from pathlib import Path
from threading import Thread

import pytest

from annotation.retrieval.open_collection import RunCache
from era.types import ScoredDoc
from tests.worlds.desk import PATIENCE_S

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


def test_run_cache_cuts_a_ranking_that_is_deeper_than_asked(tmp_path: Path) -> None:
    cache = RunCache(tmp_path, DOC_IDS)
    cache.keep(RANKER, {name("one"): ranked("d2", "d0", "d1")}, 10)
    assert cache.find(RANKER, [name("one")], 2) == {name("one"): ranked("d2", "d0")}
    cache.keep(RANKER, {name("one"): ranked("d1")}, 1)  # searched for again, less deep
    assert cache.find(RANKER, [name("one")], 1) == {name("one"): ranked("d1")}
    assert cache.find(RANKER, [name("one")], 2) == {}


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


def test_run_cache_is_only_a_shortcut_where_nothing_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runs").write_text("not a folder")
    cache = RunCache(tmp_path / "runs", DOC_IDS)
    with caplog.at_level(logging.WARNING):
        cache.keep(RANKER, {name("one"): ranked("d0")}, 10)
    assert "cannot be used" in caplog.text
    assert cache.find(RANKER, [name("one")], 10) == {}


def test_run_cache_keeps_nothing_of_nothing(tmp_path: Path) -> None:
    RunCache(tmp_path, DOC_IDS).keep(RANKER, {}, 10)
    assert list(tmp_path.iterdir()) == []


def test_run_cache_clears_away_what_earlier_versions_kept(tmp_path: Path) -> None:
    (tmp_path / f"{RANKER}.safetensors").write_bytes(b"rankings")
    cache = RunCache(tmp_path, DOC_IDS)
    cache.keep(RANKER, {name("one"): ranked("d0")}, 10)
    assert not list(tmp_path.glob("*.safetensors"))
