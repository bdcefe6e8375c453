"""What columns are usually called, which of them hold id, title and text, and a row turned into a document by them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from era.corpus import without_half_characters
from era.errors import FormatError
from era.io.content import SourceDocument
from era.io.rows import Row
from era.types import Document

ROLES = ("id", "title", "text")
MAX_FACTS = 20
MAX_FACT_NAME = 60
MAX_FACT = 500  # characters

_N_NAMED = 20
_LONGEST_NAMED = 100

_ID_NAMES = ("_id", "id", "doc_id", "docid", "document_id", "docno", "corpus_id", "passage_id", "pid", "uuid", "key")
_TITLE_NAMES = ("title", "headline", "heading", "subject", "name", "question")
_TEXT_NAMES = (
    *("text", "contents", "content", "body", "doc", "document", "passage", "abstract", "full_text", "paragraph"),
    *("description", "summary", "answer", "segment", "chunk", "sentence", "comment", "message"),
)
QUERY_ID_NAMES = ("_id", "id", "qid", "query_id", "queryid", "topic_id")
QUERY_NAMES = ("query", "question", "text", "title", "topic")
INSTRUCTION_NAMES = ("instruction", "instruct")
NEED_NAMES = ("need", "information_need", "description", "narrative")
LABELLED_QUERY_NAMES = ("query_id", "qid", "queryid", "topic_id", "topicid", "topic", "query", "query_text", "question")
"""What a table of judgments or rankings calls its queries; the last three are texts, or ids for want of another."""
LABELLED_TEXT_NAMES = ("query", "query_text", "question")
LABELLED_DOC_NAMES = (
    *("corpus_id", "doc_id", "docid", "document_id", "documentid", "docno", "pid", "passage_id", "document", "doc"),
)
GRADE_NAMES = ("relevance", "rel", "grade", "rating", "label", "judgment", "judgement", "score")
_KNOWN = {
    *(*_ID_NAMES, *_TITLE_NAMES, *_TEXT_NAMES, *QUERY_ID_NAMES, *QUERY_NAMES, *INSTRUCTION_NAMES, *NEED_NAMES),
    *(*LABELLED_QUERY_NAMES, *LABELLED_DOC_NAMES, *GRADE_NAMES, "labels", "metadata", "url"),
}


def is_known_name(cell: str) -> bool:
    """Return whether a cell is a usual name of a column."""
    return as_name(cell) in _KNOWN


def guess_mapping(columns: Sequence[str], sample: Sequence[Row]) -> dict[str, str]:
    """Return the column of each role that can be told: by usual names, else the text by its length."""
    found = {
        role: column
        for role, names in (("id", _ID_NAMES), ("title", _TITLE_NAMES), ("text", _TEXT_NAMES))
        if (column := named(columns, names))
    }
    if "text" not in found:
        others = [column for column in columns if column != found.get("id")]
        lengths = {column: sum(len(str(row.get(column) or "")) for row in sample) for column in others}
        longest = max(lengths, key=lambda column: lengths[column], default="")
        if longest:
            found["text"] = longest
            found = {role: column for role, column in found.items() if role == "text" or column != longest}
    return found


def is_about_queries(columns: Sequence[str]) -> bool:
    """Return whether the columns are those of queries: one of them is called so, and none is a text."""
    names = {as_name(column) for column in columns}
    if "instruction" in names and names & {"query", "question"}:
        return True
    return bool(names & {"query", "question"}) and not names & set(_TEXT_NAMES) - {"description"}


def names_in_words(columns: Iterable[str]) -> str:
    """Return the first names of columns, and how many there are besides."""
    first = [column[:_LONGEST_NAMED] for column in columns]
    more = f" and {len(first) - _N_NAMED:,} more" if len(first) > _N_NAMED else ""
    return ", ".join(first[:_N_NAMED]) + more


def check_mapping(mapping: Mapping[str, str], columns: Sequence[str], file: str) -> None:
    """Check a mapping that a person chose.

    Raises:
        FormatError: naming the column that is not there, or the role that is missing or unknown.
    """
    listed = names_in_words(columns) or "none"
    for role, column in mapping.items():
        if role not in ROLES:
            raise FormatError(f"{role!r} is no part of a document; expected {', '.join(ROLES)}.", file)
        if column not in columns:
            raise FormatError(f"there is no such column. Found: {listed}.", file, column=column)
    if not mapping.get("text"):
        raise FormatError(f"choose the column that holds the text. Found: {listed}.", file)


class DocumentReader:
    """Rows of one file turned into documents by a mapping; without a column of ids, rows are numbered."""

    def __init__(self, file: str, unit: str, mapping: Mapping[str, str], id_prefix: str = "") -> None:
        """Keep the mapping; `id_prefix` tells the numbered rows of several files apart."""
        self._file = file
        self._unit = unit
        self._id, self._title, self._text = (mapping.get(role, "") for role in ROLES)
        self._roles = {self._id, self._title, self._text}
        self._id_prefix = id_prefix
        self._n_read = 0
        self.n_cut = 0  # facts that were shortened, or left out where there were too many

    def read(self, place: int, row: Row) -> SourceDocument:
        """Return the document of a row.

        Raises:
            FormatError: naming the column that does not hold what it should.
        """
        self._n_read += 1
        get = row.get
        doc_id = self._id_of(get(self._id), place) if self._id else f"{self._id_prefix}{self._n_read}"
        title, text = get(self._title) if self._title else "", get(self._text)
        if type(title) is not str or not title.isascii() or "\0" in title:
            title = self._plain(title, place, self._title)
        if type(text) is not str or not text.isascii() or "\0" in text:
            text = self._plain(text, place, self._text)
        has_others = len(row) > len(self._roles - {""})
        return SourceDocument(Document(doc_id, title, text), self._facts(row) if has_others else {})

    def _id_of(self, value: Any, place: int) -> str:
        try:
            return id_text(value)
        except ValueError as error:
            raise FormatError(
                "expected an id that is a text or a whole number.", self._file, place, self._id, self._unit
            ) from error

    def _plain(self, value: Any, place: int, column: str) -> str:
        return plain_text(value, lambda problem: FormatError(problem, self._file, place, column, self._unit))

    def _facts(self, row: Row) -> dict[str, str]:
        """Return what a row says besides id, title and text; what is nested is left out but for "metadata"."""
        facts: dict[str, str] = {}
        values = [(name, value) for name, value in row.items() if name not in self._roles]
        inner = row.get("metadata")
        if isinstance(inner, dict) and "metadata" not in self._roles:
            values += inner.items()
        for name, value in values:
            fact = _fact(value)
            if not fact:
                continue
            kept = _clean(str(name))[:MAX_FACT_NAME], fact[:MAX_FACT]
            if len(facts) == MAX_FACTS:
                self.n_cut += 1
                break
            self.n_cut += len(fact) > MAX_FACT
            facts[kept[0]] = kept[1]
        return facts


def id_text(value: Any) -> str:
    """Return an id as a text.

    Raises:
        ValueError: if it is neither a text with something in it nor a whole number.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) not in (str, int) or value == "":
        raise ValueError(f"expected a text or a whole number, got {value!r}")
    return _clean(str(value))


