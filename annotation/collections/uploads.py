"""Files that people sent and that nothing was made of yet: counted for each person, and removed when that is over.

What the server receives belongs to who sent it. Out of it a page makes lots, each in a folder of its own; it names
files by where the server put them, and anything else it might name is refused.
"""

import math
import os
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.settings import Settings

KEPT_S = 6 * 3600.0
"""How long files are kept that nothing is done with."""

DOWNLOADS = "downloads"
"""The folder, beside what is received, of files that people take along; they are not removed here."""

_LOTS_EACH = 4  # kept for one person; the oldest goes
_MAX_FILES = 20_000
_MAX_DEPTH = 12
_LOOSE = "My documents"  # the folder, and so the suggested name, of files that came without one
_UNUSABLE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one person may have sent that nothing was made of yet, in bytes and files; `file_bytes` is for each file."""

    file_bytes: int
    bytes_each: int
    files_each: int

    @classmethod
    def of(cls, settings: Settings) -> "UploadLimits":
        """Return the limits of one app process; strict on a Space, where anybody may sign in and disks are small."""
        if settings.space_id is not None:
            return cls(500 * 10**6, 10**9, 20_000)
        return cls(4 * 2**30, 16 * 2**30, 100_000)


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file as a page tells of it: where the server put it, and what it is called, with its folders if it has any."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class _Received:
    n_bytes: int
    at_s: float


@dataclass(slots=True)
class _Lot:
    folder: Path
    path: Path
    author: str
    n_bytes: int
    n_files: int
    used_s: float


class Uploads:
    """What one process has received; what an earlier one left is removed."""

    def __init__(
        self, folder: Path, received_folder: Path, limits: UploadLimits, clock: Callable[[], float] = time.time
    ) -> None:
        """Start with nothing.

        Args:
            folder: for the lots, used for nothing else.
            received_folder: where the server puts what it receives, likewise; see also `DOWNLOADS`.
            limits: for each person.
            clock: tells seconds.
        """
        self.limits = limits
        self._folder = folder
        self.received_folder = received_folder
        self._clock = clock
        self._lots: dict[str, _Lot] = {}
        self._received: dict[tuple[str, Path], _Received] = {}  # by who sent it; the same content has the same place
        self._coming: Counter[str] = Counter()  # bytes on the way, by author
        self._lock = Lock()
        for each in (folder, received_folder):
            shutil.rmtree(each, ignore_errors=True)

    @contextmanager
    def receiving(self, author: str, n_bytes: int) -> Iterator[Callable[[Sequence[Path]], None]]:
        """Hold room for what somebody is about to send; the oldest lots of the same person make way for it.

        Yields a function that takes where the server put the files.

        Raises:
            InvalidInputError: if it is more than one person may send.
        """
        with self._lock:
            dropped = self._make_room(author, n_bytes)
            self._coming[author] += n_bytes
        try:
            _remove(dropped)
            yield lambda paths: self._receive(author, paths)
        finally:
            with self._lock:
                self._coming[author] -= n_bytes

    def keep(self, author: str | None, files: Sequence[SentFile]) -> str:
        """Take files over and return the token of the lot.

        Raises:
            NotAllowedError: if no one is signed in.
            InvalidInputError: if there is no file, there are too many, or one is not what this person sent.
        """
        if author is None:
            raise NotAllowedError("Sign in to bring in files.")
        if not 0 < len(files) <= _MAX_FILES:
            raise InvalidInputError(f"Choose between 1 and {_MAX_FILES:,} files, or one zip of them.")
        received = [Path(file.path) for file in files]
        with self._lock:
            n_bytes = sum(self._size(author, path) for path in set(received))
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
        self.discard(author, files)
        with self._lock:
            self._lots[token] = _Lot(folder, path, author, n_bytes, len(files), self._clock())
            mine = [each for each, lot in self._lots.items() if lot.author == author]
            old = [self._lots.pop(each).folder for each in mine[:-_LOTS_EACH]]
        _remove(old)
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
            lot.used_s = self._clock()
        return lot.path

    @contextmanager
    def lend(self, author: str | None, token: str) -> Iterator[Path]:
        """Give a copy of a lot to a reader that may take it away or break it; what is left of it goes at the end.

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

    def discard(self, author: str, files: Sequence[SentFile]) -> None:
        """Remove what a person sent, if it is there; what somebody else sent as well stays for them."""
        with self._lock:
            own = [path for path in {Path(file.path) for file in files} if self._received.pop((author, path), None)]
            left = {path for _, path in self._received}
        _remove([path for path in own if path not in left])  # the folder may be getting another file right now

    def sweep(self) -> None:
        """Remove what no one has done anything with for hours, also what is left of sending that was broken off."""
        before_s = self._clock() - KEPT_S
        with self._lock:
            old = [self._lots.pop(token).folder for token, lot in list(self._lots.items()) if lot.used_s < before_s]
            for key in [key for key, received in self._received.items() if received.at_s < before_s]:
                del self._received[key]
            known = {path.parent for _, path in self._received}
        _remove(old)
        if self.received_folder.is_dir():
            for each in self.received_folder.iterdir():
                if each not in known and each.name != DOWNLOADS and _changed_s(each) < before_s:
                    _remove([each])

    def _make_room(self, author: str, n_bytes: int) -> list[Path]:
        """Return the folders of lots that make way for so many bytes of the same person.

        Raises:
            InvalidInputError: if there is no room even so.
        """
        lots = {token: lot for token, lot in self._lots.items() if lot.author == author}
        sent = [received for (sender, _), received in self._received.items() if sender == author]
        free_bytes = self.limits.bytes_each - self._coming[author] - sum(each.n_bytes for each in sent)
        free_files = self.limits.files_each - len(sent)
        if n_bytes > free_bytes or free_files <= 0:
            raise InvalidInputError(
                f"One person may send {self.limits.bytes_each / 10**9:.3g} GB in {self.limits.files_each:,} files at a "
                "time. Send less at once, or start the app with the path of your documents: python app.py PATH."
            )
        dropped = []
        for token in list(lots):  # the oldest first
            kept = lots.values()
            has_bytes = sum(lot.n_bytes for lot in kept) + n_bytes <= free_bytes
            if has_bytes and sum(lot.n_files for lot in kept) < free_files:
                break
            dropped.append(lots.pop(token).folder)
            del self._lots[token]
        return dropped

    def _receive(self, author: str, paths: Sequence[Path]) -> None:
        with self._lock:
            for path in paths:
                if path.is_file():
                    self._received[author, path] = _Received(path.stat().st_size, self._clock())

    def _size(self, author: str, path: Path) -> int:
        """Return how large a file is that somebody sent.

        Raises:
            InvalidInputError: if it is anything else.
        """
        received = self._received.get((author, path))
        if received is None or not path.is_file():
            raise InvalidInputError("A file that was sent has not arrived. Nothing was changed; choose it once more.")
        return received.n_bytes


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


def _remove(paths: Sequence[Path]) -> None:
    """Remove files, and folders with what is in them."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _changed_s(path: Path) -> float:
    """Return when something changed, as seconds; infinite if it is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return math.inf
