"""Which encoding a text file has, and the file opened in it.

UTF-8 is checked over the whole file, so that one old letter at its end is found before anything was read; what is not
UTF-8 is guessed, and said to be a guess.
"""

import codecs
import io
from typing import IO

from era.errors import FormatError
from era.formats import limits
from era.formats.entries import Entry, Meter, open_bytes, read_most

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
_BLOCK = 1024 * 1024
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
