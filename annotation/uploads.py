"""Files that people sent and that nothing was made of yet: each lot in a folder of its own, for whoever sent it.

The page names files only by where the server itself put them; anything else it might name is refused.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError

_LOTS_EACH = 4  # kept for one person; the oldest goes
_MAX_FILES = 20_000
_MAX_DEPTH = 12
_LOOSE = "My documents"  # the folder, and so the suggested name, of files that came without one
_RECEIVED = re.compile(r"[0-9a-f]{64}")  # how Gradio names the folder of a received file
_UNUSABLE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file as a page tells of it: where the server put it, and what it is called, with its folders if it has any."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class _Lot:
    folder: Path
    path: Path
    author: str


class Uploads:
    """The lots of one process; what an earlier process left is removed."""

    def __init__(self, folder: Path, received_folder: Path) -> None:
        """Start with nothing.

        Args:
            folder: for the lots, used by nobody else.
            received_folder: where the server puts what it receives.
        """
        self._folder = folder
        self._received_folder = received_folder
        self._lots: dict[str, _Lot] = {}
        self._lock = Lock()
        shutil.rmtree(folder, ignore_errors=True)

    def keep(self, author: str | None, files: Sequence[SentFile]) -> str:
        """Take files over and return the token of the lot.

        Raises:
            NotAllowedError: if nobody is signed in.
            InvalidInputError: if there is no file, there are too many, or one is not what the server received.
        """
        if author is None:
            raise NotAllowedError("Sign in to bring in files.")
        if not 0 < len(files) <= _MAX_FILES:
            raise InvalidInputError(f"Choose between 1 and {_MAX_FILES:,} files, or one zip of them.")
        received = [self._received(file.path) for file in files]
        name, places = _arrange([_parts(file.name) for file in files])
        token = secrets.token_hex(16)
        folder = self._folder / token
        path = folder / name
        try:
            for source, parts in zip(received, places, strict=True):
                _put(source, path.joinpath(*parts))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise InvalidInputError(
                f"The files could not be kept ({error.strerror}). Nothing was changed; choose them once more."
            ) from error
        for source in set(received):
            source.unlink(missing_ok=True)
        with self._lock:
            self._lots[token] = _Lot(folder, path, author)
            mine = [each for each, lot in self._lots.items() if lot.author == author]
            old = [self._lots.pop(each) for each in mine[:-_LOTS_EACH]]
        for lot in old:
            shutil.rmtree(lot.folder, ignore_errors=True)
        return token

    def path(self, author: str | None, token: str) -> Path:
        """Return the file of a lot, or the folder of its files.

        Raises:
            NotFoundError: if there is no such lot, or somebody else sent it.
        """
        with self._lock:
            lot = self._lots.get(token)
        if lot is None or lot.author != author or not lot.path.exists():
            raise NotFoundError("The files that you sent are not there any more. Choose them once more.")
        return lot.path

    @contextmanager
    def lend(self, author: str | None, token: str) -> Iterator[Path]:
        """Give a copy of a lot to whoever may take it away or break it; what is left of it goes at the end.

        Raises:
            NotFoundError: if there is no such lot, or somebody else sent it.
        """
        path = self.path(author, token)
        folder = self._folder / secrets.token_hex(16)
        try:
            folder.mkdir()
            if path.is_dir():
                shutil.copytree(path, folder / path.name, copy_function=_put)
            else:
                _put(path, folder / path.name)
            yield folder / path.name
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def forget(self, author: str | None, token: str) -> None:
        """Remove a lot, if it is there and one's own."""
        with self._lock:
            lot = self._lots.get(token)
            if lot is None or lot.author != author:
                return
            del self._lots[token]
        shutil.rmtree(lot.folder, ignore_errors=True)

    def _received(self, name: str) -> Path:
        """Return the received file that a page names.

        Raises:
            InvalidInputError: if it is anything else.
        """
        refused = InvalidInputError("A file that was sent has not arrived. Nothing was changed; choose it once more.")
        try:
            path = Path(name)
            is_received = (
                path.is_absolute()
                and path.resolve() == path
                and path.parent.parent == self._received_folder.resolve()
                and _RECEIVED.fullmatch(path.parent.name) is not None
                and path.is_file()
            )
        except (OSError, ValueError) as error:
            raise refused from error
        if not is_received:
            raise refused
        return path


def _parts(name: str) -> list[str]:
    """Return folders and name of a file as they can be used on any disk.

    Raises:
        InvalidInputError: if a part is empty, too long or leads elsewhere, or there are too many.
    """
    parts = [_UNUSABLE.sub("_", part).strip() for part in name.split("/")]
    if len(parts) > _MAX_DEPTH or any(part.strip(". ") == "" or len(part.encode()) > 200 for part in parts):
        raise InvalidInputError(f"The file name {name[:80]!r} cannot be used. Rename the file and choose it once more.")
    return parts


def _arrange(names: Sequence[list[str]]) -> tuple[str, list[list[str]]]:
    """Return what the lot's file or folder is called, and for each file its place in it.

    Raises:
        InvalidInputError: if two files would have the same place.
    """
    if len(names) == 1 and len(names[0]) == 1:
        return names[0][0], [[]]
    is_folder = len({parts[0] for parts in names}) == 1 and all(len(parts) > 1 for parts in names)
    name = names[0][0] if is_folder else _LOOSE
    places = [parts[1:] if is_folder else parts for parts in names]
    seen: set[tuple[str, ...]] = set()
    for parts in places:
        if tuple(parts) in seen:
            raise InvalidInputError(
                f"Two of the files are called {parts[-1]}. Rename one, or choose the folder that they are in."
            )
        seen.add(tuple(parts))
    return name, places


def _put(source: str | Path, target: str | Path) -> None:
    """Put a file where it is to be, without a copy where the disk is the same."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
