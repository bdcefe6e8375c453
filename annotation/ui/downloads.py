"""Files that a person takes along: each under an address that nobody can guess, for an hour."""

import re
import secrets
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from annotation.exporting.files import ExportFile

KEPT_S = 3600.0
_UNUSABLE = re.compile(r"[^\w.() -]+")


class Downloads:
    """Files laid out where the server gives them to a browser, in folders that nobody can guess."""

    def __init__(self, folder: Path) -> None:
        """Use a folder below the one that the server gives files from."""
        self._folder = folder

    def offer(self, file: ExportFile) -> tuple[str, int]:
        """Return the address of a file, relative to the page, and its size in bytes."""
        self._clear()
        name = _UNUSABLE.sub("_", file.name).strip(". ") or "file"
        path = self._folder / secrets.token_hex(32) / name
        path.parent.mkdir(parents=True)
        if isinstance(file.content, bytes):
            path.write_bytes(file.content)
        else:
            shutil.move(file.content, path)
        return f"gradio_api/file={quote(path.as_posix())}", path.stat().st_size

    def _clear(self) -> None:
        """Remove what was laid out long ago."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in self._folder.iterdir():
            if folder.is_dir() and time.time() - folder.stat().st_mtime > KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)
