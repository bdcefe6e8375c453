import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from era.encoders.cache import VectorCache
from tests.worlds.vectors import random_unit_rows


def folder_before(cache: Path, about: str, dimension: int) -> Path:
    """Return a folder as versions up to 0.7 made it for the vectors of one embedder."""
    folder = cache / hashlib.sha256(f"{dimension} {about}".encode()).hexdigest()[:32]
    folder.mkdir(parents=True)
    return folder


def record_before(text: str, vector: NDArray[np.float32], has_checksum: bool = True) -> bytes:
    """Return a record as versions up to 0.7 wrote it, the first ones without a checksum."""
    key, row = hashlib.sha256(text.encode()).digest()[:16], vector.astype("<f4").tobytes()
    return key + (hashlib.sha256(key + row).digest()[:8] if has_checksum else b"") + row


def test_find_gives_what_was_kept_and_nothing_else(tmp_path: Path) -> None:
    kept, rows = VectorCache(tmp_path).open("model", 8), random_unit_rows(3, 8, seed=0)
    kept.keep(["a", "b", "c"], rows)
    for opened in (kept, VectorCache(tmp_path).open("model", 8)):
        is_known, found = opened.find(["c", "unknown", "a", "c"])
        assert is_known.tolist() == [True, False, True, True]
        np.testing.assert_array_equal(found, [rows[2], np.zeros(8), rows[0], rows[2]])
        assert found.dtype == np.float32


def test_find_knows_nothing_of_an_empty_cache(tmp_path: Path) -> None:
    kept = VectorCache(tmp_path / "not there").open("model", 8)
    for texts in (["a"], []):
        is_known, found = kept.find(texts)
        assert not is_known.any()
        assert found.shape == (len(texts), 8)
    assert not (tmp_path / "not there").exists()


def test_thousands_of_texts_come_in_their_order(tmp_path: Path) -> None:
    kept, rows = VectorCache(tmp_path).open("model", 2), random_unit_rows(4500, 2, seed=0)
    texts = [f"{number}" for number in range(4500)]
    kept.keep(texts[1::2], rows[1::2])
    is_known, found = kept.find(texts)
    assert is_known.tolist() == [False, True] * 2250
    np.testing.assert_array_equal(found[1::2], rows[1::2])
    assert not found[::2].any()


@pytest.mark.parametrize(("about", "dimension"), [("another model", 8), ("model", 9)])
def test_find_keeps_embedders_apart(tmp_path: Path, about: str, dimension: int) -> None:
    cache = VectorCache(tmp_path)
    cache.open("model", 8).keep(["a"], random_unit_rows(1, 8, seed=0))
    assert not cache.open(about, dimension).find(["a"])[0].any()


def test_the_first_vectors_go_when_there_are_too_many(tmp_path: Path) -> None:
    kept, rows = VectorCache(tmp_path, limit_bytes=1 << 20).open("model", 256), random_unit_rows(2000, 256, seed=0)
    texts = [f"{number}" for number in range(2000)]  # 2 MB of numbers
    for start in range(0, 2000, 100):
        kept.keep(texts[start : start + 100], rows[start : start + 100])
    is_known, found = kept.find(texts)
    n = np.count_nonzero(is_known)
    assert 500 < n < 1024
    assert is_known[-n:].all()
    np.testing.assert_array_equal(found[-n:], rows[-n:])


@pytest.mark.parametrize(("ending", "has_checksum"), [("vectors2", True), ("vectors", False)])
def test_what_earlier_versions_kept_is_taken_over_once(tmp_path: Path, ending: str, has_checksum: bool) -> None:
    rows = random_unit_rows(3, 8, seed=0)
    folder = folder_before(tmp_path, "model", 8)
    first, second = (
        b"".join(record_before(text, row, has_checksum) for text, row in pairs)
        for pairs in ([("a", rows[0]), ("b", rows[0])], [("b", rows[1]), ("c", rows[2])])
    )
    (folder / f"00000000000000000001.{ending}").write_bytes(first)
    (folder / f"00000000000000000002.{ending}").write_bytes(second + b"torn")
    for _ in range(2):
        is_known, found = VectorCache(tmp_path).open("model", 8).find(["a", "b", "c"])
        assert is_known.all()
        np.testing.assert_array_equal(found, rows)
        assert not folder.exists()


@pytest.mark.parametrize("place", [0, 16, 23, 24, 55])
def test_what_is_damaged_in_files_of_earlier_versions_is_left_out(tmp_path: Path, place: int) -> None:
    rows = random_unit_rows(2, 8, seed=0)
    content = bytearray(record_before("a", rows[0]) + record_before("b", rows[1]))
    content[place] ^= 1
    (folder_before(tmp_path, "model", 8) / "00000000000000000001.vectors2").write_bytes(content)
    is_known, found = VectorCache(tmp_path).open("model", 8).find(["a", "b"])
    assert is_known.tolist() == [False, True]
    np.testing.assert_array_equal(found, [np.zeros(8), rows[1]])


def test_what_earlier_versions_kept_stays_where_it_cannot_be_taken_over(tmp_path: Path) -> None:
    file = folder_before(tmp_path, "model", 8) / "00000000000000000001.vectors2"
    file.write_bytes(record_before("a", random_unit_rows(1, 8, seed=0)[0]))
    (tmp_path / "cache.sqlite3").mkdir()  # where the file should be
    VectorCache(tmp_path).open("model", 8)
    assert file.exists()
    (tmp_path / "cache.sqlite3").rmdir()
    assert VectorCache(tmp_path).open("model", 8).find(["a"])[0].all()
    assert not file.exists()


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_shortcut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    kept = VectorCache(tmp_path / "cache").open("model", 8)
    kept.keep(["a"], random_unit_rows(1, 8, seed=0))
    assert "cannot be used" in caplog.text
    assert not kept.find(["a"])[0].any()


def test_a_limit_below_one_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="above 0"):
        VectorCache(tmp_path, limit_bytes=0)
