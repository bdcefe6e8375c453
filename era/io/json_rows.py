"""Tables of JSON: an object a line, one list of objects, or an object that holds such a list."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from era.errors import FormatError
from era.io import limits
from era.io.columns import has_usual_names, is_known_name, names_in_words
from era.io.files import Entry, Lines, Meter, detect_encoding, encoding_remark, open_text, unreadable
from era.io.rows import ColumnStats, PlacedRow, names_of, stats_of, within_limits

_BLOCK = 1_000_000  # characters
_BLANKS = re.compile(r"[\s,:]*")  # between two values of what json has read already
_EXAMPLE = '{"id": "1", "title": "A title", "text": "The text"}'


class JsonRows:
    """Rows of a JSON file; the kind is told by its beginning and not by its name."""

    unit = "line"
    n_rows = None

    def __init__(self, entry: Entry, has_ids_as_names: bool = True) -> None:
        """Tell the encoding.

        Args:
            entry: the file.
            has_ids_as_names: whether an object of objects is a table of rows by their ids; else it is one row.

        Raises:
            FormatError: if it is not text.
        """
        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self._entry = entry
        self.encoding = detect_encoding(entry)
        self._about_encoding = encoding_remark(entry, self.encoding)
        self._has_ids_as_names = has_ids_as_names
        self._said: list[str] = []

    @cached_property
    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return names_of(self._rows(Meter()), self.name, self.unit)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names that any object has, in the order of their first appearance."""
        return self._names[0]

    @property
    def nested(self) -> tuple[str, ...]:
        """Return the names that hold lists or objects."""
        return self._names[1]

    @property
    def remarks(self) -> list[str]:
        """Return how the file is read, where another way is thinkable."""
        return [*filter(None, (self._about_encoding,)), *self._said]

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds over the whole file."""
        return stats_of(self)

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the objects in order.

        Raises:
            FormatError: naming the line of what is not JSON or not an object.
        """
        return within_limits(self._rows(meter), self.name, self.unit)

    def _rows(self, meter: Meter) -> Iterator[PlacedRow]:
        line = 0
        try:
            kind = self._kind()
            rows = self._list(meter) if kind == "[" else self._one_object(meter) if kind == "{" else self._lines(meter)
            for line, row in rows:
                yield line, row
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise unreadable(self._entry, error, line + 1) from error

    @property
    def _is_of_lines(self) -> bool:
        return self._entry.suffix in (".jsonl", ".ndjson")

    def _kind(self) -> str:
        """Return `[` for a list, `{` for one object that holds the rows or takes several lines, else nothing."""
        with open_text(self._entry, self.encoding, Meter(), newline="\n") as stream:
            first = ""
            while not first.strip() and (line := stream.readline(limits.MAX_CHARACTERS + 1)):
                first = line
            start = first.lstrip()[:1]
            if start != "{":
                return start if start == "[" else ""
            if len(first) > limits.MAX_CHARACTERS:
                return "{"
            try:
                value = json.loads(first)
            except (ValueError, RecursionError):
                return "{" if first.strip() == "{" or first.rstrip().endswith(("[", "{", ",")) else ""
            is_alone = not stream.readline(10_000).strip()
            return "{" if is_alone and not self._is_of_lines and not _is_document(value) else ""

    def _lines(self, meter: Meter) -> Iterator[PlacedRow]:
        loads = json.loads
        with open_text(self._entry, self.encoding, meter, newline="\n") as stream:
            lines = Lines(stream, self.name)
            for number, line in enumerate(lines, start=1):
                lines.begin()
                try:
                    row = loads(line)
                except (ValueError, RecursionError) as error:
                    if not line.strip():
                        continue
                    raise self._not_json(error, number) from error
                yield number, row if type(row) is dict else self._checked(row, number)

    def _list(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the objects of one list, which is never held as a whole."""
        decode = json.JSONDecoder().raw_decode
        with open_text(self._entry, self.encoding, meter, newline="\n") as stream:
            text, line, is_at_end = "", 1, False
            at, wanted, is_begun, comma_due = 0, _BLOCK, False, False
            while True:
                while at < len(text) and text[at] in " \t\r\n":
                    line += text[at] == "\n"
                    at += 1
                mark = text[at : at + 1]
                if mark and not is_begun:
                    at, is_begun = at + 1, True
                    continue
                if mark == "]":
                    return self._check_end(text[at + 1 :] + stream.read(1000), line)
                if mark == "," and comma_due:
                    at, comma_due = at + 1, False
                    continue
                if mark and comma_due:
                    raise FormatError("expected a comma or the end of the list.", self.name, line)
                if mark and (len(text) - at > 1 or is_at_end):
                    try:
                        value, end = decode(text, at)
                    except (ValueError, RecursionError) as error:
                        if is_at_end or isinstance(error, RecursionError) or not _may_be_cut(error, text):
                            where = line + text.count("\n", at, getattr(error, "pos", at))
                            raise self._not_json(error, where) from error
                    else:
                        yield line, self._checked(value, line)
                        line += text.count("\n", at, end)
                        at, wanted, comma_due = end, _BLOCK, True
                        continue
                if is_at_end:
                    raise FormatError("the list of objects does not end with ].", self.name, line)
                if len(text) - at > limits.MAX_CHARACTERS:
                    problem = f"what begins here is longer than {limits.MAX_CHARACTERS:,} characters. Split it."
                    raise FormatError(problem, self.name, line)
                more = stream.read(wanted)
                is_at_end = not more
                text, at, wanted = text[at:] + more, 0, wanted * 2

    def _one_object(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the object if it is a document, else the objects that it holds."""
        with open_text(self._entry, self.encoding, meter, newline="\n") as stream:
            text = stream.read(limits.MAX_WHOLE_JSON + 1)
            if len(text) > limits.MAX_WHOLE_JSON:
                problem = f"this is one JSON object of more than {limits.MAX_WHOLE_JSON:,} characters"
                raise FormatError(f"{problem}. Save it with one object a line.", self.name)
            try:
                json.loads(text)
            except (ValueError, RecursionError) as error:
                raise self._not_json(error, getattr(error, "lineno", 1)) from error
        members = list(_members(text))
        value = {name: each for name, each, _ in members}
        lists = [name for name, each in value.items() if isinstance(each, list) and each and _are_objects(each)]
        is_one = self._is_of_lines or _is_document(value)
        if not is_one and len(lists) == 1:
            if others := [name for name in value if name != lists[0]]:
                self._said = [f'The documents of {self.name} are its "{lists[0]}"; not read: {names_in_words(others)}.']
            yield from self._items(text, next(start for name, _, start in members if name == lists[0]))
        elif self._has_ids_as_names and not is_one and value and (_are_objects(value.values()) or _are_texts(value)):
            self._said = [f"The names in {self.name} are read as the ids of its documents."]
            for name, each, start in members:
                row = {"id": name, **each} if isinstance(each, dict) else {"id": name, "text": each}
                yield 1 + text.count("\n", 0, start), row
        else:
            yield 1 + text.count("\n", 0, text.index("{")), value

    def _items(self, text: str, start: int) -> Iterator[PlacedRow]:
        """Yield the objects of the list that starts there, with their lines."""
        line, counted, at = 1, 0, start + 1
        decode = json.JSONDecoder().raw_decode
        while True:
            at = _BLANKS.match(text, at).end()  # type: ignore[union-attr]
            if text[at] == "]":
                return
            line, counted = line + text.count("\n", counted, at), at
            value, at = decode(text, at)
            yield line, self._checked(value, line)

    def _check_end(self, rest: str, line: int) -> None:
        if rest.strip():
            raise FormatError("there is something after the end of the list.", self.name, line)

    def _checked(self, value: Any, line: int) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise FormatError(f"expected an object such as {_EXAMPLE}.", self.name, line)
        return value

    def _not_json(self, error: Exception, line: int) -> FormatError:
        if isinstance(error, RecursionError):
            return FormatError("what begins here is too deeply nested. Flatten it.", self.name, line)
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too large a number"
        return FormatError(f"this is not JSON ({reason}). Expected an object such as {_EXAMPLE}.", self.name, line)


def _is_document(value: dict[str, Any]) -> bool:
    """Return whether an object is one document by the usual names, whatever lists it holds besides."""
    return has_usual_names([name for name, each in value.items() if not isinstance(each, dict | list)])


def _are_objects(values: Iterable[Any]) -> bool:
    return all(isinstance(each, dict) for each in values)


def _are_texts(value: dict[str, Any]) -> bool:
    """Return whether an object only says texts by names that are ids, and no usual names of columns."""
    return all(isinstance(each, str) for each in value.values()) and not any(map(is_known_name, value))


def _members(text: str) -> Iterator[tuple[str, Any, int]]:
    """Yield name, value and the place of the value of each member of a JSON object."""
    decode = json.JSONDecoder().raw_decode
    at = text.index("{") + 1
    while text[at := _BLANKS.match(text, at).end()] != "}":  # type: ignore[union-attr]
        name, at = decode(text, at)
        start = _BLANKS.match(text, at).end()  # type: ignore[union-attr]
        value, at = decode(text, start)
        yield name, value, start


def _may_be_cut(error: Exception, text: str) -> bool:
    """Return whether an error may come from text that is not there yet."""
    return not isinstance(error, json.JSONDecodeError) or error.pos >= len(text) - 20 or "Unterminated" in error.msg
