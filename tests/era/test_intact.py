"""Files that come back as they were written, or are said to be damaged."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from era.errors import DamagedFileError
from era.intact import load_arrays, read_json, require_unit_rows, save_arrays, write_json

ABOUT = {"b": [1, 2.5, "ü"], "a": {2: None, 10: True}}
AS_READ = {"a": {"10": True, "2": None}, "b": [1, 2.5, "ü"]}


def test_json_carries_its_checksum_and_those_of_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"123")
    write_json(tmp_path / "about.json", ABOUT, [tmp_path / "weights"])
    assert read_json(tmp_path / "about.json") == AS_READ
    written = json.loads((tmp_path / "about.json").read_text())
    own = b'{"a": {"10": true, "2": null}, "b": [1, 2.5, "\\u00fc"]}'
    assert written.pop("sha256") == {
        "weights": hashlib.sha256(b"123").hexdigest(),
        "about.json": hashlib.sha256(own).hexdigest(),
    }
    assert written == AS_READ
    assert sorted(file.name for file in tmp_path.iterdir()) == ["about.json", "weights"]


def test_json_is_read_whatever_its_layout_and_without_checksums(tmp_path: Path) -> None:
    file = tmp_path / "about.json"
    write_json(file, ABOUT)
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert read_json(file) == AS_READ
    file.write_text('{"a": 1}')
    assert read_json(file) == {"a": 1}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "weights").write_bytes(b"122"), "weights is not what was written"),
        (lambda folder: (folder / "weights").unlink(), "'weights' cannot be read"),
        (lambda folder: replace(folder, "2.5", "2.6"), "about.json is not what was written"),
        (lambda folder: replace(folder, '"weights"', '"../weights"'), "cannot be read"),
        (lambda folder: (folder / "about.json").write_text('{"sha256": 3}'), "about.json"),
        (lambda folder: (folder / "about.json").write_text("[]"), "does not hold an object"),
        (lambda folder: (folder / "about.json").write_bytes(b'{"\xff": 1}'), "about.json cannot be read"),
        (lambda folder: (folder / "about.json").write_text("[" * 100_000), "about.json cannot be read"),
        (lambda folder: (folder / "about.json").unlink(), "about.json cannot be read"),
    ],
)
def test_json_says_which_file_is_damaged(tmp_path: Path, damage: Callable[[Path], object], named: str) -> None:
    (tmp_path / "weights").write_bytes(b"123")
    write_json(tmp_path / "about.json", {"b": 2.5}, [tmp_path / "weights"])
    damage(tmp_path)
    with pytest.raises(DamagedFileError, match=named):
        read_json(tmp_path / "about.json")


def replace(folder: Path, old: str, new: str) -> None:
    file = folder / "about.json"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


ARRAYS: dict[str, np.ndarray[Any, np.dtype[Any]]] = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "n": np.empty(0, np.int64),
}


def test_arrays_come_back(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.safetensors", {**ARRAYS, "t": ARRAYS["x"].T}, {"of": "a test"})
    arrays, about = load_arrays(tmp_path / "a.safetensors")
    assert about == {"of": "a test"}
    np.testing.assert_array_equal(arrays["x"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(arrays["t"], [[0, 3], [1, 4], [2, 5]])
    assert (arrays["n"].dtype, arrays["n"].shape) == (np.dtype(np.int64), (0,))
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_arrays_of_a_version_before_the_checksums_are_read(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "a.safetensors", {"of": "a test"})
    arrays, about = load_arrays(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(arrays["x"], ARRAYS["x"])
    assert about == {"of": "a test"}


def test_any_bit_of_arrays_that_has_changed_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_arrays(file, ARRAYS, {"of": "a test"})
    content = file.read_bytes()
    for place in range(len(content)):
        for bit in (1, 64):
            file.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            try:
                arrays, about = load_arrays(file)
            except DamagedFileError:
                continue
            np.testing.assert_array_equal(arrays["x"], ARRAYS["x"])  # the name of the checksum, or a blank
            assert about["of"] == "a test"
    for length in range(0, len(content), 5):
        file.write_bytes(content[:length])
        with pytest.raises(DamagedFileError):
            load_arrays(file)


def test_rows_are_of_length_one_or_of_a_text_without_words() -> None:
    require_unit_rows(np.array([[0.6, 0.8], [0, 0], [0.6, 0.802]], np.float32), "They")
    require_unit_rows(np.empty((0, 3), np.float32), "They")
    for row in ([0.6, 0.7], [np.nan, 0], [np.inf, 0], [3, 4]):
        with pytest.raises(ValueError, match="They are not all of length 1"):
            require_unit_rows(np.array([[1, 0], row], np.float32), "They")
