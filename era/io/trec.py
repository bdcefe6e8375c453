"""The files of TREC: documents in SGML, topics, and runs. Files of judgments are in `era.io.judgments`.

No XML parser reads them, so that no entity of a document type is ever expanded.
"""

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from era.corpus import without_half_characters
from era.errors import FormatError
from era.io.checking import Place, grade_of
from era.io.columns import MAX_FACT_NAME, MAX_FACTS
from era.io.content import SourceDocument, SourceQuery
from era.io.files import Entry, Lines, Meter, detect_encoding, encoding_remark, open_text, read_text, unreadable
from era.io.judgments import cells_of
from era.io.sources import PlacedDocument
from era.types import Document, Query, ScoredDoc

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


_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.DOTALL)
_TOPIC = re.compile(r"<(?:top|topic)(\s[^<>]*)?>", re.IGNORECASE)
_TOPIC_END = re.compile(r"</?(?:top|topic|topics)\s*>", re.IGNORECASE)
_FIELDS = {
    **dict.fromkeys(("num", "number"), "number"),
    **dict.fromkeys(("title", "query", "question"), "text"),
    **dict.fromkeys(("desc", "description"), "description"),
    **dict.fromkeys(("narr", "narrative"), "narrative"),
    "instruction": "instruction",
}
_FIELD = re.compile(rf"<({'|'.join(_FIELDS)})(?:\s[^<>]*)?>([^<]*(?:<(?!/?[a-z])[^<]*)*)", re.IGNORECASE)
_NUMBER = re.compile(r"""(?:^|\s)(?:number|num|id|qid)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_LABEL = re.compile(r"\A\s*(?:Number|Topic|Title|Query|Description|Narrative)\s*:", re.IGNORECASE)


def is_topics(head: str) -> bool:
    """Return whether a text begins as a file of topics does."""
    start = re.sub(r"<\?[^>]*>|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?\s*>", "", _COMMENT.sub("", head)).lstrip()
    return re.match(r"<(?:topics|topic|top|queries|xml)[\s>]", start, re.IGNORECASE) is not None and (
        _TOPIC.search(start) is not None
    )


def topics_of(entry: Entry) -> Iterator[tuple[Place, SourceQuery]]:
    """Yield the topics of a file: the title is the query, description and narrative say what is needed.

    Raises:
        FormatError: naming the line of a topic without id or without text.
    """
    text, _ = read_text(entry)
    if "<" not in text[:2000]:
        yield from _lines(entry.name, text)
        return
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)
    text = _CDATA.sub(lambda found: html.escape(found[1], quote=False), text)
    starts = list(_TOPIC.finditer(text))
    if not starts:
        raise FormatError("there is no <top> or <topic> in it.", entry.name)
    line, counted = 1, 0
    for start, end in zip(starts, [*(each.start() for each in starts[1:]), len(text)], strict=True):
        line, counted = line + text.count("\n", counted, start.start()), start.start()
        inner = text[start.end() : end]
        if closing := _TOPIC_END.search(inner):
            inner = inner[: closing.start()]
        place = Place(entry.name, line)
        yield place, _topic(inner, start[1] or "", place)


def _topic(inner: str, attributes: str, place: Place) -> SourceQuery:
    fields: dict[str, str] = {}
    for found in _FIELD.finditer(inner):
        words = _unwrapped(_LABEL.sub("", html.unescape(found[2]), count=1))
        fields.setdefault(_FIELDS[found[1].lower()], words)
    number = _NUMBER.search(attributes)
    query_id = fields.get("number") or (number[1] or number[2] or "" if number else "")
    if not query_id:
        raise place.error("this topic has no number.")
    needs = [fields[name] for name in ("description", "narrative") if fields.get(name)]
    query_text = fields.get("text") or (needs.pop(0) if needs else "") or _unwrapped(re.sub(r"<[^<>]*>", " ", inner))
    return SourceQuery(_query(query_id, " ".join(query_text.split()), fields.get("instruction", "")), _joined(needs))


def _lines(file: str, text: str) -> Iterator[tuple[Place, SourceQuery]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        query_id, tab, words = line.partition("\t")
        if not tab or not query_id.strip():
            raise FormatError("expected a query id, a tab and the text of the query.", file, number)
        yield Place(file, number), SourceQuery(_query(query_id.strip(), words.strip(), ""))


def _query(query_id: str, text: str, instruction: str) -> Query:
    return Query(*(without_half_characters(value).replace("\0", " ") for value in (query_id, text, instruction)))


def _unwrapped(text: str) -> str:
    """Return the paragraphs of a text without the line breaks inside them."""
    return _joined([" ".join(part.split()) for part in re.split(r"\n\s*\n", text)])


def _joined(texts: list[str]) -> str:
    return "\n\n".join(text for text in texts if text)


QUOTED = "%Q0"
"""In the second column, which other tools ignore: the ids of this line are written as in web addresses."""


IN_SAMPLE = "-in-sample"
"""Ends the tag of a run that ranks queries by what had learned from their judgments."""


def tag_of(entry: Entry) -> str:
    """Return what the first line of a run file calls the system; empty for an empty file.

    Raises:
        FormatError: if that line is no place of a ranking.
    """
    return next((tag for *_, tag in _places(entry)), "")


def rankings_of(entry: Entry) -> dict[str, list[ScoredDoc]]:
    """Return the rankings of a run file by query id, ordered by score and, where that is equal, by rank.

    Raises:
        FormatError: naming the line that is no place of a ranking, or that repeats a document.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for place, query_id, doc_id, rank, score, _ in _places(entry):
        ranked = found.setdefault(query_id, {})
        if doc_id in ranked:
            raise place.error(f"the document {doc_id!r} was ranked before for the query {query_id!r}.")
        ranked[doc_id] = (-score, rank)
    return {
        query_id: [ScoredDoc(doc_id, -ranked[doc_id][0]) for doc_id in sorted(ranked, key=ranked.__getitem__)]
        for query_id, ranked in found.items()
    }


def is_run_line(line: str) -> bool:
    """Return whether a line is one of a run file."""
    cells = cells_of(line.strip("\r\n"))
    return len(cells) == 6 and cells[1].upper() in ("Q0", QUOTED, "0")


def _places(entry: Entry) -> Iterator[tuple[Place, str, str, float, float, str]]:
    codec, number = detect_encoding(entry), 0
    try:
        with open_text(entry, codec, Meter(), newline="\n") as stream:
            lines = Lines(stream, entry.name)
            for number, line in enumerate(lines, start=1):
                lines.begin()
                if not line.strip():
                    continue
                place = Place(entry.name, number)
                cells = cells_of(line.rstrip("\r\n"))
                if len(cells) != 6:
                    raise place.error("expected query id, Q0, document id, rank, score and tag.")
                query_id, mark, doc_id, rank, score, tag = cells
                if mark == QUOTED:
                    query_id, doc_id = unquote(query_id), unquote(doc_id)
                yield place, query_id, doc_id, _number(rank, place, "rank"), _number(score, place, "score"), tag
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise unreadable(entry, error, number + 1) from error


def _number(cell: str, place: Place, column: str) -> float:
    try:
        return grade_of(cell)
    except ValueError as error:
        raise place.error(f"{cell[:50]!r} is not a number.", column) from error
