"""The values of comparing; import them from `storage.records`, where all values are found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.collection_records import JsonObject


class Preferred(StrEnum):
    """Which of two rankings somebody finds better: one of them, both alike, or neither is any good."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    NEITHER = "neither"


class ShownLeft(StrEnum):
    """Which of two rankings stood on the left; who answered did not know."""

    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True)
class NewPreference:
    """A preference to be appended: what its author says of two rankings of a query from now on.

    Attributes:
        label_set_id: where it belongs.
        query_id: whose rankings were shown.
        author: who answered.
        first: key of one ranking; the caller names a pair in the same order every time.
        second: key of the other.
        preferred: the answer.
        shown_left: which stood on the left.
        seconds: how long the answer took; None if that is unknown.
    """

    label_set_id: int
    query_id: int
    author: str
    first: str
    second: str
    preferred: Preferred
    shown_left: ShownLeft
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a pair or a time that cannot be meant (NaN included)."""
        if self.first == self.second:
            raise ValueError(f"expected two different rankings, got {self.first!r} twice")
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise ValueError(f"expected seconds from 0 upwards, or None, got {self.seconds!r}")


@dataclass(frozen=True, slots=True)
class PreferenceRecord:
    """One stored preference, as in `NewPreference`; a larger `id` is a later answer."""

    id: int
    label_set_id: int
    query_id: int
    author: str
    first: str
    second: str
    preferred: Preferred
    shown_left: ShownLeft
    seconds: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSnapshot:
    """A comparison to be kept as it is.

    Attributes:
        slug: ends its address.
        collection_id: where it belongs.
        label_set_id: whose judgments measured it.
        name: what it is called.
        note: what else there is to say of it.
        author: who keeps it.
        about: what was compared, how, and what came out; short, since every list of snapshots reads it.
        measured: what came out query by query.
    """

    slug: str
    collection_id: int
    label_set_id: int
    name: str
    note: str
    author: str
    about: JsonObject
    measured: Sequence[JsonObject] = ()


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A kept comparison, as in `NewSnapshot`.

    What there is of every query is much and read on its own: `snapshots.measured`, `snapshots.rankings`.
    """

    id: int
    slug: str
    collection_id: int
    label_set_id: int
    name: str
    note: str
    author: str
    about: JsonObject
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SnapshotRanking:
    """What one side of a snapshot ranks for a query.

    Attributes:
        side: tells the sides of the comparison apart.
        query_id: of the query.
        ranking: (document id, score), best first.
        is_held_out: the ranker learned from the query, and this comes from a version of it that had not.
        is_flattered: the ranker learned from the query, and this comes from what had.
    """

    side: int
    query_id: int
    ranking: tuple[tuple[str, float], ...]
    is_held_out: bool
    is_flattered: bool = False
