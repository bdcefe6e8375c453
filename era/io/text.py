"""Files of text, Markdown, HTML or PDF as documents: a title and paragraphs, in passages of about 200 words.

Nothing in a file is run or followed.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from era.corpus import without_half_characters
from era.errors import FormatError
from era.extras import require
from era.io import limits
from era.io.columns import MAX_FACT
from era.io.content import SourceDocument
from era.io.files import Entry, Meter, encoding_remark, open_bytes, open_whole, read_most, read_text
from era.io.limits import size_in_words
from era.io.sources import PlacedDocument
from era.types import Document

N_WORDS = 200
_MOST_WORDS = 300  # of a paragraph that is left in one piece
_N_NAMED = 5
_MAX_TITLE = 300  # characters
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]{{1,2}}|[^\s{_UNSPACED}]{{1,50}}")  # what is written without spaces has no others
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])[\"'”’»)\]」』）]*\s*")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_UNSEEN = ("script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "select", "textarea")
_BLOCKS = (
    *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "form", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
    *("summary", "table", "td", "th", "tr", "ul", *_HEADINGS),
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_ENDS = "<!-- ]]>-->"  # without them, the parser looks for the end of each unclosed comment anew
_BORDER, _HEADING = "\x1e", "\x1d"  # separators that stand in no text
_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or a heading; `page` counts from 1, 0 where there are no pages."""

    text: str
    is_heading: bool = False
    page: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some paragraphs in a row, the page where they begin, and the heading they stand under."""

    text: str
    page: int
    heading: str


class _Clock:
    """How long all PDFs of a source may still take to be read, in seconds."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds


class TextFiles:
    """Files cut into passages `path#1`, `path#2`, ...; a file that cannot be read is left out and named."""

    name = ""
    unit = "passage"
    encoding = ""
    n_documents = None

    def __init__(self, entries: list[Entry]) -> None:
        """Keep the files."""
        self.n_bytes = sum(entry.n_bytes for entry in entries)
        self._entries = entries
        self._remarks: list[str] = []
        self._without_text: list[str] = []
        self._unreadable: list[str] = []

    @property
    def remarks(self) -> list[str]:
        """Return which files were left out, and how the others were read."""
        remarks = self._remarks[:_N_NAMED]
        if len(self._remarks) > _N_NAMED:
            remarks.append(f"And {len(self._remarks) - _N_NAMED:,} more remarks of this kind on other files.")
        if self._without_text:
            remarks.append(f"{_count(self._without_text)} without any text left out: {_listed(self._without_text)}.")
        if self._unreadable:
            more = f" And {len(self._unreadable) - _N_NAMED:,} more." if len(self._unreadable) > _N_NAMED else ""
            what = f"{_count(self._unreadable)} left out that could not be read"
            remarks.append(f"{what}. {' '.join(self._unreadable[:_N_NAMED])}{more}")
        return remarks

    def documents(self, meter: Meter) -> Iterator[PlacedDocument]:
        """Yield the passages of each file in turn."""
        self._remarks, self._without_text, self._unreadable = [], [], []
        clock = _Clock(limits.pdf_seconds(sum(entry.n_bytes for entry in self._entries if entry.suffix == ".pdf")))
        for entry in self._entries:
            meter.file = file = without_half_characters(entry.name)
            number = 0
            try:
                extracted = extract(entry, clock)
                title = extracted.title[:_MAX_TITLE] or PurePosixPath(file).stem
                for number, chunk in enumerate(chunks_of(extracted.blocks), start=1):
                    yield number, SourceDocument(Document(f"{file}#{number}", title, chunk.text), _facts(file, chunk))
            except FormatError as error:
                self._unreadable.append(str(error))
            except MemoryError:
                self._unreadable.append(f"{entry.name}: takes more memory than there is. Split it.")
            else:
                self._remarks += extracted.remarks
                self._without_text += [] if number else [file]
            meter.add(entry.n_bytes)


def _facts(file: str, chunk: Chunk) -> dict[str, str]:
    facts = {"file": file[:MAX_FACT]}
    if chunk.page:
        facts["page"] = str(chunk.page)
    if chunk.heading:
        facts["section"] = chunk.heading[:MAX_FACT]
    return facts


