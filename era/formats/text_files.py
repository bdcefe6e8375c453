"""A folder of text, Markdown, HTML and PDF files as documents: passages that know their file, page and section."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from era.corpus import without_half_characters
from era.errors import FormatError
from era.formats.chunking import Chunk, chunks_of
from era.formats.columns import MAX_FACT
from era.formats.content import SourceDocument
from era.formats.entries import Entry, Meter
from era.formats.extracting import extract
from era.formats.sources import PlacedDocument
from era.types import Document

_N_NAMED = 5


class TextFiles:
    """Files cut into passages `path#1`, `path#2`, ...; a file that cannot be read is left out and named."""

    name = ""
    unit = "passage"
    encoding = ""
    n_documents = None

    def __init__(self, entries: list[Entry]) -> None:
        """Keep the files."""
        self.n_bytes = sum(entry.n_bytes for entry in entries)
        self._entries = entries
        self._remarks: list[str] = []
        self._without_text: list[str] = []
        self._unreadable: list[str] = []

    @property
    def remarks(self) -> list[str]:
        """Return which files were left out, and how the others were read."""
        remarks = list(self._remarks)
        if self._without_text:
            remarks.append(f"{_count(self._without_text)} without any text left out: {_listed(self._without_text)}.")
        if self._unreadable:
            more = f" And {len(self._unreadable) - _N_NAMED:,} more." if len(self._unreadable) > _N_NAMED else ""
            what = f"{_count(self._unreadable)} left out that could not be read"
            remarks.append(f"{what}. {' '.join(self._unreadable[:_N_NAMED])}{more}")
        return remarks

    def documents(self, meter: Meter) -> Iterator[PlacedDocument]:
        """Yield the passages of each file in turn."""
        self._remarks, self._without_text, self._unreadable = [], [], []
        for entry in self._entries:
            meter.file = file = without_half_characters(entry.name)
            number = 0
            try:
                extracted = extract(entry)
                title = extracted.title or PurePosixPath(file).stem
                for number, chunk in enumerate(chunks_of(extracted.blocks), start=1):
                    yield number, SourceDocument(Document(f"{file}#{number}", title, chunk.text), _facts(file, chunk))
            except FormatError as error:
                self._unreadable.append(str(error))
            except MemoryError:
                self._unreadable.append(f"{entry.name}: takes more memory than there is. Split it.")
            else:
                self._remarks += extracted.remarks[: _N_NAMED - len(self._remarks)]
                self._without_text += [] if number else [file]
            meter.add(entry.n_bytes)


def _facts(file: str, chunk: Chunk) -> dict[str, str]:
    facts = {"file": file[:MAX_FACT]}
    if chunk.page:
        facts["page"] = str(chunk.page)
    if chunk.heading:
        facts["section"] = chunk.heading[:MAX_FACT]
    return facts


def _count(names: list[str]) -> str:
    return "1 file was" if len(names) == 1 else f"{len(names):,} files were"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_N_NAMED]) + (", ..." if len(names) > _N_NAMED else "")
