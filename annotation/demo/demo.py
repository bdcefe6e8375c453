"""A demonstration collection: documents that anyone can have, with judged queries to try on them.

The judgments of each were made by reading documents under the instruction of the query; the others are unjudged.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from era.types import Document, Query


@dataclass(frozen=True, slots=True, eq=False)
class Demo:
    """Everything there is of a demonstration collection.

    Attributes:
        name: of the collection.
        description: one sentence.
        documents: in the order of their ids.
        metadata: document id -> what else is known of it, by the name of the field.
        queries: in the order in which they are offered.
        judgments: query id -> document id -> relevance, 1 for relevant and 0 for judged not relevant.
    """

    name: str
    description: str
    documents: Sequence[Document]
    metadata: Mapping[str, Mapping[str, str]]
    queries: Sequence[Query]
    judgments: Mapping[str, Mapping[str, int]]


def read_queries(folder: Path) -> list[Query]:
    """Return the queries of `queries.jsonl`, in its order."""
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Query(query_id=row["id"], text=row["text"], instruction=row["instruction"]) for row in rows]


def read_judgments(folder: Path) -> dict[str, dict[str, int]]:
    """Return query id -> document id -> relevance, from `judgments.tsv`."""
    judgments: dict[str, dict[str, int]] = {}
    with (folder / "judgments.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            judgments.setdefault(row["query_id"], {})[row["doc_id"]] = int(row["relevance"])
    return judgments
