"""Readers that go wrong in another process, where they are imported anew: so nothing of the app is imported here."""

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from annotation.errors import CollectionFileError
from era.errors import FormatError
from era.io.content import SourceDocument, SourceQuery
from era.io.opening import Choices, Preview, preview
from era.types import Document


class OwnError(Exception):
    """An error that nobody else knows."""


def note_process(file: Path) -> None:
    file.write_text(str(os.getpid()))


def wait_for_ever(file: Path) -> str:
    note_process(file)
    time.sleep(1e6)
    return ""


def compute_for_ever(file: Path) -> str:
    """Keep the interpreter inside one call of a library, where no other thread has a turn."""
    note_process(file)
    return str(re.match("(a+)+$", "a" * 60 + "b"))


def preview_without_end(
    path: Path, format: str, mapping: dict[str, list[str]] | None, choices: Choices, n: int
) -> Preview:
    time.sleep(1e6)
    return preview(path, format, mapping, choices, n)


def take_memory(file: Path) -> str:
    return str(len(bytearray(2**40)))


def end_by(number: int) -> str:
    os.kill(os.getpid(), number)
    time.sleep(60)
    return ""


def raise_named(name: str) -> str:
    if name == "format":
        raise FormatError("is wrong.", "x.csv", 3, "text", "row")
    if name == "ours":
        raise CollectionFileError("x.csv, line 3: is wrong.")
    if name == "value":
        raise ValueError("expected another")
    if name == "decode":
        b"\xff".decode("utf-8")
    raise OwnError("is wrong")


def print_and_look(file: Path) -> tuple[str, ...]:
    """Return the modules that are there once a file was looked at, and the files that are open."""
    preview(file)
    sys.stdout.write("what a library says\n")
    sys.stdout.flush()
    opened = [str(each.readlink()) for each in Path("/proc/self/fd").glob("*") if each.exists()]
    return (*sys.modules, *opened, f"scratch:{tempfile.gettempdir()}")


@dataclass
class StuckSource:
    """A source whose documents never end: after two there comes no other."""

    name: str = "stuck"
    format: str = "table"
    remarks: list[str] = field(default_factory=list)
    n_bytes: int = 100
    n_bytes_read: int = 10
    n_documents: int | None = None
    file_at: str = "inner.csv"

    def documents(self) -> Iterator[SourceDocument]:
        yield SourceDocument(Document("d1", "", "cat feeding"), {})
        yield SourceDocument(Document("d2", "", "dog feeding"), {})
        time.sleep(1.1)  # so long that what was read is sent on
        yield SourceDocument(Document("d3", "", "owl feeding"), {})
        re.match("(a+)+$", "a" * 60 + "b")

    def queries(self) -> list[SourceQuery]:
        return []

    def qrels(self) -> dict[str, dict[str, float]]:
        return {}


def open_stuck(path: Path, format: str = "", mapping: dict[str, str] | None = None) -> StuckSource:
    return StuckSource()


@dataclass
class GreedySource(StuckSource):
    """A source that takes more and more memory."""

    def documents(self) -> Iterator[SourceDocument]:
        yield SourceDocument(Document("d1", "", "cat feeding"), {})
        kept = [bytes([number]) * 2**26 for number in range(256)]
        yield SourceDocument(Document("d2", "", str(len(kept))), {})


def open_greedy(path: Path, format: str = "", mapping: dict[str, str] | None = None) -> StuckSource:
    return GreedySource()
