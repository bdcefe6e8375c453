"""How many places in a queue one person may take, so that others can join it: the same for every queue."""

from collections.abc import Sequence

from annotation.errors import InvalidInputError
from annotation.settings import Settings
from storage.records import JobRecord, JobState

MAX_WAITING = 10
"""How much may wait for its turn in one queue."""

MAX_WAITING_EACH = 3
"""How much of that may be one person's, where there are several."""


def require_place(settings: Settings, author: str, queue: Sequence[JobRecord], what: str) -> None:
    """Check that a person may put one more thing into a queue.

    Args:
        settings: of this process.
        author: who wants to.
        queue: what runs and waits in it.
        what: the things, in the plural.

    Raises:
        InvalidInputError: if too many wait, or too many of this person's.
    """
    waiting = [job.author for job in queue if job.state is JobState.QUEUED]
    what_then = "Wait until one of them has begun, or cancel one."
    if len(waiting) >= MAX_WAITING:
        raise InvalidInputError(f"{MAX_WAITING} {what} are waiting already. {what_then}")
    if settings.has_several_people and waiting.count(author) >= MAX_WAITING_EACH:
        raise InvalidInputError(
            f"{MAX_WAITING_EACH} of your {what} are waiting already, which is one person's share. {what_then}"
        )
