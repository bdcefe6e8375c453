"""The values that travel through `era`: documents, queries, rankings and judged relevance.

Nothing here computes; the field's words are used in their usual sense.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One retrievable text; `doc_id` is unique within its corpus."""

    doc_id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """Return what is embedded and hashed: the title line, if any, then the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Query:
    """An information need: what is asked, and how the asker wants it to be read."""

    query_id: str
    text: str
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class ScoredDoc:
    """A document at some place of a ranking; `score` is a cosine, plus what matching words add."""

    doc_id: str
    score: float


Ranking = Sequence[ScoredDoc]
"""Documents of one query, best first."""

Run = Mapping[str, Ranking]
"""query id -> ranking."""

Qrels = Mapping[str, Mapping[str, float]]
"""query id -> document id -> relevance; absent = unjudged, 0 = judged not relevant."""
