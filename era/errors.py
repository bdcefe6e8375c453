"""What can go wrong in a way that a person can mend; every message says what to do."""


class EraError(Exception):
    """Base of the errors whose message is meant for the person at the screen."""


class NothingToLearnError(EraError):
    """There are too few labels to fit an adapter."""


class EmbedderUnavailableError(EraError):
    """An embedder could not be loaded, or is not the one that was expected."""


class IndexDamagedError(EraError):
    """A saved index is missing a file or does not hold what was saved."""


class AdapterDamagedError(EraError):
    """A saved adapter is missing a file or does not hold what was saved."""


class IdentityMismatchError(EraError):
    """Two things were made with different embedders or over different documents."""


class Cancelled(EraError):  # noqa: N818 - an outcome that was asked for, not a failure
    """Raised by a progress callback to stop the work at the next step."""
