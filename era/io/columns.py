"""What columns are usually called, which of them hold id, title and text, and a row turned into a document by them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from era.corpus import without_half_characters
from era.errors import FormatError
from era.io.content import SourceDocument
from era.io.files import Meter
from era.io.rows import Row, RowFile, is_nested
from era.types import Document

ROLES = ("id", "title", "text")
Roles = Mapping[str, tuple[str, ...]]
"""The role `id`, `title` or `text` -> its columns; of ids there is one, of the others the columns are joined."""
ChosenColumns = Mapping[str, str | Sequence[str]]
"""As a person writes `Roles`: a name alone is one column, and an empty one is none."""

MAX_FACTS = 20
MAX_FACT_NAME = 60
MAX_FACT = 500  # characters

_N_NAMED = 20
_LONGEST_NAMED = 100

_ID_NAMES = ("_id", "id", "doc_id", "docid", "document_id", "docno", "corpus_id", "passage_id", "pid", "uuid", "key")
_TITLE_NAMES = (
    *("title", "headline", "heading", "subject", "name", "question", "titel", "überschrift", "titre", "título"),
    *("titulo",),
    *("titolo", "заголовок", "название", "عنوان", "見出し", "タイトル", "題名", "标题", "標題", "제목"),
)
_TEXT_NAMES = (
    *("text", "contents", "content", "body", "doc", "document", "passage", "abstract", "full_text", "paragraph"),
    *("description", "summary", "answer", "segment", "chunk", "sentence", "comment", "message", "inhalt", "texte"),
    *("texto", "testo", "текст", "نص", "本文", "テキスト", "内容", "正文", "文本", "본문", "내용", "beschreibung"),
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
_NAMES_IDS = re.compile(r"(?i:(?:\w+[ _.-])?(?:id|uid|nr)|\w+[ _.-]no|番号|编号|編號|번호|номер)|\w*[a-z](?:Id|ID)")


def is_known_name(cell: str) -> bool:
    """Return whether a cell is a usual name of a column."""
    return as_name(cell) in _KNOWN or _NAMES_IDS.fullmatch(cell.strip()) is not None


def has_usual_names(columns: Sequence[str]) -> bool:
    """Return whether usual names say which columns are the id and the text."""
    return bool(named(columns, _ID_NAMES) and named(columns, _TEXT_NAMES))


def guess_roles(file: RowFile, judged_ids: Callable[[], Collection[str]]) -> Roles:
    """Return the columns of each role: by usual names, else by what the columns hold over the whole table.

    The text is then the longest column. The id is a column called like one, else the first, if it looks like ids
    throughout; where there are judgments, any column of short words of which each is there only once and some are
    judged.

    Args:
        file: the table.
        judged_ids: gives the ids that the judgments name; asked only where names do not tell the id.
    """
    names = (("id", _ID_NAMES), ("title", _TITLE_NAMES), ("text", _TEXT_NAMES))
    found = {role: column for role, known in names if (column := named(file.columns, known))}
    if "text" not in found:
        stats = {column: each for column, each in file.stats().items() if column != found.get("id")}
        texts = [column for column, each in stats.items() if not each.are_ids] or list(stats)
        if longest := max(texts, key=lambda column: stats[column].n_characters, default=""):
            found = {role: column for role, column in found.items() if column != longest} | {"text": longest}
    if "id" not in found and (column := _ids_of(file, set(found.values()), judged_ids())):
        found["id"] = column
    return {role: (found[role],) for role in ROLES if role in found}


def _ids_of(file: RowFile, taken: Container[str], judged_ids: Collection[str]) -> str:
    """Return the column of ids by what it holds; empty if there is none."""
    columns = [column for column in file.columns if column not in taken and column not in file.nested]
    called_so = [column for column in columns if _NAMES_IDS.fullmatch(column.strip())]
    likely = [*called_so, *(column for column in file.columns[:1] if column in columns)]
    if not judged_ids and not likely:
        return ""
    stats = file.stats()
    if judged_ids and (possible := [column for column in columns if stats[column].could_be_ids]):
        n_judged = Counter[str]()
        for _, row in file.rows(Meter()):
            n_judged.update(column for column in possible if str(row.get(column)).strip() in judged_ids)
        if n_judged:
            return max(possible, key=lambda column: n_judged[column])
    return next(
        (each for each in likely if stats[each].are_ids or (each in called_so and stats[each].could_be_ids)), ""
    )


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


def chosen_roles(mapping: ChosenColumns | None) -> Roles:
    """Return the columns that a person chose for each role, one name or several; roles without any are left out."""
    found = {
        role: tuple(filter(None, (columns,) if isinstance(columns, str) else columns))
        for role, columns in (mapping or {}).items()
    }
    return {role: columns for role, columns in found.items() if columns}


def check_roles(roles: Roles, columns: Sequence[str], file: str) -> None:
    """Check what a person chose.

    Raises:
        FormatError: naming the column that is not there, or the role that is missing or unknown.
    """
    listed = names_in_words(columns) or "none"
    for role, chosen in roles.items():
        if role not in ROLES:
            raise FormatError(f"{role!r} is no part of a document; expected {', '.join(ROLES)}.", file)
        for column in chosen:
            if column not in columns:
                raise FormatError(f"there is no such column. Found: {listed}.", file, column=column)
    if len(roles.get("id", ())) > 1:
        raise FormatError(f"one column is the id, and not {len(roles['id'])}.", file)
    if not roles.get("text"):
        raise FormatError(f"choose the column that holds the text. Found: {listed}.", file)


def roles_in_words(file: str, roles: Roles, columns: Sequence[str], nested: Sequence[str]) -> list[str]:
    """Return what is said of the columns: which are read as what, which are only shown, and which are left out."""
    used = {column for chosen in roles.values() for column in chosen}
    shown = [column for column in columns if column not in used and column not in (*nested, "metadata")]
    dropped = [column for column in nested if column not in used and column != "metadata"]
    is_plain = all([as_name(each) for each in chosen] in ([role], ["_id"]) for role, chosen in roles.items())
    said = []
    if shown or not is_plain:
        read = " and ".join(f"{' + '.join(roles[role])} as the {role}" for role in ("title", "text") if role in roles)
        ids = f" The id is {roles['id'][0]}." if "id" in roles else ""
        only = f" Only shown: {names_in_words(shown)}." if shown else ""
        said.append(f"Of {file}, the models read {read}.{ids}{only}")
    if dropped:
        said.append(f"Of {file}, lists and objects are left out: {names_in_words(dropped)}.")
    return said


class DocumentReader:
    """Rows of one file turned into documents by roles; without a column of ids, rows are numbered."""

    def __init__(self, file: str, unit: str, roles: Roles, id_prefix: str = "") -> None:
        """Keep the roles; `id_prefix` tells the numbered rows of several files apart."""
        self._file = file
        self._unit = unit
        self._id = next(iter(roles.get("id", ())), "")
        self._titles, self._texts = roles.get("title", ()), roles.get("text", ())
        self._title, self._text = (each[0] if len(each) == 1 else "" for each in (self._titles, self._texts))
        self._used = {column for chosen in roles.values() for column in chosen}
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
        title, text = get(self._title) if self._title else None, get(self._text) if self._text else None
        if type(title) is not str or not title.isascii() or "\0" in title:
            title = self._joined(row, self._titles, place, " ")
        if type(text) is not str or not text.isascii() or "\0" in text:
            text = self._joined(row, self._texts, place, "\n")
        has_others = not self._used.issuperset(row)
        return SourceDocument(Document(doc_id, title, text), self._facts(row) if has_others else {})

    def _joined(self, row: Row, columns: Sequence[str], place: int, between: str) -> str:
        """Return what the columns say, one after the other."""
        parts = [self._plain(row.get(column), place, column) for column in columns]
        return parts[0] if len(parts) == 1 else between.join(part for part in parts if part.strip())

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
        values = [(name, value) for name, value in row.items() if name not in self._used]
        inner = row.get("metadata")
        if isinstance(inner, dict) and "metadata" not in self._used:
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
    """Return an id as a text, without blanks around it.

    Raises:
        ValueError: if it is neither a text with something in it nor a whole number.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) not in (str, int) or not (text := str(value).strip()):
        raise ValueError(f"expected a text or a whole number, got {value!r}")
    return _clean(text)


def plain_text(value: Any, error_of: Callable[[str], FormatError]) -> str:
    """Return a value as a text that can be stored; a list of texts is joined by line breaks.

    Raises:
        FormatError: made by `error_of`, if the value is nested.
    """
    if value is None or value != value:  # what is missing in Parquet and spreadsheets is not equal to itself
        return ""
    if is_nested(value):
        raise error_of("expected a text.")
    return _clean("\n".join(value) if isinstance(value, list | tuple) else _as_text(value))


def _fact(value: Any) -> str:
    """Return a value of any kind as a short text; empty for what is nested or missing."""
    if type(value) is str:
        return _clean(value)
    if value is None or is_nested(value) or value != value:
        return ""
    if isinstance(value, list | tuple):
        return _clean(", ".join(value))
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
    name = column if column.isascii() else unicodedata.normalize("NFKC", column)
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def named(columns: Sequence[str], names: Sequence[str]) -> str:
    """Return the column whose name comes first among the names; empty if there is none."""
    by_name = {as_name(column): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")
