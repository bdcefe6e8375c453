"""The tables as this version of the program reads and writes them.

The rows defined here never leave storage. What creates the tables are the migrations; a test holds the two
together. Every statement is one that PostgreSQL understands as well.
"""

from storage.schema.base import Base, UtcDateTime, utc_now
from storage.schema.collections import CollectionRow, DocumentRow, InstructionRow, QueryRow
from storage.schema.comparing import PreferenceEventRow, SharedViewRow, SnapshotRankingRow, SnapshotRow
from storage.schema.importing import ImportJobRow, RemovedDocumentRow
from storage.schema.judging import (
    AcknowledgementRow,
    JudgmentEventRow,
    LabelSetRow,
    PoolDocumentRow,
    SearchEventRow,
    current_judgment,
)
from storage.schema.training import TrainingRunRow

__all__ = [
    "AcknowledgementRow",
    "Base",
    "CollectionRow",
    "DocumentRow",
    "ImportJobRow",
    "InstructionRow",
    "JudgmentEventRow",
    "LabelSetRow",
    "PoolDocumentRow",
    "PreferenceEventRow",
    "QueryRow",
    "RemovedDocumentRow",
    "SearchEventRow",
    "SharedViewRow",
    "SnapshotRankingRow",
    "SnapshotRow",
    "TrainingRunRow",
    "UtcDateTime",
    "current_judgment",
    "utc_now",
]
