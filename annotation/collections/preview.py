"""Look at what somebody brings, files that were sent or a data set of the Hugging Face Hub, before it is imported."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from annotation.errors import InvalidInputError, NotAllowedError
from annotation.retrieval.endpoint_costs import EndpointCosts, SampledTexts, endpoint_costs, readers_of
from annotation.settings import Settings
from annotation.workspace import Workspace
from era.encoders.spec import PairSpec
from era.errors import DamagedText
from era.io import opening
from era.io.content import Source
from era.io.delimited import Header
from era.io.files import ENCODINGS
from era.io.opening import AS_THEY_LOOK, Preview
from era.io.opening import Choices as Choices

N_SHOWN = 5  # documents and queries


def formats() -> Mapping[str, str]:
    """Return the formats that files can be read as: key -> what a person calls it."""
    return {key: label for key, label in opening.FORMATS.items() if key != "hub"}


def encodings() -> Mapping[str, str]:
    """Return the encodings that a person may choose: codec -> what a person calls it."""
    return ENCODINGS


def choices_of(header: str, encoding: str) -> Choices:
    """Return how a person wants files read where they can be read in more than one way; empty: as they look.

    Raises:
        InvalidInputError: if there is no such way.
    """
    headers: dict[str, Header] = {"": "", "yes": "yes", "no": "no"}
    if header not in headers or encoding not in ("", *ENCODINGS):
        raise InvalidInputError("This way of reading is not known. Choose one from the list.")
    return Choices(headers[header], encoding)


def needs_encoding(error: Exception) -> bool:
    """Return whether what could not be read can be read once a person chooses an encoding."""
    return isinstance(error, DamagedText)


def preview_files(
    workspace: Workspace,
    author: str | None,
    reading: str,
    path: Path,
    format: str,
    mapping: Mapping[str, Sequence[str]],
    choices: Choices = AS_THEY_LOOK,
) -> Preview:
    """Return how the beginning of files would be imported.

    Args:
        workspace: of this process.
        author: who looks.
        reading: what for, as `annotation.jobs.child_places.ReadingPlaces.call` says.
        path: a file, a folder or a zip.
        format: a key of `formats()`; empty to find out.
        mapping: role -> columns; empty for a good guess.
        choices: how to read what can be read in more than one way.

    Raises:
        NotAllowedError: if no one is signed in.
        InvalidInputError: if this person's other files are being read.
        FormatError: naming the place of what cannot be read.
    """
    _require_signed_in(author)
    about = path, _known(format), mapping or None, choices, N_SHOWN
    return workspace.reading_places.call(author, reading, path.name, opening.preview, *about)


def preview_hub(
    workspace: Workspace, author: str | None, reading: str, name: str, config: str, mapping: Mapping[str, Sequence[str]]
) -> Preview:
    """Return how the beginning of a data set of the Hub would be imported; an empty mapping is for a good guess.

    Raises:
        NotAllowedError: if no one is signed in.
        InvalidInputError: if it is not a name on the Hub, or this person's other files are being read.
        FormatError: if it is not there, in no known layout, or without a column of the mapping.
    """
    _require_signed_in(author)
    require_hub_name(name)
    about = name, config, "", mapping or None, N_SHOWN
    return workspace.reading_places.call(author, reading, name, opening.preview_hub, *about)


def open_files(
    workspace: Workspace,
    author: str | None,
    reading: str,
    path: Path,
    format: str,
    mapping: Mapping[str, Sequence[str]],
    choices: Choices = AS_THEY_LOOK,
) -> AbstractContextManager[Source]:
    """Return the source of files, once it is entered, as `preview_files` takes and refuses it."""
    _require_signed_in(author)
    about = path, _known(format), mapping or None, choices
    return workspace.reading_places.source(author, reading, path.name, opening.open_source, *about)


def open_dataset(
    workspace: Workspace, author: str | None, reading: str, name: str, config: str, mapping: Mapping[str, Sequence[str]]
) -> AbstractContextManager[Source]:
    """Return the source of a data set of the Hub, once it is entered, as `preview_hub` takes and refuses it."""
    _require_signed_in(author)
    require_hub_name(name)
    return workspace.reading_places.source(author, reading, name, opening.open_hub, name, config, "", mapping or None)


def costs_of_reading(
    settings: Settings, author: str | None, source: Source, spec: PairSpec
) -> tuple[int, EndpointCosts]:
    """Return how many documents a source holds and what endpoints cost that read them; nothing is sent for that.

    Raises:
        NotAllowedError: if no one is signed in.
        FormatError: naming the place of what cannot be read.
    """
    _require_signed_in(author)
    texts = SampledTexts()
    for each in source.documents():
        texts.add(each.document.content)
    return texts.n, endpoint_costs(readers_of(spec, texts.n, settings.n_alignment_texts(spec.strong)), texts.texts)


def require_hub_name(name: str) -> None:
    """Let nothing pass but a name on the Hub: a page never names a place on this machine.

    Raises:
        InvalidInputError: if it is anything else.
    """
    if not opening.is_hub_name(name):
        raise InvalidInputError(
            f"{name[:80]!r} is not a name on the Hugging Face Hub. Write it as it stands there, such as mteb/scifact."
        )


def _known(format: str) -> str:
    if format and format not in formats():
        raise InvalidInputError(f"The format {format[:40]!r} is not known. Choose one from the list.")
    return format


def _require_signed_in(author: str | None) -> None:
    if author is None:
        raise NotAllowedError("Sign in to bring in documents.")
