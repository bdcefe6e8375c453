"""The tables as this version of the program reads and writes them.

The rows defined here never leave storage. What creates the tables are the migrations; a test holds the two
together. Every statement is one that PostgreSQL understands as well.
"""

from storage.schema.base import Base, UtcDateTime, utc_now
from storage.schema.collections import CollectionRow, DocumentRow, InstructionRow, QueryRow, RemovedDocumentRow
from storage.schema.comparing import (
    ComparisonLookRow,
    PreferenceEventRow,
    SharedViewRow,
    SnapshotRankingRow,
    SnapshotRow,
)
from storage.schema.jobs import JobRow, TrainingRunRow
from storage.schema.judging import (
    AcknowledgementRow,
    JudgmentEventRow,
    LabelSetRow,
    PoolDocumentRow,
    PoolDrawRow,
    SearchEventRow,
    TestQueryRow,
    current_judgment,
)

__all__ = [
    "AcknowledgementRow",
    "Base",
    "CollectionRow",
    "ComparisonLookRow",
    "DocumentRow",
    "InstructionRow",
    "JobRow",
    "JudgmentEventRow",
    "LabelSetRow",
    "PoolDocumentRow",
    "PoolDrawRow",
    "PreferenceEventRow",
    "QueryRow",
    "RemovedDocumentRow",
    "SearchEventRow",
    "SharedViewRow",
    "SnapshotRankingRow",
    "SnapshotRow",
    "TestQueryRow",
    "TrainingRunRow",
    "UtcDateTime",
    "current_judgment",
    "utc_now",
]