def plain_text(value: Any, error_of: Callable[[str], FormatError]) -> str:
    """Return a value as a text that can be stored; a list of texts is joined by line breaks.

    Raises:
        FormatError: made by `error_of`, if the value is nested.
    """
    if value is None or value != value:  # what is missing in Parquet and spreadsheets is not equal to itself
        return ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = "\n".join(value)
    if isinstance(value, dict | list | bytes | tuple):
        raise error_of("expected a text.")
    return _clean(_as_text(value))


def _fact(value: Any) -> str:
    """Return a value of any kind as a short text; empty for what is nested or missing."""
    if type(value) is str:
        return _clean(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return _clean(", ".join(value))
    if value is None or isinstance(value, dict | list | bytes | tuple) or value != value:
        return ""
    return _clean(_as_text(value))


def _as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and not (value.hour or value.minute or value.second or value.microsecond):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _clean(text: str) -> str:
    """Return text without what databases and encodings refuse: half characters and zero characters."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return without_half_characters(text).replace("\0", "\ufffd")


def as_name(column: str) -> str:
    """Return the name of a column as the lists of usual names have it."""
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def named(columns: Sequence[str], names: Sequence[str]) -> str:
    """Return the column whose name comes first among the names; empty if there is none."""
    by_name = {as_name(column): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")
