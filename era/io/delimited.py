"""Tables of delimited text: CSV in any of its dialects, and TSV.

What a table looks like, its delimiter, its quotation marks and whether its first line names the columns, is judged by
the whole file: nothing is decided by a part of it.
"""

import contextlib
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Literal

from era.errors import FormatError
from era.io import limits
from era.io.columns import has_usual_names, is_known_name
from era.io.files import Entry, Lines, Meter, detect_encoding, encoding_remark, open_text, unreadable
from era.io.rows import ColumnStats, PlacedRow, named_twice, stats_of, too_many_columns, within_limits

Header = Literal["", "yes", "no"]

_DELIMITERS = ("\t", ",", ";", "|")
_TAB_SUFFIXES = (".tsv", ".tab")
_ONE_COLUMN = "\ufdd0"  # a delimiter that no text has, since Unicode assigns no character to it
_NAMES = {"\t": "a tab", ",": "a comma", ";": "a semicolon", "|": "a vertical bar"}
_LONGEST_NAME = 60  # characters; what is longer in a first line is no name of a column
_LOOKED_AT = 200_000  # characters, to order the delimiters that the whole file is read with
_ROWS_AT_ONCE, _FEWEST_AT_ONCE, _CELLS_AT_ONCE, _CHARACTERS_AT_ONCE = 512, 16, 50_000, 1_000_000
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n?\Z', re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*")
_FORMULA_SIGNS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b")  # also full-width and small ones
_BLANKS = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))  # Unicode's categories of what spreadsheets may pass over
_DEFUSED = "'\u2060"  # an apostrophe and a word joiner, which no keyboard writes: what is not ours stays as it is


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How lines become cells; `first_line` is what lines of a spreadsheet program's own come before."""

    delimiter: str
    is_quoted: bool = True
    first_line: int = 1

    def reader(self, lines: Iterable[str], is_strict: bool = True) -> Iterator[list[str]]:
        csv.field_size_limit(limits.MAX_CHARACTERS)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.is_quoted else csv.QUOTE_NONE
        return csv.reader(lines, delimiter=self.delimiter, quoting=quoting, strict=is_strict)

    def cells(self, cells: list[str]) -> list[str]:
        return [_ONE_COLUMN.join(cells)] if self.delimiter == _ONE_COLUMN and len(cells) > 1 else cells


