"""The text of text, Markdown, HTML and PDF files as a title and paragraphs; nothing in them is run or followed."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from era.errors import FormatError
from era.formats.chunking import Block, paragraphs_of
from era.formats.encodings import encoding_remark, read_text
from era.formats.entries import Entry, Meter, open_bytes

MAX_BYTES = 200_000_000  # of one file
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
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?\n)(?:---|\.\.\.)\s*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a file; the title is empty where the file has none, the remark where there is nothing to say."""

    title: str
    blocks: list[Block]
    remark: str = ""


def is_readable(entry: Entry) -> bool:
    """Return whether the name says that a file is text, Markdown, HTML or PDF."""
    return entry.suffix in _READERS


def extract(entry: Entry) -> Extracted:
    """Return the text of a file by what its name says of its kind.

    Raises:
        FormatError: if it is damaged, too large, encrypted or no text.
    """
    if entry.n_bytes > MAX_BYTES:
        raise FormatError(f"is larger than {MAX_BYTES // 1_000_000} MB. Split it.", entry.name)
    return _READERS.get(entry.suffix, _text)(entry)


def _text(entry: Entry) -> Extracted:
    text, codec = read_text(entry)
    blocks = [Block(_clean(part)) for part in paragraphs_of(text)]
    return Extracted("", blocks, encoding_remark(entry, codec))


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
    return Extracted(title, blocks, encoding_remark(entry, codec))


def _heading(line: str) -> str:
    """Return the words of a heading, without the number signs in front and, after a blank, at the end."""
    words = line.lstrip("#").strip()
    without_end = words.rstrip("#")
    return _clean(without_end.rstrip() if without_end[-1:] in ("", " ") else words)


def _html(entry: Entry) -> Extracted:
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    text, remark = _html_text(entry)
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
    return Extracted(_clean(title), blocks, remark)


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
        content = stream.read()
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
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every small flaw
    blocks: list[Block] = []
    page_number, n_empty = 0, 0
    try:
        with open_bytes(entry, Meter()) as stream:
            reader = PdfReader(stream)
            if reader.is_encrypted and not reader.decrypt(""):
                raise FormatError("this PDF is locked by a password. Save it without one.", entry.name)
            title = str((reader.metadata.title if reader.metadata else "") or "")
            for page_number, page in enumerate(reader.pages, start=1):
                found = [Block(_clean(part), page=page_number) for part in _pdf_paragraphs(page.extract_text())]
                n_empty += not found
                blocks += found
    except (PyPdfError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        reason = str(error)[:200] or type(error).__name__
        place = page_number or None
        raise FormatError(f"this PDF cannot be read ({reason}).", entry.name, place, unit="page") from error
    remark = ""
    if n_empty:
        pages = "1 page has" if n_empty == 1 else f"{n_empty:,} of {page_number:,} pages have"
        remark = f"{entry.name}: {pages} no text; scanned pages need text recognition first."
    return Extracted(_clean(" ".join(title.split())), blocks, remark)


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
