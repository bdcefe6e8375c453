"""What is kept in one file of limited size, by several threads and processes, and what damage to it costs."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era.cache import Cache

LIMIT = 64 << 20
HOUR_S = 3600
DAMAGED_PLACES = [0, 100, 8192]  # the header, the schema, and the root of the table


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.sqlite3"


@pytest.fixture
def cache(file: Path) -> Iterator[Cache]:
    opened = Cache(file, LIMIT)
    yield opened
    opened.close()


def numbered(first: int, n: int, n_bytes: int = 1) -> dict[bytes, bytes]:
    return {f"{number}".encode(): bytes([number % 256]) * n_bytes for number in range(first, first + n)}


def test_find_gives_what_was_kept_and_nothing_else(cache: Cache, file: Path) -> None:
    assert cache.keep("a", {b"one": b"1", b"two": b""})
    assert cache.keep("b", {b"one": b"another"})
    for opened in (cache, Cache(file, LIMIT)):
        assert opened.find("a", [b"two", b"three", b"one", b"one"]) == {b"one": b"1", b"two": b""}
        assert opened.find("b", [b"one", b"two"]) == {b"one": b"another"}
        assert opened.find("c", [b"one"]) == {}
        assert opened.find("a", []) == {}


def test_nothing_is_written_before_there_is_something_to_keep(cache: Cache, file: Path) -> None:
    assert cache.find("a", [b"one"]) == {}
    assert cache.keep("a", {})
    assert not file.parent.exists()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.tuples(st.text(max_size=2), st.binary(max_size=3)), st.binary(max_size=9))))
def test_find_agrees_with_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[tuple[str, bytes], bytes]]
) -> None:
    cache = Cache(tmp_path_factory.mktemp("cache") / "cache.sqlite3", LIMIT)
    expected: dict[tuple[str, bytes], bytes] = {}
    for batch in batches:
        for namespace, key in batch:
            cache.keep(namespace, {key: batch[namespace, key]})
        expected |= batch
    for namespace in {name for name, _ in expected}:
        of_it = {key: value for (name, key), value in expected.items() if name == namespace}
        assert cache.find(namespace, [*of_it, b"none of them"]) == of_it
    cache.close()


def test_many_keys_are_found_at_once(cache: Cache) -> None:
    values = numbered(0, 40_000)
    cache.keep("a", values)
    assert cache.find("a", list(numbered(0, 50_000))) == values


def test_what_was_kept_first_goes_first_when_there_is_too_much(file: Path) -> None:
    limit = 1 << 20
    cache = Cache(file, limit)
    for first in range(0, 1000, 10):  # 4 MB in all
        cache.keep("a", numbered(first, 10, 4000))
    found = sorted(int(key) for key in cache.find("a", list(numbered(0, 1000))))
    assert 150 < len(found) < 262
    assert found == list(range(1000 - len(found), 1000))
    cache.close()
    assert file.stat().st_size <= limit


def test_what_was_used_longest_ago_goes_first(file: Path) -> None:
    clock = Clock()
    cache = Cache(file, 1 << 20, clock)
    cache.keep("a", numbered(0, 200, 4000))
    for first in range(1000, 1400, 10):
        clock.now_s += 2 * HOUR_S
        assert cache.find("a", [b"7", b"50"]).keys() == {b"7", b"50"}
        cache.keep("a", numbered(first, 10, 4000))
    assert cache.find("a", list(numbered(0, 200))).keys() == {b"7", b"50"}
    cache.close()


def test_reading_does_not_write_time_and_again(file: Path) -> None:
    clock = Clock()
    cache = Cache(file, LIMIT, clock)
    cache.keep("a", numbered(0, 5))

    def changes() -> int:
        with closing(sqlite3.connect(file)) as connection:
            return int(connection.execute("SELECT sum(used_at) FROM kept").fetchone()[0])

    before = changes()
    clock.now_s += 10
    cache.find("a", [b"1"])
    assert changes() == before
    clock.now_s += 2 * HOUR_S
    cache.find("a", [b"1"])
    assert changes() == before + 2 * HOUR_S + 10
    cache.close()


def test_a_file_becomes_smaller_once_its_limit_is(file: Path) -> None:
    cache = Cache(file, LIMIT)
    cache.keep("a", numbered(0, 1000, 4000))
    cache.close()
    assert file.stat().st_size > 4_000_000
    smaller = Cache(file, 1 << 20)
    smaller.keep("a", {b"last": b"1"})
    assert smaller.find("a", [b"last", b"0"]) == {b"last": b"1"}
    smaller.close()
    assert file.stat().st_size <= 1 << 20


def test_a_value_beyond_the_limit_is_not_kept_for_long(file: Path) -> None:
    cache = Cache(file, 1)
    cache.keep("a", {b"one": b"1" * 100_000})
    assert cache.find("a", [b"one"]) == {}
    cache.close()
    assert file.stat().st_size < 100_000


def flip(file: Path, content: bytes) -> None:
    """Change one bit of what a file holds at the only place of `content`."""
    changed = bytearray(file.read_bytes())
    assert changed.count(content) == 1
    changed[changed.index(content)] ^= 1
    file.write_bytes(changed)


def test_a_single_bit_that_has_changed_on_disk_is_noticed(
    cache: Cache, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.keep("a", {b"one": b"the first value", b"two": b"the second value"})
    cache.close()
    flip(file, b"the first value")
    assert cache.find("a", [b"one", b"two"]) == {b"two": b"the second value"}
    assert "is damaged; what is computed again of it: 1 values" in caplog.text
    cache.keep("a", {b"one": b"computed again"})
    assert cache.find("a", [b"one"]) == {b"one": b"computed again"}


@pytest.mark.parametrize("place", DAMAGED_PLACES)
def test_a_damaged_file_is_set_aside_and_begun_anew(
    cache: Cache, file: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache.keep("a", numbered(0, 2000, 100))
    cache.close()
    content = bytearray(file.read_bytes())
    content[place : place + 2000] = b"\xff" * 2000
    file.write_bytes(content)
    found = cache.find("a", list(numbered(0, 2000)))
    assert found == {}
    assert cache.keep("a", {b"new": b"1"})
    assert cache.find("a", [b"new", b"0"]) == {b"new": b"1"}
    assert "begun anew" in caplog.text
    assert file.with_name("cache.sqlite3.damaged").stat().st_size == len(content)


def test_what_is_no_database_is_set_aside(cache: Cache, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"something else " * 1000)
    assert cache.keep("a", {b"one": b"1"})
    assert cache.find("a", [b"one"]) == {b"one": b"1"}
    assert file.with_name("cache.sqlite3.damaged").exists()


def test_a_file_that_was_deleted_meanwhile_is_begun_anew(cache: Cache, file: Path) -> None:
    cache.keep("a", {b"one": b"1"})
    file.unlink()
    assert cache.find("a", [b"one"]) == {}
    cache.keep("a", {b"two": b"2"})
    assert Cache(file, LIMIT).find("a", [b"one", b"two"]) == {b"two": b"2"}


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_shortcut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").write_text("a file where the folder should be")
    cache = Cache(tmp_path / "folder" / "cache.sqlite3", LIMIT)
    for _ in range(3):
        assert not cache.keep("a", {b"one": b"1"})
        assert cache.find("a", [b"one"]) == {}
    assert caplog.text.count("cannot be used") == 1


def test_a_folder_that_may_not_be_read_holds_nothing(cache: Cache, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep("a", {b"one": b"1"})

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("may not be read")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        assert cache.find("a", [b"one"]) == {}
    assert cache.find("a", [b"one"]) == {b"one": b"1"}


def test_a_full_disk_keeps_all_of_a_batch_or_nothing(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    cache.keep("a", {b"one": b"1"})
    connection = cache._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 20")
    assert not cache.keep("a", numbered(0, 100, 4000))
    assert "full" in caplog.text
    assert cache.find("a", [b"one", *numbered(0, 100)]) == {b"one": b"1"}
    assert cache.keep("a", {b"two": b"2"})


def test_several_threads_may_keep_and_find_at_once(cache: Cache, file: Path) -> None:
    wrong: list[int] = []

    def work(first: int) -> None:
        for number in range(first, 200, 4):
            one = numbered(number, 1)
            cache.keep("a", one)
            if cache.find("a", list(one)) != one:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert Cache(file, LIMIT).find("a", list(numbered(0, 200))) == numbered(0, 200)


KEEPING = """
import sys
from pathlib import Path
from era.cache import Cache
cache, first = Cache(Path(sys.argv[1]), 64 << 20), int(sys.argv[2])
for number in range(first, first + 50):
    assert cache.keep("a", {f"{number}".encode(): bytes([number % 256])})
    assert cache.find("a", [f"{number}".encode()])
"""


def test_several_processes_may_keep_and_find_at_once(cache: Cache, file: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", KEEPING, str(file), str(50 * each)]) for each in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert cache.find("a", list(numbered(0, 150))) == numbered(0, 150)


def test_a_limit_below_one_byte_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Cache(file, 0)
