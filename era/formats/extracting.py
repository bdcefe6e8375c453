"""The text of text, Markdown, HTML and PDF files as a title and paragraphs; nothing in them is run or followed."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from era.errors import FormatError
from era.formats import limits
from era.formats.chunking import Block, paragraphs_of
from era.formats.encodings import encoding_remark, read_text
from era.formats.entries import Entry, Meter, open_bytes, open_whole, read_most
from era.formats.limits import size_in_words

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
class Extracted:
    """The text of a file; the title is empty where the file has none.

    What is to be said of how it was read is complete once the blocks, which are read once, have been.
    """

    title: str
    blocks: Iterable[Block]
    remarks: list[str] = field(default_factory=list)


def is_readable(entry: Entry) -> bool:
    """Return whether the name says that a file is text, Markdown, HTML or PDF."""
    return entry.suffix in _READERS


def extract(entry: Entry) -> Extracted:
    """Return the text of a file by what its name says of its kind.

    Raises:
        FormatError: if it is damaged, too large, encrypted or no text.
    """
    if entry.n_bytes > limits.MAX_TEXT_BYTES:
        raise FormatError(f"is larger than {size_in_words(limits.MAX_TEXT_BYTES)}. Split it.", entry.name)
    return _READERS.get(entry.suffix, _text)(entry)


def _text(entry: Entry) -> Extracted:
    text, codec = read_text(entry)
    blocks = [Block(_clean(part)) for part in paragraphs_of(text)]
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


def _pdf(entry: Entry) -> Extracted:
    """Return the text of a PDF; what is only a picture of text has none."""
    import logging

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
    return Extracted(_clean(" ".join(title.split())), _pdf_blocks(entry, reader, n_pages, remarks), remarks)


def _pdf_blocks(entry: Entry, reader: Any, n_pages: int, remarks: list[str]) -> Iterator[Block]:
    """Yield the paragraphs of the pages; one that cannot be read is left out, and so is what follows too many.

    Raises:
        FormatError: if no page can be read.
    """
    n_read = n_empty = 0
    seconds = 0.0
    broken: list[str] = []
    with reader.stream:
        while n_read < min(n_pages, limits.MAX_PDF_PAGES) and seconds < limits.MAX_PDF_SECONDS:
            started = time.monotonic()
            n_read += 1
            found: list[Block] = []
            try:
                text = reader.pages[n_read - 1].extract_text()
                found = [Block(_clean(part), page=n_read) for part in _pdf_paragraphs(text)]
                n_empty += not found
            except _of_broken_pdfs() as error:
                broken.append(f"page {n_read:,}: {_reason(error)}")
            seconds += time.monotonic() - started
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
        reason = f"after {seconds:,.0f} seconds" if seconds >= limits.MAX_PDF_SECONDS else "which is as far as one goes"
        remarks.append(
            f"{entry.name}: only {n_read:,} of {n_pages:,} pages were read, {reason}. Split the PDF to have the rest."
        )


def _of_broken_pdfs() -> tuple[type[Exception], ...]:
    from pypdf.errors import PyPdfError

    return (PyPdfError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError)


def _reason(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _said(remark: str) -> list[str]:
    return [remark] if remark else []


def _pdf_paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a page: between blank lines, and after a short line that ends a sentence."""
    for part in paragraphs_of(text):
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


def _clean(text: str) -> str:
    """Return text without zero and half characters."""
    from era.corpus import without_half_characters

    return text if text.isascii() and "\0" not in text else without_half_characters(text).replace("\0", " ")


_READERS: Mapping[str, Callable[[Entry], Extracted]] = {
    **dict.fromkeys((".txt", ".text", ".rst", ".log"), _text),
    **dict.fromkeys((".md", ".markdown", ".mdown"), _markdown),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _html),
    ".pdf": _pdf,
}
