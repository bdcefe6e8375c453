"""How long work tells where it is, and how it is asked to stop."""

from typing import Protocol


class Progress(Protocol):
    """Called after every step of long work; raise `era.errors.Cancelled` inside it to stop the work."""

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        """Report that `stage` is done to `fraction` in [0, 1]; `detail` is for a person to read."""


def no_progress(stage: str, fraction: float, detail: str = "") -> None:
    """Ignore the report."""
