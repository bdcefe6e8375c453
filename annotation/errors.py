"""What a person can get wrong in the app; every message says what to do."""


class AnnotationError(Exception):
    """Base of the errors whose message is meant for the person at the screen."""


class InvalidInputError(AnnotationError):
    """Something that was typed, chosen or sent cannot be used."""


class NotFoundError(AnnotationError):
    """A query, document, training run or label set that is asked for does not exist."""


class NotReadyError(AnnotationError):
    """The documents are still being prepared."""


class NotAllowedError(AnnotationError):
    """The person has to sign in first, or somebody else alone may do it."""


class TooManyTriesError(AnnotationError):
    """Too many passwords were wrong; the next one is looked at after `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        self.wait_s = wait_s
        unit = "second" if wait_s == 1 else "seconds"
        super().__init__(f"Too many wrong passwords. Wait {wait_s} {unit}, then try again.")


class CollectionFileError(AnnotationError):
    """A collection on disk cannot be read; the message names file and line."""
