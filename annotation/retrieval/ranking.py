"""What names a ranking in addresses, events and stored choices: a base, and what is done beside it."""

import re
from dataclasses import dataclass, replace

LIGHT = "light"
ALIGNED = "aligned"
STRONG = "strong"
BM25 = "bm25"
_WITH_WORDS = "+words"
_REREAD = "+reread"
_RUN = re.compile(r"run-([0-9]{1,15})")
_STORED = re.compile(r"snap-([A-Za-z0-9]{1,64})-([0-9])")


@dataclass(frozen=True, slots=True)
class RankingKey:
    """A parsed key; `str` prints it. That a key can be parsed does not mean that there is such a ranking.

    Attributes:
        base: `LIGHT`, `ALIGNED`, `STRONG`, `BM25`, a training run or a side of a snapshot.
        has_words: whether matching words count beside it.
        is_reread: whether the strong model reads the documents on top and orders them anew.
    """

    base: str
    has_words: bool = False
    is_reread: bool = False

    @classmethod
    def parse(cls, key: str) -> "RankingKey":
        """Read what `str` printed."""
        first = key.removesuffix(_REREAD)
        return cls(first.removesuffix(_WITH_WORDS), first.endswith(_WITH_WORDS), key.endswith(_REREAD))

    @classmethod
    def of_run(cls, training_run_id: int, has_words: bool = False) -> "RankingKey":
        """Return the ranking of a training run."""
        return cls(f"run-{training_run_id}", has_words)

    @classmethod
    def of_snapshot(cls, slug: str, side: int) -> "RankingKey":
        """Return the ranking that a side of a snapshot stores."""
        return cls(f"snap-{slug}-{side}")

    def __str__(self) -> str:
        return self.base + (_WITH_WORDS if self.has_words else "") + (_REREAD if self.is_reread else "")

    @property
    def run_id(self) -> int | None:
        """Return the id of the training run; None for other rankings."""
        found = _RUN.fullmatch(self.base)
        return int(found[1]) if found else None

    @property
    def stored_side(self) -> tuple[str, int] | None:
        """Return slug and side of the snapshot; None for other rankings."""
        found = None if self.has_words or self.is_reread else _STORED.fullmatch(self.base)
        return (found[1], int(found[2])) if found else None

    def with_words(self) -> "RankingKey":
        """Return the ranking with matching words counted."""
        return replace(self, has_words=True)

    def without_words(self) -> "RankingKey":
        """Return the ranking without them; what is left of BM25 alone are the light vectors beside it."""
        return RankingKey(LIGHT if self.base == BM25 else self.base)

    @property
    def can_be_reread(self) -> bool:
        """Return whether the light embedder's index is searched, so that the strong model may read what is on top."""
        return self.base in (LIGHT, ALIGNED) or self.run_id is not None

    def with_rereading(self) -> "RankingKey":
        """Return the ranking with the documents on top read by the strong model."""
        return replace(self, is_reread=True)

    def without_rereading(self) -> "RankingKey":
        """Return the ranking as it is before the strong model reads anything."""
        return replace(self, is_reread=False)
