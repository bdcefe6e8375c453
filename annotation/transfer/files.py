"""Files that a person takes along: what they are called, and where large ones wait to be fetched."""

import re
import shutil
import time
import uuid
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from annotation.workspace import Workspace

_KEPT_S = 24 * 3600.0
_MAX_NAME = 60
_TOO_LARGE_TO_SHRINK = (".safetensors", ".faiss")  # vectors hardly get smaller, and packing them takes long


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file to take along.

    Attributes:
        name: what the file is called when it is saved.
        content: the bytes, or where a large file lies on this machine.
        media_type: as in an HTTP header.
        remarks: what a person should know of it: what was left out and why; complete sentences.
    """

    name: str
    content: bytes | Path
    media_type: str
    remarks: tuple[str, ...] = ()


def file_name(*parts: str, ending: str) -> str:
    """Return a name of letters, digits, dots and hyphens for saving the file elsewhere, never for a path of ours."""
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts]
    return "-".join(word[:_MAX_NAME] for word in words if word) + ending


def queries_in_words(n: int) -> str:
    """Return `1 query`, `2 queries` and so on."""
    return "1 query" if n == 1 else f"{n:,} queries"


def exports_folder(workspace: Workspace) -> Path:
    """Return where large files wait to be fetched."""
    return workspace.folder / "exports"


def new_export(workspace: Workspace) -> Path:
    """Return a new empty folder for one export; those of earlier days are removed."""
    folder = exports_folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.iterdir():
        with suppress(OSError):  # somebody else removes it at this moment
            if time.time() - earlier.stat().st_mtime > _KEPT_S:
                shutil.rmtree(earlier, ignore_errors=True)
    made = folder / uuid.uuid4().hex
    made.mkdir()
    return made


def files_in(folder: Path) -> list[Path]:
    """Return every file of a folder, in the order of their names."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def zip_folder(folder: Path, packed: Path, name: str) -> None:
    """Write a zip file in which the content of a folder lies in one of this name."""
    with zipfile.ZipFile(packed, "w") as archive:
        for file in files_in(folder):
            is_stored = file.suffix in _TOO_LARGE_TO_SHRINK
            compression = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
            archive.write(file, (Path(name) / file.relative_to(folder)).as_posix(), compression)
