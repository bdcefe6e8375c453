"""What names a ranking: what ranks, whether matching words count beside it, whether its top is read anew (reranking).

This is the one place that puts such a name together or takes it apart.
"""

from typing import Self

_WITH_WORDS, _REREAD = "+words", "+reread"


class RankingName(str):
    """A base, alone or with what is done beside it; a name is its own printed form, as files and rows hold it.

    That a text can be read does not mean that there is such a ranking.
    """

    __slots__ = ()

    @property
    def base(self) -> Self:
        """Return what ranks, without what is done beside it."""
        return type(self)(self.removesuffix(_REREAD).removesuffix(_WITH_WORDS))

    @property
    def has_words(self) -> bool:
        """Return whether matching words count beside it."""
        return self.removesuffix(_REREAD).endswith(_WITH_WORDS)

    @property
    def is_reread(self) -> bool:
        """Return whether the strong model reads the documents on top and orders them anew."""
        return self.endswith(_REREAD)

    def with_base(self, base: str) -> Self:
        """Return the ranking with another base, and the same beside it."""
        return type(self)(base + self[len(self.base) :])

    def with_words(self) -> Self:
        """Return the ranking with matching words counted."""
        return type(self)(self.base + _WITH_WORDS + (_REREAD if self.is_reread else ""))

    def with_rereading(self) -> Self:
        """Return the ranking with the documents on top read by the strong model."""
        return type(self)(self.without_rereading() + _REREAD)

    def without_rereading(self) -> Self:
        """Return the ranking as it is before the strong model reads anything."""
        return type(self)(self.removesuffix(_REREAD))
