"""The files of a folder, compressed or not, and their text in whichever encoding it is.

An encoding is checked over the whole file, so that one old letter at its end is found before anything was read; what is
not Unicode is guessed, and said to be a guess.
"""

import codecs
import contextlib
import gzip
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, AnyStr, BinaryIO, cast

from era.errors import DamagedText, FormatError
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

    The `budget` is for what is compressed by gzip; None for one of its own. The `encoding` is what a person chose for
    text that is not Unicode throughout; what does not fit it is read as U+FFFD. If it is empty, all text has to fit.
    """

    name: str
    path: Path
    budget: Budget | None = field(default=None, compare=False)
    encoding: str = ""

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
_OF_SEVERAL_BYTES = ("cp932", "euc_jp", "gb18030", "big5", "cp949")
_SAMPLE = 200_000
_BETWEEN_CHARACTERS = re.compile(rb"[\x00-\x2f]")  # in none of the candidates a part of a longer character

ENCODINGS: Mapping[str, str] = {
    "utf-8": "Unicode (UTF-8)",
    "cp1252": "Western (Windows-1252)",
    "iso8859_15": "Western (ISO 8859-15)",
    "mac_roman": "Western (Macintosh)",
    "cp437": "Western (DOS)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC)",
    "gb18030": "Chinese (GB 18030)",
    "big5": "Chinese (Big5)",
    "cp949": "Korean (CP949)",
}
"""codec that a person may choose for text that is not Unicode throughout -> what a person calls it."""


def detect_encoding(entry: Entry) -> str:
    """Return the codec of a text file that reads all of it.

    What is Unicode throughout is read so. For anything else the codec is the one that was chosen for the entry, which
    replaces what it does not know, or the best guess that knows every byte.

    Raises:
        DamagedText: naming the first place that does not fit, if the text is Unicode but for a few bytes.
        FormatError: if it is not text.
    """
    with open_bytes(entry, Meter()) as stream:
        head = _read(entry, stream, 4096)
    if head.startswith(_BINARY):
        raise FormatError("this is not a text file, whatever its name says.", entry.name)
    marked = next((codec for mark, codec in _MARKS if head.startswith(mark)), "")
    codec = marked or (_without_mark(entry, head) if b"\0" in head else "utf-8")
    sample = _around_misfit(entry, codec)
    if sample is None:
        return codec
    if entry.encoding:
        return codec if codec != "utf-8" else entry.encoding
    misfits = _misfits_of(entry, codec)
    if codec == "utf-8" and misfits.n_good < 10 * misfits.n_bad:
        guess = _guess(entry, sample)
        if guess and (misfits.n_good < misfits.n_bad or guess in _OF_SEVERAL_BYTES):
            return guess
    raise misfits.error(entry, codec)


@dataclass(frozen=True, slots=True)
class _Misfits:
    """Where a text first has what its codec does not know, and how often.

    Attributes:
        line: from 1.
        column: the character of that line, from 1.
        byte: what it is, where the codec reads byte by byte; else empty.
        n_bad: how often something does not fit.
        n_good: characters that fit and that not every codec has.
    """

    line: int
    column: int
    byte: str
    n_bad: int
    n_good: int

    def error(self, entry: Entry, codec: str) -> DamagedText:
        name = "UTF-8" if codec.startswith("utf-8") else codec
        what = f"the byte {self.byte}" if self.byte else "what stands"
        places = "one place" if self.n_bad == 1 else f"{self.n_bad:,} places"
        return DamagedText(
            f"{what} in column {self.column:,} is not {name}; the file has {places} like that. Save it again as "
            f"UTF-8, or choose its encoding: as {name} it can be read with \ufffd in those places.",
            entry.name,
            self.line,
        )


def _around_misfit(entry: Entry, codec: str) -> bytes | None:
    """Return the bytes around the first that a codec does not know; None if it knows all."""
    decoder = codecs.getincrementaldecoder(codec)()
    before, n_before = b"", 0
    with open_bytes(entry, Meter()) as stream:
        while True:
            block = _read(entry, stream, _BLOCK)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                known = before + block
                misfit = len(before) + error.start + len(block) - len(error.object)  # it begins with what was pending
                start = max(0, misfit - _SAMPLE)
                if start or n_before:  # it may be within a character
                    boundary = _BETWEEN_CHARACTERS.search(known, start, misfit)
                    start = boundary.start() if boundary else misfit
                return (known + _read(entry, stream, _SAMPLE))[start : misfit + _SAMPLE]
            if not block:
                return None
            n_before += len(before)
            before = block


def _misfits_of(entry: Entry, codec: str) -> _Misfits:
    """Count over the whole file what a codec does not know."""
    is_by_byte = codec.startswith("utf-8")
    bad = re.compile("[\udc80-\udcff]" if is_by_byte else "\ufffd")
    decoder = codecs.getincrementaldecoder(codec)("surrogateescape" if is_by_byte else "replace")
    lines = io.IncrementalNewlineDecoder(decoder, translate=True)
    line = column = 1
    first, n_bad, n_beyond_ascii = None, 0, 0
    with open_bytes(entry, Meter()) as stream:
        while block := _read(entry, stream, _BLOCK):
            text = lines.decode(block)
            n_bad += len(bad.findall(text))
            n_beyond_ascii += len(text) - len(text.encode("ascii", "ignore"))
            if first is None:
                first = bad.search(text)
                until = text[: first.start()] if first else text
                line += until.count("\n")
                column = len(until) - until.rfind("\n") if "\n" in until else column + len(until)
    n_bad += len(lines.decode(b"", final=True))  # a character that the end of the file cuts
    byte = f"0x{ord(first[0]) - 0xDC00:02X}" if first and is_by_byte else ""
    return _Misfits(line, column, byte, n_bad, n_beyond_ascii - n_bad)


def encoding_remark(entry: Entry, codec: str) -> str:
    """Return what a person should know about the encoding a file was read in; empty for sound Unicode."""
    if not entry.encoding:
        return (
            ""
            if codec.startswith("utf")
            else f"{entry.name} is not UTF-8; it was read as {codec}, which is a guess. "
            "Look at its accented letters, and save it as UTF-8 if they are wrong."
        )
    misfits = _misfits_of(entry, codec)
    if misfits.n_bad:
        replaced = "1 place" if misfits.n_bad == 1 else f"{misfits.n_bad:,} places"
        where = f"line {misfits.line:,}, column {misfits.column:,}"
        return (
            f"{entry.name} was read as {codec}; \ufffd replaces what did not fit in {replaced}, the first in {where}."
        )
    return "" if codec.startswith("utf") else f"{entry.name} was read as {codec}, which was chosen."


def with_encoding(entries: Sequence[Entry], encoding: str) -> list[Entry]:
    """Return files for which a person chose an encoding; as they are if it is empty.

    Raises:
        ValueError: if it is none of `ENCODINGS`, by any of its names.
    """
    try:
        known = {codecs.lookup(each).name: each for each in ENCODINGS}
        chosen = known[codecs.lookup(encoding).name] if encoding else ""
    except LookupError as error:
        raise ValueError(f"There is no encoding {encoding!r}. Use one of: {', '.join(ENCODINGS)}.") from error
    return [replace(entry, encoding=chosen) for entry in entries]


def open_text(entry: Entry, codec: str, meter: Meter, newline: str | None = None) -> IO[str]:
    """Open a text file in the codec that `detect_encoding` tells.

    Raises:
        FormatError: if the file cannot be opened.
    """
    errors = "replace" if entry.encoding else "strict"
    return io.TextIOWrapper(open_bytes(entry, meter), encoding=codec, errors=errors, newline=newline)


class Lines:
    """The lines of an opened text, one after the other; what is too long to be one row of anything is refused.

    A row may take several lines: the reader says where one begins.
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
    """Return the most plausible codec of a sample that knows every byte of the file; empty if there is none.

    Where Western and Central European fit, it is Western.
    """
    from charset_normalizer import from_bytes

    by_pending: dict[int, list[str]] = {}  # bytes at the end that are no whole character -> codecs
    for codec in _CANDIDATES:
        decoder = codecs.getincrementaldecoder(codec)()
        with contextlib.suppress(UnicodeDecodeError):
            decoder.decode(sample)
            by_pending.setdefault(len(decoder.getstate()[0]), []).append(codec)
    matches = sorted(
        match
        for n_pending, some in by_pending.items()
        for match in from_bytes(sample[: len(sample) - n_pending], cp_isolation=some, threshold=0.5)
    )
    ranked = list(dict.fromkeys(name for match in matches for name in (match.encoding, *match.could_be_from_charset)))
    if ranked and ranked[0] in ("cp1250", "iso8859_15") and "cp1252" in ranked:
        ranked = ["cp1252", *ranked]
    return next((codec for codec in ranked if _around_misfit(entry, codec) is None), "")