def _count(names: list[str]) -> str:
    return "1 file was" if len(names) == 1 else f"{len(names):,} files were"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_N_NAMED]) + (", ..." if len(names) > _N_NAMED else "")


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a file; the title is empty where the file has none.

    What is to be said of how it was read is complete once the blocks, which are read once, have been.
    """

    title: str
    blocks: Iterable[Block]
    remarks: list[str] = field(default_factory=list)


def is_readable(entry: Entry) -> bool:
    """Return whether the name says that a file is text, Markdown, HTML or PDF."""
    return entry.suffix == ".pdf" or entry.suffix in _READERS


def extract(entry: Entry, clock: _Clock) -> Extracted:
    """Return the text of a file by what its name says of its kind.

    Raises:
        FormatError: if it is damaged, too large, encrypted or no text.
    """
    if entry.n_bytes > limits.MAX_TEXT_BYTES:
        raise FormatError(f"is larger than {size_in_words(limits.MAX_TEXT_BYTES)}. Split it.", entry.name)
    return _pdf(entry, clock) if entry.suffix == ".pdf" else _READERS.get(entry.suffix, _text)(entry)


def _paragraphs_of(text: str) -> Iterator[str]:
    """Yield what stands between blank lines, with its own line breaks."""
    return (part.strip() for part in re.split(r"\n\s*\n", text) if part.strip())


def _text(entry: Entry) -> Extracted:
    text, codec = read_text(entry)
    blocks = [Block(_clean(part)) for part in _paragraphs_of(text)]
    return Extracted("", blocks, _said(encoding_remark(entry, codec)))


def _markdown(entry: Entry) -> Extracted:
    """Return Markdown as it is written, but for what its headings are; lines inside fences stay together."""
    text, codec = read_text(entry)
    title = ""
    if front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
        named = re.search(r"^title\s*:\s*(.+)$", front[1], re.MULTILINE)
        title = named[1].strip().strip("\"'") if named else ""
    blocks: list[Block] = []
    lines: list[str] = []
    fence = ""

    def finish() -> None:
        if paragraph := _clean("\n".join(lines)).strip():
            blocks.append(Block(paragraph))
        lines.clear()

    for line in text.split("\n"):
        stripped = line.strip()
        if fence or stripped.startswith(("```", "~~~")):
            lines.append(line)
            fence = "" if fence and stripped.startswith(fence) else fence or stripped[:3]
        elif re.match(r" {0,3}#{1,6}\s", line):
            finish()
            words = _heading(stripped)
            title = title or words
            blocks += [Block(words, is_heading=True)] if words else []
        elif stripped:
            lines.append(line)
        else:
            finish()
    finish()
    return Extracted(title, blocks, _said(encoding_remark(entry, codec)))


def _heading(line: str) -> str:
    """Return the words of a heading, without the number signs in front and, after a blank, at the end."""
    words = line.lstrip("#").strip()
    without_end = words.rstrip("#")
    return _clean(without_end.rstrip() if without_end[-1:] in ("", " ") else words)


def _html(entry: Entry) -> Extracted:
    require("bs4", "files")
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    text, remark = _html_text(entry)
    if text.count("<") > limits.MAX_HTML_TAGS:
        raise FormatError(f"has more than {limits.MAX_HTML_TAGS:,} tags. Split it, or save it as text.", entry.name)
    try:
        soup = BeautifulSoup(text + _ENDS, "html.parser")
    except ParserRejectedMarkup as error:
        raise FormatError("this is not HTML that can be read. Save the page again.", entry.name) from error
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    blocks = []
    for part in "".join(_visible(soup)).split(_BORDER):
        words = "\n".join(line.rstrip() for line in part.replace(_HEADING, "").split("\n")).strip()
        if words:
            blocks.append(Block(_clean(words), is_heading=_HEADING in part))
    return Extracted(_clean(title), blocks, _said(remark))


def _visible(soup: Any) -> Iterator[str]:
    """Yield the text that a reader of the page sees, with borders around what stands on lines of its own.

    The elements wait in a list instead of calls in calls, and the tree is left as it is: however deeply a page is
    nested, this takes time in proportion to its length.
    """
    from bs4.element import NavigableString, PreformattedString

    is_new_line = False  # after a break, where a blank is none
    waiting: list[tuple[Any, bool]] = [(soup, False)]  # what comes next, last first, and whether it is preformatted
    while waiting:
        each, is_kept_as_is = waiting.pop()
        if isinstance(each, str) and not isinstance(each, NavigableString):
            yield each
        elif isinstance(each, PreformattedString):
            continue  # comments, doctypes and their like
        elif isinstance(each, NavigableString):
            words = _without_separators(each)
            if not is_kept_as_is:
                words = re.sub(r"\s+", " ", words)
                words = words.lstrip() if is_new_line else words
            is_new_line = is_new_line and not words
            yield words
        elif each.name == "br":
            is_new_line = True
            yield "\n"
        elif each.name not in _UNSEEN and not _is_hidden(each):
            if each.name in _BLOCKS:
                yield _BORDER + (_HEADING if each.name in _HEADINGS else "")
                waiting.append((_BORDER, False))
            is_kept_as_is = is_kept_as_is or each.name == "pre"
            waiting += [(child, is_kept_as_is) for child in reversed(each.contents)]


def _is_hidden(tag: Any) -> bool:
    return tag.has_attr("hidden") or _HIDDEN_STYLE.search(str(tag.get("style") or "")) is not None


def _html_text(entry: Entry) -> tuple[str, str]:
    """Return the markup and a remark; what is not UTF-8 is read as the page says, else guessed."""
    with open_bytes(entry, Meter()) as stream:
        content = read_most(entry, stream, limits.MAX_HTML_BYTES)
    declared = _CHARSET.search(content[:2048])
    if declared:
        try:
            return content.decode(declared[1].decode("ascii")), ""
        except (UnicodeDecodeError, LookupError):
            pass  # the page is wrong about itself
    text, codec = read_text(entry)
    return text, encoding_remark(entry, codec)


def _without_separators(text: str) -> str:
    return text.replace(_BORDER, " ").replace(_HEADING, " ")


def _pdf(entry: Entry, clock: _Clock) -> Extracted:
    """Return the text of a PDF; what is only a picture of text has none."""
    import logging

    require("pypdf", "files")
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every small flaw
    stream = open_whole(entry, Meter(), limits.MAX_TEXT_BYTES)
    try:
        reader = PdfReader(stream)
        if reader.is_encrypted and not reader.decrypt(""):
            raise FormatError("this PDF is locked by a password. Save it without one.", entry.name)
        title = str((reader.metadata.title if reader.metadata else "") or "")
        n_pages = len(reader.pages)
    except _of_broken_pdfs() as error:
        stream.close()
        raise FormatError(f"this PDF cannot be read ({_reason(error)}).", entry.name) from error
    except FormatError:
        stream.close()
        raise
    remarks: list[str] = []
    return Extracted(_clean(" ".join(title.split())), _pdf_blocks(entry, reader, n_pages, clock, remarks), remarks)


def _pdf_blocks(entry: Entry, reader: Any, n_pages: int, clock: _Clock, remarks: list[str]) -> Iterator[Block]:
    """Yield the paragraphs of the pages; one that cannot be read is left out, and so is what comes too late.

    Raises:
        FormatError: if no page can be read.
    """
    n_read = n_empty = 0
    seconds, most = 0.0, min(clock.left, limits.pdf_seconds(entry.n_bytes), limits.MAX_PDF_SECONDS)
    broken: list[str] = []
    with reader.stream:
        while n_read < min(n_pages, limits.MAX_PDF_PAGES) and seconds < most:
            started = time.monotonic()
            n_read += 1
            found: list[Block] = []
            try:
                text = reader.pages[n_read - 1].extract_text()
                found = [Block(_clean(part), page=n_read) for part in _pdf_paragraphs(text)]
                n_empty += not found
            except _of_broken_pdfs() as error:
                broken.append(f"page {n_read:,}: {_reason(error)}")
            took = time.monotonic() - started
            seconds, clock.left = seconds + took, clock.left - took
            yield from found
    if broken and len(broken) == n_read:
        raise FormatError(f"this PDF cannot be read ({broken[0]}).", entry.name)
    if broken:
        pages = "1 page was" if len(broken) == 1 else f"{len(broken):,} of {n_read:,} pages were"
        remarks.append(f"{entry.name}: {pages} left out that cannot be read ({broken[0]}).")
    if n_empty:
        pages = "1 page has" if n_empty == 1 else f"{n_empty:,} of {n_read:,} pages have"
        remarks.append(f"{entry.name}: {pages} no text; scanned pages need text recognition first.")
    if n_read < n_pages:
        reason = f"after {seconds:,.0f} seconds" if seconds >= most else "which is as far as one goes"
        remarks.append(
            f"{entry.name}: only {n_read:,} of {n_pages:,} pages were read, {reason}. Split the PDF to have the rest."
        )


def _of_broken_pdfs() -> tuple[type[Exception], ...]:
    from pypdf.errors import PyPdfError

    return (PyPdfError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError)


def _reason(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _pdf_paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a page: between blank lines, and after a short line that ends a sentence."""
    for part in _paragraphs_of(text):
        lines = [line.strip() for line in part.split("\n") if line.strip()]
        longest = max(map(len, lines))
        gathered = ""
        for line in lines:
            gathered = gathered[:-1] + line if _is_hyphenated(gathered, line) else f"{gathered} {line}".strip()
            if line.endswith((".", "!", "?", ":")) and len(line) < 0.8 * longest:
                yield gathered
                gathered = ""
        if gathered:
            yield gathered


