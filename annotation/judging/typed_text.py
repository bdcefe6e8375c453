"""Texts that people type or bring in files, as they are stored: queries, instructions, needs, notes and names."""

import unicodedata

from annotation.errors import InvalidInputError

MAX_WORDS = 1000
MAX_CHARACTERS = 10_000


def clean_text(text: str, purpose: str) -> str:
    """Return text without control characters and outer blanks, as it is stored.

    Raises:
        InvalidInputError: if it is longer than an embedder could make sense of.
    """
    kept = "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else " " for c in text).strip()
    n_words = len(kept.split())
    if n_words > MAX_WORDS:
        raise InvalidInputError(
            f"This {purpose} has {n_words:,} words; only the first two hundred or so can be understood. "
            f"Shorten it to at most {MAX_WORDS:,} words."
        )
    if len(kept) > MAX_CHARACTERS:
        raise InvalidInputError(
            f"This {purpose} has {len(kept):,} characters. Shorten it to at most {MAX_CHARACTERS:,}."
        )
    return kept
