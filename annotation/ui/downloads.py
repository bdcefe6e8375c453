"""Files that a person takes along: each under an address that no one can guess, for an hour."""

import re
import secrets
import shutil
import time
from collections import deque
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from annotation.transfer.files import ExportFile

KEPT_S = 3600.0
MOST_EACH = 20
_UNUSABLE = re.compile(r"[^\w.() -]+")


class Downloads:
    """Files laid out where the server gives them to a browser, in folders that no one can guess."""

    def __init__(self, folder: Path) -> None:
        """Use a folder below the one that the server gives files from."""
        self._folder = folder
        self._offered: dict[str | None, deque[Path]] = {}  # folders by who asked for them; visitors are one
        self._lock = Lock()

    def offer(self, author: str | None, file: ExportFile) -> tuple[str, int]:
        """Return the address of a file, relative to the page, and its size in bytes; too many of a person's go."""
        name = _UNUSABLE.sub("_", file.name).strip(". ") or "file"
        path = self._folder / secrets.token_hex(32) / name
        path.parent.mkdir(parents=True)
        if isinstance(file.content, bytes):
            path.write_bytes(file.content)
        else:
            shutil.move(file.content, path)
        n_bytes = path.stat().st_size
        with self._lock:
            offered = self._offered.setdefault(author, deque())
            offered.append(path.parent)
            old = [offered.popleft() for _ in range(len(offered) - MOST_EACH)]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        return f"gradio_api/file={quote(path.as_posix())}", n_bytes

    def sweep(self) -> None:
        """Remove what was laid out long ago."""
        for folder in self._folder.glob("*"):
            if folder.is_dir() and time.time() - folder.stat().st_mtime > KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)
