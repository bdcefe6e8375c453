"""Queries of TREC: topics in SGML or XML, found tag by tag, or lines of an id, a tab and a text.

No XML parser reads them, so that no entity of a document type is ever expanded.
"""

import html
import re
from collections.abc import Iterator

from era.corpus import without_half_characters
from era.errors import FormatError
from era.formats.checking import Place
from era.formats.content import SourceQuery
from era.formats.encodings import read_text
from era.formats.entries import Entry
from era.types import Query

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
