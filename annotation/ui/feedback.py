"""The one place that turns errors into words for the person at the screen."""

import logging

from annotation.errors import AnnotationError
from era.errors import EraError
from storage.errors import StorageError

logger = logging.getLogger(__name__)


def explain(error: Exception) -> str:
    """Return what to tell the person; what was not foreseen is logged in full."""
    if isinstance(error, AnnotationError | EraError | StorageError):
        return str(error)
    logger.error("Unexpected error", exc_info=error)
    return (
        f"Something unexpected went wrong ({type(error).__name__}). What was saved is safe. "
        "Try again; if it happens again, the terminal that runs the app has the details."
    )
