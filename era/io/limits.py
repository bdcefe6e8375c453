"""How much is read of what somebody brings, so that no file, hostile or broken, takes the machine from everybody.

Every bound lies far beyond real files (a million documents are read, and uploads of four gigabytes) and near enough
that the worst file costs minutes and some gigabytes. A reader refuses by naming the place and what to do.
"""

MAX_UNPACKED_BYTES = 16 * 1024**3
"""Of everything that is unpacked from one zip or from the compressed files of one folder."""

MAX_COMPRESSION = 100
"""Times; text compresses three- to twentyfold, and tables of repeated names and zeros some more."""

FREE_TO_COMPRESS = 16 * 1024**2
"""Bytes that may unpack from however little."""

MAX_MEMBERS = 500_000
"""Files of one zip."""

MAX_ROWS = 20_000_000
"""Of one table; four gigabytes of short documents have ten million."""

MAX_COLUMNS = 100_000
"""Of one table."""

MAX_CELLS = 500_000_000
"""Of one table, with those that its short rows leave empty; ten million rows of fifty columns."""

MAX_SHEET_ROWS, MAX_SHEET_COLUMNS = 1_048_576, 16_384
"""Of a sheet of a workbook, as Excel itself has it."""

MAX_BOOK_BYTES = 1_000_000_000
"""Of all unpacked parts of a workbook."""

MAX_CHARACTERS = 20_000_000
"""Of one line, one row of a table, one JSON object or one TREC document: six times "War and Peace"."""

MAX_WHOLE_JSON = 200_000_000
"""Characters of a JSON object that has to be read at once, since the rows are a list inside it."""

MAX_TEXT_BYTES = 200_000_000
"""Of one file of text, Markdown or PDF, which is read as a whole."""

MAX_HTML_BYTES = 30_000_000
"""Of one page."""

MAX_HTML_TAGS = 1_000_000
"""Of one page, nested or not; each takes more than a thousand bytes of memory."""

MAX_PDF_PAGES = 5_000
"""Of one PDF; what follows is left out, and said to be."""

MAX_PDF_SECONDS = 240
"""Of reading one PDF; what has not been read by then is left out, and said to be."""

_PDF_SECONDS, _PDF_SECONDS_A_MB = 60, 20


def most_unpacked(n_bytes: int) -> int:
    """Return how many bytes may come out of `n_bytes` compressed ones before it is refused."""
    return min(MAX_UNPACKED_BYTES, max(FREE_TO_COMPRESS, n_bytes * MAX_COMPRESSION))


def size_in_words(n_bytes: int) -> str:
    """Return a size as people say it."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def pdf_seconds(n_bytes: int) -> float:
    """Return how long PDFs of so many bytes together may take to be read; text alone takes three seconds a megabyte."""
    return _PDF_SECONDS + _PDF_SECONDS_A_MB * n_bytes / 1e6