def _is_hyphenated(before: str, line: str) -> bool:
    return len(before) > 1 and before.endswith(("-", "\xad")) and before[-2].isalpha() and line[:1].islower()


def _said(remark: str) -> list[str]:
    return [remark] if remark else []


def _clean(text: str) -> str:
    """Return text without zero and half characters."""
    return text if text.isascii() and "\0" not in text else without_half_characters(text).replace("\0", " ")


_READERS: Mapping[str, Callable[[Entry], Extracted]] = {
    **dict.fromkeys((".txt", ".text", ".rst", ".log"), _text),
    **dict.fromkeys((".md", ".markdown", ".mdown"), _markdown),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _html),
}


def chunks_of(blocks: Iterable[Block]) -> Iterator[Chunk]:
    """Yield the passages of a text; a heading opens the passage of what follows it, and never ends one.

    Only where there are headings without end, they are passages of their own.
    """
    gathered: list[Block] = []
    n_words, has_body, heading, heading_here = 0, False, "", ""

    def chunk() -> Chunk:
        return Chunk("\n\n".join(block.text for block in gathered), gathered[0].page, heading_here)

    for block in _split(blocks):
        size = _n_words(block.text)
        begins_section = block.is_heading and n_words >= N_WORDS // 2
        if has_body and (n_words + size > N_WORDS or begins_section):
            headings = _headings_at_end(gathered)
            gathered = gathered[: len(gathered) - len(headings)]
            yield chunk()
            gathered, n_words, heading_here = headings, sum(_n_words(each.text) for each in headings), heading
            has_body = False
        elif gathered and not has_body and n_words + size > _MOST_WORDS:
            yield chunk()
            gathered, n_words = [], 0
        if block.is_heading:
            heading = block.text
        if not has_body:
            heading_here = heading
        has_body = has_body or not block.is_heading
        gathered.append(block)
        n_words += size
    if gathered:
        yield chunk()


def _headings_at_end(blocks: list[Block]) -> list[Block]:
    n_headings = 0
    while n_headings < len(blocks) and blocks[-1 - n_headings].is_heading:
        n_headings += 1
    return blocks[len(blocks) - n_headings :]


def _split(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks, those that are too long cut at the ends of sentences, or else between words."""
    for block in blocks:
        if len(block.text) <= _MOST_WORDS or _n_words(block.text) <= _MOST_WORDS:
            yield block
        else:
            yield from (Block(text, block.is_heading, block.page) for text in _pieces(block.text))


def _pieces(text: str) -> Iterator[str]:
    begun = before = n_words = 0
    for end in chain((found.end() for found in _SENTENCE_END.finditer(text)), [len(text)]):
        size = _n_words(text[before:end])
        if before > begun and n_words + size > N_WORDS:
            yield text[begun:before].strip()
            begun, n_words = before, 0
        if size > _MOST_WORDS:
            for place, word in enumerate(_WORD.finditer(text, before, end)):
                if place and place % N_WORDS == 0:
                    yield text[begun : word.start()].strip()
                    begun, n_words = word.start(), -place
        n_words, before = n_words + size, end
    if rest := text[begun:].strip():
        yield rest


def _n_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))
