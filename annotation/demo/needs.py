"""The needs of the demonstration collection: judged queries over the standard library's documentation.

The judgments were made by reading each docstring under its query's instruction; documents not listed are unjudged.
"""

import csv
import json
from pathlib import Path

from era.types import Query

_FOLDER = Path(__file__).parent
QUERIES_PATH = _FOLDER / "queries.jsonl"
JUDGMENTS_PATH = _FOLDER / "judgments.tsv"


def load_queries() -> list[Query]:
    """Return the queries in the order of their file."""
    lines = QUERIES_PATH.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Query(query_id=row["id"], text=row["text"], instruction=row["instruction"]) for row in rows]


def load_judgments() -> dict[str, dict[str, int]]:
    """Return query id -> document id -> relevance, 1 for relevant and 0 for judged not relevant."""
    judgments: dict[str, dict[str, int]] = {}
    with JUDGMENTS_PATH.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            judgments.setdefault(row["query_id"], {})[row["doc_id"]] = int(row["relevance"])
    return judgments
