import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era.encoders.cache import VectorCache
from tests.fakes import random_unit_rows

RECORD_BYTES = 16 + 8 + 4 * 8  # digest, checksum and 8 numbers


def test_find_gives_what_was_kept_and_nothing_else(tmp_path: Path) -> None:
    kept, rows = VectorCache(tmp_path).open("model", 8), random_unit_rows(3, 8, seed=0)
    kept.keep(["a", "b", "c"], rows)
    is_known, found = kept.find(["c", "unknown", "a", "c"])
    assert is_known.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(found, [rows[2], np.zeros(8), rows[0], rows[2]])
    assert found.dtype == np.float32


def test_find_knows_nothing_of_an_empty_cache(tmp_path: Path) -> None:
    is_known, found = VectorCache(tmp_path / "not there").open("model", 8).find(["a"])
    assert not is_known.any()
    assert found.shape == (1, 8)
    assert not (tmp_path / "not there").exists()


def test_find_gives_what_an_earlier_process_kept(tmp_path: Path) -> None:
    rows = random_unit_rows(4, 8, seed=0)
    VectorCache(tmp_path).open("model", 8).keep(["a", "b"], rows[:2])
    later = VectorCache(tmp_path).open("model", 8)
    later.keep(["c", "d"], rows[2:])  # goes on in the file that was begun
    assert len(list(tmp_path.rglob("*.vectors2"))) == 1
    for cache in (later, VectorCache(tmp_path).open("model", 8)):
        is_known, found = cache.find(["d", "c", "b", "a"])
        assert is_known.all()
        np.testing.assert_array_equal(found, rows[::-1])


@pytest.mark.parametrize(("about", "dimension"), [("another model", 8), ("model", 9)])
def test_find_keeps_embedders_apart(tmp_path: Path, about: str, dimension: int) -> None:
    cache = VectorCache(tmp_path)
    cache.open("model", 8).keep(["a"], random_unit_rows(1, 8, seed=0))
    assert not cache.open(about, dimension).find(["a"])[0].any()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.text(max_size=4), max_size=12, unique=True), max_size=6))
def test_find_agrees_with_a_dictionary(tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]]) -> None:
    cache = VectorCache(tmp_path_factory.mktemp("cache"), limit_bytes=1 << 20)
    cache.shard_bytes = 4 * RECORD_BYTES
    kept = cache.open("model", 8)
    expected: dict[str, list[float]] = {}
    for seed, batch in enumerate(batches):
        rows = random_unit_rows(len(batch), 8, seed)
        kept.keep(batch, rows)
        expected |= dict(zip(batch, rows.tolist(), strict=True))
    for opened in (kept, cache.open("model", 8)):
        asked = [*expected, "not there"]
        is_known, found = opened.find(asked)
        assert is_known.tolist() == [text in expected for text in asked]
        assert found[:-1].tolist() == list(expected.values())


def test_the_oldest_files_go_when_there_is_too_much(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, limit_bytes=80 * RECORD_BYTES)  # files of 10 records
    kept, rows = cache.open("model", 8), random_unit_rows(200, 8, seed=0)
    for start in range(0, 200, 10):
        kept.keep([str(i) for i in range(start, start + 10)], rows[start : start + 10])
        assert cache.size_bytes <= 80 * RECORD_BYTES
    is_known, found = kept.find([str(i) for i in range(200)])
    assert is_known.tolist() == [False] * 120 + [True] * 80
    np.testing.assert_array_equal(found[120:], rows[120:])


def test_a_torn_record_at_the_end_is_left_out_and_written_over(tmp_path: Path) -> None:
    rows = random_unit_rows(3, 8, seed=0)
    VectorCache(tmp_path).open("model", 8).keep(["a", "b"], rows[:2])
    [file] = tmp_path.rglob("*.vectors2")
    file.write_bytes(file.read_bytes()[:-5])
    again = VectorCache(tmp_path).open("model", 8)
    assert again.find(["a", "b"])[0].tolist() == [True, False]
    again.keep(["c"], rows[2:])
    is_known, found = VectorCache(tmp_path).open("model", 8).find(["a", "b", "c"])
    assert is_known.tolist() == [True, False, True]
    np.testing.assert_array_equal(found[2], rows[2])


