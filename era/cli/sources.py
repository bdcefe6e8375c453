"""What the commands read: sources of documents, and queries; index folders that they open."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from era.cli.console import Console
from era.collection import Collection
from era.io.content import Source, SourceDocument
from era.io.opening import FORMATS, Choices, open_source

_ROLES = ("id", "title", "text")


def open_for(arguments: argparse.Namespace, path: Path) -> Source:
    """Open a source with the format and columns that the arguments name.

    Raises:
        ValueError: if a format or role is unknown.
        FormatError: if nothing that can be read is there.
    """
    if arguments.format and arguments.format not in FORMATS:
        raise ValueError(f"There is no format {arguments.format!r}. Use one of: {', '.join(FORMATS)}.")
    choices = Choices(arguments.header, arguments.encoding)
    return open_source(path, arguments.format, columns_named(arguments.column), choices)


def columns_named(texts: Sequence[str]) -> dict[str, list[str]] | None:
    """Return role -> columns of each `--column ROLE=COLUMN`; None without any, to find out.

    Raises:
        ValueError: if a text is something else.
    """
    mapping: dict[str, list[str]] = {}
    for text in texts:
        role, equals, column = text.partition("=")
        if not equals or role not in _ROLES or not column:
            raise ValueError(f"Expected --column ROLE=COLUMN with a role of {', '.join(_ROLES)}, got {text!r}.")
        mapping.setdefault(role, []).append(column)
    return mapping or None


def open_collection(arguments: argparse.Namespace, console: Console) -> Collection:
    """Open the index folder that the arguments name, with other embedders for the query side if they name some.

    Raises:
        IndexDamagedError: if it is no index folder, or damaged.
        IdentityMismatchError: if its documents were read by another embedder than is loaded.
        EmbedderUnavailableError: if an embedder cannot be loaded.
    """
    with console.progress() as progress:
        return Collection.open(
            arguments.index,
            arguments.embedders or None,
            device=arguments.device,
            cache=arguments.cache,
            progress=progress,
        )


class Counted:
    """Documents on their way, and how many have passed."""

    def __init__(self, documents: Iterable[SourceDocument]) -> None:
        self._documents = documents
        self.n = 0

    def __iter__(self) -> Iterator[SourceDocument]:
        """Yield them."""
        for document in self._documents:
            self.n += 1
            yield document