class _Survey:
    """What a whole file looks like in a dialect.

    Attributes:
        dialect: the one it was read in.
        first: the cells of the first row, and `first_line`, where it is.
        stats: what the columns hold below the first row; only where somebody asked for them.
        repeats: how often a column holds again what its first cell holds.
        lengths: number of cells of a row -> of how many rows.
        short_line: the first row with fewer cells than the first one.
        long: line and number of cells of the first row with more of them that are filled; None without one.
        joined_line: the first row that goes on over several lines.
        quoted_line: the first row with a cell that begins with a quotation mark.
        n_quoted: cells between quotation marks, and `n_loose`, those that only begin with one.
        has_defused: whether this program wrote cells so that no spreadsheet takes them for formulas.
        error: why it cannot be read in this dialect.
        n_taken: how many rows the stats are of.
    """

    def __init__(self, dialect: _Dialect) -> None:
        self.dialect = dialect
        self.first: list[str] = []
        self.first_line = 0
        self.stats: list[ColumnStats] = []
        self.repeats: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()
        self.short_line = self.joined_line = self.quoted_line = self.n_quoted = self.n_loose = 0
        self.long: tuple[int, int] | None = None
        self.has_defused = False
        self.error: FormatError | None = None
        self.n_taken = 0

    def read(self, rows: Iterable[tuple[int, list[str]]], has_stats: bool) -> "_Survey":
        """Read rows and return itself."""
        some: list[list[str]] = []
        n_characters, lengths = 0, self.lengths
        is_raw = not self.dialect.is_quoted
        n_first = -1
        try:
            for line, cells in rows:
                n_cells = len(cells)
                if n_first < 0:
                    self.first, self.first_line, n_first = cells, line, n_cells
                    has_stats = has_stats and not has_usual_names(cells)
                    lengths[n_cells] = 1
                    continue
                lengths[n_cells] += 1
                if n_cells < n_first and not self.short_line:
                    self.short_line = line
                elif n_cells > n_first and self.long is None and any(map(str.strip, cells[n_first:])):
                    self.long = line, n_cells
                if is_raw:
                    self._count_quotes(line, cells)
                if has_stats:
                    some.append(cells)
                    n_characters += sum(map(len, cells))
                    n = len(some)
                    is_much = n * n_cells > _CELLS_AT_ONCE or n_characters > _CHARACTERS_AT_ONCE
                    if n >= _ROWS_AT_ONCE or (is_much and n >= _FEWEST_AT_ONCE):
                        self.take(some)
                        some, n_characters = [], 0
        except FormatError as error:
            self.error = error
        if some:
            self.take(some)
        return self

    def seen(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield lines, and see whether this program wrote them."""
        for line in lines:
            if _DEFUSED in line:
                self.has_defused = True
            yield line

    def _count_quotes(self, line: int, cells: Iterable[str]) -> None:
        for cell in cells:
            if cell.startswith('"'):
                self.quoted_line = self.quoted_line or line
                is_whole = len(cell) > 1 and cell.endswith('"') and '"' not in cell[1:-1].replace('""', "")
                self.n_quoted += is_whole
                self.n_loose += not is_whole

    def take(self, rows: list[list[str]]) -> None:
        """Count what some rows hold."""
        columns = list(zip_longest(*rows, fillvalue=""))
        for place in range(max(len(columns), len(self.stats))):
            cells = [cell.strip() for cell in columns[place]] if place < len(columns) else [""] * len(rows)
            if place == len(self.stats):
                self.stats.append(ColumnStats())
                if self.n_taken:
                    self.stats[place].add([""])  # in earlier rows it was missing
            self.stats[place].add(cells)
            if place < len(self.first):
                self.repeats[place] += cells.count(self.first[place].strip()) if self.first[place].strip() else 0
        self.n_taken += len(rows)

    @property
    def n_rows(self) -> int:
        return self.lengths.total()

    @property
    def n_known(self) -> int:
        """Return how many usual names of columns the first row has."""
        return sum(map(is_known_name, self.first))

    @property
    def is_even(self) -> bool:
        """Return whether every row has as many cells as the first."""
        return self.error is None and len(self.lengths) == 1

    @property
    def is_of_columns(self) -> bool:
        """Return whether these are columns, and no text in which a delimiter occurs as it does in text."""
        is_prose = all(cell[:1].isspace() for cell in self.first[1:])
        return len(self.first) > 1 and (self.n_known > 0 or self.is_even or not is_prose)

    @property
    def rank(self) -> tuple[bool, int, bool, float, int]:
        """Return what orders dialects, the better one last."""
        share = self.lengths[len(self.first)] / max(self.n_rows, 1)
        return self.is_of_columns, self.n_known, self.is_even, share, len(self.first)


class DelimitedRows:
    """Rows of delimited text; without a header its columns are called `column 1`, `column 2`, ..."""

    unit = "line"
    n_rows = None
    nested = ()

    def __init__(self, entry: Entry, header: Header = "") -> None:
        """Tell the encoding.

        Args:
            entry: the file.
            header: whether the first line names the columns, where that is known; empty to judge by the file.

        Raises:
            FormatError: if it is not text.
        """
        self.name = entry.name
        self.n_bytes = entry.n_bytes
        self._entry = entry
        self._chosen = header
        self.encoding = detect_encoding(entry)
        self._about_encoding = encoding_remark(entry, self.encoding)

    @cached_property
    def _survey(self) -> _Survey:
        """Return what the file looks like in the dialect that fits it best."""
        sample = self._sample
        separator = _SEPARATOR_LINE.match(sample[0]) if sample else None
        first_line = 2 if separator else 1
        if separator:
            marks: Sequence[str] = (separator[1],)
        else:
            is_tabbed = self._entry.suffix in _TAB_SUFFIXES and any("\t" in line for line in sample)
            marks = ("\t",) if is_tabbed else _DELIMITERS
        sampled = [_Survey(_Dialect(mark, True, first_line)) for mark in marks]
        for each in sampled:
            each.read(_sampled_rows(sample[first_line - 1 :], each.dialect), has_stats=False)
        possible = sorted((each for each in sampled if len(each.first) > 1), key=lambda each: each.rank, reverse=True)
        found: list[_Survey] = []
        for each in possible:
            found.append(self._surveyed(each.dialect))
            if found[-1].is_even or found[-1].n_known:
                break
        best = max(found, key=lambda each: each.rank, default=None)
        if best is None or not (best.is_of_columns or separator):
            best = self._surveyed(_Dialect(_ONE_COLUMN, True, first_line))
        return best

    def _surveyed(self, dialect: _Dialect) -> _Survey:
        """Return what the whole file looks like; whether TSV is quoted is seen as well.

        In TSV, and in lines of one text each, a quotation mark is often only what it is: where quoting fails, or
        would join lines that are whole rows each.
        """
        quoted = self._read(dialect)
        is_tab = dialect.delimiter == "\t"
        if dialect.delimiter not in ("\t", _ONE_COLUMN) or not (quoted.error or (is_tab and quoted.joined_line)):
            return quoted
        raw = self._read(_Dialect(dialect.delimiter, False, dialect.first_line))
        if quoted.error:
            is_slip = raw.n_quoted > 10 * raw.n_loose  # one mark too many among many that are right
            return quoted if is_slip or raw.error else raw
        return raw if raw.is_even and len(raw.first) == len(quoted.first) > 1 else quoted

    def _read(self, dialect: _Dialect) -> _Survey:
        survey = _Survey(dialect)
        return survey.read(self._records(dialect, Meter(), survey), has_stats=True)

    @cached_property
    def _has_header(self) -> bool:
        return self._chosen == "yes" or (self._chosen != "no" and _is_header(self._survey))

    @property
    def header(self) -> Header:
        """Return whether the first line names the columns."""
        return "yes" if self._has_header else "no"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns; empty ones at the end are left out, others get a number."""
        survey = self._survey
        if survey.error and not survey.first:
            raise survey.error
        if len(survey.first) > limits.MAX_COLUMNS:
            raise too_many_columns(len(survey.first), self.name)
        if not self._has_header:
            return tuple(
                f"column {place}" for place in range(1, min(max(survey.lengths, default=0), limits.MAX_COLUMNS) + 1)
            )
        names = [cell.strip() for cell in (map(undefused, survey.first) if survey.has_defused else survey.first)]
        while names and not names[-1]:
            names.pop()
        names = [name or f"column {place}" for place, name in enumerate(names, start=1)]
        if twice := named_twice(names):
            problem = "more than one column has this name. Give each its own."
            raise FormatError(problem, self.name, survey.first_line, twice[0])
        return tuple(names)

    @property
    def remarks(self) -> list[str]:
        """Return how the file is read, where another way is thinkable."""
        survey, name, remarks = self._survey, self.name, []
        delimiter = survey.dialect.delimiter
        if self._about_encoding:
            remarks.append(self._about_encoding)
        if delimiter == _ONE_COLUMN and any(mark in cell for mark in _DELIMITERS for cell in survey.first):
            remarks.append(f"Every line of {name} is read as one text, since nothing divides all lines into columns.")
        elif delimiter not in ("\t" if self._entry.suffix in _TAB_SUFFIXES else ",", _ONE_COLUMN):
            mark = _NAMES.get(delimiter, repr(delimiter))
            remarks.append(f"In {name}, {mark} divides the columns.")
        if survey.quoted_line:
            remarks.append(
                f"Quotation marks in {name} are read as they stand, since they enclose no cells "
                f"(first in line {survey.quoted_line:,})."
            )
        if survey.first and not self._has_header:
            remarks.append(f"The first line of {name} is no header; its columns are numbered.")
        elif survey.first and not survey.n_known:
            listed = ", ".join(self.columns)[:200]
            remarks.append(f"The first line of {name} is read as the names of its columns: {listed}.")
        if n_short := sum(n for length, n in survey.lengths.items() if length < len(self.columns)):
            rows = "1 line has" if n_short == 1 else f"{n_short:,} lines have"
            where = f" (first: line {survey.short_line:,})" if survey.short_line else ""
            remarks.append(f"In {name}, {rows} fewer cells than there are columns{where}; the missing ones are empty.")
        return remarks

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds over the whole file.

        Raises:
            FormatError: as `rows`.
        """
        return self._stats

    @cached_property
    def _stats(self) -> Mapping[str, ColumnStats]:
        survey = self._survey
        if survey.error:
            raise survey.error
        if not survey.stats:
            return stats_of(self)
        if not self._has_header:
            survey.take([survey.first])
        missing = [ColumnStats() for _ in self.columns[len(survey.stats) :]]
        return dict(zip(self.columns, [*survey.stats, *missing], strict=False))

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order; blank lines are left out, missing cells at the end of a line are empty.

        Raises:
            FormatError: naming the line of a row with too many cells or with quotation marks that do not match.
        """
        return within_limits(self._rows(meter), self.name, self.unit)

    def _rows(self, meter: Meter) -> Iterator[PlacedRow]:
        columns, n_columns = self.columns, len(self.columns)
        records = self._records(self._survey.dialect, meter)
        if self._has_header:
            next(records, None)
        has_defused = self._survey.has_defused
        for line, cells in records:
            if len(cells) != n_columns:
                if any(cell.strip() for cell in cells[n_columns:]):
                    raise self._too_many(line, len(cells))
                cells = [*cells[:n_columns], *[""] * (n_columns - len(cells))]
            yield line, dict(zip(columns, map(undefused, cells) if has_defused else cells, strict=True))

    def _records(
        self, dialect: _Dialect, meter: Meter, survey: _Survey | None = None
    ) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of each row that has any, with the line where it begins; a survey sees the lines as well."""
        line = 1
        try:
            with open_text(self._entry, self.encoding, meter, newline=self._newline) as stream:
                lines = Lines(stream, self.name)
                while lines.number < dialect.first_line - 1:
                    next(lines, "")
                    lines.begin()
                line = dialect.first_line
                for cells in dialect.reader(lines if survey is None else survey.seen(lines)):
                    if cells and (cells[0].strip() or any(map(str.strip, cells))):
                        if survey is not None and lines.number > line:
                            survey.joined_line = survey.joined_line or line
                        yield line, dialect.cells(cells)
                    line = lines.number + 1
                    lines.begin()
        except csv.Error as error:
            problem = (
                f"the quotation marks of the row that begins here do not match ({error}). Close every quote, and write "
                "a quotation mark inside a quoted text twice."
            )
            if "new-line" in str(error):
                problem = "the row that begins here has a line break in it. Put its text into quotation marks."
            raise FormatError(problem, self.name, line) from error
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise unreadable(self._entry, error, line) from error

    @property
    def _newline(self) -> str:
        """Return what ends lines, as `open` takes it: where line feeds do, no carriage return alone does."""
        return "\n" if any(line.endswith("\n") and line.strip() for line in self._sample) else ""

    @cached_property
    def _sample(self) -> list[str]:
        """Return the first lines, the last of them perhaps not whole."""
        try:
            with open_text(self._entry, self.encoding, Meter(), newline="") as stream:
                return list(io.StringIO(stream.read(_LOOKED_AT), newline=""))
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise unreadable(self._entry, error, None) from error

    def _too_many(self, line: int, n_cells: int) -> FormatError:
        delimiter = self._survey.dialect.delimiter
        return FormatError(
            f"{n_cells} cells, but the header has {len(self.columns)}. Put a text with "
            f"{_NAMES.get(delimiter, repr(delimiter))} in it into quotation marks.",
            self.name,
            line,
        )


def _sampled_rows(lines: Sequence[str], dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield rows as far as lines that may break off can be read."""
    with contextlib.suppress(csv.Error):
        for cells in dialect.reader(lines, is_strict=False):
            if any(map(str.strip, cells)):
                yield 0, cells


def _is_header(survey: _Survey) -> bool:
    """Return whether the first row names the columns: by usual names, else by how it differs from all other rows.

    In doubt it is a row like the others: so nothing is lost.
    """
    first, stats, repeats = [cell.strip() for cell in survey.first], survey.stats, survey.repeats
    known = [place for place, cell in enumerate(first) if is_known_name(cell)]
    if known:
        return not all(repeats[place] for place in known)
    filled = [cell for cell in first if cell]
    if survey.n_rows < 2 or len(set(filled)) < len(filled) or repeats.total():
        return False
    if any(len(cell) > _LONGEST_NAME or _NUMBER.fullmatch(cell) for cell in filled):
        return False
    return sum(_vote(cell, below) for cell, below in zip(first, stats, strict=False) if cell and below.n_filled) > 0


def _vote(cell: str, below: ColumnStats) -> int:
    """Return 1 if a cell looks like the name of what stands below, -1 if it looks like one more of it, else 0."""
    if below.has_digits:
        return -1 if _DIGIT.search(cell) else 1
    is_spaced, average = " " in cell, below.n_characters / below.n_filled
    if below.n_spaced == below.n_filled:
        return -1 if is_spaced else 1
    if len(cell) < below.shortest and 2 * len(cell) <= average:
        return 1
    return -1 if is_spaced and 2 * below.n_spaced > below.n_filled else 0


def defused(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before what could be one.

    That is what begins with one of `= + - @` in any width, also after white space and control characters, or with a
    tab or a line break. After the apostrophe is a word joiner, which nothing shows and no keyboard writes: by it,
    `undefused` knows what this program wrote, also after a spreadsheet program has saved it.
    """
    return _DEFUSED + cell if _looks_like_formula(cell) or cell.startswith(_DEFUSED) else cell


def undefused(cell: str) -> str:
    """Return a cell as it was before `defused`; apostrophes of others stay."""
    return cell.removeprefix(_DEFUSED)


def _looks_like_formula(text: str) -> bool:
    if text.startswith(("\t", "\r", "\n")):
        return True
    first = next((character for character in text if unicodedata.category(character) not in _BLANKS), "")
    return first in _FORMULA_SIGNS
