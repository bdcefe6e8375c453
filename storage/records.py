"""The values that leave storage: one frozen record per noun, and the values handed in to be stored.

Records are copies: changing the database later changes none of them. Nothing here knows SQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.collection_records import CollectionRecord as CollectionRecord
from storage.collection_records import CollectionState as CollectionState
from storage.collection_records import JsonObject as JsonObject
from storage.comparison_records import NewPreference as NewPreference
from storage.comparison_records import NewSnapshot as NewSnapshot
from storage.comparison_records import PreferenceRecord as PreferenceRecord
from storage.comparison_records import Preferred as Preferred
from storage.comparison_records import ShownLeft as ShownLeft
from storage.comparison_records import SnapshotRanking as SnapshotRanking
from storage.comparison_records import SnapshotRecord as SnapshotRecord
from storage.job_records import IMPORTS as IMPORTS
from storage.job_records import FinishedTraining as FinishedTraining
from storage.job_records import JobKind as JobKind
from storage.job_records import JobRecord as JobRecord
from storage.job_records import JobState as JobState
from storage.job_records import LabelSnapshot as LabelSnapshot
from storage.job_records import NewJob as NewJob
from storage.job_records import NewTrainingRun as NewTrainingRun
from storage.job_records import TrainingRunRecord as TrainingRunRecord

MAX_GRADE = 10.0
"""The highest grade; 0 is judged not relevant, above 0 is relevant."""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to be stored; its position follows from the order in which documents are added."""

    doc_id: str
    title: str
    text: str
    content_hash: str
    metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A stored document; `position` counts from 0 within its collection."""

    collection_id: int
    position: int
    doc_id: str
    title: str
    text: str
    content_hash: str
    metadata: JsonObject | None


@dataclass(frozen=True, slots=True)
class InstructionRecord:
    """One version of an instruction; it is never edited, `n_queries` is how many queries use it."""

    id: int
    collection_id: int
    text: str
    n_queries: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """Text and instruction together: the same text under another instruction is another query.

    `public_id` is the id the query had in an imported file, or None; `need` tells in Markdown what would meet it.
    """

    id: int
    collection_id: int
    public_id: str | None
    text: str
    instruction_id: int
    instruction: str
    need: str
    author: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LabelSetRecord:
    """A named set of judgments over one collection.

    `in_use` is the key of the ranking in use ("run-7" or "light"); "" is what the newest training run found best.
    """

    id: int
    collection_id: int
    name: str
    created_by: str
    created_at: datetime
    in_use: str


class JudgmentRole(StrEnum):
    """In which role a mark was made: at the desk, to settle a conflict, or brought along by an import."""

    JUDGE = "judge"
    ADJUDICATOR = "adjudicator"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class NewJudgment:
    """A judgment to be appended: everything that its author says of a document from now on.

    Attributes:
        label_set_id: where it belongs.
        query_id: judged under which query.
        instruction_id: of that query.
        doc_id: which document.
        content_hash: of the document as it was judged.
        author: whose judgment it is.
        grade: 0 not relevant, above 0 relevant; None takes the author's mark back, or goes with `is_unsure`.
        client_id: names the page (or the import); with `sequence` it makes a repeated delivery harmless.
        sequence: counts within the client.
        rank_shown: where the document stood, from 1; None if it was not ranked.
        retriever: what ranked it.
        role: of the author.
        is_unsure: the author looked and cannot tell; there is no grade then.
        note: the author's own words about the document.
        seconds: how long the document was looked at; None if that is unknown.
        together_with: id of the document that this one was judged with in one act, since both say the same.
        undoes_id: the event that this one takes back.
    """

    label_set_id: int
    query_id: int
    instruction_id: int
    doc_id: str
    content_hash: str
    author: str
    grade: float | None
    client_id: str
    sequence: int
    rank_shown: int | None = None
    retriever: str | None = None
    role: JudgmentRole = JudgmentRole.JUDGE
    is_unsure: bool = False
    note: str = ""
    seconds: float | None = None
    together_with: str | None = None
    undoes_id: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a grade, a rank or a time that cannot be meant (NaN included)."""
        if self.grade is not None and not 0 <= self.grade <= MAX_GRADE:
            raise ValueError(f"expected a grade from 0 to {MAX_GRADE:g}, or None to clear, got {self.grade!r}")
        if self.rank_shown is not None and self.rank_shown < 1:
            raise ValueError(f"expected a rank from 1 upwards, or None, got {self.rank_shown!r}")
        if self.grade is not None and self.is_unsure:
            raise ValueError(f"expected either a grade or is_unsure, got both (grade {self.grade!r})")
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise ValueError(f"expected seconds from 0 upwards, or None, got {self.seconds!r}")


@dataclass(frozen=True, slots=True)
class JudgmentRecord:
    """One stored event of judging, as in `NewJudgment`; a larger `id` is a later event."""

    id: int
    label_set_id: int
    query_id: int
    instruction_id: int
    doc_id: str
    content_hash: str
    author: str
    grade: float | None
    rank_shown: int | None
    retriever: str | None
    client_id: str
    sequence: int
    role: JudgmentRole
    is_unsure: bool
    note: str
    seconds: float | None
    together_with: str | None
    undoes_id: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StandingMark:
    """What one author's mark on a document is now; `grade` is None where the author could not tell."""

    query_id: int
    doc_id: str
    author: str
    role: JudgmentRole
    grade: float | None


@dataclass(frozen=True, slots=True)
class Hand:
    """Somebody who ever had a hand in the judging of a query, in which role, and whether by a file brought in.

    It stays when everything was taken back; references are no judging.
    """

    query_id: int
    author: str
    role: JudgmentRole
    is_imported: bool


@dataclass(frozen=True, slots=True)
class AuthorWork:
    """How much an author did in a label set; `seconds` are the times that documents were looked at, where known."""

    author: str
    n_events: int
    first_at: datetime
    last_at: datetime
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AppendedJudgment:
    """The answer to an append: the stored event, and whether this call wrote it.

    `is_new` is False when the same delivery had been stored before; `judgment` is then that first event.
    """

    judgment: JudgmentRecord
    is_new: bool


@dataclass(frozen=True, slots=True)
class PoolDocument:
    """A document to be judged for a query; `sources` maps what brought it up to its rank there, None if unranked."""

    doc_id: str
    sources: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class PoolDraw:
    """How documents came into a pool: some for certain, of the rest some at random, each with the same probability.

    Attributes:
        sources: the rankings that they came from, by ranker key.
        drawn: document ids that came in at random, without replacement.
        not_drawn: of those that were drawn from, the others.
        certain: those that were taken by their places alone, whether or not the pool had them.
        is_deep: whether those drawn from stood below the first places of all the rankings.
    """

    sources: tuple[str, ...]
    drawn: tuple[str, ...]
    not_drawn: tuple[str, ...]
    certain: tuple[str, ...] = ()
    is_deep: bool = False

    @property
    def probability(self) -> float:
        """Return how probable it was for each document to be drawn; 1 if there was nothing to choose."""
        n = len(self.drawn) + len(self.not_drawn)
        return len(self.drawn) / n if n else 1.0


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """A ranking that was shown; `ranking` holds (document id, score), best first."""

    id: int
    query_id: int
    author: str
    retriever: str
    depth: int
    took_ms: float
    ranking: tuple[tuple[str, float], ...]
    created_at: datetime
