"""Queries of any file: tables by the names of their columns, JSON, TREC topics, lines of id and text, plain lines.

Whatever brings queries in comes through here, so that one file gives the same queries everywhere. No XML parser reads
topics, so that no entity of a document type is ever expanded.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from era.corpus import without_half_characters
from era.errors import FormatError
from era.io.checking import Named, Place
from era.io.columns import (
    INSTRUCTION_NAMES,
    NEED_NAMES,
    QUERY_ID_NAMES,
    QUERY_NAMES,
    as_name,
    id_text,
    names_in_words,
    plain_text,
)
from era.io.content import SourceQuery
from era.io.delimited import DelimitedRows
from era.io.files import Entry, Meter, encoding_remark, read_text
from era.io.rows import PlacedRow, Row, RowFile
from era.io.table import head_of, is_table, named_table
from era.types import Query

PlacedQuery = tuple[Place, SourceQuery]
"""Where a query begins, and the query; its id is empty where the file has none for it."""

Found = tuple[Place, SourceQuery | FormatError]
"""As `PlacedQuery`, or what is wrong there."""

_EXPECTED = (
    "Expected a table (CSV, TSV, JSON, Parquet or Excel) with a column named query, TREC topics, a query id, a tab and "
    "a text in each line, or plain text with a query a line."
)
_N_NAMED = 10  # problems
_SAID_ELSEWHERE = ("labels", "score")
_MARKUP_START = re.compile(r"<[?!A-Za-z]")


@dataclass(frozen=True, slots=True)
class QueriesRead:
    """The queries of a file in their order, at least one, and what a person should know of how they were read."""

    queries: tuple[PlacedQuery, ...]
    remarks: tuple[str, ...]


def read_queries(path: Path, name: str = "") -> QueriesRead:
    """Read the queries of one file; which kind it is of is told by its content, and where that is silent, by its name.

    Of a table the text is the first filled of the columns in `era.io.columns.QUERY_NAMES`, of a topic its title, query
    or question; what else says what is meant (another of these, description, narrative) is the need. Ids are optional,
    and `with_ids` makes those that are missing.

    Args:
        path: of the file.
        name: as a person knows it; the path's own name if empty.

    Raises:
        FormatError: naming every place where something is wrong, or if there is no query.
    """
    if not path.is_file():
        raise FormatError("there is no such file. Check the path.", str(path))
    entry = Entry(name or path.name, path)
    remarks: list[str] = []
    queries = checked_queries(queries_of(entry, remarks), remarks)
    if not queries:
        raise FormatError(" ".join(["there is no query in it.", _EXPECTED, *remarks]), entry.name)
    return QueriesRead(tuple(queries), tuple(remarks))


def queries_of(entry: Entry, remarks: list[str]) -> Iterator[Found]:
    """Yield the queries of a file as they are written; how they were read is added to the remarks.

    Raises:
        FormatError: at a place from which on the file cannot be read.
    """
    if _is_marked_up(entry):
        return _topics(entry, remarks)
    file = table_of_queries(entry)
    if file is None:
        return _of_lines(entry, remarks)
    return _of_delimited(file, remarks) if isinstance(file, DelimitedRows) else queries_of_table(file, remarks)


def table_of_queries(entry: Entry) -> RowFile | None:
    """Return the table that a file of queries is; None if it is of another kind."""
    return None if _is_marked_up(entry) else named_table(entry, names_queries)


def queries_of_table(file: RowFile, remarks: list[str]) -> Iterator[Found]:
    """Yield the queries of a table by the names of its columns, as `queries_of` does."""
    yield from queries_of_rows(file.rows(Meter()), file.name, file.unit, remarks)
    remarks += file.remarks


def queries_of_rows(rows: Iterable[PlacedRow], name: str, unit: str, remarks: list[str]) -> Iterator[Found]:
    """Yield the query of each row by the names of its columns, as `read_queries` says.

    Args:
        rows: place and values by column.
        name: of the table, as a person knows it.
        unit: what the places count.
        remarks: columns that were not read are added to these.

    Raises:
        FormatError: if no column of the first row holds queries, or two have the same name.
    """
    unread: dict[str, None] = {}
    is_first = True
    for number, row in rows:
        place = Place(name, number, unit)
        try:
            yield place, query_of(row, place)
        except FormatError as error:
            if is_first and error.column is None:  # so it will be in every row
                raise
            yield place, error
        is_first = False
        unread |= {column: None for column, value in row.items() if value and not _is_read(column)}
    if unread:
        remarks.append(f"Of {name}, these columns were not read as part of the queries: {names_in_words(unread)}.")


def query_of(row: Row, place: Place) -> SourceQuery:
    """Return the query of a row; its id is empty where the row has none.

    Raises:
        FormatError: if no column holds the query, or one does not hold what it should.
    """
    columns: dict[str, str] = {}
    for column in row:
        if (usual := as_name(column)) in columns and _is_read(column):
            raise place.error(f"more than one column is named {usual}. Give each its own name.")
        columns[usual] = column
    if not columns.keys() & set(QUERY_NAMES):
        found = names_in_words(row) or "nothing"
        raise place.error(f"there is no column named query or text. Found: {found}.")

    def written(names: Sequence[str]) -> list[str]:
        values = (_text(row[columns[name]], place, columns[name]) for name in names if name in columns)
        return [value for value in values if value]

    texts = [text for text in written(QUERY_NAMES) if text.strip()]
    instruction = next(iter(written(INSTRUCTION_NAMES)), "")
    query = Query(_id(row, columns, place), texts[0] if texts else "", instruction)
    others = [text for text in written(QUERY_NAMES[:-1]) if text.split() not in ([], query.text.split())]
    return SourceQuery(query, _joined(others + written(NEED_NAMES)))


def names_queries(cells: Sequence[str]) -> bool:
    """Return whether cells are names of columns of which one holds queries; names are short."""
    return any(as_name(cell) in QUERY_NAMES for cell in cells) and all(len(cell.split()) <= 3 for cell in cells)


def checked_queries(found: Iterable[Found], remarks: list[str]) -> list[PlacedQuery]:
    """Return the queries that say something, each id and each query without an id once.

    Runs of blanks do not tell two queries apart. What was left out or merged is added to the remarks.

    Raises:
        FormatError: naming all that is wrong, such as an id that is used for two different queries.
    """
    kept: list[PlacedQuery] = []
    by_id: dict[str, int] = {}
    by_words: dict[tuple[str, ...], int] = {}
    problems: list[FormatError] = []
    empty, n_repeated = Named(), 0
    for place, each in _with_problems(found):
        if isinstance(each, FormatError):
            problems.append(each)
            continue
        query_id, words = each.query.query_id, words_of(each.query)
        if not words[0]:
            empty.add(query_id or f"{place.unit} {place.line}")
            continue
        at = by_id.get(query_id) if query_id else by_words.get(words)
        if at is None and query_id and words in by_words and not kept[by_words[words]][1].query.query_id:
            at = by_words[words]
        if at is None:
            at = len(kept)
            kept.append((place, each))
            by_words.setdefault(words, at)
        elif words_of(kept[at][1].query) != words:
            first = kept[at][0]
            where = f"{first.unit} {first.line:,}" if first.file == place.file and first.line else first.file
            problems.append(place.error(f"the id {query_id!r} was used in {where} already, for another query."))
        else:
            first, known = kept[at]
            query = known.query if known.query.query_id else replace(known.query, query_id=query_id)
            kept[at] = first, SourceQuery(query, known.need or each.need)
            n_repeated += 1
        if query_id:
            by_id.setdefault(query_id, at)
    if problems:
        raise all_problems(problems)
    if empty.n:
        remarks.append(empty.left_out("query without any text", "queries without any text"))
    if n_repeated:
        what = "1 query was" if n_repeated == 1 else f"{n_repeated:,} queries were"
        remarks.append(f"{what} there before, word for word, and counted once.")
    return kept


def with_ids(queries: Iterable[SourceQuery], remarks: list[str]) -> list[SourceQuery]:
    """Return queries that all have an id: those without one are numbered from 1, which is added to the remarks."""
    queries = list(queries)
    taken = {each.query.query_id for each in queries}
    free = (str(number) for number in range(1, 2 * len(queries) + 1) if str(number) not in taken)
    n_made = sum(not each.query.query_id for each in queries)
    if n_made:
        remarks.append(
            "The queries have no ids, so they are numbered from 1."
            if n_made == len(queries)
            else f"{n_made:,} of {len(queries):,} queries have no id; these are numbered from 1."
        )
    return [
        each if each.query.query_id else replace(each, query=replace(each.query, query_id=next(free)))
        for each in queries
    ]


def words_of(query: Query) -> tuple[str, str]:
    """Return text and instruction without what blanks alone tell apart."""
    return " ".join(query.text.split()), " ".join(query.instruction.split())


def _with_problems(found: Iterable[Found]) -> Iterator[Found]:
    """Yield what is found, at last the problem from which on nothing could be read."""
    try:
        yield from found
    except FormatError as error:
        yield Place(error.file, error.line, error.unit), error


def all_problems(problems: Sequence[FormatError]) -> FormatError:
    """Return one error that names the places of all problems, as far as a person can read them."""
    if len(problems) == 1:
        return problems[0]
    file = problems[0].file
    named = [
        str(FormatError(each.problem, "", each.line, each.column, each.unit) if each.file == file else each)
        for each in problems[:_N_NAMED]
    ]
    lines = [f"{len(problems):,} problems, so nothing was read from it."]
    lines += [each[:1].upper() + each[1:] for each in named]
    lines += [f"And {len(problems) - len(named):,} more."] if len(problems) > len(named) else []
    return FormatError("\n".join(lines), file)


def _is_read(column: str) -> bool:
    name = as_name(column)
    return any(name in names for names in (QUERY_ID_NAMES, QUERY_NAMES, INSTRUCTION_NAMES, NEED_NAMES, _SAID_ELSEWHERE))


def _id(row: Row, columns: Mapping[str, str], place: Place) -> str:
    for name in QUERY_ID_NAMES:
        value = row.get(columns.get(name, ""))
        if value is None or value != value or (isinstance(value, str) and not value.strip()):
            continue
        try:
            return id_text(value).strip()
        except ValueError as error:
            raise place.error("expected an id that is a text or a whole number.", columns[name]) from error
    return ""


def _text(value: Any, place: Place, column: str) -> str:
    return plain_text(value, lambda problem: place.error(problem, column))


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(text for text in texts if text)


def _is_marked_up(entry: Entry) -> bool:
    if is_table(entry) and entry.suffix not in (".csv", ".tsv", ".tab"):
        return False
    head = head_of(entry)
    return _MARKUP_START.match(head) is not None and (not is_table(entry) or _TOPIC.search(head) is not None)


def _whole(entry: Entry, remarks: list[str]) -> str:
    text, encoding = read_text(entry)
    if remark := encoding_remark(entry, encoding):
        remarks.append(remark)
    return text


def _of_delimited(file: DelimitedRows, remarks: list[str]) -> Iterator[Found]:
    """Yield the rows of a table with a header, or of a table of one column, which needs none."""
    rows = file.rows(Meter())
    first = list(islice(rows, 1))
    columns = list(first[0][1]) if first else []
    if first and not any(as_name(column) in QUERY_NAMES for column in columns):
        if len(columns) > 1:
            found = names_in_words(str(value) for value in first[0][1].values())
            raise FormatError(
                f"its {len(columns)} columns have no names of which one is query or text. Found: {found}. Name them in "
                "the first line, such as id and query, or put a text with commas into quotation marks.",
                file.name,
                first[0][0],
            )
        for number, row in chain(first, rows):
            yield Place(file.name, number), _query("", str(row[columns[0]]).strip())
        remarks.append(f"{file.name} names no column, so each of its rows is a query.")
        return
    yield from queries_of_rows(chain(first, rows), file.name, file.unit, remarks)
    remarks += file.remarks


def _of_lines(entry: Entry, remarks: list[str]) -> Iterator[Found]:
    """Yield the lines of a file: id, tab and text if every line has one tab, else each line is a query.

    Raises:
        FormatError: naming a line with another number of tabs, or the first if it could name columns.
    """
    text = _whole(entry, remarks)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if lines and names_queries([lines[0][1]]):
        remarks.append(f"The first line of {entry.name} names the column and is no query: {lines[0][1].strip()}.")
        del lines[0]
    counts = Counter(line.count("\t") for _, line in lines)
    n_tabs = max(counts, key=counts.__getitem__, default=0)
    odd = next((number for number, line in lines if line.count("\t") != n_tabs), lines[0][0] if n_tabs > 1 else None)
    digits = [any(map(str.isdecimal, line.partition("\t")[0])) for _, line in lines] if n_tabs else []
    if odd is None and len(digits) > 2 and not digits[0] and all(digits[1:]):
        odd = lines[0][0]
    if odd is not None:
        problem = "expected a query id, a tab and a text in each line, or names of columns such as id and query"
        raise FormatError(f"{problem} in the first line.", entry.name, odd)
    for number, line in lines:
        query_id, tab, words = line.partition("\t")
        yield Place(entry.name, number), _query(query_id, words) if tab else _query("", line)
    if n_tabs:
        remarks.append(f"{entry.name} names no columns: what is before the tab is the id, what follows is the query.")


def _query(query_id: str, text: str, instruction: str = "", need: str = "") -> SourceQuery:
    query_id, text, instruction, need = (
        without_half_characters(value).replace("\0", "\ufffd") for value in (query_id.strip(), text, instruction, need)
    )
    return SourceQuery(Query(query_id, text.strip(), instruction), need)


_SECTION = re.compile(r"<!--.*?(?:-->|\Z)|<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.DOTALL)
_TOPIC = re.compile(r"<(?:top|topic)(\s[^<>]*)?>", re.IGNORECASE)
_TOPIC_END = re.compile(r"</(?:top|topic)\s*>|</?topics[\s>]", re.IGNORECASE)
_TAG = re.compile(
    r"""<(/?)([a-z][\w.:-]*)((?>\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'|[^\s"'<>]+))*)\s*(/?)>""", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]\w{1,30});", re.IGNORECASE)
_ID_ATTRIBUTE = re.compile(
    r"""(?:^|\s)(?:number|num|id|qid)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))""", re.IGNORECASE
)
_FIELDS = {
    **dict.fromkeys(("num", "number"), "number"),
    **{name: name for name in ("title", "query", "question", "instruction")},
    **dict.fromkeys(("desc", "description"), "description"),
    **dict.fromkeys(("narr", "narrative"), "narrative"),
}
_TEXT_FIELDS = ("title", "query", "question")
_LABELS = {
    "number": re.compile(r"\A\s*Number\s*:", re.IGNORECASE),
    "title": re.compile(r"\A\s*(?:Topic|Title)\s*:", re.IGNORECASE),
    "description": re.compile(r"\A\s*Description\s*:", re.IGNORECASE),
    "narrative": re.compile(r"\A\s*Narrative\s*:", re.IGNORECASE),
}
_OUTSIDE, _UNREAD = "outside", "not read"
_MOST_INDENTED = 80  # characters
_NOT_READ = {"subtopic", "note", "dom", "smry", "summary", "con", "fac", "def", "nat", "head"}
_INSIDE_WORDS = {
    *("a", "abbr", "b", "big", "cite", "code", "em", "font", "i", "mark", "q", "s", "small", "span", "strong"),
    *("sub", "sup", "tt", "u", "var"),
}
_INSIDE_TEXTS = {*_INSIDE_WORDS, "br", "p"}


def is_topics(head: str) -> bool:
    """Return whether a text begins as a file of topics does."""
    start = re.sub(r"<\?[^>]*>|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?\s*>", "", _SECTION.sub("", head)).lstrip()
    return re.match(r"<(?:topics|topic|top|queries|xml)[\s>]", start, re.IGNORECASE) is not None and (
        _TOPIC.search(start) is not None
    )


def _topics(entry: Entry, remarks: list[str]) -> Iterator[Found]:
    """Yield the topics of a TREC file, SGML with or without closing tags, or XML."""
    text = _whole(entry, remarks)

    def plain(section: re.Match[str]) -> str:
        if not section[0].endswith(("-->", "]]>")):
            line = text.count("\n", 0, section.start()) + 1
            raise FormatError("a comment or CDATA section begins here and never ends. Close it.", entry.name, line)
        return "\n" * section[0].count("\n") if section[1] is None else html.escape(section[1], quote=False)

    text = _SECTION.sub(plain, text)
    starts = list(_TOPIC.finditer(text))
    if not starts:
        raise FormatError(f"there is no <top> or <topic> in it. {_EXPECTED}", entry.name)
    line, counted = 1, 0
    for start, end in zip(starts, [*(each.start() for each in starts[1:]), len(text)], strict=True):
        line, counted = line + text.count("\n", counted, start.start()), start.start()
        closing = _TOPIC_END.search(text, start.end(), end)
        inner = text[start.end() : closing.start() if closing else end]
        yield Place(entry.name, line), _topic(inner, start[1] or "")


def _topic(inner: str, attributes: str) -> SourceQuery:
    """Return a topic: the title, query or question is the text, and all else that says what is meant, the need."""
    fields: dict[str, list[str]] = {}
    for name, markup in _fields_of(inner):
        label = _LABELS.get(name)
        words = _unwrapped(_plain(label.sub("", markup, count=1) if label else markup))
        if words:
            fields.setdefault(name, []).append(words)
    number = _ID_ATTRIBUTE.search(attributes)
    given = html.unescape(number[1] or number[2] or number[3] or "") if number else ""
    texts = [fields[name][0] for name in _TEXT_FIELDS if name in fields]
    texts = texts or [" ".join(fields[name]) for name in (_OUTSIDE,) if name in fields]
    needs = [*texts[1:], *fields.get("description", []), *fields.get("narrative", [])]
    text = texts[0] if texts else needs.pop(0) if needs else ""
    instruction = _joined(fields.get("instruction", []))
    return _query(fields.get("number", [given])[0], " ".join(text.split()), instruction, _joined(needs))


def _fields_of(topic: str) -> Iterator[tuple[str, str]]:
    """Yield name and markup of the fields of a topic, and of what is outside of all.

    A field goes to its own end tag; where it has none, to the next field, or to a tag that begins a line and is not
    one of those inside of sentences.
    """
    tags = [tag for tag in _TAG.finditer(topic) if not tag[4]]
    last_end = {tag[2].lower(): tag.start() for tag in tags if tag[1]}
    at, name, own, is_closed = 0, _OUTSIDE, "", False
    for tag in tags:
        tag_name = tag[2].lower()
        if is_closed and not (tag[1] and tag_name == own):
            continue
        if not is_closed and tag_name not in _FIELDS and tag_name not in _NOT_READ:
            before = topic[max(at, tag.start() - _MOST_INDENTED) : tag.start()]
            begins_line = "\n" in before and not before.rpartition("\n")[2].strip()
            if tag[1] or name == _OUTSIDE or tag_name in _INSIDE_TEXTS or not begins_line:
                continue
        yield name, topic[at : tag.start()]
        at, own = tag.end(), tag_name
        name = _OUTSIDE if tag[1] else _FIELDS.get(tag_name, _UNREAD)
        is_closed = not tag[1] and last_end.get(tag_name, -1) > tag.start()
    yield name, topic[at:]


def _plain(markup: str) -> str:
    words = _TAG.sub(lambda tag: "" if tag[2].lower() in _INSIDE_WORDS else " ", markup)
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), words)


def _unwrapped(text: str) -> str:
    """Return the paragraphs of a text without the line breaks inside them."""
    return _joined(" ".join(part.split()) for part in re.split(r"\n(?:[^\S\n]*\n)+", text))
