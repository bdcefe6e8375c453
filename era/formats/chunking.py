"""Long texts cut at the borders of their paragraphs into passages of about two hundred words."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

N_WORDS = 200
_MOST_WORDS = 300  # of a paragraph that is left in one piece
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’»)\]]*\s+")


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or a heading; `page` counts from 1, 0 where there are no pages."""

    text: str
    is_heading: bool = False
    page: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some paragraphs in a row, the page where they begin, and the heading they stand under."""

    text: str
    page: int
    heading: str


def chunks_of(blocks: Iterable[Block]) -> Iterator[Chunk]:
    """Yield the passages of a text; a heading opens the passage of what follows it, and never ends one."""
    gathered: list[Block] = []
    n_words, heading, heading_here = 0, "", ""

    def chunk() -> Chunk:
        return Chunk("\n\n".join(block.text for block in gathered), gathered[0].page, heading_here)

    for block in _split(blocks):
        size = len(block.text.split())
        has_body = any(not each.is_heading for each in gathered)
        begins_section = block.is_heading and n_words >= N_WORDS // 2
        if has_body and (n_words + size > N_WORDS or begins_section):
            headings = _headings_at_end(gathered)
            gathered = gathered[: len(gathered) - len(headings)]
            yield chunk()
            gathered, n_words, heading_here = headings, sum(len(each.text.split()) for each in headings), heading
        if block.is_heading:
            heading = block.text
        if not any(not each.is_heading for each in gathered):
            heading_here = heading
        gathered.append(block)
        n_words += size
    if gathered:
        yield chunk()


def paragraphs_of(text: str) -> list[str]:
    """Return what stands between blank lines, each with its own line breaks."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _headings_at_end(blocks: list[Block]) -> list[Block]:
    n_headings = 0
    while n_headings < len(blocks) and blocks[-1 - n_headings].is_heading:
        n_headings += 1
    return blocks[len(blocks) - n_headings :]


def _split(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks, those that are too long cut at the ends of sentences, or else between words."""
    for block in blocks:
        if len(block.text.split()) <= _MOST_WORDS:
            yield block
            continue
        gathered: list[str] = []
        n_words = 0
        for sentence in _SENTENCE_END.split(block.text):
            for part in _at_most(sentence):
                size = len(part.split())
                if gathered and n_words + size > N_WORDS:
                    yield Block(" ".join(gathered), block.is_heading, block.page)
                    gathered, n_words = [], 0
                gathered.append(part)
                n_words += size
        yield Block(" ".join(gathered), block.is_heading, block.page)


def _at_most(sentence: str) -> list[str]:
    words = sentence.split()
    if len(words) <= _MOST_WORDS:
        return [sentence]
    return [" ".join(words[at : at + N_WORDS]) for at in range(0, len(words), N_WORDS)]
