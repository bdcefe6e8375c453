"""The documents of TREC, in SGML.

No XML parser reads them, so that no entity of a document type is ever expanded.
"""

import html
import re
from collections.abc import Iterator

from era.corpus import without_half_characters
from era.errors import FormatError
from era.io.checking import Place
from era.io.columns import MAX_FACT_NAME, MAX_FACTS
from era.io.content import SourceDocument
from era.io.files import Entry, Lines, Meter, detect_encoding, encoding_remark, open_text, unreadable
from era.io.sources import PlacedDocument
from era.types import Document

_NAMED_TAG = re.compile(r"<(/?)([A-Za-z][\w.-]*)(?:\s[^<>]*)?>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_PARAGRAPH = re.compile(r"</?(?:p|br|para|h\d)(?:\s[^<>]*)?/?>|\n[ \t]*\n", re.IGNORECASE)
_TITLES = ("title", "headline", "hl", "ttl", "h3")
_TEXTS = ("text", "body", "contents", "lead", "main")
_LONGEST_FACT = 200  # characters; what is longer is text


def is_trec_documents(head: str) -> bool:
    """Return whether a text begins as TREC documents do."""
    return re.match(r"(?:\s|<[?!][^>]*>|<root>)*<DOC>", head, re.IGNORECASE) is not None


class TrecDocuments:
    """The documents of one file; what stands beside number, title and text, if short, is kept as a fact."""

    unit = "line"
    n_documents = None

    def __init__(self, entry: Entry) -> None:
        """Tell the encoding.

        Raises:
            FormatError: if it is not text.
        """
        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self.encoding = detect_encoding(entry)
        self.remarks = [remark] if (remark := encoding_remark(entry, self.encoding)) else []
        self._entry = entry

    def documents(self, meter: Meter) -> Iterator[PlacedDocument]:
        """Yield the documents at the lines where they begin.

        Raises:
            FormatError: naming the line of a document without a number or without an end.
        """
        lines: list[str] = []
        begun = number = 0
        try:
            with open_text(self._entry, self.encoding, meter) as stream:
                read = Lines(stream, self.name)
                for number, line in enumerate(read, start=1):
                    mark = line.strip().upper()
                    if mark.startswith("<DOC>"):
                        if begun:
                            raise FormatError("this <DOC> has no </DOC>.", self.name, begun)
                        begun, lines = number, []
                        mark, line = mark[5:], line[line.upper().index("<DOC>") + 5 :]
                    if begun:
                        lines.append(line)
                    if begun and mark.endswith("</DOC>"):
                        inner = "".join(lines)
                        yield begun, self._document(inner[: inner.upper().rindex("</DOC>")], begun)
                        begun = 0
                    if not begun:
                        read.begin()
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise unreadable(self._entry, error, number + 1) from error
        if begun:
            raise FormatError("this <DOC> has no </DOC>.", self.name, begun)

    def _document(self, inner: str, line: int) -> SourceDocument:
        fields: dict[str, list[str]] = {}
        names: dict[str, str] = {}
        for name, content in _elements(inner):
            names.setdefault(name.lower(), name)
            fields.setdefault(name.lower(), []).append(content)
        doc_id = _plain(" ".join(fields.pop("docno", [])))
        if not doc_id:
            raise Place(self.name, line).error("this document has no <DOCNO>.")
        title_name = next((name for name in _TITLES if name in fields), "")
        title = " ".join(_plain("\n".join(fields.pop(title_name, []))).split())
        texts = [part for name in _TEXTS for part in fields.pop(name, [])]
        facts = {name: _plain(" ".join(parts)) for name, parts in fields.items()}
        if not texts:
            texts = [part for name, parts in fields.items() if len(facts[name]) > _LONGEST_FACT for part in parts]
        if not texts and not fields and not title:
            texts = [re.sub(r"<DOCNO>.*?</DOCNO>", "", inner, flags=re.DOTALL | re.IGNORECASE)]
        kept = {
            names[name][:MAX_FACT_NAME]: " ".join(fact.split())
            for name, fact in facts.items()
            if fact and len(fact) <= _LONGEST_FACT
        }
        text = "\n\n".join(plain for part in texts if (plain := _plain(part)))
        return SourceDocument(Document(doc_id, title, text), dict(list(kept.items())[:MAX_FACTS]))


def _elements(markup: str) -> Iterator[tuple[str, str]]:
    """Yield name and content of the outermost elements; a tag that is never closed begins none."""
    tags = list(_NAMED_TAG.finditer(markup))
    last_end = {tag[2].lower(): tag.start() for tag in tags if tag[1]}
    name, begun = "", 0
    for tag in tags:
        if not name and not tag[1] and last_end.get(tag[2].lower(), 0) > tag.start():
            name, begun = tag[2], tag.end()
        elif name and tag[1] and tag[2].lower() == name.lower():
            yield name, markup[begun : tag.start()]
            name = ""


def _plain(markup: str) -> str:
    """Return the paragraphs of markup as text, without the line breaks inside them."""
    parts = (html.unescape(_TAG.sub(" ", part)) for part in _PARAGRAPH.split(markup))
    text = "\n\n".join(" ".join(part.split()) for part in parts if part.strip())
    return without_half_characters(text).replace("\0", " ")
