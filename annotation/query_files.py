"""Read queries from the content of a file that a person sends: a table, JSON, TREC topics or plain lines.

Pure: nothing is stored here. Either every query of the file is returned, or one error names all that is wrong with it.
TREC topics are found tag by tag, with no XML parser, so that no entity of a document type is ever expanded.
"""

import csv
import html
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from annotation.errors import CollectionFileError, InvalidInputError
from annotation.typed_text import clean_text
from era.io.delimited import undefused

MAX_BYTES = 5_000_000
MAX_QUERIES = 5_000
MAX_ID_CHARACTERS = 200
MAX_PROBLEMS_NAMED = 10

TEXT_NAMES = ("text", "query", "question", "title")
INSTRUCTION_NAMES = ("instruction",)
NEED_NAMES = ("need", "information_need", "description", "narrative")
ID_NAMES = ("id", "query_id", "qid", "_id")
_ALL_NAMES = (*TEXT_NAMES, *INSTRUCTION_NAMES, *NEED_NAMES, *ID_NAMES)

_FORMATS = (
    "a table (CSV or TSV) with a column named query, JSON Lines, TREC topics, or plain text with one query a line"
)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_JSON_START = re.compile(r'\s*(\{\s*["}]|\[\s*[{\["\]])')
_MARKUP_START = re.compile(r"\s*<[?!A-Za-z]")
_COMMENT_OR_CDATA = re.compile(r"<!--.*?(?:-->|\Z)|<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.DOTALL)
_TAG = re.compile(
    r"<(/?)(topics|topic|top|number|num|title|description|desc|narrative|narr|query|question|instruction"
    r"|dom|smry|summary|con|fac|def|nat|note|subtopic)(?=[\s/>])([^<>]*)>",
    re.IGNORECASE,
)
_ID_ATTRIBUTE = re.compile(r"(?:^|\s)(?:number|num|id|qid)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_FIELD_OF_TAG = {"num": "number", "desc": "description", "narr": "narrative", "topic": "words"}
_TOPIC_TEXTS = ("title", "question", "query", "description", "words")
_LABEL = re.compile(r"\A\s*(?:Number|Topic|Query|Description|Narrative)\s*:", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


@dataclass(frozen=True, slots=True)
class ImportedQuery:
    """One query of a file; `need` describes at length what counts as relevant. What is absent is empty, an id None."""

    query_id: str | None
    text: str
    instruction: str
    need: str


_Found = tuple[int, ImportedQuery | str]
"""Line from 1, and the query that begins there as it is written, or what is wrong there."""


def read_queries(file_name: str, content: bytes) -> list[ImportedQuery]:
    """Read and check all queries of a file; the format is told by the content, and where that is silent, by the name.

    Tables (tab, comma or semicolon) have a header line with one of `TEXT_NAMES`, and if wanted of `INSTRUCTION_NAMES`,
    `NEED_NAMES` and `ID_NAMES`; a table of one column needs none. JSON Lines, or a JSON array, holds objects with the
    same names. Of TREC topics the title is the text, description and narrative are the need. Else a line is a query.
    Where a query stands twice with the same instruction, the first id and the first need are kept.

    Args:
        file_name: as the person knows it; names the file in messages.
        content: UTF-8, at most `MAX_BYTES`.

    Returns:
        At least one and at most `MAX_QUERIES` queries in the order of the file.

    Raises:
        CollectionFileError: naming what is wrong, by line, and what is expected instead.
    """
    name = PurePath(file_name).name[:100] or "The file"
    text = _decoded(name, content)
    queries: dict[tuple[str, str], ImportedQuery] = {}
    first_of_id: dict[str, tuple[int, tuple[str, str]]] = {}
    problems: list[tuple[int, str]] = []
    seen: set[ImportedQuery] = set()
    for line, found in _entries(name, text):
        if isinstance(found, str):
            problems.append((line, found))
            continue
        if found in seen:
            continue
        try:
            query = _checked(found)
        except InvalidInputError as error:
            problems.append((line, str(error)))
            continue
        key = (query.text, query.instruction)
        if query.query_id is not None:
            first_line, first_key = first_of_id.setdefault(query.query_id, (line, key))
            if first_key != key:
                problems.append((line, f"the id {query.query_id!r} was used in line {first_line} for another query."))
                continue
        seen.add(found)
        known = queries.setdefault(key, query)
        queries[key] = replace(known, query_id=known.query_id or query.query_id, need=known.need or query.need)
        if len(queries) > MAX_QUERIES:
            problems.append((line, f"there are more than {MAX_QUERIES:,} queries. Split the file."))
            break
    if problems:
        raise CollectionFileError(_summary(name, problems))
    if not queries:
        raise CollectionFileError(f"{name} has no query in it. It should be {_FORMATS}.")
    return list(queries.values())


def _decoded(name: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise CollectionFileError(
            f"{name} has {len(content) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB can be read. Split the file."
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CollectionFileError(f"{name} is UTF-16 text. Save it as UTF-8, then send it again.")
    if b"\0" in content or content.startswith((b"PK\x03\x04", b"%PDF")):
        raise CollectionFileError(f"{name} is not a text file. Save the queries as {_FORMATS}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(content[: error.start])) + 1
        raise CollectionFileError(
            f"{name}, line {line}: this is not UTF-8 text ({error.reason}). Save the file as UTF-8."
        ) from error
    if not text.strip():
        raise CollectionFileError(f"{name} is empty. It should be {_FORMATS}.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _entries(name: str, text: str) -> Iterator[_Found]:
    kind = PurePath(name).suffix.lower()
    if kind in (".json", ".jsonl", ".ndjson") or _JSON_START.match(text):
        return _json_list(text) if text.lstrip().startswith("[") else _json_lines(text)
    if _MARKUP_START.match(text):
        return _topics(name, text)
    first = next(line for line in text.split("\n") if line.strip())
    delimiter, header = _header(first)
    is_table = kind in (".csv", ".tsv", ".tab") or "\t" in first
    if header and (is_table or all(len(cell.split()) <= 3 for cell in header)):
        return _table(name, text, delimiter, header)
    if is_table:
        is_tabbed = kind in (".tsv", ".tab") or "\t" in first
        return _table(name, text, "\t" if is_tabbed else ";" if ";" in first else ",", [])
    lines = enumerate(text.split("\n"), start=1)
    return ((number, ImportedQuery(None, line, "", "")) for number, line in lines if line.strip())


def _checked(written: ImportedQuery) -> ImportedQuery:
    text = clean_text(written.text, "query")
    if not text:
        raise InvalidInputError("the text of the query is empty.")
    query_id = " ".join(clean_text(written.query_id or "", "id").split())
    if len(query_id) > MAX_ID_CHARACTERS:
        raise InvalidInputError(f"the id is longer than {MAX_ID_CHARACTERS} characters. Shorten it.")
    instruction, need = clean_text(written.instruction, "instruction"), clean_text(written.need, "information need")
    return ImportedQuery(query_id or None, text, instruction, need)


def _summary(name: str, problems: Sequence[tuple[int, str]]) -> str:
    if len(problems) == 1:
        return f"{name}, line {problems[0][0]}: {problems[0][1]}"
    named = [f"Line {line}: {problem}" for line, problem in problems[:MAX_PROBLEMS_NAMED]]
    more = [f"And {len(problems) - len(named):,} more."] if len(problems) > len(named) else []
    return "\n".join([f"{name} has {len(problems):,} problems, so nothing was read from it.", *named, *more])


def _from_names(values: Mapping[str, str]) -> ImportedQuery:
    """Return a query from values by lower-case name; of several names for the same, the first that is filled."""
    text, instruction, query_id = (
        next((values[name] for name in names if values.get(name, "").strip()), "")
        for names in (TEXT_NAMES, INSTRUCTION_NAMES, ID_NAMES)
    )
    return ImportedQuery(query_id, text, instruction, _joined(values.get(name, "") for name in NEED_NAMES))


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(text.strip() for text in texts if text.strip())


def _as_name(cell: str) -> str:
    return re.sub(r"[ -]", "_", cell.strip().lower())


def _header(line: str) -> tuple[str, list[str]]:
    """Return the delimiter that finds most known names in the line, and the cells; no cells if it finds none."""
    splits = [(mark, next(csv.reader([line[:10_000]], delimiter=mark, skipinitialspace=True), [])) for mark in "\t;,"]
    known = [sum(_as_name(cell) in _ALL_NAMES for cell in cells) for _, cells in splits]
    return splits[known.index(max(known))] if any(known) else (",", [])


def _table(name: str, text: str, delimiter: str, header: Sequence[str]) -> Iterator[_Found]:
    """Yield the rows of a table; without a header, it may have one column only."""
    names = [_as_name(cell) for cell in header] or ["query"]
    _require_columns(name, header, names)
    delimiter_name = {"\t": "a tab", ";": "a semicolon"}.get(delimiter, "a comma")
    remedy = f"put a text with {delimiter_name} in it into quotation marks."
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=True)
    is_header_ahead = bool(header)
    while True:
        line = reader.line_num + 1
        try:
            cells = [undefused(cell) for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            advice = "Close every quote, and write a quotation mark inside a quoted text twice."
            yield line, f"the quotation marks do not match ({error}). {advice} What follows was not checked."
            return
        if not any(cell.strip() for cell in cells):
            continue
        if is_header_ahead:
            is_header_ahead = False
        elif not any(cell.strip() for cell in cells[len(names) :]):
            yield line, _from_names(dict(zip(names, cells, strict=False)))
        elif header:
            yield line, f"{len(cells)} cells, but the header has {len(names)}; {remedy}"
        else:
            raise CollectionFileError(
                f"{name}, line {line}: {len(cells)} columns, but the first line does not say which has the "
                f"queries. Begin with a line of column names, such as id{delimiter}query, or {remedy}"
            )


def _require_columns(name: str, cells: Sequence[str], names: Sequence[str]) -> None:
    listed = ", ".join(cell.strip()[:40] for cell in cells[:20])
    if not set(names) & set(TEXT_NAMES):
        raise CollectionFileError(
            f"{name} has no column with the queries. Found: {listed}. Name one of them {', '.join(TEXT_NAMES[:-1])} "
            f"or {TEXT_NAMES[-1]} in the first line."
        )
    twice = sorted(name for name, n in Counter(names).items() if n > 1 and name in _ALL_NAMES)
    if twice:
        raise CollectionFileError(f"{name} has more than one column named {', '.join(twice)}. Found: {listed}.")


def _json_lines(text: str) -> Iterator[_Found]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, _from_object(json.loads(line))
            except (ValueError, RecursionError) as error:
                yield number, f"this is not JSON ({_reason(error)}). Write one object a line."


def _json_list(text: str) -> Iterator[_Found]:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        yield line, f"this is not JSON ({_reason(error)}). Write one list of objects, or one object a line."
        return
    decoder = json.JSONDecoder()
    line, counted, at = 1, 0, text.index("[") + 1
    while True:
        while text[at] in "\t\n\r ,":
            at += 1
        if text[at] == "]":
            return
        line, counted = line + text.count("\n", counted, at), at
        value, at = decoder.raw_decode(text, at)
        yield line, _from_object(value)


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "too large or too deeply nested"


def _from_object(value: Any) -> ImportedQuery | str:
    if not isinstance(value, dict):
        return 'expected an object such as {"id": "1", "query": "what is asked"}.'
    values: dict[str, str] = {}
    for key, given in value.items():
        name = _as_name(key)
        if name not in _ALL_NAMES or given is None:
            continue
        is_number = name in ID_NAMES and isinstance(given, int) and not isinstance(given, bool)
        if not isinstance(given, str) and not is_number:
            return f'"{name}" should be a text.'
        values[name] = str(given)
    if not set(values) & set(TEXT_NAMES):
        found = ", ".join(key[:40] for key in list(value)[:10]) or "nothing"
        return f'there is no "query" or "text". Found: {found}.'
    return _from_names(values)


def _topics(name: str, text: str) -> Iterator[_Found]:
    """Yield the topics of a TREC file, SGML with or without closing tags, or XML."""
    text, unclosed = _without_sections(text)
    if unclosed:
        yield unclosed, "a comment or CDATA section begins here and never ends."
        return
    tags = list(_TAG.finditer(text))
    if not any(tag[2].lower() in ("top", "topic") for tag in tags):
        raise CollectionFileError(f"{name} has no <top> or <topic> in it. It should be {_FORMATS}.")
    line, counted, topic_line = 1, 0, 1
    topic: dict[str, list[str]] | None = None
    for tag, end in zip(tags, [*(following.start() for following in tags[1:]), len(text)], strict=True):
        is_closing, tag_name, attributes = tag[1] == "/", tag[2].lower(), tag[3]
        if tag_name in ("top", "topic", "topics") and topic is not None:
            yield topic_line, _from_topic(topic)
            topic = None
        if is_closing or tag_name == "topics":
            continue
        if tag_name in ("top", "topic"):
            line, counted = line + text.count("\n", counted, tag.start()), tag.start()
            number = _ID_ATTRIBUTE.search(attributes)
            topic, topic_line = {"number": [html.unescape(number[1] or number[2] or "")] if number else []}, line
        if topic is not None and not attributes.endswith("/"):
            field = _FIELD_OF_TAG.get(tag_name, tag_name)
            words = _unwrapped(_LABEL.sub("", html.unescape(text[tag.end() : end]), count=1))
            topic.setdefault(field, []).append(words)
    if topic is not None:
        yield topic_line, _from_topic(topic)


def _from_topic(topic: Mapping[str, Sequence[str]]) -> ImportedQuery | str:
    values = {field: _joined(words) for field, words in topic.items()}
    chosen = next((field for field in _TOPIC_TEXTS if values.get(field)), None)
    if chosen is None:
        return "this topic has neither title nor query nor description."
    number = next((each for each in topic["number"] if each.strip()), None)
    need = _joined(values.get(field, "") for field in ("description", "narrative") if field != chosen)
    return ImportedQuery(number, " ".join(values[chosen].split()), values.get("instruction", ""), need)


def _unwrapped(text: str) -> str:
    """Return the paragraphs of a text without the line breaks inside them."""
    return _joined(" ".join(part.split()) for part in _BLANK_LINES.split(text))


def _without_sections(text: str) -> tuple[str, int]:
    """Return text without comments, with CDATA as escaped text, and the line of a section that never ends, else 0."""
    unclosed = 0

    def plain(section: re.Match[str]) -> str:
        nonlocal unclosed
        if not section[0].endswith(("-->", "]]>")):
            unclosed = text.count("\n", 0, section.start()) + 1
        return "\n" * section[0].count("\n") if section[1] is None else html.escape(section[1], quote=False)

    return _COMMENT_OR_CDATA.sub(plain, text), unclosed