def test_a_vector_that_is_damaged_on_disk_is_not_given(tmp_path: Path) -> None:
    rows = random_unit_rows(2, 8, seed=0)
    VectorCache(tmp_path).open("model", 8).keep(["a", "b"], rows)
    [file] = tmp_path.rglob("*.vectors2")
    content = bytearray(file.read_bytes())
    content[24:56] = np.full(8, 9, np.float32).tobytes()
    file.write_bytes(content)
    assert VectorCache(tmp_path).open("model", 8).find(["a", "b"])[0].tolist() == [False, True]


@pytest.mark.parametrize("place", [0, 15, 16, 23, 24, 55])
def test_a_single_bit_that_has_changed_on_disk_is_noticed(
    tmp_path: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    rows = random_unit_rows(2, 8, seed=0)
    VectorCache(tmp_path).open("model", 8).keep(["a", "b"], rows)
    [file] = tmp_path.rglob("*.vectors2")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    is_known, found = VectorCache(tmp_path).open("model", 8).find(["a", "b"])
    assert is_known.tolist() == [False, True]
    np.testing.assert_array_equal(found, [np.zeros(8), rows[1]])
    assert ("is damaged; what is read again of it: 1 texts" in caplog.text) == (
        place >= 16
    )  # else it is of another text


def test_files_from_before_the_checksums_are_read_and_not_added_to(tmp_path: Path) -> None:
    rows = random_unit_rows(2, 8, seed=0)
    cache = VectorCache(tmp_path)
    cache.open("model", 8).keep(["z"], rows[:1])
    [file] = tmp_path.rglob("*.vectors2")
    digest = hashlib.sha256(b"a").digest()[:16]
    before = file.with_name("00000000000000000001.vectors")
    before.write_bytes(digest + rows[0].astype("<f4").tobytes())
    file.unlink()
    kept = VectorCache(tmp_path).open("model", 8)
    kept.keep(["b"], rows[1:])
    for opened in (kept, VectorCache(tmp_path).open("model", 8)):
        is_known, found = opened.find(["a", "b"])
        assert is_known.all()
        np.testing.assert_array_equal(found, rows)
    assert before.stat().st_size == 48
    assert cache.size_bytes == 48 + RECORD_BYTES


def test_a_file_that_somebody_deleted_is_begun_anew(tmp_path: Path) -> None:
    kept, rows = VectorCache(tmp_path).open("model", 8), random_unit_rows(2, 8, seed=0)
    kept.keep(["a"], rows[:1])
    [file] = tmp_path.rglob("*.vectors2")
    file.unlink()
    assert not kept.find(["a"])[0].any()
    kept.keep(["b"], rows[1:])
    assert kept.find(["a", "b"])[0].tolist() == [False, True]


def test_a_full_disk_costs_nothing_but_the_shortcut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    kept = VectorCache(tmp_path / "cache").open("model", 8)
    kept.keep(["a"], random_unit_rows(1, 8, seed=0))
    assert "could not be kept" in caplog.text
    assert not kept.find(["a"])[0].any()


def test_several_threads_may_keep_and_find_at_once(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path)
    cache.shard_bytes = 50 * RECORD_BYTES
    kept, rows = cache.open("model", 8), random_unit_rows(400, 8, seed=0)
    wrong: list[str] = []

    def work(first: int) -> None:
        for i in range(first, 400, 4):
            kept.keep([str(i)], rows[i : i + 1])
            is_known, found = kept.find([str(i)])
            if not is_known[0] or not np.array_equal(found[0], rows[i]):
                wrong.append(str(i))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert VectorCache(tmp_path).open("model", 8).find([str(i) for i in range(400)])[0].all()


def test_a_limit_below_one_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="above 0"):
        VectorCache(tmp_path, limit_bytes=0)
