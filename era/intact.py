"""Files that come back as they were written, or are said to be damaged: a checksum lies with everything kept.

A JSON file carries its own SHA-256 and those of the files beside it under `sha256`, a file of arrays carries it in its
metadata. What versions before these checksums wrote is read all the same. What to do about damage is up to the reader.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from era.errors import DamagedFileError

Arrays = Mapping[str, NDArray[Any]]

_SHA256 = "sha256"
_ROWS_AT_ONCE = 65_536
_UNIT_LENGTH_TOLERANCE = 0.01  # models that compute in 16 bits are off by up to .4 %


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(file: Path, about: Mapping[str, Any], beside: Sequence[Path] = ()) -> None:
    """Write an object with its checksum and those of the files `beside` it; the file appears only when complete."""
    content = json.loads(json.dumps(about))  # as it will be read: keys are texts, tuples are lists
    checksums = {each.name: file_sha256(each) for each in beside} | {file.name: _sha256_of(content)}
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_text(json.dumps({**content, _SHA256: checksums}, indent=1, sort_keys=True), encoding="utf-8")
    scratch.replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object that `write_json` wrote, once it and the files beside it are found to be what they were.

    Raises:
        DamagedFileError: naming the file that is missing, no JSON object, or not what was written.
    """
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{file.name} cannot be read: {error}") from error
    if not isinstance(about, dict):
        raise DamagedFileError(f"{file.name} does not hold an object")
    checksums = about.pop(_SHA256, {})
    for name, expected in checksums.items() if isinstance(checksums, dict) else [(file.name, None)]:
        try:
            found = _sha256_of(about) if name == file.name else file_sha256(file.with_name(name))
        except (OSError, ValueError) as error:
            raise DamagedFileError(f"{name[:100]!r} cannot be read: {error}") from error
        if found != expected:
            raise DamagedFileError(f"{name} is not what was written, its checksum differs")
    return about


def save_arrays(file: Path, arrays: Arrays, about: Mapping[str, str] | None = None) -> None:
    """Write named arrays and texts `about` them with their checksum; the file appears only when complete."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    save_file(arrays, scratch, {**(about or {}), _SHA256: _sha256_of_arrays(arrays, about or {})})
    scratch.replace(file)


def load_arrays(file: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return what `save_arrays` wrote: the arrays and the texts about them.

    Raises:
        DamagedFileError: naming the file, if it is missing or not what was written.
    """
    try:
        with safe_open(file, "np") as opened:
            about = dict(opened.metadata() or {})
        arrays: dict[str, NDArray[Any]] = load_file(file)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedFileError(f"{file.name} cannot be read: {error}") from error
    expected = about.pop(_SHA256, None)
    if expected is not None and expected != _sha256_of_arrays(arrays, about):
        raise DamagedFileError(f"{file.name} is not what was written, its checksum differs")
    return arrays, about


def require_unit_rows(vectors: NDArray[np.float32], what: str) -> None:
    """Check that every row is of length 1, or 0 for a text without a known word.

    Raises:
        ValueError: if one is not, which is also where it holds something that is no number.
    """
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        some = vectors[first : first + _ROWS_AT_ONCE]
        squares = np.einsum("ij,ij->i", some, some)
        if not ((np.abs(squares - 1) < 2 * _UNIT_LENGTH_TOLERANCE) | (squares == 0)).all():
            raise ValueError(f"{what} are not all of length 1")


def _sha256_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256_of_arrays(arrays: Arrays, about: Mapping[str, str]) -> str:
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    digest = hashlib.sha256(json.dumps([shapes, dict(about)], sort_keys=True).encode())
    for _, array in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@contextmanager
def appearing(folder: Path, is_replacing: bool = False) -> Iterator[Path]:
    """Give a folder to write into; it becomes `folder` at the end, or goes away if anything is raised.

    Raises:
        FileExistsError: if there is something already that is not to be replaced.
    """
    if not is_replacing:
        require_free(folder)
    folder = folder.absolute()
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    scratch.mkdir(parents=True)
    try:
        yield scratch
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        if folder.exists():
            folder.rename(aside)
        scratch.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def require_free(folder: Path) -> None:
    """Check that a folder does not exist or is empty.

    Raises:
        FileExistsError: if it holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists already. Choose another folder, or remove that one.")


def require_absent(folder: Path) -> None:
    """Check that there is nothing of this name, as saving an adapter wants it.

    Raises:
        FileExistsError: if there is.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already. Choose another folder, or remove that one.")
