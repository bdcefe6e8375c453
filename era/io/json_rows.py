"""Tables of JSON: an object a line, one list of objects, or an object that holds such a list."""

import json
from collections.abc import Iterator
from typing import Any

from era.errors import FormatError
from era.io import limits
from era.io.files import Entry, Lines, Meter, detect_encoding, encoding_remark, open_text, unreadable
from era.io.rows import PlacedRow, within_limits

_BLOCK = 1_000_000  # characters
_EXAMPLE = '{"id": "1", "title": "A title", "text": "The text"}'


class JsonRows:
    """Rows of a JSON file; the kind is told by its beginning and not by its name."""

    unit = "line"
    n_rows = None

    def __init__(self, entry: Entry) -> None:
        """Tell the encoding and the kind by the beginning of the file.

        Raises:
            FormatError: if it is not text.
        """
        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self._entry = entry
        self.encoding = detect_encoding(entry)
        self.remarks = [remark] if (remark := encoding_remark(entry, self.encoding)) else []

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

    def _kind(self) -> str:
        """Return `[` for a list, `{` for one object over several lines, else nothing."""
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
            return "{" if is_alone and _list_inside(value) is not None else ""

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
        """Yield the objects of the one list that an object holds; they are placed where the file begins."""
        with open_text(self._entry, self.encoding, meter, newline="\n") as stream:
            text = stream.read(limits.MAX_WHOLE_JSON + 1)
            if len(text) > limits.MAX_WHOLE_JSON:
                problem = f"this is one JSON object of more than {limits.MAX_WHOLE_JSON:,} characters"
                raise FormatError(f"{problem}. Save it with one object a line.", self.name)
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise self._not_json(error, getattr(error, "lineno", 1)) from error
        rows = _list_inside(value)
        if rows is None:
            rows = [value]
        for row in rows:
            yield 1, self._checked(row, 1)

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


def _list_inside(value: Any) -> list[Any] | None:
    """Return the only list of objects in an object."""
    lists = [each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)]
    return lists[0] if len(lists) == 1 else None


def _may_be_cut(error: Exception, text: str) -> bool:
    """Return whether an error may come from text that is not there yet."""
    return not isinstance(error, json.JSONDecodeError) or error.pos >= len(text) - 20 or "Unterminated" in error.msg
