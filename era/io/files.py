"""The files of a folder, compressed or not, and their text in whichever encoding it is.

UTF-8 is checked over the whole file, so that one old letter at its end is found before anything was read; what is not
UTF-8 is guessed, and said to be a guess.
"""

import codecs
import gzip
import io
import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, AnyStr, BinaryIO, cast

from era.errors import FormatError
from era.io import limits
from era.io.limits import most_unpacked, size_in_words

_BLOCK = 1024 * 1024


class Budget:
    """How many bytes may come out of the compressed files of one source together, however often they are read."""

    def __init__(self, n_compressed: int) -> None:
        self._limit = most_unpacked(n_compressed)
        self._unpacked: dict[str, int] = {}  # by name, as far as the file was read
        self._n_bytes = 0

    def take(self, name: str, n_bytes: int) -> None:
        """Note that a file was unpacked up to a place.

        Raises:
            FormatError: if all files are more together than text could be.
        """
        n_more = n_bytes - self._unpacked.get(name, 0)
        if n_more > 0:
            self._unpacked[name] = n_bytes
            self._n_bytes += n_more
        if self._n_bytes > self._limit:
            raise FormatError(
                f"unpacks to more than {size_in_words(self._limit)}, which no text does. Unpack it yourself.", name
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """A file by the name a person knows, with `/` between folders, and the path where it lies.

    The `budget` is for what is compressed by gzip; None for one of its own.
    """

    name: str
    path: Path
    budget: Budget | None = field(default=None, compare=False)

    @property
    def is_gzipped(self) -> bool:
        """Return whether the content is compressed by gzip."""
        return self.name.lower().endswith(".gz")

    @property
    def base(self) -> str:
        """Return the name in lower case, without folders and without what says that it is compressed."""
        return PurePosixPath(self.name).name.lower().removesuffix(".gz")

    @property
    def stem(self) -> str:
        """Return the base name without what follows its last dot."""
        return PurePosixPath(self.base).stem

    @property
    def suffix(self) -> str:
        """Return what follows the last dot of the base name, dot included; empty if there is none."""
        return PurePosixPath(self.base).suffix

    @property
    def n_bytes(self) -> int:
        """Return the size of the file as it lies there."""
        return self.path.stat().st_size


class Meter:
    """How many bytes of some files have been read; `n_bytes` is what they have together, `file` the one at hand."""

    def __init__(self, n_bytes: int = 0) -> None:
        self.n_bytes = n_bytes
        self.file = ""
        self._n_read = 0

    @property
    def n_bytes_read(self) -> int:
        """Return the bytes read so far, at most `n_bytes`."""
        return min(self._n_read, self.n_bytes)

    def add(self, n_bytes: int) -> None:
        """Count bytes as read."""
        self._n_read += n_bytes

    def restart(self) -> None:
        """Count from 0 again."""
        self._n_read = 0


class _CountedFile(io.RawIOBase):
    """A file opened for reading that tells a meter what was read."""

    def __init__(self, path: Path, meter: Meter) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._meter = meter

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        n_bytes = self._file.readinto(buffer)
        self._meter.add(n_bytes)
        return n_bytes

    def close(self) -> None:
        self._file.close()
        super().close()


def open_bytes(entry: Entry, meter: Meter) -> IO[bytes]:
    """Open an entry for reading, uncompressed if it is compressed by gzip.

    Raises:
        FormatError: if the file cannot be opened.
    """
    try:
        stream: BinaryIO = io.BufferedReader(_CountedFile(entry.path, meter), buffer_size=_BLOCK)  # type: ignore[type-var]
    except OSError as error:
        raise FormatError(f"could not be read: {error.strerror}.", entry.name) from error
    return cast(IO[bytes], _Unzipped(entry, stream)) if entry.is_gzipped else stream


def open_whole(entry: Entry, meter: Meter, most: int) -> IO[bytes]:
    """Open an entry for reading here and there, which what is compressed does not allow before it is unpacked.

    Raises:
        FormatError: if the file cannot be opened, or unpacks to more than `most` bytes.
    """
    stream = open_bytes(entry, meter)
    if not entry.is_gzipped:
        return stream
    with stream:
        return io.BytesIO(read_most(entry, stream, most))


def read_most(entry: Entry, stream: IO[AnyStr], most: int) -> AnyStr:
    """Return all that a stream of an entry holds.

    Raises:
        FormatError: if that is more than `most` bytes or characters.
    """
    content = stream.read(most + 1)
    if len(content) > most:
        raise FormatError(f"is larger than {size_in_words(most)}. Split it.", entry.name)
    return content


class _Unzipped(gzip.GzipFile):
    """A file compressed by gzip that stops where it grows beyond all measure."""

    def __init__(self, entry: Entry, stream: BinaryIO) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._name = entry.name
        self._source = stream
        self._budget = entry.budget or Budget(entry.n_bytes)

    def read1(self, size: int = -1) -> bytes:
        return self._checked(super().read1(size))

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size >= 0:
            return self._checked(super().read(size))
        return b"".join(iter(partial(self.read1, _BLOCK), b""))  # each part is checked before the next is unpacked

    def _checked(self, content: bytes) -> bytes:
        self._budget.take(self._name, self.tell())
        return content

    def close(self) -> None:
        super().close()
        self._source.close()


def list_entries(path: Path) -> list[Entry]:
    """Return the files of a folder in the order of their names, or the one file; hidden ones are left out.

    Raises:
        FormatError: if there is no such file or folder, or no file in it.
    """
    if path.is_file():
        return [Entry(path.name, path)]
    if not path.is_dir():
        raise FormatError("there is no such file or folder. Check the path.", str(path))
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            file = Path(folder, name)
            if not is_hidden(name) and file.is_file():
                found.append(Entry(file.relative_to(path).as_posix(), file))
    budget = Budget(sum(entry.n_bytes for entry in found if entry.is_gzipped))
    return in_order([replace(entry, budget=budget) for entry in found], path.name)


def in_order(entries: list[Entry], where: str) -> list[Entry]:
    """Return entries in the order of their names.

    Raises:
        FormatError: if there are none.
    """
    if not entries:
        raise FormatError("there is no file in it.", where)
    return sorted(entries, key=lambda entry: entry.name)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is one that systems keep for themselves."""
    return name.startswith(".") or name in ("__MACOSX", "__pycache__", "Thumbs.db")


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = (b"PK\x03\x04", b"%PDF", b"PAR1", b"\x1f\x8b", b"\xd0\xcf\x11\xe0", b"\x89PNG", b"\xff\xd8\xff")
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "iso8859_15", "koi8_r", "mac_roman"),
    *("cp437", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
_SAMPLE = 200_000


def detect_encoding(entry: Entry) -> str:
    """Return the codec of a text file: `utf-8`, `utf-8-sig`, `utf-16`, `utf-32`, or the best guess at another.

    Raises:
        FormatError: if it is not text, or in no encoding that is known here.
    """
    with open_bytes(entry, Meter()) as stream:
        head = _read(entry, stream, 4096)
        if head.startswith(_BINARY):
            raise FormatError("this is not a text file, whatever its name says.", entry.name)
        for mark, codec in _MARKS:
            if head.startswith(mark):
                return codec
        if b"\0" in head:
            return _without_mark(entry, head)
        decoder = codecs.getincrementaldecoder("utf-8")()
        before, block = b"", head
        while True:
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                sample = before[-_SAMPLE:] + block[: error.start + _SAMPLE]
                return _guess(entry, sample)
            if not block:
                return "utf-8"
            before, block = block, _read(entry, stream, _BLOCK)


def encoding_remark(entry: Entry, codec: str) -> str:
    """Return what a person should know about the encoding a file was read in; empty for Unicode."""
    if codec.startswith("utf"):
        return ""
    return (
        f"{entry.name} is not UTF-8; it was read as {codec}, which is a guess. "
        "Look at its accented letters, and save it as UTF-8 if they are wrong."
    )


def open_text(entry: Entry, codec: str, meter: Meter, newline: str | None = None) -> IO[str]:
    """Open a text file; reading it may raise `UnicodeDecodeError`, which `undecodable` turns into words.

    Raises:
        FormatError: if the file cannot be opened.
    """
    return io.TextIOWrapper(open_bytes(entry, meter), encoding=codec, newline=newline)


class Lines:
    """The lines of an opened text, one after the other; what is too long to be one row of anything is refused.

    A row may take several lines: whoever reads says where one begins.
    """

    def __init__(self, stream: IO[str], file: str) -> None:
        """Begin the first row."""
        self.number = 0
        """Of the line read last, from 1."""
        self._read = stream.readline
        self._most = limits.MAX_CHARACTERS
        self._file = file
        self._begun, self._n_characters = 1, 0

    def begin(self) -> None:
        """Let the next line begin a row."""
        self._begun, self._n_characters = self.number + 1, 0

    def __iter__(self) -> "Lines":
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line with its end.

        Raises:
            FormatError: naming the line where the row begins that is too long.
        """
        line = self._read(self._most + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._n_characters += len(line)
        if self._n_characters > self._most:
            raise FormatError(
                f"what begins here goes on for more than {self._most:,} characters. Look for a quotation mark that is "
                "never closed, or split the text.",
                self._file,
                self._begun,
            )
        return line


def read_text(entry: Entry) -> tuple[str, str]:
    """Return the whole text of a small file, with plain line ends, and its codec.

    Raises:
        FormatError: if it is not text, or too large.
    """
    codec = detect_encoding(entry)
    try:
        with open_text(entry, codec, Meter()) as stream:
            return read_most(entry, stream, limits.MAX_TEXT_BYTES), codec
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise unreadable(entry, error, None) from error


def unreadable(entry: Entry, error: Exception, line: int | None) -> FormatError:
    """Return the error in words of a file that stops being readable after a line."""
    if isinstance(error, UnicodeDecodeError):
        problem = f"this is not {error.encoding} text ({error.reason}). Save the file as UTF-8."
        return FormatError(problem, entry.name, line)
    return FormatError(f"could not be read to its end ({error}). Copy the file again.", entry.name, line)


def _read(entry: Entry, stream: IO[bytes], n_bytes: int) -> bytes:
    try:
        return stream.read(n_bytes)
    except (OSError, EOFError) as error:
        raise unreadable(entry, error, None) from error


def _without_mark(entry: Entry, head: bytes) -> str:
    """Return UTF-16 by where its zero bytes are."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if min(even, odd) * 10 <= max(even, odd) and max(even, odd) * 4 >= len(head) // 2:
        return "utf-16-le" if odd > even else "utf-16-be"
    raise FormatError("this is not a text file, whatever its name says.", entry.name)


def _guess(entry: Entry, sample: bytes) -> str:
    """Return the most plausible codec of a sample; where Western and Central European fit, it is Western."""
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=list(_CANDIDATES), threshold=0.5)
    best = matches.best()
    if best is None:
        raise FormatError("its encoding could not be told. Save the file as UTF-8.", entry.name)
    fitting = {name for match in matches for name in (match.encoding, *match.could_be_from_charset)}
    return "cp1252" if best.encoding in ("cp1250", "iso8859_15") and "cp1252" in fitting else best.encoding
