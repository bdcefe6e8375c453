"""What helps to read a long document: its sentences, and the one that is closest to the query.

Nothing here ranks or judges; a sentence is found by rules that hold for most written languages, not by a model.
"""

import re

import numpy as np

from era.encoders.base import Embedder, Vectors

MAX_SENTENCES = 400
MIN_WORDS = 3

_EAST_ASIAN_MARKS = "。！？"
_ABBREVIATIONS = frozenset(
    (
        "al approx cf ch chs dept dr ed eds eq eqs etc fig figs inc jr ltd messrs mr mrs ms nos pp prof ref refs resp "
        "sec sr st tab viz vol vols vs bzw ggf usw vgl"
    ).split()
)
_BOUNDARY = re.compile(
    rf"(?P<marks>[.!?…{_EAST_ASIAN_MARKS}]++)[\"'”’»」』）)\]]*+"
    r"|\n[^\S\n]*+(?=\n|(?:[-*•‣◦]|\d{1,3}[.)]|\#{1,6})[^\S\n])"
)
_LETTERS_WITH_DOTS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_LIST_NUMBER = re.compile(r"[^\S\n]*\d{1,3}")
_LONGEST_BEFORE_DOT = 20
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_EAST_ASIAN}]|[^\W_{_EAST_ASIAN}]+")


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the character ranges [start, end) of the sentences, in order, without outer blanks and never empty.

    A sentence ends with . ! ? or … before a blank, with 。 ！ or ？ anywhere, at a blank line, and where the next line
    starts a list item or a heading. The dots of abbreviations, initials, numbers and list numbers end none. After
    `MAX_SENTENCES` - 1 sentences, the rest of the text counts as one.
    """
    ranges: list[tuple[int, int]] = []
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        if len(ranges) == MAX_SENTENCES - 1:
            break
        if boundary["marks"] is None or _ends_sentence(text, boundary):
            ranges += _stripped(text, start, boundary.end())
            start = boundary.end()
    return ranges + _stripped(text, start, len(text))


def closest_sentence(text: str, query_vector: Vectors, light: Embedder) -> tuple[int, int] | None:
    """Return the range of the sentence of highest cosine with the query; the first of equals.

    Sentences of fewer than `MIN_WORDS` words, such as headings, count only where there are no others.

    Args:
        text: of a document.
        query_vector: (m,), of the query in the space of the documents.
        light: embeds the sentences, m dimensions.

    Returns:
        Characters [start, end), as in `sentences`; None if the text has fewer than two sentences.

    Raises:
        ValueError: if the query vector is not of the embedder's dimension.
    """
    expected = (light.identity.dimension,)
    if query_vector.shape != expected:
        raise ValueError(f"Expected a query vector of shape {expected}, got {query_vector.shape}.")
    ranges = sentences(text)
    if len(ranges) < 2:
        return None
    candidates = [(start, end) for start, end in ranges if len(_WORD.findall(text[start:end])) >= MIN_WORDS] or ranges
    vectors = light.encode_documents([text[start:end] for start, end in candidates])  # (n, m)
    return candidates[int(np.argmax(vectors @ query_vector))]


def _stripped(text: str, start: int, end: int) -> list[tuple[int, int]]:
    part = text[start:end]
    kept = part.strip()
    first = start + len(part) - len(part.lstrip())
    return [(first, first + len(kept))] if kept else []


def _ends_sentence(text: str, boundary: re.Match[str]) -> bool:
    marks = boundary["marks"]
    if any(mark in _EAST_ASIAN_MARKS for mark in marks):
        return True
    if boundary.end() < len(text) and not text[boundary.end()].isspace():
        return False
    if marks != ".":
        return True
    dot = boundary.start()
    before = text[max(0, dot - _LONGEST_BEFORE_DOT) : dot]
    if _LIST_NUMBER.fullmatch(before.rpartition("\n")[2]):
        return False
    words = before.split()
    if not words or before[-1].isspace():
        return True
    word = words[-1].lstrip("([{\"'“‘«")
    if word.casefold() in ("no", "nr") and re.match(r"\s\d", text[dot + 1 : dot + 3]):
        return False
    is_initials = _LETTERS_WITH_DOTS.fullmatch(word) is not None and word.upper() != word.lower()
    return not is_initials and word.casefold() not in _ABBREVIATIONS
