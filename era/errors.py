"""What can go wrong in a way that a person can mend; every message says what to do."""


class EraError(Exception):
    """Base of the errors whose message is meant for the person at the screen."""


class NothingToLearnError(EraError):
    """There are too few labels to fit an adapter."""


class EmbedderUnavailableError(EraError):
    """An embedder could not be loaded, or is not the one that was expected."""


class DamagedFileError(EraError):
    """A file that was written here is missing, or does not hold what was written."""


class IndexDamagedError(DamagedFileError):
    """A saved index is missing a file or does not hold what was saved."""


class AdapterDamagedError(DamagedFileError):
    """A saved adapter is missing a file or does not hold what was saved."""


class IdentityMismatchError(EraError):
    """Two things were made with different embedders or over different documents."""


class FormatError(EraError):
    """A file does not hold what it should; the message names the place and what is expected there.

    Attributes:
        problem: what is wrong, without the place.
        file: as the person knows it; empty if no single file is meant.
        line: line, row or page from 1, whichever the file has.
        column: name of the column or field.
        unit: what the file is counted in.
    """

    def __init__(
        self, problem: str, file: str = "", line: int | None = None, column: str | None = None, unit: str = "line"
    ) -> None:
        """Put the place before the problem; `unit` is what the file is counted in."""
        places = [file] if file else []
        places += [f"{unit} {line:,}"] if line is not None else []
        places += [f'column "{column}"'] if column is not None else []
        super().__init__(f"{', '.join(places)}: {problem}" if places else problem)
        self.problem = problem
        self.file = file
        self.line = line
        self.column = column
        self.unit = unit


class SourceUnreachable(FormatError):  # noqa: N818 - says what is the matter, as `Cancelled` does
    """What is to be read does not answer at the moment; trying again later may help."""


class DamagedText(FormatError):  # noqa: N818 - says what is the matter, as `Cancelled` does
    """A text file has bytes that are not of its encoding; if a person chooses one, they are replaced."""


class NotExportableError(EraError):
    """Something cannot be written in the form that was asked for."""


class Cancelled(EraError):  # noqa: N818 - an outcome that was asked for, not a failure
    """Raised by a progress callback to stop the work at the next step."""
